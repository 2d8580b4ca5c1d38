//! The producer of a tool: [`Producer`].

mod deliveries;
mod settings;

use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer as _, PurgeConfig};
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::exit;
use rivulet_core::log::ProducerRecord;
use rivulet_core::shutdown::Shutdown;

pub use self::deliveries::DeliveryReport;
pub use self::settings::{DEFAULT_MAX_MESSAGE, ProducerSettings};

use self::deliveries::{Deliveries, Undelivered};
use crate::commit::commit;
use crate::connection::Connection;
use crate::error_class;
use crate::record::marked_record;
use crate::tool_client::{self, unreachable_error};
use crate::waits::CALL_TIMEOUT;

/// How long a step of a transaction may take.
const STEP: Duration = Duration::from_secs(30);
/// How long to wait for the brokers once the process was asked to stop. Soon after that it is
/// ended.
const STOPPING: Duration = Duration::from_secs(2);
/// How many records are sent between two polls if nobody asks for reports.
const STRIDE: usize = 64;
/// How long to leave the processor to librdkafka's threads before the next look.
const LOOK: Duration = Duration::from_micros(200);

/// A producer for a tool that a person waits for. It is idempotent, its queue is bounded, and no
/// failed delivery goes unnoticed.
///
/// ```
/// use rivulet_core::log::ProducerRecord;
/// use rivulet_core::shutdown::Shutdown;
/// use rivulet_kafka::{Connection, EmbeddedBroker, Producer, ProducerSettings};
///
/// let broker = EmbeddedBroker::start()?;
/// broker.create_topic("readings", 1)?;
/// let mut connection = Connection::default();
/// connection.properties.insert("bootstrap.servers".into(), broker.brokers());
/// let settings = ProducerSettings { reports: true, ..ProducerSettings::default() };
/// let (producer, shutdown) = (Producer::new(&connection, &settings)?, Shutdown::new());
/// let record = ProducerRecord {
///     topic: "readings",
///     partition: None,
///     timestamp: None,
///     key: Some(b"hall"),
///     value: Some(b"21.5"),
///     headers: &[],
/// };
/// assert!(producer.send(&record, &shutdown)?);
/// producer.flush(&shutdown)?;
/// assert_eq!((producer.delivered(), producer.take_reports()[0].offset), (1, 0));
/// # Ok::<(), rivulet_core::error::Error>(())
/// ```
pub struct Producer {
    client: BaseProducer<Deliveries>,
    reports: bool,
    sent: Cell<usize>,
    in_transaction: Cell<bool>,
    /// When it first saw that the process was asked to stop.
    stopped: Cell<Option<Instant>>,
}

impl Producer {
    /// Sets up the client. With a transactional id it initialises transactions, which aborts an
    /// open one of an earlier process with the same id.
    ///
    /// # Errors
    /// If librdkafka rejects a property, the brokers are unreachable, or they do not support
    /// transactions.
    pub fn new(connection: &Connection, settings: &ProducerSettings) -> Result<Self> {
        let config = settings.config(connection);
        let producer = Producer {
            client: tool_client::client_with(&config, |seen| {
                Deliveries::new(seen, settings.reports)
            })?,
            reports: settings.reports,
            sent: Cell::new(0),
            in_transaction: Cell::new(false),
            stopped: Cell::new(None),
        };
        if settings.transactional_id.is_some() {
            producer.client.init_transactions(STEP).map_err(|error| {
                producer
                    .failed("initialising transactions", &error)
                    .or_help(
                        "does the cluster support transactions? a single broker needs \
                     transaction.state.log.replication.factor=1 and \
                     transaction.state.log.min.isr=1",
                    )
            })?;
        }
        Ok(producer)
    }

