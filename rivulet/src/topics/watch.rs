//! What arrives in topics, and how far the groups are that read them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use rivulet_core::error::{Kind, Result};
use rivulet_kafka::{
    Cluster, Connection, FoundGroup, FoundPartition, GroupOffsets, PartitionOffset,
};
use rivulet_pipeline::Pipeline;

use super::named::chosen;
use super::size::by_default;
use crate::groups::{GroupLag, GroupMember, GroupRow, LagCounter, LagPosition, LagTrend};
use crate::table::aligned;

type Offsets = BTreeMap<(String, i32), i64>;

/// Looks at topics again and again.
pub struct TopicWatch<'p> {
    connection: &'p Connection,
    pipeline: Option<&'p Pipeline>,
    names: &'p [String],
    clients: Option<Clients>,
    before: Option<Sample>,
}

struct Clients {
    cluster: Cluster,
    of_committed: Cluster,
    groups: BTreeMap<String, GroupOffsets>,
    lags: LagCounter,
}

/// Topics and groups at one time.
struct Sample {
    at: Instant,
    topics: BTreeMap<String, Vec<FoundPartition>>,
    /// The high watermarks.
    ends: Offsets,
    /// By group and topic. A group has a position where it has a committed offset.
    groups: BTreeMap<(String, String), GroupRow>,
}

/// What has changed since the last look. Displayed, it is a table of the topics and one of the
/// groups.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchTable {
    topics: Vec<TopicLine>,
    groups: Vec<GroupLine>,
}

#[derive(Debug, Clone, PartialEq)]
struct TopicLine {
    topic: String,
    partitions: usize,
    /// In records per second.
    rate: f64,
    under_replicated: usize,
    leaderless: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct GroupLine {
    group: String,
    topic: String,
    members: usize,
    /// `None` if the group has no committed offset in the topic.
    lag: Option<(GroupLag, LagTrend)>,
}

impl<'p> TopicWatch<'p> {
    /// A watch of these topics; without names of those of the pipeline, or of all if there is none.
    #[must_use]
    pub fn new(
        connection: &'p Connection,
        pipeline: Option<&'p Pipeline>,
        names: &'p [String],
    ) -> Self {
        TopicWatch {
            connection,
            pipeline,
            names,
            clients: None,
            before: None,
        }
    }

    /// Looks at the topics. The first look has nothing to compare with and returns `None`.
    ///
    /// # Errors
    /// If the brokers are unreachable, or a named topic does not exist. The watch can go on: the
    /// next look connects again.
    pub fn look(&mut self) -> Result<Option<WatchTable>> {
        let mut clients = match self.clients.take() {
            Some(clients) => clients,
            None => Clients::new(self.connection)?,
        };
        let now = self.sample(&mut clients)?;
        // Clients that failed are not used again: new ones ask only brokers that are reachable.
        self.clients = Some(clients);
        let table = self
            .before
            .as_ref()
            .map(|before| WatchTable::new(before, &now));
        self.before = Some(now);
        Ok(table)
    }

    fn sample(&self, clients: &mut Clients) -> Result<Sample> {
        let found = clients.cluster.partitions()?;
        let topics = chosen(found, self.names, by_default(self.pipeline))?;
        let led = topics.iter().flat_map(|(topic, partitions)| {
            let led = partitions
                .iter()
                .filter(|partition| partition.leader.is_some());
            led.map(|partition| (topic.clone(), partition.number))
        });
        let places: Vec<(String, i32)> = led.collect();
        let at = Instant::now();
        let ends = clients.cluster.offsets(&places, PartitionOffset::End)?;
        let groups = clients.groups(self.connection, &places)?;
        Ok(Sample {
            at,
            topics,
            ends,
            groups,
        })
    }
}

impl Clients {
    fn new(connection: &Connection) -> Result<Self> {
        Ok(Clients {
            cluster: Cluster::new(connection)?,
            of_committed: Cluster::of_committed(connection)?,
            groups: BTreeMap::new(),
            lags: LagCounter::default(),
        })
    }

