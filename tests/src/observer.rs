//! An observer: a client that stays connected and is asked the same again and again.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::MetadataTopic;

/// How long one question may take; the next one may find another broker.
const ANSWER: Duration = Duration::from_secs(1);

/// A client that sees what is committed.
pub struct Observer(BaseConsumer);

impl Observer {
    /// Connects when it is asked first.
    #[must_use]
    pub fn new(brokers: &str) -> Self {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("isolation.level", "read_committed")
            .set("reconnect.backoff.max.ms", "200")
            .set("topic.metadata.refresh.fast.interval.ms", "50")
            .create()
            .expect("the settings are right");
        Observer(consumer)
    }

    /// The end of each partition of a topic for who reads what is committed, as far as a leader
    /// answers.
    #[must_use]
    pub fn ends(&self, topic: &str, partitions: i32) -> Option<Vec<i64>> {
        let end = |partition| Some(self.0.fetch_watermarks(topic, partition, ANSWER).ok()?.1);
        (0..partitions).map(end).collect()
    }

    /// Whether each partition of the cluster has a leader and all its copies are alike.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let Ok(metadata) = self.0.fetch_metadata(None, ANSWER) else {
            return false;
        };
        let mut partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        partitions.all(|partition| {
            partition.leader() >= 0 && partition.isr().len() == partition.replicas().len()
        })
    }

    /// How many members a consumer group has, if it is at rest.
    #[must_use]
    pub fn members(&self, group: &str) -> Option<usize> {
        let groups = self.0.fetch_group_list(Some(group), ANSWER).ok()?;
        let group = groups.groups().first()?;
        (group.state() == "Stable").then(|| group.members().len())
    }
}
