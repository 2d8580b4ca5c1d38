//! The operators once more, in the plainest way.
//!
//! Nothing here is shared with the `operators` crate, on purpose: a mistake would have to be made
//! twice to go unseen.

use std::collections::VecDeque;

use serde::Deserialize;
use stream::error::{Error, Result};
use stream::pipeline::{ComponentConfig, Diagnostics, Pipeline, Stage};
use stream::reading::Unit;

use super::truth::Entry;

/// One step of a stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
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

/// What one step remembers of one sensor.
#[derive(Debug, Default)]
pub(super) struct History {
    ewma: Option<f64>,
    window: VecDeque<f64>,
    /// Whether there was more, which nobody knows.
    lost: bool,
}

impl History {
    /// Nothing yet, or nothing that anybody knows of.
    pub(super) fn begin(lost: bool) -> Self {
        History {
            lost,
            ..History::default()
        }
    }

    /// What is remembered now is what was found to have come out.
    pub(super) fn seed(&mut self, step: Step, found: f64) {
        if let Step::Ewma { .. } = step {
            (self.ewma, self.lost) = (Some(found), false);
        }
    }

    /// Something may have been added to it or not.
    pub(super) fn blur(&mut self) {
        *self = History::begin(true);
    }
}

/// What becomes of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Goes,
    Ends,
    DeadLetter,
    /// It depends on what is gone.
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
    /// A step that is not known here, or settings that are not those of the step.
    pub(super) fn all(
        pipeline: &Pipeline,
        stage: &Stage,
        parts: &[ComponentConfig],
    ) -> Result<Vec<Self>> {
        let doing = || format!("computing what `{}` must write", stage.name);
        let step = |part: &ComponentConfig| {
            let read = Step::read(part).map_err(|diagnostic| {
                Error::new(
                    doing(),
                    Diagnostics::new(pipeline.text.clone(), vec![diagnostic]),
                )
            })?;
            read.ok_or_else(|| {
                Error::new(
                    doing(),
                    format!(
                        "verify does not know a step `{}` with these settings",
                        part.name()
                    ),
                )
                .help("write its plain counterpart in rivulet/src/verify/steps.rs")
            })
        };
        parts.iter().map(step).collect()
    }

    /// The steps of a chain that describes itself so; nothing if one of them is not known here.
    pub(super) fn described(chain: &str) -> Option<Vec<Self>> {
        ComponentConfig::described(chain)?
            .iter()
            .map(|part| Step::read(part).ok().flatten())
            .collect()
    }

    fn read(part: &ComponentConfig) -> Result<Option<Self>, stream::pipeline::Diagnostic> {
        Ok(Some(match part.name() {
            "convert" => {
                let Convert { from, to } = part.settings()?;
                Step::Convert { from, to }
            }
            "threshold" => match part.settings()? {
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
                let Ewma { alpha, emit_seed } = part.settings()?;
                Step::Ewma { alpha, emit_seed }
            }
            "average" => Step::Average {
                window: part.settings::<Average>()?.window,
            },
            "noise" => {
                let Noise { amplitude, seed } = part.settings()?;
                Step::Noise { amplitude, seed }
            }
            "round" => Step::Round {
                digits: part.settings::<Round>()?.digits,
            },
            _ => return Ok(None),
        }))
    }

    /// Whether it remembers anything, so that the order of readings matters.
    pub(super) fn is_stateful(self) -> bool {
        matches!(self, Step::Ewma { .. } | Step::Average { .. })
    }

    /// Whether what it remembers is of the same kind.
    pub(super) fn remembers_as(self, other: Self) -> bool {
        match (self, other) {
            (Step::Ewma { .. }, Step::Ewma { .. })
            | (Step::Average { .. }, Step::Average { .. }) => true,
            _ => !self.is_stateful() && !other.is_stateful(),
        }
    }

    /// Takes over what it remembered under other settings.
    pub(super) fn migrate(self, history: &mut History) {
        if let Step::Average { window } = self {
            while history.window.len() > window {
                history.window.pop_front();
            }
        }
    }

    /// Works on one reading of a sensor.
    pub(super) fn apply(self, sensor: &str, history: &mut History, entry: &mut Entry) -> Fate {
        let value = entry.value;
        let result = match self {
            Step::Convert { from, to } => {
                if entry.unit.is_some_and(|unit| unit != from) {
                    return Fate::DeadLetter;
                }
                entry.unit = Some(to);
                convert(value, from, to)
            }
            Step::Above(bound) if value > bound => value,
            Step::Below(bound) if value < bound => value,
            Step::AtLeast(bound) if value >= bound => value,
            Step::AtMost(bound) if value <= bound => value,
            Step::Above(_) | Step::Below(_) | Step::AtLeast(_) | Step::AtMost(_) => {
                return Fate::Ends;
            }
            Step::Ewma { alpha, emit_seed } => {
                let previous = history.ewma;
                if previous.is_none() && history.lost {
                    return Fate::Unknown;
                }
                let mean =
                    previous.map_or(value, |previous| alpha * value + (1.0 - alpha) * previous);
                history.ewma = Some(mean);
                if previous.is_none() && !emit_seed {
                    return Fate::Ends;
                }
                mean
            }
            Step::Average { window } => {
                history.window.push_back(value);
                if history.window.len() > window {
                    history.window.pop_front();
                }
                if history.window.len() < window {
                    return if history.lost {
                        Fate::Unknown
                    } else {
                        Fate::Ends
                    };
                }
                history.lost = false;
                mean(&history.window)
            }
            Step::Noise { amplitude, seed } => value + noise(seed, sensor, entry.seq) * amplitude,
            Step::Round { digits } => {
                let scale = 10f64.powi(digits);
                let scaled = value * scale;
                // So large a value has no digits to round.
                if scaled.is_finite() {
                    scaled.round_ties_even() / scale
                } else {
                    value
                }
            }
        };
        entry.value = result;
        if result.is_finite() {
            Fate::Goes
        } else {
            Fate::DeadLetter
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
    };
    match to {
        Unit::Celsius => celsius,
        Unit::Fahrenheit => celsius * 9.0 / 5.0 + 32.0,
        Unit::Kelvin => celsius + 273.15,
    }
}

