//! What is known of the stages at one time, for tables and as JSON: [`GroupsReport`].

use jiff::Timestamp;
use rivulet_core::error::Error;
use rivulet_pipeline::Stage;
use serde::Serialize;

use super::{
    GroupLag, GroupMember, GroupRow, GroupWatch, LagDirection, LagPosition, LagWindow,
    ProcessAnswers, ProcessReport, Snapshot,
};

/// What is known of the stages at one time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupsReport {
    /// When, as RFC 3339.
    pub time: String,
    /// The stages, in the order of the data flow.
    pub stages: Vec<StageReport>,
    /// Why nothing is known of the groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What of the targets does not fit the pipeline.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What is known of one stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageReport {
    /// Its name in the pipeline file.
    pub stage: String,
    /// The table that it is in: `producer`, `operator` or `sink`.
    pub kind: &'static str,
    /// Its consumer group. A producer has none.
    #[serde(flatten)]
    pub group: Option<GroupReport>,
    /// What its processes say. `None` if none was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<Vec<ProcessReport>>,
}

/// The consumer group of a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupReport {
    /// Its name in Kafka.
    #[serde(rename = "group")]
    pub name: String,
    /// Its state, such as `Stable`. `None` if there is no such group.
    pub state: Option<String>,
    /// Its members.
    pub members: Vec<GroupMember>,
    /// How many partitions are assigned to them.
    pub assigned: usize,
    /// The lag of all partitions together.
    #[serde(flatten)]
    pub lag: LagReport,
    /// The partitions of the stage's inputs.
    pub partitions: Vec<PartitionReport>,
}

/// The position of a group in a partition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartitionReport {
    /// The topic.
    pub topic: String,
    /// The number of the partition.
    pub partition: i32,
    /// The committed offset, if there is one.
    pub committed: Option<i64>,
    /// The last stable offset.
    pub end: i64,
    /// The records in between.
    #[serde(flatten)]
    pub lag: LagReport,
}

/// A consumer lag, and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(into = "LagFields")]
pub struct LagReport {
    /// The lag.
    pub lag: GroupLag,
    /// Where it goes. `None` after one look.
    pub direction: Option<LagDirection>,
}

/// The same in JSON.
#[derive(Serialize)]
struct LagFields {
    /// In records.
    lag: i64,
    /// `exact`, or `at most`: there are too many records to count, and offsets include transaction
    /// markers.
    lag_is: &'static str,
    /// `grows`, `drains` or `steady`.
    direction: Option<&'static str>,
    /// By how many records the lag changes in a second.
    records_per_second: Option<f64>,
    /// How long it takes until there is no lag.
    #[serde(skip_serializing_if = "Option::is_none")]
    drains_in_seconds: Option<f64>,
}

impl From<LagReport> for LagFields {
    fn from(LagReport { lag, direction }: LagReport) -> Self {
        let (lag, lag_is) = match lag {
            GroupLag::Records(records) => (records, "exact"),
            GroupLag::AtMost(records) => (records, "at most"),
        };
        let left = match direction {
            Some(LagDirection::Drains { left, .. }) => Some(left),
            _ => None,
        };
        LagFields {
            lag,
            lag_is,
            direction: direction.map(|direction| match direction {
                LagDirection::Grows(_) => "grows",
                LagDirection::Drains { .. } => "drains",
                LagDirection::Steady => "steady",
            }),
            records_per_second: direction.map(|direction| tenths(direction.rate())),
            drains_in_seconds: left.map(|left| tenths(left.as_secs_f64())),
        }
    }
}

impl GroupsReport {
    /// A report on `stages` of what `watch` has seen last.
    #[must_use]
    pub fn new(stages: &[&Stage], watch: &GroupWatch<'_>, seen: &Snapshot) -> Self {
        let stages = stages.iter().map(|stage| {
            let row = seen.rows.iter().find(|row| row.stage == stage.name);
            let group = row.map(|row| GroupReport::new(stage, row, watch.window(&stage.name)));
            StageReport::new(stage, group)
        });
        GroupsReport {
            time: now(),
            stages: stages.collect(),
            error: None,
            notes: Vec::new(),
        }
    }

