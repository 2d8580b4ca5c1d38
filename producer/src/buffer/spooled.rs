//! A buffer on disk: readings wait in a spool until they are committed in Kafka.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rivulet_core::error::{Error, Result as OrError};
use rivulet_core::reading::InvalidReading;
use rivulet_pipeline::{ClockPolicy, SpoolSettings};
use serde::Deserialize;
use serde_json::{Value, json};

use super::numbers::Numbers;
use super::{decode, encode};
use crate::clock::TrustedClock;
use crate::position;
use crate::source::{Next, Source};
use crate::spool::record::{self, SpoolRecord};
use crate::spool::{Popped, Spool};

/// The longest wait for a reading, so that a stop is noticed soon.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait for the last sync.
const LONGEST_CLOSE: Duration = Duration::from_millis(900);

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

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    stop: AtomicBool,
}

struct Queue {
    spool: Spool,
    state: State,
}

enum State {
    /// The thread is not started yet.
    Waiting,
    Running,
    Ended,
    Failed(Error),
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

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the thread sync the spool and end. Waits at most [`LONGEST_CLOSE`] for it.
    fn close(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let is_running = |queue: &mut Queue| matches!(queue.state, State::Running);
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), LONGEST_CLOSE, is_running);
        let queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        if !queue.spool.is_dirty() {
            log_waiting(queue.spool.waiting(), &queue.spool);
        }
    }
}

