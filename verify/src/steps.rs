//! The operators, implemented a second time and naively.
//!
//! Nothing is shared with the crate `rivulet-operators`, on purpose: a bug goes unnoticed only if
//! it is in both.

mod mean_of;

use std::collections::VecDeque;

use rivulet_core::unit::Unit;
use rivulet_pipeline::ComponentConfig;
use serde::Deserialize;

use self::mean_of::{MeanOf, Measurement};
use crate::stream::Entry;

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
    MeanOf { sensors: Option<u32> },
    Noise { amplitude: f64, seed: u64 },
    Round { digits: i32 },
}

/// The state of one sensor in one step.
#[derive(Debug, Default, Clone)]
pub(crate) struct StepState {
    ewma: Option<f64>,
    window: VecDeque<f64>,
    measurement: Measurement,
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
            "mean-of" => Step::MeanOf {
                sensors: config.settings::<MeanOf>()?.sensors,
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
        matches!(
            self,
            Step::Ewma { .. } | Step::Average { .. } | Step::MeanOf { .. }
        )
    }

    /// Whether the two steps keep the same kind of state.
    pub(crate) fn keeps_same_state_as(self, other: Self) -> bool {
        match (self, other) {
            (Step::Ewma { .. }, Step::Ewma { .. })
            | (Step::Average { .. }, Step::Average { .. })
            | (Step::MeanOf { .. }, Step::MeanOf { .. }) => true,
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
            Step::MeanOf { sensors } => {
                return state.measurement.add(sensors, &mut state.lost, entry);
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
mod tests;
