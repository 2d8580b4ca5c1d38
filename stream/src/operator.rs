//! The operator: one step of a chain.
//!
//! The catalog is in the `operators` crate. The trait is here because
//! [`Processing`](crate::processing::Processing) uses it.

use crate::pipeline::ComponentConfig;
use crate::reading::{InvalidReading, Reading};

/// The state that one operator keeps for one sensor: a few numbers, at first none.
///
/// Plain numbers fit in the changelog for any operator, and people can read them.
pub type KeyState = Vec<f64>;

/// Whether a reading is passed to the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It is.
    Pass,
    /// It is dropped on purpose: it is filtered out, or has only changed the state.
    Drop,
}

/// One step of a chain, stateless or with state by sensor.
///
/// An operator is pure: it uses no Kafka, no clock and no randomness. The same reading with the
/// same state gives the same result on every machine, so records that are processed again after a
/// crash give the same results. The operator itself never changes. It gets a sensor's state with
/// each reading.
pub trait Operator: Send {
    /// Changes `reading` in place, and says whether to pass it on.
    ///
    /// `states` is the state of this operator for the reading's sensor: [`states`](Self::states)
    /// elements.
    ///
    /// # Errors
    /// If it cannot process the reading. It leaves its state unchanged then.
    fn apply(
        &self,
        reading: &mut Reading<'_>,
        states: &mut [KeyState],
    ) -> Result<Flow, InvalidReading>;

    /// How many [`KeyState`]s it keeps for each sensor: 0 for a stateless operator.
    fn states(&self) -> usize {
        0
    }

    /// How many numbers its state of one sensor has at most, in total.
    fn numbers(&self) -> usize {
        0
    }

    /// Its name and settings, such as `ewma(alpha=0.5)`: everything that its results depend on.
    /// [`ComponentConfig::described`] creates the same operator from it. State with another
    /// description belongs to another operator.
    fn describe(&self) -> String;

    /// Migrates `states`, its state under the settings `before`, to its own settings. Also called
    /// for a stateless operator if later steps have state, because their readings come from it.
    ///
    /// # Errors
    /// Why the state cannot be migrated to these settings.
    fn migrate(&self, before: &ComponentConfig, states: &mut [KeyState]) -> Result<(), String> {
        let _ = (before, states);
        Ok(())
    }
}
