//! `simulated`: any number of sensors, each with a daily curve and noise.

use std::f64::consts::TAU;
use std::time::Duration;

use jiff::Timestamp;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use rivulet_core::component::Component;
use rivulet_core::error::Result as OrError;
use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{SourceContext, SourceSettings};
use crate::position;
use crate::setting::{Count, Rate};
use crate::source::{Next, Progress, Source};

const MOST_SENSORS: u64 = 100_000;
const MOST_READINGS: u64 = 1_000_000_000_000;
const DAY_MS: u32 = 86_400_000;

/// The sensors `sensor0`, `sensor1`, … in turn, in °C. The value of a sensor's reading seq is
///
/// base + daily-amplitude · sin(2π · time of day / 24 h) + offset + noise · u
///
/// Its time is start + seq · step-ms. Each sensor has an offset of its own in ±spread, and u is
/// uniform in [−1, 1). Both depend only on `seed`, the sensor's number and seq, so a restart does
/// not change what the source yields. The generator is xoshiro256++ (D. Blackman and S. Vigna,
/// "Scrambled Linear Pseudorandom Number Generators", ACM TOMS 47 (2021)), seeded for each reading.
/// Only the last bit of the sine may differ between machines.
///
/// ```
/// use std::time::Duration;
///
/// use rivulet_producer::catalog::{SourceContext, read};
/// use rivulet_producer::source::Next;
/// use rivulet_pipeline::ComponentConfig;
///
/// let config = ComponentConfig::parse("simulated = { sensors = 2, readings = 2 }").unwrap();
/// let mut source = read(&config).unwrap().open(&SourceContext::default())?;
/// let mut sensors = Vec::new();
/// while let Next::Reading(reading) = source.next(Duration::ZERO)? {
///     sensors.push(format!("{} {}", reading.sensor, reading.seq));
/// }
/// assert_eq!(sensors, ["sensor0 0", "sensor1 0", "sensor0 1", "sensor1 1"]);
/// # Ok::<(), rivulet_core::error::Error>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Simulated {
    /// How many sensors there are.
    sensors: Count<MOST_SENSORS>,
    /// How many readings of each sensor; without end unless it is set.
    readings: Option<Count<MOST_READINGS>>,
    /// For all sensors together.
    rate: Option<Rate>,
    /// Another number gives other sensors.
    seed: u64,
    /// The mean of all sensors, in °C.
    base: Degrees,
    /// How far the time of day moves a value, in °C.
    daily_amplitude: Degrees,
    /// How far sensors are from each other, in °C.
    spread: Degrees,
    /// The noise of each reading, in °C.
    noise: Degrees,
    /// The event time between two readings of a sensor.
    step_ms: Count<31_536_000_000>,
    start: Start,
}

impl Default for Simulated {
    fn default() -> Self {
        Simulated {
            sensors: Count(10),
            readings: None,
            rate: None,
            seed: 1,
            base: Degrees(12.0),
            daily_amplitude: Degrees(8.0),
            spread: Degrees(2.0),
            noise: Degrees(0.5),
            step_ms: Count(60_000),
            // 2024-01-01T00:00:00Z
            start: Start(1_704_067_200_000),
        }
    }
}

/// °C within ±1,000,000, so that no sum is infinite.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema, serde::Serialize),
    schemars(extend("minimum" = -1_000_000, "maximum" = 1_000_000))
)]
pub struct Degrees(f64);

impl TryFrom<f64> for Degrees {
    type Error = String;

    fn try_from(degrees: f64) -> Result<Self, String> {
        if degrees.abs() <= 1e6 {
            Ok(Degrees(degrees))
        } else {
            Err(format!(
                "{degrees} is not a temperature; give a number from -1000000 to 1000000"
            ))
        }
    }
}

/// The first event time in milliseconds since the epoch. The pipeline file has it in RFC 3339.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Text")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("pattern" = "^[+-]?[0-9]{4}"))
)]
pub struct Start(i64);

/// Text. For TOML's own times its error message is better than serde's.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a time in quotes such as \"2024-01-01T00:00:00Z\""
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
enum Text {
    Text(String),
}

impl TryFrom<Text> for Start {
    type Error = String;

