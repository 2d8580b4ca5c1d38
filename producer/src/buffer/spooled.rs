//! Readings that wait on disk until Kafka takes them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use stream::error::{Error, Result as OrError};
use stream::pipeline::{ClockPolicy, SpoolSettings};
use stream::reading::InvalidReading;

use super::numbers::Numbers;
use super::{keep, release};
use crate::clock::TrustedClock;
use crate::position;
use crate::source::{Next, Source};
use crate::spool::record::{self, SpoolRecord};
use crate::spool::{Popped, Spool};

/// The longest wait for a reading, so that a stop is noticed soon.
const LONGEST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait for the last sync.
const LONGEST_CLOSE: Duration = Duration::from_millis(900);

/// How many other spools are known.
const MOST_OTHERS: usize = 16;

/// A source that cannot go back, with a spool. A thread takes its readings and writes them to the
/// disk, whatever Kafka does; the loop takes them from there.
///
/// A reading is handed to the loop only once it is on disk, so that Kafka never knows of one that
/// the spool does not.
pub struct SpooledSource {
    /// Nothing once the thread has it.
    source: Option<Box<dyn Source>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    sense: TrustedClock,
    sync: Duration,
    id: String,
    /// One more than the number of the last record that was yielded, or is known to be lost.
    next: u64,
    /// The same of other spools, from which the stage was sent before, the last one last.
    others: Vec<(String, u64)>,
    numbers: Numbers,
    /// A record that was taken and not yet yielded.
    holds: bool,
    current: Vec<u8>,
    letter: Vec<u8>,
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
    /// Nobody takes readings yet.
    Waits,
    Runs,
    Ended,
    Failed(Error),
}

/// What Kafka keeps of it.
#[derive(Deserialize)]
struct Place {
    spool: String,
    next: u64,
    source: Value,
    /// The next sequence numbers where they are not those of the source.
    #[serde(default)]
    sent: Option<BTreeMap<String, u64>>,
    /// How far other machines' spools were sent.
    #[serde(default)]
    others: Vec<(String, u64)>,
}

/// What there is to yield.
enum Found {
    /// The current record, with what gives a moment its time.
    Current(Option<i64>),
    Lost(u64),
    NotYet,
    End,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the thread write what is not on the disk yet, and end; waits a moment for it.
    fn close(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let runs = |queue: &mut Queue| matches!(queue.state, State::Runs);
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), LONGEST_CLOSE, runs);
        let queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        if !queue.spool.is_dirty() {
            let (folder, waiting) = (queue.spool.folder().display(), queue.spool.waiting());
            tracing::info!("{waiting} readings wait in the spool {folder} for the next run");
        }
    }
}

impl SpooledSource {
    /// Opens the spool. If it knows where the source was, readings are taken from now on.
    ///
    /// # Errors
    /// If the spool cannot be opened, or holds a position that the source refuses.
    pub fn open(
        source: Box<dyn Source>,
        folder: &Path,
        settings: &SpoolSettings,
        sense: TrustedClock,
        anew: bool,
    ) -> OrError<Self> {
        let spool = Spool::open(folder, settings, anew)?;
        let position = spool.position().map(str::to_owned);
        let waiting = spool.waiting();
        if waiting > 0 {
            tracing::info!("{waiting} readings are in the spool {}", folder.display());
        }
        let mut spooled = SpooledSource {
            source: Some(source),
            thread: None,
            id: spool.id(),
            shared: Arc::new(Shared {
                queue: Mutex::new(Queue {
                    spool,
                    state: State::Waits,
                }),
                changed: Condvar::new(),
                stop: AtomicBool::new(false),
            }),
            sense,
            sync: settings.sync,
            next: 0,
            others: Vec::new(),
            numbers: Numbers::default(),
            holds: false,
            current: Vec::new(),
            letter: Vec::new(),
        };
        if let Some(position) = position.and_then(|json| serde_json::from_str(&json).ok()) {
            spooled.start(Some(&position))?;
        }
        Ok(spooled)
    }

