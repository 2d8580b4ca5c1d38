//! Where the records of all members go: to standard output, and into a database.

use rivulet_formats::schema_registry::SchemaRegistry;
use rivulet_kafka::OwnedRecord;
use rivulet_node::cli::BoxError;

use super::show::{self, Shown};
use super::store::Store;
use super::value::Values;
use crate::print::Lines;

/// Where records go.
pub(super) struct Output {
    shown: Shown,
    values: Values,
    lines: Lines,
    line: String,
    pub(super) store: Option<Store>,
}

impl Output {
    pub(super) fn new(
        shown: Shown,
        store: Option<Store>,
        registry: Option<Box<dyn SchemaRegistry>>,
    ) -> Self {
        Output {
            shown,
            values: Values::new(registry),
            lines: Lines::new(),
            line: String::new(),
            store,
        }
    }

    /// Shows a record and stores it. Whether it was new to the database.
    pub(super) fn take(&mut self, topic: &str, record: &OwnedRecord) -> Result<bool, BoxError> {
        let fields = record.fields();
        self.line.clear();
        match self.shown {
            Shown::Nothing => (),
            Shown::Text => {
                let value = self.values.decode(fields.value)?;
                show::text(&mut self.line, topic, &fields, &record.headers(), &value)?;
                self.lines.line(&self.line)?;
            }
            Shown::Json => {
                let value = self.values.decode(fields.value)?;
                show::json(&mut self.line, topic, &fields, &record.headers(), &value)?;
                self.lines.line(&self.line)?;
            }
        }
        let Some(store) = &mut self.store else {
            return Ok(true);
        };
        // What is stored has been shown.
        self.lines.flush()?;
        Ok(store.add(topic, &fields, &record.headers())?)
    }

    pub(super) fn flush(&mut self) -> Result<(), BoxError> {
        Ok(self.lines.flush()?)
    }
}
