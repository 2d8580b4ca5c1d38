//! The source loop: read, send, commit.
//!
//! The source's position is committed together with its readings, as a record in the stage's
//! changelog. A source has one producer at a time: the last process to start. Each process writes a
//! claim to the changelog before its first reading. A process that finds a later claim than its own
//! ends, and its error names the other process.

use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rivulet_core::counters::Counters;
use rivulet_core::dead_letter::{self, DeadLetters};
use rivulet_core::error::{Error, Result};
use rivulet_core::exit;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::log::{Fault, Log, ProducerRecord, Rejection};
use rivulet_core::processing::OutputTopic;
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::reminder::{Reminder, lasting};
use rivulet_core::shutdown::Shutdown;
use rivulet_core::stage::{BackOff, CommitTimer, Step};
use rivulet_pipeline::{Pipeline, Stage};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::pace::Pace;
use crate::source::{Next, Progress, Source};

/// The longest wait for a reading, so that a stop is noticed soon.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// The longest sensor's name in the place of a dead letter, in characters.
const LONGEST_NAME: usize = 200;

/// The loop, step by step.
pub struct SourceLoop<L> {
    log: L,
    source: Box<dyn Source>,
    outputs: Vec<OutputTopic>,
    changelog: String,
    dead_letters: DeadLetters,
    pace: Pace,
    timer: CommitTimer,
    back_off: BackOff,
    pending: Pending,
    /// The largest size of `pending` in bytes.
    memory_budget: u64,
    /// The number of commits, including those of earlier runs.
    commits: u64,
    /// The stage's name.
    name: String,
    guarantee: Guarantee,
    claim: Claim,
    /// The end of the changelog after this process's last record. `None` if unknown.
    end: Option<i64>,
    /// When the source's progress was last reported.
    reported: Instant,
    /// The causes of aborts since the last commit. A cause that lasts is logged more and more
    /// rarely.
    warnings: Reminder<Error>,
    counters: Arc<Counters>,
    shutdown: Shutdown,
}

/// The records since the last commit. Not every source can go back, so they are kept here to be
/// sent again after an abort. The size of a commit limits them.
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
        invalid: InvalidReading,
    },
}

impl Pending {
    fn push_bytes(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    /// Turns a record that the brokers reject into a dead letter, and drops the same reading's
    /// records for other outputs. A dead letter that is rejected loses its bytes. Returns `false`
    /// if it has none.
    fn reject(&mut self, index: usize, invalid: InvalidReading) -> bool {
        match &mut self.records[index] {
            PendingRecord::Reading { sensor, value, .. } => {
                let (sensor, bytes) = (sensor.clone(), value.clone());
                let name = String::from_utf8_lossy(&self.bytes[sensor.clone()]);
                let name: String = name.chars().take(LONGEST_NAME).collect();
                self.records[index] = PendingRecord::Bad {
                    place: format!("sensor {name}"),
                    bytes,
                    invalid,
                };
                // A reading goes to all outputs or to none.
                self.records.retain(|record| match record {
                    PendingRecord::Reading { sensor: other, .. } => *other != sensor,
                    PendingRecord::Bad { .. } => true,
                });
                true
            }
            PendingRecord::Bad { bytes, .. } => {
                let had_bytes = bytes.start < bytes.end;
                bytes.end = bytes.start;
                had_bytes
            }
        }
    }
}

impl<L: Log> SourceLoop<L> {
    /// A loop with a source that has yielded nothing yet.
    #[must_use]
    pub fn new(
        log: L,
        source: Box<dyn Source>,
        pipeline: &Pipeline,
        stage: &Stage,
        outputs: Vec<OutputTopic>,
        shutdown: Shutdown,
        counters: Arc<Counters>,
    ) -> Self {
        let now = log.now();
        SourceLoop {
            log,
            pace: Pace::new(source.rate(), now),
            timer: CommitTimer::new(pipeline.commit_policy(), now),
            back_off: BackOff::new(),
            source,
            outputs,
            changelog: stage.changelog(),
            dead_letters: pipeline.dead_letters(stage),
            pending: Pending::default(),
            memory_budget: pipeline.limits.state(),
            commits: 0,
            name: stage.name.clone(),
            guarantee: pipeline.guarantee,
            claim: Claim {
                run: RandomState::new().hash_one(()),
                ..Claim::default()
            },
            end: None,
            reported: now,
            warnings: Reminder::new(),
            counters,
            shutdown,
        }
    }

