//! The consumer group of a stage: its members and offsets, and how to join it instead of the stage.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::groups::GroupInfo;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rivulet_core::error::{Error, Kind, Result};

use crate::cluster::Cluster;
use crate::committed;
use crate::connection::Connection;
use crate::tool_client::{self, DEADLINE, LastError, REFUSED, ToolPatience};

/// How long it may take to join an empty group: brokers may wait some seconds for other members.
const JOINING: Duration = Duration::from_secs(30);

/// The consumer group of a stage with inputs.
pub struct Group {
    name: String,
    /// The stage's inputs, each with how many partitions it has.
    inputs: Vec<(String, i32)>,
    cluster: Cluster,
    consumer: BaseConsumer<LastError>,
}

/// The committed offset of one partition of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The input.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The next offset to read.
    pub next: i64,
    /// The metadata that was committed with it.
    pub metadata: String,
}

/// The membership of a group that a [`Transaction`](crate::Transaction) commits offsets for.
pub struct Membership(pub(crate) ConsumerGroupMetadata);

/// The committed offsets of these partitions. A partition without one is left out.
pub(crate) fn committed_offsets<'p>(
    consumer: &BaseConsumer<LastError>,
    partitions: impl IntoIterator<Item = (&'p str, i32)>,
) -> KafkaResult<Vec<Committed>> {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition(topic, partition);
    }
    let found = consumer.committed_offsets(list, DEADLINE)?;
    let mut committed = Vec::new();
    for element in found.elements() {
        element.error()?;
        if let Offset::Offset(next) = element.offset() {
            committed.push(Committed {
                topic: element.topic().to_owned(),
                partition: element.partition(),
                next,
                metadata: element.metadata().to_owned(),
            });
        }
    }
    Ok(committed)
}

impl Group {
    /// Looks up the `topics` that the members of the group `name` read. Does not join the group.
    ///
    /// # Errors
    /// If the brokers are unreachable or an input does not exist.
    pub fn new(connection: &Connection, name: &str, topics: &[String]) -> Result<Self> {
        let cluster = Cluster::new(connection)?;
        let inventory = cluster.inventory()?;
        let mut inputs = Vec::new();
        for topic in topics {
            let found =
                inventory.topic(topic, format!("looking for {topic}, which {name} reads"))?;
            inputs.push((topic.clone(), found.partitions));
        }
        let mut config = tool_client::config(connection);
        config
            .set("group.id", name)
            .set("client.id", "rivulet")
            .set("enable.auto.commit", "false");
        // Watermarks are those of committed records; offsets of open transactions are waited for.
        config.set("isolation.level", "read_committed");
        let defaults = [
            ("partition.assignment.strategy", "range"),
            ("queued.max.messages.kbytes", "1024"),
        ];
        tool_client::set_defaults(&mut config, connection, defaults);
        Ok(Group {
            name: name.to_owned(),
            inputs,
            cluster,
            consumer: tool_client::client(&config)?,
        })
    }

    fn failed(&self, doing: &str) -> impl Fn(KafkaError) -> Error {
        move |error| {
            tool_client::unreachable_error(
                format!("{doing} the group {}", self.name),
                &error,
                self.consumer.context(),
            )
        }
    }

    /// The members of the group.
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub fn members(&self) -> Result<Vec<String>> {
        let groups = self.consumer.fetch_group_list(Some(&self.name), DEADLINE);
        let groups = groups.map_err(self.failed("asking for the members of"))?;
        let members = groups.groups().iter().flat_map(GroupInfo::members);
        Ok(members
            .map(|member| format!("{} at {}", member.client_id(), member.client_host()))
            .collect())
    }

    /// The committed offsets of the inputs. A partition without one is left out.
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub fn committed(&self) -> Result<Vec<Committed>> {
        let inputs = self.inputs.iter();
        let places = inputs.flat_map(|(topic, count)| {
            (0..*count).map(move |partition| (topic.as_str(), partition))
        });
        committed_offsets(&self.consumer, places).map_err(self.failed("asking for the offsets of"))
    }

    /// The low and high watermarks of each partition of the inputs.
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub fn watermarks(&self) -> Result<BTreeMap<(String, i32), (i64, i64)>> {
        self.of_each_partition(|topic, number| self.cluster.watermarks(topic, number))
    }

    /// As [`watermarks`](Self::watermarks), with the last stable offset instead of the high
    /// watermark: readers of committed records stop at the first open transaction. It gives up
    /// within seconds if no broker answers, because it is asked again and again.
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub fn stable_watermarks(&self) -> Result<BTreeMap<(String, i32), (i64, i64)>> {
        self.of_each_partition(|topic, number| {
            let doing = format!(
                "asking for the watermarks of the inputs of the group {}",
                self.name
            );
            let mut report = |_, _| ();
            let context = self.consumer.context();
            let mut patience = ToolPatience::new(doing, context, &mut report).with_silence(REFUSED);
            committed::watermarks(&self.consumer, topic, number, &mut patience)
        })
    }

    fn of_each_partition<T>(
        &self,
        ask: impl Fn(&str, i32) -> Result<T>,
    ) -> Result<BTreeMap<(String, i32), T>> {
        let partitions = self
            .inputs
            .iter()
            .flat_map(|(topic, count)| (0..*count).map(move |number| (topic, number)));
        partitions
            .map(|(topic, number)| Ok(((topic.clone(), number), ask(topic, number)?)))
            .collect()
    }

    /// Joins the group until this is dropped. A stage that is started meanwhile waits for its
    /// partitions. A commit with the returned metadata fails if another member has joined.
    ///
    /// # Errors
    /// If joining fails, or another member has joined.
    pub fn join(&self) -> Result<Membership> {
        let topics: Vec<&str> = self
            .inputs
            .iter()
            .map(|(topic, _)| topic.as_str())
            .collect();
        self.consumer
            .subscribe(&topics)
            .map_err(self.failed("joining"))?;
        let wanted: i32 = self.inputs.iter().map(|(_, partitions)| partitions).sum();
        let deadline = Instant::now() + JOINING;
        loop {
            // A poll may return records. They are not committed, so they are not lost.
            let _ = self.consumer.poll(Duration::from_millis(100));
            let assigned = self.consumer.assignment().map_err(self.failed("joining"))?;
            if i32::try_from(assigned.count()).is_ok_and(|count| count == wanted) {
                self.consumer
                    .pause(&assigned)
                    .map_err(self.failed("joining"))?;
                break;
            }
            if Instant::now() > deadline {
                let cause = format!(
                    "not all of its partitions were assigned within {} s",
                    JOINING.as_secs()
                );
                return Err(
                    Error::new(format!("joining the group {}", self.name), cause)
                        .of_kind(Kind::Conflict)
                        .help("another member may have joined: stop the stage and try again"),
                );
            }
        }
        let metadata = self.consumer.group_metadata();
        metadata.map(Membership).ok_or_else(|| {
            Error::new(
                format!("joining the group {}", self.name),
                "there is no group metadata",
            )
        })
    }
}
