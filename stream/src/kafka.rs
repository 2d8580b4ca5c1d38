//! The log as Apache Kafka: [`KafkaLog`].

mod config;
mod error_class;
mod monitor;
mod reader;

use std::cell::{Cell, OnceCell};
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Message, OwnedHeaders};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{TopicPartitionList, TopicPartitionListElem};

use self::config::Clients;
use self::error_class::{ErrorClass, NO_TOPIC};
use self::monitor::{ClientMonitor, FailedDelivery, Rebalance};
use self::reader::Reader;
use crate::error::Error;
use crate::exit;
use crate::log::{
    ConsumerRecord, Event, Fault, Log, OffsetAndMetadata, ProducerRecord, Record, RestoreCallback,
    TopicPartition, Watermarks,
};
use crate::pipeline::{Guarantee, Pipeline, Stage, StageKind};
use crate::reminder::{Reminder, lasting};
use crate::shutdown::Shutdown;

/// How long one call may wait for a broker before the loop looks at the shutdown again.
const CALL: Duration = Duration::from_secs(1);
/// How long one attempt to initialise transactions waits before it is looked what holds it up.
const INITIALISE: Duration = Duration::from_millis(20);
/// The first wait for the coordinator to end a transaction.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// How long a topic may stay unknown before it counts as missing: a new one needs a moment.
const TOPIC_GRACE: Duration = Duration::from_secs(5);
/// How long the group's broker may fail to tell the committed offsets before that is told.
const OFFSETS: Duration = Duration::from_secs(10);
/// How often the group hears of a stage that restores its state or waits.
const KEEP: Duration = Duration::from_millis(100);
/// A commit that takes longer may have been repeated, whatever was heard.
const CLEAN_COMMIT: Duration = Duration::from_secs(1);
/// How many records are sent between two looks at what the producer has to say.
const STRIDE: u32 = 1000;

/// A stage's consumer and producer.
///
/// In order of their coming to be: the producer first, because initialising its transactions fences
/// the process that went before and ends what it left open; only then does the consumer join the
/// group, so that nothing of the dead holds the living back.
pub struct KafkaLog {
    clients: Clients,
    inputs: Vec<String>,
    /// The stage's topics.
    topics: Vec<String>,
    /// Since when one of them has not been there, as far as that was noticed.
    missing: Cell<Option<Instant>>,
    guarantee: Guarantee,
    shutdown: Shutdown,
    monitor: ClientMonitor,
    /// Nothing for a stage without inputs.
    consumer: Option<BaseConsumer<ClientMonitor>>,
    /// Whether there are partitions that the consumer reads.
    reads: Cell<bool>,
    /// Whether the consumer was fenced while it was no member of its group: it needs a successor.
    fenced: Cell<bool>,
    /// Made at the first use for a sink, which may never have a dead letter to send.
    producer: OnceCell<BaseProducer<ClientMonitor>>,
    /// A reader that is connecting already, for the first use.
    reader: Option<Reader>,
    /// Whether a transaction is open.
    begun: Cell<bool>,
    /// Whether the last commit may have been repeated, so that a copy of it can still arrive.
    repeated: Cell<bool>,
    sent_since_poll: Cell<u32>,
}

