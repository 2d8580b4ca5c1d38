//! States that are migrated, or cannot be.

use rivulet_core::state::StateDigest;
use rivulet_pipeline::ComponentConfig;

use super::*;
use crate::checked::tests::parse;

fn chain(steps: &[&str]) -> Chain {
    let steps: Vec<ComponentConfig> = steps
        .iter()
        .map(|step| ComponentConfig::parse(step).unwrap())
        .collect();
    Chain::build(&steps).unwrap()
}

fn sensor(name: &str, chain: &str, state: &[f64], last: i64) -> StoredSensor {
    StoredSensor {
        partition: 0,
        name: name.into(),
        chain: chain.into(),
        descriptions: Vec::new(),
        states: vec![state.to_vec()],
        offsets: [("in".to_owned(), last)].into(),
        time: None,
    }
}

fn committed(next: i64, last: &[(&str, i64)]) -> Vec<Committed> {
    let metadata = StateDigest::of(last.iter().copied()).to_string();
    vec![Committed {
        topic: "in".into(),
        partition: 0,
        next,
        metadata,
    }]
}

fn migrated(
    steps: &[&str],
    sensors: Vec<StoredSensor>,
    guarantee: Guarantee,
) -> Result<Option<Migrated>, CannotKeep> {
    migrate(
        &chain(steps),
        sensors,
        &committed(5, &[("a", 4), ("b", 2)]),
        guarantee,
    )
}

fn of_two(chain: &str, state: &[f64]) -> Vec<StoredSensor> {
    vec![sensor("a", chain, state, 4), sensor("b", chain, state, 2)]
}

#[test]
fn values_and_offsets_are_migrated_to_the_new_chain() {
    let found = migrated(
        &["ewma = { alpha = 0.3 }"],
        of_two("ewma(alpha=0.5)", &[7.5]),
        Guarantee::ExactlyOnce,
    );
    let expected = Migrated {
        made_by: "ewma(alpha=0.5)".into(),
        sensors: of_two("ewma(alpha=0.3)", &[7.5]),
    };
    assert_eq!(found, Ok(Some(expected)));
    let found = migrated(
        &["average = { window = 2 }"],
        of_two("average(window=3)", &[1.0, 2.0, 3.0]),
        Guarantee::ExactlyOnce,
    );
    assert_eq!(
        found.unwrap().unwrap().sensors,
        of_two("average(window=2)", &[2.0, 3.0])
    );
}

#[test]
fn a_state_of_the_same_chain_is_not_migrated() {
    let sensors = of_two("ewma(alpha=0.5)", &[7.5]);
    assert_eq!(
        migrated(&["ewma = { alpha = 0.5 }"], sensors, Guarantee::ExactlyOnce),
        Ok(None)
    );
    assert_eq!(
        migrated(&["ewma = { alpha = 0.5 }"], vec![], Guarantee::ExactlyOnce),
        Ok(None)
    );
}

fn cause(sensors: Vec<StoredSensor>) -> String {
    let CannotKeep { cause, help } =
        migrated(&["ewma = { alpha = 0.3 }"], sensors, Guarantee::ExactlyOnce).unwrap_err();
    assert_eq!(
        help,
        "restore the old settings, or start with an empty state"
    );
    cause
}

#[test]
fn a_state_that_cannot_be_kept_is_an_error_with_a_remedy() {
    let others = cause(of_two("round(digits=1) → ewma(alpha=0.5)", &[7.5]));
    assert!(
        others.ends_with("`ewma(alpha=0.3)`: these are not the same operators in the same order"),
        "{others}"
    );
    let mixed = vec![
        sensor("a", "ewma(alpha=0.5)", &[1.0], 4),
        sensor("b", "ewma(alpha=0.4)", &[1.0], 2),
    ];
    assert_eq!(cause(mixed), "it was made by several chains");
    let lost = cause(of_two("ewma(alpha=0.5)", &[7.5])[..1].to_vec());
    assert!(
        lost.starts_with(
            "it is incomplete: sensors in the changelog: 1, committed at offset 5 of in/0: 2"
        ),
        "{lost}"
    );
}

#[test]
fn a_state_ahead_of_its_offsets_is_not_kept() {
    let ahead = vec![
        sensor("a", "ewma(alpha=0.5)", &[1.0], 5),
        sensor("b", "ewma(alpha=0.5)", &[1.0], 2),
    ];
    let cannot_keep =
        migrated(&["ewma = { alpha = 0.3 }"], ahead, Guarantee::AtLeastOnce).unwrap_err();
    assert!(
        cannot_keep.cause.contains("ahead of the committed offsets"),
        "{cannot_keep:?}"
    );
    assert!(
        cannot_keep.help.contains("drain the stage"),
        "{cannot_keep:?}"
    );
}

#[test]
fn the_plan_is_shown() {
    let text = "[topic.a]\nexternal = true\n[operator.smooth]\nfrom = \"a\"\nsteps = [{ ewma = \
                { alpha = 0.3 } }]\nto = \"b\"\n";
    let pipeline = parse(text).unwrap();
    let migrated = Migrated {
        made_by: "ewma(alpha=0.5)".into(),
        sensors: of_two("ewma(alpha=0.3)", &[7.5]),
    };
    let now = "ewma(alpha=0.3)".to_owned();
    let stage = &pipeline.stages[0];
    let mut keep = Keep {
        pipeline: &pipeline,
        stage,
        now,
        migrated: Some(migrated),
        committed: committed(5, &[]),
    };
    let expected = "\
topic  partition  next offset
in     0          5
smooth-changelog: the state of 2 sensors, made by `ewma(alpha=0.5)`, is migrated to \
                    `ewma(alpha=0.3)`
smooth continues with its state; no record is processed twice
";
    assert_eq!(keep.to_string(), expected);
    keep.migrated = None;
    assert!(
        keep.to_string()
            .contains("the state in smooth-changelog was made by `ewma(alpha=0.3)`"),
        "{keep}"
    );
}
