//! Committing: offsets and everything that was sent, together or one after the other.

use stream::error::Error;
use stream::log::Fault;

use super::{Consumer, SimulatedLog};
use crate::cluster::{BrokerError, Identity, Late, Place};
use crate::world::Fate;

impl SimulatedLog {
    pub(super) fn commit_transaction(&self, offsets: &[(Place, i64, String)]) -> Result<(), Fault> {
        self.begin()?;
        self.drain()?;
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
            self.patiently("adding the group", |cluster| {
                cluster.add_offsets(&identity, &self.stage)
            })?;
            self.patiently("adding the offsets", |cluster| {
                if offsets
                    .iter()
                    .any(|(place, ..)| self.is_another(cluster, place))
                {
                    return Err(BrokerError::UnknownTopicOrPartition);
                }
                cluster.txn_offset_commit(
                    &identity,
                    &self.stage,
                    member,
                    generation,
                    offsets.to_vec(),
                )
            })?;
        }
        if !offsets.is_empty() || !self.producer.borrow().added.is_empty() {
            let fate = self.world.fate(&self.being);
            if fate == Fate::Late {
                self.arrives_late(Late::EndTxn(identity.clone()));
            }
            if matches!(fate, Fate::Lost | Fate::Late) {
                return Err(no_answer());
            }
            self.patiently("committing", |cluster| {
                cluster.end_transaction(&identity, true)
            })?;
            self.world
                .tell(&self.being.name, || format!("commit decided {offsets:?}"));
            self.step("committed")?;
            if fate == Fate::AnswerLost {
                return Err(no_answer());
            }
            if fate == Fate::Repeated {
                self.leave_a_copy(&identity, offsets);
            }
        }
        self.begun.set(false);
        self.producer.borrow_mut().added.clear();
        Ok(())
    }

    /// What was answered had been sent twice: the first copy of it is still on its way, through a
    /// connection that was given up.
    fn leave_a_copy(&self, identity: &Identity, offsets: &[(Place, i64, String)]) {
        let copy = if !offsets.is_empty() && self.world.chance().one_in(2) {
            let Consumer {
                member, generation, ..
            } = *self.consumer().borrow();
            Late::TxnOffsetCommit(
                identity.clone(),
                self.stage.clone(),
                member,
                generation,
                offsets.to_vec(),
            )
        } else {
            Late::EndTxn(identity.clone())
        };
        self.arrives_late(copy);
        // That a connection was lost is heard.
        self.renews.set(true);
    }

    /// A request arrives some time from now, whoever waits for it or does not.
    fn arrives_late(&self, request: Late) {
        let after = self.late();
        self.world.cluster().arrives_late(after, request);
    }

    pub(super) fn commit_offsets(&self, offsets: &[(Place, i64, String)]) -> Result<(), Fault> {
        self.drain()?;
        let fate = self.world.fate(&self.being);
        if offsets.is_empty() && fate == Fate::Answered {
            return Ok(());
        }
        if matches!(fate, Fate::Lost | Fate::Late) {
            return Err(no_answer());
        }
        if !offsets.is_empty() {
            let Consumer {
                member, generation, ..
            } = *self.consumer().borrow();
            self.patiently("committing the offsets", |cluster| {
                cluster
                    .group(&self.stage)
                    .commit_offsets(member, generation, offsets.to_vec())
            })?;
            self.world.tell(&self.being.name, || {
                format!("offsets committed {offsets:?}")
            });
            self.step("committed")?;
        }
        if fate == Fate::AnswerLost {
            Err(no_answer())
        } else {
            Ok(())
        }
    }
}

fn no_answer() -> Fault {
    Fault::Abortable(Error::new("committing", "no answer"))
}
