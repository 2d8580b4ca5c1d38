//! What a stage counts while it runs, readable from other threads.

use std::sync::atomic::{AtomicU64, Ordering};

/// One stage's figures since its process started.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records read, or readings taken from a source.
    pub read: Counter,
    /// Records written to output topics, or readings handed to a sink.
    pub written: Counter,
    /// Records sent to the dead letters.
    pub dead: Counter,
    /// Commits that succeeded.
    pub commits: Counter,
    /// Times that uncommitted work was undone and done again.
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
        // Only the stage's own thread writes: no read-modify-write is needed, only visibility.
        self.0.store(self.get() + n, Ordering::Relaxed);
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
