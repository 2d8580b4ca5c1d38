//! One connection to the cluster: what it holds, and why it does not answer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::groups::GroupList;
use rdkafka::message::DeliveryResult;
use rdkafka::metadata::MetadataBroker;
use rdkafka::producer::ProducerContext;
use stream::error::{Error, Result};

/// How long one question to the cluster may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// How long a partition may be without a broker that leads it: when one goes, another takes its
/// place within seconds.
const LEADERLESS: Duration = Duration::from_secs(30);

/// The cluster, as far as questions about its topics go.
pub(crate) struct Cluster {
    // Without a group: it asks and never reads.
    consumer: BaseConsumer<Witness>,
    brokers: String,
}

/// What the cluster has.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// How many brokers answer.
    pub(crate) brokers: usize,
    /// Their numbers.
    pub(crate) nodes: Vec<i32>,
    /// Every topic by name.
    pub(crate) topics: BTreeMap<String, Found>,
}

/// A topic of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// How many partitions it has.
    pub(crate) partitions: i32,
    /// The fewest copies that any of its partitions has.
    pub(crate) replication: i32,
    /// Whether every partition has a leader, so that it can be written and read.
    pub(crate) ready: bool,
}

impl Cluster {
    /// Sets up the client; nothing is asked yet.
    ///
    /// # Errors
    /// If librdkafka refuses the properties.
    pub(crate) fn new(kafka: &BTreeMap<String, String>) -> Result<Self> {
        let mut config = config(kafka);
        // The true ends of partitions, also behind transactions that are still open.
        config.set("isolation.level", "read_uncommitted");
        config.remove("group.id");
        let brokers = kafka.get("bootstrap.servers").cloned().unwrap_or_default();
        Ok(Cluster {
            consumer: client(&config)?,
            brokers,
        })
    }

    /// Asks for all topics. Asking for single ones could create them.
    ///
    /// # Errors
    /// If no broker answers in time.
    pub(crate) fn inventory(&self) -> Result<Inventory> {
        let doing = format!("asking {} for the topics", self.brokers);
        let metadata = self
            .consumer
            .fetch_metadata(None, DEADLINE)
            .map_err(|error| self.unanswered(doing, &error))?;
        let topics = metadata
            .topics()
            .iter()
            .filter(|topic| topic.error().is_none())
            .map(|topic| {
                let partitions = topic.partitions();
                let copies = partitions
                    .iter()
                    .map(|partition| count(partition.replicas().len()))
                    .min();
                let found = Found {
                    partitions: count(partitions.len()),
                    replication: copies.unwrap_or_default(),
                    ready: !partitions.is_empty()
                        && partitions.iter().all(|partition| partition.leader() >= 0),
                };
                (topic.name().to_owned(), found)
            });
        let nodes: Vec<i32> = metadata.brokers().iter().map(MetadataBroker::id).collect();
        Ok(Inventory {
            brokers: nodes.len(),
            nodes,
            topics: topics.collect(),
        })
    }

    /// All consumer groups with their members.
    ///
    /// # Errors
    /// If a broker does not answer in time.
    pub(crate) fn groups(&self) -> Result<GroupList> {
        let groups = self.consumer.fetch_group_list(None, DEADLINE);
        groups.map_err(|error| {
            self.unanswered(
                format!("asking {} for the consumer groups", self.brokers),
                &error,
            )
        })
    }

    /// The first offset there is in a partition, and the one behind the last record written.
    ///
    /// # Errors
    /// If no broker answers in time.
    pub(crate) fn ends(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        watermarks(&self.consumer, topic, partition).map_err(|error| {
            self.unanswered(
                format!("asking for the ends of {topic}/{partition}"),
                &error,
            )
        })
    }

