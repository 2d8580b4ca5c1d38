//! Stages before and after changes of their settings.

use std::collections::BTreeSet;

use std::time::Duration;

use proptest::prelude::*;
use rivulet_core::operator::{Operator, emitted};
use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;
use rivulet_operators::Chain;
use rivulet_pipeline::ComponentConfig;

use super::*;

fn migration(remedy: MigrationKind, chain: Option<&str>, offsets: &[(i32, i64)]) -> Migration {
    let offsets = offsets
        .iter()
        .map(|(partition, offset)| (("in".to_owned(), *partition), *offset))
        .collect();
    Migration {
        remedy,
        chain: chain.map(str::to_owned),
        offsets,
        sensors: BTreeSet::new(),
    }
}

fn history(now: &str, migrations: Vec<Migration>) -> StageHistory {
    StageHistory::new(Step::described(now).unwrap(), migrations)
}

fn series(values: &[f64]) -> Series {
    let entries = (0..).zip(values).map(|(seq, value)| Entry {
        seq,
        time: 0,
        value: *value,
        unit: Some(Unit::Celsius),
    });
    Series {
        entries: entries.collect(),
        ..Series::default()
    }
}

fn seen(sensor: u32, partition: i32, offset: i64) -> SeenReading<'static> {
    SeenReading {
        topic: "in",
        sensor: (sensor, "a"),
        partition,
        offset,
        time: 0,
        is_keyed: true,
    }
}

/// The output for the only sensor in partition 0.
fn run(history: &mut StageHistory, values: &[f64]) -> Result<Vec<f64>, String> {
    (0..)
        .zip(values)
        .for_each(|(offset, _)| history.observe(seen(0, 0, offset)));
    let series = history.run(
        "in",
        (0, "a"),
        &series(values),
        None,
        &mut StageCounts::default(),
    )?;
    Ok(series.entries.iter().map(|entry| entry.value).collect())
}

const VALUES: [f64; 5] = [8.0, 16.0, 0.0, 8.0, 8.0];

#[test]
fn readings_are_processed_with_the_steps_of_their_time() {
    let with = |remedy| vec![migration(remedy, Some("ewma(alpha=0.5)"), &[(0, 3)])];
    let kept = run(
        &mut history("ewma(alpha=0.25)", with(MigrationKind::Kept)),
        &VALUES,
    );
    assert_eq!(kept.unwrap(), [12.0, 6.0, 6.5, 6.875]);
    let reset = run(
        &mut history("ewma(alpha=0.25)", with(MigrationKind::Reset)),
        &VALUES,
    );
    assert_eq!(reset.unwrap(), [12.0, 6.0, 8.0]);
    let why = run(
        &mut history("ewma(alpha=0.25)", with(MigrationKind::Anew)),
        &VALUES,
    );
    assert!(
        why.is_ok()
            && history("ewma(alpha=0.25)", with(MigrationKind::Anew))
                .check_verifiable()
                .is_err()
    );
}

#[test]
fn only_a_forgotten_sensor_starts_with_an_empty_state() {
    for (name, expected) in [
        ("a", vec![12.0, 6.0, 8.0]),
        ("b", vec![12.0, 6.0, 7.0, 7.5]),
    ] {
        let forgotten = Migration {
            sensors: [name.to_owned()].into(),
            ..migration(MigrationKind::Forgotten, Some("ewma(alpha=0.5)"), &[(0, 3)])
        };
        let mut history = history("ewma(alpha=0.5)", vec![forgotten]);
        assert_eq!(run(&mut history, &VALUES), Ok(expected));
    }
}

/// The output for readings of two sensors (sensor, time, value) in one partition.
fn expired(ttl: u64, migrations: Vec<Migration>, readings: &[(u32, i64, f64)]) -> [Vec<f64>; 2] {
    let rules = Rules {
        state_ttl: Some(Duration::from_millis(ttl)),
        ..Rules::default()
    };
    let mut history = history("average(window=2)", migrations).with(rules);
    for (offset, (sensor, time, _)) in (0..).zip(readings) {
        let name = ["a", "b"][*sensor as usize];
        history.observe(SeenReading {
            topic: "in",
            sensor: (*sensor, name),
            partition: 0,
            offset,
            time: *time,
            is_keyed: true,
        });
    }
    [0, 1].map(|sensor| {
        let of_one = readings.iter().filter(|reading| reading.0 == sensor);
        let series = series(&of_one.map(|reading| reading.2).collect::<Vec<_>>());
        let out = history.run(
            "in",
            (sensor, ["a", "b"][usize::try_from(sensor).unwrap()]),
            &series,
            None,
            &mut StageCounts::default(),
        );
        out.unwrap()
            .entries
            .iter()
            .map(|entry| entry.value)
            .collect()
    })
}

