//! Reads topics from a given place to their end, outside any group.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::config::Clients;
use super::monitor::ClientMonitor;
use super::{CALL, TOPIC_GRACE, close};
use crate::error::Error;
use crate::log::{Fault, RestoreCallback, Watermarks};
use crate::reminder::{Reminder, lasting};
use crate::shutdown::Shutdown;

/// How long a read may go without any progress before it is given up and tried again.
const NO_PROGRESS: Duration = Duration::from_secs(30);
/// How long an open transaction of somebody else is waited for: the broker ends it after its
/// `transaction.timeout.ms`, by default a minute.
const OPEN_TRANSACTION: Duration = Duration::from_secs(90);

/// How often a long restore tells how far it is.
const TELL: Duration = Duration::from_secs(1);

/// Keeps the stage's place in its group while it reads or waits.
///
/// # Errors
/// If there is no sense in going on.
pub(super) type KeepAlive<'k> = &'k dyn Fn() -> Result<(), Fault>;

pub(super) struct Reader {
    /// Sees everything, committed or not. Both are there until the reader goes.
    observer: Option<BaseConsumer<ClientMonitor>>,
    /// Reads what is committed.
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
    /// A reader that begins to connect.
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
            .expect("it is there until the reader goes")
    }

    fn committed(&self) -> &BaseConsumer<ClientMonitor> {
        self.committed
            .as_ref()
            .expect("it is there until the reader goes")
    }

    /// See [`Log::restore`](crate::log::Log::restore).
    pub(super) fn restore(
        &self,
        topic: &str,
        partitions: &[i32],
        each: RestoreCallback<'_>,
        keep: KeepAlive<'_>,
    ) -> Result<(), Fault> {
        let mut list = TopicPartitionList::new();
        let mut unread = BTreeMap::new();
        for &partition in partitions {
            // Everything up to here counts, also what is not yet known to be committed or aborted.
            let (low, high) = self.watermarks(self.observer(), topic, partition, keep)?;
            if low == high {
                continue;
            }
            self.wait_until_settled(topic, partition, high, keep)?;
            list.add_partition_offset(topic, partition, Offset::Beginning)
                .expect("the beginning is an offset");
            unread.insert(partition, high - low);
        }
        self.read(topic, &list, unread, each, keep)
    }

    /// See [`Log::watermarks`](crate::log::Log::watermarks).
    pub(super) fn extent(
        &self,
        topic: &str,
        partition: i32,
        keep: KeepAlive<'_>,
    ) -> Result<Watermarks, Fault> {
        let (start, end) = self.watermarks(self.observer(), topic, partition, keep)?;
        let metadata = loop {
            match self.observer().fetch_metadata(Some(topic), CALL) {
                Ok(metadata) => break metadata,
                Err(error) => self.monitor.broker_unreachable(&error.to_string()),
            }
            self.shutdown.check()?;
            keep()?;
        };
        let count = metadata
            .topics()
            .first()
            .map_or(0, |topic| topic.partitions().len());
        Ok(Watermarks {
            partition,
            low: start,
            high: end,
            partition_count: i32::try_from(count).unwrap_or(i32::MAX),
        })
    }

    /// Whether there is nothing to read from these offsets of a topic's partitions on.
    pub(super) fn is_at_end(&self, topic: &str, from: &[(i32, Offset)]) -> Result<bool, Fault> {
        let mut list = TopicPartitionList::new();
        let mut unread = BTreeMap::new();
        for (partition, from) in from {
            let (low, high) = self.watermarks(self.committed(), topic, *partition, &|| Ok(()))?;
            let at_end = match from {
                Offset::Offset(next) => *next >= high,
                _ => low == high,
            };
            // What is left may be no records but the marks of transactions, which no watermark
            // tells apart.
            if !at_end {
                list.add_partition_offset(topic, *partition, *from)
                    .map_err(|error| abortable(topic, &error))?;
                unread.insert(*partition, high - low);
            }
        }
        let mut found = false;
        self.read(
            topic,
            &list,
            unread,
            &mut |_, _, _| found = true,
            &|| Ok(()),
        )?;
        Ok(!found)
    }

    fn watermarks(
        &self,
        client: &BaseConsumer<ClientMonitor>,
        topic: &str,
        partition: i32,
        keep: KeepAlive<'_>,
    ) -> Result<(i64, i64), Fault> {
        let mut missing_since = None;
        loop {
            let error = match client.fetch_watermarks(topic, partition, CALL) {
                Ok(watermarks) => {
                    self.monitor.broker_reachable();
                    return Ok(watermarks);
                }
                Err(error) => error,
            };
            let _ = client.poll(Duration::ZERO);
            // The brokers are asked also because librdkafka goes on with the leader that it was
            // told of first.
            let metadata = client.fetch_metadata(Some(topic), CALL);
            if metadata.is_ok_and(|metadata| lacks(&metadata, partition)) {
                let since = *missing_since.get_or_insert_with(Instant::now);
                if since.elapsed() > TOPIC_GRACE {
                    let error = Error::new(
                        format!("asking for the end of {topic}"),
                        format!("it has no partition {partition}"),
                    );
                    return Err(Fault::Fatal(error.help(
                        "it needs as many partitions as the stage's input: `rivulet topics \
                         describe` compares the cluster with the file",
                    )));
                }
            } else {
                missing_since = None;
            }
            // A new client may not know the partition yet, though its broker answers.
            if !is_unknown_partition(&error) {
                self.monitor.broker_unreachable(&format!(
                    "asking for the end of {topic} [{partition}]: {error}"
                ));
            }
            self.shutdown.check()?;
            keep()?;
            // Some errors are answered at once, a missing leader for one.
            std::thread::sleep(CALL / 10);
        }
    }

    /// Waits until every transaction below `end` is committed or aborted: what a reader of
    /// committed records is shown before that may be a part of the whole.
    fn wait_until_settled(
        &self,
        topic: &str,
        partition: i32,
        end: i64,
        keep: KeepAlive<'_>,
    ) -> Result<(), Fault> {
        let start = Instant::now();
        let mut reminder = Reminder::new();
        while self.watermarks(self.committed(), topic, partition, keep)?.1 < end {
            if start.elapsed() > OPEN_TRANSACTION {
                let doing = format!("restoring from {topic} [{partition}]");
                let error = Error::new(doing, "a transaction in it stays open").help(
                    "another instance of the stage holds it; stop that instance, or find it with \
                     kafka-transactions.sh --find-hanging",
                );
                return Err(Fault::Fatal(error));
            }
            if start.elapsed() > CALL
                && let Some(lasted) = reminder.due(&(), Instant::now())
            {
                tracing::info!(
                    "waiting for an open transaction in {topic} [{partition}] to end{}",
                    lasting(lasted)
                );
            }
            self.shutdown.check()?;
            keep()?;
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Reads the listed partitions to their ends; `unread` has about how many records are in each.
    fn read(
        &self,
        topic: &str,
        list: &TopicPartitionList,
        mut unread: BTreeMap<i32, i64>,
        each: RestoreCallback<'_>,
        keep: KeepAlive<'_>,
    ) -> Result<(), Fault> {
        let reader = self.committed();
        reader
            .assign(list)
            .map_err(|error| Fault::Abortable(Error::new("assigning partitions to read", error)))?;
        let (mut progress, mut told, mut read) = (Instant::now(), Instant::now(), 0_i64);
        let all: i64 = unread.values().sum();
        while !unread.is_empty() {
            match reader.poll(Duration::from_millis(100)) {
                Some(Ok(record)) => {
                    each(
                        record.partition(),
                        record.key().unwrap_or_default(),
                        record.payload(),
                    );
                    progress = Instant::now();
                    read += 1;
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    unread.remove(&partition);
                    progress = Instant::now();
                }
                Some(Err(error)) => self.monitor.client_error(&error),
                None => {}
            }
            self.shutdown.check()?;
            keep()?;
            if told.elapsed() > TELL {
                told = Instant::now();
                tracing::info!("reading {topic}: {read} of at most {all} records");
            }
            if progress.elapsed() > NO_PROGRESS {
                let cause = format!(
                    "nothing came for {} s from partitions {:?}",
                    NO_PROGRESS.as_secs(),
                    unread.keys()
                );
                return Err(Fault::Abortable(Error::new(
                    format!("reading {topic} to the end"),
                    cause,
                )));
            }
        }
        reader
            .unassign()
            .map_err(|error| Fault::Abortable(Error::new("ending to read", error)))
    }
}

fn is_unknown_partition(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::UnknownTopicOrPartition)
    )
}

/// Whether a topic is not there, or has too few partitions to have this one.
fn lacks(metadata: &Metadata, partition: i32) -> bool {
    metadata.topics().first().is_some_and(|topic| {
        let is_missing = |error| {
            matches!(
                RDKafkaErrorCode::from(error),
                RDKafkaErrorCode::UnknownTopicOrPartition
            )
        };
        topic.error().is_none_or(is_missing)
            && topic
                .partitions()
                .iter()
                .all(|known| known.id() != partition)
    })
}

fn abortable(topic: &str, error: &KafkaError) -> Fault {
    Fault::Abortable(Error::new(format!("reading {topic}"), error))
}
