//! `relay-batch`: the floor under a stage on librdkafka. It takes records in batches, sends to
//! topics that it has looked up once, and does a step with rivulet's own format and operators.
//!
//! rdkafka has neither call, so this file has unsafe code.

use std::ffi::{CString, c_int, c_void};
use std::process::ExitCode;
use std::ptr;
use std::time::Duration;

use clap::Parser;
use rdkafka::Message;
use rdkafka::bindings::{self as sys, rd_kafka_resp_err_t as Code};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rivulet_core::log::ConsumerRecord;
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
    let changelog = changelog.map(|name| Target::new(&clients.producer, &name));
    let changelog = changelog.transpose()?;
    let mut relay = Relay {
        clients: &clients,
        task,
        output: Target::new(&clients.producer, &args.to)?,
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
    output: Target<'c>,
    changelog: Option<Target<'c>>,
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
        let send = |key: &[u8], value: &[u8]| self.output.send(key, value, record.timestamp);
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
            let send = |key: &[u8], value: &[u8]| changelog.send(key, value, 0);
            self.task.changed(send).map_err(RelayError::Record)?;
        }
        self.clients.commit(&self.next, flush)?;
        self.clock.committed();
        Ok(())
    }
}

/// Waits until all that was sent is acknowledged, without lingering. rdkafka's own flush looks only
/// every tenth of a second.
fn flush(producer: &BaseProducer) -> KafkaResult<()> {
    let wait = c_int::try_from(PATIENCE.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the client is valid, and any thread may call this function of it.
    match unsafe { sys::rd_kafka_flush(producer.client().native_ptr(), wait) } {
        Code::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(KafkaError::Flush(code.into())),
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

/// A topic to send to, looked up once.
struct Target<'p> {
    producer: &'p BaseProducer,
    topic: *mut sys::rd_kafka_topic_t,
}

impl<'p> Target<'p> {
    fn new(producer: &'p BaseProducer, name: &str) -> Result<Self, RelayError> {
        let name = CString::new(name).map_err(|error| RelayError::Record(error.to_string()))?;
        let client = producer.client().native_ptr();
        // SAFETY: the client is valid, and the name ends with a zero and is copied.
        let topic = unsafe { sys::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
        if topic.is_null() {
            return Err(RelayError::Record("the topic cannot be looked up".into()));
        }
        Ok(Target { producer, topic })
    }

    /// Sends a record. A timestamp of 0 is now.
    fn send(&self, key: &[u8], value: &[u8], timestamp: i64) -> Result<(), String> {
        const END: c_int = sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END as c_int;
        const TOPIC: c_int = sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT as c_int;
        const FLAGS: c_int = sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS as c_int;
        const VALUE: c_int = sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE as c_int;
        const KEY: c_int = sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY as c_int;
        const TIMESTAMP: c_int = sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP as c_int;
        loop {
            // SAFETY: each tag is followed by what librdkafka takes after it, the last one is the
            // end, and librdkafka copies the key and the value.
            let code = unsafe {
                sys::rd_kafka_producev(
                    self.producer.client().native_ptr(),
                    TOPIC,
                    self.topic,
                    FLAGS,
                    sys::RD_KAFKA_MSG_F_COPY,
                    VALUE,
                    value.as_ptr().cast::<c_void>(),
                    value.len(),
                    KEY,
                    key.as_ptr().cast::<c_void>(),
                    key.len(),
                    TIMESTAMP,
                    timestamp,
                    END,
                )
            };
            match code {
                Code::RD_KAFKA_RESP_ERR_NO_ERROR => return Ok(()),
                Code::RD_KAFKA_RESP_ERR__QUEUE_FULL => pause(self.producer),
                code => return Err(RDKafkaErrorCode::from(code).to_string()),
            }
        }
    }
}
