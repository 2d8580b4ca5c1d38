//! The tables of a pipeline file, as they are written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;

use self::reader::Reader;
use crate::diagnostic::{Diagnostic, Text};
use crate::pipeline::Pipeline;
use crate::settings::Unread;

mod named;
mod reader;
mod scalar;
#[cfg(feature = "schema")]
mod shapes;
mod stages;
pub(crate) mod top;
mod topics;
pub(crate) mod written;

/// What the tables say.
pub(super) struct Tables {
    /// Whole only if there are no errors.
    pub pipeline: Pipeline,
    /// Where the prefix stands, if the file has one.
    pub prefix_place: Option<Range<usize>>,
    pub unread: Unread,
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads all tables; `None` with the errors if the text is not TOML.
pub(super) fn read(text: &Arc<Text>) -> Result<Tables, Vec<Diagnostic>> {
    let (document, errors) = DeTable::parse_recoverable(&text.text);
    if !errors.is_empty() {
        return Err(errors.into_iter().map(Diagnostic::from).collect());
    }
    let mut reader = Reader {
        text,
        misspelled: BTreeMap::new(),
        unread: Unread::default(),
        diagnostics: Vec::new(),
    };
    let mut document = document.into_inner();
    let pipeline = reader.pipeline(&mut document);
    Ok(Tables {
        pipeline,
        prefix_place: document.get("prefix").map(Spanned::span),
        unread: reader.unread,
        diagnostics: reader.diagnostics,
    })
}