    /// Sends a record, and waits while the queue is full. Returns `false`, without sending it, if
    /// the process was asked to stop meanwhile.
    ///
    /// # Errors
    /// If the record is too large, or an earlier one was not delivered.
    pub fn send(&self, record: &ProducerRecord<'_>, shutdown: &Shutdown) -> Result<bool> {
        let number = self.sent.get() + 1;
        let mut message = marked_record(record, number);
        loop {
            match self.client.send(message) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent)) => {
                    message = unsent;
                    self.poll(shutdown)?;
                    if shutdown.is_stopping() {
                        return Ok(false);
                    }
                    thread::sleep(LOOK);
                }
                Err((error, unsent)) => {
                    // An earlier failed delivery is the cause, and says more.
                    self.poll(shutdown)?;
                    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
                    let undelivered = Undelivered {
                        number,
                        size: length(unsent.key) + length(unsent.payload),
                        topic: unsent.topic.to_owned(),
                        code: error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail),
                        cause: error.to_string(),
                    };
                    self.settle(shutdown);
                    return Err(self.undelivered(&undelivered));
                }
            }
        }
        self.sent.set(number);
        if self.reports || number.is_multiple_of(STRIDE) {
            self.poll(shutdown)?;
        }
        Ok(true)
    }

    /// Learns what has been delivered meanwhile.
    ///
    /// # Errors
    /// If a record was not delivered: how many were, and why the first one was not. It waits until
    /// this is known of all records.
    pub fn poll(&self, shutdown: &Shutdown) -> Result<()> {
        self.client.poll(Duration::ZERO);
        self.check(shutdown)
    }

    /// Waits until everything that was sent is delivered. A process that was asked to stop waits
    /// for two seconds at most.
    ///
    /// # Errors
    /// If a record was not delivered, as for [`poll`](Self::poll), or it was asked to stop and some
    /// records are not delivered yet.
    pub fn flush(&self, shutdown: &Shutdown) -> Result<()> {
        let is_settled = self.settle(shutdown);
        self.check(shutdown)?;
        if is_settled {
            return Ok(());
        }
        let cause = format!("{} when it was asked to stop", self.so_far());
        let error = match self.client.context().seen.last() {
            Some(last) => Error::new("sending", format!("{cause}; last error: {last}")),
            None => Error::new("sending", cause),
        };
        Err(error
            .of_kind(Kind::Unreachable)
            .exit_code(exit::UNDONE)
            .help("are all brokers running?"))
    }

    /// How many records were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.get() as u64
    }

    /// How many records are known to be delivered. After a successful [`flush`](Self::flush) these
    /// are all that were sent.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        let unknown = u64::try_from(self.client.in_flight_count()).unwrap_or_default();
        let failed = self.client.context().failed();
        self.sent().saturating_sub(failed).saturating_sub(unknown)
    }

    /// The reports of deliveries since the last call, if the settings ask for them.
    #[must_use]
    pub fn take_reports(&self) -> Vec<DeliveryReport> {
        self.client.context().take_reports()
    }

    /// Begins a transaction.
    ///
    /// # Errors
    /// If another process with the same transactional id has started.
    pub fn begin(&self) -> Result<()> {
        self.client
            .begin_transaction()
            .map_err(|error| self.failed("beginning a transaction", &error))?;
        self.in_transaction.set(true);
        Ok(())
    }

    /// Commits the transaction.
    ///
    /// # Errors
    /// If a record was not delivered, or the transaction cannot be committed. It may still be open
    /// then: [`abort`](Self::abort) it.
    pub fn commit(&self, shutdown: &Shutdown) -> Result<()> {
        self.flush(shutdown)?;
        let request = |step: &str, request: &dyn Fn() -> KafkaResult<()>| {
            self.request(step, request, shutdown)
        };
        let committed = commit(&self.client, None, CALL_TIMEOUT, request, || Ok(()));
        self.in_transaction.set(committed.is_err());
        committed
    }

    /// Aborts the transaction, and drops those of its records that are not delivered yet.
    ///
    /// # Errors
    /// If the brokers are unreachable, or another process with the same transactional id has
    /// started.
    pub fn abort(&self, shutdown: &Shutdown) -> Result<()> {
        if !self.in_transaction.replace(false) {
            return Ok(());
        }
        if self.client.in_flight_count() > 0 {
            // librdkafka waits for reports of these that nobody would take.
            self.client.purge(PurgeConfig::default().queue().inflight());
            self.settle(shutdown);
        }
        let abort = || self.client.abort_transaction(CALL_TIMEOUT);
        self.request("aborting the transaction", &abort, shutdown)
    }

    /// The client, for steps that only some tools have.
    pub(crate) fn client(&self) -> &BaseProducer<Deliveries> {
        &self.client
    }

    /// The error of a step. The last error of a connection is a better cause than a timeout.
    pub(crate) fn failed(&self, step: &str, error: &KafkaError) -> Error {
        let fatal = self.client.client().fatal_error();
        match fatal.map_or(error.rdkafka_error_code(), |(code, _)| Some(code)) {
            Some(RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::InvalidProducerEpoch) => {
                Error::new(
                    step,
                    "another process with the same transactional id has started",
                )
                .of_kind(Kind::Conflict)
                .help("choose another id, or stop the other process")
            }
            Some(RDKafkaErrorCode::InvalidTransactionTimeout) => {
                error_class::of(step, error, "").of_kind(Kind::Usage)
            }
            _ => unreachable_error(step.to_owned(), error, &self.client.context().seen),
        }
    }

    /// Repeats a request as long as that can help.
    fn request(
        &self,
        step: &str,
        request: &dyn Fn() -> KafkaResult<()>,
        shutdown: &Shutdown,
    ) -> Result<()> {
        let begun = Instant::now();
        loop {
            let Err(error) = request() else {
                return Ok(());
            };
            let patience = self.stop_limit(shutdown).unwrap_or(begun + STEP);
            if !error_class::is_retriable(&error) || Instant::now() > patience {
                return Err(self.failed(step, &error).or_help(
                    "it is unknown whether the transaction was committed; a consumer with \
                     isolation.level=read_committed shows it",
                ));
            }
            self.client.poll(Duration::ZERO);
        }
    }

    /// Waits until it is known of all records whether they were delivered. librdkafka gives up on
    /// each after its `message.timeout.ms`. Returns `false` if the process is to stop before.
    fn settle(&self, shutdown: &Shutdown) -> bool {
        while self.client.in_flight_count() > 0 {
            // Tells librdkafka not to wait for more records. It is not done yet.
            let _ = self.client.flush(Duration::ZERO);
            self.client.poll(Duration::ZERO);
            let limit = self.stop_limit(shutdown);
            if limit.is_some_and(|limit| Instant::now() > limit) {
                return false;
            }
            thread::sleep(LOOK);
        }
        true
    }

    fn check(&self, shutdown: &Shutdown) -> Result<()> {
        if self.client.context().failed() == 0 {
            return Ok(());
        }
        self.settle(shutdown);
        let first = self.client.context().first_failure();
        first.map_or(Ok(()), |first| Err(self.undelivered(&first)))
    }

    /// When a process that was asked to stop gives up. `None` as long as it was not.
    fn stop_limit(&self, shutdown: &Shutdown) -> Option<Instant> {
        if !shutdown.is_stopping() {
            return None;
        }
        let stopped = self.stopped.get().unwrap_or_else(Instant::now);
        self.stopped.set(Some(stopped));
        Some(stopped + STOPPING)
    }

    fn so_far(&self) -> String {
        format!(
            "{} of {} records were delivered",
            self.delivered(),
            self.sent()
        )
    }

    /// The error of a record that was not delivered.
    fn undelivered(&self, first: &Undelivered) -> Error {
        let Undelivered {
            number,
            size,
            topic,
            code,
            cause,
        } = first;
        let doing = format!("sending to {topic}");
        if *code == RDKafkaErrorCode::MessageSizeTooLarge {
            let cause = format!(
                "record {number} is too large: it has {size} bytes; {}",
                self.so_far()
            );
            return Error::new(doing, cause).of_kind(Kind::TooLarge).help(
                "raise max.message.bytes of the topic (or message.max.bytes of the brokers and of \
                 [kafka]), or send smaller records",
            );
        }
        // Why the transaction has failed says more than that records were dropped.
        if first.is_purged()
            && self.in_transaction.get()
            && let Err(why) = self.client.begin_transaction()
            && why.rdkafka_error_code() != Some(RDKafkaErrorCode::State)
        {
            return self.failed(&doing, &why);
        }
        let mut cause = format!("{}; record {number} was not: {cause}", self.so_far());
        if let Some(last) = self.client.context().seen.last() {
            cause = format!("{cause}; last error: {last}");
        }
        let error = error_class::error(doing, *code, &cause, "of this command");
        match error_class::kind(*code) {
            Kind::Missing => error.help(format!(
                "was the topic deleted? create it: `rivulet topics create {topic}`"
            )),
            _ => error.or_help(
                "are all brokers running? --timeout SECONDS sets how long a record may take",
            ),
        }
    }
}

#[cfg(test)]
mod tests;
