//! The operators, implemented a second time and naively.
//!
//! Nothing is shared with the crate `rivulet-operators`, on purpose: a bug goes unnoticed only if
//! it is in both.

use std::collections::VecDeque;

use rivulet_core::unit::Unit;
use rivulet_pipeline::ComponentConfig;
use serde::Deserialize;

use crate::truth::Entry;

/// One step of a stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Step {
    Convert { from: Unit, to: Unit },
    Above(f64),
    Below(f64),
    AtLeast(f64),
    AtMost(f64),
    Ewma { alpha: f64, emit_seed: bool },
    Average { window: usize },
    Noise { amplitude: f64, seed: u64 },
    Round { digits: i32 },
}

/// The state of one sensor in one step.
#[derive(Debug, Default)]
pub(crate) struct StepState {
    ewma: Option<f64>,
    window: VecDeque<f64>,
    /// Whether it depends on deleted readings.
    lost: bool,
}

impl StepState {
    /// An empty state. `lost` if it depends on deleted readings.
    pub(crate) fn begin(lost: bool) -> Self {
        StepState {
            lost,
            ..StepState::default()
        }
    }

    /// Continues from a result that was found.
    pub(crate) fn seed(&mut self, step: Step, found: f64) {
        if let Step::Ewma { .. } = step {
            (self.ewma, self.lost) = (Some(found), false);
        }
    }

    /// Whether a reading was added is unknown, and so is the state.
    pub(crate) fn invalidate(&mut self) {
        *self = StepState::begin(true);
    }
}

