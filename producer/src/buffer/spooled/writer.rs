//! The thread that reads the source and writes the spool.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::error::Result as OrError;
use rivulet_core::metrics::Metrics;

use super::shared::{Shared, State};
use crate::buffer::encode;
use crate::clock::TrustedClock;
use crate::source::{Next, Source};
use crate::spool::Spool;
use crate::spool::record::SpoolRecord;

/// The longest wait for a reading, so that a stop is noticed soon.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// The thread that reads the source and writes the spool.
pub(super) struct SpoolWriter {
    pub(super) source: Box<dyn Source>,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: TrustedClock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) sync: Duration,
    /// The time of the last sync.
    pub(super) synced: Option<Instant>,
    /// Since when records wait for a sync.
    pub(super) dirty: Option<Instant>,
    /// Whether readings wait for the clock.
    pub(super) awaits_clock: bool,
}

impl SpoolWriter {
    pub(super) fn run(mut self) {
        let outcome = loop {
            match self.step() {
                Ok(true) if self.shared.stop.load(Ordering::Relaxed) => break Ok(()),
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let position = self.source.position().to_string();
        let mut queue = self.shared.lock();
        let written = queue.spool.sync(Some(position));
        queue.state = match outcome.and(written) {
            Ok(()) => State::Ended,
            Err(error) => State::Failed(error),
        };
        self.shared.changed.notify_all();
    }

    /// Reads the source once. Returns `false` at its end.
    fn step(&mut self) -> OrError<bool> {
        let wait = match self.dirty {
            Some(_) => self
                .sync
                .saturating_sub(self.synced.map_or(self.sync, |synced| synced.elapsed())),
            None => LONGEST_WAIT,
        };
        let next = self.source.next(wait.min(LONGEST_WAIT))?;
        let is_end = matches!(next, Next::End);
        let is_idle = matches!(next, Next::NotYet | Next::End);
        let mut queue = self.shared.lock();
        if let Some(pushed) = encode(&next, &mut self.clock, |record| {
            self.awaits_clock |= matches!(record, SpoolRecord::Reading(_, Some(_)));
            // After an error the spool does not have the record. A disk that fails once must not
            // cost a reading.
            queue
                .spool
                .push(record)
                .or_else(|_| queue.spool.push(record))
        }) {
            pushed?;
        }
        let boot = self.clock.boot();
        if queue.spool.epoch_offset(&boot).is_none()
            && let Some(offset) = self.clock.epoch_offset()
        {
            queue.spool.push(&SpoolRecord::Anchor { boot, offset })?;
            if std::mem::take(&mut self.awaits_clock) {
                tracing::info!("clock is set: waiting readings get their timestamps");
            }
        }
        let now = Instant::now();
        self.dirty = if queue.spool.is_dirty() {
            self.dirty.or(Some(now))
        } else {
            None
        };
        if is_idle {
            measure(&queue.spool, &self.metrics);
        }
        let is_due = self.synced.is_none_or(|synced| now - synced >= self.sync);
        let is_late = self.dirty.is_some_and(|dirty| now - dirty >= self.sync);
        if self.dirty.is_some() && (is_idle && is_due || is_late) {
            queue.spool.sync(Some(self.source.position().to_string()))?;
            (self.synced, self.dirty) = (Some(now), None);
            measure(&queue.spool, &self.metrics);
            self.shared.changed.notify_all();
        }
        drop(queue);
        if is_end && self.awaits_clock {
            thread::sleep(LONGEST_WAIT);
            return Ok(true);
        }
        Ok(!is_end)
    }
}

/// Notes what is in the spool. The source loop may wait for Kafka for hours, and the thread that
/// writes does not.
pub(super) fn measure(spool: &Spool, metrics: &Metrics) {
    metrics.spool_readings.set(spool.waiting());
    metrics.spool_bytes.set(spool.bytes());
    metrics.spool_dropped.set(spool.dropped());
}
