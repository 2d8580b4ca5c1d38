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

use rivulet_core::dead_letter::{self, DeadLetters};
use rivulet_core::error::{Error, Result};
use rivulet_core::guarantee::Guarantee;
use rivulet_core::log::{Fault, Log, ProducerRecord, Rejection};
use rivulet_core::metrics::{Activity, Metrics};
use rivulet_core::processing::OutputTopic;
use rivulet_core::reminder::Reminder;
use rivulet_core::shutdown::Shutdown;
use rivulet_core::stage::{BackOff, CommitTimer, Step};
use rivulet_core::stamps;
use rivulet_pipeline::{Pipeline, Stage};
use serde_json::{Value, json};

pub use self::claim::PositionRecord;
use self::claim::{Claim, POSITION};
use self::pending::{Pending, PendingRecord};
use crate::pace::Pace;
use crate::source::{Next, Progress, Source};

mod changelog;
mod claim;
mod pending;
mod rollback;

/// The longest wait for a reading, so that a stop is noticed soon.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

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
    /// When the current commit began, or the last one.
    commit_begun: Instant,
    /// The causes of aborts since the last commit. A cause that lasts is logged more and more
    /// rarely.
    warnings: Reminder<Error>,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
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
        metrics: Arc<Metrics>,
    ) -> Self {
        let now = log.now();
        let in_file = |topic: &String| pipeline.in_file(topic).to_owned();
        let names = stage.to.iter().map(in_file).collect();
        SourceLoop {
            log,
            pace: Pace::new(source.rate(), now),
            timer: CommitTimer::new(pipeline.commit_policy(stage), now),
            back_off: BackOff::new(),
            source,
            outputs,
            changelog: stage.changelog(),
            dead_letters: pipeline.dead_letters(stage),
            pending: Pending::new(names),
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
            commit_begun: now,
            warnings: Reminder::new(),
            metrics,
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

    /// What the source says about [going on here](Source::resume_hint). `None` unless everything
    /// that it has yielded is committed.
    #[must_use]
    pub fn resume_hint(&self) -> Option<String> {
        // Before the claim the source may not be at its position yet.
        let is_claimed = self.commits > 0;
        (is_claimed && self.pending.records.is_empty())
            .then(|| self.source.resume_hint())
            .flatten()
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
        let is_full = self.pending.size() as u64 >= self.memory_budget;
        if is_full
            || self.timer.is_due(now)
            || (!early.is_zero() && self.timer.is_due_when_drained(now))
        {
            self.commit()?;
        }
        if self.shutdown.is_stopping() {
            self.metrics.health.enter(Activity::Stopping);
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
                self.metrics.read.add(1);
                self.pending.push_reading(&self.outputs, &reading);
            }
            Next::Record(record) => {
                self.metrics.read.add(1);
                self.pending.push_record(&self.outputs, &record);
            }
            Next::Bad {
                bytes,
                place,
                invalid,
            } => self.pending.push_bad(place, bytes, invalid),
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
                    let invalid = dead_letter::rejected(&[why]);
                    if !self.pending.reject(index, &self.outputs, invalid) {
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
                PendingRecord::Output {
                    output,
                    key,
                    value,
                    headers,
                    ..
                } => {
                    self.log.send(&ProducerRecord {
                        topic: &self.outputs[*output].name,
                        partition: None,
                        timestamp: None,
                        key: key.as_ref().map(bytes),
                        value: value.as_ref().map(bytes),
                        headers,
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
        self.commit_begun = self.log.now();
        let uncommitted = self.pending.records.len() as u64;
        self.metrics.uncommitted.set(uncommitted);
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

    fn committed(&mut self) {
        let written = self
            .pending
            .records
            .iter()
            .filter(|record| matches!(record, PendingRecord::Output { .. }))
            .count();
        self.metrics.written.add(written as u64);
        let now = self.log.now();
        let took = now.duration_since(self.commit_begun);
        self.metrics.committed(took, stamps::now());
        self.metrics.health.enter(Activity::Running);
        self.dead_letters.committed(&self.metrics);
        self.source.committed();
        self.commits += 1;
        self.pending.clear();
        self.warnings.clear();
        self.timer.committed(self.commit_begun, now);
        self.back_off.reset();
    }
}
