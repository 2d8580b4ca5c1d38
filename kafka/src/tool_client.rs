//! The clients of tools that people wait for, and why the brokers are unreachable.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rivulet_core::error::{Error, Kind, Result};

use crate::committed::{self, NO_PROGRESS, OPEN_TRANSACTION, Patience, SpanProgress};
use crate::connection::Connection;
use crate::error_class;
use crate::failure;
use crate::monitor::reason_of;
use crate::setup::setup_error;
use crate::trust::Trust;

/// How long one request may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// How long to wait for the first answer if no broker takes a connection: one may be starting.
pub(crate) const REFUSED: Duration = Duration::from_millis(1500);
/// How long a try lasts before the errors of the brokers are looked at.
const TRY: Duration = Duration::from_millis(250);
/// How long a partition may be without a leader: a new leader is elected within seconds.
const LEADERLESS: Duration = Duration::from_secs(30);
/// The pause between two looks at an open transaction.
const LOOK: Duration = Duration::from_millis(50);

/// The properties of the connection, with timeouts for a person who waits.
pub(crate) fn config(connection: &Connection) -> ClientConfig {
    let mut config = ClientConfig::new();
    // The defaults of 60 s and 30 s are meant for services that run unattended.
    config
        .set("socket.timeout.ms", "10000")
        .set("socket.connection.setup.timeout.ms", "5000");
    for (name, value) in &connection.properties {
        config.set(name, value);
    }
    config
}

/// The properties of a consumer that reads committed records from the beginning: partitions are
/// assigned manually, no offset is committed, and the end of a partition is reported. It queues at
/// most `queue_kib` KiB of each partition, and an end is reported after `end_ms` ms, unless the
/// pipeline sets these properties.
pub(crate) fn consumer_config(
    connection: &Connection,
    queue_kib: &str,
    end_ms: &str,
) -> ClientConfig {
    let mut config = config(connection);
    // librdkafka requires a group id although partitions are assigned manually. The group is never
    // joined.
    config
        .set("group.id", "rivulet")
        .set("enable.auto.commit", "false");
    config
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true");
    // If retention has just deleted the first offset, reading continues at the log start offset.
    config.set("auto.offset.reset", "earliest");
    // By default 64 MiB are queued. A small queue must be refilled quickly. The end of a partition
    // is reported by a fetch without records, which would wait for half a second by default.
    let quick = [
        ("queued.max.messages.kbytes", queue_kib),
        ("fetch.queue.backoff.ms", "2"),
        ("fetch.wait.max.ms", end_ms),
    ];
    set_defaults(&mut config, connection, quick);
    config
}

/// Sets properties, unless the connection sets them.
pub(crate) fn set_defaults<V: Into<String>>(
    config: &mut ClientConfig,
    connection: &Connection,
    defaults: impl IntoIterator<Item = (&'static str, V)>,
) {
    for (name, value) in defaults {
        if !connection.properties.contains_key(name) {
            config.set(name, value);
        }
    }
}

/// Creates a client of any kind.
///
/// # Errors
/// If librdkafka rejects a property.
pub(crate) fn client<C: FromClientConfigAndContext<LastError>>(config: &ClientConfig) -> Result<C> {
    client_with(config, |errors| errors)
}

/// The same with another context, which keeps the connection errors.
///
/// # Errors
/// If librdkafka rejects a property.
pub(crate) fn client_with<T: ClientContext, C: FromClientConfigAndContext<T>>(
    config: &ClientConfig,
    context: impl FnOnce(LastError) -> T,
) -> Result<C> {
    let mut config = config.clone();
    // Only the log says that a connection was closed.
    config.set_log_level(RDKafkaLogLevel::Info);
    config
        .create_with_context(context(LastError::new(&config)))
        .map_err(|error| setup_error("setting up the Kafka client", &error, &config))
}

/// The answer to the first request of a client, which is repeated until there is one.
pub(crate) fn first_answer<T>(
    connection: &Connection,
    client: &BaseConsumer<LastError>,
    request: impl Fn(Duration) -> KafkaResult<T>,
) -> KafkaResult<T> {
    let begun = Instant::now();
    loop {
        let error = match request(TRY) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        // What happened to the connections is in the client's queue.
        let enough = 100;
        (0..enough).find(|_| client.poll(Duration::ZERO).is_none());
        let patience = match connection.timeout {
            Some(timeout) => timeout,
            None if client.context().is_down() => REFUSED,
            None => DEADLINE,
        };
        if begun.elapsed() >= patience {
            return Err(error);
        }
        thread::sleep(TRY / 10);
    }
}

/// The low watermark of a partition, and its high watermark or last stable offset, depending on the
/// client's isolation level. `doing` is what they are asked for.
///
/// # Errors
/// If no leader answers in time.
pub(crate) fn watermarks(
    client: &BaseConsumer<LastError>,
    topic: &str,
    partition: i32,
    doing: String,
) -> Result<(i64, i64)> {
    let mut report = |_, _| ();
    let mut patience = ToolPatience::new(doing, client.context(), &mut report);
    committed::watermarks(client, topic, partition, &mut patience)
}

/// A tool gives up after a while, because a person waits for it.
pub(crate) struct ToolPatience<'p> {
    doing: String,
    seen: &'p LastError,
    /// Is told how many records were read, and whether the tool waits for a transaction.
    report: &'p mut dyn FnMut(u64, bool),
    /// How long to ask for watermarks while no broker answers at all.
    silence: Duration,
}

