//! The producer's loop: take a reading, pace it, send it, commit it with the source's position.
//!
//! A source stage is one producer to Kafka, wherever it runs: the last process to start goes on. It
//! claims the source by a record in the changelog before its first reading; a process that finds a
//! later claim than its own ends, and says whose that is.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stream::counters::Counters;
use stream::dead_letter::{self, DeadLetters};
use stream::error::{Error, Result};
use stream::exit;
use stream::format::Format;
use stream::log::{Fault, Log, ProducerRecord, Rejection};
use stream::pipeline::{Guarantee, Pipeline, Stage};
use stream::reading::{InvalidReading, Reading};
use stream::reminder::{Reminder, lasting};
use stream::shutdown::Shutdown;
use stream::stage::{BackOff, CommitTimer, Step};

use crate::pace::Pace;
use crate::source::{Next, Progress, Source};

/// The longest wait for a reading, so that a stop is noticed soon.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// How much of a sensor's name is told as the place of a dead letter, in characters.
const NAMED: usize = 200;

/// The loop, step by step.
pub struct SourceLoop<L> {
    log: L,
    source: Box<dyn Source>,
    outputs: Vec<Output>,
    changelog: String,
    dead_letters: DeadLetters,
    pace: Pace,
    timer: CommitTimer,
    back_off: BackOff,
    pending: Pending,
    /// How many bytes may be pending.
    room: u64,
    /// How many commits there have been, those of earlier runs among them.
    commits: u64,
    /// The stage's name.
    name: String,
    guarantee: Guarantee,
    claim: Claim,
    /// The end of the changelog behind this process's last record, if that is known.
    end: Option<i64>,
    /// When the source's progress was last told.
    told: Instant,
    /// What is being undone, until it gets on: what lasts is told more and more rarely.
    troubles: Reminder<Error>,
    counters: Arc<Counters>,
    shutdown: Shutdown,
}

struct Output {
    topic: String,
    format: Box<dyn Format>,
    /// How many bytes of key and value the topic takes.
    largest: usize,
}

/// What was taken from the source since the last commit. A source need not be able to go back, so
/// what has to be sent again is kept here; a commit's size bounds it.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    records: Vec<PendingRecord>,
}

enum PendingRecord {
    Reading {
        output: usize,
        sensor: Range<usize>,
        value: Range<usize>,
    },
    Bad {
        place: String,
        bytes: Range<usize>,
        refusal: InvalidReading,
    },
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

    /// Makes a dead letter of a record that brokers reject, and of what else was made of its
    /// reading; of a dead letter one without bytes. Gives false if there is nothing left to leave
    /// out.
    fn refuse(&mut self, index: usize, refusal: InvalidReading) -> bool {
        match &mut self.records[index] {
            PendingRecord::Reading { sensor, value, .. } => {
                let (sensor, bytes) = (sensor.clone(), value.clone());
                let name = String::from_utf8_lossy(&self.bytes[sensor.clone()]);
                let place = format!("sensor {}", name.chars().take(NAMED).collect::<String>());
                self.records[index] = PendingRecord::Bad {
                    place,
                    bytes,
                    refusal,
                };
                // A reading goes to all outputs or to none.
                self.records.retain(|taken| !matches!(taken, PendingRecord::Reading { sensor: other, .. } if *other == sensor));
                true
            }
            PendingRecord::Bad { bytes, .. } => {
                let had_some = bytes.start < bytes.end;
                bytes.end = bytes.start;
                had_some
            }
        }
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
        let output = |name: &String| {
            let topic = pipeline.topic(name);
            Output {
                topic: name.clone(),
                format: topic.build_format(),
                largest: topic.largest_record(),
            }
        };
        let now = log.now();
        SourceLoop {
            log,
            pace: Pace::new(source.rate(), now),
            timer: CommitTimer::new(pipeline.commit_policy(), now),
            back_off: BackOff::new(),
            source,
            outputs: stage.to.iter().map(output).collect(),
            changelog: stage.changelog(),
            dead_letters: DeadLetters::of(pipeline, stage),
            pending: Pending::default(),
            room: pipeline.limits.state(),
            commits: 0,
            name: stage.name.clone(),
            guarantee: pipeline.guarantee,
            claim: Claim {
                run: RandomState::new().hash_one(()),
                ..Claim::default()
            },
            end: None,
            told: now,
            troubles: Reminder::new(),
            counters,
            shutdown,
        }
    }

