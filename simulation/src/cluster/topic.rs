//! A topic: its partitions and its config.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{BrokerError, Content, Partition};

/// The size of a batch without records, in bytes.
pub const BATCH: usize = 61;

/// The largest overhead of a record, in bytes.
const RECORD: usize = 21;

/// A topic.
#[derive(Debug, Default)]
pub struct SimulatedTopic {
    /// Its partitions.
    pub partitions: Vec<Partition>,
    /// Whether the topic is compacted.
    pub compacted: bool,
    /// The partitions of each topic of the same name that was deleted, the oldest first.
    pub former: Vec<Vec<FormerPartition>>,
    /// The groups that had read the topic when partitions were added.
    pub readers_when_grown: BTreeSet<String>,
    /// Its config.
    pub config: TopicConfig,
    /// Nobody is authorized to write it before this time.
    pub(super) forbidden_until: Duration,
}

/// A partition of a topic that was deleted.
#[derive(Debug)]
pub struct FormerPartition {
    /// What it held.
    pub partition: Partition,
    /// The groups that had committed records of it.
    pub readers: BTreeSet<String>,
}

/// The config of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicConfig {
    /// `max.message.bytes`: the largest batch.
    pub max_message_bytes: Option<usize>,
    /// `message.timestamp.after.max.ms`: how far in the future a timestamp may be.
    pub timestamp_after_max_ms: Option<i64>,
    /// Records with this text in their value violate the cluster's policy.
    pub forbidden_text: Option<&'static str>,
}

impl SimulatedTopic {
    /// `readers` says which groups have committed records of a partition.
    pub(super) fn recreate(&mut self, readers: impl Fn(usize) -> BTreeSet<String>) {
        let former = self.partitions.iter_mut().enumerate();
        let former = former.map(|(number, partition)| FormerPartition {
            partition: std::mem::take(partition),
            readers: readers(number),
        });
        self.former.push(former.collect());
    }

    /// All partitions, including those of deleted topics of the same name.
    pub fn all_partitions(&self) -> impl Iterator<Item = &Partition> {
        self.former
            .iter()
            .flatten()
            .map(|former| &former.partition)
            .chain(&self.partitions)
    }

    /// Whether the topic accepts a batch at this time.
    pub(super) fn check(&self, records: &[Content], now: Duration) -> Result<(), BrokerError> {
        if now < self.forbidden_until {
            return Err(BrokerError::TopicAuthorizationFailed);
        }
        let config = &self.config;
        if config
            .max_message_bytes
            .is_some_and(|max| size(records) > max)
        {
            return Err(BrokerError::MessageSizeTooLarge);
        }
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        if let Some(after) = config.timestamp_after_max_ms
            && records.iter().any(|record| record.timestamp > now + after)
        {
            return Err(BrokerError::InvalidTimestamp);
        }
        if let Some(text) = config.forbidden_text
            && records.iter().any(|record| record.has_text(text))
        {
            return Err(BrokerError::PolicyViolation);
        }
        Ok(())
    }
}

/// The size of a batch of these records, in bytes.
#[must_use]
pub fn size(records: &[Content]) -> usize {
    BATCH + records.iter().map(Content::size).sum::<usize>()
}

impl Content {
    /// Whether the value contains this text.
    #[must_use]
    pub fn has_text(&self, text: &str) -> bool {
        let value = self.value.as_deref().unwrap_or_default();
        value
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    }

    /// The size in a batch, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| 10 + name.len() + length(value));
        RECORD + length(&self.key) + length(&self.value) + headers.sum::<usize>()
    }
}
