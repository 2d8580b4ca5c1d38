//! The memory budget of a process, and how it is divided.

use crate::size::Size;

/// The memory budget of a process, divided among everything that can grow.
///
/// A full producer queue makes the stage wait. A full consumer queue stops the fetches. State
/// cannot wait: when its part is used up, readings of new sensors become dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    memory: Size,
}

impl Limits {
    /// The memory of an idle process, measured, with a reserve.
    const FIXED: u64 = 10_000_000;
    /// The least memory that a process needs.
    pub const LEAST: Size = Size(16_000_000);

    /// Divides this much memory.
    ///
    /// # Errors
    /// If it is less than [`LEAST`](Self::LEAST).
    pub fn new(memory: Size) -> Result<Self, String> {
        if memory < Self::LEAST {
            return Err(format!(
                "{memory} is too little for a process; give it at least {}",
                Self::LEAST
            ));
        }
        Ok(Limits { memory })
    }

    /// The total.
    #[must_use]
    pub fn memory(self) -> Size {
        self.memory
    }

    /// The limits of one of several stages in the process.
    #[must_use]
    pub fn shared_by(self, stages: usize) -> Self {
        let Size(memory) = self.memory;
        Limits {
            memory: Size(memory / stages.max(1) as u64).max(Self::LEAST),
        }
    }

    /// `count` sixteenths of the memory without the fixed part, in bytes.
    fn sixteenths(self, count: u64) -> u64 {
        let Size(memory) = self.memory;
        (memory - Self::FIXED) / 16 * count
    }

    /// The queue of fetched records, in bytes.
    #[must_use]
    pub fn consumer_queue(self) -> u64 {
        self.sixteenths(2).min(1 << 20)
    }

    /// The queue of records to send, in bytes. Produce requests in flight need half as much again.
    #[must_use]
    pub fn producer_queue(self) -> u64 {
        self.sixteenths(2).min(8 << 20)
    }

    /// The largest batch, in bytes. A commit waits for the last batch of its transaction, so larger
    /// ones take longer, and save nothing any more.
    #[must_use]
    pub fn batch(self) -> u64 {
        (self.producer_queue() / 8).clamp(16 << 10, 256 << 10)
    }

    /// How many records the producer queue holds. Each costs librdkafka about 500 bytes in addition
    /// to its own size.
    #[must_use]
    pub fn producer_records(self) -> u64 {
        (self.sixteenths(2) / 500).min(100_000)
    }

    /// The queue of fetched records during a restore, in bytes. The producer queue is empty then.
    #[must_use]
    pub fn reader_queue(self) -> u64 {
        self.sixteenths(2).min(4 << 20)
    }

    /// The state, in bytes. For a source, the readings that it keeps until they are committed.
    #[must_use]
    pub fn state(self) -> u64 {
        self.sixteenths(6)
    }
}

impl Default for Limits {
    /// 128 MB: enough for some hundred thousand sensors, and a small part of any Raspberry Pi.
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
    fn the_parts_fit_into_the_total() {
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