    /// The groups that read these partitions, by group and topic.
    fn groups(
        &mut self,
        connection: &Connection,
        places: &[(String, i32)],
    ) -> Result<BTreeMap<(String, String), GroupRow>> {
        let firsts = self.cluster.offsets(places, PartitionOffset::First)?;
        let stable = self.of_committed.offsets(places, PartitionOffset::End)?;
        let found = self.cluster.groups()?;
        self.groups
            .retain(|name, _| found.iter().any(|group| group.name == *name));
        let mut rows: BTreeMap<(String, String), GroupRow> = BTreeMap::new();
        for group in &found {
            if !self.groups.contains_key(&group.name) {
                let offsets = GroupOffsets::new(connection, &group.name)?;
                self.groups.insert(group.name.clone(), offsets);
            }
            let Some(offsets) = self.groups.get(&group.name) else {
                continue;
            };
            let committed = match offsets.committed(places) {
                Ok(committed) => committed,
                // Groups of others, which this user may not see.
                Err(error) if error.kind() == Kind::Unauthorized => continue,
                Err(error) => return Err(error),
            };
            for place in places {
                let position = committed.get(place).zip(stable.get(place));
                let position = position.map(|(committed, end)| LagPosition {
                    committed: Some(*committed),
                    // Records below the first offset were deleted.
                    next: firsts
                        .get(place)
                        .copied()
                        .unwrap_or_default()
                        .max(*committed),
                    end: *end,
                    lag: GroupLag::default(),
                });
                let readers = readers(group, place);
                if position.is_none() && readers.is_empty() {
                    continue;
                }
                let row = rows
                    .entry((group.name.clone(), place.0.clone()))
                    .or_insert_with(|| empty_row(group));
                row.positions
                    .extend(position.map(|position| (place.clone(), position)));
                for member in readers {
                    row.assigned += 1;
                    if !row.members.contains(&member) {
                        row.members.push(member);
                    }
                }
            }
        }
        let (keys, mut rows): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        self.lags.count(connection, &mut rows)?;
        Ok(keys.into_iter().zip(rows).collect())
    }
}

/// The members that a partition is assigned to: at most one, unless they just rebalance.
fn readers(group: &FoundGroup, place: &(String, i32)) -> Vec<GroupMember> {
    let members = group.members.iter();
    members
        .filter(|member| member.partitions.contains(place))
        .map(|member| GroupMember::new(&group.name, member))
        .collect()
}

fn empty_row(group: &FoundGroup) -> GroupRow {
    GroupRow {
        stage: group.name.clone(),
        state: group.state.clone(),
        members: Vec::new(),
        assigned: 0,
        positions: BTreeMap::new(),
    }
}

/// How many records arrived in a topic, per second. A partition that is new has no rate yet.
fn rate(topic: &str, before: &Offsets, now: &Offsets, elapsed: Duration) -> f64 {
    let ends = now.iter().filter(|((of, _), _)| of == topic);
    let arrived = ends.filter_map(|(place, end)| Some((end - before.get(place)?).max(0)));
    arrived.sum::<i64>() as f64 / elapsed.as_secs_f64().max(0.001)
}

impl WatchTable {
    fn new(before: &Sample, now: &Sample) -> Self {
        let elapsed = now.at.duration_since(before.at);
        let topics = now.topics.iter().map(|(topic, partitions)| {
            let count = |is: fn(&&FoundPartition) -> bool| partitions.iter().filter(is).count();
            TopicLine {
                topic: topic.clone(),
                partitions: partitions.len(),
                rate: rate(topic, &before.ends, &now.ends, elapsed),
                under_replicated: count(|partition| partition.is_under_replicated()),
                leaderless: count(|partition| partition.leader.is_none()),
            }
        });
        let groups = now.groups.iter().map(|(key, row)| {
            let trend = before.groups.get(key).map(|before| row.trend(before));
            let lag = (row.lag(), trend.unwrap_or(LagTrend::Steady));
            GroupLine {
                group: key.0.clone(),
                topic: key.1.clone(),
                members: row.members.len(),
                lag: (!row.positions.is_empty()).then_some(lag),
            }
        });
        WatchTable {
            topics: topics.collect(),
            groups: groups.collect(),
        }
    }
}

impl fmt::Display for WatchTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = [
            "topic",
            "partitions",
            "records/s",
            "under-replicated",
            "without a leader",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for line in &self.topics {
            rows.push(vec![
                line.topic.clone(),
                line.partitions.to_string(),
                format!("{:.1}", line.rate),
                line.under_replicated.to_string(),
                line.leaderless.to_string(),
            ]);
        }
        f.write_str(&aligned(&rows))?;
        if self.groups.is_empty() {
            return writeln!(f, "\nno group reads them");
        }
        let head = ["group", "topic", "members", "lag", ""];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for line in &self.groups {
            let (lag, trend) = match line.lag {
                Some((lag, trend)) => (lag.to_string(), trend.to_string()),
                None => ("-".to_owned(), "no committed offset".to_owned()),
            };
            let (group, topic) = (line.group.clone(), line.topic.clone());
            rows.push(vec![group, topic, line.members.to_string(), lag, trend]);
        }
        write!(f, "\n{}", aligned(&rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_all_partitions_but_new_ones() {
        let ends = |ends: &[(&str, i32, i64)]| {
            let ends = ends.iter();
            ends.map(|(topic, number, end)| (((*topic).to_owned(), *number), *end))
                .collect()
        };
        let before = ends(&[("a", 0, 10), ("a", 1, 0), ("b", 0, 0)]);
        let now = ends(&[("a", 0, 30), ("a", 1, 5), ("a", 2, 1000), ("b", 0, 7)]);
        let two = Duration::from_secs(2);
        assert_eq!(rate("a", &before, &now, two), 12.5);
        assert_eq!(rate("b", &before, &now, two), 3.5);
        // The topic was deleted and created.
        assert_eq!(rate("b", &now, &before, two), 0.0);
        assert_eq!(rate("c", &before, &now, two), 0.0);
    }

    #[test]
    fn topics_and_groups_are_two_tables() {
        let line = |group: &str, lag| GroupLine {
            group: group.into(),
            topic: "a".into(),
            members: 1,
            lag,
        };
        let mut table = WatchTable {
            topics: vec![TopicLine {
                topic: "a\u{9b}".into(),
                partitions: 4,
                rate: 100.04,
                under_replicated: 1,
                leaderless: 0,
            }],
            groups: vec![
                line("new", None),
                line("old", Some((GroupLag::AtMost(12_000), LagTrend::Grows))),
            ],
        };
        let expected = "\
topic    partitions  records/s  under-replicated  without a leader
a\\u{9b}  4           100.0      1                 0

group  topic  members  lag
new    a      1        -       no committed offset
old    a      1        ~12000  grows
";
        assert_eq!(table.to_string(), expected);
        table.groups.clear();
        assert!(table.to_string().ends_with("\nno group reads them\n"));
    }
}