/// What a step makes of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepOutcome {
    Pass,
    Drop,
    DeadLetter,
    /// It depends on deleted readings.
    Unknown,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Convert {
    from: Unit,
    to: Unit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Threshold {
    above: Option<f64>,
    below: Option<f64>,
    at_least: Option<f64>,
    at_most: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Ewma {
    alpha: f64,
    #[serde(default)]
    emit_seed: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Average {
    window: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Noise {
    amplitude: f64,
    seed: u64,
}

impl Default for Noise {
    fn default() -> Self {
        Noise {
            amplitude: 1.0,
            seed: 0,
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Round {
    digits: i32,
}

impl Step {
    /// The steps of a stage.
    ///
    /// # Errors
    /// Which step or setting is not known here.
    pub(crate) fn all(configs: &[ComponentConfig]) -> Result<Vec<Self>, String> {
        let steps = configs.iter().map(|config| {
            let name = config.name();
            match Step::read(config) {
                Ok(Some(step)) => Ok(step),
                Ok(None) => Err(format!("what `{name}` does is not known here")),
                Err(_) => Err(format!("`{name}` has settings that are not known here")),
            }
        });
        steps.collect()
    }

    /// The steps of a chain from its description; `None` if a step is unknown here.
    pub(crate) fn described(chain: &str) -> Option<Vec<Self>> {
        ComponentConfig::described(chain)?
            .iter()
            .map(|config| Step::read(config).ok().flatten())
            .collect()
    }

    fn read(config: &ComponentConfig) -> Result<Option<Self>, rivulet_pipeline::Diagnostics> {
        Ok(Some(match config.name() {
            "convert" => {
                let Convert { from, to } = config.settings()?;
                if [from, to].iter().any(|unit| matches!(unit, Unit::Other(_))) {
                    return Ok(None);
                }
                Step::Convert { from, to }
            }
            "threshold" => match config.settings()? {
                Threshold {
                    above: Some(bound),
                    below: None,
                    at_least: None,
                    at_most: None,
                } => Step::Above(bound),
                Threshold {
                    above: None,
                    below: Some(bound),
                    at_least: None,
                    at_most: None,
                } => Step::Below(bound),
                Threshold {
                    above: None,
                    below: None,
                    at_least: Some(bound),
                    at_most: None,
                } => Step::AtLeast(bound),
                Threshold {
                    above: None,
                    below: None,
                    at_least: None,
                    at_most: Some(bound),
                } => Step::AtMost(bound),
                _ => return Ok(None),
            },
            "ewma" => {
                let Ewma { alpha, emit_seed } = config.settings()?;
                Step::Ewma { alpha, emit_seed }
            }
            "average" => Step::Average {
                window: config.settings::<Average>()?.window,
            },
            "noise" => {
                let Noise { amplitude, seed } = config.settings()?;
                Step::Noise { amplitude, seed }
            }
            "round" => Step::Round {
                digits: config.settings::<Round>()?.digits,
            },
            _ => return Ok(None),
        }))
    }

    /// Whether it keeps state, so that the order of readings matters.
    pub(crate) fn is_stateful(self) -> bool {
        matches!(self, Step::Ewma { .. } | Step::Average { .. })
    }

    /// Whether the two steps keep the same kind of state.
    pub(crate) fn keeps_same_state_as(self, other: Self) -> bool {
        match (self, other) {
            (Step::Ewma { .. }, Step::Ewma { .. })
            | (Step::Average { .. }, Step::Average { .. }) => true,
            _ => !self.is_stateful() && !other.is_stateful(),
        }
    }

    /// Migrates the state that it kept with other settings.
    pub(crate) fn migrate(self, state: &mut StepState) {
        if let Step::Average { window } = self {
            while state.window.len() > window {
                state.window.pop_front();
            }
        }
    }

    /// Processes one reading of a sensor.
    pub(crate) fn apply(
        self,
        sensor: &str,
        state: &mut StepState,
        entry: &mut Entry,
    ) -> StepOutcome {
        let value = entry.value;
        let result = match self {
            Step::Convert { from, to } => {
                if entry.unit.is_some_and(|unit| unit != from) {
                    return StepOutcome::DeadLetter;
                }
                entry.unit = Some(to);
                convert(value, from, to)
            }
            Step::Above(bound) if value > bound => value,
            Step::Below(bound) if value < bound => value,
            Step::AtLeast(bound) if value >= bound => value,
            Step::AtMost(bound) if value <= bound => value,
            Step::Above(_) | Step::Below(_) | Step::AtLeast(_) | Step::AtMost(_) => {
                return StepOutcome::Drop;
            }
            Step::Ewma { alpha, emit_seed } => {
                let previous = state.ewma;
                if previous.is_none() && state.lost {
                    return StepOutcome::Unknown;
                }
                let mean =
                    previous.map_or(value, |previous| alpha * value + (1.0 - alpha) * previous);
                state.ewma = Some(mean);
                if previous.is_none() && !emit_seed {
                    return StepOutcome::Drop;
                }
                mean
            }
            Step::Average { window } => {
                state.window.push_back(value);
                if state.window.len() > window {
                    state.window.pop_front();
                }
                if state.window.len() < window {
                    return if state.lost {
                        StepOutcome::Unknown
                    } else {
                        StepOutcome::Drop
                    };
                }
                state.lost = false;
                mean(&state.window)
            }
            Step::Noise { amplitude, seed } => value + noise(seed, sensor, entry.seq) * amplitude,
            Step::Round { digits } => {
                let scale = 10f64.powi(digits);
                let scaled = value * scale;
                // A value this large has no digits after the decimal point.
                if scaled.is_finite() {
                    scaled.round_ties_even() / scale
                } else {
                    value
                }
            }
        };
        entry.value = result;
        if result.is_finite() {
            StepOutcome::Pass
        } else {
            StepOutcome::DeadLetter
        }
    }
}

fn convert(value: f64, from: Unit, to: Unit) -> f64 {
    if from == to {
        return value;
    }
    let celsius = match from {
        Unit::Celsius => value,
        Unit::Fahrenheit => (value - 32.0) * 5.0 / 9.0,
        Unit::Kelvin => value - 273.15,
        // No step converts another unit.
        Unit::Other(_) => return value,
    };
    match to {
        Unit::Celsius => celsius,
        Unit::Fahrenheit => celsius * 9.0 / 5.0 + 32.0,
        Unit::Kelvin => celsius + 273.15,
        Unit::Other(_) => value,
    }
}

/// The mean of at least one value, from their exact sum: J. R. Shewchuk's partial sums, as in
/// Python's `math.fsum`.
fn mean(values: &VecDeque<f64>) -> f64 {
    // Dividing by a power of two changes no digit and keeps the sum of huge values finite.
    let is_huge = values.iter().any(|value| value.abs() > f64::MAX / 65536.0);
    let scale = if is_huge { 65536.0 } else { 1.0 };
    let mut partials: Vec<f64> = Vec::new();
    for value in values {
        let mut sum = value / scale;
        let mut kept = 0;
        for index in 0..partials.len() {
            let other = partials[index];
            let (large, small) = if sum.abs() < other.abs() {
                (other, sum)
            } else {
                (sum, other)
            };
            sum = large + small;
            let rest = small - (sum - large);
            if rest != 0.0 {
                partials[kept] = rest;
                kept += 1;
            }
        }
        partials.truncate(kept);
        partials.push(sum);
    }
    partials.iter().rev().sum::<f64>() / values.len() as f64 * scale
}

/// A number in [-1, 1) that depends only on its arguments: the sensor's 64-bit FNV-1a hash and the
/// sequence number, mixed by the finalizer of `SplitMix64`.
fn noise(seed: u64, sensor: &str, seq: u64) -> f64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in sensor.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let golden: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut z = (seed ^ hash)
        .wrapping_add(seq.wrapping_mul(golden))
        .wrapping_add(golden);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    let unit = (z >> 11) as f64 / 2f64.powi(53);
    2.0 * unit - 1.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rivulet_core::operator::{KeyState, Operator, emitted};
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

    /// The outcome, value and unit of a reading.
    type Out = (StepOutcome, f64, Option<Unit>);

    /// What an operator makes of readings of two sensors.
    fn by_operator(config: &ComponentConfig, readings: &[(bool, Entry)]) -> Vec<Out> {
        let operator = catalog::build(config).unwrap();
        // A chain rejects values that are not finite.
        let chain = rivulet_operators::Chain::new(vec![operator]);
        let mut states = [0, 1].map(|_| vec![KeyState::new(); chain.states()]);
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
                Ok([reading]) => (StepOutcome::Pass, reading.value, reading.unit),
                Ok([]) => (StepOutcome::Drop, value, unit),
                Ok(_) => panic!(
                    "{}: verify knows no step that emits several",
                    chain.describe()
                ),
                Err(_) => (StepOutcome::DeadLetter, value, unit),
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
            out.push((outcome, entry.value, entry.unit));
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
        let entry = (any::<u64>(), any::<i64>(), value, unit);
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
                    let same_result = close(ours.1, theirs.1) && theirs.2 == ours.2;
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
}
