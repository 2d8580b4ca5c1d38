//! librdkafka's properties for each kind of client.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::BaseProducer;

use super::monitor::ClientMonitor;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::pipeline::{Guarantee, Pipeline, Stage, Topic};

/// Makes a stage's clients.
///
/// librdkafka's own defaults are made for servers: up to 64 MiB of records waiting for each
/// partition and a gigabyte to be sent. These are made for machines with little memory, and what
/// can grow is sized by the pipeline's [`Limits`]. The pipeline file can change any of them.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    properties: BTreeMap<String, String>,
    stage: String,
    instance: String,
    guarantee: Guarantee,
    limits: Limits,
    /// The largest message that one of its topics takes, in bytes.
    largest_message: usize,
    /// Whether it has no inputs: a source is one producer, whichever instance runs it.
    is_source: bool,
    /// How many bytes of records are sent as one batch at the most. A broker refuses a batch that
    /// is larger than what its topic takes as one record.
    batch: Arc<AtomicU64>,
}

/// The least that batches are cut down to.
const LEAST_BATCH: u64 = 1000;
/// What of a batch is no record.
const BATCH_FRAME: usize = 100;

/// What both kinds of client share.
const CLIENT: &[(&str, &str)] = &[
    // A broker that is back is found as soon: by default the pause between two tries grows to 10 s,
    // for each of a client's connections by itself, and the flow would wait for the last of them.
    ("reconnect.backoff.max.ms", "500"),
    ("socket.keepalive.enable", "true"),
];

const CONSUMER: &[(&str, &str)] = &[
    // A broker whose machine loses power closes no connection: only this ends the wait for its
    // answer, and only then is the new leader looked for.
    SOCKET_TIMEOUT,
    ("queued.min.messages", "1000"),
    ("fetch.message.max.bytes", "65536"),
    ("fetch.max.bytes", "262144"),
    // Bounds what is sent, not what is read: a larger record still arrives. It may not exceed the
    // above.
    ("message.max.bytes", "200000"),
    // With queues this small a fetch waits for room all the time; the default of 1000 ms would make
    // it wait a whole second each time.
    ("fetch.queue.backoff.ms", "2"),
    // Records that retention has deleted before they were read are never skipped in silence: the
    // stage asks itself where a partition begins.
    ("auto.offset.reset", "error"),
    // Gives the same partition of several topics to the same member, as a merge with state needs.
    ("partition.assignment.strategy", "range"),
];

/// A reader reads a whole topic once, as fast as it can, while nothing else goes on.
const READER: &[(&str, &str)] = &[
    ("auto.offset.reset", "earliest"),
    ("fetch.message.max.bytes", "1048576"),
    ("fetch.max.bytes", "4194304"),
    ("receive.message.max.bytes", "8000000"),
    ("queued.min.messages", "100000"),
    // The end of a partition is only told by a fetch that finds nothing: by default it waits 500
    // ms.
    ("fetch.wait.max.ms", "5"),
];

const PRODUCER: &[(&str, &str)] = &[
    ("linger.ms", "2"),
    // After a commit the broker is busy for a moment and asks to come again; by default librdkafka
    // would come after 100 ms. It grows to a second while nothing answers.
    ("retry.backoff.ms", "2"),
    ("retry.backoff.max.ms", "1000"),
    // If the broker of the consumer group goes away while offsets are added to a transaction,
    // librdkafka waits until a connection to any other broker comes or goes, whatever the timeout
    // (its issue 5511): an idle one goes after this time.
    ("connections.max.idle.ms", "5000"),
    // A key goes to the partition that Java clients put it in.
    ("partitioner", "murmur2_random"),
];

/// How long a request may go unanswered; librdkafka's minute would be a minute without flow. To a
/// transactional producer it gives a little less than the transaction may be open, by itself.
const SOCKET_TIMEOUT: (&str, &str) = ("socket.timeout.ms", "10000");
const TRANSACTION_TIMEOUT: &str = "transaction.timeout.ms";
/// What a dead process left open holds back its successors for so long; a living one that was away
/// for longer does its work again.
const DEFAULT_TRANSACTION: u64 = 10_000;
const SESSION_TIMEOUT: &str = "session.timeout.ms";
/// librdkafka's own.
const DEFAULT_SESSION: u64 = 45_000;
const HEARTBEAT: &str = "heartbeat.interval.ms";
const POLL_INTERVAL: &str = "max.poll.interval.ms";
/// How long a member may be kept by a call, in milliseconds. Its group cannot share out partitions
/// anew before it is heard, so a member that hangs holds up all others: by default for five
/// minutes.
const LONGEST_CALL: u64 = 60_000;

