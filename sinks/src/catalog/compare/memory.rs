//! The memory of a comparison.

use rivulet_core::limits::Limits;

/// The memory of all sensors, in bytes.
#[derive(Debug)]
pub struct Memory {
    /// What the sensors may have, and what their waiting readings may have: half of the limit each.
    most: usize,
    sensors: usize,
    /// What the waiting readings have.
    pub waiting: usize,
}

impl Memory {
    /// The memory that these limits give, of which nothing is used.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Memory {
            most: usize::try_from(limits.state() / 2).unwrap_or(usize::MAX),
            sensors: 0,
            waiting: 0,
        }
    }

    /// Takes the memory for a sensor. Returns whether there is any left.
    pub fn take(&mut self, size: usize) -> bool {
        let is_enough = self.sensors + size <= self.most;
        if is_enough {
            self.sensors += size;
        }
        is_enough
    }

    /// Whether another reading may wait.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.waiting < self.most
    }
}
