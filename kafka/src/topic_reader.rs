//! Reading topics without a consumer group, from the first record to the last committed one.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::rc::Rc;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::BorrowedMessage;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::log::Header;
use rivulet_core::topic_source::{FetchedRecord, ReadAmount, ReadProgress, TopicSource};

use crate::cluster::Cluster;
use crate::committed::{self, Span};
use crate::connection::Connection;
use crate::tool_client::{self, LastError, ToolPatience};

/// How many records are read between two progress reports.
const EVERY: u64 = 4096;

/// How many records are read between two checks.
const CHECK: u64 = 1024;

/// Ends reading with an error.
type Check = dyn Fn(ReadAmount<'_>) -> Result<()>;

/// Reads topics up to the ends that they had when the reader was created.
pub struct TopicReader<'p> {
    consumer: BaseConsumer<LastError>,
    topics: BTreeMap<String, Vec<Span>>,
    progress: &'p mut dyn FnMut(ReadProgress<'_>),
    /// Whether it waits for open transactions instead of ending before them.
    waits: bool,
    check: Option<Rc<Check>>,
    done: u64,
    total: u64,
}

impl<'p> TopicReader<'p> {
    /// Reads the watermarks of those of the topics that exist.
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub fn new(
        connection: &Connection,
        names: &[String],
        progress: &'p mut dyn FnMut(ReadProgress<'_>),
    ) -> Result<Self> {
        let cluster = Cluster::new(connection)?;
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
                    first: Some(first),
                    end,
                });
            }
            topics.insert(name.clone(), spans);
        }
        let total = topics.values().flatten().map(|span| span.len()).sum();
        let consumer = tool_client::client(&tool_client::consumer_config(connection, "8192", "5"))?;
        Ok(TopicReader {
            consumer,
            topics,
            progress,
            waits: true,
            check: None,
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

    /// Makes the reader ask `check` before each topic and again and again while it reads it. Its
    /// error ends the reading.
    #[must_use]
    pub fn checked(mut self, check: impl Fn(ReadAmount<'_>) -> Result<()> + 'static) -> Self {
        self.check = Some(Rc::new(check));
        self
    }

    fn report(&mut self, topic: &str) {
        (self.progress)(ReadProgress {
            topic,
            done: self.done,
            total: self.total,
            waiting: false,
        });
    }

    fn read_spans(
        &mut self,
        topic: &str,
        spans: &[Span],
        waits: bool,
        each: &mut dyn FnMut(&FetchedRecord<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let (done, total, progress) = (self.done, self.total, &mut *self.progress);
        let mut read = 0;
        let mut report = |now_read: u64, waiting| {
            if waiting || now_read / EVERY > read / EVERY {
                progress(ReadProgress {
                    topic,
                    done: done + now_read,
                    total,
                    waiting,
                });
            }
            read = now_read;
        };
        let doing = format!("reading {topic}");
        let mut patience = ToolPatience::new(doing, self.consumer.context(), &mut report);
        if waits {
            for span in spans {
                let partition = span.partition;
                committed::wait_until_stable(
                    &self.consumer,
                    topic,
                    partition,
                    span.end,
                    &mut patience,
                )?;
            }
        }
        let mut each = |message: &BorrowedMessage<'_>| {
            // Most records have no headers, and cost no allocation here.
            let headers: Vec<Header> = message
                .headers()
                .map(rivulet_native::headers::read)
                .unwrap_or_default();
            each(&FetchedRecord {
                partition: message.partition(),
                offset: message.offset(),
                timestamp: message.timestamp().to_millis().unwrap_or(-1),
                key: message.key(),
                value: message.payload(),
                headers: &headers,
            })
        };
        committed::read(&self.consumer, topic, spans, &mut each, &mut patience)?;
        self.done += read;
        Ok(())
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
                first: Some(first),
                end,
            }],
            false,
            &mut |record| {
                each(record);
                ControlFlow::Continue(())
            },
        );
        self.done = done;
        read
    }

    /// Waits until every transaction below these ends, by partition, is committed or aborted.
    ///
    /// # Errors
    /// If one stays open, or the brokers are unreachable.
    pub fn settle(&mut self, topic: &str, ends: &BTreeMap<i32, i64>) -> Result<()> {
        let (done, total, progress) = (self.done, self.total, &mut *self.progress);
        let mut report = |_, waiting| {
            progress(ReadProgress {
                topic,
                done,
                total,
                waiting,
            });
        };
        let doing = format!("reading {topic}");
        let mut patience = ToolPatience::new(doing, self.consumer.context(), &mut report);
        for (partition, end) in ends {
            let (consumer, partition) = (&self.consumer, *partition);
            committed::wait_until_stable(consumer, topic, partition, *end, &mut patience)?;
        }
        Ok(())
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
                first: Some(*first),
                end: *end,
            })
            .collect();
        self.read_spans(topic, &spans, false, &mut |record| {
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
            .is_some_and(|spans| spans.iter().any(|span| span.first > Some(0)))
    }

    fn start(&self, topic: &str, partition: i32) -> i64 {
        let spans = self.topics.get(topic).into_iter().flatten();
        spans
            .filter(|span| span.partition == partition)
            .find_map(|span| span.first)
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
            .filter(|span| span.len() > 0)
            .collect();
        let (before, check) = (self.done, self.check.clone());
        let (offsets, mut records) = (spans.iter().map(|span| span.len()).sum(), 0);
        let check = |records| {
            check.as_ref().map_or(Ok(()), |check| {
                check(ReadAmount {
                    topic,
                    records,
                    offsets,
                })
            })
        };
        check(records)?;
        let mut checked = Ok(());
        self.report(topic);
        self.read_spans(topic, &spans, self.waits, &mut |record| {
            each(record);
            records += 1;
            if records % CHECK == 0 {
                checked = check(records);
            }
            if checked.is_ok() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        checked?;
        // Transaction markers have offsets too, and are never returned.
        self.done = before + offsets;
        self.report(topic);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        let brokers = ("bootstrap.servers".to_owned(), mock.bootstrap_servers());
        let kafka = BTreeMap::from([brokers]).into();
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
        drop(producer);
        let mut silent = |_: ReadProgress<'_>| ();
        let mut reader = TopicReader::new(&kafka, &names, &mut silent)
            .unwrap()
            .checked(|amount| {
                assert_eq!((amount.topic, amount.offsets), ("first", 1500));
                match amount.records {
                    0 => Ok(()),
                    records => Err(Error::new("reading", format!("enough after {records}"))),
                }
            });
        let error = reader.read("first", &mut |_| ()).unwrap_err().to_string();
        assert_eq!(error, "reading: enough after 1024");
    }
}
