//! How records are taken from an input, whatever its format.

use std::io;
use std::ops::ControlFlow;

use rivulet_core::error::{Error, Result};
use rivulet_core::shutdown::Shutdown;

/// Is called with each record. Says whether to go on.
pub(super) type EachRecord<'e> = &'e mut dyn FnMut(&[u8]) -> Result<ControlFlow<()>>;

/// What the readers of both formats need to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadRules<'r> {
    /// The input's name.
    pub place: &'r str,
    /// How many bytes a record may have.
    pub largest: usize,
    /// How many bytes are read at once.
    pub block: usize,
    pub shutdown: &'r Shutdown,
}

impl ReadRules<'_> {
    /// What a failed read means: nothing if a stop has interrupted it.
    pub(super) fn failed(&self, error: io::Error) -> Result<()> {
        if self.shutdown.is_stopping() {
            return Ok(());
        }
        Err(Error::caused_by(format!("reading {}", self.place), error))
    }
}
