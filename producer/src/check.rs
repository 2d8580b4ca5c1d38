//! Checks the source of a stage.

use rivulet_pipeline::catalog::Formats;
use rivulet_pipeline::{Check, Diagnostic, Pipeline, Stage, StageKind, Unread};

use crate::buffer;
use crate::registry::ProducerRegistry;

impl Check for ProducerRegistry {
    fn formats(&self) -> &Formats {
        &self.formats
    }

    fn encodes(&self, stage: &Stage) -> bool {
        let StageKind::Producer { source, .. } = &stage.kind else {
            return false;
        };
        // Whether a source has whole records does not depend on its settings.
        let settings = self.sources.read(source).ok();
        let settings = settings.or_else(|| self.sources.example(source));
        settings.is_some_and(|settings| !settings.has_records())
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
