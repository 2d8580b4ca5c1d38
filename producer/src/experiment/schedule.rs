//! When everything is due: [`Schedule`].

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::setting;

/// A place in the order of all events of all experiments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SchedulePlace {
    /// Milliseconds after the launch, pauses left out.
    pub offset: u64,
    /// The number of the experiment. Of events with the same offset the first experiment's is
    /// first.
    pub experiment: usize,
}

/// When everything is due.
///
/// A time is that of the schedule, not that at which a message is sent. So it does not depend on
/// how fast the brokers are, and after a restart the times of earlier events are still known. A
/// process that was not there could not measure: the schedule pauses until the next one starts.
#[derive(Debug)]
pub struct Schedule {
    /// When the experiments were launched, in microseconds since the epoch.
    launch: i64,
    pauses: Vec<Pause>,
    /// A time of the monotonic clock and the same one in microseconds since the epoch. A clock that
    /// is set later moves nothing.
    start: (Instant, i64),
}

/// A time in which no process was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// The first event after it.
    before: SchedulePlace,
    /// How long it took, in microseconds.
    length: i64,
}

impl Schedule {
    /// Launches now.
    #[must_use]
    pub fn launch() -> Self {
        let now = setting::now_us();
        Schedule {
            launch: now,
            pauses: Vec::new(),
            start: (Instant::now(), now),
        }
    }

    /// Continues a schedule that was launched by an earlier process. `next` is the first event that
    /// has not begun.
    #[must_use]
    pub fn resume(launch: i64, pauses: Vec<Pause>, next: Option<SchedulePlace>) -> Self {
        let now = setting::now_us();
        let mut schedule = Schedule {
            launch,
            pauses,
            start: (Instant::now(), now),
        };
        if let Some(before) = next {
            let length = now - schedule.time(before);
            if length > 0 {
                schedule.pauses.push(Pause { before, length });
            }
        }
        schedule
    }

    /// When the experiments were launched, in microseconds since the epoch.
    #[must_use]
    pub fn launched(&self) -> i64 {
        self.launch
    }

    /// The pauses so far.
    #[must_use]
    pub fn pauses(&self) -> &[Pause] {
        &self.pauses
    }

    /// When an event is due, in microseconds since the epoch.
    #[must_use]
    pub fn time(&self, place: SchedulePlace) -> i64 {
        let offset = i64::try_from(place.offset.saturating_mul(1000)).unwrap_or(i64::MAX);
        let pauses = self.pauses.iter().filter(|pause| pause.before <= place);
        let paused = pauses
            .map(|pause| pause.length)
            .fold(0, i64::saturating_add);
        self.launch.saturating_add(offset).saturating_add(paused)
    }

    /// When an event is due, in seconds since the epoch.
    #[must_use]
    pub fn seconds(&self, place: SchedulePlace) -> f64 {
        self.time(place) as f64 / 1e6
    }

    /// How long it takes until an event is due, or else how late it is.
    pub fn wait(&self, place: SchedulePlace) -> Result<Duration, Duration> {
        let (instant, time) = self.start;
        let elapsed = i64::try_from(instant.elapsed().as_micros()).unwrap_or(i64::MAX);
        let left = self
            .time(place)
            .saturating_sub(time)
            .saturating_sub(elapsed);
        let span = Duration::from_micros(left.unsigned_abs());
        if left > 0 { Ok(span) } else { Err(span) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u64, experiment: usize) -> SchedulePlace {
        SchedulePlace { offset, experiment }
    }

    #[test]
    fn a_pause_moves_what_comes_after_it_and_nothing_else() {
        let hour = 3_600_000_000;
        let launch = setting::now_us() - hour;
        let schedule = Schedule::resume(launch, Vec::new(), Some(place(1000, 1)));
        assert_eq!(schedule.time(place(1000, 0)), launch + 1_000_000);
        let moved = schedule.time(place(1000, 1)) - launch;
        assert!((hour..hour + 60_000_000).contains(&moved), "{moved}");
        assert_eq!(
            schedule.time(place(2500, 0)) - schedule.time(place(1000, 1)),
            1_500_000
        );
        let later = Schedule::resume(
            launch,
            schedule.pauses().to_vec(),
            Some(place(9_000_000, 0)),
        );
        assert_eq!(later.pauses(), schedule.pauses(), "it is not due yet");
    }

    #[test]
    fn an_event_is_early_or_late() {
        let schedule = Schedule::launch();
        assert!(
            schedule
                .wait(place(60_000, 0))
                .is_ok_and(|wait| wait > Duration::from_secs(50))
        );
        assert!(
            schedule
                .wait(place(0, 0))
                .is_err_and(|late| late < Duration::from_secs(50))
        );
    }
}
