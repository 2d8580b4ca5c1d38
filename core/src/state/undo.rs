//! The states that the readings of one record change, as they were before.

use crate::key_state::KeyState;

/// The states that the readings of one record change, as they were before. Kept to reuse their
/// memory.
#[derive(Debug, Default)]
pub(super) struct UndoLog {
    entries: Vec<UndoEntry>,
    /// How many of the entries are of this record.
    used: usize,
}

/// The operators' states of one sensor.
#[derive(Debug, Default)]
pub(super) struct UndoEntry {
    /// The indices of partition and entry.
    pub(super) at: (usize, usize),
    /// The numbers of each state.
    pub(super) numbers: Vec<Vec<f64>>,
}

impl UndoLog {
    /// Begins with the next record.
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    /// Whether a reading of this record has changed the states of a sensor already.
    pub(super) fn contains(&self, at: (usize, usize)) -> bool {
        self.entries[..self.used].iter().any(|entry| entry.at == at)
    }

    /// Keeps the states of a sensor.
    pub(super) fn push(&mut self, at: (usize, usize), states: &[Box<dyn KeyState>]) {
        if self.used == self.entries.len() {
            self.entries.push(UndoEntry::default());
        }
        let entry = &mut self.entries[self.used];
        entry.at = at;
        entry.numbers.resize_with(states.len(), Vec::new);
        for (numbers, state) in entry.numbers.iter_mut().zip(states) {
            numbers.clear();
            numbers.extend_from_slice(&state.numbers());
        }
        self.used += 1;
    }

    /// The states of all sensors that this record has changed.
    pub(super) fn drain(&mut self) -> &[UndoEntry] {
        let used = std::mem::take(&mut self.used);
        &self.entries[..used]
    }
}
