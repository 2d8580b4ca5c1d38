//! All stages that keep something, a line each.

use std::fmt;

use stream::error::Result;
use stream::pipeline::{Pipeline, Stage};

use super::{Group, Stored, chain, keepers, show};
use crate::cluster::Cluster;
use crate::table::aligned;

/// What every stage of a pipeline remembers, in a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    /// The stages in the order of the data's way.
    pub rows: Vec<OverviewRow>,
    /// Why stages would not start with their state.
    pub faults: Vec<String>,
}

/// What one stage remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverviewRow {
    /// The stage's name.
    pub stage: String,
    /// What its changelog comes to.
    pub state: String,
    /// Whether that is what was noted at the committed offsets.
    pub whole: String,
    /// How many offsets the stage is behind the ends of its inputs, marks of transactions among
    /// them.
    pub lag: Option<i64>,
}

/// Looks at all stages that keep something; the pipeline has been [checked](crate::check::check).
///
/// # Errors
/// As [`show`] does; but a changelog that does not exist is a line of its own.
pub fn overview(pipeline: &Pipeline) -> Result<Overview> {
    let inventory = Cluster::new(&pipeline.kafka)?.inventory()?;
    let mut overview = Overview {
        rows: Vec::new(),
        faults: Vec::new(),
    };
    for stage in keepers(pipeline) {
        let lacking = stage
            .from
            .iter()
            .chain([&stage.changelog()])
            .find(|name| !inventory.topics.contains_key(*name))
            .cloned();
        let row = |state, whole, lag| OverviewRow {
            stage: stage.name.clone(),
            state,
            whole,
            lag,
        };
        if let Some(topic) = lacking {
            overview.rows.push(row(
                format!("there is no topic {topic}"),
                String::new(),
                None,
            ));
            continue;
        }
        let shown = show(pipeline, stage)?;
        overview.faults.extend(shown.fault());
        let lag = lag(pipeline, stage)?;
        overview.rows.push(match shown.kept {
            Stored::States(states) => row(states.count(), states.whole.to_string(), lag),
            Stored::Position(Some(position)) => row(position.to_string(), String::new(), None),
            Stored::Position(None) => row("empty".to_owned(), String::new(), None),
        });
    }
    Ok(overview)
}

fn lag(pipeline: &Pipeline, stage: &Stage) -> Result<Option<i64>> {
    if chain(pipeline, stage).is_none() {
        return Ok(None);
    }
    let group = Group::new(pipeline, stage)?;
    let committed = group.committed()?;
    let behind = group
        .ends()?
        .into_iter()
        .map(|((topic, partition), (first, end))| {
            let next = committed
                .iter()
                .find(|committed| committed.topic == topic && committed.partition == partition);
            end - next.map_or(first, |committed| committed.next)
        });
    Ok(Some(behind.sum()))
}

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["stage", "state", "noted", "lag"]
            .map(str::to_owned)
            .to_vec();
        let dash = |text: &str| {
            if text.is_empty() {
                "-".to_owned()
            } else {
                text.to_owned()
            }
        };
        let rows = self.rows.iter().map(|row| {
            vec![
                row.stage.clone(),
                row.state.clone(),
                dash(&row.whole),
                dash(&row.lag.map_or(String::new(), |lag| lag.to_string())),
            ]
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
        let row = |stage: &str, state: &str, whole: &str, lag| OverviewRow {
            stage: stage.into(),
            state: state.into(),
            whole: whole.into(),
            lag,
        };
        let overview = Overview {
            rows: vec![
                row("in", "position 14, commit 2", "", None),
                row("ewma", "2 sensors in 1 partition", "not whole", Some(7)),
            ],
            faults: vec![],
        };
        let expected = "stage  state                     noted      lag
in     position 14, commit \
                        2     -          -
ewma   2 sensors in 1 partition  not whole  7
";
        assert_eq!(overview.to_string(), expected);
    }
}