    /// The same under the name of an instance, by which another process can say who took its place.
    #[must_use]
    pub fn on(mut self, instance: &str) -> Self {
        instance.clone_into(&mut self.claim.instance);
        self
    }

    /// The same as this run, which else is drawn: a simulation draws it itself.
    #[must_use]
    pub fn as_run(mut self, run: u64) -> Self {
        self.claim.run = run;
        self
    }

    /// Goes on behind the position of an earlier run, if there was one, and claims the source: a
    /// process that runs the same stage elsewhere ends at its next commit. `from_start` forgets the
    /// position.
    ///
    /// # Errors
    /// If the position cannot be read, or the source no longer has it.
    pub fn resume(&mut self, from_start: bool) -> Result<()> {
        let mut resumed = None;
        let mut outcome = self.take_over(from_start, &mut resumed);
        while let Err(Fault::Abortable(cause) | Fault::Rejected(_, cause)) = outcome {
            tracing::warn!("claiming the source again: {cause}");
            outcome = self
                .go_back()
                .and_then(|()| self.take_over(from_start, &mut resumed));
        }
        match outcome {
            // The first step tells of a stop.
            Ok(()) | Err(Fault::Shutdown) => {
                self.back_off.reset();
                Ok(())
            }
            Err(Fault::Fatal(error) | Fault::Rejected(_, error) | Fault::Abortable(error)) => {
                Err(error)
            }
        }
    }

    /// Resumes the source, and writes the claim; `resumed` is the position that it was resumed at.
    fn take_over(&mut self, from_start: bool, resumed: &mut Option<Value>) -> Result<(), Fault> {
        loop {
            let found = self.find()?;
            if found.own.is_some() {
                self.check_claim(found.highest.as_ref())?;
            }
            let mut is_new = false;
            if let Some(before) = found.before.filter(|_| !from_start)
                && resumed.as_ref() != Some(&before)
            {
                self.source.resume(&before).map_err(Fault::Fatal)?;
                tracing::info!("going on behind {before}; --from-start begins anew");
                (*resumed, is_new) = (Some(before), true);
            }
            match found.own {
                Some(commit) if !is_new => {
                    self.commits = commit;
                    return Ok(());
                }
                Some(_) => {}
                None => {
                    self.claim.epoch = found
                        .highest
                        .map_or(0, |highest| highest.epoch)
                        .saturating_add(1)
                }
            }
            self.commits = found.commit;
            self.write(resumed.clone().unwrap_or_else(|| self.source.position()))?;
            self.commits += 1;
            if self.guarantee == Guarantee::ExactlyOnce {
                return Ok(());
            }
            // Without a transaction the one that is replaced goes on until it sees the claim. This
            // one looks again, to go on behind what that has committed meanwhile.
        }
    }

    /// Takes a reading, or waits a moment for one, and commits when it is time; `watch` is told now
    /// and then how far the source is.
    ///
    /// # Errors
    /// What this process cannot go on from; a restart may. Nothing uncommitted is visible then.
    pub fn step(&mut self, watch: &mut dyn FnMut(Option<Progress>)) -> Result<Step> {
        let mut outcome = self.take_and_commit();
        loop {
            outcome = match outcome {
                // A clock that is wrong is no reading's fault: what it stamps passes once it is
                // right.
                Err(Fault::Abortable(cause) | Fault::Rejected(Rejection::Timestamp, cause)) => {
                    self.undo(&cause, false)
                }
                Err(Fault::Rejected(_, cause)) => self.undo(&cause, true),
                outcome => break self.end_step(outcome, watch),
            }
            .map(|()| Step::Continue);
        }
    }

    fn end_step(
        &mut self,
        outcome: Result<Step, Fault>,
        watch: &mut dyn FnMut(Option<Progress>),
    ) -> Result<Step> {
        let step = match outcome {
            Ok(step) => step,
            Err(Fault::Shutdown) => {
                if !self.pending.records.is_empty() {
                    self.shutdown.mark_undone();
                }
                Step::Done
            }
            Err(Fault::Fatal(error) | Fault::Rejected(_, error) | Fault::Abortable(error)) => {
                return Err(error);
            }
        };
        let now = self.log.now();
        if step == Step::Done || now.duration_since(self.told) >= LONGEST_WAIT {
            self.told = now;
            watch(self.source.progress());
        }
        Ok(step)
    }