impl KafkaLog {
    /// Connects a stage: waits for a broker, checks that the stage's `topics` exist, fences an
    /// older process of the same instance and joins the group.
    ///
    /// # Errors
    /// Properties that librdkafka refuses, topics that do not exist, or a stop while waiting.
    pub fn open(
        pipeline: &Pipeline,
        stage: &Stage,
        topics: &[String],
        instance: &str,
        shutdown: &Shutdown,
    ) -> Result<Self, Fault> {
        // A sink's results leave Kafka, so a transaction could not hold them together with the
        // offsets.
        let is_sink = matches!(stage.kind, StageKind::Sink { .. });
        let guarantee = if is_sink {
            Guarantee::AtLeastOnce
        } else {
            pipeline.guarantee
        };
        let clients = Clients::new(pipeline, stage, instance, guarantee);
        let (asking, topic) = (clients.clone(), topics.first().cloned().unwrap_or_default());
        let ending = shutdown.clone();
        let monitor = ClientMonitor::new(
            &stage.name,
            pipeline.brokers(),
            move |monitor| {
                asking
                    .observer(monitor)
                    .is_ok_and(|client| client.fetch_metadata(Some(&topic), CALL).is_ok())
            },
            move || ending.abandon(exit::FAILED),
        );
        let mut log = KafkaLog {
            clients,
            inputs: stage.from.clone(),
            topics: topics.to_vec(),
            missing: Cell::new(None),
            guarantee,
            shutdown: shutdown.clone(),
            monitor,
            consumer: None,
            reads: Cell::new(false),
            fenced: Cell::new(false),
            producer: OnceCell::new(),
            reader: None,
            begun: Cell::new(false),
            repeated: Cell::new(false),
            sent_since_poll: Cell::new(0),
        };
        if guarantee == Guarantee::ExactlyOnce && !log.inputs.is_empty() {
            log.clients.tell_of_long_transactions();
        }
        // All clients connect at the same time, while the first of them looks for the topics.
        if !log.inputs.is_empty() {
            log.consumer = Some(log.clients.consumer(&log.monitor).map_err(Fault::Fatal)?);
        }
        if !log.inputs.is_empty() || topics.contains(&stage.changelog()) {
            log.reader = Some(Reader::new(&log.clients, &log.monitor, shutdown)?);
        }
        let producer = if is_sink {
            None
        } else {
            Some(log.clients.producer(&log.monitor).map_err(Fault::Fatal)?)
        };
        log.wait_for_topics(topics, producer.as_ref())?;
        if let Some(producer) = producer {
            log.producer = OnceCell::from(log.initialise(producer)?);
        }
        if let Some(consumer) = &log.consumer {
            log.subscribe(consumer)?;
        }
        Ok(log)
    }

    /// Has a consumer join the group when it is polled.
    fn subscribe(&self, consumer: &BaseConsumer<ClientMonitor>) -> Result<(), Fault> {
        let topics: Vec<&str> = self.inputs.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(|error| {
            Fault::Fatal(Error::new(
                format!("subscribing to {}", topics.join(", ")),
                error,
            ))
        })
    }

    /// Gives all partitions back; a consumer that was fenced is replaced instead.
    fn unassign(&mut self) -> Result<(), Fault> {
        if self.fenced.take() {
            self.monitor.close();
            if let Some(fenced) = self.consumer.take() {
                close(fenced, CALL);
            }
            self.monitor.reopen();
            let consumer = self.clients.consumer(&self.monitor).map_err(Fault::Fatal)?;
            self.subscribe(&consumer)?;
            self.consumer = Some(consumer);
        }
        self.reads.set(false);
        match &self.consumer {
            Some(consumer) if !is_dead(consumer) => consumer
                .unassign()
                .map_err(|error| Fault::Abortable(Error::new("giving partitions back", error))),
            _ => Ok(()),
        }
    }

