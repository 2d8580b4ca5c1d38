//! The rate limit: how many readings a second.

use std::time::{Duration, Instant};

/// The largest delay that a producer catches up on. After a longer pause it continues at its rate
/// and does not send a burst.
const LARGEST_DELAY: Duration = Duration::from_secs(1);

/// Limits readings to a rate.
#[derive(Debug)]
pub struct Pace {
    rate: Option<f64>,
    start: Instant,
    count: u64,
}

impl Pace {
    /// Starts now. `rate` is in readings a second; `None` is no limit.
    #[must_use]
    pub fn new(rate: Option<f64>, now: Instant) -> Self {
        Pace {
            rate,
            start: now,
            count: 0,
        }
    }

    /// Counts a reading.
    pub fn count_one(&mut self) {
        self.count += 1;
    }

    /// How long to wait before the next reading.
    pub fn wait(&mut self, now: Instant) -> Duration {
        let Some(rate) = self.rate else {
            return Duration::ZERO;
        };
        // A rate near zero gives a wait that does not fit into a Duration: 136 years will do.
        let due = Duration::try_from_secs_f64(self.count as f64 / rate)
            .unwrap_or(Duration::from_secs(u32::MAX.into()));
        let elapsed = now.duration_since(self.start);
        if elapsed.saturating_sub(due) > LARGEST_DELAY {
            (self.start, self.count) = (now, 0);
            return Duration::ZERO;
        }
        due.saturating_sub(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn readings_are_due_at_the_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(Some(100.0), start);
        assert_eq!(pace.wait(start), Duration::ZERO);
        pace.count_one();
        assert_eq!(pace.wait(start), 10 * MS);
        assert_eq!(pace.wait(start + 7 * MS), 3 * MS);
        pace.count_one();
        assert_eq!(
            pace.wait(start + 30 * MS),
            Duration::ZERO,
            "a short delay is caught up"
        );
    }

    #[test]
    fn a_long_pause_is_not_caught_up() {
        let start = Instant::now();
        let mut pace = Pace::new(Some(100.0), start);
        pace.count_one();
        let later = start + 5000 * MS;
        assert_eq!(pace.wait(later), Duration::ZERO);
        pace.count_one();
        assert_eq!(pace.wait(later), 10 * MS);
    }

    #[test]
    fn no_rate_never_waits() {
        let mut pace = Pace::new(None, Instant::now());
        pace.count_one();
        assert_eq!(pace.wait(Instant::now()), Duration::ZERO);
    }
}
