//! A number that goes up and down: [`Gauge`].

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that goes up and down. It is unset at first.
#[derive(Debug)]
pub struct Gauge(AtomicU64);

/// No size, no time and no count gets there.
const UNSET: u64 = u64::MAX;

impl Default for Gauge {
    fn default() -> Self {
        Gauge(AtomicU64::new(UNSET))
    }
}

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Its value, if it is set.
    #[must_use]
    pub fn get(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|value| *value != UNSET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_unset_at_first() {
        let gauge = Gauge::default();
        assert_eq!(gauge.get(), None);
        gauge.set(0);
        assert_eq!(gauge.get(), Some(0));
    }
}
