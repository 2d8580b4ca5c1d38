//! The state of stages: shown as in their changelogs, kept with other settings, reset or forgotten.
//!
//! [`show`] shows whether a state is complete. A stage commits a digest of its state
//! ([`StateDigest`](rivulet_core::state::StateDigest)) in the metadata of each offset, and does not
//! start if its changelog does not match the digest. [`Reset::plan`] is the remedy then. A stage
//! does not start either with a state that was made with other settings. [`check`] finds that in
//! advance, and [`Keep::plan`] is another remedy.

mod changelog;
mod check;
mod completeness;
mod forget;
mod keep;
mod overview;
mod reset;
mod resume;
mod shown;
mod transaction;

use crate::CheckedPipeline;
use rivulet_core::error::Result;
use rivulet_core::operator::Operator;
use rivulet_operators::Chain;
use rivulet_pipeline::{Diagnostic, Diagnostics, Stage, StageKind, suggest};

use self::changelog::Changelog;
pub use self::check::{Checked, Finding, check};
pub use self::completeness::{Completeness, StateDifference};
pub use self::forget::{Forget, ForgetSelection};
pub use self::keep::Keep;
pub use self::overview::{Overview, OverviewRow, overview};
pub use self::reset::{Move, Reset};
pub use self::resume::Resume;
pub use self::shown::{StageState, Stored, StoredPosition, StoredSensor, StoredStates};
use rivulet_kafka::Group;

/// How often a state is read again if it changes while it is read.
const ATTEMPTS: usize = 3;

/// The stage of this name, if it keeps state.
///
/// # Errors
/// A diagnostic that lists the stages that keep state.
pub fn stateful_stage<'p>(
    pipeline: &'p CheckedPipeline<'p>,
    name: &str,
) -> Result<&'p Stage, Diagnostics> {
    let stage = pipeline.stage(name)?;
    if is_stateful(pipeline, stage) {
        return Ok(stage);
    }
    let stateful: Vec<&str> = stateful_stages(pipeline)
        .map(|stage| stage.name.as_str())
        .collect();
    let diagnostic = Diagnostic::at(stage.place.clone(), format!("`{name}` keeps no state"));
    Err(Diagnostics::new(
        pipeline.text.clone(),
        vec![diagnostic.help(suggest(name, &stateful))],
    ))
}

/// The stages that keep state in a changelog: the state of sensors, or the position of a source.
pub fn stateful_stages<'p>(pipeline: &'p CheckedPipeline<'_>) -> impl Iterator<Item = &'p Stage> {
    pipeline
        .in_order()
        .into_iter()
        .filter(|stage| is_stateful(pipeline, stage))
}

fn is_stateful(pipeline: &CheckedPipeline<'_>, stage: &Stage) -> bool {
    matches!(stage.kind, StageKind::Producer { .. }) || pipeline.stateful_chain(stage).is_some()
}

/// The state of a stage in its changelog.
///
/// # Errors
/// If the brokers are unreachable, the changelog does not exist or has foreign records, or a
/// transaction on it stays open.
pub fn show(pipeline: &CheckedPipeline<'_>, stage: &Stage) -> Result<StageState> {
    let kept = match pipeline.stateful_chain(stage) {
        None => Stored::Position(
            Changelog::read(&pipeline.connection(), &stage.changelog())?.position()?,
        ),
        Some(chain) => Stored::States(states(pipeline, stage, &chain)?),
    };
    Ok(StageState {
        stage: stage.name.clone(),
        kept,
    })
}

fn states(pipeline: &CheckedPipeline<'_>, stage: &Stage, chain: &Chain) -> Result<StoredStates> {
    let group = Group::new(&pipeline.connection(), &stage.group(), &stage.from)?;
    let mut before = group.committed()?;
    let mut attempts = 0;
    loop {
        let changelog = Changelog::read(&pipeline.connection(), &stage.changelog())?;
        let mut sensors = changelog.sensors()?;
        // A running stage may have committed meanwhile: the state may match either commit.
        let after = group.committed()?;
        let completeness = Completeness::of(&before, &after, &sensors, pipeline.guarantee);
        attempts += 1;
        if completeness != Completeness::Changing || attempts == ATTEMPTS {
            for sensor in &mut sensors {
                describe(sensor, chain);
            }
            return Ok(StoredStates {
                chain: chain.describe(),
                keepers: chain.state_owners(),
                inputs: stage.from.clone(),
                partitions: changelog.partitions,
                sensors,
                completeness,
            });
        }
        before = after;
    }
}

/// Lets the operators describe the state that they have made.
fn describe(sensor: &mut StoredSensor, chain: &Chain) {
    if sensor.chain != chain.describe() {
        return;
    }
    if let Ok(states) = chain.restore(&sensor.states) {
        sensor.descriptions = states.iter().map(|state| state.describe()).collect();
    }
}

#[cfg(test)]
mod tests {

    use std::borrow::Cow;

    use rivulet_core::key_state::KeyState;
    use rivulet_core::keyed::Keyed;
    use rivulet_core::operator::Emitter;
    use rivulet_core::reading::{InvalidReading, Reading};

    use super::*;
    use crate::checked::tests::parse;

    struct Count;

    #[derive(Debug, Default)]
    struct Readings(f64);

    impl KeyState for Readings {
        fn numbers(&self) -> Cow<'_, [f64]> {
            vec![self.0].into()
        }

        fn describe(&self) -> String {
            format!("{} readings", self.0)
        }
    }

    impl Keyed for Count {
        type State = Readings;

        fn process(
            &self,
            reading: Reading<'_>,
            count: &mut Readings,
            out: &mut Emitter<'_>,
        ) -> Result<(), InvalidReading> {
            count.0 += 1.0;
            out.emit(reading)
        }

        fn numbers(&self) -> usize {
            1
        }

        fn restore(&self, numbers: &[f64]) -> Result<Readings, String> {
            numbers
                .first()
                .map(|count| Readings(*count))
                .ok_or_else(|| "no count".into())
        }

        fn describe(&self) -> String {
            "count()".to_owned()
        }
    }

    #[test]
    fn a_state_is_shown_in_the_words_of_its_operator() {
        let chain = Chain::new(vec![Box::new(Count)]);
        let sensor = |chain: &str, numbers: &[f64]| StoredSensor {
            partition: 0,
            name: "kitchen".to_owned(),
            chain: chain.to_owned(),
            states: vec![numbers.to_vec()],
            descriptions: vec!["as numbers".to_owned()],
            offsets: [].into(),
            time: None,
        };
        for (mut sensor, shown) in [
            (sensor("count()", &[7.0]), "7 readings"),
            (sensor("another()", &[7.0]), "as numbers"),
            (sensor("count()", &[]), "as numbers"),
        ] {
            describe(&mut sensor, &chain);
            assert_eq!(sensor.descriptions, [shown]);
        }
    }

    #[test]
    fn only_stages_with_a_state_are_listed() {
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
        let pipeline = parse(text).unwrap();
        let names: Vec<&str> = stateful_stages(&pipeline)
            .map(|stage| stage.name.as_str())
            .collect();
        assert_eq!(names, ["in", "smooth"]);
        assert_eq!(stateful_stage(&pipeline, "smooth").unwrap().name, "smooth");
        let shown = stateful_stage(&pipeline, "warm").unwrap_err().to_string();
        assert!(
            shown.contains("`warm` keeps no state") && shown.contains("there are `in`, `smooth`"),
            "{shown}"
        );
        assert!(
            stateful_stage(&pipeline, "smoth")
                .unwrap_err()
                .to_string()
                .contains("did you mean `smooth`?")
        );
    }
}
