//! Readings that wait in memory until the clock is set.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use stream::error::Result as OrError;
use stream::pipeline::ClockPolicy;

use super::{keep, release};
use crate::clock::TrustedClock;
use crate::source::{Next, Source};
use crate::spool::record::{self, SpoolRecord};

/// How much is held, in bytes; beyond it the oldest become dead letters.
const MOST: usize = 1_000_000;

/// A source that cannot go back, whose readings get the time they were measured at. With its clock
/// set nothing is held.
pub struct ClockBuffer {
    source: Box<dyn Source>,
    sense: TrustedClock,
    held: VecDeque<Vec<u8>>,
    bytes: usize,
    /// How many are held, for whoever ends the process.
    waiting: Arc<AtomicUsize>,
    /// What gives the held ones their time: asked for once, so that a clock that is set a second
    /// time does not tear them apart.
    offset: Option<i64>,
    current: Vec<u8>,
    letter: Vec<u8>,
}

impl ClockBuffer {
    /// Nothing is held yet.
    pub fn new(source: Box<dyn Source>, sense: TrustedClock) -> Self {
        let (current, letter) = (Vec::new(), Vec::new());
        let (held, waiting) = (VecDeque::new(), Arc::default());
        ClockBuffer {
            source,
            sense,
            held,
            bytes: 0,
            waiting,
            offset: None,
            current,
            letter,
        }
    }

    /// Whether the first of the held ones can go; sees to it that not too many stay.
    fn first_can_go(&mut self) -> bool {
        let Some(first) = self.held.front() else {
            return false;
        };
        if !matches!(
            record::decode(first),
            Ok((SpoolRecord::Reading(_, Some(_)), _))
        ) {
            return true;
        }
        if self.sense.policy() == ClockPolicy::DeadLetter {
            return true;
        }
        if self.offset.is_none() {
            self.offset = self.sense.epoch_offset();
            if self.offset.is_some() {
                tracing::info!(
                    "the clock is set: {} readings get their time",
                    self.held.len()
                );
            }
        }
        self.offset.is_some() || self.bytes > MOST
    }

    /// What is to be done if the process leaves before this is dropped.
    pub fn exit_hook(&self) -> impl FnOnce() + Send + 'static {
        let waiting = Arc::downgrade(&self.waiting);
        move || {
            _ = waiting
                .upgrade()
                .map(|waiting| tell_of_loss(waiting.load(Ordering::Relaxed)))
        }
    }
}

fn tell_of_loss(waiting: usize) {
    if waiting > 0 {
        tracing::warn!("{waiting} readings waited for the clock and are lost: a spool keeps them");
    }
}

impl Source for ClockBuffer {
    fn next(&mut self, wait: Duration) -> OrError<Next<'_>> {
        if !self.first_can_go() {
            if self.held.is_empty() && self.sense.is_set() {
                return Ok(match self.source.next(wait)? {
                    Next::Measured(mut reading) => {
                        reading.time = self.sense.stamp().unwrap_or(reading.time);
                        Next::Reading(reading)
                    }
                    other => other,
                });
            }
            let next = self.source.next(wait)?;
            let ended = matches!(next, Next::End);
            let mut kept = Vec::new();
            if keep(&next, &mut self.sense, |record| {
                record::encode(record, &mut kept)
            })
            .is_some()
            {
                self.bytes += kept.len();
                self.held.push_back(kept);
                self.waiting.store(self.held.len(), Ordering::Relaxed);
            }
            if self.held.is_empty() && ended {
                return Ok(Next::End);
            }
            if ended {
                std::thread::sleep(wait);
            }
            if !self.first_can_go() {
                return Ok(Next::NotYet);
            }
        }
        self.current = self.held.pop_front().unwrap_or_default();
        self.bytes -= self.current.len();
        self.waiting.store(self.held.len(), Ordering::Relaxed);
        let offset = self
            .offset
            .filter(|_| self.sense.policy() != ClockPolicy::DeadLetter);
        Ok(release(&self.current, offset, &mut self.letter))
    }

    fn position(&self) -> Value {
        self.source.position()
    }

    fn resume(&mut self, position: &Value) -> OrError<()> {
        // Behind a spool that the stage has no more, the source's own position stands in it.
        if position.get("spool").is_some() {
            tracing::warn!(
                "the stage had a spool and has none any more: what is in that is not sent"
            );
            return self.source.resume(&position["source"]);
        }
        self.source.resume(position)
    }

    fn rate(&self) -> Option<f64> {
        self.source.rate()
    }
}

