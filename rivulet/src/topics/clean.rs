//! What a consumer group has not read of a topic, skipped.

use std::collections::BTreeMap;
use std::fmt;

use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::text::plain;
use rivulet_core::topic_source::ReadProgress;
use rivulet_kafka::{Cluster, Connection, FoundMember, GroupOffsets, TopicReader};
use rivulet_pipeline::Pipeline;

use super::details::{OffsetRange, no_leader, with_offsets};
use super::named::no_such_topic;
use crate::table::aligned;
use crate::text::plural;

/// A plan to skip what a group has not read of a topic. Displayed, it is a table of the partitions.
pub struct Clean {
    group: String,
    topic: String,
    offsets: GroupOffsets,
    cluster: Cluster,
    partitions: Vec<Unread>,
}

/// What the group has not read of a partition.
struct Unread {
    number: i32,
    /// The committed offset; `None` if there is none.
    committed: Option<i64>,
    /// The end that the topic had when the plan was made.
    end: i64,
    /// The committed records between the two.
    records: i64,
}

impl Clean {
    /// Counts the records. Waits for open transactions, because their records may become committed.
    ///
    /// # Errors
    /// If the group is a stage of the pipeline or has members, the topic does not exist or has a
    /// partition without a leader, a transaction stays open, or the brokers are unreachable.
    pub fn plan(
        connection: &Connection,
        pipeline: Option<&Pipeline>,
        (group, topic): (&str, &str),
        progress: &mut dyn FnMut(ReadProgress<'_>),
    ) -> Result<Self> {
        let mut stages = pipeline.into_iter().flat_map(|file| &file.stages);
        let stage = stages.find(|stage| stage.name == group || stage.group() == group);
        if let Some(stage) = stage {
            return Err(Error::new(doing(group), "it is a stage of the pipeline")
                .of_kind(Kind::Usage)
                .help(format!(
                    "the state of a stage belongs to its offsets; `rivulet state reset {}` \
                     changes both",
                    stage.name
                )));
        }
        let cluster = Cluster::new(connection)?;
        let mut found = cluster.partitions()?;
        let found = found.remove(topic).ok_or_else(|| no_such_topic(topic))?;
        no_members(&cluster, group)?;
        // The ends first: a record that arrives meanwhile is a new one.
        let found = with_offsets(&cluster, topic, found)?;
        let numbers = found.iter().map(|(partition, _)| partition.number);
        let places: Vec<(String, i32)> = numbers.map(|number| (topic.to_owned(), number)).collect();
        let offsets = GroupOffsets::new(connection, group)?;
        let committed = offsets.committed(&places)?;
        let mut partitions = Vec::new();
        let mut spans = BTreeMap::new();
        for ((partition, range), place) in found.into_iter().zip(places) {
            let number = partition.number;
            let OffsetRange { first, end } = range.ok_or_else(|| no_leader(topic, number))?;
            let committed = committed.get(&place).copied();
            // Records before the first offset were deleted.
            let start = first.max(committed.unwrap_or_default());
            if start < end {
                spans.insert(number, (start, end));
            }
            partitions.push(Unread {
                number,
                committed,
                end,
                records: 0,
            });
        }
        if !spans.is_empty() {
            let mut reader = TopicReader::new(connection, &[], progress)?;
            let ends = spans.iter().map(|(number, (_, end))| (*number, *end));
            reader.settle(topic, &ends.collect())?;
            let counts = reader.count(topic, &spans, usize::MAX)?.unwrap_or_default();
            for partition in &mut partitions {
                partition.records = counts.get(&partition.number).copied().unwrap_or_default();
            }
        }
        Ok(Clean {
            group: group.to_owned(),
            topic: topic.to_owned(),
            offsets,
            cluster,
            partitions,
        })
    }

    /// Whether the group is at the end already.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let mut partitions = self.partitions.iter();
        partitions.all(|partition| partition.committed == Some(partition.end))
    }

    /// How many records the group will skip.
    #[must_use]
    pub fn records(&self) -> i64 {
        self.partitions
            .iter()
            .map(|partition| partition.records)
            .sum()
    }

    /// Commits the ends. The caller must ask for confirmation.
    ///
    /// # Errors
    /// If the group has a member or has read meanwhile, or the brokers are unreachable.
    pub fn execute(&self) -> Result<()> {
        no_members(&self.cluster, &self.group)?;
        let place = |partition: &Unread| (self.topic.clone(), partition.number);
        let places: Vec<(String, i32)> = self.partitions.iter().map(place).collect();
        let committed = self.offsets.committed(&places)?;
        let is_as_counted =
            |partition: &Unread| committed.get(&place(partition)).copied() == partition.committed;
        if !self.partitions.iter().all(is_as_counted) {
            return Err(Error::new(
                doing(&self.group),
                "its offsets have changed since the count",
            )
            .of_kind(Kind::Conflict)
            .help("stop the members of the group, and try again"));
        }
        let ends = self.partitions.iter();
        self.offsets.commit(
            &ends
                .map(|partition| (place(partition), partition.end))
                .collect(),
        )
    }
}

fn doing(group: &str) -> String {
    format!("cleaning the group {group}")
}

fn no_members(cluster: &Cluster, group: &str) -> Result<()> {
    let groups = cluster.groups()?;
    let members = groups.iter().filter(|found| found.name == group);
    let members: Vec<&FoundMember> = members.flat_map(|found| &found.members).collect();
    if members.is_empty() {
        return Ok(());
    }
    let names = members.iter().map(|member| {
        let host = member.client_host.trim_start_matches('/');
        format!("{}@{host}", member.client_id)
    });
    let names = names.collect::<Vec<_>>().join(", ");
    let cause = format!("it has {}: {names}", plural(members.len(), "member"));
    Err(Error::new(doing(group), cause)
        .of_kind(Kind::Conflict)
        .help("stop the members, and try again once their session has timed out"))
}

impl fmt::Display for Clean {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["partition", "committed", "end", "records not read"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for partition in &self.partitions {
            let committed = partition.committed;
            rows.push(vec![
                partition.number.to_string(),
                committed.map_or_else(|| "-".to_owned(), |offset| offset.to_string()),
                partition.end.to_string(),
                partition.records.to_string(),
            ]);
        }
        f.write_str(&aligned(&rows))?;
        let (group, topic) = (plain(&self.group), plain(&self.topic));
        if self
            .partitions
            .iter()
            .all(|partition| partition.committed.is_none())
        {
            writeln!(
                f,
                "{group} has no committed offset in {topic}: it has read nothing"
            )?;
        }
        let records = plural(self.records(), "record");
        writeln!(f, "{group} has not read {records} of {topic}")
    }
}
