//! How much memory the state may take.

use std::fmt;

use crate::size::Size;

/// How large the state may be, in bytes.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    /// The cost of a sensor without its name.
    pub(super) per_sensor: u64,
    pub(super) left: u64,
    pub(super) total: u64,
}

/// What a [`KeyState`](crate::key_state::KeyState) takes beside its numbers, in bytes: the pointer
/// to it, a vector, and what the allocator adds.
pub(super) const STATE: usize = 56;

/// What the allocator and the hash table add to an entry, in bytes.
pub(super) const OVERHEAD: usize = 128;

/// The state has used up its memory budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetExceeded {
    pub(super) bytes: u64,
}

impl BudgetExceeded {
    /// What to do about it.
    pub const HELP: &'static str = "give the stage more memory ([limits] memory, or --memory-max), \
                                    or run more instances of it";
}

impl fmt::Display for BudgetExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the state has reached its memory budget of {}",
            Size(self.bytes)
        )
    }
}

impl std::error::Error for BudgetExceeded {}

impl MemoryBudget {
    pub(super) fn cost(&self, sensor: &str) -> u64 {
        // The name is stored twice: in the entry and as the key to find it.
        self.per_sensor + 2 * sensor.len() as u64
    }
}
