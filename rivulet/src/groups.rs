//! The consumer groups of a pipeline's stages: members and consumer lag.

mod counting;
mod member;
mod snapshot;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use crate::CheckedPipeline;
use rivulet_core::error::Result;
use rivulet_pipeline::{Diagnostic, Diagnostics, Pipeline, Stage, suggest};

pub(crate) use self::counting::LagCounter;
pub use self::member::GroupMember;
pub use self::snapshot::{
    GroupLag, GroupRow, InputPartition, LagGoal, LagPosition, LagTrend, Snapshot,
};
use rivulet_kafka::Cluster;
use rivulet_kafka::Group;

/// The time between two snapshots, long enough to see progress.
const INTERVAL: Duration = Duration::from_secs(1);

/// The stages with these names, or all that read topics, in the order of the data flow.
///
/// # Errors
/// If a stage does not exist, or is a producer, which has no group.
pub fn readers<'p>(
    pipeline: &'p Pipeline,
    names: &[String],
) -> Result<Vec<&'p Stage>, Diagnostics> {
    let readers: Vec<&Stage> = pipeline
        .in_order()
        .into_iter()
        .filter(|stage| !stage.from.is_empty())
        .collect();
    for name in names {
        let stage = pipeline.stage(name)?;
        if stage.from.is_empty() {
            let known: Vec<&str> = readers.iter().map(|stage| stage.name.as_str()).collect();
            let diagnostic = Diagnostic::at(
                stage.place.clone(),
                format!("`{name}` reads no topic, so it has no group"),
            );
            return Err(Diagnostics::new(
                pipeline.text.clone(),
                vec![diagnostic.help(suggest(name, &known))],
            ));
        }
    }
    Ok(readers
        .into_iter()
        .filter(|stage| names.is_empty() || names.contains(&stage.name))
        .collect())
}

/// Takes snapshots of the groups of stages until they reach the goal or the time limit. Waits for
/// unreachable brokers, too. Calls `progress` with the unmet conditions each time. Returns the last
/// snapshot and its unmet conditions.
///
/// # Errors
/// If the brokers are unreachable at the time limit, or a topic does not exist.
pub fn wait(
    pipeline: &CheckedPipeline<'_>,
    stages: &[&Stage],
    goal: LagGoal,
    limit: Duration,
    progress: &mut dyn FnMut(&[String]),
) -> Result<(Snapshot, Vec<String>)> {
    let start = Instant::now();
    let (mut groups, mut before): (Option<Groups<'_>>, Option<Snapshot>) = (None, None);
    loop {
        let looked = match &mut groups {
            Some(groups) => groups.snapshot(),
            None => Groups::new(pipeline, stages).and_then(|new| groups.insert(new).snapshot()),
        };
        let is_over = start.elapsed() >= limit;
        match looked {
            Ok(snapshot) => {
                // Whether a lag grows takes two snapshots, however short the limit.
                let is_first = goal == LagGoal::Steady && before.is_none();
                let unmet = snapshot.unmet(goal, before.as_ref());
                if !is_first && (is_over || unmet.is_empty()) {
                    return Ok((snapshot, unmet));
                }
                progress(&unmet);
                before = Some(snapshot);
            }
            Err(error) if is_over => return Err(error),
            Err(error) => {
                // New clients ask only the brokers that are reachable now.
                groups = None;
                progress(&[error.into_parts().0]);
            }
        }
        let left = limit.saturating_sub(start.elapsed());
        thread::sleep(if goal == LagGoal::Steady {
            INTERVAL
        } else {
            INTERVAL.min(left)
        });
    }
}

/// The consumer groups of stages, and the connection that takes snapshots of them.
struct Groups<'p> {
    pipeline: &'p CheckedPipeline<'p>,
    cluster: Cluster,
    stages: Vec<(&'p Stage, Group)>,
    lags: LagCounter,
}

impl<'p> Groups<'p> {
    fn new(pipeline: &'p CheckedPipeline<'p>, stages: &[&'p Stage]) -> Result<Self> {
        let stages = stages
            .iter()
            .map(|stage| {
                Ok((
                    *stage,
                    Group::new(&pipeline.connection(), &stage.group(), &stage.from)?,
                ))
            })
            .collect::<Result<_>>()?;
        Ok(Groups {
            pipeline,
            cluster: Cluster::new(&pipeline.connection())?,
            stages,
            lags: LagCounter::default(),
        })
    }

    /// Takes a snapshot. Watermarks are read before offsets, and stages in the order of the data
    /// flow: if all lags are zero, everything that was there at the beginning has been processed by
    /// all.
    fn snapshot(&mut self) -> Result<Snapshot> {
        let mut rows = Vec::new();
        for (stage, group) in &self.stages {
            let watermarks = group.stable_watermarks()?;
            let mut positions: BTreeMap<InputPartition, LagPosition> = watermarks
                .into_iter()
                .map(|(place, (first, end))| {
                    (
                        place,
                        LagPosition {
                            next: first,
                            end,
                            lag: GroupLag::default(),
                        },
                    )
                })
                .collect();
            for committed in group.committed()? {
                if let Some(position) = positions.get_mut(&(committed.topic, committed.partition)) {
                    // Records below the log start offset were deleted.
                    position.next = committed.next.max(position.next);
                }
            }
            let (state, members) = (String::new(), Vec::new());
            rows.push(GroupRow {
                stage: stage.name.clone(),
                state,
                members,
                assigned: 0,
                positions,
            });
        }
        self.lags.count(&self.pipeline.connection(), &mut rows)?;
        let groups = self.cluster.groups()?;
        for (row, (stage, _)) in rows.iter_mut().zip(&self.stages) {
            let name = stage.group();
            let Some(group) = groups.iter().find(|group| group.name == name) else {
                continue;
            };
            row.state.clone_from(&group.state);
            row.members = group
                .members
                .iter()
                .map(|member| GroupMember::new(&name, member))
                .collect();
            let assigned = group.members.iter().flat_map(|member| &member.partitions);
            row.assigned = assigned
                .filter(|place| row.positions.contains_key(*place))
                .count();
        }
        Ok(Snapshot { rows })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rivulet_pipeline::Text;

    use super::*;

    #[test]
    fn a_producer_has_no_group() {
        let text = r#"
[sink.out]
from = "b"
sink = "console"
[operator.warm]
from = "a"
steps = [{ threshold = { above = 1 } }]
to = "b"
[producer.in]
source = { list = { values = [1] } }
to = "a"
"#;
        let pipeline = Pipeline::parse(Arc::new(Text {
            path: "p.toml".into(),
            text: text.into(),
        }))
        .unwrap();
        assert_eq!(names(&pipeline, &[]).unwrap(), ["warm", "out"]);
        assert_eq!(names(&pipeline, &["out"]).unwrap(), ["out"]);
        let error = names(&pipeline, &["out", "in"]).unwrap_err();
        assert!(
            error.contains("`in` reads no topic") && error.contains("there are `warm`, `out`"),
            "{error}"
        );
        let error = names(&pipeline, &["wram"]).unwrap_err();
        assert!(error.contains("did you mean `warm`?"), "{error}");
    }

    fn names<'p>(pipeline: &'p Pipeline, wanted: &[&str]) -> Result<Vec<&'p str>, String> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let stages = readers(pipeline, &wanted).map_err(|diagnostics| diagnostics.to_string())?;
        Ok(stages.iter().map(|stage| stage.name.as_str()).collect())
    }
}
