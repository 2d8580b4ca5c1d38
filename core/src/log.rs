//! The log: everything that Kafka does to a stage comes through one narrow trait.
//!
//! Two things stand behind [`Log`]: `KafkaLog` of the crate `rivulet-kafka`, and the simulation.
//! The [stage loop](crate::stage) has no other way to the outside. What it does when partitions
//! move, commits fail and processes die can therefore be tried in memory.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::Error;

/// A consumer and a producer in one: where a stage's records come from and where its results go.
///
/// # The contract
/// One thread calls it, the [stage loop](crate::stage::StageLoop):
///
/// 1. [`poll`](Self::poll) tells of partitions that the consumer group assigns. The stage asks for
///    their [`committed`](Self::committed) offsets and [`watermarks`](Self::watermarks),
///    [`restore`](Self::restore)s what it needs, and calls [`assign`](Self::assign). Only then does
///    `poll` return records.
/// 2. The stage [`send`](Self::send)s results and calls [`commit`](Self::commit). Under
///    `exactly-once` the records and the offsets become visible together, in one transaction. Under
///    `at-least-once` the offsets are committed after all records were acknowledged.
/// 3. `poll` tells of partitions that are revoked. The stage commits what it can and calls
///    [`unassign`](Self::unassign).
///
/// Every call that can fail returns a [`Fault`]. After [`Fault::Abortable`] and
/// [`Fault::Rejected`] the only next call is [`abort`](Self::abort), or `poll` for events of the
/// group. After [`Fault::Fatal`] and [`Fault::Shutdown`] the log is dropped.
#[expect(
    clippy::missing_errors_doc,
    reason = "the contract above says it for all methods"
)]
pub trait Log {
    /// A record, borrowed from the log until it is dropped.
    type Record<'a>: Record
    where
        Self: 'a;

    /// Waits at most `wait` for the next event.
    fn poll(&self, wait: Duration) -> Result<Event<Self::Record<'_>>, Fault>;

    /// Starts to read the assigned partitions at these offsets: after [`Event::Assigned`], and
    /// after [`abort`](Self::abort).
    ///
    /// Records that were deleted are never skipped: the next [`poll`](Self::poll) then returns
    /// [`Fault::Abortable`].
    fn assign(&mut self, from: &[(TopicPartition, i64)]) -> Result<(), Fault>;

    /// Gives all partitions back: after [`Event::Revoked`].
    fn unassign(&mut self) -> Result<(), Fault>;

    /// Queues a record. Waits while the queue is full.
    fn send(&self, record: &ProducerRecord<'_>) -> Result<(), Fault>;

    /// Waits until the brokers have acknowledged all that was sent, or have rejected it.
    fn flush(&mut self) -> Result<(), Fault>;

    /// [Flushes](Self::flush) under `at-least-once`, where what is sent next may only follow what
    /// was acknowledged. Returns at once in a transaction, which keeps both or neither.
    fn flush_unless_transactional(&mut self) -> Result<(), Fault>;

    /// Commits all that was sent and the offsets to go on from.
    fn commit(&mut self, offsets: &[OffsetAndMetadata]) -> Result<(), Fault>;

    /// Aborts the transaction: nothing since the last commit is or becomes visible. An older
    /// process with the same transactional id is fenced. Reading stops until
    /// [`assign`](Self::assign).
    ///
    /// Under `at-least-once` records that were acknowledged stay.
    fn abort(&mut self) -> Result<(), Fault>;

    /// The committed offsets of these partitions. A partition without one is left out.
    fn committed(&mut self, partitions: &[TopicPartition])
    -> Result<Vec<OffsetAndMetadata>, Fault>;

    /// The watermarks of these partitions of any topic, in the same order.
    fn watermarks(&mut self, topic: &str, partitions: &[i32]) -> Result<Vec<Watermarks>, Fault>;

    /// Reads the committed records of `partitions` of a compacted topic from the first to the end.
    /// All of them, or a [`Fault`].
    fn restore(
        &mut self,
        topic: &str,
        partitions: &[i32],
        each: RestoreCallback<'_>,
    ) -> Result<(), Fault>;

    /// Whether nothing is left to read in the assigned partitions. `positions` are the offsets that
    /// a reader reads next; `None` stands for the committed offset.
    fn at_end(&mut self, positions: &[(TopicPartition, Option<i64>)]) -> Result<bool, Fault>;

    /// The time by which intervals are measured. A log in memory has a clock of its own.
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// Sleeps.
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Takes a restored record: its partition, key and value. `None` is a tombstone.
pub type RestoreCallback<'e> = &'e mut dyn FnMut(i32, &[u8], Option<&[u8]>);

/// What [`Log::poll`] returns.
#[derive(Debug)]
pub enum Event<R> {
    /// The next record of an assigned partition.
    Record(R),
    /// The group has assigned these partitions. Nothing is read before [`Log::assign`].
    Assigned(Vec<TopicPartition>),
    /// The group revokes all partitions. They are kept until [`Log::unassign`].
    Revoked {
        /// Another member has the partitions already: what is uncommitted cannot be committed.
        lost: bool,
    },
    /// Nothing happened in time.
    Timeout,
}

/// A record that was read.
pub trait Record {
    /// Its fields, borrowed.
    fn fields(&self) -> ConsumerRecord<'_>;

    /// Its headers, copied: only dead letters need them.
    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)>;
}

/// The fields of a record that was read.
#[derive(Debug, Clone, Copy)]
pub struct ConsumerRecord<'a> {
    /// Which of the stage's inputs: an index into the topics it subscribed to.
    pub topic: usize,
    /// The partition of that topic.
    pub partition: i32,
    /// The offset in that partition.
    pub offset: i64,
    /// The record's timestamp in milliseconds since the epoch: when it entered the pipeline. −1 if
    /// it has none.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value. `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// The headers, by name.
    pub headers: &'a dyn Headers,
}

