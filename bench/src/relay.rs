//! The upper limit for a stage: copies the bytes of each record from one topic to another, directly
//! on rdkafka, with the client settings and the commits of a stage.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use rivulet_core::guarantee::Guarantee;
use rivulet_core::stage::CommitPolicy;

/// Copy records from one topic to another until killed
#[derive(Parser)]
struct Args {
    /// The brokers
    #[arg(long)]
    brokers: String,
    /// The topic to read, with one partition
    #[arg(long)]
    from: String,
    /// The topic to write
    #[arg(long)]
    to: String,
    /// The consumer group
    #[arg(long)]
    group: String,
    /// The guarantee
    #[arg(long)]
    guarantee: Guarantee,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn client<T: FromClientConfig>(args: &Args, properties: &[(&str, &str)]) -> KafkaResult<T> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &args.brokers);
    for (name, value) in properties {
        config.set(*name, *value);
    }
    T::from_config(&config)
}

fn run(args: &Args) -> KafkaResult<()> {
    let in_transactions = args.guarantee == Guarantee::ExactlyOnce;
    let mut properties = vec![
        ("queue.buffering.max.kbytes", "8192"),
        ("linger.ms", "2"),
        ("retry.backoff.ms", "2"),
        ("partitioner", "murmur2_random"),
        ("enable.idempotence", "true"),
        ("delivery.report.only.error", "true"),
    ];
    if in_transactions {
        properties.push(("transactional.id", &args.group));
    }
    let producer: BaseProducer = client(args, &properties)?;
    if in_transactions {
        producer.init_transactions(Duration::from_secs(30))?;
    }
    let consumer: BaseConsumer = client(
        args,
        &[
            ("group.id", &args.group),
            ("queued.max.messages.kbytes", "1024"),
            ("queued.min.messages", "1000"),
            ("fetch.message.max.bytes", "65536"),
            ("fetch.max.bytes", "262144"),
            ("message.max.bytes", "200000"),
            ("fetch.queue.backoff.ms", "2"),
            ("auto.offset.reset", "earliest"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("isolation.level", "read_committed"),
        ],
    )?;
    consumer.subscribe(&[&args.from])?;
    relay(args, in_transactions, &producer, &consumer)
}

fn relay(
    args: &Args,
    in_transactions: bool,
    producer: &BaseProducer,
    consumer: &BaseConsumer,
) -> KafkaResult<()> {
    let policy = CommitPolicy::default();
    let mut last_commit = Instant::now();
    let (mut next, mut uncommitted) = (0, 0);
    let mut wait = Duration::ZERO;
    loop {
        if let Some(message) = consumer.poll(wait) {
            let message = message?;
            wait = Duration::ZERO;
            if uncommitted == 0 && in_transactions {
                producer.begin_transaction()?;
            }
            copy(args, producer, &message)?;
            next = message.offset() + 1;
            uncommitted += 1;
            if uncommitted % 64 != 0
                || uncommitted < policy.records && last_commit.elapsed() < policy.longest_interval
            {
                continue;
            }
        }
        if uncommitted == 0 {
            wait = Duration::from_millis(100);
            continue;
        }
        let early = policy.least_interval.saturating_sub(last_commit.elapsed());
        if uncommitted < policy.records && !early.is_zero() {
            wait = early;
            continue;
        }
        while producer.in_flight_count() > 0 {
            pause(producer);
        }
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&args.from, 0, Offset::Offset(next))?;
        if in_transactions {
            let group = consumer.group_metadata().ok_or(KafkaError::Canceled)?;
            producer.send_offsets_to_transaction(&offsets, &group, Duration::from_secs(30))?;
            producer.commit_transaction(Duration::from_secs(30))?;
        } else {
            consumer.commit(&offsets, CommitMode::Sync)?;
        }
        uncommitted = 0;
        last_commit = Instant::now();
    }
}

/// As in a stage: the producer's `poll` would busy-wait during the last millisecond.
fn pause(producer: &BaseProducer) {
    producer.poll(Duration::ZERO);
    std::thread::sleep(Duration::from_micros(200));
}

fn copy(args: &Args, producer: &BaseProducer, message: &impl Message) -> KafkaResult<()> {
    let mut record = BaseRecord::<[u8], [u8]>::to(&args.to);
    (record.key, record.payload) = (message.key(), message.payload());
    record.timestamp = message.timestamp().to_millis();
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                pause(producer);
            }
            Err((error, _)) => return Err(error),
        }
    }
}
