//! An observer: a client that stays connected and repeats the same requests.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::MetadataTopic;

/// How long one request may take. The next one may reach another broker.
const ANSWER: Duration = Duration::from_secs(1);

/// A client that sees committed records only.
pub struct Observer(BaseConsumer);

impl Observer {
    /// It connects with its first request.
    #[must_use]
    pub fn new(brokers: &str) -> Self {
        let consumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("isolation.level", "read_committed")
            .set("reconnect.backoff.max.ms", "200")
            .set("topic.metadata.refresh.fast.interval.ms", "50")
            .create()
            .expect("the settings are valid");
        Observer(consumer)
    }

    /// The end offset of each partition for `read_committed`. `None` unless all leaders respond.
    #[must_use]
    pub fn ends(&self, topic: &str, partitions: i32) -> Option<Vec<i64>> {
        let end = |partition| Some(self.0.fetch_watermarks(topic, partition, ANSWER).ok()?.1);
        (0..partitions).map(end).collect()
    }

    /// Whether each partition has a leader, and all its replicas are in sync.
    #[must_use]
    pub fn is_in_sync(&self) -> bool {
        let Ok(metadata) = self.0.fetch_metadata(None, ANSWER) else {
            return false;
        };
        let mut partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
        partitions.all(|partition| {
            partition.leader() >= 0 && partition.isr().len() == partition.replicas().len()
        })
    }

    /// How many members a consumer group has. `None` unless it is stable.
    #[must_use]
    pub fn members(&self, group: &str) -> Option<usize> {
        let groups = self.0.fetch_group_list(Some(group), ANSWER).ok()?;
        let group = groups.groups().first()?;
        (group.state() == "Stable").then(|| group.members().len())
    }
}
