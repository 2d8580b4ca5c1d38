//! What chaos waits for: growth, recovery, brokers and processes.

use std::time::Duration;

use super::script::PROCESSES;
use super::{Chaos, OUTPUTS, PARTITIONS};
use crate::chain::OPERATORS;
use crate::wait;

impl Chaos {
    /// Waits for a condition, and does what is due meanwhile.
    pub(super) fn until(&mut self, what: &str, mut so: impl FnMut(&mut Self) -> bool) {
        let done = wait::until(RECOVERY_LIMIT, || {
            self.do_what_is_due();
            so(self).then_some(())
        });
        assert!(
            done.is_some(),
            "after {RECOVERY_LIMIT:?} still waiting: {what}"
        );
    }

    /// Waits until both outputs have grown.
    pub(super) fn wait_for_growth(&mut self) {
        let mut first: [Option<i64>; 2] = [None; 2];
        self.until("both outputs grow", |chaos| {
            OUTPUTS.iter().zip(&mut first).all(|(topic, first)| {
                let Some(end) = chaos.end(topic) else {
                    return false;
                };
                end >= *first.get_or_insert(end) + GROWTH
            })
        });
    }

    /// The sum of the end offsets of a topic.
    pub(super) fn end(&self, topic: &str) -> Option<i64> {
        let ends = self.observer.ends(&self.scenario.name(topic), PARTITIONS)?;
        Some(ends.into_iter().sum())
    }

    /// Waits until everything has recovered: brokers, processes, groups, and each partition grows.
    pub(super) fn wait_for_recovery(&mut self) {
        self.wait_for_growth();
        self.wait_for_brokers();
        for index in 0..PROCESSES.len() {
            self.wait_without_zombie(index);
            self.wait_until_resumed(index);
        }
        for stage in OPERATORS {
            let members = PROCESSES
                .iter()
                .zip(&self.slots)
                .filter(|((name, _), slot)| *name == stage && slot.process.is_some());
            let members = members.count();
            let group = self.scenario.name(stage);
            self.until(&format!("{stage} has {members} members"), |chaos| {
                chaos.observer.members(&group) == Some(members)
            });
        }
        for topic in OUTPUTS {
            let name = self.scenario.name(topic);
            let mut first = None;
            self.until(&format!("each partition of {topic} grows"), |chaos| {
                let Some(ends) = chaos.observer.ends(&name, PARTITIONS) else {
                    return false;
                };
                let first = first.get_or_insert_with(|| ends.clone());
                // Ten sensors need not use every partition.
                ends.iter()
                    .zip(first)
                    .all(|(end, first)| *first == 0 || *end > *first + GROWTH)
            });
        }
    }

    /// Waits until all brokers run and are in sync.
    pub(super) fn wait_for_brokers(&mut self) {
        self.until("all brokers run and are in sync", |chaos| {
            chaos.broker_fault.is_none() && chaos.observer.is_in_sync()
        });
    }

    /// Waits until a process is not paused.
    pub(super) fn wait_until_resumed(&mut self, index: usize) {
        self.until("it is resumed", |chaos| {
            chaos.slots[index].paused_until.is_none()
        });
    }

    /// Waits until a process has no zombie.
    pub(super) fn wait_without_zombie(&mut self, index: usize) {
        self.until("its zombie ends", |chaos| {
            chaos.zombies.iter().all(|zombie| zombie.index != index)
        });
    }
}

/// How long recovery may take.
const RECOVERY_LIMIT: Duration = Duration::from_mins(2);

/// How far both outputs must grow between two faults, transaction markers included.
const GROWTH: i64 = 30;
