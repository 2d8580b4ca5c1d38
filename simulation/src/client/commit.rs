//! Commits: offsets and records in one transaction, or one after the other.

use rivulet_core::error::Error;
use rivulet_core::log::Fault;

use super::{Consumer, SimulatedLog};
use crate::cluster::{BrokerError, Identity, Late, Place};
use crate::world::CommitOutcome;

impl SimulatedLog {
    pub(super) fn commit_transaction(&self, offsets: &[(Place, i64, String)]) -> Result<(), Fault> {
        self.begin()?;
        let identity = self
            .producer
            .borrow()
            .identity
            .clone()
            .expect("it was initialised");
        if !offsets.is_empty() {
            let Consumer {
                member, generation, ..
            } = *self.consumer().borrow();
            self.retry("adding the group", |cluster| {
                cluster.add_offsets(&identity, &self.group)
            })?;
            self.retry("adding the offsets", |cluster| {
                if offsets
                    .iter()
                    .any(|(place, ..)| self.was_recreated(cluster, place))
                {
                    return Err(BrokerError::UnknownTopicOrPartition);
                }
                cluster.txn_offset_commit(
                    &identity,
                    &self.group,
                    member,
                    generation,
                    offsets.to_vec(),
                )
            })?;
        }
        // The offsets are on their way while the last records are acknowledged.
        self.drain()?;
        if !offsets.is_empty() || !self.producer.borrow().added.is_empty() {
            let outcome = self.world.commit_outcome(&self.process);
            if outcome == CommitOutcome::Late {
                self.arrives_late(Late::EndTxn(identity.clone()));
            }
            if matches!(outcome, CommitOutcome::Lost | CommitOutcome::Late) {
                return Err(no_answer());
            }
            self.retry("committing", |cluster| {
                cluster.end_transaction(&identity, true)
            })?;
            self.world
                .trace(&self.process.name, || format!("commit decided {offsets:?}"));
            self.step("committed")?;
            if outcome == CommitOutcome::AnswerLost {
                return Err(no_answer());
            }
            if outcome == CommitOutcome::Repeated {
                self.leave_a_copy(&identity, offsets);
            }
        }
        self.in_transaction.set(false);
        self.producer.borrow_mut().added.clear();
        Ok(())
    }

    /// The commit that was answered was the second copy. The first copy is still on its way, on a
    /// connection that was closed.
    fn leave_a_copy(&self, identity: &Identity, offsets: &[(Place, i64, String)]) {
        let copy = if !offsets.is_empty() && self.world.chance().one_in(2) {
            let Consumer {
                member, generation, ..
            } = *self.consumer().borrow();
            Late::TxnOffsetCommit(
                identity.clone(),
                self.group.clone(),
                member,
                generation,
                offsets.to_vec(),
            )
        } else {
            Late::EndTxn(identity.clone())
        };
        self.arrives_late(copy);
        // The client knows that a connection was lost.
        self.needs_new_producer.set(true);
    }

    /// The request arrives later, whether or not its sender still waits.
    fn arrives_late(&self, request: Late) {
        let after = self.late();
        self.world.cluster().arrives_late(after, request);
    }

    pub(super) fn commit_offsets(&self, offsets: &[(Place, i64, String)]) -> Result<(), Fault> {
        self.drain()?;
        let outcome = self.world.commit_outcome(&self.process);
        if offsets.is_empty() && outcome == CommitOutcome::Answered {
            return Ok(());
        }
        if matches!(outcome, CommitOutcome::Lost | CommitOutcome::Late) {
            return Err(no_answer());
        }
        if !offsets.is_empty() {
            let Consumer {
                member, generation, ..
            } = *self.consumer().borrow();
            self.retry("committing the offsets", |cluster| {
                cluster
                    .group(&self.group)
                    .commit_offsets(member, generation, offsets.to_vec())
            })?;
            self.world.trace(&self.process.name, || {
                format!("offsets committed {offsets:?}")
            });
            self.step("committed")?;
        }
        if outcome == CommitOutcome::AnswerLost {
            Err(no_answer())
        } else {
            Ok(())
        }
    }
}

fn no_answer() -> Fault {
    Fault::Abortable(Error::new("committing", "no answer"))
}