    fn take_and_commit(&mut self) -> Result<Step, Fault> {
        let now = self.log.now();
        let early = self.pace.wait(now);
        // A reading that is not due yet leaves time to commit, as an input that is drained.
        let is_full = self.pending.bytes.len() as u64 >= self.room;
        if is_full
            || self.timer.is_due(now)
            || (!early.is_zero() && self.timer.is_due_when_drained(now))
        {
            self.commit()?;
        }
        if self.shutdown.is_stopping() {
            self.commit()?;
            return Ok(Step::Done);
        }
        if !early.is_zero() {
            self.log
                .sleep(early.min(LONGEST_WAIT).min(self.timer.wait(now)));
            return Ok(Step::Continue);
        }
        let first = self.pending.records.len();
        match self
            .source
            .next(LONGEST_WAIT.min(self.timer.wait(now)))
            .map_err(Fault::Fatal)?
        {
            Next::Reading(reading) | Next::Measured(reading) => {
                self.counters.read.add(1);
                take(&mut self.pending, &self.outputs, &reading);
            }
            Next::Bad {
                bytes,
                place,
                refusal,
            } => {
                let bytes = self.pending.keep(bytes);
                self.pending.records.push(PendingRecord::Bad {
                    place,
                    bytes,
                    refusal,
                });
            }
            Next::NotYet => {
                if self.timer.is_due_when_drained(self.log.now()) {
                    self.commit()?;
                }
                return Ok(Step::Continue);
            }
            Next::End => {
                self.commit()?;
                return Ok(Step::Done);
            }
        }
        self.pace.took_one();
        self.timer.record_processed();
        self.send(first..self.pending.records.len())?;
        Ok(Step::Continue)
    }

    /// Sends what is pending one by one, to find what brokers reject: that becomes a dead letter.
    ///
    /// # Errors
    /// [`Fault::Rejected`] when it was found: then all is to be sent again.
    fn send_one_by_one(&mut self) -> Result<(), Fault> {
        for index in 0..self.pending.records.len() {
            let sent = self.send(index..index + 1).and_then(|()| self.log.flush());
            match sent {
                Err(Fault::Rejected(why, cause)) if why != Rejection::Timestamp => {
                    if !self.pending.refuse(index, dead_letter::rejected(&[why])) {
                        return Err(Fault::Fatal(cause));
                    }
                    return Err(Fault::Rejected(why, cause));
                }
                sent => sent?,
            }
        }
        Ok(())
    }

    /// Sends some of what is pending.
    fn send(&mut self, which: Range<usize>) -> Result<(), Fault> {
        let bytes = |range: &Range<usize>| &self.pending.bytes[range.clone()];
        for taken in &self.pending.records[which] {
            match taken {
                PendingRecord::Reading {
                    output,
                    sensor,
                    value,
                } => {
                    let output = &self.outputs[*output];
                    self.log.send(&ProducerRecord {
                        topic: &output.topic,
                        partition: None,
                        timestamp: None,
                        key: output.format.keyed().then(|| bytes(sensor)),
                        value: Some(bytes(value)),
                        headers: &[],
                    })?;
                }
                PendingRecord::Bad {
                    place,
                    bytes: range,
                    refusal,
                } => {
                    self.dead_letters
                        .route_input(&self.log, place, bytes(range), refusal)?;
                }
            }
        }
        Ok(())
    }

    /// Makes what is pending permanent, together with the source's position behind it.
    fn commit(&mut self) -> Result<(), Fault> {
        if !self.timer.is_dirty() {
            return Ok(());
        }
        self.log.flush_unless_transactional()?;
        self.look_for_others()?;
        self.write(self.source.position())?;
        self.committed();
        Ok(())
    }

