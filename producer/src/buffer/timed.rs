//! A buffer in memory: readings wait until the clock is set.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rivulet_core::error::Result as OrError;
use rivulet_pipeline::ClockPolicy;
use serde_json::Value;

use super::{decode, encode};
use crate::clock::TrustedClock;
use crate::source::{Next, Source};
use crate::spool::record::{self, SpoolRecord};

/// The size of the buffer in bytes. When it is full, the oldest readings become dead letters.
const MOST: usize = 1_000_000;

/// A live source whose readings are held until the clock is set, and then get the time they were
/// measured at. Nothing is held while the clock is set.
pub struct ClockBuffer {
    source: Box<dyn Source>,
    clock: TrustedClock,
    buffer: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The length of `buffer`, for [`on_exit`](Self::on_exit).
    waiting: Arc<AtomicUsize>,
    /// The epoch offset for all readings in the buffer. Determined once: if the clock is set a
    /// second time, the intervals between the readings stay right.
    epoch_offset: Option<i64>,
    current: Vec<u8>,
    dead_letter: Vec<u8>,
}

impl ClockBuffer {
    /// An empty buffer.
    pub fn new(source: Box<dyn Source>, clock: TrustedClock) -> Self {
        ClockBuffer {
            source,
            clock,
            buffer: VecDeque::new(),
            bytes: 0,
            waiting: Arc::default(),
            epoch_offset: None,
            current: Vec::new(),
            dead_letter: Vec::new(),
        }
    }

    /// Whether the first reading in the buffer can be yielded: it does not need the clock, the
    /// clock
    /// is set, or the buffer is full.
    fn is_first_ready(&mut self) -> bool {
        let Some(first) = self.buffer.front() else {
            return false;
        };
        if !matches!(
            record::decode(first),
            Ok((SpoolRecord::Reading(_, Some(_)), _))
        ) {
            return true;
        }
        if self.clock.policy() == ClockPolicy::DeadLetter {
            return true;
        }
        if self.epoch_offset.is_none() {
            self.epoch_offset = self.clock.epoch_offset();
            if self.epoch_offset.is_some() {
                tracing::info!(
                    readings = self.buffer.len(),
                    "clock is set: waiting readings get their timestamps"
                );
            }
        }
        self.epoch_offset.is_some() || self.bytes > MOST
    }

    /// What to call if the process exits before this is dropped.
    pub fn exit_hook(&self) -> impl FnOnce() + Send + 'static {
        let waiting = Arc::downgrade(&self.waiting);
        move || {
            if let Some(waiting) = waiting.upgrade() {
                warn_of_loss(waiting.load(Ordering::Relaxed));
            }
        }
    }
}

fn warn_of_loss(waiting: usize) {
    if waiting > 0 {
        tracing::warn!(
            "{waiting} readings that waited for the clock are lost\n  help: give the stage a spool"
        );
    }
}

