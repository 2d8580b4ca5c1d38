//! Observes a consumer group from outside: [`GroupProgress`].

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::outcome::Outcome;

const WAIT: Duration = Duration::from_secs(10);

/// How far a consumer group has read a topic.
pub(crate) struct GroupProgress {
    client: BaseConsumer,
    partitions: TopicPartitionList,
}

impl GroupProgress {
    pub(crate) fn new(brokers: &str, group: &str, topic: &str, count: i32) -> Outcome<Self> {
        let client = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", group)
            .set("isolation.level", "read_uncommitted")
            .create()?;
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(topic, 0, count - 1);
        Ok(GroupProgress { client, partitions })
    }

    /// The sum of the committed offsets of all partitions.
    pub(crate) fn committed(&self) -> Outcome<u64> {
        let partitions = self.partitions.clone();
        let committed = self.client.committed_offsets(partitions, WAIT)?;
        let offsets = committed.elements();
        let offsets = offsets.iter().map(|element| match element.offset() {
            Offset::Offset(offset) => u64::try_from(offset).unwrap_or_default(),
            _ => 0,
        });
        Ok(offsets.sum())
    }
}
