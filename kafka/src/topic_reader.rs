//! Reading topics without a consumer group, from the first record to the last committed one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rivulet_core::dead_letter::Header;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::topic_source::{FetchedRecord, ReadProgress, TopicSource};

use crate::cluster::Cluster;
use crate::tool_client::{self, LastError, is_final};

/// How long no record may arrive before that is an error.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait for open transactions. That of a dead stage is aborted after a minute.
const OPEN_TRANSACTIONS: Duration = Duration::from_secs(90);

/// How many records are read between two progress reports.
const EVERY: u64 = 4096;

/// Reads topics up to the ends that they had when the reader was created.
pub struct TopicReader<'p> {
    consumer: BaseConsumer<LastError>,
    topics: BTreeMap<String, Vec<Span>>,
    progress: &'p mut dyn FnMut(ReadProgress<'_>),
    /// Whether it waits for open transactions instead of ending before them.
    waits: bool,
    done: u64,
    total: u64,
}

/// The offsets to read of one partition.
#[derive(Debug, Clone, Copy)]
struct Span {
    partition: i32,
    first: i64,
    end: i64,
}

impl Span {
    fn len(self) -> u64 {
        u64::try_from(self.end - self.first).unwrap_or_default()
    }
}

impl<'p> TopicReader<'p> {
    /// Reads the watermarks of those of the topics that exist.
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub fn new(
        kafka: &BTreeMap<String, String>,
        names: &[String],
        progress: &'p mut dyn FnMut(ReadProgress<'_>),
    ) -> Result<Self> {
        let cluster = Cluster::new(kafka)?;
        let inventory = cluster.inventory()?;
        let mut topics = BTreeMap::new();
        for name in names {
            let Some(found) = inventory.topics.get(name) else {
                continue;
            };
            let mut spans = Vec::new();
            for partition in 0..found.partitions {
                let (first, end) = cluster.watermarks(name, partition)?;
                spans.push(Span {
                    partition,
                    first,
                    end,
                });
            }
            topics.insert(name.clone(), spans);
        }
        let total = topics.values().flatten().map(|span| span.len()).sum();
        let consumer = tool_client::client(&tool_client::consumer_config(kafka, "8192", "5"))?;
        Ok(TopicReader {
            consumer,
            topics,
            progress,
            waits: true,
            done: 0,
            total,
        })
    }

    /// Makes the reader end before an open transaction instead of waiting for it.
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.waits = false;
        self
    }

    /// Waits until every transaction in the span is committed or aborted. Otherwise the first open
    /// transaction would look like the end of the partition.
    fn wait_for_transactions(&mut self, topic: &str, span: Span) -> Result<()> {
        let partition = span.partition;
        let doing = || format!("waiting for open transactions on {topic}/{partition}");
        let deadline = Instant::now() + OPEN_TRANSACTIONS;
        loop {
            let (_, committed) = tool_client::watermarks(&self.consumer, topic, span.partition)
                .map_err(|error| {
                    tool_client::unreachable_error(doing(), &error, self.consumer.context())
                })?;
            if committed >= span.end {
                return Ok(());
            }
            if Instant::now() > deadline {
                let cause = format!(
                    "still open at offset {committed} after {} s",
                    OPEN_TRANSACTIONS.as_secs()
                );
                return Err(Error::new(doing(), cause).of_kind(Kind::Conflict).help(
                    "a stage that hangs keeps the transaction open: stop it, and try again after \
                     its transaction.timeout.ms",
                ));
            }
            self.report(topic, true);
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn report(&mut self, topic: &str, waiting: bool) {
        (self.progress)(ReadProgress {
            topic,
            done: self.done,
            total: self.total,
            waiting,
        });
    }

    fn read_spans(
        &mut self,
        topic: &str,
        spans: &[Span],
        each: &mut dyn FnMut(&FetchedRecord<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let doing = || format!("reading {topic}");
        let failed = |error: KafkaError| Error::new(doing(), error);
        let mut assignment = TopicPartitionList::new();
        for span in spans {
            assignment
                .add_partition_offset(topic, span.partition, Offset::Offset(span.first))
                .map_err(failed)?;
        }
        self.consumer.assign(&assignment).map_err(failed)?;
        let ends: BTreeMap<i32, i64> = spans
            .iter()
            .map(|span| (span.partition, span.end))
            .collect();
        let mut open: BTreeSet<i32> = ends.keys().copied().collect();
        let (mut read, mut last) = (0, Instant::now());
        while !open.is_empty() {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) if message.topic() == topic => {
                    last = Instant::now();
                    let (partition, offset) = (message.partition(), message.offset());
                    let end = ends.get(&partition).copied().unwrap_or_default();
                    if offset < end {
                        let timestamp = message.timestamp().to_millis().unwrap_or(-1);
                        // Most records have no headers, and cost no allocation here.
                        let headers: Vec<Header> = message
                            .headers()
                            .map(rivulet_headers::read)
                            .unwrap_or_default();
                        let (key, value) = (message.key(), message.payload());
                        read += 1;
                        if each(&FetchedRecord {
                            partition,
                            offset,
                            timestamp,
                            key,
                            value,
                            headers: &headers,
                        })
                        .is_break()
                        {
                            open.clear();
                        }
                    }
                    if offset + 1 >= end {
                        open.remove(&partition);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    last = Instant::now();
                    open.remove(&partition);
                }
                Some(Err(error)) if is_final(&error) => return Err(failed(error)),
                None if last.elapsed() > TIMEOUT => {
                    let mut cause = format!("no record arrived for {} s", TIMEOUT.as_secs());
                    if let Some(last) = self.consumer.context().last() {
                        cause = format!("{cause}; last error: {last}");
                    }
                    return Err(Error::new(doing(), cause)
                        .of_kind(Kind::Unreachable)
                        .help("are all brokers running?"));
                }
                // Other errors are connection errors, which librdkafka retries. Other records
                // belong to a topic that was read before.
                Some(_) | None => (),
            }
            if read >= EVERY {
                self.done += read;
                read = 0;
                self.report(topic, false);
            }
        }
        self.done += read;
        self.consumer.unassign().map_err(failed)
    }
}

impl TopicReader<'_> {
    /// Reads the records of a partition from `first` to `last`, unless they were deleted. The topic
    /// must have been read before, so that no transaction is open.
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub fn read_range(
        &mut self,
        topic: &str,
        partition: i32,
        (first, last): (i64, i64),
        each: &mut dyn FnMut(&FetchedRecord<'_>),
    ) -> Result<()> {
        let (done, end) = (self.done, last.saturating_add(1));
        let read = self.read_spans(
            topic,
            &[Span {
                partition,
                first,
                end,
            }],
            &mut |record| {
                each(record);
                ControlFlow::Continue(())
            },
        );
        self.done = done;
        read
    }

    /// Counts the records in these spans of a topic (partition, first offset, end offset); `None`
    /// if there are more than `limit`. No transaction in the spans may be open.
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub fn count(
        &mut self,
        topic: &str,
        spans: &BTreeMap<i32, (i64, i64)>,
        limit: usize,
    ) -> Result<Option<BTreeMap<i32, i64>>> {
        let mut counts: BTreeMap<i32, i64> =
            spans.keys().map(|partition| (*partition, 0)).collect();
        let mut left = Some(limit);
        let spans: Vec<Span> = spans
            .iter()
            .map(|(partition, (first, end))| Span {
                partition: *partition,
                first: *first,
                end: *end,
            })
            .collect();
        self.read_spans(topic, &spans, &mut |record| {
            *counts.entry(record.partition).or_default() += 1;
            left = left.and_then(|left| left.checked_sub(1));
            if left.is_some() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        Ok(left.map(|_| counts))
    }
}

impl TopicSource for TopicReader<'_> {
    fn partitions(&self, topic: &str) -> Option<usize> {
        self.topics.get(topic).map(Vec::len)
    }

    fn is_trimmed(&self, topic: &str) -> bool {
        self.topics
            .get(topic)
            .is_some_and(|spans| spans.iter().any(|span| span.first > 0))
    }

    fn start(&self, topic: &str, partition: i32) -> i64 {
        let spans = self.topics.get(topic).into_iter().flatten();
        spans
            .filter(|span| span.partition == partition)
            .map(|span| span.first)
            .next()
            .unwrap_or_default()
    }

    fn read(&mut self, topic: &str, each: &mut dyn FnMut(&FetchedRecord<'_>)) -> Result<()> {
        let Some(spans) = self.topics.get(topic) else {
            return Err(
                Error::new(format!("reading {topic}"), "there is no such topic")
                    .of_kind(Kind::Missing)
                    .help("run the pipeline first, or name the right brokers with --brokers"),
            );
        };
        let spans: Vec<Span> = spans
            .iter()
            .copied()
            .filter(|span| span.first < span.end)
            .collect();
        let before = self.done;
        self.report(topic, false);
        if self.waits {
            for span in &spans {
                self.wait_for_transactions(topic, *span)?;
            }
        }
        self.read_spans(topic, &spans, &mut |record| {
            each(record);
            ControlFlow::Continue(())
        })?;
        // Transaction markers have offsets too, and are never returned.
        self.done = before + spans.iter().map(|span| span.len()).sum::<u64>();
        self.report(topic, false);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::config::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    use super::*;

    #[test]
    fn a_topic_is_read_to_its_end_in_order() {
        let mock = MockCluster::new(1).unwrap();
        for topic in ["first", "second"] {
            mock.create_topic(topic, 3, 1).unwrap();
        }
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", mock.bootstrap_servers())
            .create()
            .unwrap();
        for number in 0..3000 {
            let topic = ["first", "second"][number % 2];
            let value = number.to_string();
            // The last partition stays empty.
            let partition = i32::from(number % 4 < 2);
            let record = BaseRecord::<str, str>::to(topic)
                .payload(&value)
                .partition(partition)
                .timestamp(77);
            producer.send(record).unwrap();
        }
        producer.flush(Duration::from_secs(30)).unwrap();
        let mut seen = Vec::new();
        let mut progress = |progress: ReadProgress<'_>| seen.push((progress.done, progress.total));
        let kafka = [("bootstrap.servers".to_owned(), mock.bootstrap_servers())].into();
        let names = ["first", "missing", "second"].map(String::from);
        let mut reader = TopicReader::new(&kafka, &names, &mut progress).unwrap();
        assert_eq!(
            (reader.partitions("first"), reader.partitions("missing")),
            (Some(3), None)
        );
        for (topic, rest) in [("second", 1), ("first", 0)] {
            let mut found: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
            let read = reader.read(topic, &mut |record| {
                assert_eq!(record.timestamp, 77);
                let value = std::str::from_utf8(record.value.unwrap()).unwrap();
                let numbers = found.entry(record.partition).or_default();
                numbers.push(value.parse().unwrap());
            });
            read.unwrap();
            assert_eq!(found.values().map(Vec::len).sum::<usize>(), 1500);
            assert!(
                found
                    .values()
                    .all(|numbers| numbers.is_sorted() && numbers[0] % 2 == rest)
            );
        }
        let error = reader.read("missing", &mut |_| ()).unwrap_err().to_string();
        assert!(
            error.contains("reading missing: there is no such topic"),
            "{error}"
        );
        assert_eq!(seen.last(), Some(&(3000, 3000)));
        assert!(seen.is_sorted());
    }
}
