//! Reading whole topics from Kafka: plainly, without a group, from the first record to the last
//! committed one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use stream::dead_letter::Header;
use stream::error::{Error, Result};

use crate::cluster::{self, Cluster, Witness, is_final};

/// How long a topic may yield nothing before that is an error.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait for transactions that are open: a dead stage's is aborted after a minute.
const OPEN_TRANSACTIONS: Duration = Duration::from_secs(90);

/// How many records are read between two calls for progress.
const EVERY: u64 = 4096;

/// A record as it is in a topic.
#[derive(Debug, Clone, Copy)]
pub struct FetchedRecord<'a> {
    /// The partition it is in.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// In milliseconds since the epoch; −1 if it has none.
    pub timestamp: i64,
    /// The key, if it has one.
    pub key: Option<&'a [u8]>,
    /// The value; nothing for a tombstone.
    pub value: Option<&'a [u8]>,
    /// Header names and values.
    pub headers: &'a [Header],
}

/// Where records come from: the cluster, or a table in memory.
pub trait TopicSource {
    /// How many partitions the topic has; nothing if there is no such topic.
    fn partitions(&self, topic: &str) -> Option<usize>;

    /// Whether the first records of the topic are gone.
    fn is_trimmed(&self, topic: &str) -> bool;

    /// The first offset that there is in a partition: what came before it is gone.
    fn start(&self, topic: &str, partition: i32) -> i64 {
        let _ = partition;
        i64::from(self.is_trimmed(topic))
    }

    /// Reads the topic from the first record to the last, each partition in its order.
    ///
    /// # Errors
    /// If it cannot be read to its end.
    fn read(&mut self, topic: &str, each: &mut dyn FnMut(&FetchedRecord<'_>)) -> Result<()>;
}

/// How far reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadProgress<'a> {
    /// The topic that is being read.
    pub topic: &'a str,
    /// Offsets behind, of all topics together.
    pub done: u64,
    /// Offsets from the first to the last, of all topics together.
    pub total: u64,
    /// Whether it waits for a transaction on the topic to be committed or aborted: a dead stage's
    /// takes a minute.
    pub waiting: bool,
}

/// Reads topics up to where they ended when the reader was made.
pub(crate) struct Reader<'p> {
    consumer: BaseConsumer<Witness>,
    topics: BTreeMap<String, Vec<Span>>,
    progress: &'p mut dyn FnMut(ReadProgress<'_>),
    /// Whether it waits for open transactions instead of ending in front of them.
    waits: bool,
    done: u64,
    total: u64,
}

/// What there is to read of one partition.
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

impl<'p> Reader<'p> {
    /// Takes down the ends of those of the topics that exist.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub(crate) fn new(
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
                let (first, end) = cluster.ends(name, partition)?;
                spans.push(Span {
                    partition,
                    first,
                    end,
                });
            }
            topics.insert(name.clone(), spans);
        }
        let total = topics.values().flatten().map(|span| span.len()).sum();
        let consumer = cluster::client(&cluster::reading(kafka, "8192", "5"))?;
        Ok(Reader {
            consumer,
            topics,
            progress,
            waits: true,
            done: 0,
            total,
        })
    }

    /// From now on reads what is committed so far, and in front of an open transaction it ends.
    pub(crate) fn without_waiting(mut self) -> Self {
        self.waits = false;
        self
    }

    /// Waits until every transaction that reaches into the span is committed or aborted. Without
    /// that a reader of committed records takes the first open one for the end.
    fn wait_for_transactions(&mut self, topic: &str, span: Span) -> Result<()> {
        let doing = || {
            format!(
                "waiting for open transactions on {topic}/{}",
                span.partition
            )
        };
        let deadline = Instant::now() + OPEN_TRANSACTIONS;
        loop {
            let (_, committed) = cluster::watermarks(&self.consumer, topic, span.partition)
                .map_err(|error| cluster::unanswered(doing(), &error, self.consumer.context()))?;
            if committed >= span.end {
                return Ok(());
            }
            if Instant::now() > deadline {
                let cause = format!(
                    "still open at offset {committed} after {} s",
                    OPEN_TRANSACTIONS.as_secs()
                );
                return Err(Error::new(doing(), cause).help(
                    "a stage that hangs keeps it open: stop it, and try again when its \
                     transaction.timeout.ms is over",
                ));
            }
            self.tell(topic, true);
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn tell(&mut self, topic: &str, waiting: bool) {
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
                        // Records without headers, most of them, cost nothing here.
                        let headers: Vec<Header> =
                            message.headers().map(headers::read).unwrap_or_default();
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
                None if last.elapsed() > PATIENCE => {
                    let waited = format!("nothing came for {} s", PATIENCE.as_secs());
                    let seen = self.consumer.context().last();
                    let cause = seen.map_or(waited.clone(), |seen| {
                        format!("{waited}; last seen: {seen}")
                    });
                    return Err(Error::new(doing(), cause).help("are all brokers running?"));
                }
                // Other errors are about connections, and librdkafka tries again; other records are
                // of a topic read before.
                Some(_) | None => (),
            }
            if read >= EVERY {
                self.done += read;
                read = 0;
                self.tell(topic, false);
            }
        }
        self.done += read;
        self.consumer.unassign().map_err(failed)
    }
}

impl Reader<'_> {
    /// Reads the records of a partition from `first` to `last`, as far as they are there. The topic
    /// must have been read before: no transaction up to its end is open any more.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub(crate) fn read_range(
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

    /// How many records there are in these spans of a topic's partitions, each given with its first
    /// offset and the one behind its last; nothing if there are more than `limit` of all. No
    /// transaction that reaches into a span may be open any more.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub(crate) fn count(
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

impl TopicSource for Reader<'_> {
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
                    .help("run the pipeline first, or name the right brokers with --brokers"),
            );
        };
        let spans: Vec<Span> = spans
            .iter()
            .copied()
            .filter(|span| span.first < span.end)
            .collect();
        let before = self.done;
        self.tell(topic, false);
        if self.waits {
            for span in &spans {
                self.wait_for_transactions(topic, *span)?;
            }
        }
        self.read_spans(topic, &spans, &mut |record| {
            each(record);
            ControlFlow::Continue(())
        })?;
        // Transactions' own marks take offsets too, and are never seen.
        self.done = before + spans.iter().map(|span| span.len()).sum::<u64>();
        self.tell(topic, false);
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
    fn a_topic_is_read_to_its_end_in_the_order_of_each_partition() {
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
        let mut reader = Reader::new(&kafka, &names, &mut progress).unwrap();
        assert_eq!(
            (reader.partitions("first"), reader.partitions("missing")),
            (Some(3), None)
        );
        for (topic, rest) in [("second", 1), ("first", 0)] {
            let mut found: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
            let each = &mut |record: &FetchedRecord<'_>| {
                assert_eq!(record.timestamp, 77);
                let number = std::str::from_utf8(record.value.unwrap())
                    .unwrap()
                    .parse()
                    .unwrap();
                found.entry(record.partition).or_default().push(number);
            };
            reader.read(topic, each).unwrap();
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
