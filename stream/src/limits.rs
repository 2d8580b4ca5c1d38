//! How much memory a process may take, and what of it goes where.

use crate::size::Size;

/// A process's memory, shared out among everything in it that can grow.
///
/// Each part is bounded by waiting: a full queue to send makes the stage wait, a full queue of
/// records that were read makes the brokers wait. Only state cannot wait: the readings of sensors
/// that it has no room for become dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    memory: Size,
}

impl Limits {
    /// What a process takes that does nothing, with some room: measured.
    const FIXED: u64 = 10_000_000;
    /// The least that a process can work with.
    pub const LEAST: Size = Size(16_000_000);

    /// Shares out this much memory.
    ///
    /// # Errors
    /// If no process can work with so little.
    pub fn new(memory: Size) -> Result<Self, String> {
        if memory < Self::LEAST {
            return Err(format!(
                "{memory} is too little for a process; give it at least {}",
                Self::LEAST
            ));
        }
        Ok(Limits { memory })
    }

    /// The whole.
    #[must_use]
    pub fn memory(self) -> Size {
        self.memory
    }

    /// The limits of each of several stages in one process.
    #[must_use]
    pub fn shared_by(self, stages: usize) -> Self {
        let Size(memory) = self.memory;
        Limits {
            memory: Size(memory / stages.max(1) as u64).max(Self::LEAST),
        }
    }

    /// So many sixteenths of what is left beside the fixed part, in bytes.
    fn share(self, count: u64) -> u64 {
        let Size(memory) = self.memory;
        (memory - Self::FIXED) / 16 * count
    }

    /// Records that were read and wait for the stage, in bytes.
    #[must_use]
    pub fn consumer_queue(self) -> u64 {
        self.share(2).min(1 << 20)
    }

    /// Records that wait to be sent, in bytes. Half of it again is for the requests that carry
    /// them.
    #[must_use]
    pub fn producer_queue(self) -> u64 {
        self.share(2).min(8 << 20)
    }

    /// What one request to send holds at the most, in bytes.
    #[must_use]
    pub fn batch(self) -> u64 {
        (self.producer_queue() / 8).clamp(16 << 10, 1_000_000)
    }

    /// How many records wait to be sent: each costs librdkafka some 500 bytes beside its own.
    #[must_use]
    pub fn producer_records(self) -> u64 {
        (self.share(2) / 500).min(100_000)
    }

    /// What a restore reads ahead, in bytes; nothing waits to be sent meanwhile.
    #[must_use]
    pub fn reader_queue(self) -> u64 {
        self.share(2).min(4 << 20)
    }

    /// State, in bytes; or what a producer keeps until it is committed.
    #[must_use]
    pub fn state(self) -> u64 {
        self.share(6)
    }
}

impl Default for Limits {
    /// 128 MB: no limit for a pipeline of some hundred thousand sensors, and a small part of any
    /// Pi.
    fn default() -> Self {
        Limits {
            memory: Size(128_000_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_fit_into_the_whole() {
        for memory in [16_000_000, 24_000_000, 64_000_000, 1_000_000_000] {
            let limits = Limits::new(Size(memory)).unwrap();
            let sending = limits.producer_queue() * 3 / 2 + limits.producer_records() * 500;
            let parts =
                limits.consumer_queue() + sending.max(limits.reader_queue()) + limits.state();
            assert!(Limits::FIXED + parts <= memory, "{memory}: {parts}");
        }
    }

    #[test]
    fn stages_in_one_process_share_its_memory() {
        assert_eq!(Limits::default().shared_by(4).memory(), Size(32_000_000));
        assert_eq!(Limits::default().shared_by(100).memory(), Limits::LEAST);
        assert!(
            Limits::new(Size(1_000_000))
                .unwrap_err()
                .contains("at least 16 MB")
        );
    }
}
