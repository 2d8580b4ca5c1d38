//! A tool's consumer: it reads topics as any program may, alone or in a consumer group.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rivulet_core::error::{Error, Result};
use rivulet_core::log::TopicPartition;

use crate::cluster::Cluster;
use crate::commit::add_offset;
use crate::connection::Connection;
use crate::record::OwnedRecord;
use crate::tool_client::{self, DEADLINE, is_final, unreachable_error};
use crate::waits::close;

use self::rebalances::{Rebalance, Rebalances};

mod rebalances;

/// How long to wait if no partition has a record.
const PAUSE: Duration = Duration::from_millis(5);
/// How long it may take to leave the group.
const LEAVING: Duration = Duration::from_secs(5);

/// What a [`Consumer`] reads, and how.
#[derive(Debug, Clone, Default)]
pub struct ConsumerSettings {
    /// The topics.
    pub topics: Vec<String>,
    /// Only this partition of each topic. It excludes a group.
    pub partition: Option<i32>,
    /// The consumer group to join. Without one, all partitions are read and no offset is committed.
    pub group: Option<String>,
    /// The name of this client.
    pub client_id: String,
    /// Start after the last record where the group has no committed offset.
    pub latest: bool,
    /// Read uncommitted records, too.
    pub read_uncommitted: bool,
    /// Commit automatically what is [done](Consumer::done).
    pub auto_commit: bool,
}

impl ConsumerSettings {
    /// The partitions that are read, by all members together.
    ///
    /// # Errors
    /// If the brokers are unreachable, or a topic or the partition does not exist.
    pub fn partitions(&self, connection: &Connection) -> Result<Vec<TopicPartition>> {
        let inventory = Cluster::new(connection)?.inventory()?;
        let mut all = Vec::new();
        for (topic, name) in self.topics.iter().enumerate() {
            let doing = || format!("reading {name}");
            let found = inventory.topic(name, doing())?;
            let numbers = found.numbers(self.partition, doing())?;
            all.extend(numbers.map(|partition| TopicPartition { topic, partition }));
        }
        Ok(all)
    }
}

/// Where the reading of a partition starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// At the committed offset of the group.
    Committed,
    /// At the first record.
    Beginning,
    /// After the last record.
    End,
    /// At this offset.
    Offset(i64),
    /// At the first record with this timestamp or a later one, in milliseconds since the epoch.
    Timestamp(i64),
}

/// What [`Consumer::poll`] returns.
#[derive(Debug)]
pub enum ConsumerEvent {
    /// The next record.
    Record(OwnedRecord),
    /// These partitions are assigned. Nothing is read before [`Consumer::assign`].
    Assigned(Vec<TopicPartition>),
    /// All partitions are taken back.
    Revoked,
    /// All records of a partition were read.
    End(TopicPartition),
    /// Nothing happened in time.
    Nothing,
}

/// Reads topics as any program may.
pub struct Consumer {
    // Dropped first: a queue must not outlive the consumer that fills it.
    partitions: Vec<AssignedPartition>,
    /// `Some` until this is dropped.
    client: Option<Arc<BaseConsumer<Rebalances>>>,
    settings: ConsumerSettings,
    /// The index of the partition that is read.
    current: usize,
}

struct AssignedPartition {
    place: TopicPartition,
    queue: PartitionQueue<Rebalances>,
}

