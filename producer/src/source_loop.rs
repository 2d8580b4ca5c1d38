//! The producer's loop: take a reading, pace it, send it, commit it with the source's position.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stream::counters::Counters;
use stream::dead_letter::DeadLetters;
use stream::error::{Error, Result};
use stream::format::Format;
use stream::log::{Fault, Log, Outgoing};
use stream::pipeline::{Pipeline, Stage};
use stream::reading::{Reading, Refusal};
use stream::shutdown::Shutdown;
use stream::stage::{BackOff, CommitClock, Turn};

use crate::pace::Pace;
use crate::source::{Next, Progress, Source};

/// The longest wait for a reading, so that a stop is noticed soon.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// The loop, turn by turn.
pub struct SourceLoop<L> {
    log: L,
    source: Box<dyn Source>,
    outputs: Vec<Output>,
    changelog: String,
    dead_letters: DeadLetters,
    pace: Pace,
    clock: CommitClock,
    back_off: BackOff,
    pending: Pending,
    /// How many bytes may be pending.
    room: u64,
    /// How many commits there have been, those of earlier runs among them.
    commits: u64,
    /// Tells this run's commits from another's.
    run: u64,
    /// The run that made the last of them.
    last_run: u64,
    /// When the source's progress was last told.
    told: Instant,
    counters: Arc<Counters>,
    shutdown: Shutdown,
}

struct Output {
    topic: String,
    format: Box<dyn Format>,
}

/// What was taken from the source since the last commit. A source need not be able to go back, so
/// what has to be sent again is kept here; a commit's size bounds it.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    records: Vec<Taken>,
}

enum Taken {
    Reading { output: usize, sensor: Range<usize>, value: Range<usize> },
    Bad { place: String, bytes: Range<usize>, refusal: Refusal },
}

impl Pending {
    fn keep(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }
}

impl<L: Log> SourceLoop<L> {
    /// A source that has yielded nothing yet.
    #[must_use]
    pub fn new(
        log: L,
        source: Box<dyn Source>,
        pipeline: &Pipeline,
        stage: &Stage,
        shutdown: Shutdown,
        counters: Arc<Counters>,
    ) -> Self {
        let output = |topic: &String| Output { topic: topic.clone(), format: pipeline.topic(topic).build_format() };
        let now = log.now();
        SourceLoop {
            log,
            pace: Pace::new(source.rate(), now),
            clock: CommitClock::new(pipeline.commit_policy(), now),
            back_off: BackOff::new(),
            source,
            outputs: stage.to.iter().map(output).collect(),
            changelog: stage.changelog(),
            dead_letters: DeadLetters::of(pipeline, stage),
            pending: Pending::default(),
            room: pipeline.limits.state(),
            commits: 0,
            run: RandomState::new().hash_one(()),
            last_run: 0,
            told: now,
            counters,
            shutdown,
        }
    }

    /// Goes on behind the position of an earlier run, if there was one; `from_start` forgets it.
    ///
    /// # Errors
    /// If the position cannot be read, or the source no longer has it.
    pub fn resume(&mut self, from_start: bool) -> Result<()> {
        let saved = match self.saved() {
            Ok(saved) => saved,
            // The first turn tells.
            Err(Fault::Stopped) => return Ok(()),
            Err(Fault::Fatal(error) | Fault::Rejected(_, error) | Fault::Undo(error)) => return Err(error),
        };
        let Some(Saved { commit, run, position }) = saved else { return Ok(()) };
        (self.commits, self.last_run) = (commit, run);
        if !from_start {
            self.source.resume(&position)?;
            tracing::info!("going on behind {position}; --from-start begins anew");
        }
        Ok(())
    }

    /// Takes a reading, or waits a moment for one, and commits when it is time; `watch` is told now and
    /// then how far the source is.
    ///
    /// # Errors
    /// What this process cannot go on from; a restart may. Nothing uncommitted is visible then.
    pub fn turn(&mut self, watch: &mut dyn FnMut(Option<Progress>)) -> Result<Turn> {
        let mut outcome = self.take_and_commit();
        while let Err(Fault::Undo(cause) | Fault::Rejected(_, cause)) = outcome {
            outcome = self.undo(&cause).map(|()| Turn::GoOn);
        }
        let turn = match outcome {
            Ok(turn) => turn,
            Err(Fault::Stopped) => Turn::Done,
            Err(Fault::Fatal(error) | Fault::Rejected(_, error) | Fault::Undo(error)) => return Err(error),
        };
        let now = self.log.now();
        if turn == Turn::Done || now.duration_since(self.told) >= LONGEST_WAIT {
            self.told = now;
            watch(self.source.progress());
        }
        Ok(turn)
    }

    fn take_and_commit(&mut self) -> Result<Turn, Fault> {
        let now = self.log.now();
        let early = self.pace.wait(now);
        // A reading that is not due yet leaves time to commit, as an input that is drained.
        let is_full = self.pending.bytes.len() as u64 >= self.room;
        if is_full || self.clock.is_due(now) || (!early.is_zero() && self.clock.is_due_when_drained(now)) {
            self.commit()?;
        }
        if self.shutdown.is_stopping() {
            self.commit()?;
            return Ok(Turn::Done);
        }
        if !early.is_zero() {
            self.log.sleep(early.min(LONGEST_WAIT).min(self.clock.wait(now)));
            return Ok(Turn::GoOn);
        }
        let first = self.pending.records.len();
        match self.source.next(LONGEST_WAIT.min(self.clock.wait(now))).map_err(Fault::Fatal)? {
            Next::Reading(reading) | Next::Measured(reading) => {
                self.counters.read.add(1);
                take(&mut self.pending, &self.outputs, &reading);
            }
            Next::Bad { bytes, place, refusal } => {
                let bytes = self.pending.keep(bytes);
                self.pending.records.push(Taken::Bad { place, bytes, refusal });
            }
            Next::NotYet => {
                if self.clock.is_due_when_drained(self.log.now()) {
                    self.commit()?;
                }
                return Ok(Turn::GoOn);
            }
            Next::End => {
                self.commit()?;
                return Ok(Turn::Done);
            }
        }
        self.pace.took_one();
        self.clock.worked();
        self.send(first)?;
        Ok(Turn::GoOn)
    }