impl Source for ClockBuffer {
    fn next(&mut self, wait: Duration) -> OrError<Next<'_>> {
        if !self.is_first_ready() {
            if self.buffer.is_empty() && self.clock.is_set() {
                return Ok(match self.source.next(wait)? {
                    Next::Measured(mut reading) => {
                        reading.time = self.clock.timestamp().unwrap_or(reading.time);
                        Next::Reading(reading)
                    }
                    other => other,
                });
            }
            let next = self.source.next(wait)?;
            let is_end = matches!(next, Next::End);
            let mut bytes = Vec::new();
            let encoded = encode(&next, &mut self.clock, |record| {
                record::encode(record, &mut bytes);
            });
            if encoded.is_some() {
                self.bytes += bytes.len();
                self.buffer.push_back(bytes);
                self.waiting.store(self.buffer.len(), Ordering::Relaxed);
            }
            if self.buffer.is_empty() && is_end {
                return Ok(Next::End);
            }
            if is_end {
                std::thread::sleep(wait);
            }
            if !self.is_first_ready() {
                return Ok(Next::NotYet);
            }
        }
        self.current = self.buffer.pop_front().unwrap_or_default();
        self.bytes -= self.current.len();
        self.waiting.store(self.buffer.len(), Ordering::Relaxed);
        let epoch_offset = self
            .epoch_offset
            .filter(|_| self.clock.policy() != ClockPolicy::DeadLetter);
        Ok(decode(&self.current, epoch_offset, &mut self.dead_letter))
    }

    fn position(&self) -> Value {
        self.source.position()
    }

    fn resume(&mut self, position: &Value) -> OrError<()> {
        // The stage had a spool before: the source's own position is inside the spool's.
        if position.get("spool").is_some() {
            tracing::warn!("the stage no longer has a spool: readings that are in it are not sent");
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
        warn_of_loss(self.buffer.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::tests::{NOON, TestClock, pass, set};
    use crate::testing::{Line, Observed, Piped, readings, take};

    fn timed(policy: ClockPolicy) -> (Piped, Arc<std::sync::Mutex<TestClock>>, ClockBuffer) {
        let clock = TestClock::unset();
        let pipe = Piped::default();
        let timed = ClockBuffer::new(
            Box::new(pipe.clone()),
            TrustedClock::new(clock.clone(), policy),
        );
        (pipe, clock, timed)
    }

    #[test]
    fn readings_that_waited_get_the_time_they_were_measured_at() {
        let (pipe, clock, mut timed) = timed(ClockPolicy::Repair);
        pipe.put([Line::Measured]);
        assert!(matches!(timed.next(Duration::ZERO).unwrap(), Next::NotYet));
        pass(&clock, 2000);
        // A reading with its own time waits too, to keep the order.
        pipe.put([Line::Measured, Line::Timed(5), Line::Bad]);
        (0..4).for_each(|_| assert!(matches!(timed.next(Duration::ZERO).unwrap(), Next::NotYet)));
        pass(&clock, 10_000);
        set(&clock, NOON);
        pipe.put([Line::Measured]);
        let seen = take(&mut timed, 2);
        // The clock is set a second time while waiting readings are yielded.
        set(&clock, NOON + 3_600_000);
        let seen = [seen, take(&mut timed, 3)].concat();
        let found: Vec<_> = seen
            .iter()
            .map(|seen| match seen {
                Observed::Reading(got) => (got.seq, got.time),
                Observed::Record(_) => panic!("{seen:?}"),
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
    fn no_reading_waits_while_the_clock_is_set() {
        let (pipe, clock, mut timed) = timed(ClockPolicy::Repair);
        set(&clock, NOON);
        pipe.put([Line::Measured, Line::Measured]);
        assert_eq!(readings(&mut timed, 1)[0].time, NOON);
        set(&clock, NOON - 60_000);
        assert_eq!(
            readings(&mut timed, 1)[0].seq,
            1,
            "a step back does not change the order"
        );
    }

    #[test]
    fn the_policy_dead_letter_does_not_wait() {
        let (pipe, clock, mut timed) = timed(ClockPolicy::DeadLetter);
        pipe.put([Line::Measured, Line::Timed(5)]);
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
        set(&clock, NOON);
        pipe.put([Line::Measured]);
        assert_eq!(readings(&mut timed, 1)[0].time, NOON);
    }

    #[test]
    fn the_policy_trust_takes_the_time_of_the_clock() {
        let (pipe, clock, mut timed) = timed(ClockPolicy::Trust);
        pipe.put([Line::Measured]);
        assert_eq!(readings(&mut timed, 1)[0].time, clock.lock().unwrap().wall);
    }

    #[test]
    fn the_oldest_readings_become_dead_letters_when_full() {
        let (pipe, clock, mut timed) = timed(ClockPolicy::Repair);
        let mut dead_letters = 0;
        for _ in 0..40_000 {
            pipe.put([Line::Measured]);
            dead_letters += usize::from(matches!(
                timed.next(Duration::ZERO).unwrap(),
                Next::Bad { .. }
            ));
            assert!(timed.bytes <= MOST + 100);
        }
        assert!(dead_letters > 0);
        set(&clock, NOON);
        pipe.end();
        assert_eq!(readings(&mut timed, 99_999).len() + dead_letters, 40_000);
    }

    #[test]
    fn the_end_waits_for_the_clock() {
        let (pipe, clock, mut timed) = timed(ClockPolicy::Repair);
        pipe.put([Line::Measured]);
        pipe.end();
        (0..3).for_each(|_| assert!(matches!(timed.next(Duration::ZERO).unwrap(), Next::NotYet)));
        set(&clock, NOON);
        assert_eq!(readings(&mut timed, 9).len(), 1);
        assert!(matches!(timed.next(Duration::ZERO).unwrap(), Next::End));
    }

    #[test]
    fn it_resumes_after_the_position_of_a_removed_spool() {
        let (pipe, clock, mut timed) = timed(ClockPolicy::Repair);
        timed
            .resume(&serde_json::json!({ "spool": "x", "next": 8, "source": 70 }))
            .unwrap();
        set(&clock, NOON);
        pipe.put([Line::Measured]);
        assert_eq!(readings(&mut timed, 1)[0].seq, 70);
        assert_eq!(timed.position(), 71);
    }
}
