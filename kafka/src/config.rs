//! librdkafka's properties for each kind of client.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};

use crate::log_config::LogConfig;
use crate::monitor::{ClientMonitor, Forgetful, StageConsumer, StageProducer};
use crate::setup::setup_error;
use rivulet_core::error::Result;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::limits::Limits;

/// Creates a stage's clients.
///
/// librdkafka's defaults are for servers: queues of up to 64 MiB for each partition and of a
/// gigabyte for the producer. These are for machines with little memory. The pipeline's [`Limits`]
/// bound whatever can grow. The pipeline file can override any of them.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    properties: BTreeMap<String, String>,
    stage: String,
    group: String,
    instance: String,
    guarantee: Guarantee,
    limits: Limits,
    /// The largest `max.message.bytes` of its topics.
    largest_message: usize,
    /// Whether the stage has no inputs. A source is one producer, whichever instance runs it.
    is_source: bool,
    /// Whether the clients report statistics.
    has_statistics: bool,
    /// The largest batch, in bytes. A broker rejects a batch that is larger than the topic's
    /// `max.message.bytes`.
    batch_size: Arc<AtomicU64>,
}

/// Whether librdkafka has a property of this name.
#[must_use]
pub fn is_known_property(name: &str) -> bool {
    let error = ClientConfig::new()
        .set(name, "no such value")
        .create_native_config()
        .err();
    error.is_none_or(|error| !error.to_string().contains("No such configuration property"))
}

/// The smallest size that batches are cut down to, in bytes.
const LEAST_BATCH: u64 = 1000;
/// The overhead of a batch, in bytes.
const BATCH_OVERHEAD: usize = 100;

/// Properties of both kinds of clients.
const CLIENT: &[(&str, &str)] = &[
    // A client notices within this time that a broker is back. By default the pause grows to 10 s,
    // for each connection on its own, and the stage would wait for the last of them.
    ("reconnect.backoff.max.ms", "500"),
    ("socket.keepalive.enable", "true"),
];

const CONSUMER: &[(&str, &str)] = &[
    // A broker whose machine loses power closes no connection. Only this timeout ends the request,
    // and only then is the new leader looked up.
    SOCKET_TIMEOUT,
    // Enough for a stage to go on while the next fetch is under way.
    ("queued.min.messages", "3000"),
    ("fetch.message.max.bytes", "65536"),
    ("fetch.max.bytes", "262144"),
    // Limits what is sent, not what is read: a larger record is still read. It must not exceed
    // `fetch.max.bytes`.
    ("message.max.bytes", "200000"),
    // Queues this small are often full. A fetch would then wait for the default of 1000 ms.
    ("fetch.queue.backoff.ms", "2"),
    // Records that were deleted before they were read are never skipped silently. The stage looks
    // up the log start offset itself.
    ("auto.offset.reset", "error"),
    // Assigns the same partition of several topics to the same member, as a merge with state needs.
    ("partition.assignment.strategy", "range"),
];

/// A reader reads a whole topic once, as fast as it can, while the stage waits.
const READER: &[(&str, &str)] = &[
    ("auto.offset.reset", "earliest"),
    ("fetch.message.max.bytes", "1048576"),
    ("fetch.max.bytes", "4194304"),
    ("receive.message.max.bytes", "8000000"),
    ("queued.min.messages", "100000"),
    // Only an empty fetch shows the end of a partition. By default it waits for 500 ms.
    ("fetch.wait.max.ms", "5"),
];

const PRODUCER: &[(&str, &str)] = &[
    // A broker is busy for a moment after a commit and returns a retriable error. librdkafka would
    // retry after 100 ms. The pause grows to a second while brokers are unreachable.
    ("retry.backoff.ms", "2"),
    ("retry.backoff.max.ms", "1000"),
    // If the group coordinator goes away while offsets are added to a transaction, librdkafka
    // waits, whatever the timeout, until a connection to another broker opens or closes (its issue
    // 5511). An idle one closes after this time.
    ("connections.max.idle.ms", "5000"),
    // Keys map to the same partitions as in Java clients.
    ("partitioner", "murmur2_random"),
];

/// Nobody sees a record before its transaction is committed, and a commit sends what lingers. So
/// records wait for it, for the longest interval between commits, and most transactions need one
/// request for each partition. Batches that large are worth compressing.
const IN_TRANSACTIONS: &[(&str, &str)] = &[("linger.ms", "500"), ("compression.type", "lz4")];
/// Without transactions each hop adds this to the latency. With 1 ms a stage sends a request for
/// almost each of 1,000 records a second.
const WITHOUT_TRANSACTIONS: &[(&str, &str)] = &[("linger.ms", "3"), SOCKET_TIMEOUT];

