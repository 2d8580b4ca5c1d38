//! The log: everything that Kafka does to a stage comes through one narrow trait.
//!
//! Two things stand behind [`Log`]: [`KafkaLog`](crate::kafka::KafkaLog) and the logs of tests. The
//! [stage loop](crate::stage) knows no other way to the outside, so what it does when partitions
//! move, commits fail and processes die can be tried in memory.

use std::time::{Duration, Instant};

use crate::error::Error;

/// Where a stage's records come from and where its results go.
///
/// What was sent since the last commit, and the offsets given with the commit, become visible
/// together (`exactly-once`), or the offsets strictly after the records were acknowledged
/// (`at-least-once`).
pub trait Log {
    /// A record, borrowed from the log until it is dropped.
    type Record<'a>: Record
    where
        Self: 'a;

    /// Waits at most `wait` for the next thing to happen.
    ///
    /// # Errors
    /// See [`Fault`].
    fn poll(&self, wait: Duration) -> Result<Event<Self::Record<'_>>, Fault>;

    /// Answers [`Event::Given`], or follows [`rewind`](Self::rewind): reading starts at these
    /// offsets.
    ///
    /// Records that are not there any more are never skipped: the next [`poll`](Self::poll) is then
    /// an [`Undo`](Fault::Undo).
    ///
    /// # Errors
    /// See [`Fault`].
    fn assign(&mut self, from: &[(Partition, i64)]) -> Result<(), Fault>;

    /// Answers [`Event::Taken`]: gives all partitions back.
    ///
    /// # Errors
    /// See [`Fault`].
    fn release(&mut self) -> Result<(), Fault>;

    /// Queues a record; waits while the queue is full.
    ///
    /// # Errors
    /// See [`Fault`].
    fn send(&self, record: &Outgoing<'_>) -> Result<(), Fault>;

    /// Under `at-least-once`, waits until all that was sent is acknowledged, so that what is sent
    /// next can rely on it. In a transaction there is nothing to wait for.
    ///
    /// # Errors
    /// See [`Fault`].
    fn flush(&mut self) -> Result<(), Fault>;

    /// Waits until all that was sent is acknowledged, also in a transaction: a record that the
    /// brokers reject is heard of here.
    ///
    /// # Errors
    /// See [`Fault`].
    fn settle(&mut self) -> Result<(), Fault>;

    /// Makes all that was sent permanent, together with the positions to go on from.
    ///
    /// # Errors
    /// See [`Fault`].
    fn commit(&mut self, positions: &[Position]) -> Result<(), Fault>;

    /// Undoes everything since the last commit: nothing of it is or becomes visible, and an older
    /// owner of this identity is fenced. Nothing is read before the next [`assign`](Self::assign).
    /// Under `at-least-once` what was already acknowledged stays.
    ///
    /// # Errors
    /// See [`Fault`].
    fn rewind(&mut self) -> Result<(), Fault>;

    /// What was committed last of each of these partitions; nothing of those that never were.
    ///
    /// # Errors
    /// See [`Fault`].
    fn committed(&mut self, partitions: &[Partition]) -> Result<Vec<Position>, Fault>;

    /// What there is of each of these partitions of any topic, in their order.
    ///
    /// # Errors
    /// See [`Fault`].
    fn extents(&mut self, topic: &str, partitions: &[i32]) -> Result<Vec<Extent>, Fault>;

    /// Reads the committed records of `partitions` of a compacted topic from the first to the end.
    ///
    /// # Errors
    /// See [`Fault`]; never a part of the records taken for the whole.
    fn restore(&mut self, topic: &str, partitions: &[i32], each: Each<'_>) -> Result<(), Fault>;

    /// Whether there is nothing left to read of the assigned partitions for a reader at these
    /// offsets, or at the committed offset where it has read nothing yet.
    ///
    /// # Errors
    /// See [`Fault`].
    fn at_end(&mut self, positions: &[(Partition, Option<i64>)]) -> Result<bool, Fault>;

    /// The time by which intervals are measured. A log in memory has a time of its own.
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// Lets time go by.
    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Takes a restored record: its partition, key and value (nothing for a tombstone).
pub type Each<'e> = &'e mut dyn FnMut(i32, &[u8], Option<&[u8]>);

/// What [`Log::poll`] saw.
#[derive(Debug)]
pub enum Event<R> {
    /// The next record of one of the assigned partitions.
    Record(R),
    /// These partitions are this process's now; nothing is read before [`Log::assign`].
    Given(Vec<Partition>),
    /// All partitions are being taken away; they are kept until [`Log::release`].
    Taken {
        /// The group has already given them to somebody else: what is uncommitted cannot be
        /// committed any more.
        lost: bool,
    },
    /// Nothing came in time.
    Nothing,
}

/// A record in the hands of a stage.
pub trait Record {
    /// Its parts, borrowed.
    fn incoming(&self) -> Incoming<'_>;

    /// Its headers, copied: only dead letters need them.
    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)>;
}

/// The parts of a record that is read.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// Which of the stage's inputs: an index into the topics it subscribed to.
    pub topic: usize,
    /// The partition in that topic.
    pub partition: i32,
    /// The offset in that partition.
    pub offset: i64,
    /// The record's own timestamp, in milliseconds since the epoch: when it entered the pipeline.
    /// −1 if it has none.
    pub timestamp: i64,
    /// The key, if it has one.
    pub key: Option<&'a [u8]>,
    /// The value; nothing for a tombstone.
    pub value: Option<&'a [u8]>,
}

impl Incoming<'_> {
    /// The timestamp, unless the record is so old that it has none.
    #[must_use]
    pub fn stamped(&self) -> Option<i64> {
        Some(self.timestamp).filter(|timestamp| *timestamp >= 0)
    }

