//! Several topics read at once: plainly, without a group, in the order of the records' timestamps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use stream::error::{Error, Result};

use crate::cluster::{self, Cluster, Witness, is_final};

/// How long a partition may hold up the others before they go on without it: its broker may be
/// away.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait when nothing has come.
const PAUSE: Duration = Duration::from_millis(5);

/// Reads the committed records of topics, those that are there and those that come.
///
/// Records leave the pipeline with the timestamp they entered it with, so what was made from the
/// same reading is read at about the same time, however far one topic could be read ahead of
/// another.
pub(super) struct Tail {
    // Queues go before the consumer that fills them.
    lanes: Vec<Lane>,
    consumer: Arc<BaseConsumer<Witness>>,
}

/// Where reading begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// From the first record to the last that is there now.
    Now,
    /// From the first record on.
    All,
    /// What comes from now on.
    Latest,
}

/// A partition.
struct Lane {
    /// An index into the topics.
    topic: usize,
    queue: PartitionQueue<Witness>,
    /// The next record.
    head: Option<OwnedMessage>,
    /// Where reading ends; nothing if it goes on.
    end: Option<i64>,
    /// Whether all has been read that there is, until more comes.
    is_at_end: bool,
    /// When anything was last heard of it.
    heard: Instant,
}

impl Tail {
    /// Begins to read.
    ///
    /// # Errors
    /// If the cluster does not answer, or there is no such topic.
    pub(super) fn new(
        kafka: &BTreeMap<String, String>,
        topics: &[String],
        extent: ReadFrom,
    ) -> Result<Self> {
        let inventory = Cluster::new(kafka)?.inventory()?;
        let mut config = cluster::reading(kafka, "1024", "50");
        config.set("client.id", "rivulet");
        let consumer: Arc<BaseConsumer<Witness>> = Arc::new(cluster::client(&config)?);
        let mut list = TopicPartitionList::new();
        let mut places = Vec::new();
        for (index, topic) in topics.iter().enumerate() {
            let Some(found) = inventory.topics.get(topic) else {
                return Err(
                    Error::new(format!("reading {topic}"), "there is no such topic").help(
                        "`rivulet topics create` makes it; name the right brokers with --brokers",
                    ),
                );
            };
            for partition in 0..found.partitions {
                let doing = || format!("asking for the end of {topic}/{partition}");
                let ends = cluster::watermarks(&consumer, topic, partition);
                let (_, end) =
                    ends.map_err(|error| cluster::unanswered(doing(), &error, consumer.context()))?;
                let from = if extent == ReadFrom::Latest {
                    Offset::Offset(end)
                } else {
                    Offset::Beginning
                };
                list.add_partition_offset(topic, partition, from)
                    .map_err(|error| Error::new(doing(), error))?;
                places.push((index, partition, (extent == ReadFrom::Now).then_some(end)));
            }
        }
        let failed = |cause: &dyn std::fmt::Display| {
            Error::new(format!("reading {}", topics.join(", ")), cause)
        };
        consumer.assign(&list).map_err(|error| failed(&error))?;
        let lane = |(topic, partition, end): (usize, i32, Option<i64>)| {
            let queue = consumer.split_partition_queue(&topics[topic], partition);
            let queue =
                queue.ok_or_else(|| failed(&format!("there is no partition {partition}")))?;
            Ok(Lane {
                topic,
                queue,
                head: None,
                end,
                is_at_end: false,
                heard: Instant::now(),
            })
        };
        let lanes = places.into_iter().map(lane).collect::<Result<_>>()?;
        Ok(Tail { lanes, consumer })
    }

