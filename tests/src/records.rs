//! A plain Kafka client that knows nothing of rivulet: what it reads, any program can read.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Headers, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::wait;

/// Enough for records far above Kafka's default limit of 1 MB.
const LARGEST: &str = "20000000";

/// A record in the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The key. `None` if it has none.
    pub key: Option<Vec<u8>>,
    /// The value. `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Header names and values.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// A record with this value, to be produced.
    #[must_use]
    pub fn of(value: impl Into<Vec<u8>>) -> Self {
        Record {
            value: Some(value.into()),
            ..Self::default()
        }
    }

    /// Adds a key.
    #[must_use]
    pub fn key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), Some(value.into())));
        self
    }

    /// The value of a header as text. Empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found
            .and_then(|(_, value)| value.as_deref())
            .map(String::from_utf8_lossy)
            .unwrap_or_default()
            .into_owned()
    }

    /// The reading's value: the whole record if it is a number, otherwise its field `value`.
    #[must_use]
    pub fn number(&self) -> f64 {
        let value = self.value.as_deref().unwrap_or_default();
        let json: serde_json::Value = serde_json::from_slice(value).unwrap_or_else(|error| {
            panic!("{} is not JSON: {error}", String::from_utf8_lossy(value))
        });
        let number = json.as_f64().or_else(|| json.get("value")?.as_f64());
        number.unwrap_or_else(|| panic!("{json} is not a reading"))
    }
}

impl From<OwnedMessage> for Record {
    fn from(message: OwnedMessage) -> Self {
        let headers = message.headers().into_iter().flat_map(Headers::iter);
        Record {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers
                .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                .collect(),
        }
    }
}

/// All committed records of a topic, sorted by partition. Waits until there are at least
/// `at_least`, and all partitions were read to their end.
#[must_use]
pub fn read(brokers: &str, topic: &str, at_least: usize) -> Vec<Record> {
    let consumer = consumer(brokers);
    let partitions = partitions(&consumer, topic);
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .expect("the offset is valid");
    }
    consumer.assign(&assignment).expect("the topic exists");
    let (mut records, mut ended): (Vec<Record>, BTreeSet<i32>) = <_>::default();
    let deadline = Instant::now() + wait::LONG;
    while records.len() < at_least
        || ended.len() < usize::try_from(partitions).expect("it is a count")
    {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                ended.remove(&message.partition());
                records.push(message.detach().into());
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
            }
            // An unreachable broker may come back before the deadline.
            Some(Err(_)) | None => {}
        }
        assert!(
            Instant::now() < deadline,
            "{topic}: {} committed records after {:?}, not {at_least}; the last: {:?}",
            records.len(),
            wait::LONG,
            records.last()
        );
    }
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// The sum of the end offsets of a topic's partitions.
#[must_use]
pub fn written(brokers: &str, topic: &str) -> i64 {
    let consumer = consumer(brokers);
    (0..partitions(&consumer, topic))
        .map(|partition| high_watermark(&consumer, topic, partition))
        .sum()
}

fn high_watermark(consumer: &BaseConsumer, topic: &str, partition: i32) -> i64 {
    // The leader of a new partition, or of one whose broker has just come back, needs a moment.
    let watermarks = wait::until(wait::LONG, || {
        let watermarks = consumer.fetch_watermarks(topic, partition, Duration::from_secs(5));
        watermarks.ok()
    });
    let (_, high) = watermarks.unwrap_or_else(|| panic!("no end offset of {topic} [{partition}]"));
    high
}

/// The end offset of a partition, including uncommitted records.
#[must_use]
pub fn end(brokers: &str, topic: &str, partition: i32) -> i64 {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("isolation.level", "read_uncommitted")
        .create()
        .expect("the settings are valid");
    high_watermark(&client, topic, partition)
}

/// The sum of the offsets that a consumer group has committed for a topic.
#[must_use]
pub fn committed(brokers: &str, group: &str, topic: &str) -> i64 {
    let consumer = consumer_in(brokers, group);
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions(&consumer, topic) {
        list.add_partition(topic, partition);
    }
    // The coordinator on a broker that has just come back needs a moment.
    let found = wait::until(wait::LONG, || {
        let offsets = consumer.committed_offsets(list.clone(), Duration::from_secs(5));
        offsets.ok()
    });
    found
        .unwrap_or_else(|| panic!("no committed offsets of {group}"))
        .elements()
        .iter()
        .filter_map(|partition| partition.offset().to_raw())
        .filter(|offset| *offset >= 0)
        .sum()
}

/// How many members a consumer group has. `None` unless it is stable.
#[must_use]
pub fn members(brokers: &str, group: &str) -> Option<usize> {
    let groups = consumer(brokers)
        .fetch_group_list(Some(group), Duration::from_secs(5))
        .ok()?;
    let group = groups.groups().first()?;
    (group.state() == "Stable").then(|| group.members().len())
}

/// Whether the cluster knows a consumer group.
#[must_use]
pub fn has_group(brokers: &str, group: &str) -> bool {
    let groups = consumer(brokers).fetch_group_list(Some(group), Duration::from_secs(5));
    !groups
        .unwrap_or_else(|error| panic!("asking for the group {group}: {error}"))
        .groups()
        .is_empty()
}

/// Writes records, and waits for their acknowledgement. The key decides the partition.
pub fn produce(brokers: &str, topic: &str, records: &[Record]) {
    send(brokers, topic, records, None);
}

