//! Reads topics from given offsets to their ends, without a consumer group.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::config::Clients;
use crate::monitor::ClientMonitor;
use crate::waits::{CALL_TIMEOUT, TOPIC_GRACE, close};
use rivulet_core::error::{Error, Kind};
use rivulet_core::log::{Fault, RestoreCallback, Watermarks};
use rivulet_core::reminder::{Reminder, lasting};
use rivulet_core::shutdown::Shutdown;

/// How long a read may make no progress before it fails and is retried.
const NO_PROGRESS: Duration = Duration::from_secs(30);
/// How long to wait for another producer's open transaction. The broker aborts it after its
/// `transaction.timeout.ms`, by default a minute.
const OPEN_TRANSACTION: Duration = Duration::from_secs(90);

/// How often a long restore logs its progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the consumer in its group while the reader reads or waits. It fails if the partitions are
/// revoked.
pub(super) type KeepAlive<'k> = &'k dyn Fn() -> Result<(), Fault>;

pub(super) struct Reader {
    /// Reads uncommitted. Both clients are `Some` until the reader is dropped.
    observer: Option<BaseConsumer<ClientMonitor>>,
    /// Reads committed.
    committed: Option<BaseConsumer<ClientMonitor>>,
    monitor: ClientMonitor,
    shutdown: Shutdown,
}

impl Drop for Reader {
    fn drop(&mut self) {
        close(
            (self.observer.take(), self.committed.take()),
            Duration::ZERO,
        );
    }
}

impl Reader {
    /// A reader that starts to connect.
    pub(super) fn new(
        clients: &Clients,
        monitor: &ClientMonitor,
        shutdown: &Shutdown,
    ) -> Result<Self, Fault> {
        Ok(Reader {
            observer: Some(clients.observer(monitor).map_err(Fault::Fatal)?),
            committed: Some(clients.reader(monitor).map_err(Fault::Fatal)?),
            monitor: monitor.clone(),
            shutdown: shutdown.clone(),
        })
    }

    fn observer(&self) -> &BaseConsumer<ClientMonitor> {
        self.observer
            .as_ref()
            .expect("it is there until the reader is dropped")
    }

    fn committed(&self) -> &BaseConsumer<ClientMonitor> {
        self.committed
            .as_ref()
            .expect("it is there until the reader is dropped")
    }

    /// See [`Log::restore`](rivulet_core::log::Log::restore).
    pub(super) fn restore(
        &self,
        topic: &str,
        partitions: &[i32],
        each: RestoreCallback<'_>,
        keep_alive: KeepAlive<'_>,
    ) -> Result<(), Fault> {
        let mut list = TopicPartitionList::new();
        let mut remaining = BTreeMap::new();
        for &partition in partitions {
            // The end of all records, also of those whose transaction is still open.
            let (low, high) =
                self.fetch_watermarks(self.observer(), topic, partition, keep_alive)?;
            if low == high {
                continue;
            }
            self.wait_until_settled(topic, partition, high, keep_alive)?;
            list.add_partition_offset(topic, partition, Offset::Beginning)
                .expect("the beginning is an offset");
            remaining.insert(partition, high - low);
        }
        self.read(topic, &list, remaining, each, keep_alive)
    }

    /// See [`Log::watermarks`](rivulet_core::log::Log::watermarks).
    pub(super) fn watermarks(
        &self,
        topic: &str,
        partition: i32,
        keep_alive: KeepAlive<'_>,
    ) -> Result<Watermarks, Fault> {
        let (low, high) = self.fetch_watermarks(self.observer(), topic, partition, keep_alive)?;
        let metadata = loop {
            match self.observer().fetch_metadata(Some(topic), CALL_TIMEOUT) {
                Ok(metadata) => break metadata,
                Err(error) => self.monitor.broker_unreachable(&error.to_string()),
            }
            self.shutdown.check()?;
            keep_alive()?;
        };
        let count = metadata
            .topics()
            .first()
            .map_or(0, |topic| topic.partitions().len());
        Ok(Watermarks {
            partition,
            low,
            high,
            partition_count: i32::try_from(count).unwrap_or(i32::MAX),
        })
    }

    /// Whether no record is left at or after these offsets of a topic's partitions.
    pub(super) fn is_at_end(&self, topic: &str, from: &[(i32, Offset)]) -> Result<bool, Fault> {
        let mut list = TopicPartitionList::new();
        let mut remaining = BTreeMap::new();
        for (partition, from) in from {
            let (low, high) =
                self.fetch_watermarks(self.committed(), topic, *partition, &|| Ok(()))?;
            let at_end = match from {
                Offset::Offset(next) => *next >= high,
                _ => low == high,
            };
            // The remaining offsets may be transaction markers. Only reading them shows whether
            // there is a record.
            if !at_end {
                list.add_partition_offset(topic, *partition, *from)
                    .map_err(|error| abortable(topic, &error))?;
                remaining.insert(*partition, high - low);
            }
        }
        let mut found = false;
        self.read(
            topic,
            &list,
            remaining,
            &mut |_, _, _| found = true,
            &|| Ok(()),
        )?;
        Ok(!found)
    }

