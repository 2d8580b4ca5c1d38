//! A stage's consumer group: its members, what it committed, and its place taken for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::groups::GroupInfo;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use stream::error::{Error, Result};
use stream::pipeline::{Pipeline, Stage};

use crate::cluster::{self, Cluster, DEADLINE, Witness};

/// How long it may take to join a group that is empty: brokers may wait some seconds for others.
const JOINING: Duration = Duration::from_secs(30);

/// The consumer group of a stage with inputs.
pub(crate) struct Group {
    name: String,
    /// The stage's inputs, each with how many partitions it has.
    inputs: Vec<(String, i32)>,
    cluster: Cluster,
    consumer: BaseConsumer<Witness>,
}

/// What was committed of one partition of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The input.
    pub(crate) topic: String,
    /// The partition.
    pub(crate) partition: i32,
    /// The next offset to read.
    pub(crate) next: i64,
    /// What is noted beside it.
    pub(crate) note: String,
}

impl Group {
    /// Looks the stage's inputs up; joins nothing yet.
    ///
    /// # Errors
    /// If the cluster does not answer or an input does not exist.
    pub(crate) fn new(pipeline: &Pipeline, stage: &Stage) -> Result<Self> {
        let cluster = Cluster::new(&pipeline.kafka)?;
        let inventory = cluster.inventory()?;
        let input = |topic: &String| match inventory.topics.get(topic) {
            Some(found) => Ok((topic.clone(), found.partitions)),
            None => Err(Error::new(
                format!("looking for {topic}, which {} reads", stage.name),
                "there is no such topic",
            )
            .help("`rivulet topics create` makes it; name the right brokers with --brokers")),
        };
        let inputs = stage.from.iter().map(input).collect::<Result<_>>()?;
        let mut config = cluster::config(&pipeline.kafka);
        config
            .set("group.id", &stage.name)
            .set("client.id", "rivulet")
            .set("enable.auto.commit", "false");
        // What a transaction that is open is about to commit is waited for.
        config.set("isolation.level", "read_committed");
        for (name, value) in [
            ("partition.assignment.strategy", "range"),
            ("queued.max.messages.kbytes", "1024"),
        ] {
            if !pipeline.kafka.contains_key(name) {
                config.set(name, value);
            }
        }
        Ok(Group {
            name: stage.name.clone(),
            inputs,
            cluster,
            consumer: cluster::client(&config)?,
        })
    }

    fn failed(&self, doing: &str) -> impl Fn(KafkaError) -> Error {
        move |error| {
            cluster::unanswered(
                format!("{doing} the group {}", self.name),
                &error,
                self.consumer.context(),
            )
        }
    }

    /// The processes that are in the group.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub(super) fn members(&self) -> Result<Vec<String>> {
        let groups = self.consumer.fetch_group_list(Some(&self.name), DEADLINE);
        let groups = groups.map_err(self.failed("asking for the members of"))?;
        let members = groups.groups().iter().flat_map(GroupInfo::members);
        Ok(members
            .map(|member| format!("{} at {}", member.client_id(), member.client_host()))
            .collect())
    }

    /// What was committed of every partition of the inputs; nothing of those that never were.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub(crate) fn committed(&self) -> Result<Vec<Committed>> {
        let mut list = TopicPartitionList::new();
        for (topic, partitions) in &self.inputs {
            (0..*partitions).for_each(|partition| _ = list.add_partition(topic, partition));
        }
        let found = self
            .consumer
            .committed_offsets(list, DEADLINE)
            .map_err(self.failed("asking for the offsets of"))?;
        let mut committed = Vec::new();
        for element in found.elements() {
            element
                .error()
                .map_err(self.failed("asking for the offsets of"))?;
            if let Offset::Offset(next) = element.offset() {
                let (topic, note) = (element.topic().to_owned(), element.metadata().to_owned());
                committed.push(Committed {
                    topic,
                    partition: element.partition(),
                    next,
                    note,
                });
            }
        }
        Ok(committed)
    }

    /// The first and the last offset there is of each partition of the inputs.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub(super) fn ends(&self) -> Result<BTreeMap<(String, i32), (i64, i64)>> {
        self.of_each(|topic, number| self.cluster.ends(topic, number))
    }

    /// The same for a reader of what is committed: it comes no further than the first open
    /// transaction.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub(crate) fn settled_ends(&self) -> Result<BTreeMap<(String, i32), (i64, i64)>> {
        self.of_each(|topic, number| {
            let ends = cluster::watermarks(&self.consumer, topic, number);
            ends.map_err(self.failed("asking for the ends of the inputs of"))
        })
    }

    fn of_each<T>(
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

    /// Takes the stage's place in its group until this is dropped: a stage that is started
    /// meanwhile waits, and what is committed with the metadata is refused if somebody else has
    /// taken the place.
    ///
    /// # Errors
    /// If the group does not let it in, or another member has come.
    pub(super) fn take_place(&self) -> Result<ConsumerGroupMetadata> {
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
            // Records may come already; they are not committed and so not lost.
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
                    "not all of its partitions were given in {} s",
                    JOINING.as_secs()
                );
                return Err(
                    Error::new(format!("joining the group {}", self.name), cause)
                        .help("somebody else may have joined: stop the stage and try again"),
                );
            }
        }
        let metadata = self.consumer.group_metadata();
        metadata.ok_or_else(|| {
            Error::new(
                format!("joining the group {}", self.name),
                "it has no metadata",
            )
        })
    }
}