fn log_waiting(readings: u64, spool: &Spool) {
    tracing::info!(
        spool = %spool.folder().display(),
        readings,
        "readings wait in the spool for the next run"
    );
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

/// The thread that reads the source and writes the spool.
struct SpoolWriter {
    source: Box<dyn Source>,
    shared: Arc<Shared>,
    clock: TrustedClock,
    sync: Duration,
    /// The time of the last sync.
    synced: Option<Instant>,
    /// Since when records wait for a sync.
    dirty: Option<Instant>,
    /// Whether readings wait for the clock.
    awaits_clock: bool,
}

impl SpoolWriter {
    fn run(mut self) {
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
        let is_due = self.synced.is_none_or(|synced| now - synced >= self.sync);
        let is_late = self.dirty.is_some_and(|dirty| now - dirty >= self.sync);
        if self.dirty.is_some() && (is_idle && is_due || is_late) {
            queue.spool.sync(Some(self.source.position().to_string()))?;
            (self.synced, self.dirty) = (Some(now), None);
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

#[cfg(test)]
mod tests {
    use rivulet_pipeline::{ComponentConfig, WhenFull};
    use tempfile::TempDir;

    use super::*;
    use crate::catalog::lines::Lines;
    use crate::clock::tests::{NOON, TestClock, pass, set};
    use crate::testing::{Line, Observed, Piped, readings, take};

    /// A machine with a disk, a clock and a source.
    struct Machine {
        folder: TempDir,
        clock: Arc<Mutex<TestClock>>,
        policy: ClockPolicy,
        sync: Duration,
        pipe: Piped,
    }

    impl Machine {
        fn new(clock: Arc<Mutex<TestClock>>) -> Self {
            let (folder, pipe) = (tempfile::tempdir().unwrap(), Piped::default());
            Machine {
                folder,
                clock,
                policy: ClockPolicy::Repair,
                sync: Duration::ZERO,
                pipe,
            }
        }

        /// Starts the process. Its source counts from 0.
        fn open(&mut self) -> SpooledSource {
            self.open_with(WhenFull::DropOldest, false)
        }

        fn open_with(&mut self, when_full: WhenFull, from_start: bool) -> SpooledSource {
            self.pipe = Piped::default();
            let settings = SpoolSettings {
                path: "".into(),
                size: 1_000_000,
                when_full,
                sync: self.sync,
            };
            let clock = TrustedClock::new(self.clock.clone(), self.policy);
            SpooledSource::open(
                Box::new(self.pipe.clone()),
                self.folder.path(),
                &settings,
                clock,
                from_start,
            )
            .unwrap()
        }
    }

    /// Waits until `count` records were pushed into the spool.
    fn wait_until_pushed(spooled: &SpooledSource, count: u64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while spooled.shared.lock().spool.waiting() + spooled.next < count {
            assert!(Instant::now() < deadline, "records are missing");
            thread::yield_now();
        }
    }

    fn seqs(spooled: &mut SpooledSource, most: usize) -> Vec<u64> {
        readings(spooled, most).iter().map(|got| got.seq).collect()
    }

    /// The sequence number of a reading that comes at once.
    fn now(spooled: &mut SpooledSource) -> Option<u64> {
        match spooled.next(Duration::from_millis(20)).unwrap() {
            Next::Reading(reading) => Some(reading.seq),
            Next::NotYet => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn readings_of_all_kinds_come_in_order() {
        let mut machine = Machine::new(TestClock::set());
        let mut spooled = machine.open();
        machine
            .pipe
            .put([Line::Measured, Line::Bad, Line::Timed(5)]);
        machine.pipe.end();
        let seen = take(&mut spooled, 9);
        let Observed::Reading(first) = &seen[0] else {
            panic!("{seen:?}")
        };
        assert_eq!((first.sensor.as_str(), first.time), ("pipe", NOON));
        assert_eq!(
            seen[1],
            Observed::Bad {
                bytes: b"?".into(),
                place: "pipe".into(),
                reason: "bad"
            }
        );
        assert!(matches!(&seen[2], Observed::Reading(got) if (got.seq, got.time) == (2, 5)));
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn a_restart_resends_what_is_not_committed() {
        let mut machine = Machine::new(TestClock::set());
        let mut spooled = machine.open();
        machine.pipe.put([Line::Measured; 10]);
        assert_eq!(seqs(&mut spooled, 4), [0, 1, 2, 3]);
        let committed = spooled.position();
        spooled.committed();
        assert_eq!(seqs(&mut spooled, 3), [4, 5, 6]);
        wait_until_pushed(&spooled, 10);
        drop(spooled);

        // Kafka is unreachable, so the committed position is unknown. Readings are buffered
        // nevertheless.
        let spooled = machine.open();
        machine.pipe.put([Line::Measured; 2]);
        wait_until_pushed(&spooled, 12);
        drop(spooled);
        let mut spooled = machine.open();
        spooled.resume(&committed).unwrap();
        assert_eq!(seqs(&mut spooled, 8), [4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(now(&mut spooled), None);
    }

    #[test]
    fn a_new_spool_waits_for_the_committed_position() {
        let mut machine = Machine::new(TestClock::set());
        let mut spooled = machine.open();
        // The stage had no spool before.
        spooled.resume(&json!(70)).unwrap();
        machine.pipe.put([Line::Measured]);
        assert_eq!(seqs(&mut spooled, 1), [70]);
        let position = spooled.position();
        drop(spooled);

        machine.folder = tempfile::tempdir().unwrap();
        let mut spooled = machine.open();
        spooled.resume(&position).unwrap();
        machine.pipe.put([Line::Measured]);
        assert_eq!(
            seqs(&mut spooled, 1),
            [71],
            "the old spool is lost, and the sensor continues its numbers"
        );
    }

    /// Regression: readings that this machine had sent were sent again, and each machine counted by
    /// itself.
    #[test]
    fn a_stage_that_moves_there_and_back_sends_each_reading_once() {
        let settings = SpoolSettings {
            path: "".into(),
            size: 1_000_000,
            when_full: WhenFull::DropOldest,
            sync: Duration::ZERO,
        };
        let machines = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let config = ComponentConfig::parse("lines = { sensor = \"attic\" }").unwrap();
        let config: Lines = config.settings().unwrap();
        let (mut position, mut seqs, mut values): (Option<Value>, Vec<u64>, Vec<f64>) =
            (None, Vec::new(), Vec::new());
        let mut value = 0.0;
        // For each run: the machine, how many readings the source yields, and how many of those in
        // the spool are sent.
        for (machine, come, sent) in [
            (0, 4, 2),
            (1, 3, 3),
            (0, 2, 3),
            (1, 2, 1),
            (0, 1, 2),
            (1, 1, 2),
        ] {
            let lines = (0..come).map(|number| format!("{}\n", value + f64::from(number)));
            let text = lines.collect::<Vec<_>>().concat();
            value += f64::from(come);
            let source = Box::new(config.read_from(std::io::Cursor::new(text)).unwrap());
            let clock = TrustedClock::new(TestClock::set(), ClockPolicy::Repair);
            let folder = machines[machine].path();
            let mut spooled = SpooledSource::open(source, folder, &settings, clock, false).unwrap();
            if let Some(position) = &position {
                spooled.resume(position).unwrap();
            }
            let found = readings(&mut spooled, sent);
            seqs.extend(found.iter().map(|got| got.seq));
            values.extend(found.iter().map(|got| got.value));
            position = Some(serde_json::from_str(&spooled.position().to_string()).unwrap());
            spooled.committed();
            // When the thread has ended, all readings are in the spool.
            while !matches!(spooled.shared.lock().state, State::Ended) {
                thread::yield_now();
            }
        }
        assert_eq!(seqs, (0..13).collect::<Vec<_>>());
        values.sort_by(f64::total_cmp);
        assert_eq!(values, (0..13).map(f64::from).collect::<Vec<_>>());
    }

    #[test]
    fn from_start_forgets_the_spool() {
        let mut machine = Machine::new(TestClock::set());
        let mut spooled = machine.open();
        machine.pipe.put([Line::Measured; 3]);
        assert_eq!(seqs(&mut spooled, 2), [0, 1]);
        drop(spooled);
        let mut spooled = machine.open_with(WhenFull::DropOldest, true);
        machine.pipe.put([Line::Measured]);
        assert_eq!(seqs(&mut spooled, 1), [0]);
    }

    #[test]
    fn lost_readings_are_reported_in_a_dead_letter() {
        for when_full in [WhenFull::DropOldest, WhenFull::DropNewest] {
            let mut machine = Machine::new(TestClock::set());
            machine.sync = Duration::from_millis(50);
            let mut spooled = machine.open_with(when_full, false);
            assert_eq!(now(&mut spooled), None);
            machine
                .pipe
                .put(std::iter::repeat_n(Line::Measured, 40_000));
            wait_until_pushed(&spooled, 1);
            let deadline = Instant::now() + Duration::from_mins(1);
            while spooled.shared.lock().spool.dropped() == 0 {
                assert!(Instant::now() < deadline, "the spool should be full");
                thread::yield_now();
            }
            machine.pipe.end();
            let (mut sent, mut reported) = (0, 0);
            loop {
                match spooled.next(Duration::from_secs(20)).unwrap() {
                    Next::Reading(_) => sent += 1,
                    Next::Bad { invalid, .. } => {
                        assert_eq!(invalid.reason, "lost");
                        let (count, _) = invalid.detail.split_once(' ').unwrap();
                        reported += count.parse::<u64>().unwrap();
                    }
                    Next::End => break,
                    other => panic!("{other:?}"),
                }
                spooled.committed();
            }
            let dropped = spooled.shared.lock().spool.dropped();
            assert_eq!(sent + dropped, 40_000, "{when_full:?}");
            // Readings dropped at the very end are only reported before the next reading.
            assert!(
                reported == dropped || when_full == WhenFull::DropNewest && reported < dropped,
                "{reported} of {dropped}"
            );
        }
    }

    #[test]
    fn readings_wait_for_the_clock_across_a_restart() {
        let mut machine = Machine::new(TestClock::unset());
        let mut spooled = machine.open();
        assert_eq!(now(&mut spooled), None);
        machine.pipe.put([Line::Measured, Line::Timed(5)]);
        wait_until_pushed(&spooled, 2);
        assert_eq!(now(&mut spooled), None);
        assert_eq!(spooled.position()["next"], 0, "nothing is yielded");
        drop(spooled);
        pass(&machine.clock, 60_000);
        let mut spooled = machine.open();
        machine.pipe.put([Line::Measured]);
        wait_until_pushed(&spooled, 3);
        assert_eq!(now(&mut spooled), None);
        pass(&machine.clock, 30_000);
        set(&machine.clock, NOON);
        let first = readings(&mut spooled, 1);
        // The clock steps back after it was set.
        set(&machine.clock, NOON - 3_600_000);
        let found: Vec<_> = [first, readings(&mut spooled, 2)]
            .concat()
            .iter()
            .map(|got| (got.seq, got.time))
            .collect();
        assert_eq!(found, [(0, NOON - 90_000), (1, 5), (2, NOON - 30_000)]);
    }

    #[test]
    fn after_a_power_cut_the_time_is_known_if_the_clock_was_set() {
        for was_set in [true, false] {
            let mut machine = Machine::new(TestClock::unset());
            let mut spooled = machine.open();
            assert_eq!(now(&mut spooled), None);
            machine.pipe.put([Line::Measured]);
            wait_until_pushed(&spooled, 1);
            if was_set {
                pass(&machine.clock, 1000);
                set(&machine.clock, NOON);
                machine.pipe.put([Line::Measured]);
                wait_until_pushed(&spooled, 2);
            }
            drop(spooled);
            *machine.clock.lock().unwrap() = TestClock {
                wall: NOON + 5000,
                monotonic: 10,
                boot: 2,
                is_unset: false,
            };
            let mut spooled = machine.open();
            machine.pipe.put([Line::Measured]);
            let seen = take(&mut spooled, if was_set { 3 } else { 2 });
            if was_set {
                assert!(
                    matches!(&seen[0], Observed::Reading(got) if got.time == NOON - 1000),
                    "{seen:?}"
                );
            } else {
                assert!(
                    matches!(
                        &seen[0],
                        Observed::Bad {
                            reason: "clock-not-set",
                            ..
                        }
                    ),
                    "{seen:?}"
                );
            }
            assert!(matches!(seen.last(), Some(Observed::Reading(got)) if got.time == NOON + 5000));
        }
    }

    #[test]
    fn the_policy_dead_letter_does_not_wait_for_the_clock() {
        let mut machine = Machine::new(TestClock::unset());
        machine.policy = ClockPolicy::DeadLetter;
        let mut spooled = machine.open();
        machine.pipe.put([Line::Measured, Line::Timed(5)]);
        let seen = take(&mut spooled, 2);
        assert!(
            matches!(
                &seen[0],
                Observed::Bad {
                    reason: "clock-not-set",
                    ..
                }
            ),
            "{seen:?}"
        );
        assert!(
            matches!(&seen[1], Observed::Reading(got) if got.time == 5),
            "{seen:?}"
        );
    }

    #[test]
    fn a_spool_that_cannot_be_written_is_an_error() {
        let mut machine = Machine::new(TestClock::set());
        machine.sync = Duration::from_millis(50);
        let mut spooled = machine.open();
        assert_eq!(now(&mut spooled), None);
        // No new file can be created.
        std::fs::remove_dir_all(machine.folder.path()).unwrap();
        machine
            .pipe
            .put(std::iter::repeat_n(Line::Measured, 20_000));
        let deadline = Instant::now() + Duration::from_mins(1);
        let error = loop {
            match spooled.next(Duration::from_millis(100)) {
                Err(error) => break error.to_string(),
                Ok(_) => assert!(Instant::now() < deadline, "nothing fails"),
            }
        };
        assert!(
            error.contains("help: check whether the disk is full or broken"),
            "{error}"
        );
    }
}