    /// Waits until a broker answers and knows all topics.
    fn wait_for_topics(
        &self,
        topics: &[String],
        producer: Option<&BaseProducer<ClientMonitor>>,
    ) -> Result<(), Fault> {
        let mut missing_since = None;
        for topic in topics {
            loop {
                let answer = self.metadata(topic, producer, CALL);
                // Serves what the client has to say about its connections. Nothing is subscribed
                // yet.
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

    /// What the brokers say of a topic, asked through one of the clients there are.
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

    /// A producer that is ready to send; in a transaction one whose predecessor is fenced.
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
            match producer.init_transactions(INITIALISE) {
                Ok(()) => return Ok(producer),
                Err(error) if is_retriable(&error) => {
                    producer.poll(Duration::ZERO);
                    self.shutdown.check()?;
                    self.poll_group()?;
                    self.probe_brokers_by(Some(&producer));
                    if since.elapsed() > CALL * 5
                        && !self.monitor.told_of_an_unreachable_address()
                        && let Some(lasted) = reminder.due(&(), Instant::now())
                        && !self.warn_of_concurrent_transactions(&producer, &error, lasted)
                    {
                        // While no broker answers at all there is nothing to say of transactions.
                        since = Instant::now();
                        reminder.clear();
                    }
                    if self.monitor.take_concurrent_transaction() {
                        // The coordinator is still ending the transaction of the process that went
                        // before. This client would ask again after half a second, which is
                        // librdkafka's own; a new one asks at once.
                        drop(producer);
                        std::thread::sleep(pause);
                        pause = (pause * 2).min(CALL);
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

    /// Replaces a producer of which a request may still be under way, so that it cannot touch the
    /// next transaction: librdkafka repeats a commit by itself when its connection breaks, and
    /// nothing in the first copy tells which transaction it belongs to. When the new producer's
    /// transactions are initialised, its epoch is raised, and what bears the old one is refused.
    ///
    /// # Errors
    /// For a stage without inputs, which goes back to this commit instead: no group tells it that
    /// another process goes on in its place, and a new producer would fence that one.
    fn replace_repeated(&mut self) -> Result<(), Fault> {
        let Some(producer) = self.producer.get() else {
            return Ok(());
        };
        hear(producer);
        if !(self.repeated.take() || producer.client().context().may_have_repeated()) {
            return Ok(());
        }
        if self.inputs.is_empty() {
            return Err(Fault::Abortable(Error::new(
                "committing",
                "a request may be under way twice",
            )));
        }
        tracing::debug!(
            "a request may be under way twice: the next transaction gets a new producer"
        );
        self.producer = OnceCell::new();
        Ok(())
    }

    /// Transactions need a log of their own in the cluster, which a small cluster may be unable to
    /// make. Returns whether a broker could be asked.
    fn warn_of_concurrent_transactions(
        &self,
        producer: &BaseProducer<ClientMonitor>,
        error: &KafkaError,
        lasted: Duration,
    ) -> bool {
        let lasted = lasting(lasted);
        let Ok(metadata) = producer.client().fetch_metadata(None, CALL) else {
            self.monitor.broker_unreachable(&error.to_string());
            return false;
        };
        self.monitor.broker_reachable();
        let brokers = metadata.brokers().len();
        let has_log = metadata
            .topics()
            .iter()
            .any(|topic| topic.name() == "__transaction_state");
        if has_log {
            tracing::warn!(
                "the transaction coordinator does not answer yet{lasted} ({error}): waiting"
            );
        } else {
            tracing::error!(
                "the cluster cannot make its transaction log{lasted}: it has {brokers} broker(s), \
                 and transaction.state.log.replication.factor in the brokers' server.properties \
                 asks for more copies\n  help: set transaction.state.log.replication.factor and \
                 transaction.state.log.min.isr to at most {brokers}, or start more brokers, or \
                 choose guarantee = \"at-least-once\"; waiting"
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
            .expect("only a stage with inputs is given partitions")
    }

    fn producer(&self) -> Result<&BaseProducer<ClientMonitor>, Fault> {
        if let Some(producer) = self.producer.get() {
            return Ok(producer);
        }
        let producer = self.make_producer()?;
        Ok(self.producer.get_or_init(|| producer))
    }

    /// The next rebalance that waits for an answer.
    fn rebalanced<R>(&self) -> Option<Event<R>> {
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

    /// What the consumer reports instead of a record.
    fn consumer_error(&self, error: KafkaError) -> Result<(), Fault> {
        match error {
            // Fenced, but not by another process. When a session ends, librdkafka forgets the id of
            // its member, and still sends heartbeats until the stage has let go of its partitions.
            // If the broker was away, the session goes on there: what comes without the id is taken
            // for an impostor's (librdkafka's issue 3437). A heartbeat under the old id may also
            // have waited for its broker, and be answered only after the member is back under a new
            // one. And one that is still joining has been seen fenced while a broker died. Should
            // another have the place after all, joining anew fences that one; the second time this
            // one ends.
            KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::FencedInstanceId)
                if self
                    .monitor
                    .may_be_fenced_by_its_past(self.clients.session()) =>
            {
                tracing::warn!("no member of the consumer group any more: joining anew");
                self.fenced.set(true);
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
                    "allow this user to read the topics and to use the consumer group named like \
                     the stage",
                ),
            )),
            KafkaError::MessageConsumption(code @ RDKafkaErrorCode::UnknownTopicOrPartition) => {
                let what = format!("reading {}: {code}", self.inputs.join(", "));
                self.monitor
                    .tell(&what, &format!("if the topic was deleted, {NO_TOPIC}"));
                Ok(())
            }
            // The stage finds out which records are gone when it asks where to go on.
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

    /// Polls the consumer while nothing is assigned to it, so that only events come: a member that
    /// does not poll is taken for dead. One that reads is left alone.
    fn poll_group(&self) -> Result<(), Fault> {
        let Some(consumer) = self.consumer.as_ref().filter(|_| !self.reads.get()) else {
            return Ok(());
        };
        while let Some(seen) = consumer.poll(Duration::ZERO) {
            if let Err(error) = seen {
                self.consumer_error(error)?;
            }
        }
        Ok(())
    }

    /// Keeps the place in the group from time to time while something else is done that takes long.
    ///
    /// # Errors
    /// If the group takes the partitions meanwhile: then there is no sense in going on.
    fn keep_alive(&self, doing: &str) -> impl Fn() -> Result<(), Fault> {
        let kept = Cell::new(Instant::now());
        move || {
            if kept.get().elapsed() < KEEP {
                return Ok(());
            }
            kept.set(Instant::now());
            self.poll_group()?;
            if self.fenced.get() || self.monitor.has_rebalance() {
                return Err(Fault::Abortable(Error::new(
                    doing,
                    "the group gives the partitions to another member",
                )));
            }
            Ok(())
        }
    }

    /// Finds out whether a broker answers, where there is a doubt.
    fn probe_brokers(&self) {
        self.probe_brokers_by(self.producer.get());
    }

    fn probe_brokers_by(&self, producer: Option<&BaseProducer<ClientMonitor>>) {
        if !self.monitor.probe_due() {
            return;
        }
        // Any topic will do that is known to exist: asking for all of them would cost more.
        let topic = self.topics.first().map_or("", String::as_str);
        match self.metadata(topic, producer, CALL / 2) {
            Ok(metadata) => {
                self.monitor.broker_reachable();
                let brokers = metadata.brokers().iter();
                let addresses =
                    brokers.map(|broker| format!("{}:{}", broker.host(), broker.port()));
                self.monitor.announced(&addresses.collect::<Vec<_>>());
            }
            Err(error) => self.monitor.broker_unreachable(&error.to_string()),
        }
    }

    /// Finds out whether what was sent waits for a topic that is not there any more.
    ///
    /// # Errors
    /// If one has not been there for longer than a new one needs to be known.
    fn probe_topics(&self) -> Result<(), Fault> {
        for topic in &self.topics {
            match self.metadata(topic, self.producer.get(), CALL) {
                Ok(metadata) => {
                    let error = metadata
                        .topics()
                        .first()
                        .and_then(MetadataTopic::error)
                        .map(RDKafkaErrorCode::from);
                    if error == Some(RDKafkaErrorCode::UnknownTopicOrPartition) {
                        return self.misses(topic).map_or(Ok(()), Err);
                    }
                }
                Err(error) => {
                    self.monitor.broker_unreachable(&error.to_string());
                    return Ok(());
                }
            }
        }
        self.missing.set(None);
        self.monitor.broker_reachable();
        Ok(())
    }

    /// A topic is not there. That is fatal after a while, and then this is the fault.
    fn misses(&self, topic: &str) -> Option<Fault> {
        let since = self.missing.get().unwrap_or_else(Instant::now);
        self.missing.set(Some(since));
        let fault = || {
            let error = Error::new(
                format!("sending to {topic}"),
                RDKafkaErrorCode::UnknownTopicOrPartition,
            );
            Fault::Fatal(error.help(format!(
                "the topic was there when the stage started, and was deleted since; {NO_TOPIC}. \
                 What was read and is not committed is read again at the next start"
            )))
        };
        (since.elapsed() > TOPIC_GRACE).then(fault)
    }

    /// Asks the group's broker once.
    fn committed_offsets(
        &self,
        list: TopicPartitionList,
    ) -> Result<TopicPartitionList, KafkaError> {
        let committed = self.consumer().committed_offsets(list, CALL)?;
        for element in committed.elements() {
            element.error()?;
        }
        Ok(committed)
    }

    /// Waits until everything that was sent is acknowledged.
    fn drain(&self) -> Result<(), Fault> {
        let Some(producer) = self.producer.get() else {
            return Ok(());
        };
        let mut looked = Instant::now();
        while producer.in_flight_count() > 0 {
            pause(producer);
            self.check_delivery()?;
            self.probe_brokers();
            if self.monitor.is_away() {
                self.check_stop()?;
            }
            if looked.elapsed() > CALL {
                self.probe_topics()?;
                looked = Instant::now();
            }
        }
        producer.poll(Duration::ZERO);
        self.check_delivery()
    }

    /// Stops, if it was asked to, in spite of what is not committed yet.
    fn check_stop(&self) -> Result<(), Fault> {
        self.shutdown
            .check()
            .inspect_err(|_| self.shutdown.mark_undone())
    }

    fn check_delivery(&self) -> Result<(), Fault> {
        let Some(producer) = self.producer.get() else {
            return Ok(());
        };
        let failed = producer.client().context().take_failed_delivery();
        failed.map_or(Ok(()), |failed| Err(self.undelivered(producer, &failed)))
    }

    /// What it means that a record could not be sent.
    fn undelivered(
        &self,
        producer: &BaseProducer<ClientMonitor>,
        failed: &FailedDelivery,
    ) -> Fault {
        let FailedDelivery {
            topic, partition, ..
        } = failed;
        let doing = format!("sending to {topic} [{partition}]");
        // Who would begin anew in a transaction that has failed is told why it has.
        if failed.is_purged()
            && self.begun.get()
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

    /// What it means that sending to a topic, or committing without one, has failed.
    fn fault(&self, doing: impl Into<String>, topic: &str, failed: &KafkaError) -> Fault {
        let error = error_class::of(doing, failed, &self.clients.identity());
        match failed
            .rdkafka_error_code()
            .map_or(ErrorClass::Passes, ErrorClass::of)
        {
            ErrorClass::Forbidden => Fault::Fatal(error),
            ErrorClass::NoTopic if !topic.is_empty() => {
                self.misses(topic).unwrap_or(Fault::Abortable(error))
            }
            ErrorClass::Record(rejection) => Fault::Rejected(rejection, error),
            ErrorClass::NoTopic | ErrorClass::Passes => Fault::Abortable(error),
        }
    }

    /// Calls until it succeeds; each call waits at most [`CALL`]. What a transaction did not live
    /// to see is done again.
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
                    self.repeated.set(true);
                    self.monitor.broker_unreachable(&error.to_string());
                    if let Some(producer) = self.producer.get() {
                        producer.poll(Duration::ZERO);
                    }
                    self.check_stop()?;
                }
                Err(error) => return Err(self.fault(doing, "", &error)),
            }
        }
    }

    fn begin(&self) -> Result<(), Fault> {
        if self.guarantee == Guarantee::ExactlyOnce && !self.begun.get() {
            let begun = self.producer()?.begin_transaction();
            begun.map_err(|error| self.fault("beginning a transaction", "", &error))?;
            self.begun.set(true);
        }
        Ok(())
    }

    fn commit_transaction(&self, positions: &TopicPartitionList) -> Result<(), Fault> {
        self.begin()?;
        let producer = self.producer()?;
        self.drain()?;
        self.monitor.committing(true);
        let committed = self.end_transaction(producer, positions);
        self.monitor.committing(false);
        committed?;
        self.begun.set(false);
        Ok(())
    }

    fn end_transaction(
        &self,
        producer: &BaseProducer<ClientMonitor>,
        positions: &TopicPartitionList,
    ) -> Result<(), Fault> {
        let start = Instant::now();
        if positions.count() > 0 {
            let Some(group) = self.consumer().group_metadata() else {
                return Err(Fault::Abortable(Error::new(
                    "committing",
                    "the consumer is in no group",
                )));
            };
            self.retry_while_unreachable("adding the offsets to the transaction", || {
                producer.send_offsets_to_transaction(positions, &group, CALL)
            })?;
        }
        self.retry_while_unreachable("committing the transaction", || {
            producer.commit_transaction(CALL)
        })?;
        if start.elapsed() > CLEAN_COMMIT {
            self.repeated.set(true);
        }
        Ok(())
    }

    fn commit_offsets(&self, positions: &TopicPartitionList) -> Result<(), Fault> {
        self.drain()?;
        if positions.count() == 0 {
            return Ok(());
        }
        self.monitor.committing(true);
        let commit = self.consumer().commit(positions, CommitMode::Sync);
        self.monitor.committing(false);
        commit.map_err(|error| Fault::Abortable(Error::new("committing the offsets", error)))
    }
}

impl Log for KafkaLog {
    type Record<'a> = KafkaRecord<'a>;

    fn poll(&self, wait: Duration) -> Result<Event<KafkaRecord<'_>>, Fault> {
        if let Some(event) = self.rebalanced() {
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
                return Ok(Event::Record(KafkaRecord { topic, message }));
            }
            Some(Err(error)) => self.consumer_error(error)?,
            None => {}
        }
        if self.fenced.get() {
            return Ok(Event::Revoked { lost: true });
        }
        if let Some(producer) = self.producer.get() {
            producer.poll(Duration::ZERO);
            self.check_delivery()?;
        }
        self.probe_brokers();
        Ok(self.rebalanced().unwrap_or(Event::Timeout))
    }

    fn assign(&mut self, from: &[(TopicPartition, i64)]) -> Result<(), Fault> {
        // Nothing is left to look up before the next assignment.
        self.reader = None;
        let from = from
            .iter()
            .map(|(partition, offset)| (*partition, Offset::Offset(*offset)));
        let list = self.list(from);
        self.reads.set(true);
        let assigned = self.consumer().assign(&list);
        assigned.map_err(|error| Fault::Abortable(Error::new("taking over partitions", error)))
    }

    fn unassign(&mut self) -> Result<(), Fault> {
        self.unassign()
    }

    fn send(&self, record: &ProducerRecord<'_>) -> Result<(), Fault> {
        self.begin()?;
        let producer = self.producer()?;
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(record.topic);
        (message.key, message.payload) = (record.key, record.value);
        (message.partition, message.timestamp) = (record.partition, record.timestamp);
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            message.headers = Some(
                record
                    .headers
                    .iter()
                    .fold(headers, |headers, (key, value)| {
                        headers.insert(Header {
                            key,
                            value: value.as_ref(),
                        })
                    }),
            );
        }
        self.sent_since_poll.set(self.sent_since_poll.get() + 1);
        if self.sent_since_poll.get() >= STRIDE {
            self.sent_since_poll.set(0);
            producer.poll(Duration::ZERO);
            self.check_delivery()?;
        }
        let mut looked = Instant::now();
        loop {
            match producer.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    message = refused;
                    pause(producer);
                    self.check_delivery()?;
                    self.probe_brokers();
                    if looked.elapsed() > CALL {
                        self.probe_topics()?;
                        looked = Instant::now();
                    }
                    self.check_stop()?;
                }
                Err((error, _)) => {
                    // What was rejected before tells more than that nothing can be sent any more.
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
            self.drain()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.drain()
    }

    fn commit(&mut self, positions: &[OffsetAndMetadata]) -> Result<(), Fault> {
        let mut list = TopicPartitionList::new();
        for OffsetAndMetadata {
            partition: TopicPartition { topic, partition },
            offset,
            metadata,
        } in positions
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
        self.missing.set(None);
        self.monitor.broker_reachable();
        if self.guarantee == Guarantee::ExactlyOnce {
            self.replace_repeated()?;
        }
        Ok(())
    }

    fn abort(&mut self) -> Result<(), Fault> {
        // One that was fenced reads nothing, and is replaced when its partitions are given back.
        if !self.fenced.get() {
            self.unassign()?;
        }
        self.begun.set(false);
        self.repeated.set(false);
        if self.producer.take().is_none() {
            return Ok(());
        }
        // A new producer, not an abort: whatever became of the last commit, its outcome is settled
        // when the new one's transactions are initialised, and there is only one way back to test.
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
                // A consumer that can do nothing any more says why in the next polls, one after the
                // other.
                Err(error) if is_dead(self.consumer()) || begun.elapsed() > OFFSETS => {
                    return Err(Fault::Abortable(Error::new(
                        "asking for the committed offsets",
                        error,
                    )));
                }
                // The group may be on its way to another broker, or a transaction about to end.
                Err(error) => tracing::debug!("asking for the committed offsets: {error}"),
            }
            self.shutdown.check()?;
            std::thread::sleep(CALL / 50);
        };
        let position = |element: &TopicPartitionListElem<'_>| {
            let partition = self.partition(element.topic(), element.partition())?;
            let Offset::Offset(offset) = element.offset() else {
                return None;
            };
            Some(OffsetAndMetadata {
                partition,
                offset,
                metadata: element.metadata().to_owned(),
            })
        };
        Ok(committed.elements().iter().filter_map(position).collect())
    }