/// How often a client reports, in milliseconds. A consumer reports what is left to read. A producer
/// that reports measures each record, which costs much: only that of a source does.
const CONSUMER_STATISTICS: (&str, &str) = ("statistics.interval.ms", "1000");
const PRODUCER_STATISTICS: (&str, &str) = ("statistics.interval.ms", "5000");

/// How long a request may stay unanswered. librdkafka's default of a minute would stop the stage
/// for a minute. For a transactional producer librdkafka itself sets a little less than
/// `transaction.timeout.ms`.
const SOCKET_TIMEOUT: (&str, &str) = ("socket.timeout.ms", "10000");
const TRANSACTION_TIMEOUT: &str = "transaction.timeout.ms";
/// The open transaction of a dead process blocks readers for this long, in milliseconds. A process
/// that was disconnected for longer processes its records again.
const DEFAULT_TRANSACTION: u64 = 10_000;
const SESSION_TIMEOUT: &str = "session.timeout.ms";
/// librdkafka's default.
const DEFAULT_SESSION: u64 = 45_000;
const HEARTBEAT: &str = "heartbeat.interval.ms";
const POLL_INTERVAL: &str = "max.poll.interval.ms";
/// How long a call may keep a member from polling, in milliseconds. A member that hangs blocks the
/// rebalance of its group until then: by default for five minutes.
const LONGEST_CALL: u64 = 60_000;

impl Clients {
    pub(super) fn new(config: &LogConfig) -> Self {
        let batch = config.smallest_message.saturating_sub(BATCH_OVERHEAD) as u64;
        let batch = batch.min(config.limits.batch()).max(LEAST_BATCH);
        Clients {
            batch_size: Arc::new(AtomicU64::new(batch)),
            properties: config.properties.clone(),
            stage: config.stage.clone(),
            group: config.group.clone(),
            instance: config.instance.clone(),
            guarantee: config.guarantee,
            limits: config.limits,
            largest_message: config.largest_message,
            is_source: config.inputs.is_empty(),
            has_statistics: config.has_statistics,
        }
    }

    /// Halves the batches of all later producers: a topic's `max.message.bytes` is smaller than the
    /// pipeline file says.
    pub(super) fn halve_batches(&self) {
        let batch = (self.batch_size() / 2).max(LEAST_BATCH);
        self.batch_size.store(batch, Ordering::Relaxed);
        tracing::info!("batch too large for max.message.bytes, reducing batch.size to {batch}");
    }

    /// The largest batch, in bytes. It also limits the `batch.size` of the pipeline file.
    fn batch_size(&self) -> u64 {
        self.batch_size.load(Ordering::Relaxed)
    }

    /// The session timeout of the consumer group.
    pub(super) fn session(&self) -> Duration {
        Duration::from_millis(self.number(SESSION_TIMEOUT, DEFAULT_SESSION))
    }

    /// How long a transaction may be open.
    pub(super) fn transaction_timeout(&self) -> Duration {
        Duration::from_millis(self.number(TRANSACTION_TIMEOUT, DEFAULT_TRANSACTION))
    }

    /// Warns if the transaction timeout is longer than the session timeout.
    pub(super) fn warn_of_long_transactions(&self) {
        let (transaction, session) = (self.transaction_timeout(), self.session());
        if transaction > session {
            tracing::warn!(
                "{TRANSACTION_TIMEOUT} ({} ms) is longer than {SESSION_TIMEOUT} ({} ms): when a \
                 process dies, its partitions are assigned to others after the session timeout, \
                 but its open transaction blocks them until the transaction timeout\n  help: set \
                 {TRANSACTION_TIMEOUT} in [kafka] to at most {SESSION_TIMEOUT}",
                transaction.as_millis(),
                session.as_millis()
            );
        }
    }

    /// A property of the pipeline file. librdkafka rejects it later if it is not a number.
    fn number(&self, property: &str, default: u64) -> u64 {
        self.properties
            .get(property)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    }

    pub(super) fn identity(&self) -> String {
        format!("{}@{}", self.group, self.instance)
    }