impl<'p> ToolPatience<'p> {
    pub(crate) fn new(
        doing: String,
        seen: &'p LastError,
        report: &'p mut dyn FnMut(u64, bool),
    ) -> Self {
        ToolPatience {
            doing,
            seen,
            report,
            silence: LEADERLESS,
        }
    }

    /// Asks for watermarks no longer than this while no broker answers at all.
    pub(crate) fn with_silence(self, silence: Duration) -> Self {
        ToolPatience { silence, ..self }
    }
}

impl Patience for ToolPatience<'_> {
    type Error = Error;

    /// Short at first: a partition may have moved to another broker.
    fn request_timeout(&self, waited: Duration) -> Duration {
        waited.clamp(DEADLINE / 8, DEADLINE)
    }

    fn watermarks_failed(
        &mut self,
        _: &str,
        _: i32,
        error: KafkaError,
        metadata: Option<Metadata>,
        waited: Duration,
    ) -> Result<()> {
        let limit = if metadata.is_some() {
            LEADERLESS
        } else {
            self.silence
        };
        if !is_final(&error) && waited < limit {
            return Ok(());
        }
        Err(unreachable_error(self.doing.clone(), &error, self.seen))
    }

    fn transaction_is_open(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
        waited: Duration,
    ) -> Result<()> {
        if waited > OPEN_TRANSACTION {
            let doing = format!("waiting for open transactions on {topic}/{partition}");
            let cause = format!("still open at offset {offset} after {} s", waited.as_secs());
            return Err(Error::new(doing, cause).of_kind(Kind::Conflict).help(
                "a stage that hangs keeps the transaction open: stop it, and try again after its \
                 transaction.timeout.ms",
            ));
        }
        (self.report)(0, true);
        thread::sleep(LOOK);
        Ok(())
    }

    fn read_failed(&mut self, topic: &str, error: KafkaError) -> Result<()> {
        // Other errors are connection errors, which librdkafka retries.
        if is_final(&error) {
            Err(self.rejected(topic, error))
        } else {
            Ok(())
        }
    }

    fn reading(&mut self, _: &str, progress: &SpanProgress) -> Result<()> {
        (self.report)(progress.read, false);
        if progress.last_progress.elapsed() <= NO_PROGRESS {
            return Ok(());
        }
        let mut cause = format!("no record arrived for {} s", NO_PROGRESS.as_secs());
        if let Some(last) = self.seen.last() {
            cause = format!("{cause}; last error: {last}");
        }
        Err(Error::new(self.doing.clone(), cause)
            .of_kind(Kind::Unreachable)
            .help("are all brokers running?"))
    }

    fn rejected(&self, _: &str, error: KafkaError) -> Error {
        Error::new(self.doing.clone(), error)
    }
}

/// Whether a retry is pointless.
pub(crate) fn is_final(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownTopicOrPartition
            )
        )
}

/// The error for a request without an answer. The last connection error is a better cause than a
/// timeout.
pub(crate) fn unreachable_error(doing: String, error: &KafkaError, seen: &LastError) -> Error {
    let kind = error
        .rdkafka_error_code()
        .map(error_class::kind)
        .filter(|kind| *kind != Kind::Other)
        .unwrap_or(Kind::Unreachable);
    // A broken connection explains no other error.
    let reason = if kind == Kind::Unreachable {
        seen.last()
    } else {
        lock(&seen.reported).clone()
    };
    let reason = reason.map(|reason| seen.trust.explain(&reason));
    let refused = reason
        .as_deref()
        .and_then(failure::refused)
        .filter(|_| matches!(kind, Kind::Unreachable | Kind::Unauthorized));
    match reason {
        Some(reason) => Error::new(doing, reason),
        None => Error::caused_by(doing, error.clone()),
    }
    .of_kind(refused.map_or(kind, |refused| refused.kind))
    .help(refused.map_or(
        "is Kafka running there? set its address with --brokers HOST:PORT or brokers = \"…\" in \
         [kafka]",
        |refused| refused.help,
    ))
}

/// A client context that keeps the last connection error.
#[derive(Debug, Default)]
pub(crate) struct LastError {
    reported: Mutex<Option<String>>,
    /// Why a connection failed last. Some failures are only logged.
    failed: Mutex<Option<String>>,
    trust: Trust,
    is_down: AtomicBool,
}

impl LastError {
    fn new(config: &ClientConfig) -> Self {
        LastError {
            trust: Trust::new(|name| config.get(name).map(str::to_owned)),
            ..LastError::default()
        }
    }

    pub(crate) fn last(&self) -> Option<String> {
        let reported = lock(&self.reported).clone();
        reported.or_else(|| lock(&self.failed).clone())
    }

    /// The last connection error, once each time that no broker takes a connection.
    pub(crate) fn take_outage(&self) -> Option<String> {
        let is_down = self.is_down.swap(false, Ordering::Relaxed);
        is_down.then(|| self.last()).flatten()
    }

    /// Whether no broker took a connection, at least once.
    pub(crate) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds one of these can panic half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for LastError {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        // Everything else that matters is reported as an error, too.
        if facility == "FAIL" && !message.contains("brokers are down") {
            *lock(&self.failed) = Some(reason_of(message).to_owned());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.is_down.store(true, Ordering::Relaxed);
        }
        // "All brokers are down" follows the error of each broker and says less. The end of a
        // partition is not an error.
        let ignored = [
            RDKafkaErrorCode::AllBrokersDown,
            RDKafkaErrorCode::PartitionEOF,
        ];
        if !error
            .rdkafka_error_code()
            .is_some_and(|code| ignored.contains(&code))
        {
            *lock(&self.reported) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for LastError {}
