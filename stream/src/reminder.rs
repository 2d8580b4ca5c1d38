//! A reminder: says when it is time to tell again of what lasts.

use std::time::{Duration, Instant};

/// How long a trouble has lasted when it is told again. After the last of these it is told once in
/// [`EVERY`].
const AGAIN: [Duration; 4] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
];
const EVERY: Duration = Duration::from_hours(6);
/// How many causes are told apart at a time. Beyond that the oldest is forgotten.
const CAUSES: usize = 8;

/// Says when to tell of troubles that last, each known by its cause: at once, and then at growing
/// intervals. Two causes that take turns are two troubles, and each keeps its own time.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use stream::reminder::Reminder;
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
    troubles: Vec<Trouble<C>>,
}

#[derive(Debug, Clone)]
struct Trouble<C> {
    cause: C,
    since: Instant,
    /// How long it will have lasted when it is told next.
    next: Duration,
}

impl<C> Default for Reminder<C> {
    fn default() -> Self {
        Reminder {
            troubles: Vec::new(),
        }
    }
}

impl<C: PartialEq + Clone> Reminder<C> {
    /// Of no trouble yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that there is trouble for this cause. Gives for how long there has been, if it is time
    /// to tell: nothing but [`Duration::ZERO`] the first time.
    pub fn due(&mut self, cause: &C, now: Instant) -> Option<Duration> {
        let Some(trouble) = self
            .troubles
            .iter_mut()
            .find(|trouble| trouble.cause == *cause)
        else {
            if self.troubles.len() == CAUSES {
                self.troubles.remove(0);
            }
            self.troubles.push(Trouble {
                cause: cause.clone(),
                since: now,
                next: AGAIN[0],
            });
            return Some(Duration::ZERO);
        };
        let lasted = now.saturating_duration_since(trouble.since);
        if lasted < trouble.next {
            return None;
        }
        let next = AGAIN.into_iter().find(|again| *again > lasted);
        trouble.next = next.unwrap_or(lasted + EVERY);
        Some(lasted)
    }

    /// Whether there is trouble.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.troubles.is_empty()
    }

    /// All trouble is over: the next is new. Gives for how long there was any.
    pub fn clear(&mut self) -> Option<Instant> {
        let first = self.troubles.iter().map(|trouble| trouble.since).min();
        self.troubles.clear();
        first
    }
}

/// How long a trouble has lasted, to be put behind what is told: empty the first time, then as
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

    /// Asks each second for some hours; gives the minutes at which it was time to tell.
    fn told(hours: u64) -> Vec<u64> {
        let (mut reminder, start) = (Reminder::new(), Instant::now());
        let due = |second| reminder.due(&"cause", start + Duration::from_secs(second));
        (0..hours * 3600)
            .filter_map(due)
            .map(|lasted| lasted.as_secs() / 60)
            .collect()
    }

    #[test]
    fn what_lasts_is_told_at_growing_intervals() {
        assert_eq!(told(21), [0, 1, 5, 30, 120, 480, 840, 1200]);
    }

    #[test]
    fn who_asks_seldom_is_told_once_for_all_that_was_missed() {
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
    fn causes_that_take_turns_are_told_as_seldom_as_one() {
        let (mut reminder, start) = (Reminder::new(), Instant::now());
        let mut due = |second| reminder.due(&(second % 3), start + Duration::from_secs(second));
        let told = (0..600).filter_map(&mut due).count();
        assert_eq!(told, 9, "each at once, after a minute and after five");
    }

    #[test]
    fn what_is_over_and_comes_back_is_new() {
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
    fn so_many_causes_do_not_fill_the_memory() {
        let (mut reminder, now) = (Reminder::new(), Instant::now());
        for cause in 0..1000 {
            assert_eq!(reminder.due(&cause, now), Some(Duration::ZERO));
        }
        assert_eq!(reminder.troubles.len(), CAUSES);
    }

    #[test]
    fn a_duration_is_told_in_the_largest_unit_that_says_enough() {
        let of = |seconds| lasting(Duration::from_secs(seconds));
        assert_eq!(
            [of(0), of(59), of(60), of(600), of(7200)],
            ["", ", for 59 s", ", for 1 min", ", for 10 min", ", for 2 h"]
        );
    }
}
