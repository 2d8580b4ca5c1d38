//! A connection to the cluster: its topics and groups.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::{Metadata, MetadataBroker};
use rivulet_core::error::{Error, Kind, Result};

use crate::connection::Connection;
use crate::member::FoundGroup;
use crate::tool_client::{self, DEADLINE, LastError, client, config, unreachable_error};

/// A connection for requests about topics and groups.
pub struct Cluster {
    // In no group: it never reads.
    pub(crate) consumer: BaseConsumer<LastError>,
    pub(crate) connection: Connection,
}

/// The brokers and topics of the cluster.
#[derive(Debug, Default)]
pub struct Inventory {
    /// How many brokers there are.
    pub brokers: usize,
    /// Their ids.
    pub nodes: Vec<i32>,
    /// Every topic by name.
    pub topics: BTreeMap<String, FoundTopic>,
}

/// A topic of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundTopic {
    /// How many partitions it has.
    pub partitions: i32,
    /// The lowest number of replicas of a partition.
    pub replication: i32,
    /// Whether every partition has a leader, so that it can be written and read.
    pub ready: bool,
}

impl Inventory {
    /// A topic that must exist. `doing` is what for.
    ///
    /// # Errors
    /// If there is no such topic.
    pub fn topic(&self, name: &str, doing: impl Into<String>) -> Result<&FoundTopic> {
        self.topics.get(name).ok_or_else(|| {
            Error::new(doing, "there is no such topic")
                .of_kind(Kind::Missing)
                .help(format!(
                    "create it with `rivulet topics create {name}`, or name the right brokers \
                     with --brokers"
                ))
        })
    }
}

impl FoundTopic {
    /// The numbers of its partitions: all, or `only` one, which must exist. `doing` is what for.
    ///
    /// # Errors
    /// If there is no such partition.
    pub fn numbers(&self, only: Option<i32>, doing: impl Into<String>) -> Result<Range<i32>> {
        let all = 0..self.partitions;
        match only {
            None => Ok(all),
            Some(partition) if all.contains(&partition) => Ok(partition..partition + 1),
            Some(partition) => {
                let last = self.partitions - 1;
                let cause = format!("it has no partition {partition}; the last one is {last}");
                Err(Error::new(doing, cause)
                    .of_kind(Kind::Missing)
                    .help(format!("give one from 0 to {last}")))
            }
        }
    }
}

impl Cluster {
    /// Sets up the client without a request.
    ///
    /// # Errors
    /// If librdkafka rejects a property.
    pub fn new(connection: &Connection) -> Result<Self> {
        Self::with_isolation(connection, "read_uncommitted")
    }

    /// As [`new`](Self::new), but a partition ends at its last stable offset instead of its high
    /// watermark: readers of committed records stop at the first open transaction.
    ///
    /// # Errors
    /// If librdkafka rejects a property.
    pub fn of_committed(connection: &Connection) -> Result<Self> {
        Self::with_isolation(connection, "read_committed")
    }

    fn with_isolation(connection: &Connection, level: &str) -> Result<Self> {
        let mut config = config(connection);
        config.set("isolation.level", level);
        config.remove("group.id");
        Ok(Cluster {
            consumer: client(&config)?,
            connection: connection.clone(),
        })
    }

    /// Requests the metadata of all topics. A request for a single topic could create it.
    ///
    /// # Errors
    /// If no broker answers in time.
    pub fn inventory(&self) -> Result<Inventory> {
        let metadata = self.metadata()?;
        let topics = metadata
            .topics()
            .iter()
            .filter(|topic| topic.error().is_none())
            .map(|topic| {
                let partitions = topic.partitions();
                let copies = partitions
                    .iter()
                    .map(|partition| count(partition.replicas().len()))
                    .min();
                let found = FoundTopic {
                    partitions: count(partitions.len()),
                    replication: copies.unwrap_or_default(),
                    ready: !partitions.is_empty()
                        && partitions.iter().all(|partition| partition.leader() >= 0),
                };
                (topic.name().to_owned(), found)
            });
        let nodes: Vec<i32> = metadata.brokers().iter().map(MetadataBroker::id).collect();
        Ok(Inventory {
            brokers: nodes.len(),
            nodes,
            topics: topics.collect(),
        })
    }

    /// The metadata of all brokers and topics.
    pub(crate) fn metadata(&self) -> Result<Metadata> {
        let doing = format!("asking {} for the topics", self.connection.brokers());
        tool_client::first_answer(&self.connection, &self.consumer, |wait| {
            self.consumer.fetch_metadata(None, wait)
        })
        .map_err(|error| self.unreachable_error(doing, &error))
    }

    /// All consumer groups with their members.
    ///
    /// # Errors
    /// If a broker does not answer in time.
    pub fn groups(&self) -> Result<Vec<FoundGroup>> {
        let groups = self
            .consumer
            .fetch_group_list(None, DEADLINE)
            .map_err(|error| {
                let brokers = self.connection.brokers();
                let doing = format!("asking {brokers} for the consumer groups");
                self.unreachable_error(doing, &error)
            })?;
        Ok(groups.groups().iter().map(FoundGroup::new).collect())
    }

    /// The low and high watermarks of a partition.
    ///
    /// # Errors
    /// If no broker answers in time.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64)> {
        let doing = format!("asking for the watermarks of {topic}/{partition}");
        tool_client::watermarks(&self.consumer, topic, partition, doing)
    }

    pub(crate) fn unreachable_error(&self, doing: String, error: &KafkaError) -> Error {
        // Connection errors are in the client's queue.
        let enough = 100;
        (0..enough).find(|_| self.consumer.poll(Duration::from_millis(20)).is_none());
        unreachable_error(doing, error, self.consumer.context())
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn properties(pairs: &[(&str, &str)]) -> Connection {
        let pairs = pairs.iter();
        let properties = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        properties.collect::<BTreeMap<_, _>>().into()
    }

    #[test]
    fn an_unreachable_broker_is_an_error_in_time() {
        let cluster = Cluster::new(&properties(&[("bootstrap.servers", "127.0.0.1:1")])).unwrap();
        let asked = Instant::now();
        let error = cluster.inventory().unwrap_err().to_string();
        assert!(asked.elapsed() < DEADLINE / 2, "it says so soon");
        assert!(
            error.contains("asking 127.0.0.1:1 for the topics: "),
            "{error}"
        );
        assert!(error.contains("Connection refused"), "{error}");
        assert!(error.contains("--brokers"), "{error}");
    }

    #[test]
    fn an_unknown_property_is_named() {
        let error = Cluster::new(&properties(&[
            ("bootstrap.servers", "localhost:1"),
            ("security.protocl", "ssl"),
        ]));
        let error = error.err().expect("it is misspelt").to_string();
        assert!(
            error.contains("security.protocl") && error.contains("[kafka]"),
            "{error}"
        );
    }
}