#[test]
fn a_sensor_expires_by_the_newest_reading_of_its_partition() {
    for (times, means, why) in [
        ([0, 10, 10, 10], &[2.0, 4.0][..], "only 10 ahead"),
        ([0, 11, 5, 5], &[4.0], "another sensor is 11 ahead"),
        ([0, 0, 11, 11], &[4.0], "the sensor itself is 11 ahead"),
        ([0, 30, 20, 20], &[4.0], "30 ahead, then only 10"),
    ] {
        let [a, b, again, last] = times;
        let readings = [(0, a, 1.0), (1, b, 5.0), (0, again, 3.0), (0, last, 5.0)];
        assert_eq!(expired(10, Vec::new(), &readings)[0], means, "{why}");
    }
}

#[test]
fn after_a_migration_the_newest_time_is_that_of_the_state() {
    let readings = [
        (0, 0, 1.0),
        (1, 30, 5.0),
        (0, 5, 3.0),
        (0, 5, 5.0),
        (1, 30, 7.0),
    ];
    assert_eq!(
        expired(10, Vec::new(), &readings),
        [vec![], vec![6.0]],
        "each time 25 behind"
    );
    let forgotten = Migration {
        sensors: ["b".to_owned()].into(),
        ..migration(
            MigrationKind::Forgotten,
            Some("average(window=2)"),
            &[(0, 2)],
        )
    };
    assert_eq!(
        expired(10, vec![forgotten], &readings),
        [vec![2.0, 4.0], vec![]]
    );
    let reset = migration(MigrationKind::Reset, Some("average(window=2)"), &[(0, 2)]);
    assert_eq!(expired(10, vec![reset], &readings), [vec![4.0], vec![]]);
}

#[test]
fn resolved_readings_do_not_count_as_before_a_migration() {
    let migrations = vec![migration(
        MigrationKind::Reset,
        Some("average(window=1)"),
        &[(0, 3)],
    )];
    let mut history = history("average(window=2)", migrations);
    (0..5).for_each(|offset| history.observe(seen(0, 0, offset)));
    history.remove_observed("in", 0, 4);
    history.remove_observed("in", 0, 1);
    let out = history
        .run(
            "in",
            (0, "a"),
            &series(&[1.0, 2.0, 3.0]),
            None,
            &mut StageCounts::default(),
        )
        .unwrap();
    assert_eq!(
        out.entries
            .iter()
            .map(|entry| entry.value)
            .collect::<Vec<_>>(),
        [1.0, 2.0]
    );
}

#[test]
fn unknown_steps_matter_only_if_they_processed_a_reading() {
    let known = migration(MigrationKind::Reset, Some("average(window=1)"), &[(0, 2)]);
    let unknown = |offset| migration(MigrationKind::Reset, None, &[(0, offset)]);
    let mut empty = history("average(window=1)", vec![known.clone(), unknown(2)]);
    assert_eq!(run(&mut empty, &VALUES), Ok(VALUES.to_vec()));
    let why = run(
        &mut history("average(window=1)", vec![known, unknown(4)]),
        &VALUES,
    )
    .unwrap_err();
    assert_eq!(why, "its steps before its state was reset are unknown");
    let strange = migration(MigrationKind::Kept, Some("median(window=3)"), &[(0, 2)]);
    let why = run(&mut history("average(window=1)", vec![strange]), &VALUES).unwrap_err();
    assert!(
        why.contains("`median(window=3)`, which verify does not know"),
        "{why}"
    );
}

#[test]
fn contradictory_migrations_are_not_verifiable() {
    let at = |remedy, offset| migration(remedy, Some("average(window=1)"), &[(0, offset)]);
    let mut back = history(
        "average(window=1)",
        vec![at(MigrationKind::Reset, 3), at(MigrationKind::Reset, 1)],
    );
    assert!(run(&mut back, &VALUES).unwrap_err().contains("set back"));
    let mut others = history("ewma(alpha=1)", vec![at(MigrationKind::Kept, 3)]);
    assert!(
        run(&mut others, &VALUES)
            .unwrap_err()
            .contains("other steps than those of the file")
    );
}

