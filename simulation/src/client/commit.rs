//! Committing: offsets and everything that was sent, together or one after the other.

use stream::error::Error;
use stream::log::Fault;

use super::{Consumer, SimulatedLog};
use crate::cluster::{Late, Place};
use crate::world::Fate;

impl SimulatedLog {
    pub(super) fn commit_transaction(&self, offsets: &[(Place, i64, String)]) -> Result<(), Fault> {
        self.begin();
        self.drain()?;
        let identity = self.producer.borrow().identity.clone().expect("it was initialised");
        if !offsets.is_empty() {
            let Consumer { member, generation, .. } = *self.consumer().borrow();
            self.patiently("adding the group", |cluster| cluster.add_offsets(&identity, &self.stage))?;
            self.patiently("adding the offsets", |cluster| {
                cluster.txn_offset_commit(&identity, &self.stage, member, generation, offsets.to_vec())
            })?;
        }
        if !offsets.is_empty() || !self.producer.borrow().added.is_empty() {
            let fate = self.world.fate(&self.being);
            if fate == Fate::Late {
                let after = self.late();
                self.world.cluster().arrives_late(after, Late::EndTxn(identity.clone()));
            }
            if matches!(fate, Fate::Lost | Fate::Late) {
                return Err(no_answer());
            }
            self.patiently("committing", |cluster| cluster.end_transaction(&identity, true))?;
            self.world.tell(&self.being.name, || format!("commit decided {offsets:?}"));
            self.step("committed")?;
            if fate == Fate::AnswerLost {
                return Err(no_answer());
            }
        }
        self.begun.set(false);
        self.producer.borrow_mut().added.clear();
        Ok(())
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
            let Consumer { member, generation, .. } = *self.consumer().borrow();
            self.patiently("committing the offsets", |cluster| {
                cluster.group(&self.stage).commit_offsets(member, generation, offsets.to_vec())
            })?;
            self.world.tell(&self.being.name, || format!("offsets committed {offsets:?}"));
            self.step("committed")?;
        }
        if fate == Fate::AnswerLost { Err(no_answer()) } else { Ok(()) }
    }
}

fn no_answer() -> Fault {
    Fault::Undo(Error::new("committing", "no answer"))
}
