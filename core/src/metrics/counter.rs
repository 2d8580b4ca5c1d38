//! Counts that only grow: [`Counter`], [`LabelledCounter`].

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::lock;

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

/// Counts by one label, for what is rare. The labels are words of the program, so there are few.
#[derive(Debug, Default)]
pub struct LabelledCounter(Mutex<BTreeMap<&'static str, u64>>);

impl LabelledCounter {
    /// Adds `n` to the count of a label.
    pub fn add(&self, label: &'static str, n: u64) {
        *lock(&self.0).entry(label).or_default() += n;
    }

    /// The sum of all counts.
    #[must_use]
    pub fn get(&self) -> u64 {
        lock(&self.0).values().sum()
    }

    /// The counts by label.
    #[must_use]
    pub fn by_label(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.0).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_has_its_count() {
        let counter = LabelledCounter::default();
        counter.add("not-json", 2);
        counter.add("gap", 1);
        counter.add("not-json", 3);
        assert_eq!(counter.get(), 6);
        assert_eq!(
            counter.by_label(),
            BTreeMap::from([("gap", 1), ("not-json", 5)])
        );
    }
}
