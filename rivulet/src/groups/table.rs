//! What is known of the stages, as people see it: [`GroupsTable`].

use std::fmt;

use super::{GroupReport, GroupsReport, PartitionReport, StageReport};
use crate::table::aligned;

/// A table of stages or of their partitions, with the columns that are wanted.
#[derive(Debug, Clone, Copy)]
pub struct GroupsTable<'r> {
    /// What it shows.
    pub report: &'r GroupsReport,
    /// A row for each partition instead of each stage.
    pub partitions: bool,
    /// Whether it says where each lag goes.
    pub directions: bool,
}

impl GroupsTable<'_> {
    fn head(&self) -> Vec<&'static str> {
        let mut head = vec!["stage", "group"];
        if self.partitions {
            head.extend(["topic", "partition", "committed", "end", "lag"]);
        } else {
            head.extend(["members", "partitions", "lag"]);
        }
        if self.directions {
            head.push("direction");
        }
        head
    }

    fn rows(&self, stage: &StageReport) -> Vec<Vec<String>> {
        let begin = |group: Option<&GroupReport>| {
            let state = group.and_then(|group| group.state.clone());
            vec![stage.stage.clone(), dash(state.unwrap_or_default())]
        };
        let Some(group) = &stage.group else {
            let mut row = begin(None);
            row.resize(self.head().len(), "-".to_owned());
            return vec![row];
        };
        if !self.partitions {
            let members: Vec<String> = group.members.iter().map(ToString::to_string).collect();
            let mut row = begin(Some(group));
            row.extend([
                dash(members.join(", ")),
                format!("{}/{}", group.assigned, group.partitions.len()),
                group.lag.shown(),
            ]);
            row.extend(self.directions.then(|| dash(group.lag.direction())));
            return vec![row];
        }
        let of_partition = |partition: &PartitionReport| {
            let committed = partition.committed.map(|next| next.to_string());
            let mut row = begin(Some(group));
            row.extend([
                partition.topic.clone(),
                partition.partition.to_string(),
                dash(committed.unwrap_or_default()),
                partition.end.to_string(),
                partition.lag.shown(),
            ]);
            row.extend(self.directions.then(|| dash(partition.lag.direction())));
            row
        };
        group.partitions.iter().map(of_partition).collect()
    }
}

fn dash(text: String) -> String {
    if text.is_empty() { "-".into() } else { text }
}

impl fmt::Display for GroupsTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.head().into_iter().map(str::to_owned).collect();
        let rows = self.report.stages.iter().flat_map(|stage| self.rows(stage));
        f.write_str(&aligned(
            &std::iter::once(head).chain(rows).collect::<Vec<_>>(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::{GroupLag, GroupMember, LagDirection, LagReport};

    fn report() -> GroupsReport {
        let partition = |partition, committed, lag, direction| PartitionReport {
            topic: "t".into(),
            partition,
            committed,
            end: 50_000,
            lag: LagReport::new(lag, direction),
        };
        let busy = [
            partition(
                0,
                Some(49_998),
                GroupLag::Records(2),
                Some(LagDirection::Steady),
            ),
            partition(
                1,
                None,
                GroupLag::AtMost(50_000),
                Some(LagDirection::Grows(30.0)),
            ),
        ];
        let stage = |name: &str, members: &[&str], lag, partitions: &[PartitionReport]| {
            let members = members.iter().map(|instance| GroupMember {
                instance: (*instance).to_owned(),
                host: "10.42.0.250".into(),
            });
            let members: Vec<GroupMember> = members.collect();
            StageReport {
                stage: name.into(),
                kind: "operator",
                group: Some(GroupReport {
                    name: name.into(),
                    state: (!members.is_empty()).then(|| "Stable".into()),
                    assigned: if members.is_empty() {
                        0
                    } else {
                        partitions.len()
                    },
                    members,
                    lag,
                    partitions: partitions.to_vec(),
                }),
            }
        };
        let busy_lag = LagReport::new(GroupLag::AtMost(50_002), Some(LagDirection::Grows(30.0)));
        let lag = LagReport::new(GroupLag::Records(3), None);
        GroupsReport {
            time: String::new(),
            stages: vec![
                stage("ewma", &["a", "b"], busy_lag, &busy),
                stage(
                    "out",
                    &[],
                    lag,
                    &[partition(0, None, GroupLag::Records(3), None)],
                ),
            ],
            error: None,
        }
    }

    fn shown(partitions: bool, directions: bool) -> String {
        let table = GroupsTable {
            report: &report(),
            partitions,
            directions,
        };
        table.to_string()
    }

    #[test]
    fn every_stage_is_a_line() {
        let expected = "\
stage  group   members                       partitions  lag
ewma   Stable  a@10.42.0.250, b@10.42.0.250  2/2         ~50002
out    -       -                             0/1         3
";
        assert_eq!(shown(false, false), expected);
        let expected = "\
stage  group   members                       partitions  lag     direction
ewma   Stable  a@10.42.0.250, b@10.42.0.250  2/2         ~50002  grows 30/s
out    -       -                             0/1         3       -
";
        assert_eq!(shown(false, true), expected);
    }

    #[test]
    fn every_partition_is_a_line() {
        let expected = "\
stage  group   topic  partition  committed  end    lag     direction
ewma   Stable  t      0          49998      50000  2       steady
ewma   Stable  t      1          -          50000  ~50000  grows 30/s
out    -       t      0          -          50000  3       -
";
        assert_eq!(shown(true, true), expected);
    }
}
