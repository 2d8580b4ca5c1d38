//! The consumer: a member of its group, with its assignment.

use std::cell::RefCell;

use rivulet_core::error::Error;
use rivulet_core::log::{Event, Fault, TopicPartition};

use super::{Consumer, SimulatedLog, abortable};
use crate::cluster::{BrokerError, Cluster, HeartbeatResponse, Place};

impl SimulatedLog {
    pub(super) fn consumer(&self) -> &RefCell<Consumer> {
        self.consumer
            .as_ref()
            .expect("only a stage with inputs has a consumer")
    }

    pub(super) fn join(&self, member: Option<u64>) {
        let member =
            self.world
                .cluster()
                .join(&self.group, &self.transactional_id, member, &self.inputs);
        self.consumer().borrow_mut().member = member;
        *self.process.member.borrow_mut() = Some((self.group.clone(), member));
    }

    /// The next event of the group, if there is one.
    pub(super) fn rebalanced<R>(&self) -> Result<Option<Event<R>>, Fault> {
        let Consumer {
            member,
            is_assigned,
            is_revoking,
            ..
        } = *self.consumer().borrow();
        let response = self
            .world
            .cluster()
            .group(&self.group)
            .heartbeat(&self.transactional_id, member);
        let is_change = !(matches!(response, HeartbeatResponse::Stable(..)) && is_assigned);
        // Members learn of changes by heartbeats, which take a while.
        if is_change && self.world.has_faults() && self.world.chance().one_in(2) {
            return Ok(None);
        }
        match response {
            HeartbeatResponse::Fenced => {
                let error = Error::new(
                    format!("reading {}", self.inputs.join(", ")),
                    BrokerError::FencedInstanceId,
                );
                return Err(Fault::Fatal(
                    error.help("another process has taken this one's place"),
                ));
            }
            HeartbeatResponse::Unknown | HeartbeatResponse::Rebalance if is_assigned => {
                if !is_revoking {
                    self.consumer().borrow_mut().is_revoking = true;
                    let lost = response == HeartbeatResponse::Unknown;
                    self.world.trace(&self.process.name, || {
                        format!("partitions revoked, lost: {lost}")
                    });
                    return Ok(Some(Event::Revoked { lost }));
                }
            }
            HeartbeatResponse::Unknown => self.join(None),
            HeartbeatResponse::Rebalance => self.join(Some(member)),
            HeartbeatResponse::Stable(generation, assigned) if !is_assigned => {
                let mut consumer = self.consumer().borrow_mut();
                (
                    consumer.generation,
                    consumer.is_assigned,
                    consumer.is_revoking,
                ) = (generation, true, false);
                self.world.trace(&self.process.name, || {
                    format!("partitions assigned in generation {generation}: {assigned:?}")
                });
                let partitions = assigned.iter().filter_map(|place| self.partition(place));
                return Ok(Some(Event::Assigned(partitions.collect())));
            }
            HeartbeatResponse::Stable(..) | HeartbeatResponse::Waiting => {}
        }
        Ok(None)
    }

    pub(super) fn partition(&self, (topic, partition): &Place) -> Option<TopicPartition> {
        Some(TopicPartition {
            topic: self.inputs.iter().position(|input| input == topic)?,
            partition: i32::try_from(*partition).ok()?,
        })
    }

    pub(super) fn place(&self, partition: TopicPartition) -> Place {
        (
            self.inputs[partition.topic].clone(),
            usize::try_from(partition.partition).expect("partitions are not negative"),
        )
    }

    /// Fails if the topic was created again since its watermarks were read: the offset belongs to
    /// the old topic.
    pub(super) fn check_topic(
        &self,
        cluster: &Cluster,
        partition: TopicPartition,
    ) -> Result<(), Fault> {
        let before = self.consumer().borrow().recreated.get(&partition).copied();
        let now = cluster.topics[&self.inputs[partition.topic]].former.len();
        if before.is_some_and(|before| before != now) {
            return Err(abortable(
                "reading a topic",
                BrokerError::UnknownTopicOrPartition,
            ));
        }
        Ok(())
    }

    /// Whether the topic was created again since its watermarks were read.
    pub(super) fn was_recreated(&self, cluster: &Cluster, place: &Place) -> bool {
        let now = cluster.topics[&place.0].former.len();
        let consumer = self.consumer().borrow();
        let known = consumer
            .recreated
            .iter()
            .find(|(partition, _)| self.place(**partition) == *place);
        known.is_some_and(|(_, before)| *before != now)
    }
}