impl Consumer {
    /// Connects, and joins the group if there is one. Without a group it reads these `partitions`
    /// of the [settings](ConsumerSettings::partitions).
    ///
    /// # Errors
    /// If librdkafka rejects a property.
    pub fn new(
        connection: &Connection,
        settings: &ConsumerSettings,
        partitions: &[TopicPartition],
    ) -> Result<Self> {
        let mut config = tool_client::consumer_config(connection, "8192", "50");
        let reset = if settings.latest {
            "latest"
        } else {
            "earliest"
        };
        let isolation = if settings.read_uncommitted {
            "read_uncommitted"
        } else {
            "read_committed"
        };
        config
            .set("client.id", &settings.client_id)
            .set("auto.offset.reset", reset)
            .set("isolation.level", isolation)
            .set("enable.auto.commit", settings.auto_commit.to_string())
            .set("enable.auto.offset.store", "false");
        // Somebody waits for the partitions of a member that was killed. By default it keeps them
        // for 45 s. Brokers accept 6 s and more.
        let session = [
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "2000"),
        ];
        tool_client::set_defaults(&mut config, connection, session);
        // A cooperative assignment is told in parts.
        config.set("partition.assignment.strategy", "range,roundrobin");
        let assigned = match &settings.group {
            Some(group) => {
                config.set("group.id", group);
                None
            }
            None => Some(Rebalance::Assigned(
                partitions
                    .iter()
                    .map(|place| (settings.topics[place.topic].clone(), place.partition))
                    .collect(),
            )),
        };
        let consumer = Consumer {
            partitions: Vec::new(),
            client: Some(Arc::new(tool_client::client_with(&config, |errors| {
                Rebalances::new(errors, assigned)
            })?)),
            settings: settings.clone(),
            current: 0,
        };
        if settings.group.is_some() {
            let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
            let subscribed = consumer.client().subscribe(&topics);
            subscribed.map_err(|error| consumer.failed("subscribing to", &error))?;
        }
        Ok(consumer)
    }

    fn client(&self) -> &Arc<BaseConsumer<Rebalances>> {
        self.client.as_ref().expect("it is there until the drop")
    }

    fn failed(&self, doing: &str, error: &KafkaError) -> Error {
        let doing = format!("{doing} {}", self.settings.topics.join(", "));
        unreachable_error(doing, error, &self.client().context().errors)
    }

    /// The next event. Waits for at most `wait`.
    ///
    /// # Errors
    /// If a retry is pointless.
    pub fn poll(&mut self, wait: Duration) -> Result<ConsumerEvent> {
        for _ in 0..self.partitions.len() {
            let partition = &self.partitions[self.current];
            match partition.queue.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    let record = OwnedRecord::new(partition.place.topic, message.detach());
                    return Ok(ConsumerEvent::Record(record));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    return Ok(ConsumerEvent::End(partition.place));
                }
                Some(Err(error)) => self.check(&error)?,
                None => self.current = (self.current + 1) % self.partitions.len(),
            }
        }
        let wait = if self.partitions.is_empty() {
            wait
        } else {
            wait.min(PAUSE)
        };
        let found = self
            .client()
            .poll(wait)
            .map(|found| found.map(|message| message.detach()));
        match found {
            Some(Err(error)) => self.check(&error)?,
            // Records come to the queue of a partition once it has one.
            Some(Ok(message)) => {
                return Ok(self
                    .of_topic(message)
                    .map_or(ConsumerEvent::Nothing, ConsumerEvent::Record));
            }
            None => (),
        }
        let rebalance = self.client().context().next();
        Ok(match rebalance {
            None => ConsumerEvent::Nothing,
            Some(Rebalance::Revoked) => {
                self.partitions.clear();
                ConsumerEvent::Revoked
            }
            Some(Rebalance::Assigned(partitions)) => {
                let places = partitions.iter();
                let places = places.filter_map(|(topic, number)| self.place(topic, *number));
                ConsumerEvent::Assigned(places.collect())
            }
        })
    }

    fn of_topic(&self, message: OwnedMessage) -> Option<OwnedRecord> {
        let place = self.place(message.topic(), message.partition())?;
        Some(OwnedRecord::new(place.topic, message))
    }

    fn place(&self, topic: &str, partition: i32) -> Option<TopicPartition> {
        let mut topics = self.settings.topics.iter();
        let topic = topics.position(|known| known == topic)?;
        Some(TopicPartition { topic, partition })
    }

    fn check(&self, error: &KafkaError) -> Result<()> {
        if is_final(error) {
            return Err(self.failed("reading", error));
        }
        Ok(())
    }

    /// Starts to read assigned partitions, or holds them until [`resume`](Self::resume).
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub fn assign(&mut self, from: &[(TopicPartition, Position)], is_paused: bool) -> Result<()> {
        let failed = |error: KafkaError| self.failed("starting to read", &error);
        let mut list = TopicPartitionList::new();
        let mut by_time = TopicPartitionList::new();
        for (place, position) in from {
            let offset = match position {
                Position::Committed => Offset::Invalid,
                Position::Beginning => Offset::Beginning,
                Position::End => Offset::End,
                Position::Offset(offset) => Offset::Offset(*offset),
                Position::Timestamp(time) => {
                    let topic = &self.settings.topics[place.topic];
                    by_time
                        .add_partition_offset(topic, place.partition, Offset::Offset(*time))
                        .map_err(failed)?;
                    continue;
                }
            };
            let topic = &self.settings.topics[place.topic];
            list.add_partition_offset(topic, place.partition, offset)
                .map_err(failed)?;
        }
        if by_time.count() > 0 {
            let found = self
                .client()
                .offsets_for_times(by_time, DEADLINE)
                .map_err(failed)?;
            for element in found.elements() {
                element.error().map_err(failed)?;
                let (topic, partition) = (element.topic(), element.partition());
                list.add_partition_offset(topic, partition, element.offset())
                    .map_err(failed)?;
            }
        }
        self.client().assign(&list).map_err(failed)?;
        if is_paused {
            self.client().pause(&list).map_err(failed)?;
        }
        let mut partitions = Vec::new();
        for (place, _) in from {
            let topic = &self.settings.topics[place.topic];
            let queue = self.client().split_partition_queue(topic, place.partition);
            partitions.extend(queue.map(|queue| AssignedPartition {
                place: *place,
                queue,
            }));
        }
        (self.partitions, self.current) = (partitions, 0);
        Ok(())
    }

    /// Reads the partitions that were assigned and paused.
    ///
    /// # Errors
    /// If librdkafka refuses.
    pub fn resume(&self) -> Result<()> {
        let resumed = self.client().assignment();
        let resumed = resumed.and_then(|assigned| self.client().resume(&assigned));
        resumed.map_err(|error| self.failed("resuming to read", &error))
    }

    /// Gives all partitions back, after [`ConsumerEvent::Revoked`].
    ///
    /// # Errors
    /// If librdkafka refuses.
    pub fn unassign(&mut self) -> Result<()> {
        self.partitions.clear();
        self.client()
            .unassign()
            .map_err(|error| self.failed("giving back the partitions of", &error))
    }

    /// Notes that a record is done. Its offset is committed automatically, if that is set.
    ///
    /// # Errors
    /// If the partition is no longer assigned.
    pub fn done(&self, place: TopicPartition, offset: i64) -> Result<()> {
        if !self.settings.auto_commit {
            return Ok(());
        }
        let topic = &self.settings.topics[place.topic];
        let stored = self.client().store_offset(topic, place.partition, offset);
        stored.map_err(|error| self.failed("noting an offset of", &error))
    }

    /// Commits the offset after a record, and waits for the answer.
    ///
    /// # Errors
    /// If the brokers are unreachable, or the partition belongs to another member.
    pub fn commit(&self, place: TopicPartition, offset: i64) -> Result<()> {
        let failed = |error| self.failed("committing an offset of", &error);
        let mut list = TopicPartitionList::new();
        let topic = &self.settings.topics[place.topic];
        add_offset(&mut list, (topic, place.partition), offset + 1, "").map_err(failed)?;
        self.client()
            .commit(&list, CommitMode::Sync)
            .map_err(failed)
    }

    /// The last connection error, once after no broker could be reached.
    #[must_use]
    pub fn outage(&self) -> Option<String> {
        self.client().context().errors.take_outage()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.partitions.clear();
        if let Some(client) = self.client.take() {
            client.context().close();
            close(client, LEAVING);
        }
    }
}

#[cfg(test)]
mod tests;
