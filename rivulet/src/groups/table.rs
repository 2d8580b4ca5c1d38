//! What is known of the stages, as people see it: [`GroupsTable`].

use std::fmt;

use super::{GroupReport, GroupsReport, LagReport, PartitionReport, ProcessReport, StageReport};
use crate::table::aligned;
use crate::text::plain;

/// The longest sentence of a process that is shown, in characters. JSON has all of it.
const LONGEST: usize = 300;

/// A table of stages or of their partitions, with the columns that are wanted.
#[derive(Debug, Clone, Copy)]
pub struct GroupsTable<'r> {
    /// What it shows.
    pub report: &'r GroupsReport,
    /// A row for each partition instead of each stage.
    pub partitions: bool,
    /// Whether it says where each lag goes.
    pub directions: bool,
    /// How many columns the terminal has, if it is shown at one. Lines end there.
    pub width: Option<usize>,
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

    /// The rows of a stage. What its processes say is in the first one.
    fn rows(&self, stage: &StageReport) -> Vec<Vec<String>> {
        let mut rows = match &stage.group {
            Some(group) if self.partitions => {
                let partitions = group.partitions.iter();
                let rows = partitions.map(|partition| self.of_partition(partition));
                rows.collect()
            }
            Some(group) => vec![self.of_group(group)],
            None => vec![Vec::new()],
        };
        for row in &mut rows {
            let state = stage.group.as_ref().and_then(|group| group.state.clone());
            row.splice(0..0, [stage.stage.clone(), dash(state.unwrap_or_default())]);
            row.resize(self.head().len(), "-".to_owned());
        }
        if let (Some(row), Some(processes)) = (rows.first_mut(), &stage.processes) {
            let said: Vec<String> = processes.iter().map(ready).collect();
            row.push(dash(said.join("; ")));
        }
        rows
    }

    fn of_group(&self, group: &GroupReport) -> Vec<String> {
        let members: Vec<String> = group.members.iter().map(ToString::to_string).collect();
        let mut row = vec![
            dash(members.join(", ")),
            format!("{}/{}", group.assigned, group.partitions.len()),
            group.lag.lag.to_string(),
        ];
        row.extend(self.directions.then(|| direction(group.lag)));
        row
    }

    fn of_partition(&self, partition: &PartitionReport) -> Vec<String> {
        let committed = partition.committed.map(|next| next.to_string());
        let mut row = vec![
            partition.topic.clone(),
            partition.partition.to_string(),
            dash(committed.unwrap_or_default()),
            partition.end.to_string(),
            partition.lag.lag.to_string(),
        ];
        row.extend(self.directions.then(|| direction(partition.lag)));
        row
    }

    fn cut(&self, line: &str) -> String {
        match self.width {
            Some(width) if line.chars().count() > width => {
                let begin: String = line.chars().take(width.saturating_sub(1)).collect();
                format!("{begin}…")
            }
            _ => line.to_owned(),
        }
    }
}

/// Where a lag goes, in words.
fn direction(lag: LagReport) -> String {
    dash(lag.direction.map(|it| it.to_string()).unwrap_or_default())
}

fn dash(text: String) -> String {
    if text.is_empty() { "-".into() } else { text }
}

/// What a process says, in a few words: `rpi0 ready`.
fn ready(process: &ProcessReport) -> String {
    let who = plain(process.node.as_deref().unwrap_or(&process.target), LONGEST);
    match process.readiness {
        "ready" => format!("{who} ready"),
        other => format!("{who} {other}: {}", plain(&process.sentence, LONGEST)),
    }
}

impl fmt::Display for GroupsTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut stages = self.report.stages.iter();
        let mut head = self.head();
        if stages.any(|stage| stage.processes.is_some()) {
            head.push("readiness");
        }
        let head = head.into_iter().map(str::to_owned).collect();
        let rows = self.report.stages.iter().flat_map(|stage| self.rows(stage));
        let table = aligned(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
        for line in table.lines() {
            writeln!(f, "{}", self.cut(line))?;
        }
        for note in &self.report.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::{GroupLag, GroupMember, LagDirection};

    fn report() -> GroupsReport {
        let partition = |partition, committed, lag, direction| PartitionReport {
            topic: "t".into(),
            partition,
            committed,
            end: 50_000,
            lag: LagReport { lag, direction },
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
                processes: None,
            }
        };
        let busy_lag = LagReport {
            lag: GroupLag::AtMost(50_002),
            direction: Some(LagDirection::Grows(30.0)),
        };
        let lag = LagReport {
            lag: GroupLag::Records(3),
            direction: None,
        };
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
            notes: Vec::new(),
        }
    }

    fn shown(partitions: bool, directions: bool) -> String {
        let table = GroupsTable {
            report: &report(),
            partitions,
            directions,
            width: None,
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

    #[test]
    fn what_processes_say_is_the_last_column_cut_to_the_terminal() {
        let mut report = report();
        let process = |node: Option<&str>, readiness, sentence: &str| ProcessReport {
            target: "10.42.0.250:9464".into(),
            node: node.map(str::to_owned),
            readiness,
            sentence: sentence.into(),
        };
        let away = "waiting for Kafka for 41 s";
        report.stages[0].processes = Some(vec![
            process(Some("rpi0"), "ready", "running, lag 0"),
            process(Some("r\u{1b}1"), "not ready", away),
        ]);
        report.stages[1].processes = Some(vec![]);
        report.stages.push(StageReport {
            stage: "in".into(),
            kind: "producer",
            group: None,
            processes: Some(vec![process(None, "not reachable", "Connection refused")]),
        });
        report.notes = vec!["a:1 runs `old`, which is not in the pipeline".into()];
        let shown = |partitions, width| {
            let table = GroupsTable {
                report: &report,
                partitions,
                directions: false,
                width,
            };
            table.to_string()
        };
        let expected = "\
stage  group   members                       partitions  lag     readiness
ewma   Stable  a@10.42.0.250, b@10.42.0.250  2/2         ~50002  rpi0 ready; r\\u{1b}1 not ready: \
                        waiting for Kafka for 41 s
out    -       -                             0/1         3       -
in     -       -                             -           -       10.42.0.250:9464 not reachable: \
                        Connection refused
note: a:1 runs `old`, which is not in the pipeline
";
        assert_eq!(shown(false, None), expected);
        let cut = shown(false, Some(80));
        let line =
            "ewma   Stable  a@10.42.0.250, b@10.42.0.250  2/2         ~50002  rpi0 ready; r\\…";
        assert_eq!(cut.lines().nth(1), Some(line));
        let partitions = shown(true, None);
        let lines: Vec<&str> = partitions.lines().collect();
        assert!(
            lines[1].contains("rpi0 ready") && !lines[2].contains("ready"),
            "{partitions}"
        );
    }
}
