//! Committed records up to an end, and where that end is: for stages and for tools.
//!
//! A stage retries for as long as it takes, and a tool gives up after a while. That is all they
//! differ in, so each implements [`Patience`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::metadata::Metadata;
use rdkafka::{Message, Offset, TopicPartitionList};

/// How long to wait for a record before [`Patience::reading`] is called.
const POLL: Duration = Duration::from_millis(100);
/// The pause after a failure. Some errors return immediately, such as a missing leader.
const PAUSE: Duration = Duration::from_millis(100);
/// How long to wait for open transactions. The broker aborts that of a dead process after its
/// `transaction.timeout.ms`, by default a minute.
pub(crate) const OPEN_TRANSACTION: Duration = Duration::from_secs(90);
/// How long no record may arrive before reading has failed.
pub(crate) const NO_PROGRESS: Duration = Duration::from_secs(30);

/// What a caller does while it waits. An error ends the wait.
pub(crate) trait Patience {
    /// Why the wait ended.
    type Error;

    /// How long one request may take, after so long a wait for an answer.
    fn request_timeout(&self, waited: Duration) -> Duration;

    /// A request for watermarks failed, after so long a wait for an answer. `metadata` is that of
    /// the topic, if a broker answered.
    fn watermarks_failed(
        &mut self,
        topic: &str,
        partition: i32,
        error: KafkaError,
        metadata: Option<Metadata>,
        waited: Duration,
    ) -> Result<(), Self::Error>;

    /// A transaction has been open at this offset for so long. It waits for a moment.
    fn transaction_is_open(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        waited: Duration,
    ) -> Result<(), Self::Error>;

    /// The client has reported an error while it read. It retries by itself.
    fn read_failed(&mut self, topic: &str, error: KafkaError) -> Result<(), Self::Error>;

    /// Called with each record, and about ten times a second.
    fn reading(&mut self, topic: &str, progress: &SpanProgress) -> Result<(), Self::Error>;

    /// The error for a call that the client rejected.
    fn rejected(&self, topic: &str, error: KafkaError) -> Self::Error;
}

/// How far reading is.
pub(crate) struct SpanProgress {
    /// How many records were read.
    pub(crate) read: u64,
    /// When the last record or end was read.
    pub(crate) last_progress: Instant,
    /// The partitions that are not yet read to their ends.
    pub(crate) partitions: BTreeSet<i32>,
}

/// The offsets to read of one partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) partition: i32,
    /// The first offset. `None` is the first that there is.
    pub(crate) first: Option<i64>,
    /// The offset before which reading ends, unless the last stable offset is before it.
    pub(crate) end: i64,
}

impl Span {
    /// How many offsets it has.
    pub(crate) fn len(self) -> u64 {
        u64::try_from(self.end - self.first.unwrap_or_default()).unwrap_or_default()
    }
}

/// The low watermark of a partition, and its high watermark or last stable offset, depending on the
/// client's isolation level.
pub(crate) fn watermarks<C: ConsumerContext, P: Patience>(
    client: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    patience: &mut P,
) -> Result<(i64, i64), P::Error> {
    let begun = Instant::now();
    loop {
        let timeout = patience.request_timeout(begun.elapsed());
        let error = match client.fetch_watermarks(topic, partition, timeout) {
            Ok(watermarks) => return Ok(watermarks),
            Err(error) => error,
        };
        let _ = client.poll(Duration::ZERO);
        // This also refreshes the leader, which librdkafka would not do by itself.
        let metadata = client.fetch_metadata(Some(topic), timeout).ok();
        let waited = begun.elapsed();
        patience.watermarks_failed(topic, partition, error, metadata, waited)?;
        thread::sleep(PAUSE);
    }
}

/// Waits until every transaction below `end` is committed or aborted. Until then the last stable
/// offset hides the records after it. `client` reads committed records.
pub(crate) fn wait_until_stable<C: ConsumerContext, P: Patience>(
    client: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    end: i64,
    patience: &mut P,
) -> Result<(), P::Error> {
    let begun = Instant::now();
    loop {
        let (_, stable) = watermarks(client, topic, partition, patience)?;
        if stable >= end {
            return Ok(());
        }
        patience.transaction_is_open(topic, partition, stable, begun.elapsed())?;
    }
}

/// Reads spans of a topic's partitions. `each` ends reading with a break.
pub(crate) fn read<C: ConsumerContext, P: Patience>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    spans: &[Span],
    each: &mut dyn FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
    patience: &mut P,
) -> Result<(), P::Error> {
    let mut assignment = TopicPartitionList::new();
    for span in spans {
        assignment
            .add_partition_offset(
                topic,
                span.partition,
                span.first.map_or(Offset::Beginning, Offset::Offset),
            )
            .map_err(|error| patience.rejected(topic, error))?;
    }
    consumer
        .assign(&assignment)
        .map_err(|error| patience.rejected(topic, error))?;
    let ends: BTreeMap<i32, i64> = spans
        .iter()
        .map(|span| (span.partition, span.end))
        .collect();
    let mut progress = SpanProgress {
        read: 0,
        last_progress: Instant::now(),
        partitions: ends.keys().copied().collect(),
    };
    while !progress.partitions.is_empty() {
        match consumer.poll(POLL) {
            Some(Ok(message)) if message.topic() == topic => {
                progress.last_progress = Instant::now();
                let (partition, offset) = (message.partition(), message.offset());
                let end = ends.get(&partition).copied().unwrap_or_default();
                if offset < end {
                    progress.read += 1;
                    if each(&message).is_break() {
                        progress.partitions.clear();
                    }
                }
                if offset + 1 >= end {
                    progress.partitions.remove(&partition);
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                progress.last_progress = Instant::now();
                progress.partitions.remove(&partition);
            }
            Some(Err(error)) => patience.read_failed(topic, error)?,
            // Other records belong to a topic that was read before.
            Some(Ok(_)) | None => {}
        }
        patience.reading(topic, &progress)?;
    }
    consumer
        .unassign()
        .map_err(|error| patience.rejected(topic, error))
}
