//! The operator: one step on readings.
//!
//! The `operators` crate holds the catalog and re-exports this trait; it stands here because the
//! [stage loop](crate::stage) drives it.

use crate::pipeline::ComponentConfig;
use crate::reading::{InvalidReading, Reading};

/// What one stateful operator remembers of one sensor: a handful of numbers, empty at first.
///
/// Plain numbers, so that the changelog can hold any operator's state and a person can read it.
pub type KeyState = Vec<f64>;

/// Whether a reading goes on to the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It goes on.
    Pass,
    /// It ends here, as meant: filtered out, or it only fed the state.
    Drop,
}

/// One step on readings, stateless or keyed and stateful.
///
/// An operator is pure: no Kafka, no clock, no randomness of its own. The same reading with the
/// same memory gives the same result on every machine, so that what is processed again after a
/// crash comes out the same. An operator itself never changes; what it remembers of a sensor is
/// handed to it with each reading.
pub trait Operator: Send {
    /// Changes `reading` in place and says whether it goes on.
    ///
    /// `states` are this operator's own, [`states`](Self::states) of them.
    ///
    /// # Errors
    /// A reading it cannot work on; its memories are then as they were.
    fn apply(
        &self,
        reading: &mut Reading<'_>,
        states: &mut [KeyState],
    ) -> Result<Flow, InvalidReading>;

    /// How many memories it keeps for each sensor: 0 for a stateless operator.
    fn states(&self) -> usize {
        0
    }

    /// At most how many numbers its memories of one sensor hold, all together: what a sensor costs.
    fn numbers(&self) -> usize {
        0
    }

    /// Its name and settings, such as `ewma(alpha=0.5)`: all that its results depend on, so that
    /// [`ComponentConfig::described`] makes the same operator of it. State that was made under
    /// another description is not taken for this operator's.
    fn describe(&self) -> String;

    /// Makes `states`, its own, out of those that it kept under the settings `before`. Also asked
    /// of an operator with memories behind it in its chain, which went through it.
    ///
    /// # Errors
    /// Why what was remembered means nothing under these settings.
    fn migrate(&self, before: &ComponentConfig, states: &mut [KeyState]) -> Result<(), String> {
        let _ = (before, states);
        Ok(())
    }
}
