//! Counters of a running stage, readable from other threads.

use std::sync::atomic::{AtomicU64, Ordering};

/// A stage's counters since its process started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records read, or readings of a source.
    pub read: Counter,
    /// Records read that do not concern the stage: their format yields no reading.
    pub skipped: Counter,
    /// Records written to output topics, or readings written to a sink.
    pub written: Counter,
    /// Dead letters.
    pub dead: Counter,
    /// Commits that succeeded.
    pub commits: Counter,
    /// Aborts: rollbacks to the last commit.
    pub aborts: Counter,
    /// Sensors whose state was restored.
    pub restored: Counter,
}

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        // Only the stage's thread writes, so no atomic read-modify-write is needed.
        self.0.store(self.get() + n, Ordering::Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
