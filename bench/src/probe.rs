//! Observes a consumer group from outside.

use std::error::Error;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// A consumer group that reads one topic of one partition.
pub(crate) struct Probe {
    client: BaseConsumer,
    topic: String,
}

const WAIT: Duration = Duration::from_secs(10);

impl Probe {
    pub(crate) fn new(brokers: &str, group: &str, topic: &str) -> Result<Self, Box<dyn Error>> {
        let client = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", group)
            .set("isolation.level", "read_uncommitted")
            .create()?;
        Ok(Probe {
            client,
            topic: topic.to_owned(),
        })
    }

    /// The offset that a reader commits after the last record.
    pub(crate) fn end(&self) -> Result<i64, Box<dyn Error>> {
        // The last offset is that of a transaction marker.
        Ok(self.client.fetch_watermarks(&self.topic, 0, WAIT)?.1 - 1)
    }

    /// The committed offset of the group; `None` before its first commit.
    pub(crate) fn committed(&self) -> Result<Option<i64>, Box<dyn Error>> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, 0);
        let committed = self.client.committed_offsets(list, WAIT)?;
        Ok(committed
            .elements()
            .first()
            .and_then(|element| match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            }))
    }
}