    /// Sends what is pending from the given record on.
    fn send(&mut self, first: usize) -> Result<(), Fault> {
        let bytes = |range: &Range<usize>| &self.pending.bytes[range.clone()];
        for taken in &self.pending.records[first..] {
            match taken {
                Taken::Reading { output, sensor, value } => {
                    let output = &self.outputs[*output];
                    self.log.send(&Outgoing {
                        topic: &output.topic,
                        partition: None,
                        timestamp: None,
                        key: output.format.keyed().then(|| bytes(sensor)),
                        value: Some(bytes(value)),
                        headers: &[],
                    })?;
                }
                Taken::Bad { place, bytes: range, refusal } => {
                    self.dead_letters.bury_input(&self.log, place, bytes(range), refusal)?;
                }
            }
        }
        Ok(())
    }

    /// Makes what is pending permanent, together with the source's position behind it.
    fn commit(&mut self) -> Result<(), Fault> {
        if !self.clock.is_open() {
            return Ok(());
        }
        // Without transactions the position must not get ahead of the readings.
        self.log.flush()?;
        let saved = json!(Saved { commit: self.commits + 1, run: self.run, position: self.source.position() });
        self.log.send(&Outgoing {
            topic: &self.changelog,
            partition: Some(0),
            timestamp: None,
            key: Some(POSITION),
            value: Some(saved.to_string().as_bytes()),
            headers: &[],
        })?;
        self.log.commit(&[])?;
        self.committed();
        Ok(())
    }

    fn committed(&mut self) {
        let readings = self.pending.records.iter().filter(|taken| matches!(taken, Taken::Reading { .. })).count();
        self.counters.written.add(readings as u64);
        self.counters.commits.add(1);
        self.dead_letters.committed(&self.counters);
        self.source.committed();
        self.commits += 1;
        self.last_run = self.run;
        self.pending.clear();
        self.clock.committed(self.log.now());
        self.back_off.reset();
    }

    /// What is pending is sent and committed again, unless the commit that seemed to fail went through.
    fn undo(&mut self, cause: &Error) -> Result<(), Fault> {
        tracing::warn!("sending again what is not committed: {cause}");
        self.counters.rewinds.add(1);
        self.back_off.wait(&self.log, &self.shutdown)?;
        self.log.rewind()?;
        let (commit, run) = self.saved()?.map_or((0, 0), |saved| (saved.commit, saved.run));
        if (commit, run) == (self.commits + 1, self.run) {
            self.committed();
            return Ok(());
        }
        if (commit, run) != (self.commits, self.last_run) {
            return Err(self.replaced());
        }
        self.dead_letters.rolled_back();
        self.send(0)?;
        self.commit()
    }

    /// Another process has gone on from where this one stood: what is pending may be among what it sent.
    fn replaced(&self) -> Fault {
        let cause = format!("another process has committed to {}", self.changelog);
        Fault::Fatal(Error::new("going back to the last commit", cause).help(
            "another process with the same stage and instance name has taken this one's place: give each its own \
             --instance",
        ))
    }

    /// What was committed last.
    fn saved(&mut self) -> Result<Option<Saved>, Fault> {
        let mut last = None;
        self.log.restore(&self.changelog, &[0], &mut |_, _, value| last = value.map(<[u8]>::to_vec))?;
        let Some(last) = last else { return Ok(None) };
        serde_json::from_slice(&last).map(Some).map_err(|error| {
            let error = Error::new(format!("reading the source's position from {}", self.changelog), error);
            Fault::Fatal(error.help("something else has written there: delete the topic to begin anew"))
        })
    }
}

/// The key of the one record that a source's changelog holds.
const POSITION: &[u8] = b"position";

/// That record's value, in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Counts the commits. A position alone would not tell whether a commit went through: not every
    /// reading moves it.
    pub commit: u64,
    /// Which run made it, as two of them may stand at the same number.
    #[serde(default)]
    pub run: u64,
    /// The source's own.
    pub position: Value,
}

/// Writes a reading in every output's format; one that a format cannot carry becomes a dead letter.
fn take(pending: &mut Pending, outputs: &[Output], reading: &Reading<'_>) {
    let (bytes_before, records_before) = (pending.bytes.len(), pending.records.len());
    let sensor = pending.keep(reading.sensor.as_bytes());
    for (output, Output { format, .. }) in outputs.iter().enumerate() {
        let start = pending.bytes.len();
        match format.encode(reading, &mut pending.bytes) {
            Ok(()) => {
                let value = start..pending.bytes.len();
                pending.records.push(Taken::Reading { output, sensor: sensor.clone(), value });
            }
            Err(refusal) => {
                pending.bytes.truncate(bytes_before);
                pending.records.truncate(records_before);
                let place = format!("sensor {} reading {}", reading.sensor, reading.seq);
                let bytes = pending.keep(format!("{reading:?}").as_bytes());
                pending.records.push(Taken::Bad { place, bytes, refusal });
                return;
            }
        }
    }
}