    /// What is to be done if the process leaves before this is dropped.
    pub fn exit_hook(&self) -> impl FnOnce() + Send + 'static {
        let shared = Arc::downgrade(&self.shared);
        move || _ = shared.upgrade().map(|shared| shared.close())
    }

    /// Takes readings from now on, behind a position of the source if there is one.
    fn start(&mut self, position: Option<&Value>) -> OrError<()> {
        let Some(mut source) = self.source.take() else {
            return Ok(());
        };
        if let Some(position) = position {
            source.resume(position)?;
        }
        // From now on the spool knows where the source was, though Kafka may be away.
        let mut queue = self.shared.lock();
        queue.spool.sync(Some(source.position().to_string()))?;
        queue.state = State::Runs;
        drop(queue);
        let taker = SpoolWriter {
            source,
            shared: self.shared.clone(),
            sense: self.sense.clone(),
            sync: self.sync,
            synced: None,
            dirty: None,
            awaits_clock: false,
        };
        let thread = thread::Builder::new()
            .name("spool".into())
            .spawn(move || taker.run());
        self.thread =
            Some(thread.map_err(|error| Error::new("starting to fill the spool", error))?);
        Ok(())
    }

    /// Looks for what comes next; a record is then the current one.
    fn find(&mut self, wait: Duration) -> OrError<Found> {
        let deadline = Instant::now() + wait;
        let shared = self.shared.clone();
        let mut queue = shared.lock();
        loop {
            if !self.holds {
                match queue.spool.take(&mut self.current)? {
                    Some(Popped::Record(_)) => self.holds = true,
                    Some(Popped::Lost(count, next)) => {
                        self.next = next;
                        return Ok(Found::Lost(count));
                    }
                    None => {}
                }
            }
            if self.holds {
                let (can_go, offset) = self.release_decision(&queue);
                if can_go {
                    self.holds = false;
                    self.next += 1;
                    return Ok(Found::Current(offset));
                }
            } else {
                match &queue.state {
                    State::Waits | State::Runs => {}
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

    /// Whether the current record can go, and what gives it its time, if it needs and can have
    /// that.
    fn release_decision(&self, queue: &Queue) -> (bool, Option<i64>) {
        let Ok((SpoolRecord::Reading(_, Some(moment)), _)) = record::decode(&self.current) else {
            return (true, None);
        };
        if self.sense.policy() == ClockPolicy::DeadLetter {
            return (true, None);
        }
        let anchor = queue.spool.anchor(&moment.boot);
        // The clock of an earlier start that was not set then will never be.
        (anchor.is_some() || moment.boot != self.sense.boot(), anchor)
    }
}

impl Source for SpooledSource {
    fn next(&mut self, wait: Duration) -> OrError<Next<'_>> {
        self.start(None)?;
        Ok(match self.find(wait)? {
            Found::Current(offset) => match release(&self.current, offset, &mut self.letter) {
                Next::Reading(mut reading) => {
                    reading.seq = self.numbers.take(&reading.sensor, reading.seq);
                    Next::Reading(reading)
                }
                other => other,
            },
            Found::Lost(count) => {
                let place = format!("spool {}", self.shared.lock().spool.folder().display());
                let detail = format!(
                    "{count} readings are not in the spool any more: it was full, or was damaged"
                );
                Next::Bad {
                    bytes: b"",
                    place,
                    refusal: InvalidReading::new("lost", detail),
                }
            }
            Found::NotYet => Next::NotYet,
            Found::End => Next::End,
        })
    }

    fn position(&self) -> Value {
        if let Some(source) = &self.source {
            // It has yielded nothing yet.
            return json!({ "spool": self.id, "next": self.next, "source": source.position(), "others": self.others });
        }
        let queue = self.shared.lock();
        // The source's own serves if the spool is lost; then it had better be too far than not far
        // enough.
        let source: Value = queue
            .spool
            .position()
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        let sent = self.numbers.beside(&source);
        json!({ "spool": self.id, "next": self.next, "source": source, "sent": sent, "others": self.others })
    }

    fn resume(&mut self, position: &Value) -> OrError<()> {
        if position.get("spool").is_none() {
            // The stage had no spool before.
            self.numbers = Numbers::behind(position, &BTreeMap::new());
            return self.start(Some(position));
        }
        let Place {
            spool,
            next,
            mut source,
            sent,
            mut others,
        } = position::read(position)?;
        let sent_here = if spool == self.id {
            // Earlier versions did not tell what was sent, and knew of no other machine.
            self.numbers = sent
                .map(|sent| Numbers::behind(&source, &sent))
                .unwrap_or_default();
            Some(next)
        } else {
            tracing::warn!(
                "this is another spool than before: what is still in that one is sent when the \
                 stage is there"
            );
            let sent = sent.unwrap_or_default();
            self.numbers = Numbers::behind(&source, &sent);
            // What was counted there and not sent gets its numbers when it is.
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
            self.next = self.shared.lock().spool.go_on_at(next);
        }
        self.start(Some(&source).filter(|source| !source.is_null()))
    }

    fn committed(&mut self) {
        self.shared.lock().spool.committed(self.next);
    }

    fn rate(&self) -> Option<f64> {
        // It has kept its rate on the way in.
        None
    }
}

impl Drop for SpooledSource {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // What it could not do, it has told.
            let _ = thread.join();
        }
        let queue = self.shared.lock();
        let (folder, waiting, lost) = (
            queue.spool.folder().display(),
            queue.spool.waiting(),
            queue.spool.lost(),
        );
        let waiting = waiting + u64::from(self.holds);
        if waiting > 0 {
            tracing::info!("{waiting} readings wait in the spool {folder} for the next run");
        }
        if lost > 0 {
            tracing::warn!(
                "{lost} readings were lost in this run because the spool {folder} was full"
            );
        }
    }
}

