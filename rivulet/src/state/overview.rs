//! All stages that keep state, one line each.

use std::fmt;

use crate::CheckedPipeline;
use rivulet_core::error::Result;
use rivulet_pipeline::Stage;

use super::{Group, Stored, show, stateful_stages};
use crate::table::aligned;
use rivulet_kafka::Cluster;

/// The state of every stage of a pipeline, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// The stages in the order of the data flow.
    pub rows: Vec<OverviewRow>,
    /// Why stages would not start with their state.
    pub faults: Vec<String>,
}

/// The state of one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverviewRow {
    /// The stage's name.
    pub stage: String,
    /// What is in its changelog.
    pub state: String,
    /// Whether that matches the committed offsets.
    pub status: String,
    /// The consumer lag in offsets, including transaction markers.
    pub lag: Option<i64>,
}

/// Reads the state of all stages that keep state.
///
/// # Errors
/// As [`show`], except that a missing changelog is a line of the overview.
pub fn overview(pipeline: &CheckedPipeline<'_>) -> Result<Overview> {
    let inventory = Cluster::new(&pipeline.connection())?.inventory()?;
    let mut overview = Overview {
        rows: Vec::new(),
        faults: Vec::new(),
    };
    for stage in stateful_stages(pipeline) {
        let missing = stage
            .from
            .iter()
            .chain([&stage.changelog()])
            .find(|name| !inventory.topics.contains_key(*name))
            .cloned();
        let (state, status, lag) = if let Some(topic) = missing {
            (format!("there is no topic {topic}"), String::new(), None)
        } else {
            let shown = show(pipeline, stage)?;
            overview.faults.extend(shown.fault());
            match shown.kept {
                Stored::States(states) => {
                    let status = states.completeness.to_string();
                    (states.count(), status, lag(pipeline, stage)?)
                }
                Stored::Position(Some(position)) => (position.to_string(), String::new(), None),
                Stored::Position(None) => ("empty".to_owned(), String::new(), None),
            }
        };
        overview.rows.push(OverviewRow {
            stage: stage.name.clone(),
            state,
            status,
            lag,
        });
    }
    Ok(overview)
}

fn lag(pipeline: &CheckedPipeline<'_>, stage: &Stage) -> Result<Option<i64>> {
    if pipeline.stateful_chain(stage).is_none() {
        return Ok(None);
    }
    let group = Group::new(&pipeline.connection(), &stage.group(), &stage.from)?;
    let committed = group.committed()?;
    let mut lag = 0;
    for ((topic, partition), (first, end)) in group.watermarks()? {
        let mut committed = committed.iter();
        let at = committed.find(|at| at.topic == topic && at.partition == partition);
        lag += end - at.map_or(first, |at| at.next);
    }
    Ok(Some(lag))
}

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["stage", "state", "status", "lag"]
            .map(str::to_owned)
            .to_vec();
        let rows = self.rows.iter().map(|row| {
            let status = Some(row.status.clone()).filter(|status| !status.is_empty());
            let lag = row.lag.map(|lag| lag.to_string());
            let [status, lag] = [status, lag].map(|cell| cell.unwrap_or_else(|| "-".to_owned()));
            vec![row.stage.clone(), row.state.clone(), status, lag]
        });
        f.write_str(&aligned(
            &std::iter::once(head).chain(rows).collect::<Vec<_>>(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_a_line() {
        let rows = [
            ("in", "position 14, commit 2", "", None),
            ("ewma", "2 sensors in 1 partition", "incomplete", Some(7)),
        ];
        let rows = rows.map(|(stage, state, status, lag)| OverviewRow {
            stage: stage.into(),
            state: state.into(),
            status: status.into(),
            lag,
        });
        let overview = Overview {
            rows: rows.into(),
            faults: vec![],
        };
        let expected = "\
stage  state                     status      lag
in     position 14, commit 2     -           -
ewma   2 sensors in 1 partition  incomplete  7
";
        assert_eq!(overview.to_string(), expected);
    }
}