    /// A report on `stages` when nothing can be known of their groups.
    #[must_use]
    pub fn without_groups(stages: &[&Stage], error: &Error) -> Self {
        let stages = stages.iter().map(|stage| StageReport::new(stage, None));
        GroupsReport {
            time: now(),
            stages: stages.collect(),
            error: Some(error.to_string()),
            notes: Vec::new(),
        }
    }

    /// The same with what the processes say.
    #[must_use]
    pub fn with(mut self, answers: ProcessAnswers) -> Self {
        let ProcessAnswers { by_stage, notes } = answers;
        for stage in &mut self.stages {
            stage.processes = Some(by_stage.get(&stage.stage).cloned().unwrap_or_default());
        }
        self.notes = notes;
        self
    }
}

/// The time in milliseconds.
fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

impl StageReport {
    fn new(stage: &Stage, group: Option<GroupReport>) -> Self {
        StageReport {
            stage: stage.name.clone(),
            kind: stage.kind.table(),
            group,
            processes: None,
        }
    }
}

impl GroupReport {
    fn new(stage: &Stage, row: &GroupRow, window: Option<&LagWindow>) -> Self {
        let direction = window.and_then(LagWindow::direction);
        let partitions = row.positions.iter().map(|(place, position)| {
            let direction = window.and_then(|window| window.direction_of(place));
            PartitionReport::new(place.clone(), *position, direction)
        });
        GroupReport {
            name: stage.group(),
            state: (!row.state.is_empty()).then(|| row.state.clone()),
            members: row.members.clone(),
            assigned: row.assigned,
            lag: LagReport {
                lag: row.lag(),
                direction,
            },
            partitions: partitions.collect(),
        }
    }
}

impl PartitionReport {
    fn new(
        (topic, partition): (String, i32),
        position: LagPosition,
        direction: Option<LagDirection>,
    ) -> Self {
        PartitionReport {
            topic,
            partition,
            committed: position.committed,
            end: position.end,
            lag: LagReport {
                lag: position.lag,
                direction,
            },
        }
    }
}

/// More digits would say nothing.
fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_json_of_a_lag_has_numbers_and_no_words_of_ours() {
        let left = std::time::Duration::from_millis(12_340);
        let drains = LagDirection::Drains { rate: 30.04, left };
        let json = |lag, direction| serde_json::to_value(LagReport { lag, direction }).unwrap();
        assert_eq!(
            json(GroupLag::AtMost(370), Some(drains)),
            json!({"lag": 370, "lag_is": "at most", "direction": "drains",
                   "records_per_second": -30.0, "drains_in_seconds": 12.3})
        );
        assert_eq!(
            json(GroupLag::Records(3), None),
            json!({"lag": 3, "lag_is": "exact", "direction": null, "records_per_second": null})
        );
    }

    #[test]
    fn a_stage_and_its_group_are_one_object() {
        let partition = PartitionReport::new(
            ("t".into(), 3),
            LagPosition {
                committed: None,
                next: 5,
                end: 9,
                lag: GroupLag::Records(4),
            },
            Some(LagDirection::Grows(30.0)),
        );
        let group = GroupReport {
            name: "team7-ewma".into(),
            state: None,
            members: vec![],
            assigned: 0,
            lag: LagReport {
                lag: GroupLag::Records(4),
                direction: None,
            },
            partitions: vec![partition],
        };
        let stage = |group| StageReport {
            stage: "ewma".into(),
            kind: "operator",
            group,
            processes: None,
        };
        let json = |group| serde_json::to_value(stage(group)).unwrap();
        assert_eq!(
            json(Some(group)),
            json!({"stage": "ewma", "kind": "operator", "group": "team7-ewma", "state": null,
                   "members": [], "assigned": 0, "lag": 4, "lag_is": "exact", "direction": null,
                   "records_per_second": null, "partitions": [{
                       "topic": "t", "partition": 3, "committed": null, "end": 9, "lag": 4,
                       "lag_is": "exact", "direction": "grows", "records_per_second": 30.0}]})
        );
        assert_eq!(json(None), json!({"stage": "ewma", "kind": "operator"}));
    }
}
