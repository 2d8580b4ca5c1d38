//! How long things take: [`Histogram`].

use std::sync::atomic::{AtomicU64, Ordering};

use super::Counter;

/// The upper bounds of the buckets, in seconds. A reading can be under way for an hour, if the
/// network was.
const BOUNDS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 900.0, 3600.0,
];

/// A histogram of times in seconds. Only the stage's thread observes.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each bound, and one for what is longer.
    buckets: [Counter; BOUNDS.len() + 1],
    /// In seconds, the bits of a number.
    sum: AtomicU64,
}

/// What a histogram has observed so far.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSnapshot {
    /// The sum of all times, in seconds.
    pub sum: f64,
    /// How many there are.
    pub count: u64,
    /// The upper bound of each bucket in seconds, the last infinite, and how many are in it and in
    /// no bucket before.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Observes a time in seconds, `times` times. A time below zero, which two clocks can show,
    /// counts as zero.
    pub fn observe(&self, seconds: f64, times: u64) {
        let seconds = seconds.max(0.0);
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].add(times);
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed)) + seconds * times as f64;
        self.sum.store(sum.to_bits(), Ordering::Relaxed);
    }

    /// What it has observed so far.
    #[must_use]
    pub fn snapshot(&self) -> HistogramSnapshot {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.buckets.iter().map(Counter::get)).collect();
        HistogramSnapshot {
            sum: f64::from_bits(self.sum.load(Ordering::Relaxed)),
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_that_holds_it() {
        let histogram = Histogram::default();
        histogram.observe(0.001, 1);
        histogram.observe(0.0011, 2);
        histogram.observe(7200.0, 3);
        histogram.observe(-1.0, 4);
        let HistogramSnapshot {
            sum,
            count,
            buckets,
        } = histogram.snapshot();
        assert_eq!((buckets[0], buckets[1]), ((0.001, 5), (0.0025, 2)));
        assert_eq!(buckets[BOUNDS.len()], (f64::INFINITY, 3));
        assert_eq!(count, 10);
        assert!((sum - (0.001 + 0.0022 + 21600.0)).abs() < 1e-9, "{sum}");
    }

    proptest! {
        #[test]
        fn buckets_count_what_is_below_their_bound(
            times in prop::collection::vec(0.0..5000.0f64, 0..50),
        ) {
            let histogram = Histogram::default();
            for time in &times {
                histogram.observe(*time, 1);
            }
            let mut below = 0;
            for (bound, count) in histogram.snapshot().buckets {
                below += count;
                let naive = times.iter().filter(|time| **time <= bound).count();
                prop_assert_eq!(below, naive as u64);
            }
        }
    }
}
