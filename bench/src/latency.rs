//! How long readings took: [`Latencies`].

use std::time::Duration;

/// The times of many readings, in order.
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Latencies(times)
    }

    /// The time within which this part of the readings arrived, in milliseconds: the smallest one
    /// that at least so many are not above.
    pub(crate) fn percentile(&self, part: f64) -> f64 {
        let count = self.0.len();
        let rank = (part * count as f64).ceil().max(1.0);
        // The rank is between 1 and a count, so nothing is lost.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let place = (rank as usize).min(count).saturating_sub(1);
        self.0
            .get(place)
            .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }

    /// p50, p99, p99.9 and the longest, in milliseconds.
    pub(crate) fn values(&self) -> Vec<(&'static str, f64)> {
        [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)]
            .map(|(name, part)| (name, self.percentile(part)))
            .to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let times = (1..=100).rev().map(Duration::from_millis).collect();
        let latencies = Latencies::new(times);
        let found: Vec<f64> = latencies.values().iter().map(|(_, value)| *value).collect();
        assert_eq!(found, [50.0, 99.0, 100.0, 100.0]);
        let one = Latencies::new(vec![Duration::from_millis(7)]);
        assert!((one.percentile(0.5) - 7.0).abs() < 1e-9);
        assert!(Latencies::new(Vec::new()).percentile(0.5).is_nan());
    }
}