    fn try_from(Text::Text(text): Text) -> Result<Self, String> {
        let time: Timestamp = text.parse().map_err(|error| {
            format!("\"{text}\" is not a time ({error}); write it like 2024-01-01T00:00:00Z")
        })?;
        Ok(Start(time.as_millisecond()))
    }
}

impl Component for Simulated {
    const NAME: &'static str = "simulated";
    const ABOUT: &'static str = "any number of sensors, each with a daily curve and noise";
    const EXAMPLE: &'static str =
        "simulated = { sensors = 10, readings = 2000, rate = 1000, seed = 1 }";
}

impl SourceSettings for Simulated {
    fn open(&self, _: &SourceContext) -> OrError<Box<dyn Source>> {
        let mut generator = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let sensors = (0..self.sensors.0)
            .map(|number| Sensor {
                name: format!("sensor{number}"),
                level: self.base.0 + self.spread.0 * symmetric(&mut generator),
                seed: generator.next_u64(),
            })
            .collect();
        Ok(Box::new(SimulatedSource {
            settings: self.clone(),
            sensors,
            sensor: 0,
            seq: 0,
        }))
    }

    fn ends(&self) -> bool {
        self.readings.is_some()
    }
}

struct Sensor {
    name: String,
    /// The mean of its daily curve.
    level: f64,
    seed: u64,
}

struct SimulatedSource {
    settings: Simulated,
    sensors: Vec<Sensor>,
    /// The sensor with the next reading.
    sensor: usize,
    /// The sequence number of that reading.
    seq: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    sensors: usize,
    sensor: usize,
    seq: u64,
}

impl Source for SimulatedSource {
    fn next(&mut self, _: Duration) -> OrError<Next<'_>> {
        let Simulated {
            readings,
            daily_amplitude,
            noise,
            step_ms,
            start,
            ..
        } = &self.settings;
        if readings.is_some_and(|readings| self.seq >= readings.0) {
            return Ok(Next::End);
        }
        let seq = self.seq;
        let sensor = &self.sensors[self.sensor];
        self.sensor += 1;
        if self.sensor == self.sensors.len() {
            (self.sensor, self.seq) = (0, seq.saturating_add(1));
        }
        let since = i64::try_from(seq.saturating_mul(step_ms.0)).unwrap_or(i64::MAX);
        let time = start.0.saturating_add(since);
        let of_day = time.rem_euclid(i64::from(DAY_MS)) as f64 / f64::from(DAY_MS);
        let random = symmetric(&mut Xoshiro256PlusPlus::seed_from_u64(
            sensor.seed.wrapping_add(seq),
        ));
        let value = sensor.level + daily_amplitude.0 * (TAU * of_day).sin() + noise.0 * random;
        Ok(Next::Reading(Reading {
            sensor: sensor.name.as_str().into(),
            seq,
            time,
            value,
            unit: Some(Unit::Celsius),
        }))
    }

    fn position(&self) -> Value {
        json!(Position {
            sensors: self.sensors.len(),
            sensor: self.sensor,
            seq: self.seq
        })
    }

    fn resume(&mut self, position: &Value) -> OrError<()> {
        let Position {
            sensors,
            sensor,
            seq,
        } = position::read(position)?;
        if sensors != self.sensors.len() || sensor >= sensors {
            let count = self.sensors.len();
            return Err(position::unusable(format!(
                "there were {sensors} sensors, and now there are {count}"
            )));
        }
        (self.sensor, self.seq) = (sensor, seq);
        Ok(())
    }

    fn rate(&self) -> Option<f64> {
        self.settings.rate.map(|rate| rate.0)
    }

    fn progress(&self) -> Option<Progress> {
        let sensors = self.sensors.len() as u64;
        let total = self.settings.readings?.0 * sensors;
        Some(Progress {
            done: self
                .seq
                .saturating_mul(sensors)
                .saturating_add(self.sensor as u64)
                .min(total),
            total,
        })
    }
}

/// A number in [−1, 1), from the upper 53 bits: that many fit into the mantissa of an f64. The
/// values of rand's distributions may change between its versions.
fn symmetric(generator: &mut Xoshiro256PlusPlus) -> f64 {
    (generator.next_u64() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

#[cfg(test)]
mod tests;
