//! What both relays share: the command line, the clients, and when they commit.
#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use rdkafka::config::FromClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rivulet_core::guarantee::Guarantee;

pub mod step;

/// How long a call to the brokers may take.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// A commit holds at most some more records than this.
const RECORDS: u64 = 20_000;
/// With nothing left to read, a commit comes no sooner than this after the last one.
const LEAST_INTERVAL: Duration = Duration::from_millis(20);

/// Copy records from one topic to another until killed
#[derive(Parser)]
pub struct RelayArgs {
    /// The brokers
    #[arg(long)]
    pub brokers: String,
    /// The consumer group, and the beginning of the names of its own topics
    #[arg(long)]
    pub name: String,
    /// The topic to read, with 1 to 16 partitions
    #[arg(long)]
    pub from: String,
    /// The topic to write
    #[arg(long)]
    pub to: String,
    /// What happens to a record
    #[arg(long)]
    pub step: RelayStep,
    /// The guarantee
    #[arg(long)]
    pub guarantee: Guarantee,
    /// With work uncommitted, it commits at the latest after this, in milliseconds
    #[arg(long, default_value_t = 100)]
    pub commit_ms: u64,
}

/// What a relay does with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayStep {
    /// Its bytes stay as they are.
    Copy,
    /// From Celsius to Fahrenheit.
    Convert,
    /// The exponentially weighted moving average of its sensor.
    Ewma,
}

impl FromStr for RelayStep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "copy" => Ok(RelayStep::Copy),
            "convert" => Ok(RelayStep::Convert),
            "ewma" => Ok(RelayStep::Ewma),
            _ => Err("a relay can copy, convert or ewma".to_owned()),
        }
    }
}

/// A consumer and a producer with the settings of a stage.
pub struct Clients {
    /// Has joined the group.
    pub consumer: BaseConsumer,
    /// Has fenced its predecessor.
    pub producer: Arc<BaseProducer>,
    from: String,
    in_transactions: bool,
}

impl Clients {
    /// Connects.
    ///
    /// # Errors
    /// What the brokers or the client say.
    pub fn new(args: &RelayArgs) -> KafkaResult<Self> {
        let in_transactions = args.guarantee == Guarantee::ExactlyOnce;
        let mut properties = vec![
            ("queue.buffering.max.kbytes", "8192"),
            ("linger.ms", "2"),
            ("batch.size", "262144"),
            ("retry.backoff.ms", "2"),
            ("partitioner", "murmur2_random"),
            ("enable.idempotence", "true"),
            ("delivery.report.only.error", "true"),
        ];
        if in_transactions {
            properties.push(("transactional.id", &args.name));
        }
        let producer: BaseProducer = client(args, &properties)?;
        if in_transactions {
            producer.init_transactions(PATIENCE)?;
        }
        let consumer: BaseConsumer = client(
            args,
            &[
                ("group.id", &args.name),
                ("group.instance.id", &args.name),
                ("queued.max.messages.kbytes", "1024"),
                ("queued.min.messages", "3000"),
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
        Ok(Clients {
            consumer,
            producer: Arc::new(producer),
            from: args.from.clone(),
            in_transactions,
        })
    }

    /// Begins a transaction, unless the guarantee needs none.
    ///
    /// # Errors
    /// What the client says.
    pub fn begin(&self) -> KafkaResult<()> {
        if self.in_transactions {
            self.producer.begin_transaction()?;
        }
        Ok(())
    }

    /// Commits what was sent, and the offsets to go on from: first the offsets, then `flush`, then
    /// the transaction. Without a transaction the offsets are the commit, and come last.
    ///
    /// # Errors
    /// What the brokers say.
    pub fn commit(
        &self,
        next: &[Option<i64>],
        flush: impl FnOnce(&BaseProducer) -> KafkaResult<()>,
    ) -> KafkaResult<()> {
        let mut offsets = TopicPartitionList::new();
        for (next, partition) in next.iter().zip(0..) {
            if let Some(next) = next {
                offsets.add_partition_offset(&self.from, partition, Offset::Offset(*next))?;
            }
        }
        if self.in_transactions {
            let group = self.consumer.group_metadata().ok_or(KafkaError::Canceled)?;
            self.producer
                .send_offsets_to_transaction(&offsets, &group, PATIENCE)?;
            flush(&self.producer)?;
            self.producer.commit_transaction(PATIENCE)
        } else {
            flush(&self.producer)?;
            self.consumer.commit(&offsets, CommitMode::Sync)
        }
    }
}

fn client<T: FromClientConfig>(args: &RelayArgs, properties: &[(&str, &str)]) -> KafkaResult<T> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &args.brokers);
    for (name, value) in properties {
        config.set(*name, *value);
    }
    T::from_config(&config)
}

/// Waits for room in the producer's queue. Its `poll` would busy-wait during the last millisecond.
pub fn pause(producer: &BaseProducer) {
    producer.poll(Duration::ZERO);
    std::thread::sleep(Duration::from_micros(200));
}

/// When a relay commits.
pub struct CommitClock {
    longest_interval: Duration,
    last_commit: Instant,
    uncommitted: u64,
}

impl CommitClock {
    /// It starts as if there was a commit now.
    #[must_use]
    pub fn new(args: &RelayArgs) -> Self {
        CommitClock {
            longest_interval: Duration::from_millis(args.commit_ms),
            last_commit: Instant::now(),
            uncommitted: 0,
        }
    }

    /// These records were processed.
    pub fn add(&mut self, records: u64) {
        self.uncommitted += records;
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.uncommitted == 0
    }

    /// Whether to commit although more may be left to read.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.uncommitted >= RECORDS
            || !self.is_clean() && self.last_commit.elapsed() >= self.longest_interval
    }

    /// How long to wait for more now that nothing is left to read: not at all if a commit is due.
    #[must_use]
    pub fn wait(&self) -> Duration {
        if self.is_clean() {
            return Duration::from_millis(100);
        }
        let interval = LEAST_INTERVAL.min(self.longest_interval);
        interval.saturating_sub(self.last_commit.elapsed())
    }

    /// Everything is committed.
    pub fn committed(&mut self) {
        self.last_commit = Instant::now();
        self.uncommitted = 0;
    }
}

/// Why a relay ends.
#[derive(Debug)]
pub enum RelayError {
    /// What the client says.
    Kafka(KafkaError),
    /// A record that it cannot process.
    Record(String),
}

impl std::error::Error for RelayError {}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RelayError::Kafka(error) => error.fmt(f),
            RelayError::Record(error) => error.fmt(f),
        }
    }
}

impl From<KafkaError> for RelayError {
    fn from(error: KafkaError) -> Self {
        RelayError::Kafka(error)
    }
}