    fn watermarks(&mut self, topic: &str, partitions: &[i32]) -> Result<Vec<Watermarks>, Fault> {
        let mut watermarks = Vec::with_capacity(partitions.len());
        if !partitions.is_empty() {
            let reader = self.reader()?;
            for partition in partitions {
                watermarks.push(reader.extent(
                    topic,
                    *partition,
                    &self.keep_alive(&format!("asking for the ends of {topic}")),
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
            let of_topic = positions
                .iter()
                .filter(|(partition, _)| partition.topic == topic);
            let from = of_topic.map(|(partition, next)| {
                let committed = || {
                    committed
                        .iter()
                        .find(|committed| committed.partition == *partition)
                };
                let from = next.or_else(|| Some(committed()?.offset));
                (
                    partition.partition,
                    from.map_or(Offset::Beginning, Offset::Offset),
                )
            });
            if !reader.is_at_end(name, &from.collect::<Vec<_>>())? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        // From here on a rebalance is answered at once: nobody is left to commit for it.
        self.monitor.close();
        if let Some(consumer) = self.consumer.take() {
            if is_dead(&consumer) {
                return close(consumer, CALL);
            }
            // A static member does not leave its group by closing, so that a restart keeps its
            // partitions. One that ends in order hands them over by unsubscribing first. Partitions
            // that were given but never assigned, because they could not be restored, would keep it
            // from leaving.
            let _ = consumer.assign(&TopicPartitionList::new());
            consumer.unsubscribe();
            let _ = consumer.unassign();
            let until = Instant::now() + CALL;
            while consumer
                .subscription()
                .is_ok_and(|topics| topics.count() > 0)
                && Instant::now() < until
            {
                let _ = consumer.poll(Duration::from_millis(10));
            }
            close(consumer, CALL);
        }
    }
}

/// A record that librdkafka holds.
pub struct KafkaRecord<'a> {
    topic: usize,
    message: BorrowedMessage<'a>,
}

impl Record for KafkaRecord<'_> {
    fn fields(&self) -> ConsumerRecord<'_> {
        ConsumerRecord {
            topic: self.topic,
            partition: self.message.partition(),
            offset: self.message.offset(),
            timestamp: self.message.timestamp().to_millis().unwrap_or(-1),
            key: self.message.key(),
            value: self.message.payload(),
        }
    }

    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        self.message
            .headers()
            .map(headers::read)
            .unwrap_or_default()
    }
}

