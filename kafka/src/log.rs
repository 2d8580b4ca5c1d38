//! A stage's log in Apache Kafka: [`KafkaLog`].

use std::cell::{Cell, OnceCell};
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};

use crate::config::Clients;
use crate::error_class::{self, ErrorClass, NO_TOPIC};
use crate::log_config::LogConfig;
use crate::monitor::{ClientMonitor, FailedDelivery, Rebalance};
use crate::reader::Reader;
use crate::record::{KafkaRecord, base_record};
use rivulet_core::error::Error;
use rivulet_core::exit;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::log::{
    Event, Fault, Log, OffsetAndMetadata, ProducerRecord, RestoreCallback, TopicPartition,
    Watermarks,
};
use rivulet_core::reminder::{Reminder, lasting};
use rivulet_core::shutdown::Shutdown;

/// How long one call waits for a broker before the shutdown is checked.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one attempt to initialise transactions waits before its failure is looked into.
const INIT_TIMEOUT: Duration = Duration::from_millis(20);
/// The first wait for the coordinator to end a transaction.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// How long a topic may stay unknown before it counts as missing: a new one needs a moment.
pub(crate) const TOPIC_GRACE: Duration = Duration::from_secs(5);
/// How long requests for the committed offsets may fail before the transaction is aborted.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the consumer is polled while the stage restores its state or waits.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_millis(100);
/// librdkafka may have repeated a commit that takes longer.
const CLEAN_COMMIT: Duration = Duration::from_secs(1);
/// How many records are sent between two polls of the producer.
const STRIDE: u32 = 1000;

/// A stage's consumer and producer.
///
/// The producer is initialised before the consumer joins the group: `init_transactions` fences the
/// previous process and aborts its open transaction, which would block the new consumer.
pub struct KafkaLog {
    clients: Clients,
    inputs: Vec<String>,
    /// The stage's topics.
    topics: Vec<String>,
    /// When one of them was first found missing, if one is.
    missing_since: Cell<Option<Instant>>,
    guarantee: Guarantee,
    shutdown: Shutdown,
    monitor: ClientMonitor,
    /// `None` for a stage without inputs.
    consumer: Option<BaseConsumer<ClientMonitor>>,
    /// Whether the consumer reads partitions.
    is_reading: Cell<bool>,
    /// Whether the consumer was fenced while it was not a member of its group, so that it must be
    /// replaced.
    is_fenced: Cell<bool>,
    /// Created at the first use for a sink, which may never send a dead letter.
    producer: OnceCell<BaseProducer<ClientMonitor>>,
    /// A reader that connects early, for the first use.
    reader: Option<Reader>,
    in_transaction: Cell<bool>,
    /// Whether the last commit may have been repeated, so that a copy of it can still arrive.
    may_have_repeated: Cell<bool>,
    sent_since_poll: Cell<u32>,
}

impl KafkaLog {
    /// Connects a stage: waits for a broker, checks that the stage's topics exist, fences an older
    /// process of the same instance and joins the group.
    ///
    /// # Errors
    /// If librdkafka rejects a property, a topic does not exist, or the stage is asked to stop
    /// while it waits.
    pub fn open(config: &LogConfig, shutdown: &Shutdown) -> Result<Self, Fault> {
        let clients = Clients::new(config);
        let topic = config.topics.first().cloned().unwrap_or_default();
        let (asking, ending) = (clients.clone(), shutdown.clone());
        let monitor = ClientMonitor::new(
            &config.stage,
            config.brokers(),
            move |monitor| {
                asking
                    .observer(monitor)
                    .is_ok_and(|client| client.fetch_metadata(Some(&topic), CALL_TIMEOUT).is_ok())
            },
            move || ending.abandon(exit::FAILED),
        );
        let mut log = KafkaLog {
            clients,
            inputs: config.inputs.clone(),
            topics: config.topics.clone(),
            missing_since: Cell::new(None),
            guarantee: config.guarantee,
            shutdown: shutdown.clone(),
            monitor,
            consumer: None,
            is_reading: Cell::new(false),
            is_fenced: Cell::new(false),
            producer: OnceCell::new(),
            reader: None,
            in_transaction: Cell::new(false),
            may_have_repeated: Cell::new(false),
            sent_since_poll: Cell::new(0),
        };
        if log.guarantee == Guarantee::ExactlyOnce && !log.inputs.is_empty() {
            log.clients.warn_of_long_transactions();
        }
        // All clients connect at the same time, while the first of them looks up the topics.
        if !log.inputs.is_empty() {
            log.consumer = Some(log.clients.consumer(&log.monitor).map_err(Fault::Fatal)?);
        }
        if !log.inputs.is_empty() || config.has_changelog {
            log.reader = Some(Reader::new(&log.clients, &log.monitor, shutdown)?);
        }
        let producer = if config.has_outputs {
            Some(log.clients.producer(&log.monitor).map_err(Fault::Fatal)?)
        } else {
            None
        };
        log.wait_for_topics(producer.as_ref())?;
        if let Some(producer) = producer {
            log.producer = OnceCell::from(log.initialise(producer)?);
        }
        if let Some(consumer) = &log.consumer {
            log.subscribe(consumer)?;
        }
        Ok(log)
    }

