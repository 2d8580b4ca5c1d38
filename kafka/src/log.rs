//! A stage's log in Apache Kafka: [`KafkaLog`].

use std::cell::{Cell, OnceCell};
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::BaseProducer;
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::commit::add_offset;
use crate::config::Clients;
use crate::error_class::has_fatal_error;
use crate::monitor::{ClientMonitor, StageConsumer};
use crate::reader::Reader;
use crate::record::{KafkaRecord, base_record};
use crate::waits::{CALL_TIMEOUT, flush};
use rivulet_core::error::Error;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::log::{
    Event, Fault, Log, OffsetAndMetadata, ProducerRecord, RestoreCallback, TopicPartition,
    Watermarks,
};
use rivulet_core::metrics::TroubleKind;
use rivulet_core::shutdown::Shutdown;
use rivulet_native::{RecordQueue, RecordSender};

mod commit;
mod consumer;
mod open;
mod producer;
mod topics;

/// How long requests for the committed offsets may fail before the transaction is aborted.
const OFFSETS_TIMEOUT: Duration = Duration::from_secs(10);
/// How many records are sent between two polls of the producer.
const STRIDE: u32 = 1000;
/// How long to wait for room in a queue that is full.
const A_MOMENT: Duration = Duration::from_millis(5);
const HAS_CONSUMER: &str = "only a stage with inputs is assigned partitions";

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
    consumer: Option<StageConsumer>,
    /// The records of the assigned partitions, while the consumer reads them.
    records: Option<RecordQueue<ClientMonitor>>,
    /// Whether the consumer was fenced while it was not a member of its group, so that it must be
    /// replaced.
    is_fenced: Cell<bool>,
    /// Created at the first use for a sink, which may never send a dead letter.
    producer: OnceCell<RecordSender<ClientMonitor>>,
    /// A reader that connects early, for the first use.
    reader: Option<Reader>,
    in_transaction: Cell<bool>,
    /// Whether the last commit may have been repeated, so that a copy of it can still arrive.
    may_have_repeated: Cell<bool>,
    sent_since_poll: Cell<u32>,
}

impl KafkaLog {
    fn reader(&mut self) -> Result<Reader, Fault> {
        self.reader.take().map_or_else(
            || Reader::new(&self.clients, &self.monitor, &self.shutdown),
            Ok,
        )
    }
}

impl Log for KafkaLog {
    type Record<'a> = KafkaRecord<'a>;

    fn poll(&self, wait: Duration) -> Result<Event<KafkaRecord<'_>>, Fault> {
        if let Some(event) = self.next_rebalance() {
            return Ok(event);
        }
        match &self.records {
            None => self.poll_consumer(wait)?,
            Some(records) => {
                if !records.has_next() {
                    self.poll_consumer(Duration::ZERO)?;
                    if let Some(event) = self.next_rebalance() {
                        return Ok(event);
                    }
                }
                match records.next(wait) {
                    Some(Ok(record)) => {
                        let topic = records.topic(&record);
                        return Ok(Event::Record(KafkaRecord::new(topic, record)));
                    }
                    Some(Err(code)) => {
                        self.consumer_error(KafkaError::MessageConsumption(code))?;
                    }
                    None => {}
                }
            }
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
        let list = self.list(
            from.iter()
                .map(|(partition, offset)| (*partition, Offset::Offset(*offset))),
        );
        let consumer = self.consumer.clone().expect(HAS_CONSUMER);
        let partitions = from.iter();
        let partitions = partitions.map(|(place, _)| (place.topic, place.partition));
        self.records = Some(RecordQueue::new(
            consumer.clone(),
            self.inputs.iter().map(String::as_str),
            partitions,
        ));
        let assigned = consumer.assign(&list);
        assigned.map_err(|error| Fault::Abortable(Error::new("assigning partitions", error)))
    }

    fn unassign(&mut self) -> Result<(), Fault> {
        self.drop_assignment()
    }

    fn send(&self, record: &ProducerRecord<'_>) -> Result<(), Fault> {
        self.begin()?;
        let producer = self.producer()?;
        self.sent_since_poll.set(self.sent_since_poll.get() + 1);
        if self.sent_since_poll.get() >= STRIDE {
            self.sent_since_poll.set(0);
            producer.poll(Duration::ZERO);
            self.check_delivery()?;
        }
        let mut waiting = None;
        loop {
            match queue(producer, record) {
                Ok(()) => return Ok(()),
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => {
                    let (_, last_probe) =
                        waiting.get_or_insert_with(|| (self.monitor.waiting(), Instant::now()));
                    flush(producer, A_MOMENT);
                    self.check_delivery()?;
                    self.probe_brokers();
                    if last_probe.elapsed() > CALL_TIMEOUT {
                        self.probe_topics()?;
                        *last_probe = Instant::now();
                    }
                    self.check_shutdown()?;
                }
                Err(error) => {
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
            let input = (self.inputs[*topic].as_str(), *partition);
            add_offset(&mut list, input, *offset, metadata).expect("offsets of records are valid");
        }
        match self.guarantee {
            Guarantee::ExactlyOnce => self.commit_transaction(&list)?,
            Guarantee::AtLeastOnce => self.commit_offsets(&list)?,
        }
        self.missing_since.set(None);
        self.monitor.broker_reachable();
        self.monitor.solved(TroubleKind::Topic);
        self.monitor.solved(TroubleKind::Coordinator);
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
        self.producer = OnceCell::from(RecordSender::new(producer));
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
        let _waiting = self.monitor.waiting();
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
                from.push((partition.partition, offset));
            }
            if !reader.is_at_end(name, &from)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Queues a record. Headers are rare: only dead letters have them.
fn queue(
    producer: &RecordSender<ClientMonitor>,
    record: &ProducerRecord<'_>,
) -> Result<(), KafkaError> {
    if !record.headers.is_empty() {
        let sent = BaseProducer::send(producer, base_record(record));
        return sent.map_err(|(error, _)| error);
    }
    let ProducerRecord {
        topic,
        partition,
        timestamp,
        key,
        value,
        ..
    } = *record;
    producer
        .send(topic, partition, timestamp, key, value)
        .map_err(KafkaError::MessageProduction)
}