/// Whether a consumer can do nothing any more. It reads nothing, and to ask it for anything but the
/// reason can hang for ever.
fn is_dead(consumer: &BaseConsumer<ClientMonitor>) -> bool {
    consumer.client().fatal_error().is_some()
}

/// Closes consumers, and waits a moment for it. Closing takes a tenth of a second, and librdkafka
/// can hang in it for ever if it is just being given partitions; nothing depends on its end.
fn close(consumers: impl Send + 'static, wait: Duration) {
    let (tell, closed) = std::sync::mpsc::channel();
    let closing = std::thread::Builder::new()
        .name("close".into())
        .spawn(move || {
            drop(consumers);
            let _ = tell.send(());
        });
    if closing.is_ok() {
        let _ = closed.recv_timeout(wait);
    }
}

/// Gives the producer's own threads a moment. Its `poll` would spin through the last millisecond of
/// any wait.
fn pause(producer: &BaseProducer<ClientMonitor>) {
    producer.poll(Duration::ZERO);
    std::thread::sleep(Duration::from_micros(200));
}

/// Hears all that a producer has to say by now: each poll without a wait hands out one thing.
fn hear(producer: &BaseProducer<ClientMonitor>) {
    let monitor = producer.client().context();
    loop {
        let count = monitor.count();
        producer.poll(Duration::ZERO);
        if monitor.count() == count {
            return;
        }
    }
}

/// Whether calling again may help.
fn is_retriable(error: &KafkaError) -> bool {
    match error {
        KafkaError::Transaction(error) => error.is_retriable(),
        _ => false,
    }
}
