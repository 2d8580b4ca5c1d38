//! The pace: how many readings a second.

use std::time::{Duration, Instant};

/// How far behind a producer may be before it gives up catching up: after a pause it goes on at its
/// rate instead of sending everything that was missed at once.
const LARGEST_DELAY: Duration = Duration::from_secs(1);

/// Keeps readings to a rate.
#[derive(Debug)]
pub struct Pace {
    rate: Option<f64>,
    start: Instant,
    taken: u64,
}

impl Pace {
    /// So many readings a second from now on; nothing for as fast as they come.
    #[must_use]
    pub fn new(rate: Option<f64>, now: Instant) -> Self {
        Pace {
            rate,
            start: now,
            taken: 0,
        }
    }

    /// A reading was taken.
    pub fn took_one(&mut self) {
        self.taken += 1;
    }

    /// How long to wait for the next reading.
    pub fn wait(&mut self, now: Instant) -> Duration {
        let Some(rate) = self.rate else {
            return Duration::ZERO;
        };
        // A rate near zero makes a wait that no Duration holds: long enough is long enough.
        let due = Duration::try_from_secs_f64(self.taken as f64 / rate)
            .unwrap_or(Duration::from_secs(u32::MAX.into()));
        let gone = now.duration_since(self.start);
        if gone.saturating_sub(due) > LARGEST_DELAY {
            (self.start, self.taken) = (now, 0);
            return Duration::ZERO;
        }
        due.saturating_sub(gone)
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
        pace.took_one();
        assert_eq!(pace.wait(start), 10 * MS);
        assert_eq!(pace.wait(start + 7 * MS), 3 * MS);
        pace.took_one();
        assert_eq!(
            pace.wait(start + 30 * MS),
            Duration::ZERO,
            "a little late is caught up"
        );
    }

    #[test]
    fn a_long_pause_is_not_caught_up() {
        let start = Instant::now();
        let mut pace = Pace::new(Some(100.0), start);
        pace.took_one();
        let later = start + 5000 * MS;
        assert_eq!(pace.wait(later), Duration::ZERO);
        pace.took_one();
        assert_eq!(pace.wait(later), 10 * MS);
    }

    #[test]
    fn no_rate_never_waits() {
        let mut pace = Pace::new(None, Instant::now());
        pace.took_one();
        assert_eq!(pace.wait(Instant::now()), Duration::ZERO);
    }
}