    /// Commits a position, and what was sent before it.
    fn write(&mut self, position: Value) -> Result<(), Fault> {
        // Without transactions the position must not get ahead of the readings.
        self.log.flush_unless_transactional()?;
        let Claim {
            epoch,
            run,
            ref instance,
            ..
        } = self.claim;
        let saved = json!(PositionRecord {
            commit: self.commits + 1,
            epoch,
            run,
            instance: instance.clone(),
            position
        });
        self.log.send(&ProducerRecord {
            topic: &self.changelog,
            partition: Some(0),
            timestamp: None,
            key: Some(POSITION),
            value: Some(saved.to_string().as_bytes()),
            headers: &[],
        })?;
        self.log.commit(&[])?;
        self.end = self.end.map(|end| end + 1);
        Ok(())
    }

    /// Without transactions nothing fences a process that was replaced: it looks for itself, before
    /// each commit, whether somebody else has written to its changelog.
    fn look_for_others(&mut self) -> Result<(), Fault> {
        if self.guarantee == Guarantee::ExactlyOnce {
            return Ok(());
        }
        // Asked for before it is looked, so that what comes meanwhile is noticed the next time.
        let end = self
            .log
            .watermarks(&self.changelog, &[0])?
            .first()
            .map(|watermarks| watermarks.high);
        if end.is_some() && self.end == end {
            return Ok(());
        }
        let found = self.find()?;
        self.end = end;
        self.check_claim(found.highest.as_ref())
    }

    fn committed(&mut self) {
        let readings = self
            .pending
            .records
            .iter()
            .filter(|taken| matches!(taken, PendingRecord::Reading { .. }))
            .count();
        self.counters.written.add(readings as u64);
        self.counters.commits.add(1);
        self.dead_letters.committed(&self.counters);
        self.source.committed();
        self.commits += 1;
        self.pending.clear();
        self.troubles.clear();
        self.timer.committed(self.log.now());
        self.back_off.reset();
    }

    /// What is pending is sent and committed again, unless the commit that seemed to fail went
    /// through; one by one if brokers reject something of it.
    fn undo(&mut self, cause: &Error, is_rejected: bool) -> Result<(), Fault> {
        match self.troubles.due(cause, self.log.now()) {
            Some(lasted) => tracing::warn!(
                "sending again what is not committed{}: {cause}",
                lasting(lasted)
            ),
            None => tracing::debug!("sending again what is not committed: {cause}"),
        }
        self.counters.aborts.add(1);
        self.go_back()?;
        let found = self.find()?;
        self.check_claim(found.highest.as_ref())?;
        match found.own {
            Some(commit) if commit == self.commits + 1 => {
                self.committed();
                return Ok(());
            }
            Some(commit) if commit == self.commits => {}
            // A late record of the one that was replaced may stand in the place of this one's.
            _ if self.guarantee == Guarantee::AtLeastOnce => {}
            _ => return Err(self.lost_position()),
        }
        self.dead_letters.rolled_back();
        if is_rejected {
            self.send_one_by_one()?;
        } else {
            self.send(0..self.pending.records.len())?;
        }
        self.commit()
    }

    /// Goes back to the last commit, after a while.
    fn go_back(&mut self) -> Result<(), Fault> {
        self.back_off.wait(&self.log, &self.shutdown)?;
        self.end = None;
        self.log.abort()
    }

    /// Ends this process if another has claimed the source since: what is pending may be among what
    /// that one sends.
    fn check_claim(&self, highest: Option<&Claim>) -> Result<(), Fault> {
        let Some(other) = highest.filter(|other| other.rank() > self.claim.rank()) else {
            return Ok(());
        };
        let whose = match other.instance.as_str() {
            "" => "another process".to_owned(),
            instance => format!("{}@{instance}", self.name),
        };
        let doing = format!("going on with {}@{}", self.name, self.claim.instance);
        let help = "a source has one producer, wherever that runs, and the last to start goes on: \
                    stop the one that is not wanted";
        let error = Error::new(doing, format!("{whose} has taken this one's place")).help(help);
        Err(Fault::Fatal(error.exit_code(exit::REPLACED)))
    }

    fn lost_position(&self) -> Fault {
        let cause = format!(
            "what this process committed last is not in {} any more",
            self.changelog
        );
        let help = "something else writes to the topic, or it was made anew: start the stage again \
                    once it is whole";
        Fault::Fatal(Error::new("going back to the last commit", cause).help(help))
    }

