//! Reading several topics at once without a consumer group, in the order of timestamps.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rivulet_core::error::{Error, Result};

use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::record::OwnedRecord;
use crate::tool_client::{self, DEADLINE, LastError, is_final};

/// How long a partition may delay the others: its leader may be unreachable.
const MAX_DELAY: Duration = Duration::from_secs(2);
/// How long to wait if there is no record.
const PAUSE: Duration = Duration::from_millis(5);

/// Reads the committed records of topics, past and future ones.
///
/// A result has the timestamp with which its reading entered the pipeline. In the order of
/// timestamps, the results of one reading are read at about the same time, although one topic could
/// be read faster than another.
pub struct Tail {
    // Declared first: the queues must be dropped before the consumer that fills them.
    partitions: Vec<Partition>,
    consumer: Arc<BaseConsumer<LastError>>,
}

/// Where reading starts and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// From the first record to the current end.
    Now,
    /// From the first record on.
    All,
    /// From the current end on.
    Latest,
    /// From the first record on with this timestamp, in milliseconds since the epoch, or a later
    /// one.
    Since(i64),
    /// From that many offsets before the current end on, in each partition. Some of them belong to
    /// transaction markers.
    Last(u32),
}

/// A partition.
struct Partition {
    /// An index into the topics.
    topic: usize,
    queue: PartitionQueue<LastError>,
    /// The next record.
    head: Option<OwnedMessage>,
    /// Where reading ends; `None` if it does not end.
    end: Option<i64>,
    /// Whether all records so far have been read.
    is_at_end: bool,
    /// When the last record arrived.
    last: Instant,
}

impl Tail {
    /// Starts to read.
    ///
    /// # Errors
    /// If the brokers are unreachable, or a topic does not exist.
    pub fn new(connection: &Connection, topics: &[String], from: ReadFrom) -> Result<Self> {
        let inventory = Cluster::new(connection)?.inventory()?;
        let mut config = tool_client::consumer_config(connection, "1024", "50");
        config.set("client.id", "rivulet");
        let consumer: Arc<BaseConsumer<LastError>> = Arc::new(tool_client::client(&config)?);
        let mut list = TopicPartitionList::new();
        let mut places = Vec::new();
        for (index, topic) in topics.iter().enumerate() {
            let found = inventory.topic(topic, format!("reading {topic}"))?;
            for partition in 0..found.partitions {
                let doing = || format!("asking for the watermarks of {topic}/{partition}");
                let (start, end) = tool_client::watermarks(&consumer, topic, partition, doing())?;
                let first = match from {
                    ReadFrom::Latest => Offset::Offset(end),
                    ReadFrom::Last(count) => Offset::Offset((end - i64::from(count)).max(start)),
                    ReadFrom::Now | ReadFrom::All => Offset::Beginning,
                    // Looked up below.
                    ReadFrom::Since(time) => Offset::Offset(time),
                };
                list.add_partition_offset(topic, partition, first)
                    .map_err(|error| Error::new(doing(), error))?;
                places.push((index, partition, (from == ReadFrom::Now).then_some(end)));
            }
        }
        let failed = |cause: &dyn std::fmt::Display| {
            Error::new(format!("reading {}", topics.join(", ")), cause)
        };
        if let ReadFrom::Since(_) = from {
            let doing = format!("looking for the first records of {}", topics.join(", "));
            list = consumer
                .offsets_for_times(list, DEADLINE)
                .map_err(|error| Error::caused_by(doing, error))?;
        }
        consumer.assign(&list).map_err(|error| failed(&error))?;
        let mut partitions = Vec::new();
        for (topic, partition, end) in places {
            let queue = consumer.split_partition_queue(&topics[topic], partition);
            let queue =
                queue.ok_or_else(|| failed(&format!("there is no partition {partition}")))?;
            partitions.push(Partition {
                topic,
                queue,
                head: None,
                end,
                is_at_end: false,
                last: Instant::now(),
            });
        }
        Ok(Tail {
            partitions,
            consumer,
        })
    }