    /// The properties of a client: `defaults`, then `sized` by the limits, then those of the
    /// pipeline file, then `fixed`. Later ones override earlier ones.
    fn config(
        &self,
        defaults: &[&[(&str, &str)]],
        sized: &[(&str, u64)],
        fixed: &[(&str, &str)],
    ) -> ClientConfig {
        let mut config = ClientConfig::new();
        // The client monitor needs the log lines about failed connections, which are at INFO.
        let is_debug = tracing::enabled!(tracing::Level::DEBUG);
        config.set_log_level(if is_debug {
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
        // Several heartbeats must fit into a session.
        config.set(HEARTBEAT, (session / 3).clamp(1, 3000).to_string());
        // librdkafka requires it to be at least the session timeout.
        config.set(POLL_INTERVAL, session.max(LONGEST_CALL).to_string());
        config.extend(self.properties.clone());
        config.set("client.id", self.identity());
        config.extend(
            fixed
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        config
    }

    fn make<T: FromClientConfigAndContext<ClientMonitor> + Forgetful + 'static>(
        &self,
        config: &ClientConfig,
        monitor: &ClientMonitor,
    ) -> Result<Arc<T>> {
        let client = config
            .create_with_context(monitor.clone())
            .map_err(|error| {
                let doing = format!("creating a Kafka client for {}", self.stage);
                setup_error(&doing, &error, config)
            })?;
        let client = Arc::new(client);
        monitor.add_client(&client);
        Ok(client)
    }

    /// The stage's consumer, a static member of its group.
    pub(super) fn consumer(&self, monitor: &ClientMonitor) -> Result<StageConsumer> {
        let identity = self.identity();
        let mut fixed = vec![
            ("group.id", self.group.as_str()),
            // A restart within the session timeout keeps its partitions, and fences the other.
            ("group.instance.id", &identity),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("isolation.level", "read_committed"),
        ];
        if self.has_statistics {
            fixed.push(CONSUMER_STATISTICS);
        }
        let config = self.config(
            &[CONSUMER],
            &[(
                "queued.max.messages.kbytes",
                self.limits.consumer_queue() / 1024,
            )],
            &fixed,
        );
        self.make(&config, monitor)
    }

    /// The stage's producer: idempotent, and transactional if the guarantee is exactly-once.
    pub(super) fn producer(&self, monitor: &ClientMonitor) -> Result<StageProducer> {
        let identity = self.identity();
        // At least one record must fit.
        let queue = (2 * self.largest_message as u64).max(self.limits.producer_queue()) / 1024;
        let queue = queue.to_string();
        let largest = self.largest_message.to_string();
        let batch = self
            .number("batch.size", u64::MAX)
            .min(self.batch_size())
            .to_string();
        let mut defaults = vec![PRODUCER];
        let mut fixed = vec![
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
            // Reports of successful deliveries would cost as much as the sends. The number of
            // records in flight is enough.
            ("delivery.report.only.error", "true"),
        ];
        if self.has_statistics && self.is_source {
            fixed.push(PRODUCER_STATISTICS);
        }
        if self.guarantee == Guarantee::ExactlyOnce {
            defaults.push(IN_TRANSACTIONS);
            fixed.push((
                "transactional.id",
                if self.is_source {
                    &self.group
                } else {
                    &identity
                },
            ));
        } else {
            // Retry for ever. In a transaction the transaction timeout applies.
            fixed.push(("message.timeout.ms", "0"));
            defaults.push(WITHOUT_TRANSACTIONS);
        }
        let sized = [
            (
                "queue.buffering.max.messages",
                self.limits.producer_records(),
            ),
            (TRANSACTION_TIMEOUT, DEFAULT_TRANSACTION),
        ];
        self.make(
            &self.config(&defaults, &sized, &fixed),
            &monitor.for_producer(),
        )
    }

    /// A client without a group that reads uncommitted: for metadata and watermarks.
    pub(super) fn observer(&self, monitor: &ClientMonitor) -> Result<StageConsumer> {
        self.make(
            &self.config(&[CONSUMER], &[], &[("isolation.level", "read_uncommitted")]),
            monitor,
        )
    }

    /// A client without a group that reads committed records and reports the ends of partitions.
    pub(super) fn reader(&self, monitor: &ClientMonitor) -> Result<StageConsumer> {
        let sized = [(
            "queued.max.messages.kbytes",
            self.limits.reader_queue() / 1024,
        )];
        let fixed = [
            ("group.id", self.group.as_str()),
            ("enable.auto.commit", "false"),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "true"),
        ];
        self.make(&self.config(&[CONSUMER, READER], &sized, &fixed), monitor)
    }
}

#[cfg(test)]
mod tests;
