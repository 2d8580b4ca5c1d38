//! `seasonal`: sensors with a trend, a season and noise, read together step by step.

use std::f64::consts::TAU;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use rivulet_core::component::Component;
use rivulet_core::error::Result as OrError;
use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::sensor::Sensors;
use super::{SourceContext, SourceSettings};
use crate::position;
use crate::setting::{Count, now};
use crate::source::{Next, Progress, Source};

mod sensor;

const MOST_STEPS: u64 = 1_000_000_000_000;

/// Sensors with a trend, a season and noise. Each step has one reading of every sensor, all with
/// the time at which the step begins. The source waits for `delay-ms` between two steps. A
/// reading's sequence number is its step. A sensor's value at step t is
///
/// baseline + slope · t + amplitude · season(s) + noise · z
///
/// where s = ((t + phase) mod period) / period is the part of the period that is over. season(s) is
/// cos(2π · s) below 0.4, and e^(−3 · s) from there on. z is normally distributed with mean 0 and
/// variance 1. It depends only on `seed`, the sensor's place in the table and t, so a restart does
/// not change a value. The generator is that of `simulated`, seeded for each reading, and z follows
/// from it by the method of G. Box and M. Muller ("A Note on the Generation of Random Normal
/// Deviates", Ann. Math. Stat. 29 (1958)). Only the last bits of the cosine, the exponential and
/// the logarithm may differ between machines.
///
/// The time is that of this machine's clock, also while the clock is not set. A step may be sent in
/// part when a process ends. The next process sends the rest of it with the time of the first part,
/// which is in the position. A reading that was not committed is made again: its value is the same
/// and its time is new.
///
/// A restart goes on at the committed position. Only a first start, or one with `--from-start`,
/// begins at `start-step`. When the source stops, the last log line says which step comes next.
///
/// ```
/// use std::time::Duration;
///
/// use rivulet_producer::catalog::{SourceContext, read};
/// use rivulet_producer::source::Next;
/// use rivulet_pipeline::ComponentConfig;
///
/// let config = "seasonal = { sensors = { hall = { baseline = 10, noise = 0 } }, events = 1 }";
/// let settings = read(&ComponentConfig::parse(config).unwrap()).unwrap();
/// let mut source = settings.open(&SourceContext::default())?;
/// let Next::Reading(reading) = source.next(Duration::ZERO)? else { panic!("there is one") };
/// assert_eq!((&*reading.sensor, reading.seq, reading.value), ("hall", 0, 30.0));
/// drop(reading);
/// assert_eq!(source.resume_hint().as_deref(), Some("resume with start-step = 1"));
/// # Ok::<(), rivulet_core::error::Error>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Seasonal {
    /// The sensors by name, in the order of their readings, each with `baseline` (0 unless it is
    /// set), `slope` (0), `period` (20), `amplitude` (20), `phase` (0) and `noise` (1); the eight
    /// sensors `sensor0` to `sensor7` unless it is set.
    sensors: Sensors,
    /// The step of the first reading of each sensor.
    start_step: Count<MOST_STEPS, 0>,
    events: Events,
    /// How long to wait between two steps.
    delay_ms: Count<86_400_000, 0>,
    /// Another number gives other noise.
    seed: u64,
    /// The unit of all values.
    unit: Unit,
}

impl Default for Seasonal {
    fn default() -> Self {
        Seasonal {
            sensors: Sensors::default(),
            start_step: Count(0),
            events: Events(Some(1000)),
            delay_ms: Count(500),
            seed: 1,
            unit: Unit::Celsius,
        }
    }
}

/// How many readings of each sensor; 1000 unless it is set. `forever` never ends.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "NumberOrWord")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Events(Option<u64>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected how many readings, or \"forever\"")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
enum NumberOrWord {
    Number(
        #[cfg_attr(
            feature = "schema",
            schemars(extend("minimum" = 1, "maximum" = MOST_STEPS))
        )]
        i64,
    ),
    Word(#[cfg_attr(feature = "schema", schemars(extend("const" = "forever")))] String),
}

impl TryFrom<NumberOrWord> for Events {
    type Error = String;

    fn try_from(events: NumberOrWord) -> Result<Self, String> {
        match events {
            NumberOrWord::Number(number) => {
                let count = Count::<MOST_STEPS>::try_from(number);
                let count = count.map_err(|error| format!("{error}, or \"forever\""))?;
                Ok(Events(Some(count.0)))
            }
            NumberOrWord::Word(word) if word == "forever" => Ok(Events(None)),
            NumberOrWord::Word(word) => Err(format!(
                "\"{word}\" is not a number of readings; give a number or \"forever\""
            )),
        }
    }
}