    /// What the changelog holds.
    fn find(&mut self) -> Result<Found, Fault> {
        let (mut before, mut found) = (None, Found::default());
        let run = self.claim.run;
        self.log
            .restore(&self.changelog, &[0], &mut |_, _, value| {
                // Only what this process goes on from has to be readable.
                let claim = value.and_then(|value| serde_json::from_slice::<Claim>(value).ok());
                let claim = claim.unwrap_or_default();
                found.commit = claim.commit;
                if claim.run == run {
                    found.own = Some(claim.commit);
                } else {
                    before = value.map(<[u8]>::to_vec);
                }
                if found
                    .highest
                    .as_ref()
                    .is_none_or(|highest| highest.rank() < claim.rank())
                {
                    found.highest = Some(claim);
                }
            })?;
        let Some(before) = before else {
            return Ok(found);
        };
        let saved: PositionRecord = serde_json::from_slice(&before).map_err(|error| {
            let error = Error::new(
                format!("reading the source's position from {}", self.changelog),
                error,
            );
            Fault::Fatal(
                error.help("something else has written there: delete the topic to begin anew"),
            )
        })?;
        found.before = Some(saved.position);
        Ok(found)
    }
}

/// The key of the one record that a source's changelog holds.
const POSITION: &[u8] = b"position";

/// That record's value, in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PositionRecord {
    /// Counts the commits. A position alone would not tell whether a commit went through: not every
    /// reading moves it.
    pub commit: u64,
    /// Counts the processes that claimed the source one after the other, this one included; 0 in
    /// records of versions that made no claim.
    #[serde(default)]
    pub epoch: u64,
    /// Which of them made it, as two may stand at the same number.
    #[serde(default)]
    pub run: u64,
    /// Its instance, for a person.
    #[serde(default)]
    pub instance: String,
    /// The source's own.
    pub position: Value,
}

/// As much of such a record as tells whose it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Claim {
    commit: u64,
    epoch: u64,
    run: u64,
    instance: String,
}

impl Claim {
    /// The claim of the highest rank holds. Of processes that started in the same moment it may be
    /// any.
    fn rank(&self) -> (u64, u64) {
        (self.epoch, self.run)
    }
}

/// What there is in the changelog.
#[derive(Default)]
struct Found {
    /// The last position that another process has committed.
    before: Option<Value>,
    /// This process's last commit.
    own: Option<u64>,
    /// The last commit, whoever made it.
    commit: u64,
    /// The claim that holds.
    highest: Option<Claim>,
}

/// Writes a reading in every output's format; one that a format cannot carry, or a topic does not
/// take, becomes a dead letter.
fn take(pending: &mut Pending, outputs: &[Output], reading: &Reading<'_>) {
    let (bytes_before, records_before) = (pending.bytes.len(), pending.records.len());
    let sensor = pending.keep(reading.sensor.as_bytes());
    for (
        output,
        Output {
            topic,
            format,
            largest,
        },
    ) in outputs.iter().enumerate()
    {
        let start = pending.bytes.len();
        let encoded = format.encode(reading, &mut pending.bytes).and_then(|()| {
            let key = if format.keyed() { sensor.len() } else { 0 };
            match key + pending.bytes.len() - start {
                size if size > *largest => {
                    let detail = format!("it has {size} bytes, and {topic} takes {largest}");
                    Err(InvalidReading::new("too-large", detail))
                }
                _ => Ok(()),
            }
        });
        match encoded {
            Ok(()) => {
                let value = start..pending.bytes.len();
                pending.records.push(PendingRecord::Reading {
                    output,
                    sensor: sensor.clone(),
                    value,
                });
            }
            Err(refusal) => {
                pending.bytes.truncate(bytes_before);
                pending.records.truncate(records_before);
                // A name may be as long as the line that it came in.
                let name: String = reading.sensor.chars().take(NAMED).collect();
                let place = format!("sensor {name} reading {}", reading.seq);
                let bytes = pending.keep(format!("{reading:?}").as_bytes());
                pending.records.push(PendingRecord::Bad {
                    place,
                    bytes,
                    refusal,
                });
                return;
            }
        }
    }
}