/// A header's name and value.
pub type Header = (String, Option<Vec<u8>>);

/// The headers of a record, to be looked up by name.
pub trait Headers: fmt::Debug {
    /// The value of the last header of this name. `None` if there is none, or it has no value.
    fn header(&self, name: &str) -> Option<&[u8]>;
}

/// No headers.
impl Headers for () {
    fn header(&self, _: &str) -> Option<&[u8]> {
        None
    }
}

/// Headers that were copied.
impl Headers for Vec<Header> {
    fn header(&self, name: &str) -> Option<&[u8]> {
        let header = self.iter().rev().find(|(header, _)| header == name);
        header.and_then(|(_, value)| value.as_deref())
    }
}

impl ConsumerRecord<'_> {
    /// The timestamp. `None` if the record is so old that it has none.
    #[must_use]
    pub fn stamped(&self) -> Option<i64> {
        Some(self.timestamp).filter(|timestamp| *timestamp >= 0)
    }

    /// Where it was read.
    #[must_use]
    pub fn partition(&self) -> TopicPartition {
        TopicPartition {
            topic: self.topic,
            partition: self.partition,
        }
    }
}

/// The fields of a record that is sent.
#[derive(Debug, Clone, Copy)]
pub struct ProducerRecord<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition. `None` lets the key decide, as in Java clients (`murmur2_random`).
    pub partition: Option<i32>,
    /// The timestamp in milliseconds since the epoch. `None` is now.
    pub timestamp: Option<i64>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value. `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Names and values of headers.
    pub headers: &'a [(String, Option<Vec<u8>>)],
}

/// A partition of one of the stage's inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// An index into the topics that the stage subscribed to.
    pub topic: usize,
    /// The partition of that topic.
    pub partition: i32,
}

/// Which offsets a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// The partition.
    pub partition: i32,
    /// The log start offset: records below it were deleted.
    pub low: i64,
    /// The high watermark: one more than the last offset.
    pub high: i64,
    /// How many partitions the topic has.
    pub partition_count: i32,
}

/// A committed offset of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset to read: one more than that of the last record that was processed.
    pub offset: i64,
    /// What the stage commits beside it: which state belongs to this offset. Empty for a stage
    /// without state.
    pub metadata: String,
}

/// Why a call to the log failed, by what the stage can do about it.
#[derive(Debug)]
pub enum Fault {
    /// Nothing since the last commit can be committed: [abort](Log::abort), and process it again.
    Abortable(Error),
    /// As [`Abortable`](Self::Abortable), but another try would end the same: the brokers reject
    /// one of the records that were sent, or a batch of them.
    Rejected(Rejection, Error),
    /// This process cannot go on; another may.
    Fatal(Error),
    /// The stage was asked to stop while it waited.
    Shutdown,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Abortable(error) | Fault::Rejected(_, error) | Fault::Fatal(error) => {
                fmt::Display::fmt(error, f)
            }
            Fault::Shutdown => f.write_str("the stage was asked to stop"),
        }
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Fault::Abortable(error) | Fault::Rejected(_, error) | Fault::Fatal(error) => {
                error.source()
            }
            Fault::Shutdown => None,
        }
    }
}

/// Why brokers reject a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// The record, or its batch, is larger than the topic's `max.message.bytes`.
    TooLarge,
    /// Its timestamp is too far from the brokers' time: `message.timestamp.after.max.ms`.
    Timestamp,
    /// A rule of the brokers or of the topic: an invalid record, or a policy of the cluster.
    Policy,
}