    /// Where it was read.
    #[must_use]
    pub fn partition(&self) -> Partition {
        Partition {
            topic: self.topic,
            partition: self.partition,
        }
    }
}

/// The parts of a record that is written.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// A fixed partition, or nothing to let the key decide as Java clients do (`murmur2_random`).
    pub partition: Option<i32>,
    /// The record's timestamp, in milliseconds since the epoch; nothing for now.
    pub timestamp: Option<i64>,
    /// The key, if it has one.
    pub key: Option<&'a [u8]>,
    /// The value; nothing for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Header names and values.
    pub headers: &'a [(String, Option<Vec<u8>>)],
}

/// A partition of one of the stage's inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// An index into the topics the stage subscribed to.
    pub topic: usize,
    /// The partition in that topic.
    pub partition: i32,
}

/// Which offsets of a partition there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The partition.
    pub partition: i32,
    /// The log start offset: what is below was deleted.
    pub start: i64,
    /// The high watermark: one more than the last offset.
    pub end: i64,
    /// How many partitions the topic has.
    pub count: i32,
}

/// The next offset to read of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The partition.
    pub partition: Partition,
    /// One more than the offset of the last record that was processed.
    pub next: i64,
    /// What the stage notes beside it: what its state must be when it goes on from here. Empty for
    /// nothing.
    pub note: String,
}

/// Why a call to the log did not do what it should.
#[derive(Debug)]
pub enum Fault {
    /// Nothing since the last commit can be committed: [`Log::rewind`], and do it again.
    Undo(Error),
    /// As [`Undo`](Self::Undo), but to do the same again would end the same: the brokers reject one
    /// of the records that were sent, or a batch of them.
    Rejected(Rejection, Error),
    /// This process cannot go on; another may.
    Fatal(Error),
    /// It was asked to stop while it waited.
    Stopped,
}

/// Why brokers reject a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// It, or the batch that it is in, has more bytes than the topic's `max.message.bytes`.
    TooLarge,
    /// Its timestamp is too far from the brokers' own time: `message.timestamp.after.max.ms`.
    Timestamp,
    /// A rule of the brokers or the topic: an invalid record, or a policy of the cluster's.
    Policy,
}
