//! Checks the source of a stage.

use rivulet_pipeline::catalog::Formats;
use rivulet_pipeline::{Check, Diagnostic, Pipeline, Stage, StageKind, Unread};

use crate::buffer;
use crate::registry::ProducerRegistry;

impl Check for ProducerRegistry {
    fn formats(&self) -> &Formats {
        &self.formats
    }

    fn check_stage(&self, _: &Pipeline, unread: &Unread, stage: &Stage) -> Vec<Diagnostic> {
        match &stage.kind {
            StageKind::Producer { source, spool, .. } if !unread.has(&stage.table(), "source") => {
                buffer::read(&self.sources, source, spool.as_ref())
                    .err()
                    .into_iter()
                    .flatten()
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}