/// The mean of at least one value, from their exact sum: J. R. Shewchuk's partial sums, as Python's
/// `math.fsum` takes them.
fn mean(values: &VecDeque<f64>) -> f64 {
    // A power of two changes no digit, and keeps the sum of huge values finite.
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

/// A number in [-1, 1) that depends on nothing but its arguments: the sensor's 64-bit FNV-1a hash
/// and the sequence number through the finalizer of `SplitMix64`.
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
    use operators::{Flow, KeyState, Operator, catalog};
    use proptest::prelude::*;
    use serde_json::{Map, Value};
    use stream::reading::Reading;

    use super::super::tally::close;
    use super::*;

    /// Settings beside those of the catalog's examples.
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

    /// Every entry of the operators' catalog by its example, with each choice of its settings left
    /// out, and by some other settings.
    fn catalog_steps() -> Vec<String> {
        let mut steps: Vec<String> = OTHERS.iter().map(|step| (*step).to_owned()).collect();
        for row in catalog::CATALOG {
            let settings: Map<String, Value> = ComponentConfig::parse(row.example)
                .unwrap()
                .settings()
                .unwrap();
            for choice in 0..1 << settings.len() {
                let chosen = settings
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| choice & 1 << index != 0);
                let chosen: Vec<String> = chosen
                    .map(|(_, (key, value))| format!("{key} = {value}"))
                    .collect();
                steps.push(format!("{} = {{ {} }}", row.name, chosen.join(", ")));
            }
        }
        steps
    }

    #[test]
    fn it_knows_the_steps_that_the_operators_know_and_no_others() {
        for text in catalog_steps() {
            let part = ComponentConfig::parse(&text).unwrap();
            let known = Step::read(&part).is_ok_and(|step| step.is_some());
            assert_eq!(known, catalog::build(&part).is_ok(), "{text}");
        }
    }

    /// What became of a reading, and what it is then.
    type Out = (Fate, f64, Option<Unit>);

    /// What an operator makes of readings of two sensors.
    fn by_operator(part: &ComponentConfig, readings: &[(bool, Entry)]) -> Vec<Out> {
        let operator = catalog::build(part).unwrap();
        // As in a chain: what is not finite goes no further.
        let chain = operators::Chain::new(vec![operator]);
        let mut states = [0, 1].map(|_| vec![KeyState::new(); chain.states()]);
        let each = |(is_other, entry): &(bool, Entry)| {
            let Entry {
                seq,
                time,
                value,
                unit,
            } = *entry;
            let mut reading = Reading {
                sensor: NAMES[usize::from(*is_other)].into(),
                seq,
                time,
                value,
                unit,
            };
            let fate = match chain.apply(&mut reading, &mut states[usize::from(*is_other)]) {
                Ok(Flow::Pass) => Fate::Goes,
                Ok(Flow::Drop) => Fate::Ends,
                Err(_) => Fate::DeadLetter,
            };
            (fate, reading.value, reading.unit)
        };
        readings.iter().map(each).collect()
    }

    const NAMES: [&str; 2] = ["seattle", "são paulo"];

    fn by_oracle(part: &ComponentConfig, readings: &[(bool, Entry)]) -> Vec<Out> {
        let step = Step::read(part).unwrap().unwrap();
        let mut histories = [History::default(), History::default()];
        let each = |(is_other, entry): &(bool, Entry)| {
            let (index, mut entry) = (usize::from(*is_other), *entry);
            let fate = step.apply(NAMES[index], &mut histories[index], &mut entry);
            (fate, entry.value, entry.unit)
        };
        readings.iter().map(each).collect()
    }

    /// Temperatures mostly, and what is hard to add, round or convert.
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
        /// The operators and this code share nothing, so a mistake or another default shows here.
        #[test]
        fn every_entry_of_the_catalog_gives_what_the_operator_gives(
            readings in proptest::collection::vec(any_reading(), 0..40),
        ) {
            for text in catalog_steps() {
                let part = ComponentConfig::parse(&text).unwrap();
                if catalog::build(&part).is_err() {
                    continue;
                }
                let pairs = by_operator(&part, &readings).into_iter().zip(by_oracle(&part, &readings));
                for (index, (theirs, ours)) in pairs.enumerate() {
                    let same = theirs.0 == ours.0
                        && (theirs.0 != Fate::Goes || (close(ours.1, theirs.1) && theirs.2 == ours.2));
                    prop_assert!(same, "{text}, reading {index}: the operator {theirs:?}, verify \
                                        {ours:?}");
                }
            }
        }
    }

    fn step(text: &str) -> Step {
        Step::read(&ComponentConfig::parse(text).unwrap())
            .unwrap()
            .unwrap_or_else(|| panic!("{text} is not known"))
    }

    /// What comes out of a step for the readings of one sensor, in °C.
    fn run(text: &str, values: &[f64]) -> Vec<Option<f64>> {
        let (step, mut history) = (step(text), History::default());
        let one = |(seq, value): (usize, &f64)| {
            let mut entry = Entry {
                seq: seq as u64,
                time: 0,
                value: *value,
                unit: Some(Unit::Celsius),
            };
            (step.apply("a", &mut history, &mut entry) == Fate::Goes).then_some(entry.value)
        };
        values.iter().enumerate().map(one).collect()
    }

    #[test]
    fn each_step_does_the_textbook_thing() {
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
    fn noise_is_bounded_spread_and_the_same_each_time() {
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
    fn an_unknown_step_says_so() {
        let text = "[topic.a]\nexternal = true\n[operator.b]\nfrom = \"a\"\nsteps = \
                    [\"median\"]\nto = \"c\"";
        let text = stream::pipeline::Text {
            path: "p.toml".into(),
            text: text.into(),
        };
        let pipeline = Pipeline::parse(text.into()).unwrap();
        let stage = &pipeline.stages[0];
        let stream::pipeline::StageKind::Operator { steps } = &stage.kind else {
            panic!("it is an operator")
        };
        let error = Step::all(&pipeline, stage, steps).unwrap_err().to_string();
        assert!(
            error.contains("verify does not know a step `median`"),
            "{error}"
        );
    }
}