/// The thread that fills the spool.
struct SpoolWriter {
    source: Box<dyn Source>,
    shared: Arc<Shared>,
    sense: TrustedClock,
    sync: Duration,
    /// When the last write to the disk was.
    synced: Option<Instant>,
    /// Since when there is something to write.
    dirty: Option<Instant>,
    /// Whether readings wait for the clock.
    awaits_clock: bool,
}

impl SpoolWriter {
    fn run(mut self) {
        let outcome = loop {
            match self.turn() {
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

    /// Takes one reading, or waits for one; whether there may be more.
    fn turn(&mut self) -> OrError<bool> {
        let wait = match self.dirty {
            Some(_) => self
                .sync
                .saturating_sub(self.synced.map_or(self.sync, |synced| synced.elapsed())),
            None => LONGEST_WAIT,
        };
        let next = self.source.next(wait.min(LONGEST_WAIT))?;
        let (ended, quiet) = (
            matches!(next, Next::End),
            matches!(next, Next::NotYet | Next::End),
        );
        let mut queue = self.shared.lock();
        if let Some(pushed) = keep(&next, &mut self.sense, |record| {
            self.awaits_clock |= matches!(record, SpoolRecord::Reading(_, Some(_)));
            // A disk that fails once must not cost a reading: the spool has not taken it.
            queue
                .spool
                .push(record)
                .or_else(|_| queue.spool.push(record))
        }) {
            pushed?;
        }
        let boot = self.sense.boot();
        if queue.spool.anchor(&boot).is_none()
            && let Some(offset) = self.sense.epoch_offset()
        {
            queue.spool.push(&SpoolRecord::Anchor { boot, offset })?;
            if std::mem::take(&mut self.awaits_clock) {
                tracing::info!("the clock is set: readings get the time they were measured at");
            }
        }
        let now = Instant::now();
        self.dirty = if queue.spool.is_dirty() {
            self.dirty.or(Some(now))
        } else {
            None
        };
        let rested = self.synced.is_none_or(|synced| now - synced >= self.sync);
        let late = self.dirty.is_some_and(|dirty| now - dirty >= self.sync);
        if self.dirty.is_some() && (quiet && rested || late) {
            queue.spool.sync(Some(self.source.position().to_string()))?;
            (self.synced, self.dirty) = (Some(now), None);
            self.shared.changed.notify_all();
        }
        drop(queue);
        if ended && self.awaits_clock {
            thread::sleep(LONGEST_WAIT);
            return Ok(true);
        }
        Ok(!ended)
    }
}

#[cfg(test)]
mod tests {
    use stream::pipeline::{ComponentConfig, WhenFull};
    use tempfile::TempDir;

    use super::*;
    use crate::catalog::lines::Lines;
    use crate::clock::tests::{Hands, NOON, pass, set};
    use crate::testing::{Line, Observed, Piped, readings, take};

    /// A machine: its disk, its clock, and what is plugged in.
    struct Machine {
        folder: TempDir,
        hands: Arc<Mutex<Hands>>,
        policy: ClockPolicy,
        sync: Duration,
        pipe: Piped,
    }

    impl Machine {
        fn new(hands: Arc<Mutex<Hands>>) -> Self {
            let (folder, pipe) = (tempfile::tempdir().unwrap(), Piped::default());
            Machine {
                folder,
                hands,
                policy: ClockPolicy::Repair,
                sync: Duration::ZERO,
                pipe,
            }
        }

        /// Starts the process; the source counts from 0 again, as a new one does.
        fn open(&mut self) -> SpooledSource {
            self.open_with(WhenFull::DropOldest, false)
        }

        fn open_with(&mut self, when_full: WhenFull, anew: bool) -> SpooledSource {
            self.pipe = Piped::default();
            let settings = SpoolSettings {
                path: "".into(),
                size: 1_000_000,
                when_full,
                sync: self.sync,
            };
            let sense = TrustedClock::new(self.hands.clone(), self.policy);
            SpooledSource::open(
                Box::new(self.pipe.clone()),
                self.folder.path(),
                &settings,
                sense,
                anew,
            )
            .unwrap()
        }
    }

    /// Waits until the spool took so many in all.
    fn took(spooled: &SpooledSource, count: u64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while spooled.shared.lock().spool.waiting() + spooled.next < count {
            assert!(Instant::now() < deadline, "the spool does not take them");
            thread::yield_now();
        }
    }

    fn seqs(spooled: &mut SpooledSource, most: usize) -> Vec<u64> {
        readings(spooled, most).iter().map(|got| got.seq).collect()
    }

    /// Takes what comes at once.
    fn now(spooled: &mut SpooledSource) -> Option<u64> {
        match spooled.next(Duration::from_millis(20)).unwrap() {
            Next::Reading(reading) => Some(reading.seq),
            Next::NotYet => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn readings_come_in_order_whatever_they_are() {
        let mut machine = Machine::new(Hands::set());
        let mut spooled = machine.open();
        machine
            .pipe
            .put([Line::Measured, Line::Bad, Line::ClockBuffer(5)]);
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
        assert_eq!(seen.len(), 3, "and then the end");
    }

    #[test]
    fn a_restart_sends_again_what_is_not_committed_and_counts_on() {
        let mut machine = Machine::new(Hands::set());
        let mut spooled = machine.open();
        machine.pipe.put([Line::Measured; 10]);
        assert_eq!(seqs(&mut spooled, 4), [0, 1, 2, 3]);
        let committed = spooled.position();
        spooled.committed();
        assert_eq!(seqs(&mut spooled, 3), [4, 5, 6]);
        took(&spooled, 10);
        drop(spooled);

        // Kafka is away: nobody knows yet where the last run stopped, and readings are taken all
        // the same.
        let spooled = machine.open();
        machine.pipe.put([Line::Measured; 2]);
        took(&spooled, 12);
        drop(spooled);
        let mut spooled = machine.open();
        spooled.resume(&committed).unwrap();
        assert_eq!(seqs(&mut spooled, 8), [4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(now(&mut spooled), None);
    }

    #[test]
    fn a_new_spool_waits_until_it_is_known_where_the_source_was() {
        let mut machine = Machine::new(Hands::set());
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
            "the old spool is lost, and its sensor counts on"
        );
    }

    /// The readings that this machine had sent were sent again, and each machine counted for
    /// itself.
    #[test]
    fn on_another_machine_and_back_each_reading_is_sent_once_and_sensors_count_on() {
        let settings = SpoolSettings {
            path: "".into(),
            size: 1_000_000,
            when_full: WhenFull::DropOldest,
            sync: Duration::ZERO,
        };
        let machines = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let open = |machine: usize, text: &str| {
            let lines: Lines = ComponentConfig::parse("lines = { sensor = \"attic\" }")
                .unwrap()
                .settings()
                .unwrap();
            let source = Box::new(
                lines
                    .read_from(std::io::Cursor::new(text.to_owned()))
                    .unwrap(),
            );
            let sense = TrustedClock::new(Hands::set(), ClockPolicy::Repair);
            SpooledSource::open(source, machines[machine].path(), &settings, sense, false).unwrap()
        };
        let (mut position, mut seqs, mut values): (Option<Value>, Vec<u64>, Vec<f64>) =
            (None, Vec::new(), Vec::new());
        let mut value = 0.0;
        // How many readings come on which machine, and how many of what is in its spool are sent
        // there.
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
            let mut spooled = open(machine, &text);
            if let Some(position) = &position {
                spooled.resume(position).unwrap();
            }
            let found = readings(&mut spooled, sent);
            seqs.extend(found.iter().map(|got| got.seq));
            values.extend(found.iter().map(|got| got.value));
            position = Some(serde_json::from_str(&spooled.position().to_string()).unwrap());
            spooled.committed();
            // The rest of what comes is in the spool when the thread has ended.
            while !matches!(spooled.shared.lock().state, State::Ended) {
                thread::yield_now();
            }
        }
        assert_eq!(seqs, (0..13).collect::<Vec<_>>());
        values.sort_by(f64::total_cmp);
        assert_eq!(values, (0..13).map(f64::from).collect::<Vec<_>>());
    }

    #[test]
    fn begun_anew_nothing_is_known() {
        let mut machine = Machine::new(Hands::set());
        let mut spooled = machine.open();
        machine.pipe.put([Line::Measured; 3]);
        assert_eq!(seqs(&mut spooled, 2), [0, 1]);
        drop(spooled);
        let mut spooled = machine.open_with(WhenFull::DropOldest, true);
        machine.pipe.put([Line::Measured]);
        assert_eq!(seqs(&mut spooled, 1), [0]);
    }

    #[test]
    fn what_was_lost_is_a_dead_letter() {
        for when_full in [WhenFull::DropOldest, WhenFull::DropNewest] {
            let mut machine = Machine::new(Hands::set());
            machine.sync = Duration::from_millis(50);
            let mut spooled = machine.open_with(when_full, false);
            assert_eq!(now(&mut spooled), None);
            machine
                .pipe
                .put(std::iter::repeat_n(Line::Measured, 40_000));
            took(&spooled, 1);
            let deadline = Instant::now() + Duration::from_mins(1);
            while spooled.shared.lock().spool.lost() == 0 {
                assert!(Instant::now() < deadline, "it should be full");
                thread::yield_now();
            }
            machine.pipe.end();
            let (mut sent, mut told) = (0, Vec::new());
            loop {
                match spooled.next(Duration::from_secs(20)).unwrap() {
                    Next::Reading(_) => sent += 1,
                    Next::Bad { refusal, .. } => told.push(refusal),
                    Next::End => break,
                    other => panic!("{other:?}"),
                }
                spooled.committed();
            }
            let lost = spooled.shared.lock().spool.lost();
            assert_eq!(sent + lost, 40_000, "{when_full:?}");
            let told: u64 = told
                .iter()
                .map(|refusal| {
                    assert_eq!(refusal.reason, "lost");
                    refusal
                        .detail
                        .split(' ')
                        .next()
                        .unwrap()
                        .parse::<u64>()
                        .unwrap()
                })
                .sum();
            // What is left out at the very end is told with the reading that comes next.
            assert!(
                told == lost || when_full == WhenFull::DropNewest && told < lost,
                "{told} of {lost}"
            );
        }
    }

    #[test]
    fn readings_wait_for_the_clock_over_a_restart_of_the_process() {
        let mut machine = Machine::new(Hands::unset());
        let mut spooled = machine.open();
        assert_eq!(now(&mut spooled), None);
        machine.pipe.put([Line::Measured, Line::ClockBuffer(5)]);
        took(&spooled, 2);
        assert_eq!(now(&mut spooled), None);
        assert_eq!(spooled.position()["next"], 0, "what waits is not yielded");
        drop(spooled);
        pass(&machine.hands, 60_000);
        let mut spooled = machine.open();
        machine.pipe.put([Line::Measured]);
        took(&spooled, 3);
        assert_eq!(now(&mut spooled), None);
        pass(&machine.hands, 30_000);
        set(&machine.hands, NOON);
        let first = readings(&mut spooled, 1);
        // A step of the clock after it was set.
        set(&machine.hands, NOON - 3_600_000);
        let found: Vec<_> = [first, readings(&mut spooled, 2)]
            .concat()
            .iter()
            .map(|got| (got.seq, got.time))
            .collect();
        assert_eq!(found, [(0, NOON - 90_000), (1, 5), (2, NOON - 30_000)]);
    }

    #[test]
    fn after_a_power_cut_only_a_clock_that_was_set_in_time_can_help() {
        for was_set in [true, false] {
            let mut machine = Machine::new(Hands::unset());
            let mut spooled = machine.open();
            assert_eq!(now(&mut spooled), None);
            machine.pipe.put([Line::Measured]);
            took(&spooled, 1);
            if was_set {
                pass(&machine.hands, 1000);
                set(&machine.hands, NOON);
                machine.pipe.put([Line::Measured]);
                took(&spooled, 2);
            }
            drop(spooled);
            *machine.hands.lock().unwrap() = Hands {
                wall: NOON + 5000,
                monotonic: 10,
                boot: 2,
                awaits: false,
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
    fn without_a_clock_they_become_dead_letters_by_choice() {
        let mut machine = Machine::new(Hands::unset());
        machine.policy = ClockPolicy::DeadLetter;
        let mut spooled = machine.open();
        machine.pipe.put([Line::Measured, Line::ClockBuffer(5)]);
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
    fn a_spool_that_cannot_be_written_is_told() {
        let mut machine = Machine::new(Hands::set());
        machine.sync = Duration::from_millis(50);
        let mut spooled = machine.open();
        assert_eq!(now(&mut spooled), None);
        // No new file can be made in it any more.
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
            error.contains("help: look whether the disk is full or broken"),
            "{error}"
        );
    }
}