    /// Subscribes a consumer. It joins the group when it is polled.
    fn subscribe(&self, consumer: &BaseConsumer<ClientMonitor>) -> Result<(), Fault> {
        let topics: Vec<&str> = self.inputs.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|error| {
            Fault::Fatal(Error::new(
                format!("subscribing to {}", topics.join(", ")),
                error,
            ))
        })
    }

    /// Unassigns all partitions. A fenced consumer is replaced.
    fn drop_assignment(&mut self) -> Result<(), Fault> {
        if self.is_fenced.take() {
            self.monitor.close();
            if let Some(fenced) = self.consumer.take() {
                close(fenced, CALL_TIMEOUT);
            }
            self.monitor.reopen();
            let consumer = self.clients.consumer(&self.monitor).map_err(Fault::Fatal)?;
            self.subscribe(&consumer)?;
            self.consumer = Some(consumer);
        }
        self.is_reading.set(false);
        match &self.consumer {
            Some(consumer) if !has_fatal_error(consumer) => consumer
                .unassign()
                .map_err(|error| Fault::Abortable(Error::new("unassigning partitions", error))),
            _ => Ok(()),
        }
    }

    /// Waits until a broker answers and all topics exist.
    fn wait_for_topics(&self, producer: Option<&BaseProducer<ClientMonitor>>) -> Result<(), Fault> {
        let mut missing_since = None;
        for topic in &self.topics {
            loop {
                let answer = self.metadata(topic, producer, CALL_TIMEOUT);
                // Runs the callbacks about connections. Nothing is subscribed yet.
                match (&self.consumer, producer) {
                    (Some(consumer), _) => _ = consumer.poll(Duration::ZERO),
                    (None, producer) => _ = producer.map(|producer| producer.poll(Duration::ZERO)),
                }
                self.shutdown.check()?;
                let error = match &answer {
                    Ok(metadata) => metadata.topics().first().and_then(MetadataTopic::error),
                    Err(error) => {
                        self.monitor.broker_unreachable(&error.to_string());
                        continue;
                    }
                };
                self.monitor.broker_reachable();
                match error.map(RDKafkaErrorCode::from) {
                    None => break,
                    Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                        let error =
                            Error::new(format!("looking for the topic {topic}"), "not authorized")
                                .help("allow this user to read and write it");
                        return Err(Fault::Fatal(error));
                    }
                    Some(code) => {
                        let since = *missing_since.get_or_insert_with(Instant::now);
                        if since.elapsed() > TOPIC_GRACE {
                            let error = Error::new(format!("looking for the topic {topic}"), code)
                                .help(NO_TOPIC);
                            return Err(Fault::Fatal(error));
                        }
                        std::thread::sleep(Duration::from_millis(100));
                    }
                }
            }
        }
        Ok(())
    }

    /// The metadata of a topic, fetched with the consumer or else the producer.
    fn metadata(
        &self,
        topic: &str,
        producer: Option<&BaseProducer<ClientMonitor>>,
        wait: Duration,
    ) -> Result<Metadata, KafkaError> {
        match (&self.consumer, producer) {
            (Some(consumer), _) => consumer.fetch_metadata(Some(topic), wait),
            (None, Some(producer)) => producer.client().fetch_metadata(Some(topic), wait),
            (None, None) => Err(KafkaError::MetadataFetch(
                RDKafkaErrorCode::BrokerNotAvailable,
            )),
        }
    }

    /// A producer that is ready to send. A transactional one has fenced its predecessor.
    fn make_producer(&self) -> Result<BaseProducer<ClientMonitor>, Fault> {
        self.initialise(self.clients.producer(&self.monitor).map_err(Fault::Fatal)?)
    }

    fn initialise(
        &self,
        mut producer: BaseProducer<ClientMonitor>,
    ) -> Result<BaseProducer<ClientMonitor>, Fault> {
        if self.guarantee == Guarantee::AtLeastOnce {
            return Ok(producer);
        }
        let mut since = Instant::now();
        let mut reminder = Reminder::new();
        let mut pause = FIRST_PAUSE;
        loop {
            match producer.init_transactions(INIT_TIMEOUT) {
                Ok(()) => return Ok(producer),
                Err(error) if is_retriable(&error) => {
                    producer.poll(Duration::ZERO);
                    self.shutdown.check()?;
                    self.poll_group()?;
                    self.probe_brokers_with(Some(&producer));
                    if since.elapsed() > CALL_TIMEOUT * 5
                        && !self.monitor.has_unreachable_address()
                        && let Some(lasted) = reminder.due(&(), Instant::now())
                        && !self.warn_of_missing_coordinator(&producer, &error, lasted)
                    {
                        // No broker is reachable, so this is not about transactions.
                        since = Instant::now();
                        reminder.clear();
                    }
                    if self.monitor.take_concurrent_transaction() {
                        // The coordinator is still ending the transaction of the previous process.
                        // This client would retry after librdkafka's half a second. A new one asks
                        // at once.
                        drop(producer);
                        std::thread::sleep(pause);
                        pause = (pause * 2).min(CALL_TIMEOUT);
                        producer = self.clients.producer(&self.monitor).map_err(Fault::Fatal)?;
                    }
                }
                Err(error) => {
                    let error = error_class::of(
                        "initialising transactions",
                        &error,
                        &self.clients.identity(),
                    )
                    .or_help(
                        "if the cluster has no transactions, choose guarantee = \"at-least-once\"",
                    );
                    return Err(Fault::Fatal(error));
                }
            }
        }
    }

    /// Replaces a producer whose last commit may still be in flight for a second time. librdkafka
    /// repeats a commit when its connection breaks, and the request does not name its transaction,
    /// so the first copy could commit the next one. Initialising a new producer raises the epoch,
    /// and the brokers then reject requests with the old one.
    ///
    /// # Errors
    /// [Abortable](Fault::Abortable) for a stage without inputs. No group tells it that another
    /// process has replaced it, and a new producer would fence that process.
    fn replace_if_repeated(&mut self) -> Result<(), Fault> {
        let Some(producer) = self.producer.get() else {
            return Ok(());
        };
        poll_all(producer);
        if !(self.may_have_repeated.take() || producer.client().context().may_have_repeated()) {
            return Ok(());
        }
        if self.inputs.is_empty() {
            return Err(Fault::Abortable(Error::new(
                "committing",
                "the request may have been sent twice",
            )));
        }
        tracing::debug!("the commit may have been sent twice, replacing the producer");
        self.producer = OnceCell::new();
        Ok(())
    }

    /// Warns that the transaction coordinator does not answer. A small cluster may be unable to
    /// create the topic `__transaction_state`. Returns whether a broker is reachable.
    fn warn_of_missing_coordinator(
        &self,
        producer: &BaseProducer<ClientMonitor>,
        error: &KafkaError,
        lasted: Duration,
    ) -> bool {
        let lasted = lasting(lasted);
        let Ok(metadata) = producer.client().fetch_metadata(None, CALL_TIMEOUT) else {
            self.monitor.broker_unreachable(&error.to_string());
            return false;
        };
        self.monitor.broker_reachable();
        let brokers = metadata.brokers().len();
        let has_topic = metadata
            .topics()
            .iter()
            .any(|topic| topic.name() == "__transaction_state");
        if has_topic {
            tracing::warn!("transaction coordinator not available{lasted}, waiting: {error}");
        } else {
            tracing::error!(
                "the cluster cannot create the topic __transaction_state{lasted}, waiting: \
                 it has {brokers} broker(s), and transaction.state.log.replication.factor in the \
                 brokers' server.properties requires more\n  help: set \
                 transaction.state.log.replication.factor and transaction.state.log.min.isr to at \
                 most {brokers}, start more brokers, or choose guarantee = \"at-least-once\""
            );
        }
        true
    }

    fn reader(&mut self) -> Result<Reader, Fault> {
        self.reader.take().map_or_else(
            || Reader::new(&self.clients, &self.monitor, &self.shutdown),
            Ok,
        )
    }

    fn consumer(&self) -> &BaseConsumer<ClientMonitor> {
        self.consumer
            .as_ref()
            .expect("only a stage with inputs is assigned partitions")
    }

    fn producer(&self) -> Result<&BaseProducer<ClientMonitor>, Fault> {
        if let Some(producer) = self.producer.get() {
            return Ok(producer);
        }
        let producer = self.make_producer()?;
        Ok(self.producer.get_or_init(|| producer))
    }

    /// The next rebalance that the stage has yet to answer.
    fn next_rebalance<R>(&self) -> Option<Event<R>> {
        Some(match self.monitor.next_rebalance()? {
            Rebalance::Assign(partitions) => Event::Assigned(
                partitions
                    .into_iter()
                    .filter_map(|(topic, partition)| self.partition(&topic, partition))
                    .collect(),
            ),
            Rebalance::Revoke => Event::Revoked {
                lost: self.consumer().assignment_lost(),
            },
        })
    }

    fn partition(&self, topic: &str, partition: i32) -> Option<TopicPartition> {
        let topic = self.inputs.iter().position(|input| input == topic)?;
        Some(TopicPartition { topic, partition })
    }

    fn list(
        &self,
        partitions: impl IntoIterator<Item = (TopicPartition, Offset)>,
    ) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in partitions {
            list.add_partition_offset(&self.inputs[partition.topic], partition.partition, offset)
                .expect("offsets of records are valid");
        }
        list
    }

    /// Handles an error that the consumer returns in place of a record.
    fn consumer_error(&self, error: KafkaError) -> Result<(), Fault> {
        match error {
            // Fenced, but perhaps not by another process:
            //
            // - When a session ends, librdkafka drops the member id, but sends heartbeats until the
            //   partitions are unassigned. If the broker was unreachable, the session still lasts
            //   there, and the broker fences a heartbeat without the id (librdkafka's issue 3437).
            // - A heartbeat with the old id may have waited for its broker, and be answered after
            //   the consumer has rejoined with a new id.
            // - A consumer that was still joining has been seen fenced while a broker died.
            //
            // If another process has in fact replaced this one, rejoining fences that process. It
            // fences this one in return, and then this process ends.
            KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId)
                if self.monitor.may_be_fenced_by_itself(self.clients.session()) =>
            {
                tracing::warn!("removed from the consumer group, rejoining");
                self.is_fenced.set(true);
                Ok(())
            }
            KafkaError::MessageConsumptionFatal(code) => {
                let fatal = Error::new(format!("reading {}", self.inputs.join(", ")), code).help(
                    "another process with the same stage and instance name has taken this one's \
                     place: give each its own --instance",
                );
                Err(Fault::Fatal(fatal))
            }
            KafkaError::MessageConsumption(
                code @ (RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed),
            ) => Err(Fault::Fatal(
                Error::new(format!("reading {}", self.inputs.join(", ")), code).help(
                    "allow this user to read the topics and to use the consumer group with the \
                     stage's name",
                ),
            )),
            KafkaError::MessageConsumption(code @ RDKafkaErrorCode::UnknownTopicOrPartition) => {
                let error = format!("reading {}: {code}", self.inputs.join(", "));
                self.monitor
                    .warn(&error, &format!("if the topic was deleted, {NO_TOPIC}"));
                Ok(())
            }
            // The stage finds out which records were deleted when it looks up its offsets.
            KafkaError::MessageConsumption(code @ RDKafkaErrorCode::AutoOffsetReset) => {
                Err(Fault::Abortable(Error::new(
                    format!("reading {}", self.inputs.join(", ")),
                    code,
                )))
            }
            other => {
                self.monitor.client_error(&other);
                Ok(())
            }
        }
    }

    /// Polls a consumer that does not read, so that the group does not remove it. As no partition
    /// is assigned, only events can come.
    fn poll_group(&self) -> Result<(), Fault> {
        let Some(consumer) = self.consumer.as_ref().filter(|_| !self.is_reading.get()) else {
            return Ok(());
        };
        while let Some(polled) = consumer.poll(Duration::ZERO) {
            if let Err(error) = polled {
                self.consumer_error(error)?;
            }
        }
        Ok(())
    }

    /// A function to call during a long operation. It polls the consumer from time to time, so that
    /// the group does not remove it. It fails if the group revokes the partitions.
    fn keep_alive(&self, doing: &str) -> impl Fn() -> Result<(), Fault> {
        let last = Cell::new(Instant::now());
        move || {
            if last.get().elapsed() < KEEP_ALIVE_INTERVAL {
                return Ok(());
            }
            last.set(Instant::now());
            self.poll_group()?;
            if self.is_fenced.get() || self.monitor.has_rebalance() {
                return Err(Fault::Abortable(Error::new(
                    doing,
                    "the group rebalances, partitions revoked",
                )));
            }
            Ok(())
        }
    }

    /// Asks whether a broker answers, if there is a reason to.
    fn probe_brokers(&self) {
        self.probe_brokers_with(self.producer.get());
    }

    fn probe_brokers_with(&self, producer: Option<&BaseProducer<ClientMonitor>>) {
        if !self.monitor.probe_due() {
            return;
        }
        // Any one existing topic will do. The metadata of all topics would cost more.
        let topic = self.topics.first().map_or("", String::as_str);
        match self.metadata(topic, producer, CALL_TIMEOUT / 2) {
            Ok(metadata) => {
                self.monitor.broker_reachable();
                let brokers = metadata.brokers().iter();
                let addresses =
                    brokers.map(|broker| format!("{}:{}", broker.host(), broker.port()));
                self.monitor
                    .check_advertised(&addresses.collect::<Vec<_>>());
            }
            Err(error) => self.monitor.broker_unreachable(&error.to_string()),
        }
    }

    /// Checks whether the stage's topics still exist. Fails if one has been missing for
    /// [`TOPIC_GRACE`].
    fn probe_topics(&self) -> Result<(), Fault> {
        for topic in &self.topics {
            match self.metadata(topic, self.producer.get(), CALL_TIMEOUT) {
                Ok(metadata) => {
                    let error = metadata
                        .topics()
                        .first()
                        .and_then(MetadataTopic::error)
                        .map(RDKafkaErrorCode::from);
                    if error == Some(RDKafkaErrorCode::UnknownTopicOrPartition) {
                        return self.missing_topic(topic).map_or(Ok(()), Err);
                    }
                }
                Err(error) => {
                    self.monitor.broker_unreachable(&error.to_string());
                    return Ok(());
                }
            }
        }
        self.missing_since.set(None);
        self.monitor.broker_reachable();
        Ok(())
    }

    /// Records that a topic is missing. `None` within [`TOPIC_GRACE`], then a fatal fault.
    fn missing_topic(&self, topic: &str) -> Option<Fault> {
        let since = self.missing_since.get().unwrap_or_else(Instant::now);
        self.missing_since.set(Some(since));
        if since.elapsed() <= TOPIC_GRACE {
            return None;
        }
        let error = Error::new(
            format!("sending to {topic}"),
            RDKafkaErrorCode::UnknownTopicOrPartition,
        );
        Some(Fault::Fatal(error.help(format!(
            "the topic existed when the stage started, and was deleted since; {NO_TOPIC}. \
             Uncommitted records are read again at the next start"
        ))))
    }

    /// The committed offset of a partition; `None` if there is none.
    fn offset_and_metadata(
        &self,
        element: &TopicPartitionListElem<'_>,
    ) -> Option<OffsetAndMetadata> {
        let partition = self.partition(element.topic(), element.partition())?;
        let Offset::Offset(offset) = element.offset() else {
            return None;
        };
        Some(OffsetAndMetadata {
            partition,
            offset,
            metadata: element.metadata().to_owned(),
        })
    }

    fn committed_offsets(
        &self,
        list: TopicPartitionList,
    ) -> Result<TopicPartitionList, KafkaError> {
        let committed = self.consumer().committed_offsets(list, CALL_TIMEOUT)?;
        for element in committed.elements() {
            element.error()?;
        }
        Ok(committed)
    }

    /// Waits until everything that was sent is acknowledged.
    fn wait_for_deliveries(&self) -> Result<(), Fault> {
        let Some(producer) = self.producer.get() else {
            return Ok(());
        };
        let mut last_probe = Instant::now();
        while producer.in_flight_count() > 0 {
            pause(producer);
            self.check_delivery()?;
            self.probe_brokers();
            if self.monitor.is_unreachable() {
                self.check_shutdown()?;
            }
            if last_probe.elapsed() > CALL_TIMEOUT {
                self.probe_topics()?;
                last_probe = Instant::now();
            }
        }
        producer.poll(Duration::ZERO);
        self.check_delivery()
    }

    /// Fails if the stage was asked to stop: what is not committed is left to the next start.
    fn check_shutdown(&self) -> Result<(), Fault> {
        self.shutdown
            .check()
            .inspect_err(|_| self.shutdown.mark_undone())
    }

    fn check_delivery(&self) -> Result<(), Fault> {
        let Some(producer) = self.producer.get() else {
            return Ok(());
        };
        let failed = producer.client().context().take_failed_delivery();
        failed.map_or(Ok(()), |failed| Err(self.delivery_fault(producer, &failed)))
    }

    /// The fault of a failed delivery.
    fn delivery_fault(
        &self,
        producer: &BaseProducer<ClientMonitor>,
        failed: &FailedDelivery,
    ) -> Fault {
        let FailedDelivery {
            topic, partition, ..
        } = failed;
        let doing = format!("sending to {topic} [{partition}]");
        // Why the transaction has failed says more than that records were purged. librdkafka
        // returns it from any transactional call.
        if failed.is_purged()
            && self.in_transaction.get()
            && let Err(why) = producer.begin_transaction()
            && why.rdkafka_error_code() != Some(RDKafkaErrorCode::State)
        {
            return self.fault(doing, topic, &why);
        }
        if failed.code == RDKafkaErrorCode::MessageSizeTooLarge && failed.count > 1 {
            self.clients.halve_batches();
        }
        self.fault(doing, topic, &KafkaError::MessageProduction(failed.code))
    }

    /// The fault of a call that failed. `topic` is empty for a commit.
    fn fault(&self, doing: impl Into<String>, topic: &str, failed: &KafkaError) -> Fault {
        let error = error_class::of(doing, failed, &self.clients.identity());
        match failed
            .rdkafka_error_code()
            .map_or(ErrorClass::Retriable, ErrorClass::of)
        {
            ErrorClass::Unauthorized => Fault::Fatal(error),
            ErrorClass::UnknownTopic if !topic.is_empty() => {
                self.missing_topic(topic).unwrap_or(Fault::Abortable(error))
            }
            ErrorClass::Record(rejection) => Fault::Rejected(rejection, error),
            ErrorClass::UnknownTopic | ErrorClass::Retriable => Fault::Abortable(error),
        }
    }

    /// Retries `call` for as long as the transaction may be open. Each call waits at most
    /// [`CALL_TIMEOUT`].
    fn retry_while_unreachable(
        &self,
        doing: &str,
        call: impl Fn() -> Result<(), KafkaError>,
    ) -> Result<(), Fault> {
        let begun = Instant::now();
        loop {
            match call() {
                Ok(()) => return Ok(()),
                Err(error)
                    if is_retriable(&error)
                        && begun.elapsed() < self.clients.transaction_timeout() =>
                {
                    self.may_have_repeated.set(true);
                    self.monitor.broker_unreachable(&error.to_string());
                    if let Some(producer) = self.producer.get() {
                        producer.poll(Duration::ZERO);
                    }
                    self.check_shutdown()?;
                }
                Err(error) => return Err(self.fault(doing, "", &error)),
            }
        }
    }

    fn begin(&self) -> Result<(), Fault> {
        if self.guarantee == Guarantee::ExactlyOnce && !self.in_transaction.get() {
            let begun = self.producer()?.begin_transaction();
            begun.map_err(|error| self.fault("beginning a transaction", "", &error))?;
            self.in_transaction.set(true);
        }
        Ok(())
    }

    fn commit_transaction(&self, offsets: &TopicPartitionList) -> Result<(), Fault> {
        self.begin()?;
        let producer = self.producer()?;
        self.wait_for_deliveries()?;
        self.monitor.committing(true);
        let committed = self.end_transaction(producer, offsets);
        self.monitor.committing(false);
        committed?;
        self.in_transaction.set(false);
        Ok(())
    }

    fn end_transaction(
        &self,
        producer: &BaseProducer<ClientMonitor>,
        offsets: &TopicPartitionList,
    ) -> Result<(), Fault> {
        let start = Instant::now();
        if offsets.count() > 0 {
            let Some(group) = self.consumer().group_metadata() else {
                return Err(Fault::Abortable(Error::new(
                    "committing",
                    "the consumer is not a member of its group",
                )));
            };
            self.retry_while_unreachable("adding the offsets to the transaction", || {
                producer.send_offsets_to_transaction(offsets, &group, CALL_TIMEOUT)
            })?;
        }
        self.retry_while_unreachable("committing the transaction", || {
            producer.commit_transaction(CALL_TIMEOUT)
        })?;
        if start.elapsed() > CLEAN_COMMIT {
            self.may_have_repeated.set(true);
        }
        Ok(())
    }

    fn commit_offsets(&self, offsets: &TopicPartitionList) -> Result<(), Fault> {
        self.wait_for_deliveries()?;
        if offsets.count() == 0 {
            return Ok(());
        }
        self.monitor.committing(true);
        let commit = self.consumer().commit(offsets, CommitMode::Sync);
        self.monitor.committing(false);
        commit.map_err(|error| Fault::Abortable(Error::new("committing the offsets", error)))
    }
}

