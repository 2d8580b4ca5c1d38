//! A buffer on disk: readings wait in a spool until they are committed in Kafka.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rivulet_core::error::{Error, Result as OrError};
use rivulet_core::metrics::Metrics;
use rivulet_core::reading::InvalidReading;
use rivulet_pipeline::{ClockPolicy, SpoolSettings};
use serde::Deserialize;
use serde_json::{Value, json};

use self::shared::{Queue, Shared, State, log_waiting};
use self::writer::SpoolWriter;
use super::decode;
use super::numbers::Numbers;
use crate::clock::TrustedClock;
use crate::position;
use crate::source::{Next, Source};
use crate::spool::record::SpoolRecord;
use crate::spool::{Popped, Spool, record};

mod shared;
mod writer;

/// How many spools of other machines a position remembers.
const MOST_OTHERS: usize = 16;

/// A live source with a spool. A thread reads the source and writes its readings to the disk,
/// whether Kafka is reachable or not. The source loop reads them from the spool.
///
/// The loop gets a reading only once it is on disk, so Kafka never has a reading that the spool
/// lacks.
pub struct SpooledSource {
    /// `None` once the thread has it.
    source: Option<Box<dyn Source>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    clock: TrustedClock,
    metrics: Arc<Metrics>,
    sync: Duration,
    id: String,
    /// One more than the number of the last record that was yielded or is known to be lost.
    next: u64,
    /// The same for spools of other machines from which the stage has sent, the latest last.
    others: Vec<(String, u64)>,
    numbers: Numbers,
    /// Whether `current` holds a record that is not yet yielded.
    has_current: bool,
    current: Vec<u8>,
    dead_letter: Vec<u8>,
}

/// The position that is committed in Kafka.
#[derive(Deserialize)]
struct StoredPosition {
    spool: String,
    next: u64,
    source: Value,
    /// The next sequence numbers, where they differ from those in `source`.
    #[serde(default)]
    sent: Option<BTreeMap<String, u64>>,
    /// The next record of other machines' spools.
    #[serde(default)]
    others: Vec<(String, u64)>,
}

/// What there is to yield.
enum Found {
    /// The current record, and the epoch offset for its monotonic time.
    Current(Option<i64>),
    Lost(u64),
    NotYet,
    End,
}

impl SpooledSource {
    /// Opens the spool. If it knows the source's position, the source is read from now on.
    ///
    /// # Errors
    /// If the spool cannot be opened, or the source cannot resume at the position in it.
    pub fn open(
        source: Box<dyn Source>,
        folder: &Path,
        settings: &SpoolSettings,
        clock: TrustedClock,
        from_start: bool,
        metrics: Arc<Metrics>,
    ) -> OrError<Self> {
        let spool = Spool::open(folder, settings, from_start)?;
        let position = spool.position().map(str::to_owned);
        let waiting = spool.waiting();
        if waiting > 0 {
            tracing::info!(
                spool = %folder.display(),
                readings = waiting,
                "readings found in the spool"
            );
        }
        writer::measure(&spool, &metrics);
        let mut spooled = SpooledSource {
            source: Some(source),
            thread: None,
            id: spool.id(),
            shared: Arc::new(Shared {
                queue: Mutex::new(Queue {
                    spool,
                    state: State::Waiting,
                }),
                changed: Condvar::new(),
                stop: AtomicBool::new(false),
            }),
            clock,
            metrics,
            sync: settings.sync,
            next: 0,
            others: Vec::new(),
            numbers: Numbers::default(),
            has_current: false,
            current: Vec::new(),
            dead_letter: Vec::new(),
        };
        if let Some(position) = position.and_then(|json| serde_json::from_str(&json).ok()) {
            spooled.start(Some(&position))?;
        }
        Ok(spooled)
    }