impl Component for Seasonal {
    const NAME: &'static str = "seasonal";
    const ABOUT: &'static str = "synthetic sensors that are read together, step by step";
    const EXAMPLE: &'static str =
        "seasonal = { sensors = { hall = { baseline = 20, amplitude = 5 } }, delay-ms = 1000 }";
}

impl SourceSettings for Seasonal {
    fn open(&self, _: &SourceContext) -> OrError<Box<dyn Source>> {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let seeds = self.sensors.0.iter().map(|_| generator.next_u64());
        let start = self.start_step.0;
        Ok(Box::new(SeasonalSource {
            seeds: seeds.collect(),
            end: self.events.0.map(|events| start + events),
            sensor: 0,
            step: start,
            time: None,
            due: Instant::now(),
            settings: self.clone(),
        }))
    }

    fn ends(&self) -> bool {
        self.events.0.is_some()
    }
}

struct SeasonalSource {
    settings: Seasonal,
    /// The seed of each sensor's noise.
    seeds: Vec<u64>,
    /// The step after the last. `None` if there is no last.
    end: Option<u64>,
    /// The sensor with the next reading.
    sensor: usize,
    /// The step of that reading.
    step: u64,
    /// The time of this step. `None` before its first reading.
    time: Option<i64>,
    /// When this step may begin.
    due: Instant,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    sensors: usize,
    sensor: usize,
    step: u64,
    /// The time of a step that is sent in part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<i64>,
}

impl Source for SeasonalSource {
    fn next(&mut self, wait: Duration) -> OrError<Next<'_>> {
        let step = self.step;
        if self.end.is_some_and(|end| step >= end) {
            return Ok(Next::End);
        }
        let left = self.due.saturating_duration_since(Instant::now());
        thread::sleep(left.min(wait));
        if left > wait {
            return Ok(Next::NotYet);
        }
        let Seasonal {
            sensors: Sensors(sensors),
            delay_ms,
            unit,
            ..
        } = &self.settings;
        let time = *self.time.get_or_insert_with(now);
        let seed = self.seeds[self.sensor].wrapping_add(step);
        let (name, sensor) = &sensors[self.sensor];
        self.sensor += 1;
        if self.sensor == sensors.len() {
            (self.sensor, self.step, self.time) = (0, step.saturating_add(1), None);
            self.due = Instant::now() + Duration::from_millis(delay_ms.0);
        }
        let random = normal(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
        Ok(Next::Reading(Reading {
            sensor: name.0.as_str().into(),
            seq: step,
            time,
            value: sensor.value(step, random),
            unit: Some(*unit),
        }))
    }

    fn position(&self) -> Value {
        json!(Position {
            sensors: self.seeds.len(),
            sensor: self.sensor,
            step: self.step,
            time: self.time,
        })
    }

    fn resume(&mut self, position: &Value) -> OrError<()> {
        let Position {
            sensors,
            sensor,
            step,
            time,
        } = position::read(position)?;
        let (count, start) = (self.seeds.len(), self.settings.start_step.0);
        if sensors != count || sensor >= count {
            return Err(position::unusable(format!(
                "there were {sensors} sensors, and now there are {count}"
            )));
        }
        if step < start {
            return Err(position::unusable(format!(
                "step {step} comes next, and `start-step` is now {start}"
            )));
        }
        (self.sensor, self.step, self.time) = (sensor, step, time);
        Ok(())
    }

    fn progress(&self) -> Option<Progress> {
        let sensors = self.seeds.len() as u64;
        let start = self.settings.start_step.0;
        let total = (self.end? - start) * sensors;
        let done = (self.step - start)
            .saturating_mul(sensors)
            .saturating_add(self.sensor as u64)
            .min(total);
        Some(Progress { done, total })
    }

    fn resume_hint(&self) -> Option<String> {
        let (step, sent, sensors) = (self.step, self.sensor, self.seeds.len());
        let hint = format!("resume with start-step = {step}");
        Some(match sent {
            0 => hint,
            _ => format!("{hint}; {sent} of the {sensors} readings of that step are sent"),
        })
    }
}

/// A number of the standard normal distribution, from the upper 53 bits of two numbers: that many
/// fit into the mantissa of an f64. The values of `rand_distr` may change between its versions.
fn normal(generator: &mut Xoshiro256PlusPlus) -> f64 {
    let mut uniform = || (generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    // The logarithm of 0 is infinite, and that of 1 − uniform never is.
    let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt();
    radius * (TAU * uniform()).cos()
}

#[cfg(test)]
mod tests;
