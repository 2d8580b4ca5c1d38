//! Sensors that are chosen, and the plan that is shown.

use super::*;
use crate::checked::tests::parse;

fn sensor(partition: i32, name: &str, last: i64, time: Option<i64>) -> StoredSensor {
    StoredSensor {
        partition,
        name: name.into(),
        chain: "ewma(alpha=0.5)".into(),
        descriptions: Vec::new(),
        states: vec![vec![1.0]],
        offsets: [("in".to_owned(), last)].into(),
        time,
    }
}

fn metadata(last: &[(&str, i64)]) -> String {
    StateMetadata {
        digest: StateDigest::of(last.iter().copied()),
        partitions: Some(2),
    }
    .to_string()
}

fn committed(partition: i32, next: i64, last: &[(&str, i64)]) -> Committed {
    Committed {
        topic: "in".into(),
        partition,
        next,
        metadata: metadata(last),
    }
}

const DAY: i64 = 86_400_000;

fn state() -> (Vec<StoredSensor>, Vec<Committed>) {
    let sensors = vec![
        sensor(0, "a", 4, Some(0)),
        sensor(0, "b", 2, Some(40 * DAY)),
        sensor(1, "c", 8, None),
    ];
    (
        sensors,
        vec![
            committed(0, 5, &[("a", 4), ("b", 2)]),
            committed(1, 9, &[("c", 8)]),
        ],
    )
}

fn chosen(which: &ForgetSelection) -> Result<Selected, (String, String)> {
    let (sensors, committed) = state();
    choose(sensors, committed, which, Guarantee::ExactlyOnce)
}

fn named(names: &[&str]) -> ForgetSelection {
    ForgetSelection::Named(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn the_digests_are_those_of_the_remaining_state() {
    let found = chosen(&named(&["b", "c"])).unwrap();
    assert_eq!(
        found
            .forgotten
            .iter()
            .map(|sensor| sensor.name.as_str())
            .collect::<Vec<_>>(),
        ["b", "c"]
    );
    assert_eq!(
        found.offsets,
        [committed(0, 5, &[("a", 4)]), committed(1, 9, &[])]
    );
    let left = Completeness::of(
        &found.offsets,
        &found.offsets,
        &state().0[..1],
        Guarantee::ExactlyOnce,
    );
    assert_eq!(left, Completeness::Complete, "the stage starts with it");
}

#[test]
fn an_offset_set_by_another_tool_gets_no_digest() {
    let (sensors, mut committed) = state();
    committed[1].metadata = "elsewhere".into();
    let found = choose(sensors, committed, &named(&["c"]), Guarantee::ExactlyOnce).unwrap();
    assert_eq!(found.offsets[1].metadata, "elsewhere");
}

#[test]
fn idle_sensors_are_compared_with_the_newest_reading() {
    for (age, expected) in [("30d", &["a"][..]), ("40d", &[])] {
        let found = chosen(&ForgetSelection::Idle(age.parse().unwrap())).unwrap();
        let forgotten = found.forgotten.iter().map(|sensor| sensor.name.as_str());
        assert_eq!(forgotten.collect::<Vec<_>>(), expected);
        assert_eq!(found.timeless, 1);
    }
}

#[test]
fn a_selection_that_cannot_be_forgotten_is_an_error() {
    let (cause, help) = chosen(&named(&["a", "bb"])).unwrap_err();
    assert!(
        cause.contains("no state of a sensor `bb`") && help.contains('b'),
        "{cause}: {help}"
    );
    let (sensors, committed) = state();
    let lost = choose(
        sensors[1..].to_vec(),
        committed.clone(),
        &named(&["b"]),
        Guarantee::ExactlyOnce,
    );
    assert!(lost.unwrap_err().0.contains("is incomplete"));
    let ahead = vec![
        sensor(0, "a", 5, None),
        sensors[1].clone(),
        sensors[2].clone(),
    ];
    let (cause, _) = choose(ahead, committed, &named(&["a"]), Guarantee::AtLeastOnce).unwrap_err();
    assert!(cause.contains("ahead of the committed offsets"), "{cause}");
}

#[test]
fn many_names_are_split_into_several_records() {
    let forgotten: Vec<StoredSensor> = (0..3000)
        .map(|number| sensor(0, &format!("{number:0100}"), 1, None))
        .collect();
    let found = Selected {
        forgotten,
        left: 0,
        timeless: 0,
        chain: None,
        offsets: vec![committed(0, 5, &[])],
    };
    let migrations = migrations(&found);
    assert!(migrations.len() > 2);
    let sensors = migrations.iter().map(|migration| migration.sensors.len());
    assert_eq!(sensors.sum::<usize>(), 3000);
    for migration in &migrations {
        let headers = migration.headers().into_iter();
        let size: usize = headers.filter_map(|(_, value)| Some(value?.len())).sum();
        assert!(size < 2 * NAMES);
        assert_eq!(migration.offsets, [(("in".to_owned(), 0), 5)].into());
    }
}

#[test]
fn the_plan_is_shown() {
    let text = "[topic.in]\nexternal = true\n[operator.smooth]\nfrom = \"in\"\nsteps = [{ ewma \
                = { alpha = 0.5 } }]\nto = \"b\"\n";
    let pipeline = parse(text).unwrap();
    let (pipeline, stage) = (&pipeline, &pipeline.stages[0]);
    let [shown, nothing] = [
        named(&["b", "c"]),
        ForgetSelection::Idle("90d".parse().unwrap()),
    ]
    .map(|which| {
        let found = chosen(&which).unwrap();
        let forget = Forget {
            pipeline,
            stage,
            which,
            found,
        };
        forget.to_string()
    });
    let expected = "\
partition  sensor  last reading
0          b       1970-02-10T00:00:00Z
1          c       -
smooth-changelog: the state of 2 sensors is forgotten, that of 1 sensor is kept
smooth continues at its offsets; a forgotten sensor starts with an empty state when it sends \
                    again
";
    assert_eq!(shown, expected);
    assert!(
        nothing.ends_with("nothing to do: none of 3 sensors is to be forgotten\n"),
        "{nothing}"
    );
    assert!(
        nothing.starts_with("smooth-changelog has no time of the last reading for 1 sensor\n"),
        "{nothing}"
    );
}
