//! What stages remember: shown as their changelogs hold it, kept under new settings, and forgotten.
//!
//! [`show`] tells whether a state is whole: beside each offset that a stage commits it notes what
//! the state comes to that belongs there ([`StateDigest`](stream::state::StateDigest)), and the
//! stage refuses to start when its changelog comes to something else. [`Reset::plan`] is the remedy
//! then. It also refuses a state that was made under other settings, which [`check`] finds before;
//! there is [`Keep::plan`], too.

mod changelog;
mod check;
mod forget;
pub(crate) mod group;
mod keep;
mod overview;
mod reset;
mod resume;
mod shown;
mod transaction;
mod whole;

use operators::Chain;
use stream::error::Result;
use stream::operator::Operator;
use stream::pipeline::{Diagnostic, Diagnostics, Pipeline, Stage, StageKind, suggest};

use self::changelog::Changelog;
pub use self::check::{Checked, Finding, check};
pub use self::forget::{Age, Forget, ForgetSelection};
use self::group::Group;
pub use self::keep::Keep;
pub use self::overview::{Overview, OverviewRow, overview};
pub use self::reset::{Move, Reset};
pub use self::resume::Resume;
pub use self::shown::{Shown, Stored, StoredPosition, StoredSensor, StoredStates};
pub use self::whole::{StateDifference, Whole};

/// How often a state is read that changes meanwhile, before that is all that is said of it.
const LOOKS: usize = 3;

/// The stage of that name, which must be one that keeps something in a changelog.
///
/// # Errors
/// A mistake that lists those that do.
pub fn keeper<'p>(pipeline: &'p Pipeline, name: &str) -> Result<&'p Stage, Diagnostics> {
    let stage = pipeline.stage(name)?;
    if keeps(pipeline, stage) {
        return Ok(stage);
    }
    let keepers: Vec<&str> = keepers(pipeline).map(|stage| stage.name.as_str()).collect();
    let diagnostic = Diagnostic::at(stage.place.clone(), format!("`{name}` keeps no state"));
    Err(Diagnostics::new(
        pipeline.text.clone(),
        vec![diagnostic.help(suggest(name, &keepers))],
    ))
}

/// The stages that keep something in a changelog: the state of sensors, or a source's position.
pub fn keepers(pipeline: &Pipeline) -> impl Iterator<Item = &Stage> {
    pipeline
        .in_order()
        .into_iter()
        .filter(|stage| keeps(pipeline, stage))
}

fn keeps(pipeline: &Pipeline, stage: &Stage) -> bool {
    matches!(stage.kind, StageKind::Producer { .. }) || chain(pipeline, stage).is_some()
}

/// The chain of an operator stage that keeps state; the pipeline has been checked.
pub(crate) fn chain(pipeline: &Pipeline, stage: &Stage) -> Option<Chain> {
    let StageKind::Operator { steps } = &stage.kind else {
        return None;
    };
    operators::stage::chain(pipeline, stage, steps)
        .ok()
        .filter(|chain| chain.states() > 0)
}

/// What a stage remembers, as its changelog holds it now; the pipeline has been
/// [checked](crate::check::check).
///
/// # Errors
/// If the cluster does not answer, the changelog does not exist, holds something else, or a
/// transaction on it stays open.
pub fn show(pipeline: &Pipeline, stage: &Stage) -> Result<Shown> {
    let kept = match chain(pipeline, stage) {
        None => Stored::Position(Changelog::read(&pipeline.kafka, &stage.changelog())?.position()?),
        Some(chain) => Stored::States(states(pipeline, stage, &chain)?),
    };
    Ok(Shown {
        stage: stage.name.clone(),
        kept,
    })
}

fn states(pipeline: &Pipeline, stage: &Stage, chain: &Chain) -> Result<StoredStates> {
    let group = Group::new(pipeline, stage)?;
    let mut before = group.committed()?;
    let mut looks = 0;
    loop {
        let changelog = Changelog::read(&pipeline.kafka, &stage.changelog())?;
        let sensors = changelog.sensors()?;
        // A stage at work commits meanwhile: what was read may belong to either.
        let after = group.committed()?;
        let whole = Whole::judge(&before, &after, &sensors, pipeline.guarantee);
        looks += 1;
        if whole != Whole::Moving || looks == LOOKS {
            return Ok(StoredStates {
                chain: chain.describe(),
                keepers: chain.keepers(),
                inputs: stage.from.clone(),
                partitions: changelog.partitions,
                sensors,
                whole,
            });
        }
        before = after;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stream::pipeline::Text;

    use super::*;

    #[test]
    fn only_stages_that_keep_something_have_a_state() {
        let text = r#"
[producer.in]
source = { list = { values = [1] } }
to = "a"
[operator.warm]
from = "a"
steps = [{ threshold = { above = 1 } }]
to = "b"
[operator.smooth]
from = "b"
steps = [{ ewma = { alpha = 0.5 } }]
to = "c"
[sink.out]
from = "c"
sink = "console"
"#;
        let pipeline = Pipeline::parse(Arc::new(Text {
            path: "p.toml".into(),
            text: text.into(),
        }))
        .unwrap();
        let names: Vec<&str> = keepers(&pipeline)
            .map(|stage| stage.name.as_str())
            .collect();
        assert_eq!(names, ["in", "smooth"]);
        assert_eq!(keeper(&pipeline, "smooth").unwrap().name, "smooth");
        let shown = keeper(&pipeline, "warm").unwrap_err().to_string();
        assert!(
            shown.contains("`warm` keeps no state") && shown.contains("there are `in`, `smooth`"),
            "{shown}"
        );
        assert!(
            keeper(&pipeline, "smoth")
                .unwrap_err()
                .to_string()
                .contains("did you mean `smooth`?")
        );
    }
}
