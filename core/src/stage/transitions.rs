//! How the loop gets to another phase: it restores, revokes and rolls back.

use super::assigned::{AssignedPartition, named};
use super::phase::Phase;
use super::task::Task;
use super::{GROUP_POLL, GROUP_POLLS, Polled, StageLoop, assignment};
use crate::error::{Error, Result};
use crate::log::{Event, Fault, Log, TopicPartition};
use crate::reminder::lasting;

impl<L: Log, T: Task<L>> StageLoop<L, T> {
    /// Restores what the assigned partitions need and starts to read them.
    pub(super) fn restore_and_assign(&mut self) -> Result<(), Fault> {
        self.enter(Phase::Restoring);
        let partitions = self.partitions();
        self.task.clear();
        let assignments = assignment::look_up(&mut self.log, self.task.inputs(), &partitions)?;
        let begun = self.log.now();
        self.task.restore(&mut self.log, &assignments)?;
        self.metrics
            .restored_in(self.log.now().duration_since(begun));
        for assigned in self.assigned.iter_mut().flatten() {
            let mut assignments = assignments.iter();
            if let Some(assignment) =
                assignments.find(|assignment| assignment.partition == assigned.partition)
            {
                assigned.looked_up(assignment);
            }
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
    pub(super) fn revoke(&mut self, lost: bool) -> Result<(), Fault> {
        self.enter(Phase::Revoking);
        let partitions = self.partitions();
        let how = if lost { "lost" } else { "revoked" };
        // A stage that is removed from its group after its partitions were revoked loses none.
        if !partitions.is_empty() {
            let named = named(self.task.inputs(), &partitions);
            tracing::info!(partitions = named, "rebalance: partitions {how}");
        }
        self.metrics.rebalances.add(how, 1);
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

    pub(super) fn unassign(&mut self) -> Result<(), Fault> {
        self.task.clear();
        self.metrics.unassigned();
        self.log.unassign()?;
        self.enter(Phase::Unassigned);
        Ok(())
    }

    /// Rolls back to the last commit and goes on from there.
    pub(super) fn roll_back(&mut self, cause: &Error) -> Result<(), Fault> {
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

    pub(super) fn set_assignment(&mut self, partitions: Vec<TopicPartition>) {
        let named = named(self.task.inputs(), &partitions);
        tracing::info!(partitions = named, "rebalance: partitions assigned");
        self.metrics.rebalances.add("assigned", 1);
        self.metrics.health.assigned();
        self.metrics.unassigned();
        self.rejection_search.keep(&partitions);
        let assigned = partitions
            .into_iter()
            .map(|partition| AssignedPartition::new(partition, self.task.inputs(), &self.metrics));
        self.assigned = Some(assigned.collect());
    }

    /// Aborts the transaction: the committed offsets count again.
    pub(super) fn abort(&mut self, cause: &Error) -> Result<(), Fault> {
        match self.warnings.due(cause, self.log.now()) {
            Some(lasted) => {
                tracing::warn!("transaction aborted, retrying{}: {cause}", lasting(lasted));
            }
            None => tracing::debug!("transaction aborted, retrying: {cause}"),
        }
        self.metrics.rolled_back(cause);
        self.entered.clear();
        self.rejection_search.rolled_back();
        self.back_off.wait(&self.log, &self.shutdown)?;
        self.log.abort()?;
        self.timer.aborted(self.log.now());
        for assigned in self.assigned.iter_mut().flatten() {
            assigned.rolled_back();
        }
        Ok(())
    }

    /// The transaction must be aborted before anything else.
    pub(super) fn fail(&mut self, cause: Error) {
        if self.phase != Phase::Revoking {
            self.enter(Phase::RollingBack);
        }
        self.failure = Some(cause);
    }
}
