//! What a stage's log needs to know: [`LogConfig`].

use std::collections::BTreeMap;

use rivulet_core::guarantee::Guarantee;
use rivulet_core::limits::Limits;

/// What a [`KafkaLog`](crate::KafkaLog) needs to know of its stage.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// The properties of all clients, by librdkafka's names: `bootstrap.servers` and others.
    pub properties: BTreeMap<String, String>,
    /// The stage's name, in log lines and errors.
    pub stage: String,
    /// Its name in Kafka: its consumer group, and the stem of its transactional id.
    pub group: String,
    /// The name of this process among those that run the same stage.
    pub instance: String,
    /// What a crash may do to the results. The results of a sink leave Kafka, so a transaction
    /// cannot contain both them and the offsets: `at-least-once`.
    pub guarantee: Guarantee,
    /// How much memory the process may take.
    pub limits: Limits,
    /// The topics that the stage reads, none for a source.
    pub inputs: Vec<String>,
    /// All topics that the stage reads or writes, which must exist.
    pub topics: Vec<String>,
    /// Whether the stage has a changelog.
    pub has_changelog: bool,
    /// Whether the stage writes more than dead letters. Then its producer connects at once.
    pub has_outputs: bool,
    /// The largest `max.message.bytes` of its outputs and of its dead-letter topic.
    pub largest_message: usize,
    /// The smallest `max.message.bytes` of all topics that it writes.
    pub smallest_message: usize,
    /// Whether the clients report their statistics, for metrics.
    pub has_statistics: bool,
}

impl LogConfig {
    /// The brokers to ask first.
    #[must_use]
    pub fn brokers(&self) -> &str {
        self.properties
            .get("bootstrap.servers")
            .map_or("", String::as_str)
    }
}
