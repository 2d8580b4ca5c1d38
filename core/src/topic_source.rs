//! Whole topics as a source of records, for tools that read them to their ends.

use crate::error::Result;
use crate::log::Header;

/// A record in a topic.
#[derive(Debug, Clone, Copy)]
pub struct FetchedRecord<'a> {
    /// The partition.
    pub partition: i32,
    /// The offset in that partition.
    pub offset: i64,
    /// The timestamp in milliseconds since the epoch. −1 if it has none.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value. `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Header names and values.
    pub headers: &'a [Header],
}

/// A source of records: the cluster, or topics in memory.
pub trait TopicSource {
    /// How many partitions the topic has; `None` if there is no such topic.
    fn partitions(&self, topic: &str) -> Option<usize>;

    /// Whether the first records of the topic were deleted.
    fn is_trimmed(&self, topic: &str) -> bool;

    /// The log start offset of a partition: records below it were deleted.
    fn start(&self, topic: &str, partition: i32) -> i64 {
        let _ = partition;
        i64::from(self.is_trimmed(topic))
    }

    /// Reads the topic from the first record to the last, each partition in the order of its
    /// offsets.
    ///
    /// # Errors
    /// If it cannot be read to its end.
    fn read(&mut self, topic: &str, each: &mut dyn FnMut(&FetchedRecord<'_>)) -> Result<()>;
}

/// The progress of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadProgress<'a> {
    /// The topic that is being read.
    pub topic: &'a str,
    /// How many offsets were passed, in all topics.
    pub done: u64,
    /// How many offsets there are, in all topics.
    pub total: u64,
    /// Whether the reader waits for an open transaction on the topic. That of a dead stage takes a
    /// minute.
    pub waiting: bool,
}

/// How much of a topic was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadAmount<'a> {
    /// The topic.
    pub topic: &'a str,
    /// How many of its records were read.
    pub records: u64,
    /// How many offsets it has.
    pub offsets: u64,
}