impl Clients {
    pub(super) fn new(
        pipeline: &Pipeline,
        stage: &Stage,
        instance: &str,
        guarantee: Guarantee,
    ) -> Self {
        let topics = [stage.dead_letters()]
            .into_iter()
            .chain(stage.to.iter().cloned());
        let largest = topics
            .filter_map(|topic| pipeline.topics.get(&topic))
            .map(Topic::largest_message);
        let written = [stage.dead_letters(), stage.changelog()]
            .into_iter()
            .chain(stage.to.iter().cloned());
        let smallest = written
            .filter_map(|topic| pipeline.topics.get(&topic))
            .map(Topic::largest_message)
            .min();
        let batch = smallest.map_or(u64::MAX, |smallest| {
            smallest.saturating_sub(BATCH_FRAME) as u64
        });
        let batch = batch.min(pipeline.limits.batch()).max(LEAST_BATCH);
        Clients {
            batch: Arc::new(AtomicU64::new(batch)),
            properties: pipeline.kafka.clone(),
            stage: stage.name.clone(),
            instance: instance.to_owned(),
            guarantee,
            limits: pipeline.limits,
            largest_message: largest.max().unwrap_or_default(),
            is_source: stage.from.is_empty(),
        }
    }

    /// A topic takes less than the pipeline file says: what is sent from now on goes in batches of
    /// half the size.
    pub(super) fn halve_batches(&self) {
        let batch = (self.batch() / 2).max(LEAST_BATCH);
        self.batch.store(batch, Ordering::Relaxed);
        tracing::info!(
            "a batch is larger than its topic takes: from now on they have at most {batch} bytes"
        );
    }

    /// The size of a batch, in bytes: also one that the pipeline file sets is no larger than the
    /// topics take.
    fn batch(&self) -> u64 {
        self.batch.load(Ordering::Relaxed)
    }

    /// How long a member of the group may be silent.
    pub(super) fn session(&self) -> Duration {
        Duration::from_millis(self.number(SESSION_TIMEOUT, DEFAULT_SESSION))
    }

    /// How long a transaction may be open.
    pub(super) fn transaction_timeout(&self) -> Duration {
        Duration::from_millis(self.number(TRANSACTION_TIMEOUT, DEFAULT_TRANSACTION))
    }

    /// Tells of a transaction that may stay open for longer than the member of the group that has
    /// begun it counts as alive.
    pub(super) fn tell_of_long_transactions(&self) {
        let (transaction, session) = (self.transaction_timeout(), self.session());
        if transaction > session {
            tracing::warn!(
                "{TRANSACTION_TIMEOUT} ({} ms) is longer than {SESSION_TIMEOUT} ({} ms): when a \
                 process dies, others take its partitions after the one, and cannot read what it \
                 has written before the other\n  help: set {TRANSACTION_TIMEOUT} in [kafka] to at \
                 most {SESSION_TIMEOUT}",
                transaction.as_millis(),
                session.as_millis()
            );
        }
    }

    /// A property of the pipeline file. What is no number there, librdkafka refuses.
    fn number(&self, property: &str, default: u64) -> u64 {
        self.properties
            .get(property)
            .and_then(|given| given.parse().ok())
            .unwrap_or(default)
    }

    pub(super) fn identity(&self) -> String {
        format!("{}@{}", self.stage, self.instance)
    }

    /// The properties of a client: `defaults`, then what is sized by the limits, then those of the
    /// pipeline file, then `given`.
    fn config(
        &self,
        defaults: &[&[(&str, &str)]],
        sized: &[(&str, u64)],
        given: &[(&str, &str)],
    ) -> ClientConfig {
        let mut config = ClientConfig::new();
        // The watch wants to hear of connections that fail; what the property `debug` makes
        // librdkafka say is only of use where it is shown.
        let is_shown = tracing::enabled!(tracing::Level::DEBUG);
        config.set_log_level(if is_shown {
            RDKafkaLogLevel::Debug
        } else {
            RDKafkaLogLevel::Info
        });
        let defaults = CLIENT.iter().chain(defaults.iter().copied().flatten());
        config.extend(defaults.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        config.extend(
            sized
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.to_string())),
        );
        let session = self.number(SESSION_TIMEOUT, DEFAULT_SESSION);
        // A heart that beats no faster than the session ends is missed again and again.
        config.set(HEARTBEAT, (session / 3).clamp(1, 3000).to_string());
        // librdkafka wants it to be no less than the session.
        config.set(POLL_INTERVAL, session.max(LONGEST_CALL).to_string());
        config.extend(self.properties.clone());
        config.set("client.id", self.identity());
        config.extend(
            given
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        config
    }

    fn make<T: FromClientConfigAndContext<ClientMonitor>>(
        &self,
        config: &ClientConfig,
        monitor: &ClientMonitor,
    ) -> Result<T> {
        config
            .create_with_context(monitor.clone())
            .map_err(|error| {
                // librdkafka says what it wanted of a file, but not which.
                let files = self
                    .properties
                    .iter()
                    .filter(|(name, _)| name.ends_with(".location"));
                let files = files.map(|(name, path)| match File::open(path) {
                    Ok(_) => format!("{name} is {path}"),
                    Err(error) => format!("{name} is {path}: {error}"),
                });
                let cause = [error.to_string()]
                    .into_iter()
                    .chain(files)
                    .collect::<Vec<_>>()
                    .join("; ");
                Error::new(format!("making a Kafka client for {}", self.stage), cause).help(
                "look at [kafka] in the pipeline file: names and files there go to librdkafka as \
                 they are",
            )
            })
    }

