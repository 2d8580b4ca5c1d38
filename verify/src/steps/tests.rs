//! Each step beside the operator that it checks.

use proptest::prelude::*;
use rivulet_core::operator::{Operator, emitted};
use rivulet_core::reading::Reading;
use rivulet_operators::catalog;
use serde_json::{Map, Value};

use super::super::diff::close;
use super::*;

/// Settings besides those of the catalog's examples.
const OTHERS: &[&str] = &[
    "average = { window = 1 }",
    "average = { window = 7 }",
    "convert = { from = \"fahrenheit\", to = \"kelvin\" }",
    "convert = { from = \"kelvin\", to = \"celsius\" }",
    "convert = { from = \"celsius\", to = \"celsius\" }",
    "ewma = { alpha = 1 }",
    "ewma = { alpha = 0.1, emit-seed = true }",
    "mean-of = { sensors = 1 }",
    "mean-of = { sensors = 3 }",
    "noise = { amplitude = 0.25, seed = 18446744073709551615 }",
    "round = { digits = 1 }",
    "round = { digits = 15 }",
    "threshold = { below = -1.5 }",
    "threshold = { at-least = 0 }",
    "threshold = { at-most = 1e300 }",
];

/// Every component of the operators' catalog with each subset of the settings of its example,
/// and with some other settings.
fn catalog_steps() -> Vec<String> {
    let mut steps: Vec<String> = OTHERS.iter().map(|step| (*step).to_owned()).collect();
    for row in catalog::built_in().entries() {
        let settings: Map<String, Value> = ComponentConfig::parse(row.example)
            .unwrap()
            .settings()
            .unwrap();
        for mask in 0..1 << settings.len() {
            let subset = settings
                .iter()
                .enumerate()
                .filter(|(index, _)| mask & 1 << index != 0);
            let subset: Vec<String> = subset
                .map(|(_, (key, value))| format!("{key} = {value}"))
                .collect();
            steps.push(format!("{} = {{ {} }}", row.name, subset.join(", ")));
        }
    }
    steps
}

#[test]
fn it_knows_exactly_the_steps_of_the_operators() {
    for text in catalog_steps() {
        let config = ComponentConfig::parse(&text).unwrap();
        let known = Step::read(&config).is_ok_and(|step| step.is_some());
        assert_eq!(known, catalog::build(&config).is_ok(), "{text}");
    }
}

/// The outcome of a reading, and the result.
type Out = (StepOutcome, Entry);

/// What an operator makes of readings of two sensors.
fn by_operator(config: &ComponentConfig, readings: &[(bool, Entry)]) -> Vec<Out> {
    let operator = catalog::build(config).unwrap();
    // A chain rejects values that are not finite.
    let chain = rivulet_operators::Chain::new(vec![operator]);
    let mut states = [0, 1].map(|_| chain.new_states());
    let mut out = Vec::new();
    for (is_other, entry) in readings {
        let Entry {
            seq,
            time,
            value,
            unit,
        } = *entry;
        let reading = Reading {
            sensor: NAMES[usize::from(*is_other)].into(),
            seq,
            time,
            value,
            unit,
        };
        let emitted = emitted(&chain, reading, &mut states[usize::from(*is_other)]);
        out.push(match emitted.as_deref() {
            Ok([reading]) => {
                let Reading {
                    seq,
                    time,
                    value,
                    unit,
                    ..
                } = *reading;
                let result = Entry {
                    seq,
                    time,
                    value,
                    unit,
                };
                (StepOutcome::Pass, result)
            }
            Ok([]) => (StepOutcome::Drop, *entry),
            Ok(_) => panic!(
                "{}: verify knows no step that emits several",
                chain.describe()
            ),
            Err(_) => (StepOutcome::DeadLetter, *entry),
        });
    }
    out
}

const NAMES: [&str; 2] = ["seattle", "são paulo"];

fn by_oracle(config: &ComponentConfig, readings: &[(bool, Entry)]) -> Vec<Out> {
    let step = Step::read(config).unwrap().unwrap();
    let mut states = [StepState::default(), StepState::default()];
    let mut out = Vec::new();
    for (is_other, entry) in readings {
        let (index, mut entry) = (usize::from(*is_other), *entry);
        let outcome = step.apply(NAMES[index], &mut states[index], &mut entry);
        out.push((outcome, entry));
    }
    out
}

/// Mostly temperatures, and numbers that are hard to add, round or convert.
fn any_reading() -> impl Strategy<Value = (bool, Entry)> {
    let special = proptest::sample::select(
        &[
            0.0,
            -0.0,
            0.5,
            2.5,
            1e16,
            -1e16,
            1.0,
            f64::MAX,
            f64::MIN,
            5e-324,
        ][..],
    );
    let any_size = proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL;
    let value = prop_oneof![4 => -60.0..60.0_f64, 1 => special, 1 => any_size];
    let unit = prop_oneof![
        4 => Just(Some(Unit::Celsius)),
        1 => Just(None),
        1 => Just(Some(Unit::Fahrenheit)),
        1 => Just(Some(Unit::Kelvin)),
    ];
    // Some follow each other with one time.
    let time = prop_oneof![4 => 0..2_i64, 1 => any::<i64>()];
    let entry = (any::<u64>(), time, value, unit);
    (
        any::<bool>(),
        entry.prop_map(|(seq, time, value, unit)| Entry {
            seq,
            time,
            value,
            unit,
        }),
    )
}

