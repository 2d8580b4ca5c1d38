//! What the cluster says about single topics: partitions, replicas, offsets and settings.

use std::fmt;

use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::text::plain;
use rivulet_kafka::{Admin, Cluster, Connection, FoundPartition, PartitionOffset, TopicSetting};

use super::named::chosen;
use crate::table::aligned;
use crate::text::plural;

/// What is known of topics. Displayed, each has a table of its partitions and its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDetails {
    topics: Vec<Detailed>,
    denied: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Detailed {
    name: String,
    partitions: Vec<(FoundPartition, Option<OffsetRange>)>,
    settings: Vec<TopicSetting>,
}

/// The offsets of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetRange {
    /// That of the first record.
    pub first: i64,
    /// That of the next record.
    pub end: i64,
}

impl OffsetRange {
    /// How many offsets there are: as many as records, unless the topic is compacted or has
    /// transactions.
    #[must_use]
    pub fn len(self) -> i64 {
        (self.end - self.first).max(0)
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// The offsets of each partition that has a leader. `None` for one without.
///
/// # Errors
/// If the brokers are unreachable.
pub(super) fn with_offsets(
    cluster: &Cluster,
    topic: &str,
    partitions: Vec<FoundPartition>,
) -> Result<Vec<(FoundPartition, Option<OffsetRange>)>> {
    let led = partitions.iter().filter(|found| found.leader.is_some());
    let places: Vec<(String, i32)> = led.map(|found| (topic.to_owned(), found.number)).collect();
    let firsts = cluster.offsets(&places, PartitionOffset::First)?;
    let ends = cluster.offsets(&places, PartitionOffset::End)?;
    let range = |number: i32| {
        let place = (topic.to_owned(), number);
        let (first, end) = (*firsts.get(&place)?, *ends.get(&place)?);
        Some(OffsetRange { first, end })
    };
    let partitions = partitions.into_iter();
    Ok(partitions
        .map(|found| {
            let range = range(found.number);
            (found, range)
        })
        .collect())
}

/// The error for a partition that has no leader.
pub(super) fn no_leader(topic: &str, partition: i32) -> Error {
    let doing = format!("asking for the offsets of {topic}/{partition}");
    Error::new(doing, "the partition has no leader")
        .of_kind(Kind::Unreachable)
        .help("are all brokers running?")
}

/// What is known of these topics.
///
/// # Errors
/// If one does not exist, or the brokers are unreachable.
pub fn details(connection: &Connection, names: &[String]) -> Result<TopicDetails> {
    let admin = Admin::new(connection)?;
    let found = chosen(admin.cluster.partitions()?, names, |_| false)?;
    let existing: Vec<&str> = found.keys().map(String::as_str).collect();
    let mut denied = None;
    let mut settings = admin.own_settings(&existing, &mut denied)?;
    let mut topics = Vec::new();
    for (name, partitions) in found {
        topics.push(Detailed {
            partitions: with_offsets(&admin.cluster, &name, partitions)?,
            settings: settings.remove(&name).unwrap_or_default(),
            name,
        });
    }
    Ok(TopicDetails { topics, denied })
}

/// The ids of brokers: `1,2,3`.
fn ids(brokers: &[i32]) -> String {
    let brokers: Vec<String> = brokers.iter().map(ToString::to_string).collect();
    brokers.join(",")
}

impl fmt::Display for TopicDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, topic) in self.topics.iter().enumerate() {
            let break_before = if index == 0 { "" } else { "\n" };
            let name = plain(&topic.name);
            writeln!(
                f,
                "{break_before}{name}: {}",
                plural(topic.partitions.len(), "partition")
            )?;
            let head = [
                "partition",
                "leader",
                "replicas",
                "in sync",
                "first",
                "end",
                "",
            ];
            let mut rows = vec![head.map(str::to_owned).to_vec()];
            for (partition, range) in &topic.partitions {
                let dash = || "-".to_owned();
                rows.push(vec![
                    partition.number.to_string(),
                    partition
                        .leader
                        .map_or_else(dash, |leader| leader.to_string()),
                    ids(&partition.replicas),
                    ids(&partition.in_sync),
                    range.map_or_else(dash, |range| range.first.to_string()),
                    range.map_or_else(dash, |range| range.end.to_string()),
                    match partition {
                        FoundPartition { leader: None, .. } => "has no leader".to_owned(),
                        found if found.is_under_replicated() => "under-replicated".to_owned(),
                        _ => String::new(),
                    },
                ]);
            }
            f.write_str(&aligned(&rows))?;
            for TopicSetting { name, value, set } in &topic.settings {
                let value = value.as_deref().map_or("(secret)".into(), plain);
                writeln!(f, "{} = {value}   # set {set}", plain(name))?;
            }
        }
        if let Some(code) = &self.denied {
            writeln!(
                f,
                "warning: this user may not describe all settings ({code}): grant DescribeConfigs \
                 on the topics"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_a_table_of_partitions_and_a_list_of_settings() {
        let partition = |number, leader, in_sync: &[i32]| FoundPartition {
            number,
            leader,
            replicas: vec![1, 2],
            in_sync: in_sync.to_vec(),
        };
        let details = TopicDetails {
            topics: vec![Detailed {
                name: "weather\u{1b}".into(),
                partitions: vec![
                    (
                        partition(0, Some(1), &[1, 2]),
                        Some(OffsetRange { first: 5, end: 105 }),
                    ),
                    (
                        partition(1, Some(2), &[2]),
                        Some(OffsetRange { first: 0, end: 0 }),
                    ),
                    (partition(2, None, &[]), None),
                ],
                settings: vec![TopicSetting {
                    name: "retention.ms".into(),
                    value: Some("1000".into()),
                    set: "for this topic",
                }],
            }],
            denied: None,
        };
        let expected = "\
weather\\u{1b}: 3 partitions
partition  leader  replicas  in sync  first  end
0          1       1,2       1,2      5      105
1          2       1,2       2        0      0    under-replicated
2          -       1,2                -      -    has no leader
retention.ms = 1000   # set for this topic
";
        assert_eq!(details.to_string(), expected);
    }
}
