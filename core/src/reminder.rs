//! Decides when to log a lasting problem again: [`Reminder`].

use std::time::{Duration, Instant};

/// How long a problem has lasted when it is logged again. After the last of these it is logged once
/// in [`EVERY`].
const AGAIN: [Duration; 4] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
];
const EVERY: Duration = Duration::from_hours(6);
/// How many causes are tracked. One more replaces the oldest.
const CAUSES: usize = 8;

/// Decides when to log problems that last: at once, and then at growing intervals.
///
/// A problem is identified by its cause. Two causes that alternate are two problems with intervals
/// of their own.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use rivulet_core::reminder::Reminder;
///
/// let (mut reminder, start) = (Reminder::new(), Instant::now());
/// assert_eq!(reminder.due(&"no broker answers", start), Some(Duration::ZERO));
/// assert_eq!(reminder.due(&"no broker answers", start + Duration::from_secs(30)), None);
/// let later = start + Duration::from_secs(61);
/// assert_eq!(reminder.due(&"no broker answers", later), Some(Duration::from_secs(61)));
/// reminder.clear();
/// assert_eq!(reminder.due(&"no broker answers", later), Some(Duration::ZERO));
/// ```
#[derive(Debug, Clone)]
pub struct Reminder<C> {
    problems: Vec<Problem<C>>,
}

#[derive(Debug, Clone)]
struct Problem<C> {
    cause: C,
    since: Instant,
    /// How long it will have lasted when it is logged next.
    next: Duration,
}

impl<C> Default for Reminder<C> {
    fn default() -> Self {
        Reminder {
            problems: Vec::new(),
        }
    }
}

impl<C: PartialEq + Clone> Reminder<C> {
    /// Without problems.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reports a problem. Returns how long it has lasted if it is time to log it:
    /// [`Duration::ZERO`] the first time.
    pub fn due(&mut self, cause: &C, now: Instant) -> Option<Duration> {
        let Some(problem) = self
            .problems
            .iter_mut()
            .find(|problem| problem.cause == *cause)
        else {
            if self.problems.len() == CAUSES {
                self.problems.remove(0);
            }
            self.problems.push(Problem {
                cause: cause.clone(),
                since: now,
                next: AGAIN[0],
            });
            return Some(Duration::ZERO);
        };
        let lasted = now.saturating_duration_since(problem.since);
        if lasted < problem.next {
            return None;
        }
        let next = AGAIN.into_iter().find(|again| *again > lasted);
        problem.next = next.unwrap_or(lasted + EVERY);
        Some(lasted)
    }

    /// Whether there is no problem.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.problems.is_empty()
    }

    /// All problems are solved. Returns when the first began.
    pub fn clear(&mut self) -> Option<Instant> {
        let first = self.problems.iter().map(|problem| problem.since).min();
        self.problems.clear();
        first
    }
}

/// How long a problem has lasted, to append to a log line: empty the first time, then as
/// ", for 10 min".
#[must_use]
pub fn lasting(time: Duration) -> String {
    match time.as_secs() {
        0 => String::new(),
        seconds @ 1..60 => format!(", for {seconds} s"),
        seconds @ 60..7200 => format!(", for {} min", seconds / 60),
        seconds => format!(", for {} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports a problem each second for some hours. Returns the minutes at which it was logged.
    fn logged_minutes(hours: u64) -> Vec<u64> {
        let (mut reminder, start) = (Reminder::new(), Instant::now());
        let due = |second| reminder.due(&"cause", start + Duration::from_secs(second));
        (0..hours * 3600)
            .filter_map(due)
            .map(|lasted| lasted.as_secs() / 60)
            .collect()
    }

    #[test]
    fn a_lasting_problem_is_logged_at_growing_intervals() {
        assert_eq!(logged_minutes(21), [0, 1, 5, 30, 120, 480, 840, 1200]);
    }

    #[test]
    fn missed_intervals_are_logged_once() {
        let (mut reminder, start) = (Reminder::new(), Instant::now());
        assert_eq!(reminder.due(&1, start), Some(Duration::ZERO));
        let late = Duration::from_mins(40);
        assert_eq!(reminder.due(&1, start + late), Some(late));
        assert_eq!(reminder.due(&1, start + late), None);
        assert_eq!(
            reminder.due(&1, start + Duration::from_mins(121)),
            Some(Duration::from_mins(121))
        );
    }

    #[test]
    fn each_of_several_causes_has_its_own_intervals() {
        let (mut reminder, start) = (Reminder::new(), Instant::now());
        let mut due = |second| reminder.due(&(second % 3), start + Duration::from_secs(second));
        let logged = (0..600).filter_map(&mut due).count();
        assert_eq!(logged, 9, "each at once, after a minute and after five");
    }

    #[test]
    fn a_solved_problem_that_comes_back_is_new() {
        let (mut reminder, start) = (Reminder::new(), Instant::now());
        assert_eq!(reminder.clear(), None);
        reminder.due(&1, start);
        reminder.due(&2, start + Duration::from_secs(1));
        assert_eq!(reminder.clear(), Some(start));
        assert!(reminder.is_clear());
        assert_eq!(
            reminder.due(&1, start + Duration::from_secs(2)),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn many_causes_do_not_fill_the_memory() {
        let (mut reminder, now) = (Reminder::new(), Instant::now());
        for cause in 0..1000 {
            assert_eq!(reminder.due(&cause, now), Some(Duration::ZERO));
        }
        assert_eq!(reminder.problems.len(), CAUSES);
    }

    #[test]
    fn a_duration_has_a_unit_that_fits() {
        let seconds = [0, 59, 60, 600, 7200];
        assert_eq!(
            seconds.map(|seconds| lasting(Duration::from_secs(seconds))),
            ["", ", for 59 s", ", for 1 min", ", for 10 min", ", for 2 h"]
        );
    }
}