proptest! {
    /// The operators and this code share nothing, so a bug or another default shows here.
    #[test]
    fn every_step_gives_the_results_of_its_operator(
        readings in proptest::collection::vec(any_reading(), 0..40),
    ) {
        for text in catalog_steps() {
            let config = ComponentConfig::parse(&text).unwrap();
            if catalog::build(&config).is_err() {
                continue;
            }
            let theirs = by_operator(&config, &readings);
            let ours = by_oracle(&config, &readings);
            for (index, (theirs, ours)) in theirs.into_iter().zip(ours).enumerate() {
                let same_result = close(ours.1.value, theirs.1.value)
                    && ours.1 == Entry { value: ours.1.value, ..theirs.1 };
                prop_assert!(
                    theirs.0 == ours.0 && (theirs.0 != StepOutcome::Pass || same_result),
                    "{text}, reading {index}: the operator {theirs:?}, verify {ours:?}"
                );
            }
        }
    }
}

fn step(text: &str) -> Step {
    Step::read(&ComponentConfig::parse(text).unwrap())
        .unwrap()
        .unwrap_or_else(|| panic!("{text} is not known"))
}

/// The results of a step for readings of one sensor, in °C.
fn run(text: &str, values: &[f64]) -> Vec<Option<f64>> {
    let (step, mut state) = (step(text), StepState::default());
    let mut results = Vec::new();
    for (seq, value) in (0..).zip(values) {
        let mut entry = Entry {
            seq,
            time: 0,
            value: *value,
            unit: Some(Unit::Celsius),
        };
        let outcome = step.apply("a", &mut state, &mut entry);
        results.push((outcome == StepOutcome::Pass).then_some(entry.value));
    }
    results
}

#[test]
fn each_step_gives_the_textbook_results() {
    assert_eq!(
        run(
            "convert = { from = \"celsius\", to = \"fahrenheit\" }",
            &[-40.0, 7.0]
        ),
        [Some(-40.0), Some(44.6)]
    );
    assert_eq!(
        run("convert = { from = \"celsius\", to = \"kelvin\" }", &[0.0]),
        [Some(273.15)]
    );
    assert_eq!(
        run("convert = { from = \"kelvin\", to = \"celsius\" }", &[0.0]),
        [None],
        "another unit"
    );
    assert_eq!(
        run(
            "convert = { from = \"celsius\", to = \"fahrenheit\" }",
            &[1e308]
        ),
        [None],
        "not finite"
    );
    assert_eq!(
        run("threshold = { above = 1 }", &[0.0, 1.0, 2.0]),
        [None, None, Some(2.0)]
    );
    assert_eq!(
        run("threshold = { at-least = 1 }", &[0.0, 1.0, 2.0]),
        [None, Some(1.0), Some(2.0)]
    );
    assert_eq!(
        run("threshold = { below = 1 }", &[0.0, 1.0, 2.0]),
        [Some(0.0), None, None]
    );
    assert_eq!(
        run("threshold = { at-most = 1 }", &[0.0, 1.0, 2.0]),
        [Some(0.0), Some(1.0), None]
    );
    assert_eq!(
        run("ewma = { alpha = 0.25 }", &[4.0, 8.0, 1.0]),
        [None, Some(5.0), Some(4.0)]
    );
    assert_eq!(
        run("ewma = { alpha = 0.25, emit-seed = true }", &[4.0, 8.0]),
        [Some(4.0), Some(5.0)]
    );
    assert_eq!(
        run("average = { window = 2 }", &[1.0, 3.0, 7.0]),
        [None, Some(2.0), Some(5.0)]
    );
    assert_eq!(
        run("round = { digits = 0 }", &[0.5, 1.5, -2.5, 2.51]),
        [0.0, 2.0, -2.0, 3.0].map(Some)
    );
    assert_eq!(
        run("round = { digits = 1 }", &[0.25, 54.725]),
        [0.2, 54.7].map(Some)
    );
}

#[test]
fn noise_is_bounded_uniform_and_repeatable() {
    let noisy = run("noise = { amplitude = 2, seed = 1 }", &vec![0.0; 10_000]);
    let values: Vec<f64> = noisy.into_iter().flatten().collect();
    assert!(values.iter().all(|value| (-2.0..2.0).contains(value)));
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let square = values.iter().map(|value| value * value).sum::<f64>() / values.len() as f64;
    assert!(
        mean.abs() < 0.05 && (square - 4.0 / 3.0).abs() < 0.05,
        "{mean} {square}"
    );
    // The first output of SplitMix64 from seed 0 is e220a8397b1dcdaf.
    let unit = (0xe220_a839_7b1d_cdaf_u64 >> 11) as f64 / 2f64.powi(53);
    let first = noise(0xcbf2_9ce4_8422_2325, "", 0);
    assert!((first - (2.0 * unit - 1.0)).abs() < f64::EPSILON, "{first}");
}

#[test]
fn an_unknown_step_is_named() {
    let steps = [ComponentConfig::parse("median = { window = 3 }").unwrap()];
    let error = Step::all(&steps).unwrap_err();
    assert_eq!(error, "what `median` does is not known here");
}
