//! Reads topics from given offsets to their ends, without a consumer group.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::metadata::Metadata;

use crate::committed::{self, NO_PROGRESS, OPEN_TRANSACTION, Patience, Span, SpanProgress};
use crate::config::Clients;
use crate::monitor::{ClientMonitor, StageConsumer};
use crate::waits::{CALL_TIMEOUT, TOPIC_GRACE, close};
use rivulet_core::error::{Error, Kind};
use rivulet_core::log::{Fault, RestoreCallback, Watermarks};
use rivulet_core::reminder::{Reminder, lasting};
use rivulet_core::shutdown::Shutdown;

/// The pause between two looks at an open transaction. It delays a restart.
const LOOK: Duration = Duration::from_millis(5);
/// How often a long restore logs its progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the consumer in its group while the reader reads or waits. It fails if the partitions are
/// revoked.
pub(super) type KeepAlive<'k> = &'k dyn Fn() -> Result<(), Fault>;

pub(super) struct Reader {
    /// Reads uncommitted. Both clients are `Some` until the reader is dropped.
    observer: Option<StageConsumer>,
    /// Reads committed.
    committed: Option<StageConsumer>,
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

    fn patience<'r>(&'r self, keep_alive: KeepAlive<'r>) -> StagePatience<'r> {
        StagePatience {
            reader: self,
            keep_alive,
            missing_since: None,
            reminder: Reminder::new(),
            last_logged: Instant::now(),
            total: 0,
        }
    }

    /// See [`Log::restore`](rivulet_core::log::Log::restore).
    pub(super) fn restore(
        &self,
        topic: &str,
        partitions: &[i32],
        each: RestoreCallback<'_>,
        keep_alive: KeepAlive<'_>,
    ) -> Result<(), Fault> {
        let _waiting = self.monitor.waiting();
        let mut patience = self.patience(keep_alive);
        let mut spans = Vec::new();
        for &partition in partitions {
            // The end of all records, also of those whose transaction is still open.
            let (low, high) =
                self.fetch_watermarks(self.observer(), topic, partition, keep_alive)?;
            if low == high {
                continue;
            }
            let client = self.committed();
            committed::wait_until_stable(client, topic, partition, high, &mut patience)?;
            patience.total += high - low;
            spans.push(Span {
                partition,
                first: None,
                end: i64::MAX,
            });
        }
        let mut each = |record: &BorrowedMessage<'_>| {
            let key = record.key().unwrap_or_default();
            each(record.partition(), key, record.payload());
            ControlFlow::Continue(())
        };
        committed::read(self.committed(), topic, &spans, &mut each, &mut patience)
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
    pub(super) fn is_at_end(
        &self,
        topic: &str,
        from: &[(i32, Option<i64>)],
    ) -> Result<bool, Fault> {
        let _waiting = self.monitor.waiting();
        let mut patience = self.patience(&|| Ok(()));
        let mut spans = Vec::new();
        for (partition, from) in from {
            let (low, high) =
                self.fetch_watermarks(self.committed(), topic, *partition, &|| Ok(()))?;
            let at_end = from.unwrap_or(low) >= high;
            // The remaining offsets may be transaction markers. Only reading them shows whether
            // there is a record.
            if !at_end {
                patience.total += high - low;
                spans.push(Span {
                    partition: *partition,
                    first: *from,
                    end: i64::MAX,
                });
            }
        }
        let mut found = false;
        let mut each = |_: &BorrowedMessage<'_>| {
            found = true;
            ControlFlow::Break(())
        };
        committed::read(self.committed(), topic, &spans, &mut each, &mut patience)?;
        Ok(!found)
    }

    fn fetch_watermarks(
        &self,
        client: &BaseConsumer<ClientMonitor>,
        topic: &str,
        partition: i32,
        keep_alive: KeepAlive<'_>,
    ) -> Result<(i64, i64), Fault> {
        let mut patience = self.patience(keep_alive);
        let watermarks = committed::watermarks(client, topic, partition, &mut patience)?;
        self.monitor.broker_reachable();
        Ok(watermarks)
    }
}

