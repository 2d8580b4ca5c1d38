//! The stage loop: poll, process, commit.
//!
//! One thread does everything. Results, state, dead letters and offsets are committed together when
//! nothing is left to read, or when enough time or work has gone by ([`CommitTimer`]). Whatever
//! fails before a commit rolls back the whole transaction and is processed again. There is one way
//! back: for a failed send, for lost partitions and for a broker that was away.

mod assigned;
mod assignment;
mod back_off;
mod commit_policy;
mod commit_timer;
mod entered;
mod phase;
mod rejection_search;
mod task;
mod transitions;

use std::sync::Arc;
use std::time::Duration;

use self::assigned::{AssignedPartition, out_of_order};
pub use self::assignment::{Assignment, gap_error};
pub use self::back_off::BackOff;
pub use self::commit_policy::CommitPolicy;
pub use self::commit_timer::CommitTimer;
use self::entered::EntryTimes;
use self::phase::Phase;
use self::rejection_search::RejectionSearch;
pub use self::task::Task;
use crate::error::{Error, Result};
use crate::log::{Event, Fault, Log, OffsetAndMetadata, Record, TopicPartition};
use crate::metrics::{Activity, Metrics, TroubleKind};
use crate::reminder::Reminder;
use crate::shutdown::Shutdown;
use crate::stamps;

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
    metrics: &Arc<Metrics>,
) -> Result<T> {
    let mut stage = StageLoop::new(log, task, policy, shutdown.clone(), metrics.clone());
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
    metrics: Arc<Metrics>,
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
    /// When the uncommitted records entered the pipeline.
    entered: EntryTimes,
    /// Whether nothing has come since the last commit.
    is_drained: bool,
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
        metrics: Arc<Metrics>,
    ) -> Self {
        let timer = CommitTimer::new(policy, log.now());
        metrics.health.enter(Activity::Joining);
        StageLoop {
            log,
            task,
            shutdown,
            metrics,
            timer,
            phase: Phase::Unassigned,
            assigned: None,
            back_off: BackOff::new(),
            failure: None,
            warnings: Reminder::new(),
            rejection_search: RejectionSearch::default(),
            entered: EntryTimes::default(),
            is_drained: false,
        }
    }

    /// Processes what there is, at most a few records. Waits a moment if there is nothing.
    ///
    /// # Errors
    /// What this process cannot go on from; a restart may. Nothing uncommitted is visible then.
    pub fn step(&mut self) -> Result<Step> {
        self.metrics.uncommitted.set(self.timer.uncommitted());
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
                let entered = fields.timestamp;
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
                self.metrics.read.add(1);
                self.entered.push(entered);
                if std::mem::take(&mut self.is_drained) {
                    self.metrics.set_drained(false);
                }
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
            assigned.processed(offset);
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
        if !self.timer.is_dirty() {
            // What could not be committed is committed by now, if not by this process.
            self.metrics.health.solved(TroubleKind::Rollback);
            self.is_drained = true;
            self.metrics.set_drained(true);
        }
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
        self.metrics.health.enter(Activity::Stopping);
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
        let begun = self.log.now();
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
            assigned.committed();
        }
        self.task.on_committed();
        self.rejection_search.committed(&offsets);
        self.timer.committed(begun, self.log.now());
        self.back_off.reset();
        self.warnings.clear();
        let time = stamps::now();
        self.entered.committed(time, &self.metrics.end_to_end);
        let took = self.log.now().duration_since(begun);
        self.metrics.committed(took, time);
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
        self.metrics.health.enter(next.activity());
    }
}