    fn fetch_watermarks(
        &self,
        client: &BaseConsumer<ClientMonitor>,
        topic: &str,
        partition: i32,
        keep_alive: KeepAlive<'_>,
    ) -> Result<(i64, i64), Fault> {
        let mut missing_since = None;
        loop {
            let error = match client.fetch_watermarks(topic, partition, CALL_TIMEOUT) {
                Ok(watermarks) => {
                    self.monitor.broker_reachable();
                    return Ok(watermarks);
                }
                Err(error) => error,
            };
            let _ = client.poll(Duration::ZERO);
            // This also refreshes the leader, which librdkafka would not do by itself.
            let metadata = client.fetch_metadata(Some(topic), CALL_TIMEOUT);
            if metadata.is_ok_and(|metadata| lacks(&metadata, partition)) {
                let since = *missing_since.get_or_insert_with(Instant::now);
                if since.elapsed() > TOPIC_GRACE {
                    let error = Error::new(
                        format!("fetching the watermarks of {topic}"),
                        format!("it has no partition {partition}"),
                    )
                    .of_kind(Kind::Missing);
                    return Err(Fault::Fatal(error.help(
                        "it needs as many partitions as the stage's input: `rivulet topics \
                         describe` compares the cluster with the file",
                    )));
                }
            } else {
                missing_since = None;
            }
            // A new client may not know the partition yet although its broker answers.
            if !is_unknown_partition(&error) {
                self.monitor.broker_unreachable(&format!(
                    "fetching the watermarks of {topic} [{partition}]: {error}"
                ));
            }
            self.shutdown.check()?;
            keep_alive()?;
            // Some errors come at once, such as a missing leader.
            std::thread::sleep(CALL_TIMEOUT / 10);
        }
    }

    /// Waits until every transaction below `end` is committed or aborted. Until then the last
    /// stable offset hides the records after it.
    fn wait_until_settled(
        &self,
        topic: &str,
        partition: i32,
        end: i64,
        keep_alive: KeepAlive<'_>,
    ) -> Result<(), Fault> {
        let start = Instant::now();
        let mut reminder = Reminder::new();
        while self
            .fetch_watermarks(self.committed(), topic, partition, keep_alive)?
            .1
            < end
        {
            if start.elapsed() > OPEN_TRANSACTION {
                let doing = format!("restoring from {topic} [{partition}]");
                let error = Error::new(doing, "a transaction in it stays open").help(
                    "another instance of the stage holds it; stop that instance, or find it with \
                     kafka-transactions.sh --find-hanging",
                )
                .of_kind(Kind::Conflict);
                return Err(Fault::Fatal(error));
            }
            if start.elapsed() > CALL_TIMEOUT
                && let Some(lasted) = reminder.due(&(), Instant::now())
            {
                tracing::info!(
                    topic,
                    partition,
                    "waiting for an open transaction to end{}",
                    lasting(lasted)
                );
            }
            self.shutdown.check()?;
            keep_alive()?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Reads the listed partitions to their ends. `remaining` holds the number of offsets in each.
    fn read(
        &self,
        topic: &str,
        list: &TopicPartitionList,
        mut remaining: BTreeMap<i32, i64>,
        each: RestoreCallback<'_>,
        keep_alive: KeepAlive<'_>,
    ) -> Result<(), Fault> {
        let reader = self.committed();
        reader
            .assign(list)
            .map_err(|error| Fault::Abortable(Error::new("assigning partitions to read", error)))?;
        let (mut last_progress, mut last_logged) = (Instant::now(), Instant::now());
        let (mut read, total) = (0_i64, remaining.values().sum::<i64>());
        while !remaining.is_empty() {
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(record)) => {
                    each(
                        record.partition(),
                        record.key().unwrap_or_default(),
                        record.payload(),
                    );
                    last_progress = Instant::now();
                    read += 1;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    remaining.remove(&partition);
                    last_progress = Instant::now();
                }
                Some(Err(error)) => self.monitor.client_error(&error),
                None => {}
            }
            self.shutdown.check()?;
            keep_alive()?;
            if last_logged.elapsed() > PROGRESS_INTERVAL {
                last_logged = Instant::now();
                tracing::info!(topic, "read {read} of at most {total} records");
            }
            if last_progress.elapsed() > NO_PROGRESS {
                let cause = format!(
                    "no records for {} s from partitions {:?}",
                    NO_PROGRESS.as_secs(),
                    remaining.keys()
                );
                return Err(Fault::Abortable(Error::new(
                    format!("reading {topic} to the end"),
                    cause,
                )));
            }
        }
        reader
            .unassign()
            .map_err(|error| Fault::Abortable(Error::new("unassigning partitions", error)))
    }
}

fn is_unknown_partition(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::UnknownTopicOrPartition)
    )
}

/// Whether the topic does not exist or does not have this partition.
fn lacks(metadata: &Metadata, partition: i32) -> bool {
    let Some(topic) = metadata.topics().first() else {
        return false;
    };
    let error = topic.error().map(RDKafkaErrorCode::from);
    error.is_none_or(|error| error == RDKafkaErrorCode::UnknownTopicOrPartition)
        && topic
            .partitions()
            .iter()
            .all(|known| known.id() != partition)
}

fn abortable(topic: &str, error: &KafkaError) -> Fault {
    Fault::Abortable(Error::new(format!("reading {topic}"), error))
}