/// A stage waits for as long as it takes, unless it is asked to stop or something is missing.
struct StagePatience<'r> {
    reader: &'r Reader,
    keep_alive: KeepAlive<'r>,
    /// When the partition was first found missing, if it is.
    missing_since: Option<Instant>,
    reminder: Reminder<()>,
    last_logged: Instant,
    /// How many offsets there are to read.
    total: i64,
}

impl StagePatience<'_> {
    fn check(&self) -> Result<(), Fault> {
        self.reader.shutdown.check()?;
        (self.keep_alive)()
    }
}

impl Patience for StagePatience<'_> {
    type Error = Fault;

    fn request_timeout(&self, _: Duration) -> Duration {
        CALL_TIMEOUT
    }

    fn watermarks_failed(
        &mut self,
        topic: &str,
        partition: i32,
        error: KafkaError,
        metadata: Option<Metadata>,
        _: Duration,
    ) -> Result<(), Fault> {
        if metadata.is_some_and(|metadata| lacks(&metadata, partition)) {
            let since = *self.missing_since.get_or_insert_with(Instant::now);
            if since.elapsed() > TOPIC_GRACE {
                let error = Error::new(
                    format!("fetching the watermarks of {topic}"),
                    format!("it has no partition {partition}"),
                )
                .of_kind(Kind::Missing);
                return Err(Fault::Fatal(error.help(
                    "it needs as many partitions as the stage's input: `rivulet topics describe` \
                     compares the cluster with the file",
                )));
            }
        } else {
            self.missing_since = None;
        }
        // A new client may not know the partition yet although its broker answers.
        if !is_unknown_partition(&error) {
            self.reader.monitor.broker_unreachable(&format!(
                "fetching the watermarks of {topic} [{partition}]: {error}"
            ));
        }
        self.check()
    }

    fn transaction_is_open(
        &mut self,
        topic: &str,
        partition: i32,
        _: i64,
        waited: Duration,
    ) -> Result<(), Fault> {
        if waited > OPEN_TRANSACTION {
            let doing = format!("restoring from {topic} [{partition}]");
            let error = Error::new(doing, "a transaction in it stays open")
                .help(
                    "another instance of the stage holds it; stop that instance, or find it with \
                     kafka-transactions.sh --find-hanging",
                )
                .of_kind(Kind::Conflict);
            return Err(Fault::Fatal(error));
        }
        if waited > CALL_TIMEOUT
            && let Some(lasted) = self.reminder.due(&(), Instant::now())
        {
            tracing::info!(
                topic,
                partition,
                "waiting for an open transaction to end{}",
                lasting(lasted)
            );
        }
        self.reader.monitor.broker_reachable();
        self.check()?;
        std::thread::sleep(LOOK);
        Ok(())
    }

    fn read_failed(&mut self, _: &str, error: KafkaError) -> Result<(), Fault> {
        self.reader.monitor.client_error(&error);
        Ok(())
    }

    fn reading(&mut self, topic: &str, progress: &SpanProgress) -> Result<(), Fault> {
        self.check()?;
        if self.last_logged.elapsed() > PROGRESS_INTERVAL {
            self.last_logged = Instant::now();
            let (read, total) = (progress.read, self.total);
            tracing::info!(topic, "read {read} of at most {total} records");
        }
        if progress.last_progress.elapsed() > NO_PROGRESS {
            let cause = format!(
                "no records for {} s from partitions {:?}",
                NO_PROGRESS.as_secs(),
                progress.partitions
            );
            let doing = format!("reading {topic} to the end");
            return Err(Fault::Abortable(Error::new(doing, cause)));
        }
        Ok(())
    }

    fn rejected(&self, topic: &str, error: KafkaError) -> Fault {
        Fault::Abortable(Error::new(format!("reading {topic}"), error))
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