    /// The stage's member of its consumer group.
    pub(super) fn consumer(&self, monitor: &ClientMonitor) -> Result<BaseConsumer<ClientMonitor>> {
        let identity = self.identity();
        let config = self.config(
            &[CONSUMER],
            &[(
                "queued.max.messages.kbytes",
                self.limits.consumer_queue() / 1024,
            )],
            &[
                ("group.id", &self.stage),
                // A restart within the session timeout keeps its partitions, and fences what it
                // replaces.
                ("group.instance.id", &identity),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("isolation.level", "read_committed"),
            ],
        );
        self.make(&config, monitor)
    }

    /// The stage's producer: idempotent, and transactional if the guarantee is exactly-once.
    pub(super) fn producer(&self, monitor: &ClientMonitor) -> Result<BaseProducer<ClientMonitor>> {
        let identity = self.identity();
        // Room for one record at least.
        let queue = (2 * self.largest_message as u64).max(self.limits.producer_queue()) / 1024;
        let queue = queue.to_string();
        let largest = self.largest_message.to_string();
        let batch = self
            .number("batch.size", u64::MAX)
            .min(self.batch())
            .to_string();
        let mut defaults = vec![PRODUCER];
        let mut given = vec![
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("message.max.bytes", &largest),
            ("batch.size", &batch),
            (
                "queue.buffering.max.kbytes",
                self.properties
                    .get("queue.buffering.max.kbytes")
                    .unwrap_or(&queue),
            ),
            // Reports of what arrived would cost as much as the sending: the count in flight tells.
            ("delivery.report.only.error", "true"),
        ];
        if self.guarantee == Guarantee::ExactlyOnce {
            given.push((
                "transactional.id",
                if self.is_source {
                    &self.stage
                } else {
                    &identity
                },
            ));
        } else {
            // A transaction's records live as long as the transaction may; others as long as it
            // takes.
            given.push(("message.timeout.ms", "0"));
            defaults.push(&[SOCKET_TIMEOUT]);
        }
        let sized = [
            (
                "queue.buffering.max.messages",
                self.limits.producer_records(),
            ),
            (TRANSACTION_TIMEOUT, DEFAULT_TRANSACTION),
        ];
        self.make(
            &self.config(&defaults, &sized, &given),
            &monitor.of_producer(),
        )
    }

    /// A client in no group that sees everything, committed or not: for metadata and watermarks.
    pub(super) fn observer(&self, monitor: &ClientMonitor) -> Result<BaseConsumer<ClientMonitor>> {
        self.make(
            &self.config(&[CONSUMER], &[], &[("isolation.level", "read_uncommitted")]),
            monitor,
        )
    }

    /// A client in no group that reads committed records and tells where they end.
    pub(super) fn reader(&self, monitor: &ClientMonitor) -> Result<BaseConsumer<ClientMonitor>> {
        let sized = [(
            "queued.max.messages.kbytes",
            self.limits.reader_queue() / 1024,
        )];
        let given = [
            ("group.id", self.stage.as_str()),
            ("enable.auto.commit", "false"),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "true"),
        ];
        self.make(&self.config(&[CONSUMER, READER], &sized, &given), monitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Text;

    fn clients(settings: &str) -> Clients {
        let text = format!("{settings}\n[producer.p]\nsource = \"lines\"\nto = [\"t\", \"u\"]\n");
        let pipeline = Pipeline::parse(Arc::new(Text {
            path: "p.toml".into(),
            text,
        }));
        let pipeline = pipeline.unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        Clients::new(&pipeline, &pipeline.stages[0], "a", Guarantee::ExactlyOnce)
    }

    fn takes(topic: &str, bytes: u64) -> String {
        format!("[topic.{topic}]\nconfig = {{ \"max.message.bytes\" = {bytes} }}\n")
    }

    #[test]
    fn a_batch_fits_the_smallest_topic_that_it_may_go_to() {
        let by_memory = Limits::default().batch();
        assert_eq!(clients("").batch(), by_memory);
        assert_eq!(clients(&takes("t", 10_000_000)).batch(), by_memory);
        for topic in ["t", "u", "p-changelog", "p-dead-letters"] {
            assert_eq!(clients(&takes(topic, 20_000)).batch(), 19_900, "{topic}");
        }
        assert_eq!(clients(&takes("t", 1000)).batch(), LEAST_BATCH);
    }

    #[test]
    fn batches_are_halved_for_all_producers_to_come_but_not_for_ever() {
        let clients = clients(&takes("t", 20_000));
        let of_next_producer = clients.clone();
        clients.halve_batches();
        assert_eq!(of_next_producer.batch(), 9950);
        for _ in 0..10 {
            clients.halve_batches();
        }
        assert_eq!(of_next_producer.batch(), LEAST_BATCH);
    }
}
