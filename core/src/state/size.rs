//! How large the state is.

use super::budget::MemoryBudget;
use super::{SensorState, State};

impl State {
    /// How many sensors have state.
    #[must_use]
    pub fn sensors(&self) -> usize {
        let known = |entry: &&SensorState| entry.last_offsets.iter().any(|offset| *offset >= 0);
        self.partitions
            .iter()
            .map(|sensors| sensors.entries.iter().filter(known).count())
            .sum()
    }

    /// How many sensors have an entry. It costs nothing to ask, but a tombstone that was restored
    /// leaves an entry without state.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.partitions
            .iter()
            .map(|sensors| sensors.entries.len())
            .sum()
    }

    /// How many bytes it takes, and how many it may take.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let MemoryBudget { left, total, .. } = self.budget;
        (total - left, total)
    }
}
