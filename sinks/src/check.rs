//! Checks the sink of a stage.

use rivulet_pipeline::catalog::Formats;
use rivulet_pipeline::{Check, Diagnostic, Pipeline, Stage, StageKind, Unread};

use crate::catalog;
use crate::registry::SinkRegistry;

impl Check for SinkRegistry {
    fn formats(&self) -> &Formats {
        &self.formats
    }

    fn encodes(&self, _: &Stage) -> bool {
        false
    }

    fn check_stage(&self, _: &Pipeline, unread: &Unread, stage: &Stage) -> Vec<Diagnostic> {
        let table = stage.table();
        let StageKind::Sink { sink } = &stage.kind else {
            return Vec::new();
        };
        if unread.has(&table, "sink") {
            return Vec::new();
        }
        let settings = if unread.has(&table, "from") {
            self.sinks.read(sink)
        } else {
            catalog::read_from(&self.sinks, sink, &stage.from)
        };
        settings.err().into_iter().flatten().collect()
    }
}