/// [`produce`] with a timestamp in milliseconds since the epoch.
pub fn produce_at(brokers: &str, topic: &str, records: &[Record], timestamp: i64) {
    send(brokers, topic, records, Some(timestamp));
}

fn send(brokers: &str, topic: &str, records: &[Record], timestamp: Option<i64>) {
    let acknowledged = AtomicUsize::new(0);
    let producer: BaseProducer<Acknowledged<'_>> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("message.max.bytes", LARGEST)
        .create_with_context(Acknowledged(&acknowledged))
        .expect("the settings are valid");
    for record in records {
        let headers = record
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: value.as_ref(),
                })
            });
        let mut outgoing = BaseRecord::<[u8], [u8]>::to(topic).headers(headers);
        outgoing.key = record.key.as_deref();
        outgoing.payload = record.value.as_deref();
        outgoing.timestamp = timestamp;
        producer
            .send(outgoing)
            .unwrap_or_else(|(error, _)| panic!("producing to {topic}: {error}"));
    }
    producer
        .flush(wait::LONG)
        .unwrap_or_else(|error| panic!("producing to {topic}: {error}"));
    assert_eq!(
        acknowledged.load(Ordering::Relaxed),
        records.len(),
        "records of {topic} that were acknowledged"
    );
}

/// Creates a topic without `rivulet topics`.
pub fn create_topic(brokers: &str, topic: &str, partitions: i32) {
    create_topic_with(brokers, topic, partitions, []);
}

/// Creates a topic with configs.
pub fn create_topic_with<'s>(
    brokers: &str,
    topic: &'s str,
    partitions: i32,
    settings: impl IntoIterator<Item = (&'s str, &'s str)>,
) {
    let mut wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    for (name, value) in settings {
        wanted = wanted.set(name, value);
    }
    let created = wait_for(admin(brokers).create_topics([&wanted], &AdminOptions::new()));
    ok(&format!("creating {topic}"), created);
}

/// Deletes a topic, and waits until it is gone.
pub fn delete_topic(brokers: &str, topic: &str) {
    let deleted = wait_for(admin(brokers).delete_topics(&[topic], &AdminOptions::new()));
    ok(&format!("deleting {topic}"), deleted);
    let consumer = consumer(brokers);
    wait::until_true(&format!("{topic} is gone"), || {
        let metadata = consumer.fetch_metadata(None, Duration::from_secs(5));
        metadata.is_ok_and(|metadata| metadata.topics().iter().all(|found| found.name() != topic))
    });
}

/// Deletes the records of a partition below an offset, as retention does.
pub fn delete_records(brokers: &str, topic: &str, partition: i32, before: i64) {
    let mut offsets = TopicPartitionList::new();
    offsets
        .add_partition_offset(topic, partition, Offset::Offset(before))
        .expect("the offset is valid");
    let deleted = wait_for(admin(brokers).delete_records(&offsets, &AdminOptions::new()));
    for element in deleted
        .unwrap_or_else(|error| panic!("deleting records of {topic}: {error}"))
        .elements()
    {
        element
            .error()
            .unwrap_or_else(|error| panic!("deleting records of {topic}: {error}"));
    }
}

/// Increases the partitions of a topic to `count`.
pub fn add_partitions(brokers: &str, topic: &str, count: usize) {
    let added = wait_for(
        admin(brokers).create_partitions([&NewPartitions::new(topic, count)], &AdminOptions::new()),
    );
    ok(&format!("adding partitions to {topic}"), added);
}

/// Deletes a consumer group and its offsets, as expiry does.
pub fn delete_group(brokers: &str, group: &str) {
    let deleted = wait_for(admin(brokers).delete_groups(&[group], &AdminOptions::new()));
    ok(&format!("deleting the group {group}"), deleted);
}

/// Fails unless every operation succeeded.
fn ok<N, D, E: Display>(doing: &str, results: KafkaResult<Vec<Result<N, (D, E)>>>) {
    for result in results.unwrap_or_else(|error| panic!("{doing}: {error}")) {
        result.unwrap_or_else(|(_, error)| panic!("{doing}: {error}"));
    }
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .expect("the settings are valid")
}

fn wait_for<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers")
        .block_on(answer)
}

fn consumer(brokers: &str) -> BaseConsumer {
    consumer_in(brokers, "tests")
}

/// A client that can ask for the offsets of a group, without joining it.
fn consumer_in(brokers: &str, group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .create()
        .expect("the settings are valid")
}

/// How many partitions a topic has. Waits until it exists.
fn partitions(consumer: &BaseConsumer, topic: &str) -> i32 {
    let found = wait::until(wait::LONG, || {
        let metadata = consumer
            .fetch_metadata(Some(topic), Duration::from_secs(5))
            .ok()?;
        let topic = metadata.topics().first()?;
        (topic.error().is_none() && !topic.partitions().is_empty())
            .then(|| topic.partitions().len())
    });
    let count = found.unwrap_or_else(|| panic!("there is no topic {topic}"));
    i32::try_from(count).expect("Kafka counts partitions in 32 bits")
}

/// Counts acknowledgements.
struct Acknowledged<'a>(&'a AtomicUsize);

impl ClientContext for Acknowledged<'_> {}

impl ProducerContext for Acknowledged<'_> {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => _ = self.0.fetch_add(1, Ordering::Relaxed),
            Err((error, _)) => assert_ne!(
                error.rdkafka_error_code(),
                None::<RDKafkaErrorCode>,
                "{error}"
            ),
        }
    }
}
