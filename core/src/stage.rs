//! The stage loop: poll, process, commit.
//!
//! One thread does everything. Results, state, dead letters and offsets are committed together when
//! nothing is left to read, or when enough time or work has gone by ([`CommitTimer`]). Whatever
//! fails before a commit rolls back the whole transaction and is processed again. There is one way
//! back: for a failed send, for lost partitions and for a broker that was away.

mod assignment;
mod back_off;
mod commit_policy;
mod commit_timer;
mod phase;
mod rejection_search;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

pub use self::assignment::{Assignment, gap_error};
pub use self::back_off::BackOff;
pub use self::commit_policy::CommitPolicy;
pub use self::commit_timer::CommitTimer;
use self::phase::Phase;
use self::rejection_search::RejectionSearch;
use crate::counters::Counters;
use crate::error::{Error, Result};
use crate::log::{Event, Fault, Log, OffsetAndMetadata, Record, Rejection, TopicPartition};
use crate::reminder::{Reminder, lasting};
use crate::shutdown::Shutdown;

/// What a stage does with records. The loop does the rest.
///
/// # The contract
/// The loop calls [`restore`](Self::restore) when partitions are assigned, and again after each
/// abort. From then on it calls [`process`](Self::process) for each record, in the order of the
/// offsets within a partition, and from time to time [`prepare_commit`](Self::prepare_commit),
/// [`offset_metadata`](Self::offset_metadata) and, once the commit has succeeded,
/// [`on_committed`](Self::on_committed). [`clear`](Self::clear) comes before each `restore` and
/// when partitions are revoked.
///
/// Every call may pass a [`Fault`] of the log on. A [`Fault::Fatal`] ends the stage.
#[expect(
    clippy::missing_errors_doc,
    reason = "the contract above says it for all methods"
)]
pub trait Task<L: Log> {
    /// The names of the topics that are read.
    fn inputs(&self) -> &[String];

    /// Restores what the records of these partitions need. [Fatal](Fault::Fatal) if the committed
    /// offsets are not such that the stage can go on.
    fn restore(&mut self, log: &mut L, assignments: &[Assignment]) -> Result<(), Fault>;

    /// Forgets everything that [`restore`](Self::restore) brings, and whatever is not committed.
    fn clear(&mut self);

    /// Records that these offsets of a partition were deleted before they were read.
    fn process_gap(
        &mut self,
        log: &L,
        partition: TopicPartition,
        offsets: Range<i64>,
    ) -> Result<(), Fault>;