    /// What to call if the process exits before this is dropped.
    pub fn exit_hook(&self) -> impl FnOnce() + Send + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || _ = shared.upgrade().map(|shared| shared.close())
    }

    /// Starts the thread, unless it runs already. The source resumes at `position`.
    fn start(&mut self, position: Option<&Value>) -> OrError<()> {
        let Some(mut source) = self.source.take() else {
            return Ok(());
        };
        if let Some(position) = position {
            source.resume(position)?;
        }
        // From now on the next start does not have to ask Kafka for the source's position.
        let mut queue = self.shared.lock();
        queue.spool.sync(Some(source.position().to_string()))?;
        queue.state = State::Running;
        drop(queue);
        let writer = SpoolWriter {
            source,
            shared: self.shared.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            sync: self.sync,
            synced: None,
            dirty: None,
            awaits_clock: false,
        };
        let thread = thread::Builder::new()
            .name("spool".into())
            .spawn(move || writer.run());
        self.thread =
            Some(thread.map_err(|error| Error::new("starting the thread of the spool", error))?);
        Ok(())
    }

    /// Finds the next record, which becomes the current one. Waits at most `wait` for it.
    fn find(&mut self, wait: Duration) -> OrError<Found> {
        let deadline = Instant::now() + wait;
        let shared = self.shared.clone();
        let mut queue = shared.lock();
        loop {
            if !self.has_current {
                match queue.spool.pop(&mut self.current)? {
                    Some(Popped::Record(_)) => self.has_current = true,
                    Some(Popped::Lost(count, next)) => {
                        self.next = next;
                        return Ok(Found::Lost(count));
                    }
                    None => {}
                }
            }
            if self.has_current {
                let (is_ready, epoch_offset) = self.is_current_ready(&queue);
                if is_ready {
                    self.has_current = false;
                    self.next += 1;
                    return Ok(Found::Current(epoch_offset));
                }
            } else {
                match &queue.state {
                    State::Waiting | State::Running => {}
                    State::Ended => return Ok(Found::End),
                    State::Failed(error) => return Err(error.clone()),
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Found::NotYet);
            }
            queue = self
                .shared
                .changed
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Whether the current record can be yielded, and the epoch offset for its monotonic time.
    /// `None` if it has a timestamp already, or if it becomes a dead letter.
    fn is_current_ready(&self, queue: &Queue) -> (bool, Option<i64>) {
        let Ok((SpoolRecord::Reading(_, Some(measured)), _)) = record::decode(&self.current) else {
            return (true, None);
        };
        if self.clock.policy() == ClockPolicy::DeadLetter {
            return (true, None);
        }
        let epoch_offset = queue.spool.epoch_offset(&measured.boot);
        // If the clock was not set during an earlier boot, the offset of that boot never becomes
        // known.
        let is_ready = epoch_offset.is_some() || measured.boot != self.clock.boot();
        (is_ready, epoch_offset)
    }
}

impl Source for SpooledSource {
    fn next(&mut self, wait: Duration) -> OrError<Next<'_>> {
        self.start(None)?;
        Ok(match self.find(wait)? {
            Found::Current(epoch_offset) => {
                match decode(&self.current, epoch_offset, &mut self.dead_letter) {
                    Next::Reading(mut reading) => {
                        reading.seq = self.numbers.take(&reading.sensor, reading.seq);
                        Next::Reading(reading)
                    }
                    other => other,
                }
            }
            Found::Lost(count) => {
                let place = format!("spool {}", self.shared.lock().spool.folder().display());
                let detail =
                    format!("{count} readings are missing in the spool: it was full or is damaged");
                Next::Bad {
                    bytes: b"",
                    place,
                    invalid: InvalidReading::new("lost", detail),
                }
            }
            Found::NotYet => Next::NotYet,
            Found::End => Next::End,
        })
    }

    fn position(&self) -> Value {
        if let Some(source) = &self.source {
            // The thread is not started: nothing was yielded yet.
            return json!({
                "spool": self.id,
                "next": self.next,
                "source": source.position(),
                "others": self.others,
            });
        }
        let queue = self.shared.lock();
        // The source's position is used if the spool is lost. It includes readings that are not
        // sent yet: numbers that are skipped are better than numbers that are used twice.
        let source: Value = queue
            .spool
            .position()
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        let sent = self.numbers.differing(&source);
        json!({
            "spool": self.id,
            "next": self.next,
            "source": source,
            "sent": sent,
            "others": self.others,
        })
    }

    fn resume(&mut self, position: &Value) -> OrError<()> {
        if position.get("spool").is_none() {
            // The stage had no spool before.
            self.numbers = Numbers::after(position, &BTreeMap::new());
            return self.start(Some(position));
        }
        let StoredPosition {
            spool,
            next,
            mut source,
            sent,
            mut others,
        } = position::read(position)?;
        let sent_here = if spool == self.id {
            // Earlier versions wrote neither `sent` nor `others`.
            self.numbers = sent
                .map(|sent| Numbers::after(&source, &sent))
                .unwrap_or_default();
            Some(next)
        } else {
            tracing::warn!(
                "new spool: readings in the previous spool are sent once the stage runs with it \
                 again"
            );
            let sent = sent.unwrap_or_default();
            self.numbers = Numbers::after(&source, &sent);
            // Readings that are still in the previous spool get their numbers when they are sent.
            for (sensor, next) in sent {
                source["next"][sensor] = next.into();
            }
            others.push((spool, next));
            others
                .iter()
                .find(|(other, _)| *other == self.id)
                .map(|(_, next)| *next)
        };
        others.retain(|(other, _)| *other != self.id);
        others.drain(..others.len().saturating_sub(MOST_OTHERS));
        self.others = others;
        if let Some(next) = sent_here {
            self.next = self.shared.lock().spool.seek(next);
        }
        self.start(Some(&source).filter(|source| !source.is_null()))
    }

    fn committed(&mut self) {
        self.shared.lock().spool.committed(self.next);
    }

    fn rate(&self) -> Option<f64> {
        // The rate only applies when the source is read.
        None
    }
}

impl Drop for SpooledSource {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its error is already in `State::Failed`.
            let _ = thread.join();
        }
        let spool = &self.shared.lock().spool;
        let (waiting, dropped) = (spool.waiting(), spool.dropped());
        let waiting = waiting + u64::from(self.has_current);
        if waiting > 0 {
            log_waiting(waiting, spool);
        }
        if dropped > 0 {
            tracing::warn!(
                spool = %spool.folder().display(),
                readings = dropped,
                "readings were dropped because the spool was full"
            );
        }
    }
}

#[cfg(test)]
mod tests;
