//! How late the events of experiments were: [`Lateness`].

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// From here on a source says that it is late, and again each time it is twice as late.
const LATE: Duration = Duration::from_secs(1);
/// From here on it is in time again.
const IN_TIME: Duration = Duration::from_millis(100);

/// The longest span that is told apart.
const LONGEST: Duration = Duration::from_hours(24);

/// How late events were, and what to say of that.
#[derive(Debug)]
pub struct Lateness {
    /// In microseconds, with three digits.
    spans: Histogram<u64>,
    /// How late an event must be for the next warning.
    next: Duration,
}

/// What a source says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// It is late.
    Late,
    /// It was late, and is in time again.
    CaughtUp,
}

impl Default for Lateness {
    fn default() -> Self {
        let spans = Histogram::new(3).unwrap_or_else(|error| unreachable!("{error}"));
        Lateness { spans, next: LATE }
    }
}

impl Lateness {
    /// An event is this late.
    pub fn count(&mut self, late: Duration) -> Option<Notice> {
        let micros = u64::try_from(late.min(LONGEST).as_micros()).unwrap_or(u64::MAX);
        // Without room for it, which is some kilobytes, the span is left out.
        let _ = self.spans.record(micros);
        if late >= self.next {
            self.next = late * 2;
            return Some(Notice::Late);
        }
        let was_late = self.next > LATE;
        if was_late && late < IN_TIME {
            self.next = LATE;
            return Some(Notice::CaughtUp);
        }
        None
    }

    /// How late the events were that were later than this share of all.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        Duration::from_micros(self.spans.value_at_quantile(share))
    }

    /// How late the latest event was.
    #[must_use]
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.spans.max())
    }
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (middle, most) = (self.quantile(0.5), self.quantile(0.99));
        let longest = self.longest();
        write!(f, "p50 {middle:.1?}, p99 {most:.1?}, max {longest:.1?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_warns_at_a_second_and_each_time_that_doubles() {
        let mut lateness = Lateness::default();
        let told: Vec<_> = [10, 1000, 1500, 1999, 2100, 3000, 150, 90, 90, 1200]
            .map(|milliseconds| lateness.count(Duration::from_millis(milliseconds)))
            .to_vec();
        let (late, caught_up) = (Some(Notice::Late), Some(Notice::CaughtUp));
        assert_eq!(
            told,
            [
                None, late, None, None, late, None, None, caught_up, None, late
            ]
        );
        assert_eq!(lateness.longest().as_secs(), 3);
    }

    #[test]
    fn half_of_all_events_are_no_later_than_the_median() {
        let mut lateness = Lateness::default();
        for milliseconds in 1..=100 {
            lateness.count(Duration::from_millis(milliseconds));
        }
        assert_eq!(lateness.quantile(0.5).as_millis(), 50);
        assert_eq!(lateness.to_string(), "p50 50.0ms, p99 99.0ms, max 100.0ms");
    }
}