    /// Processes one record. A bad record is not a fault but a dead letter.
    fn process(&mut self, log: &L, record: &L::Record<'_>) -> Result<(), Fault>;

    /// Processes one record again whose results the brokers have rejected, for these reasons, one
    /// for each try.
    fn process_rejected(
        &mut self,
        log: &L,
        record: &L::Record<'_>,
        rejections: &[Rejection],
    ) -> Result<(), Fault>;

    /// Writes what must be committed with these offsets: the state that has changed, what is in
    /// buffers. `is_last`: the stage stops with this commit.
    fn prepare_commit(
        &mut self,
        log: &mut L,
        offsets: &[(TopicPartition, i64)],
        is_last: bool,
    ) -> Result<(), Fault>;

    /// Everything processed so far is committed.
    fn on_committed(&mut self) {}

    /// The [metadata](OffsetAndMetadata::metadata) to commit beside the offset of a partition.
    fn offset_metadata(&self, partition: TopicPartition) -> String {
        let _ = partition;
        String::new()
    }

    /// Runs several times a second while nothing arrives.
    fn on_idle(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

/// The longest wait for a record, so that a stop is noticed soon.
const LONGEST_POLL: Duration = Duration::from_millis(100);
/// How often, and how long each time, the loop polls for events of the group after an abort.
const GROUP_POLLS: u32 = 5;
const GROUP_POLL: Duration = Duration::from_millis(10);
/// How many records are processed between two looks at the clock and at the shutdown.
const STRIDE: u64 = 64;

/// Runs a stage until it is asked to stop, or to drain and nothing is left to read. Returns its
/// task.
///
/// # Errors
/// What this process cannot go on from; a restart may. Nothing uncommitted is visible then.
pub fn run<L: Log, T: Task<L>>(
    log: L,
    task: T,
    policy: CommitPolicy,
    shutdown: &Shutdown,
    counters: &Arc<Counters>,
) -> Result<T> {
    let mut stage = StageLoop::new(log, task, policy, shutdown.clone(), counters.clone());
    while stage.step()? == Step::Continue {}
    Ok(stage.task)
}

/// The loop, step by step. [`run`] takes the steps of one stage to the end; a simulation takes the
/// steps of several in its own order.
///
/// It is in one of these phases:
///
/// ```text
///                  assigned                 restored
///   Unassigned ──────────────→ Restoring ─────────────→ Running
///       ↑                        │   ↑ ↑                 │ │ │
///       │                  fault │   │ └─────────────────┘ │ │
///       │                        ↓   │ aborted    assigned │ │
///       │                     RollingBack ←────────────────┘ │
///       │ unassigned             │                    fault  │
///       │                revoked ↓                           │
///       └──────────────────── Revoking ←─────────────────────┘
///                                                    revoked
/// ```
///
/// Records are read in `Running` only. A fault while `Revoking` stays there until the abort
/// succeeds; then the partitions are given back. A fault while `Unassigned` also rolls back.
#[derive(Debug)]
pub struct StageLoop<L, T> {
    log: L,
    task: T,
    shutdown: Shutdown,
    counters: Arc<Counters>,
    timer: CommitTimer,
    phase: Phase,
    /// The partitions that the group has assigned; `None` before it has assigned any, be it none.
    assigned: Option<Vec<AssignedPartition>>,
    back_off: BackOff,
    /// Why the transaction must be aborted.
    failure: Option<Error>,
    /// Why it was aborted, until the next commit: what lasts is logged more and more rarely.
    warnings: Reminder<Error>,
    rejection_search: RejectionSearch,
}

#[derive(Debug)]
struct AssignedPartition {
    partition: TopicPartition,
    /// The next offset to read; `None` before the committed one is known.
    position: Option<i64>,
    is_committed: bool,
}

/// Whether there is another step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is.
    Continue,
    /// The stage has come to its end.
    Done,
}

/// What a poll has brought; a record is processed already.
enum Polled {
    Record,
    Timeout,
    Assigned(Vec<TopicPartition>),
    Revoked { lost: bool },
}

impl<L: Log, T: Task<L>> StageLoop<L, T> {
    /// A stage without partitions.
    #[must_use]
    pub fn new(
        log: L,
        task: T,
        policy: CommitPolicy,
        shutdown: Shutdown,
        counters: Arc<Counters>,
    ) -> Self {
        let timer = CommitTimer::new(policy, log.now());
        StageLoop {
            log,
            task,
            shutdown,
            counters,
            timer,
            phase: Phase::Unassigned,
            assigned: None,
            back_off: BackOff::new(),
            failure: None,
            warnings: Reminder::new(),
            rejection_search: RejectionSearch::default(),
        }
    }

    /// Processes what there is, at most a few records. Waits a moment if there is nothing.
    ///
    /// # Errors
    /// What this process cannot go on from; a restart may. Nothing uncommitted is visible then.
    pub fn step(&mut self) -> Result<Step> {
        let failure = self.failure.take();
        let has_failed = failure.is_some();
        let outcome = match failure {
            None => self.poll_and_commit(),
            Some(cause) => self.roll_back(&cause).map(|()| Step::Continue),
        };
        match outcome {
            Ok(step) => Ok(step),
            Err(Fault::Abortable(cause)) => {
                self.fail(cause);
                Ok(Step::Continue)
            }
            Err(Fault::Rejected(why, cause)) => {
                let behind = self.offsets(|assigned| !assigned.is_committed);
                self.rejection_search
                    .rejected(why, behind.into_iter(), &cause)?;
                self.fail(cause);
                Ok(Step::Continue)
            }
            Err(Fault::Shutdown) => {
                if has_failed || self.timer.is_dirty() {
                    self.shutdown.mark_undone();
                }
                Ok(Step::Done)
            }
            Err(Fault::Fatal(error)) => Err(error),
        }
    }

    fn poll_and_commit(&mut self) -> Result<Step, Fault> {
        if self.shutdown.is_stopping() {
            return self.end();
        }
        // Only a poll without waiting tells that everything has been read.
        let mut wait = Duration::ZERO;
        for _ in 0..STRIDE {
            match self.poll_once(wait)? {
                Polled::Record if self.timer.is_full() => break,
                Polled::Record => wait = Duration::ZERO,
                Polled::Timeout if wait > Duration::ZERO => return self.idle(),
                Polled::Timeout => {
                    if self.timer.is_due_when_drained(self.log.now()) {
                        self.commit()?;
                    }
                    wait = self.timer.wait(self.log.now()).min(LONGEST_POLL);
                }
                Polled::Assigned(partitions) => {
                    self.set_assignment(partitions);
                    self.restore_and_assign()?;
                }
                Polled::Revoked { lost } => self.revoke(lost)?,
            }
        }
        if self.timer.is_due(self.log.now()) {
            self.commit()?;
        }
        Ok(Step::Continue)
    }

    /// Polls once and processes the record, if there is one.
    fn poll_once(&mut self, wait: Duration) -> Result<Polled, Fault> {
        let (partition, offset) = match self.log.poll(wait)? {
            Event::Record(record) => {
                let fields = record.fields();
                let (partition, offset) = (fields.partition(), fields.offset);
                // Records come in runs of one partition, and there are few: a search beats a map.
                let mut assigned = self.assigned.iter().flatten();
                let position = assigned
                    .find(|assigned| assigned.partition == partition)
                    .and_then(|assigned| assigned.position);
                if position.is_none_or(|position| position > offset) {
                    let topic = &self.task.inputs()[partition.topic];
                    return Err(out_of_order(topic, partition, offset));
                }
                debug_assert_eq!(
                    self.phase,
                    Phase::Running,
                    "a record came before its partition"
                );
                self.counters.read.add(1);
                match self.rejection_search.begin(partition, offset) {
                    None => self.task.process(&self.log, &record)?,
                    Some(rejections) => {
                        self.task.process_rejected(&self.log, &record, rejections)?;
                    }
                }
                (partition, offset)
            }
            Event::Assigned(partitions) => return Ok(Polled::Assigned(partitions)),
            Event::Revoked { lost } => return Ok(Polled::Revoked { lost }),
            Event::Timeout => return Ok(Polled::Timeout),
        };
        self.timer.record_processed();
        let mut assigned = self.assigned.iter_mut().flatten();
        if let Some(assigned) = assigned.find(|assigned| assigned.partition == partition) {
            assigned.position = Some(offset + 1);
            assigned.is_committed = false;
        }
        if self.rejection_search.is_on() {
            self.log.flush()?;
        }
        Ok(Polled::Record)
    }

    /// Nothing came for a while.
    fn idle(&mut self) -> Result<Step, Fault> {
        if self.timer.is_due_when_drained(self.log.now()) {
            self.commit()?;
        }
        self.task.on_idle()?;
        let Some(assigned) = &self.assigned else {
            return Ok(Step::Continue);
        };
        if !self.shutdown.is_draining() || self.timer.is_dirty() {
            return Ok(Step::Continue);
        }
        let positions = assigned
            .iter()
            .map(|assigned| (assigned.partition, assigned.position))
            .collect::<Vec<_>>();
        if positions.is_empty() || self.log.at_end(&positions)? {
            self.end()
        } else {
            Ok(Step::Continue)
        }
    }

    /// Commits what is processed, and what the next start finds out from.
    fn end(&mut self) -> Result<Step, Fault> {
        let is_dirty = self.timer.is_dirty();
        if is_dirty || self.assigned.iter().flatten().next().is_some() {
            match self.commit_all(true) {
                // Nothing is lost: the next start only knows a little less.
                Err(Fault::Abortable(_) | Fault::Rejected(..)) if !is_dirty => (),
                ended => ended?,
            }
        }
        Ok(Step::Done)
    }

    fn commit(&mut self) -> Result<(), Fault> {
        if self.timer.is_dirty() {
            self.commit_all(false)
        } else {
            Ok(())
        }
    }

    /// Commits results, state and offsets in one transaction.
    fn commit_all(&mut self, is_last: bool) -> Result<(), Fault> {
        let offsets = self.offsets(|assigned| is_last || !assigned.is_committed);
        self.task
            .prepare_commit(&mut self.log, &offsets, is_last)
            .and_then(|()| {
                let offsets = offsets.iter().map(|(partition, offset)| OffsetAndMetadata {
                    partition: *partition,
                    offset: *offset,
                    metadata: self.task.offset_metadata(*partition),
                });
                self.log.commit(&offsets.collect::<Vec<_>>())
            })
            .map_err(|fault| self.rejection_search.outside_of_records(fault))?;
        for assigned in self.assigned.iter_mut().flatten() {
            assigned.is_committed = true;
        }
        self.task.on_committed();
        self.rejection_search.committed(&offsets);
        self.counters.commits.add(1);
        self.timer.committed(self.log.now());
        self.back_off.reset();
        self.warnings.clear();
        Ok(())
    }

    fn partitions(&self) -> Vec<TopicPartition> {
        let assigned = self.assigned.iter().flatten();
        assigned.map(|assigned| assigned.partition).collect()
    }

    /// The next offsets of some of the assigned partitions, as far as they are known.
    fn offsets(&self, which: impl Fn(&AssignedPartition) -> bool) -> Vec<(TopicPartition, i64)> {
        let assigned = self.assigned.iter().flatten();
        assigned
            .filter(|assigned| which(assigned))
            .filter_map(|assigned| Some((assigned.partition, assigned.position?)))
            .collect()
    }

    /// Restores what the assigned partitions need and starts to read them.
    fn restore_and_assign(&mut self) -> Result<(), Fault> {
        self.enter(Phase::Restoring);
        let partitions = self.partitions();
        self.task.clear();
        let assignments = assignment::look_up(&mut self.log, self.task.inputs(), &partitions)?;
        self.task.restore(&mut self.log, &assignments)?;
        if let Some(assigned) = &mut self.assigned {
            *assigned = assignments.iter().map(AssignedPartition::from).collect();
        }
        for assignment in &assignments {
            if let Some(gap) = assignment.gap() {
                self.task
                    .process_gap(&self.log, assignment.partition, gap)?;
            }
        }
        // An offset that is committed before the first record is read tells a first start from an
        // offset that Kafka has forgotten.
        let mut assigned = self.assigned.iter().flatten();
        if assigned.any(|assigned| !assigned.is_committed) {
            self.commit_all(false)?;
        }
        self.log.assign(&self.offsets(|_| true))?;
        self.enter(match self.assigned {
            Some(_) => Phase::Running,
            None => Phase::Unassigned,
        });
        Ok(())
    }

    /// Commits while the partitions are still assigned, and gives them back.
    fn revoke(&mut self, lost: bool) -> Result<(), Fault> {
        self.enter(Phase::Revoking);
        let named = named(self.task.inputs(), &self.partitions());
        let how = if lost { "lost" } else { "revoked" };
        tracing::info!(partitions = named, "rebalance: partitions {how}");
        let committed = if lost && self.timer.is_dirty() {
            let cause = "the group has given the partitions to another member";
            Err(Fault::Abortable(Error::new("committing", cause)))
        } else {
            self.commit()
        };
        self.assigned = None;
        self.rejection_search.keep(&[]);
        match committed {
            Err(Fault::Abortable(cause) | Fault::Rejected(_, cause)) => self.abort(&cause)?,
            committed => committed?,
        }
        self.unassign()
    }

    fn unassign(&mut self) -> Result<(), Fault> {
        self.task.clear();
        self.log.unassign()?;
        self.enter(Phase::Unassigned);
        Ok(())
    }

    /// Rolls back to the last commit and goes on from there.
    fn roll_back(&mut self, cause: &Error) -> Result<(), Fault> {
        self.abort(cause)?;
        if self.phase == Phase::Revoking {
            return self.unassign();
        }
        // However often this fails, the group must be heard: it may wait for this member, or have
        // removed it, which can take several events to tell.
        for _ in 0..GROUP_POLLS {
            let polled = match self.log.poll(GROUP_POLL)? {
                Event::Assigned(partitions) => Polled::Assigned(partitions),
                Event::Revoked { lost } => Polled::Revoked { lost },
                // Nothing is read before the partitions are assigned again.
                Event::Record(_) | Event::Timeout => Polled::Timeout,
            };
            match polled {
                Polled::Assigned(partitions) => self.set_assignment(partitions),
                Polled::Revoked { lost } => return self.revoke(lost),
                Polled::Record | Polled::Timeout => {}
            }
        }
        self.restore_and_assign()
    }

    fn set_assignment(&mut self, partitions: Vec<TopicPartition>) {
        let named = named(self.task.inputs(), &partitions);
        tracing::info!(partitions = named, "rebalance: partitions assigned");
        self.rejection_search.keep(&partitions);
        let assigned = partitions.into_iter().map(|partition| AssignedPartition {
            partition,
            position: None,
            is_committed: true,
        });
        self.assigned = Some(assigned.collect());
    }

    /// Aborts the transaction: the committed offsets count again.
    fn abort(&mut self, cause: &Error) -> Result<(), Fault> {
        match self.warnings.due(cause, self.log.now()) {
            Some(lasted) => {
                tracing::warn!("transaction aborted, retrying{}: {cause}", lasting(lasted));
            }
            None => tracing::debug!("transaction aborted, retrying: {cause}"),
        }
        self.counters.aborts.add(1);
        self.rejection_search.rolled_back();
        self.back_off.wait(&self.log, &self.shutdown)?;
        self.log.abort()?;
        self.timer.committed(self.log.now());
        for assigned in self.assigned.iter_mut().flatten() {
            (assigned.position, assigned.is_committed) = (None, true);
        }
        Ok(())
    }

    /// The transaction must be aborted before anything else.
    fn fail(&mut self, cause: Error) {
        if self.phase != Phase::Revoking {
            self.enter(Phase::RollingBack);
        }
        self.failure = Some(cause);
    }

    fn enter(&mut self, next: Phase) {
        debug_assert!(
            self.phase.may_become(next),
            "{:?} became {next:?}",
            self.phase
        );
        if self.phase != next {
            tracing::debug!("{:?} → {next:?}", self.phase);
        }
        self.phase = next;
    }
}

impl From<&Assignment> for AssignedPartition {
    fn from(assignment: &Assignment) -> Self {
        AssignedPartition {
            partition: assignment.partition,
            position: Some(assignment.next()),
            is_committed: assignment.gap().is_none() && assignment.committed.is_some(),
        }
    }
}

/// Partitions for a log line: `warm [0, 2], cold [1]`.
fn named(inputs: &[String], partitions: &[TopicPartition]) -> String {
    let mut named = Vec::new();
    for (topic, name) in inputs.iter().enumerate() {
        let of_topic = partitions
            .iter()
            .filter(|partition| partition.topic == topic);
        let mut numbers: Vec<i32> = of_topic.map(|partition| partition.partition).collect();
        numbers.sort_unstable();
        if !numbers.is_empty() {
            named.push(format!("{name} {numbers:?}"));
        }
    }
    if named.is_empty() {
        "none".to_owned()
    } else {
        named.join(", ")
    }
}

/// A record that neither Kafka nor librdkafka ever returns. No result of it could be right.
fn out_of_order(topic: &str, partition: TopicPartition, offset: i64) -> Fault {
    let doing = format!("reading {topic} [{}]", partition.partition);
    let cause = format!("the record at offset {offset} is not in the assignment or out of order");
    Fault::Fatal(Error::new(doing, cause))
}