impl Log for KafkaLog {
    type Record<'a> = KafkaRecord<'a>;

    fn poll(&self, wait: Duration) -> Result<Event<KafkaRecord<'_>>, Fault> {
        if let Some(event) = self.next_rebalance() {
            return Ok(event);
        }
        match self.consumer().poll(wait) {
            Some(Ok(message)) => {
                let topic = if self.inputs.len() == 1 {
                    0
                } else {
                    self.inputs
                        .iter()
                        .position(|input| input == message.topic())
                        .unwrap_or_default()
                };
                return Ok(Event::Record(KafkaRecord::new(topic, message)));
            }
            Some(Err(error)) => self.consumer_error(error)?,
            None => {}
        }
        if self.is_fenced.get() {
            return Ok(Event::Revoked { lost: true });
        }
        if let Some(producer) = self.producer.get() {
            producer.poll(Duration::ZERO);
            self.check_delivery()?;
        }
        self.probe_brokers();
        Ok(self.next_rebalance().unwrap_or(Event::Timeout))
    }

    fn assign(&mut self, from: &[(TopicPartition, i64)]) -> Result<(), Fault> {
        // It is not needed before the next assignment.
        self.reader = None;
        let from = from
            .iter()
            .map(|(partition, offset)| (*partition, Offset::Offset(*offset)));
        let list = self.list(from);
        self.is_reading.set(true);
        let assigned = self.consumer().assign(&list);
        assigned.map_err(|error| Fault::Abortable(Error::new("assigning partitions", error)))
    }

    fn unassign(&mut self) -> Result<(), Fault> {
        self.drop_assignment()
    }

    fn send(&self, record: &ProducerRecord<'_>) -> Result<(), Fault> {
        self.begin()?;
        let producer = self.producer()?;
        let mut message = base_record(record);
        self.sent_since_poll.set(self.sent_since_poll.get() + 1);
        if self.sent_since_poll.get() >= STRIDE {
            self.sent_since_poll.set(0);
            producer.poll(Duration::ZERO);
            self.check_delivery()?;
        }
        let mut last_probe = Instant::now();
        loop {
            match producer.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), rejected)) => {
                    message = rejected;
                    pause(producer);
                    self.check_delivery()?;
                    self.probe_brokers();
                    if last_probe.elapsed() > CALL_TIMEOUT {
                        self.probe_topics()?;
                        last_probe = Instant::now();
                    }
                    self.check_shutdown()?;
                }
                Err((error, _)) => {
                    // An earlier failed delivery is the cause, and says more than this error.
                    producer.poll(Duration::ZERO);
                    self.check_delivery()?;
                    return Err(self.fault(
                        format!("sending to {}", record.topic),
                        record.topic,
                        &error,
                    ));
                }
            }
        }
    }

    fn flush_unless_transactional(&mut self) -> Result<(), Fault> {
        if self.guarantee == Guarantee::AtLeastOnce {
            self.wait_for_deliveries()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.wait_for_deliveries()
    }

    fn commit(&mut self, offsets: &[OffsetAndMetadata]) -> Result<(), Fault> {
        let mut list = TopicPartitionList::new();
        for OffsetAndMetadata {
            partition: TopicPartition { topic, partition },
            offset,
            metadata,
        } in offsets
        {
            let mut added = list.add_partition(&self.inputs[*topic], *partition);
            added
                .set_offset(Offset::Offset(*offset))
                .expect("offsets of records are valid");
            if !metadata.is_empty() {
                added.set_metadata(metadata);
            }
        }
        match self.guarantee {
            Guarantee::ExactlyOnce => self.commit_transaction(&list)?,
            Guarantee::AtLeastOnce => self.commit_offsets(&list)?,
        }
        self.missing_since.set(None);
        self.monitor.broker_reachable();
        if self.guarantee == Guarantee::ExactlyOnce {
            self.replace_if_repeated()?;
        }
        Ok(())
    }

    fn abort(&mut self) -> Result<(), Fault> {
        // A fenced consumer reads nothing, and is replaced when its partitions are unassigned.
        if !self.is_fenced.get() {
            self.drop_assignment()?;
        }
        self.in_transaction.set(false);
        self.may_have_repeated.set(false);
        if self.producer.take().is_none() {
            return Ok(());
        }
        // A new producer instead of `abort_transaction`: once it is initialised, the outcome of the
        // last commit is settled, whatever happened to it. And only one path needs tests.
        let producer = self.make_producer()?;
        self.producer = OnceCell::from(producer);
        Ok(())
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<OffsetAndMetadata>, Fault> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let list = self.list(
            partitions
                .iter()
                .map(|partition| (*partition, Offset::Invalid)),
        );
        let begun = Instant::now();
        let committed = loop {
            match self.committed_offsets(list.clone()) {
                Ok(committed) => break committed,
                // A consumer with a fatal error says why in the next polls.
                Err(error)
                    if has_fatal_error(self.consumer()) || begun.elapsed() > OFFSETS_TIMEOUT =>
                {
                    return Err(Fault::Abortable(Error::new(
                        "fetching the committed offsets",
                        error,
                    )));
                }
                // The group coordinator may be moving, or a transaction about to end.
                Err(error) => tracing::debug!("fetching the committed offsets: {error}"),
            }
            self.shutdown.check()?;
            std::thread::sleep(CALL_TIMEOUT / 50);
        };
        Ok(committed
            .elements()
            .iter()
            .filter_map(|element| self.offset_and_metadata(element))
            .collect())
    }

    fn watermarks(&mut self, topic: &str, partitions: &[i32]) -> Result<Vec<Watermarks>, Fault> {
        let mut watermarks = Vec::with_capacity(partitions.len());
        if !partitions.is_empty() {
            let reader = self.reader()?;
            for partition in partitions {
                watermarks.push(reader.watermarks(
                    topic,
                    *partition,
                    &self.keep_alive(&format!("fetching the watermarks of {topic}")),
                )?);
            }
            self.reader = Some(reader);
        }
        Ok(watermarks)
    }

    fn restore(
        &mut self,
        topic: &str,
        partitions: &[i32],
        each: RestoreCallback<'_>,
    ) -> Result<(), Fault> {
        if partitions.is_empty() {
            return Ok(());
        }
        let reader = self.reader()?;
        reader.restore(
            topic,
            partitions,
            each,
            &self.keep_alive(&format!("restoring from {topic}")),
        )
    }

    fn at_end(&mut self, positions: &[(TopicPartition, Option<i64>)]) -> Result<bool, Fault> {
        let partitions: Vec<TopicPartition> =
            positions.iter().map(|(partition, _)| *partition).collect();
        let committed = self.committed(&partitions)?;
        let reader = self.reader()?;
        for (topic, name) in self.inputs.iter().enumerate() {
            let mut from = Vec::new();
            for (partition, position) in positions {
                if partition.topic != topic {
                    continue;
                }
                let mut committed = committed.iter();
                let committed = committed.find(|committed| committed.partition == *partition);
                let offset = position.or(committed.map(|committed| committed.offset));
                from.push((
                    partition.partition,
                    offset.map_or(Offset::Beginning, Offset::Offset),
                ));
            }
            if !reader.is_at_end(name, &from)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        // Rebalances are answered at once from here on: nobody is left to commit.
        self.monitor.close();
        if let Some(consumer) = self.consumer.take() {
            if has_fatal_error(&consumer) {
                return close(consumer, CALL_TIMEOUT);
            }
            // A static member does not leave its group when it closes, so that a restart keeps its
            // partitions. An orderly shutdown unsubscribes first to leave. Partitions that were
            // never assigned, because their state could not be restored, would keep it from
            // leaving.
            let _ = consumer.assign(&TopicPartitionList::new());
            consumer.unsubscribe();
            let _ = consumer.unassign();
            let until = Instant::now() + CALL_TIMEOUT;
            while consumer
                .subscription()
                .is_ok_and(|topics| topics.count() > 0)
                && Instant::now() < until
            {
                let _ = consumer.poll(Duration::from_millis(10));
            }
            close(consumer, CALL_TIMEOUT);
        }
    }
}

/// Whether a consumer has a fatal error. It then reads nothing, and calls other than `poll` can
/// hang for ever.
fn has_fatal_error(consumer: &BaseConsumer<ClientMonitor>) -> bool {
    consumer.client().fatal_error().is_some()
}

/// Closes consumers in a thread, and waits for at most `wait`. Closing takes a tenth of a second.
/// librdkafka can hang in it for ever during an assignment, and nothing depends on its end.
pub(crate) fn close(consumers: impl Send + 'static, wait: Duration) {
    let (sender, closed) = std::sync::mpsc::channel();
    let closing = std::thread::Builder::new()
        .name("close".into())
        .spawn(move || {
            drop(consumers);
            let _ = sender.send(());
        });
    if closing.is_ok() {
        let _ = closed.recv_timeout(wait);
    }
}

/// Leaves the processor to the producer's threads for a moment. A `poll` with a timeout would spin
/// through its last millisecond.
fn pause(producer: &BaseProducer<ClientMonitor>) {
    producer.poll(Duration::ZERO);
    std::thread::sleep(Duration::from_micros(200));
}

/// Runs all callbacks that a producer has queued. Each poll without a wait runs one.
fn poll_all(producer: &BaseProducer<ClientMonitor>) {
    let monitor = producer.client().context();
    loop {
        let count = monitor.event_count();
        producer.poll(Duration::ZERO);
        if monitor.event_count() == count {
            return;
        }
    }
}

/// Whether the call can be repeated.
fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        _ => false,
    }
}