    /// Sets the instance in the claim, so that a process that is replaced can name this one.
    #[must_use]
    pub fn on(mut self, instance: &str) -> Self {
        instance.clone_into(&mut self.claim.instance);
        self
    }

    /// Sets the run in the claim, which is random otherwise.
    #[must_use]
    pub fn as_run(mut self, run: u64) -> Self {
        self.claim.run = run;
        self
    }

    /// Resumes at the committed position, if there is one, and claims the source. Another process
    /// of the same stage ends at its next commit. `from_start` ignores the position.
    ///
    /// # Errors
    /// If the position cannot be read, or the source cannot resume there.
    pub fn resume(&mut self, from_start: bool) -> Result<()> {
        let mut resumed = None;
        let mut outcome = self.claim_and_resume(from_start, &mut resumed);
        while let Err(Fault::Abortable(cause) | Fault::Rejected(_, cause)) = outcome {
            tracing::warn!("transaction aborted, claiming the source again: {cause}");
            outcome = self
                .abort()
                .and_then(|()| self.claim_and_resume(from_start, &mut resumed));
        }
        match outcome {
            // A shutdown ends the first step.
            Ok(()) | Err(Fault::Shutdown) => {
                self.back_off.reset();
                Ok(())
            }
            Err(Fault::Fatal(error) | Fault::Rejected(_, error) | Fault::Abortable(error)) => {
                Err(error)
            }
        }
    }

    /// Resumes the source and commits the claim. `resumed` is the position at which the source was
    /// resumed.
    fn claim_and_resume(
        &mut self,
        from_start: bool,
        resumed: &mut Option<Value>,
    ) -> Result<(), Fault> {
        loop {
            let found = self.read_changelog()?;
            if found.own.is_some() {
                self.check_claim(found.highest.as_ref())?;
            }
            let mut is_new = false;
            if let Some(before) = found.before.filter(|_| !from_start)
                && resumed.as_ref() != Some(&before)
            {
                self.source.resume(&before).map_err(Fault::Fatal)?;
                tracing::info!(
                    "resumed at the committed position {before}; --from-start ignores it"
                );
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
                        .saturating_add(1);
                }
            }
            self.commits = found.commit;
            self.write(resumed.clone().unwrap_or_else(|| self.source.position()))?;
            self.commits += 1;
            if self.guarantee == Guarantee::ExactlyOnce {
                return Ok(());
            }
            // Without transactions nothing fences the process that is replaced. It continues until
            // it finds this claim, so this process reads the position again.
        }
    }