impl Drop for ClockBuffer {
    fn drop(&mut self) {
        tell_of_loss(self.held.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::tests::{Hands, NOON, pass, set};
    use crate::testing::{Line, Observed, Piped, readings, take};

    fn timed(policy: ClockPolicy) -> (Piped, Arc<std::sync::Mutex<Hands>>, ClockBuffer) {
        let hands = Hands::unset();
        let pipe = Piped::default();
        let timed = ClockBuffer::new(
            Box::new(pipe.clone()),
            TrustedClock::new(hands.clone(), policy),
        );
        (pipe, hands, timed)
    }

    #[test]
    fn readings_wait_for_the_clock_and_get_the_time_they_were_measured_at() {
        let (pipe, hands, mut timed) = timed(ClockPolicy::Repair);
        pipe.put([Line::Measured]);
        assert!(matches!(timed.next(Duration::ZERO).unwrap(), Next::NotYet));
        pass(&hands, 2000);
        // What knows its own time waits too, for its turn.
        pipe.put([Line::Measured, Line::ClockBuffer(5), Line::Bad]);
        (0..4).for_each(|_| assert!(matches!(timed.next(Duration::ZERO).unwrap(), Next::NotYet)));
        pass(&hands, 10_000);
        set(&hands, NOON);
        pipe.put([Line::Measured]);
        let seen = take(&mut timed, 2);
        // The clock is set a second time while they leave.
        set(&hands, NOON + 3_600_000);
        let seen = [seen, take(&mut timed, 3)].concat();
        let found: Vec<_> = seen
            .iter()
            .map(|seen| match seen {
                Observed::Reading(got) => (got.seq, got.time),
                Observed::Bad { reason, .. } => (99, i64::from(*reason == "bad")),
            })
            .collect();
        assert_eq!(
            found,
            [
                (0, NOON - 12_000),
                (1, NOON - 10_000),
                (2, 5),
                (99, 1),
                (4, NOON + 3_600_000)
            ]
        );
    }

    #[test]
    fn with_a_clock_that_is_set_nothing_waits() {
        let (pipe, hands, mut timed) = timed(ClockPolicy::Repair);
        set(&hands, NOON);
        pipe.put([Line::Measured, Line::Measured]);
        assert_eq!(readings(&mut timed, 1)[0].time, NOON);
        set(&hands, NOON - 60_000);
        assert_eq!(
            readings(&mut timed, 1)[0].seq,
            1,
            "a step back changes no order"
        );
    }

    #[test]
    fn they_become_dead_letters_by_choice() {
        let (pipe, hands, mut timed) = timed(ClockPolicy::DeadLetter);
        pipe.put([Line::Measured, Line::ClockBuffer(5)]);
        let seen = take(&mut timed, 2);
        let Observed::Bad {
            bytes,
            place,
            reason: "clock-not-set",
        } = &seen[0]
        else {
            panic!("{seen:?}")
        };
        assert!(str::from_utf8(bytes).unwrap().contains("\"seq\":0"));
        assert_eq!(place, "sensor pipe reading 0");
        assert!(matches!(&seen[1], Observed::Reading(got) if got.time == 5));
        set(&hands, NOON);
        pipe.put([Line::Measured]);
        assert_eq!(readings(&mut timed, 1)[0].time, NOON);
    }

    #[test]
    fn trusted_is_what_the_clock_says() {
        let (pipe, hands, mut timed) = timed(ClockPolicy::Trust);
        pipe.put([Line::Measured]);
        assert_eq!(readings(&mut timed, 1)[0].time, hands.lock().unwrap().wall);
    }

    #[test]
    fn when_too_many_wait_the_oldest_become_dead_letters() {
        let (pipe, hands, mut timed) = timed(ClockPolicy::Repair);
        let mut letters = 0;
        for _ in 0..40_000 {
            pipe.put([Line::Measured]);
            letters += usize::from(matches!(
                timed.next(Duration::ZERO).unwrap(),
                Next::Bad { .. }
            ));
            assert!(timed.bytes <= MOST + 100);
        }
        assert!(letters > 0);
        set(&hands, NOON);
        pipe.end();
        assert_eq!(readings(&mut timed, 99_999).len() + letters, 40_000);
    }

    #[test]
    fn the_end_waits_for_the_clock() {
        let (pipe, hands, mut timed) = timed(ClockPolicy::Repair);
        pipe.put([Line::Measured]);
        pipe.end();
        (0..3).for_each(|_| assert!(matches!(timed.next(Duration::ZERO).unwrap(), Next::NotYet)));
        set(&hands, NOON);
        assert_eq!(readings(&mut timed, 9).len(), 1);
        assert!(matches!(timed.next(Duration::ZERO).unwrap(), Next::End));
    }

    #[test]
    fn it_goes_on_behind_the_position_of_a_spool_that_is_gone() {
        let (pipe, hands, mut timed) = timed(ClockPolicy::Repair);
        timed
            .resume(&serde_json::json!({ "spool": "x", "next": 8, "source": 70 }))
            .unwrap();
        set(&hands, NOON);
        pipe.put([Line::Measured]);
        assert_eq!(readings(&mut timed, 1)[0].seq, 70);
        assert_eq!(timed.position(), 71);
    }
}
