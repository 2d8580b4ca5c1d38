//! The consumer groups of a pipeline's stages: members and consumer lag, and what their processes
//! say of themselves.

mod counting;
mod member;
mod processes;
mod report;
mod snapshot;
mod table;
mod targets;
mod watch;
mod window;

use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::error::Result;
use rivulet_pipeline::{Diagnostic, Diagnostics, Pipeline, Stage, suggest};

pub(crate) use self::counting::LagCounter;
pub use self::member::GroupMember;
pub(crate) use self::processes::{Answer, get, readiness};
pub use self::processes::{ProcessAnswers, ProcessReport};
pub use self::report::{GroupReport, GroupsReport, LagReport, PartitionReport, StageReport};
pub use self::snapshot::{
    GroupLag, GroupRow, InputPartition, LagGoal, LagPosition, LagTrend, Snapshot,
};
pub use self::table::GroupsTable;
pub use self::targets::{ProcessTarget, ProcessTargets};
pub use self::watch::GroupWatch;
pub use self::window::{LagDirection, LagWindow};

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
    let stages = stages(pipeline, names)?;
    let Some(producer) = stages
        .iter()
        .find(|stage| stage.from.is_empty() && names.contains(&stage.name))
    else {
        let readers = stages.into_iter().filter(|stage| !stage.from.is_empty());
        return Ok(readers.collect());
    };
    let readers = pipeline.in_order().into_iter();
    let readers = readers.filter(|stage| !stage.from.is_empty());
    let known: Vec<&str> = readers.map(|stage| stage.name.as_str()).collect();
    let name = &producer.name;
    let diagnostic = Diagnostic::at(
        producer.place.clone(),
        format!("`{name}` reads no topic, so it has no group"),
    );
    Err(Diagnostics::new(
        pipeline.text.clone(),
        vec![diagnostic.help(suggest(name, &known))],
    ))
}

/// The stages with these names, or all, in the order of the data flow.
///
/// # Errors
/// If a stage does not exist.
pub fn stages<'p>(pipeline: &'p Pipeline, names: &[String]) -> Result<Vec<&'p Stage>, Diagnostics> {
    for name in names {
        pipeline.stage(name)?;
    }
    let all = pipeline.in_order().into_iter();
    Ok(all
        .filter(|stage| names.is_empty() || names.contains(&stage.name))
        .collect())
}

/// Looks at the groups of stages until they reach the goal or the time limit. Waits for unreachable
/// brokers, too. Calls `progress` with the unmet conditions each time. Returns the last snapshot
/// and its unmet conditions.
///
/// # Errors
/// If the brokers are unreachable at the time limit, or a topic does not exist.
pub fn wait(
    watch: &mut GroupWatch<'_>,
    goal: LagGoal,
    limit: Duration,
    progress: &mut dyn FnMut(&[String]),
) -> Result<(Snapshot, Vec<String>)> {
    let start = Instant::now();
    let mut before: Option<Snapshot> = None;
    loop {
        let looked = watch.look();
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
            Err(error) => progress(&[error.into_parts().0]),
        }
        let left = limit.saturating_sub(start.elapsed());
        thread::sleep(if goal == LagGoal::Steady {
            INTERVAL
        } else {
            INTERVAL.min(left)
        });
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
