//! What a program knows of the components that a file names: [`Check`].

use crate::catalog::Formats;
use crate::diagnostic::Diagnostic;
use crate::pipeline::Pipeline;
use crate::settings::Unread;
use crate::stage::Stage;

/// Checks what only those know who have the catalogs.
pub trait Check {
    /// The formats that topics can have.
    fn formats(&self) -> &Formats;

    /// Whether the formats of a stage's topics must be able to write what it sends. Whole records
    /// are sent as they are. `false` if this program does not know the stage's components.
    fn encodes(&self, stage: &Stage) -> bool;

    /// Checks the components of a stage, without opening any of them. The pipeline may have errors:
    /// what depends on a setting that is [`Unread`] is not known, so it is no error.
    fn check_stage(&self, pipeline: &Pipeline, unread: &Unread, stage: &Stage) -> Vec<Diagnostic>;
}
