//! `relay-batch`: the floor under a stage on librdkafka. It takes records in batches, sends to
//! topics that it has looked up once, and does a step with rivulet's own format and operators.
//!
//! It reads the consumer's own queue, without a queue for each assignment, so it has unsafe code.

use std::ffi::{c_int, c_void};
use std::process::ExitCode;
use std::ptr;
use std::time::Duration;

use clap::Parser;
use rdkafka::Message;
use rdkafka::bindings::{self as sys, rd_kafka_resp_err_t as Code};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer};
use rivulet_core::log::ConsumerRecord;
use rivulet_native::RecordSender;
use rivulet_relays::step::RelayTask;
use rivulet_relays::{Clients, CommitClock, PATIENCE, RelayArgs, RelayError, RelayStep, pause};

/// How many records are taken at once.
const BATCH: usize = 1000;

fn main() -> ExitCode {
    match run(&RelayArgs::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay-batch: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &RelayArgs) -> Result<(), RelayError> {
    let task = RelayTask::new(args.step).map_err(RelayError::Record)?;
    let clients = Clients::new(args)?;
    let changelog = format!("{}-changelog", args.name);
    let changelog = (args.step == RelayStep::Ewma).then_some(changelog);
    let mut relay = Relay {
        clients: &clients,
        task,
        sender: RecordSender::new(clients.producer.clone()),
        output: args.to.clone(),
        changelog,
        next: Vec::new(),
        clock: CommitClock::new(args),
    };
    relay.join()?;
    let mut batch = Batch::new(&clients);
    loop {
        let mut count = batch.take(Duration::ZERO, BATCH);
        if count == 0 {
            let wait = relay.clock.wait();
            if wait.is_zero() {
                relay.commit()?;
                continue;
            }
            // A batch waits until it is full, so one record is waited for.
            count = batch.take(wait, 1);
        }
        batch.process(count, &mut relay)?;
        if relay.clock.is_due() {
            relay.commit()?;
        }
    }
}

/// A relay that runs.
struct Relay<'c> {
    clients: &'c Clients,
    task: RelayTask,
    sender: RecordSender<DefaultProducerContext>,
    output: String,
    changelog: Option<String>,
    /// The offsets to go on from, by partition.
    next: Vec<Option<i64>>,
    clock: CommitClock,
}

impl Relay<'_> {
    /// Waits for the group's assignment. It comes as an event, which rdkafka handles.
    fn join(&mut self) -> Result<(), RelayError> {
        let consumer = &self.clients.consumer;
        while consumer.assignment()?.count() == 0 {
            // The first record may come with it.
            if let Some(message) = consumer.poll(Duration::from_millis(10)) {
                let message = message?;
                self.process(&ConsumerRecord {
                    topic: 0,
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp: message.timestamp().to_millis().unwrap_or_default(),
                    key: message.key(),
                    value: message.payload(),
                    headers: &(),
                })?;
            }
        }
        Ok(())
    }

    fn process(&mut self, record: &ConsumerRecord<'_>) -> Result<(), RelayError> {
        if self.clock.is_clean() {
            self.clients.begin()?;
        }
        let time = Some(record.timestamp);
        let send = |key: &[u8], value: &[u8]| send(&self.sender, &self.output, key, value, time);
        self.task
            .process(record, send)
            .map_err(RelayError::Record)?;
        let partition = usize::try_from(record.partition).unwrap_or_default();
        if self.next.len() <= partition {
            self.next.resize(partition + 1, None);
        }
        self.next[partition] = Some(record.offset + 1);
        self.clock.add(1);
        Ok(())
    }

    fn commit(&mut self) -> Result<(), RelayError> {
        if let Some(changelog) = &self.changelog {
            let send = |key: &[u8], value: &[u8]| send(&self.sender, changelog, key, value, None);
            self.task.changed(send).map_err(RelayError::Record)?;
        }
        self.clients.commit(&self.next, flush)?;
        self.clock.committed();
        Ok(())
    }
}

/// Sends a record. Without a timestamp it has that of now.
fn send(
    sender: &RecordSender<DefaultProducerContext>,
    topic: &str,
    key: &[u8],
    value: &[u8],
    timestamp: Option<i64>,
) -> Result<(), String> {
    loop {
        match sender.send(topic, None, timestamp, Some(key), Some(value)) {
            Err(RDKafkaErrorCode::QueueFull) => pause(sender),
            sent => return sent.map_err(|code| code.to_string()),
        }
    }
}

/// Waits until all that was sent is acknowledged, without lingering.
fn flush(producer: &BaseProducer) -> KafkaResult<()> {
    if rivulet_native::flush(producer.client(), PATIENCE) {
        Ok(())
    } else {
        Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut))
    }
}

/// Records as librdkafka passes them on.
struct Batch {
    queue: *mut sys::rd_kafka_queue_t,
    messages: Vec<*mut sys::rd_kafka_message_t>,
}

impl Batch {
    fn new(clients: &Clients) -> Self {
        let client = clients.consumer.client().native_ptr();
        // SAFETY: the consumer lives for as long as the process.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(client) };
        Batch {
            queue,
            messages: vec![ptr::null_mut(); BATCH],
        }
    }

    /// Takes up to `most` records, and waits at most `wait` for them.
    fn take(&mut self, wait: Duration, most: usize) -> usize {
        // Rounded up: a wait of less than a millisecond would be none.
        let wait = wait.as_micros().div_ceil(1000);
        let wait = c_int::try_from(wait).unwrap_or(c_int::MAX);
        let most = most.min(self.messages.len());
        // SAFETY: the queue is the consumer's, and there is room for `most` pointers.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(self.queue, wait, self.messages.as_mut_ptr(), most)
        };
        usize::try_from(count).unwrap_or_default()
    }

    /// Processes the first `count` records, and gives them back.
    fn process(&self, count: usize, relay: &mut Relay<'_>) -> Result<(), RelayError> {
        for message in &self.messages[..count] {
            let message = *message;
            // SAFETY: librdkafka has just returned the pointer, and it is given back below.
            let fields = unsafe { &*message };
            if fields.err != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(KafkaError::MessageConsumption(fields.err.into()).into());
            }
            // SAFETY: the record is valid, and the kind of its timestamp is not asked for.
            let timestamp = unsafe { sys::rd_kafka_message_timestamp(message, ptr::null_mut()) };
            // SAFETY: librdkafka returns each length with its pointer, and keeps both for as long
            // as the record.
            let (key, value) = unsafe {
                let value = bytes(fields.payload, fields.len);
                (bytes(fields.key, fields.key_len), value)
            };
            relay.process(&ConsumerRecord {
                topic: 0,
                partition: fields.partition,
                offset: fields.offset,
                timestamp,
                key,
                value,
                headers: &(),
            })?;
            // SAFETY: nothing refers to the record any more.
            unsafe { sys::rd_kafka_message_destroy(message) };
        }
        Ok(())
    }
}

/// The bytes of a key or a value; `None` if there are none.
///
/// # Safety
/// `start` is null, or points to `length` bytes that stay as they are for `'a`.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller says so.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), length) })
}