    /// Reads the source once, sends the reading, and commits if a commit is due. `watch` receives
    /// the source's progress about ten times a second.
    ///
    /// # Errors
    /// If this process cannot continue; a restart may help. Nothing uncommitted is visible then.
    pub fn step(&mut self, watch: &mut dyn FnMut(Option<Progress>)) -> Result<Step> {
        let mut outcome = self.read_and_commit();
        loop {
            outcome = match outcome {
                // Records have no timestamp of their own here: a rejected one means that this
                // machine's clock is wrong, not the reading.
                Err(Fault::Abortable(cause) | Fault::Rejected(Rejection::Timestamp, cause)) => {
                    self.abort_and_resend(&cause, false)
                }
                Err(Fault::Rejected(_, cause)) => self.abort_and_resend(&cause, true),
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
        if step == Step::Done || now.duration_since(self.reported) >= LONGEST_WAIT {
            self.reported = now;
            watch(self.source.progress());
        }
        Ok(step)
    }

    fn read_and_commit(&mut self) -> Result<Step, Fault> {
        let now = self.log.now();
        let early = self.pace.wait(now);
        // While the rate limit waits there is time to commit, as when an input is drained.
        let is_full = self.pending.bytes.len() as u64 >= self.memory_budget;
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
                encode(&mut self.pending, &self.outputs, &reading);
            }
            Next::Bad {
                bytes,
                place,
                invalid,
            } => {
                let bytes = self.pending.push_bytes(bytes);
                self.pending.records.push(PendingRecord::Bad {
                    place,
                    bytes,
                    invalid,
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
        self.pace.count_one();
        self.timer.record_processed();
        self.send(first..self.pending.records.len())?;
        Ok(Step::Continue)
    }

    /// Sends the pending records one by one, to find the record that the brokers reject. It becomes
    /// a dead letter.
    ///
    /// # Errors
    /// [`Fault::Rejected`] if the record was found: then abort and send everything again.
    fn send_one_by_one(&mut self) -> Result<(), Fault> {
        for index in 0..self.pending.records.len() {
            let sent = self.send(index..index + 1).and_then(|()| self.log.flush());
            match sent {
                Err(Fault::Rejected(why, cause)) if why != Rejection::Timestamp => {
                    if !self.pending.reject(index, dead_letter::rejected(&[why])) {
                        return Err(Fault::Fatal(cause));
                    }
                    return Err(Fault::Rejected(why, cause));
                }
                sent => sent?,
            }
        }
        Ok(())
    }

    /// Sends a range of the pending records.
    fn send(&mut self, which: Range<usize>) -> Result<(), Fault> {
        let bytes = |range: &Range<usize>| &self.pending.bytes[range.clone()];
        for record in &self.pending.records[which] {
            match record {
                PendingRecord::Reading {
                    output,
                    sensor,
                    value,
                } => {
                    let output = &self.outputs[*output];
                    self.log.send(&ProducerRecord {
                        topic: &output.name,
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
                    invalid,
                } => {
                    self.dead_letters
                        .route_input(&self.log, place, bytes(range), invalid)?;
                }
            }
        }
        Ok(())
    }

    /// Commits the pending records together with the source's position.
    fn commit(&mut self) -> Result<(), Fault> {
        if !self.timer.is_dirty() {
            return Ok(());
        }
        self.log.flush_unless_transactional()?;
        self.check_not_replaced()?;
        self.write(self.source.position())?;
        self.committed();
        Ok(())
    }

    /// Commits a position and all records that were sent before it.
    fn write(&mut self, position: Value) -> Result<(), Fault> {
        // Without transactions the position must never be committed before its readings.
        self.log.flush_unless_transactional()?;
        let Claim {
            epoch,
            run,
            ref instance,
            ..
        } = self.claim;
        let record = json!(PositionRecord {
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
            value: Some(record.to_string().as_bytes()),
            headers: &[],
        })?;
        self.log.commit(&[])?;
        self.end = self.end.map(|end| end + 1);
        Ok(())
    }

    /// Without transactions nothing fences a process that was replaced. Before each commit it
    /// checks whether another process has written to the changelog.
    fn check_not_replaced(&mut self) -> Result<(), Fault> {
        if self.guarantee == Guarantee::ExactlyOnce {
            return Ok(());
        }
        // Read before the changelog: the next check then notices records that come meanwhile.
        let end = self
            .log
            .watermarks(&self.changelog, &[0])?
            .first()
            .map(|watermarks| watermarks.high);
        if end.is_some() && self.end == end {
            return Ok(());
        }
        let found = self.read_changelog()?;
        self.end = end;
        self.check_claim(found.highest.as_ref())
    }

    fn committed(&mut self) {
        let readings = self
            .pending
            .records
            .iter()
            .filter(|record| matches!(record, PendingRecord::Reading { .. }))
            .count();
        self.counters.written.add(readings as u64);
        self.counters.commits.add(1);
        self.dead_letters.committed(&self.counters);
        self.source.committed();
        self.commits += 1;
        self.pending.clear();
        self.warnings.clear();
        self.timer.committed(self.log.now());
        self.back_off.reset();
    }

    /// Aborts the transaction, and sends and commits the pending records again, unless the failed
    /// commit went through nevertheless. `is_rejected`: the brokers reject one of the records.
    fn abort_and_resend(&mut self, cause: &Error, is_rejected: bool) -> Result<(), Fault> {
        match self.warnings.due(cause, self.log.now()) {
            Some(lasted) => {
                tracing::warn!(
                    "transaction aborted, sending again{}: {cause}",
                    lasting(lasted)
                );
            }
            None => tracing::debug!("transaction aborted, sending again: {cause}"),
        }
        self.counters.aborts.add(1);
        self.abort()?;
        let found = self.read_changelog()?;
        self.check_claim(found.highest.as_ref())?;
        match found.own {
            Some(commit) if commit == self.commits + 1 => {
                self.committed();
                return Ok(());
            }
            Some(commit) if commit == self.commits => {}
            // A late record of a process that was replaced may have compacted this one's away.
            _ if self.guarantee == Guarantee::AtLeastOnce => {}
            _ => return Err(self.lost_commit()),
        }
        self.dead_letters.rolled_back();
        if is_rejected {
            self.send_one_by_one()?;
        } else {
            self.send(0..self.pending.records.len())?;
        }
        self.commit()
    }

    /// Backs off and aborts the transaction.
    fn abort(&mut self) -> Result<(), Fault> {
        self.back_off.wait(&self.log, &self.shutdown)?;
        self.end = None;
        self.log.abort()
    }

    /// Ends this process if another has claimed the source since. The other one may send the same
    /// readings.
    fn check_claim(&self, highest: Option<&Claim>) -> Result<(), Fault> {
        let Some(other) = highest.filter(|other| other.rank() > self.claim.rank()) else {
            return Ok(());
        };
        let whose = match other.instance.as_str() {
            "" => "another process".to_owned(),
            instance => format!("{}@{instance}", self.name),
        };
        let doing = format!("continuing {}@{}", self.name, self.claim.instance);
        let help = "a source has one producer, and the last process to start wins: stop the \
                    process that you do not want";
        let error = Error::new(doing, format!("{whose} has taken this one's place")).help(help);
        Err(Fault::Fatal(error.exit_code(exit::REPLACED)))
    }

    fn lost_commit(&self) -> Fault {
        let cause = format!(
            "the record of the last commit of this process is missing in {}",
            self.changelog
        );
        let help = "something else writes to the topic, or it was deleted and created again: start \
                    the stage again once the topic is restored";
        Fault::Fatal(Error::new("rolling back to the last commit", cause).help(help))
    }

    /// Reads the stage's changelog.
    fn read_changelog(&mut self) -> Result<Found, Fault> {
        let (mut before, mut found) = (None, Found::default());
        let run = self.claim.run;
        self.log
            .restore(&self.changelog, &[0], &mut |_, _, value| {
                // Only the last position of another process has to be readable.
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
        let record: PositionRecord = serde_json::from_slice(&before).map_err(|error| {
            let doing = format!("reading the source's position from {}", self.changelog);
            Fault::Fatal(Error::new(doing, error).help(
                "something else has written to the topic: delete it to start at the first reading",
            ))
        })?;
        found.before = Some(record.position);
        Ok(found)
    }
}

/// The key of the only record in a source's changelog.
const POSITION: &[u8] = b"position";

/// The value of that record, in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PositionRecord {
    /// The number of commits. It shows whether a commit went through; the position does not,
    /// because not every reading changes it.
    pub commit: u64,
    /// The number of processes that have claimed the source, including this one. 0 in records of
    /// versions without claims.
    #[serde(default)]
    pub epoch: u64,
    /// A random number per process. Two processes may have the same epoch.
    #[serde(default)]
    pub run: u64,
    /// The instance, for people.
    #[serde(default)]
    pub instance: String,
    /// The source's [position](Source::position).
    pub position: Value,
}

/// The fields of a [`PositionRecord`] that say which process wrote it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Claim {
    commit: u64,
    epoch: u64,
    run: u64,
    instance: String,
}

impl Claim {
    /// The claim with the highest rank wins. Among processes that start at the same time it is a
    /// random one.
    fn rank(&self) -> (u64, u64) {
        (self.epoch, self.run)
    }
}

/// What is in the changelog.
#[derive(Default)]
struct Found {
    /// The last position that another process has committed.
    before: Option<Value>,
    /// The last commit of this process.
    own: Option<u64>,
    /// The last commit of any process.
    commit: u64,
    /// The claim with the highest rank.
    highest: Option<Claim>,
}

/// Encodes a reading in the format of each output. A reading that a format cannot encode, or that
/// is too large for a topic, becomes a dead letter.
fn encode(pending: &mut Pending, outputs: &[OutputTopic], reading: &Reading<'_>) {
    let (bytes_before, records_before) = (pending.bytes.len(), pending.records.len());
    let sensor = pending.push_bytes(reading.sensor.as_bytes());
    for (
        output,
        OutputTopic {
            name: topic,
            format,
            largest_record,
        },
    ) in outputs.iter().enumerate()
    {
        let start = pending.bytes.len();
        let encoded = format.encode(reading, &mut pending.bytes).and_then(|()| {
            let key = if format.keyed() { sensor.len() } else { 0 };
            match key + pending.bytes.len() - start {
                size if size > *largest_record => {
                    let detail =
                        format!("it has {size} bytes, and {topic} allows {largest_record}");
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
            Err(invalid) => {
                pending.bytes.truncate(bytes_before);
                pending.records.truncate(records_before);
                // A name may be as long as a line of the source.
                let name: String = reading.sensor.chars().take(LONGEST_NAME).collect();
                let place = format!("sensor {name} reading {}", reading.seq);
                let bytes = pending.push_bytes(format!("{reading:?}").as_bytes());
                pending.records.push(PendingRecord::Bad {
                    place,
                    bytes,
                    invalid,
                });
                return;
            }
        }
    }
}