    /// The next record, with the index of its topic; nothing if none comes in time.
    ///
    /// # Errors
    /// What waiting will not mend.
    pub(super) fn next(&mut self, wait: Duration) -> Result<Option<(usize, OwnedMessage)>> {
        let deadline = Instant::now() + wait;
        loop {
            let mut earliest: Option<(i64, usize)> = None;
            let mut holds_up = false;
            for (index, lane) in self.lanes.iter_mut().enumerate() {
                lane.look()?;
                match &lane.head {
                    Some(head) => {
                        let timestamp = head.timestamp().to_millis().unwrap_or_default();
                        earliest = Some(
                            earliest
                                .map_or((timestamp, index), |other| other.min((timestamp, index))),
                        );
                    }
                    None => holds_up |= !lane.is_at_end && lane.heard.elapsed() < PATIENCE,
                }
            }
            if !holds_up && let Some((_, index)) = earliest {
                let lane = &mut self.lanes[index];
                return Ok(lane.head.take().map(|head| (lane.topic, head)));
            }
            // What happened to the connections waits in the client's own queue.
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                check(&error)?;
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Whether all has been read that there was at the beginning, if reading ends there.
    pub(super) fn is_done(&self) -> bool {
        self.lanes
            .iter()
            .all(|lane| lane.end.is_some() && lane.is_at_end && lane.head.is_none())
    }

    /// The last thing that went wrong with a connection.
    pub(super) fn seen(&self) -> Option<String> {
        self.consumer.context().last()
    }
}

impl Lane {
    /// Takes the next record, unless there is one, or nothing more is wanted.
    fn look(&mut self) -> Result<()> {
        if self.head.is_some() || self.end.is_some() && self.is_at_end {
            return Ok(());
        }
        match self.queue.poll(Duration::ZERO) {
            Some(Ok(message)) => {
                let offset = message.offset();
                self.heard = Instant::now();
                // The end of what was there may be told by what has come since.
                self.is_at_end = self.end.is_some_and(|end| offset + 1 >= end);
                self.head = self
                    .end
                    .is_none_or(|end| offset < end)
                    .then(|| message.detach());
            }
            Some(Err(KafkaError::PartitionEOF(_))) => self.is_at_end = true,
            Some(Err(error)) => check(&error)?,
            None => (),
        }
        Ok(())
    }
}

/// Most errors are about connections, and librdkafka tries again.
fn check(error: &KafkaError) -> Result<()> {
    if is_final(error) {
        Err(Error::new("reading", error))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::config::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    use super::*;

    const WAIT: Duration = Duration::from_secs(30);

    /// So many records of each partition of two topics; those of the second are written first.
    fn produce(brokers: &str, numbers: std::ops::Range<i64>) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .create()
            .unwrap();
        for topic in ["second", "first"] {
            for number in numbers.clone() {
                for partition in 0..2 {
                    let value = format!("{number}");
                    let record = BaseRecord::<str, str>::to(topic)
                        .payload(&value)
                        .partition(partition);
                    producer.send(record.timestamp(1000 + number)).unwrap();
                }
            }
        }
        producer.flush(WAIT).unwrap();
    }

    fn tail(brokers: &str, extent: ReadFrom) -> Tail {
        let kafka = [("bootstrap.servers".to_owned(), brokers.to_owned())].into();
        Tail::new(&kafka, &["first", "second"].map(String::from), extent).unwrap()
    }

    #[test]
    fn topics_are_read_side_by_side_however_they_were_written() {
        let mock = MockCluster::new(1).unwrap();
        for topic in ["first", "second"] {
            mock.create_topic(topic, 3, 1).unwrap();
        }
        produce(&mock.bootstrap_servers(), 0..3000);
        let mut tail = tail(&mock.bootstrap_servers(), ReadFrom::Now);
        let (mut timestamps, mut counts) = (Vec::new(), [0; 2]);
        while !tail.is_done() {
            if let Some((topic, record)) = tail.next(WAIT).unwrap() {
                if timestamps.is_empty() {
                    // What comes now comes too late.
                    produce(&mock.bootstrap_servers(), 3000..3001);
                }
                timestamps.push(record.timestamp().to_millis().unwrap());
                counts[topic] += 1;
            }
        }
        assert_eq!(counts, [6000, 6000]);
        assert!(timestamps.is_sorted());
    }

    #[test]
    fn what_comes_is_read_too_and_from_the_latest_on_nothing_else() {
        let mock = MockCluster::new(1).unwrap();
        for topic in ["first", "second"] {
            mock.create_topic(topic, 2, 1).unwrap();
        }
        let brokers = mock.bootstrap_servers();
        produce(&brokers, 0..1);
        let (mut all, mut latest) = (
            tail(&brokers, ReadFrom::All),
            tail(&brokers, ReadFrom::Latest),
        );
        let next = |tail: &mut Tail| {
            tail.next(WAIT)
                .unwrap()
                .unwrap()
                .1
                .payload()
                .unwrap()
                .to_vec()
        };
        (0..4).for_each(|_| assert_eq!(next(&mut all), b"0"));
        assert!(latest.next(Duration::ZERO).unwrap().is_none());
        produce(&brokers, 1..2);
        for tail in [&mut all, &mut latest] {
            (0..4).for_each(|_| assert_eq!(next(tail), b"1"));
            assert!(!tail.is_done());
        }
    }

    #[test]
    fn a_topic_that_is_missing_is_named_with_the_remedy() {
        let mock = MockCluster::new(1).unwrap();
        let kafka = [("bootstrap.servers".to_owned(), mock.bootstrap_servers())].into();
        let error = Tail::new(&kafka, &["missing".to_owned()], ReadFrom::All)
            .err()
            .expect("it is missing")
            .to_string();
        assert!(
            error.contains("reading missing: there is no such topic"),
            "{error}"
        );
        assert!(error.contains("rivulet topics create"), "{error}");
    }
}