    /// The next record; `None` if none arrives in time.
    ///
    /// # Errors
    /// If a retry is pointless.
    pub fn next(&mut self, wait: Duration) -> Result<Option<OwnedRecord>> {
        let deadline = Instant::now() + wait;
        loop {
            let mut earliest: Option<(i64, usize)> = None;
            let mut must_wait = false;
            for (index, partition) in self.partitions.iter_mut().enumerate() {
                partition.poll()?;
                match &partition.head {
                    Some(head) => {
                        let timestamp = head.timestamp().to_millis().unwrap_or_default();
                        earliest = Some(
                            earliest
                                .map_or((timestamp, index), |other| other.min((timestamp, index))),
                        );
                    }
                    None => {
                        must_wait |= !partition.is_at_end && partition.last.elapsed() < MAX_DELAY;
                    }
                }
            }
            if !must_wait && let Some((_, index)) = earliest {
                let partition = &mut self.partitions[index];
                return Ok(partition
                    .head
                    .take()
                    .map(|message| OwnedRecord::new(partition.topic, message)));
            }
            // Connection errors are in the client's own queue.
            if let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
                check(&error)?;
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Whether everything has been read. Never if reading does not end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.partitions.iter().all(|partition| {
            partition.end.is_some() && partition.is_at_end && partition.head.is_none()
        })
    }

    /// The last connection error.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.consumer.context().last()
    }
}

impl Partition {
    /// Polls for the next record, unless there is one already or everything has been read.
    fn poll(&mut self) -> Result<()> {
        if self.head.is_some() || self.end.is_some() && self.is_at_end {
            return Ok(());
        }
        match self.queue.poll(Duration::ZERO) {
            Some(Ok(message)) => {
                let offset = message.offset();
                self.last = Instant::now();
                // A record after the end shows that the end was reached.
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

/// Returns an error if it is final. Most are connection errors, which librdkafka retries.
fn check(error: &KafkaError) -> Result<()> {
    if is_final(error) {
        Err(Error::new("reading", error))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rdkafka::config::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    use super::*;

    const WAIT: Duration = Duration::from_secs(30);

    /// Writes a record for each number to each partition of two topics, the second topic first.
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

    fn connection(brokers: &str) -> Connection {
        let brokers = ("bootstrap.servers".to_owned(), brokers.to_owned());
        BTreeMap::from([brokers]).into()
    }

    fn tail(brokers: &str, from: ReadFrom) -> Tail {
        Tail::new(
            &connection(brokers),
            &["first", "second"].map(String::from),
            from,
        )
        .unwrap()
    }

    #[test]
    fn topics_are_read_in_the_order_of_timestamps() {
        let mock = MockCluster::new(1).unwrap();
        for topic in ["first", "second"] {
            mock.create_topic(topic, 3, 1).unwrap();
        }
        produce(&mock.bootstrap_servers(), 0..3000);
        let mut tail = tail(&mock.bootstrap_servers(), ReadFrom::Now);
        let (mut timestamps, mut counts) = (Vec::new(), [0; 2]);
        while !tail.is_done() {
            if let Some(record) = tail.next(WAIT).unwrap() {
                if timestamps.is_empty() {
                    // These records come after the end.
                    produce(&mock.bootstrap_servers(), 3000..3001);
                }
                timestamps.push(record.fields().timestamp);
                counts[record.fields().topic] += 1;
            }
        }
        assert_eq!(counts, [6000, 6000]);
        assert!(timestamps.is_sorted());
    }

    #[test]
    fn reading_goes_on_with_later_records_from_any_start() {
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
            let record = tail.next(WAIT).unwrap().unwrap();
            record.fields().value.unwrap().to_vec()
        };
        (0..4).for_each(|_| assert_eq!(next(&mut all), b"0"));
        assert!(latest.next(Duration::ZERO).unwrap().is_none());
        produce(&brokers, 1..2);
        for tail in [&mut all, &mut latest] {
            (0..4).for_each(|_| assert_eq!(next(tail), b"1"));
            assert!(!tail.is_done());
        }
        produce(&brokers, 2..3);
        // The mock cluster finds no offset by its time.
        for from in [ReadFrom::Last(2), ReadFrom::Last(9)] {
            let mut last = tail(&brokers, from);
            if from == ReadFrom::Last(9) {
                (0..4).for_each(|_| assert_eq!(next(&mut last), b"0"));
            }
            for value in [b"1", b"2"] {
                (0..4).for_each(|_| assert_eq!(next(&mut last), value));
            }
        }
    }

    #[test]
    fn a_missing_topic_is_an_error_with_a_remedy() {
        let mock = MockCluster::new(1).unwrap();
        let error = Tail::new(
            &connection(&mock.bootstrap_servers()),
            &["missing".to_owned()],
            ReadFrom::All,
        )
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
