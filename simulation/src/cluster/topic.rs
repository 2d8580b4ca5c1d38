//! A topic: its partitions, and what it takes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{BrokerError, Content, Partition};

/// What a batch has beside its records, in bytes.
pub const BATCH: usize = 61;

/// What a record has at most beside key, value and headers, in bytes.
const RECORD: usize = 21;

/// A topic.
#[derive(Debug, Default)]
pub struct SimulatedTopic {
    /// Its partitions.
    pub partitions: Vec<Partition>,
    /// Whether only the newest record of a key is kept.
    pub compacted: bool,
    /// What it was before it was made anew, for the truth: the oldest first, with the groups that
    /// had begun to read it.
    pub former: Vec<(Vec<Partition>, BTreeSet<String>)>,
    /// The groups that had read of it when it got more partitions.
    pub grown_under: BTreeSet<String>,
    /// What it takes.
    pub terms: Terms,
    /// Nobody may write it before this time.
    pub(super) forbidden_until: Duration,
}

/// What a topic takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// How large a batch may be, in bytes: `max.message.bytes`.
    pub largest: Option<usize>,
    /// How far ahead of the broker's clock a record may be stamped, in milliseconds:
    /// `message.timestamp.after.max.ms`.
    pub ahead: Option<i64>,
    /// Records with this in their value are against the cluster's policy.
    pub taboo: Option<&'static str>,
}

impl SimulatedTopic {
    pub(super) fn make_anew(&mut self, readers: BTreeSet<String>) {
        let anew = self
            .partitions
            .iter()
            .map(|_| Partition::default())
            .collect();
        self.former
            .push((std::mem::replace(&mut self.partitions, anew), readers));
    }

    /// All partitions there ever were.
    pub fn all_partitions(&self) -> impl Iterator<Item = &Partition> {
        self.former
            .iter()
            .flat_map(|(partitions, _)| partitions)
            .chain(&self.partitions)
    }

    /// Whether a batch is taken at this time: all of it or nothing.
    pub(super) fn takes(&self, records: &[Content], now: Duration) -> Result<(), BrokerError> {
        if now < self.forbidden_until {
            return Err(BrokerError::TopicAuthorizationFailed);
        }
        if self
            .terms
            .largest
            .is_some_and(|largest| size(records) > largest)
        {
            return Err(BrokerError::MessageSizeTooLarge);
        }
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        if self
            .terms
            .ahead
            .is_some_and(|ahead| records.iter().any(|record| record.timestamp > now + ahead))
        {
            return Err(BrokerError::InvalidTimestamp);
        }
        let is_taboo = |record: &Content, taboo: &str| {
            record.value.as_ref().is_some_and(|value| {
                value
                    .windows(taboo.len())
                    .any(|part| part == taboo.as_bytes())
            })
        };
        if self
            .terms
            .taboo
            .is_some_and(|taboo| records.iter().any(|record| is_taboo(record, taboo)))
        {
            return Err(BrokerError::PolicyViolation);
        }
        Ok(())
    }
}

/// How large a batch of these records is, in bytes.
#[must_use]
pub fn size(records: &[Content]) -> usize {
    BATCH + records.iter().map(Content::size).sum::<usize>()
}

impl Content {
    /// What it takes in a batch, in bytes.
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