    fn unanswered(&self, doing: String, error: &KafkaError) -> Error {
        // What happened to the connections waits in the client's queue.
        let enough = 100;
        (0..enough).find(|_| self.consumer.poll(Duration::from_millis(20)).is_none());
        unanswered(doing, error, self.consumer.context())
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The properties of the pipeline with deadlines for a person who waits.
pub(crate) fn config(kafka: &BTreeMap<String, String>) -> ClientConfig {
    let mut config = ClientConfig::new();
    // The defaults are 60 s and 30 s: made for services that nobody watches.
    config
        .set("socket.timeout.ms", "10000")
        .set("socket.connection.setup.timeout.ms", "5000");
    for (name, value) in kafka {
        config.set(name, value);
    }
    config
}

/// The properties of a consumer that reads what is committed, plainly and from the beginning:
/// partitions are assigned by hand, nothing is committed, and the end of a partition is told. It
/// queues at most so many KiB of each partition, and hears of an end after so many milliseconds,
/// unless the pipeline says otherwise.
pub(crate) fn reading(
    kafka: &BTreeMap<String, String>,
    queue_kib: &str,
    end_ms: &str,
) -> ClientConfig {
    let mut config = config(kafka);
    // librdkafka wants a name even where partitions are assigned by hand; the group is never
    // joined.
    config
        .set("group.id", "rivulet")
        .set("enable.auto.commit", "false");
    config
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true");
    // Where retention has just taken what is asked for, what is left is read, and not nothing.
    config.set("auto.offset.reset", "earliest");
    // The defaults would queue 64 MiB, and a small queue must be filled up quickly; the end of a
    // partition is only told by a fetch that finds nothing, and that would wait for half a second.
    let quick = [
        ("queued.max.messages.kbytes", queue_kib),
        ("fetch.queue.backoff.ms", "2"),
        ("fetch.wait.max.ms", end_ms),
    ];
    for (name, value) in quick {
        if !kafka.contains_key(name) {
            config.set(name, value);
        }
    }
    config
}

/// A client of any kind from its properties.
///
/// # Errors
/// If librdkafka refuses one of them.
pub(crate) fn client<C: FromClientConfigAndContext<Witness>>(config: &ClientConfig) -> Result<C> {
    config
        .create_with_context(Witness::default())
        .map_err(|error| {
            Error::new("setting up the Kafka client", error)
                .help("correct the [kafka] table of the pipeline file")
        })
}

/// The first offset there is in a partition, and the one behind the last record that this client
/// may read. Asks again while the broker that leads the partition is away: which one does,
/// librdkafka takes from what it was last told.
///
/// # Errors
/// If none answers in time.
pub(crate) fn watermarks(
    client: &BaseConsumer<Witness>,
    topic: &str,
    partition: i32,
) -> std::result::Result<(i64, i64), KafkaError> {
    let begun = Instant::now();
    let mut wait = DEADLINE / 8;
    loop {
        match client.fetch_watermarks(topic, partition, wait) {
            Err(error) if !is_final(&error) && begun.elapsed() < LEADERLESS => {
                // Some errors are answered at once, a missing leader for one.
                thread::sleep(Duration::from_millis(100));
                let _ = client.fetch_metadata(Some(topic), DEADLINE);
                wait = (wait * 2).min(DEADLINE);
            }
            answer => return answer,
        }
    }
}

/// Whether trying again is of no use.
pub(crate) fn is_final(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownTopicOrPartition
            )
        )
}

/// The error for a question that got no answer, with what the connections suffered meanwhile.
pub(crate) fn unanswered(doing: String, error: &KafkaError, witness: &Witness) -> Error {
    match witness.last() {
        Some(seen) => Error::new(doing, seen),
        None => Error::new(doing, error),
    }
    .help(
        "is Kafka running there? give its address with --brokers HOST:PORT or brokers = \"…\" in \
         [kafka]",
    )
}

/// Remembers the last thing that went wrong with a connection.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    last: Mutex<Option<String>>,
}

impl Witness {
    pub(crate) fn last(&self) -> Option<String> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ClientContext for Witness {
    // All that matters comes as an error, and is shown once.
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, reason: &str) {
        // That all brokers are down is said after each single reason, and says less; the end of a
        // partition is none.
        let says_nothing = [
            RDKafkaErrorCode::AllBrokersDown,
            RDKafkaErrorCode::PartitionEOF,
        ];
        if !error
            .rdkafka_error_code()
            .is_some_and(|code| says_nothing.contains(&code))
        {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Witness {}

impl ProducerContext for Witness {
    type DeliveryOpaque = ();

    // A transaction does not commit unless all of it has arrived.
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_broker_that_refuses_is_named_with_the_reason_in_time() {
        let cluster = Cluster::new(&properties(&[("bootstrap.servers", "127.0.0.1:1")])).unwrap();
        let asked = Instant::now();
        let error = cluster.inventory().unwrap_err().to_string();
        assert!(asked.elapsed() < DEADLINE + Duration::from_secs(5));
        assert!(
            error.contains("asking 127.0.0.1:1 for the topics: "),
            "{error}"
        );
        assert!(error.contains("Connection refused"), "{error}");
        assert!(error.contains("--brokers"), "{error}");
    }

    #[test]
    fn a_property_that_librdkafka_does_not_know_is_named() {
        let error = Cluster::new(&properties(&[
            ("bootstrap.servers", "localhost:1"),
            ("security.protocl", "ssl"),
        ]));
        let error = error.err().expect("it is misspelt").to_string();
        assert!(
            error.contains("security.protocl") && error.contains("[kafka]"),
            "{error}"
        );
    }
}