/// A chain with one averaging step, of either kind. The setting is a number from 1 to 5.
fn described(is_ewma: bool, setting: u8) -> String {
    if is_ewma {
        format!(
            "threshold(above=-50) → ewma(alpha={})",
            f64::from(setting) / 5.0
        )
    } else {
        format!("threshold(above=-50) → average(window={setting})")
    }
}

/// The output, computed naively: the state is a list of values, one value for an EWMA.
fn naive(is_ewma: bool, times: &[(u8, bool, Vec<f64>)]) -> Vec<f64> {
    let (mut state, mut out) = (Vec::<f64>::new(), Vec::new());
    for (setting, is_kept, values) in times {
        let size = if is_ewma { 1 } else { usize::from(*setting) };
        state = state.split_off(state.len().saturating_sub(size));
        for value in values.iter().filter(|value| **value > -50.0) {
            if is_ewma {
                let alpha = f64::from(*setting) / 5.0;
                if let Some(last) = state.pop() {
                    state.push(last + alpha * (value - last));
                    out.push(state[0]);
                } else {
                    state.push(*value);
                }
            } else {
                state = [&state[state.len().saturating_sub(size - 1)..], &[*value]].concat();
                if state.len() == size {
                    out.push(state.iter().sum::<f64>() / f64::from(*setting));
                }
            }
        }
        if !is_kept {
            state.clear();
        }
    }
    out
}

/// The output of the operators.
fn operators(is_ewma: bool, times: &[(u8, bool, Vec<f64>)]) -> Vec<f64> {
    let (mut previous, mut out) = (None::<(String, Vec<Vec<f64>>)>, Vec::new());
    for (setting, is_kept, values) in times {
        let chain =
            Chain::build(&ComponentConfig::described(&described(is_ewma, *setting)).unwrap())
                .unwrap();
        let mut states = match previous.take() {
            Some((made_by, kept)) => chain.migrate_from(&made_by, &kept).unwrap(),
            None => chain.new_states(),
        };
        for value in values {
            let reading = Reading {
                sensor: "a".into(),
                seq: 0,
                time: 0,
                value: *value,
                unit: None,
            };
            let emitted = emitted(&chain, reading, &mut states).unwrap();
            out.extend(emitted.iter().map(|reading| reading.value));
        }
        let numbers = states.iter().map(|state| state.numbers().into_owned());
        previous = is_kept.then(|| (chain.describe(), numbers.collect()));
    }
    out
}

fn any_values() -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(-60.0..60.0_f64, 0..7)
}

fn is_close(found: &[f64], expected: &[f64]) -> bool {
    found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(one, other)| (one - other).abs() < 1e-9)
}

proptest! {
    /// Two sensors in two partitions, with records of others between theirs, and migrations at
    /// any offsets.
    #[test]
    fn it_matches_a_naive_computation_and_the_operators(
        is_ewma: bool,
        times in proptest::collection::vec(
            (1..=5_u8, any::<bool>(), [any_values(), any_values()]),
            1..6,
        ),
        gap in 1..4_i64,
    ) {
        let mut ends = [0_i64; 2];
        let mut migrations = Vec::new();
        for (setting, is_kept, values) in &times {
            for (end, values) in ends.iter_mut().zip(values) {
                *end += gap * i64::try_from(values.len()).unwrap();
            }
            let remedy = if *is_kept { MigrationKind::Kept } else { MigrationKind::Reset };
            let chain = described(is_ewma, *setting);
            migrations.push(migration(remedy, Some(&chain), &[(0, ends[0]), (1, ends[1])]));
        }
        migrations.pop();
        let mut history = history(&described(is_ewma, times[times.len() - 1].0), migrations);
        for (index, partition) in [(0_u32, 0), (1, 1)] {
            let mut of_one: Vec<(u8, bool, Vec<f64>)> = Vec::new();
            for (setting, is_kept, values) in &times {
                of_one.push((*setting, *is_kept, values[index as usize].clone()));
            }
            let times = of_one;
            let values: Vec<f64> =
                times.iter().flat_map(|(.., values)| values).copied().collect();
            for (number, _) in (0..).zip(&values) {
                history.observe(seen(index, partition, number * gap));
            }
            let (values, mut counts) = (series(&values), StageCounts::default());
            let out = history.run("in", (index, "a"), &values, None, &mut counts).unwrap();
            let out: Vec<f64> = out.entries.iter().map(|entry| entry.value).collect();
            prop_assert!(is_close(&out, &naive(is_ewma, &times)), "{out:?}, {times:?}");
            prop_assert!(is_close(&out, &operators(is_ewma, &times)), "{out:?}, {times:?}");
        }
    }
}
