//! The sensors of the source `seasonal`, and the formula of their values.

use std::f64::consts::TAU;

use rivulet_pipeline::InOrder;
use serde::Deserialize;

use crate::setting::{Count, SensorName};

/// The largest number in a sensor's settings, so that no sum is infinite.
const LARGEST: f64 = 1e9;

/// At least one sensor, in the order of the pipeline file.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "InOrder<SensorName, SeasonalSensor>")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("minProperties" = 1))
)]
pub(super) struct Sensors(pub(super) Vec<(SensorName, SeasonalSensor)>);

impl TryFrom<InOrder<SensorName, SeasonalSensor>> for Sensors {
    type Error = &'static str;

    fn try_from(
        InOrder(sensors): InOrder<SensorName, SeasonalSensor>,
    ) -> Result<Self, Self::Error> {
        if sensors.is_empty() {
            return Err("there is no sensor; name one, or leave out `sensors` for the usual eight");
        }
        Ok(Sensors(sensors))
    }
}

impl Default for Sensors {
    fn default() -> Self {
        // baseline, slope, period, amplitude, noise, phase
        let rows = [
            (10.0, 0.1, 100, 40.0, 5.0, 0),
            (10.0, 0.2, 50, 30.0, 4.0, 0),
            (20.0, -0.1, 100, 50.0, 6.0, 20),
            (10.0, 0.1, 100, 40.0, 0.0, 0),
            (30.0, -0.1, 100, 40.0, 5.0, 0),
            (40.0, 0.0, 200, 10.0, 4.0, 0),
            (0.0, 0.3, 100, 20.0, 6.0, 50),
            (-10.0, 0.1, 100, 40.0, 9.0, 0),
        ];
        let sensors = rows.into_iter().enumerate();
        let sensors = sensors.map(
            |(number, (baseline, slope, period, amplitude, noise, phase))| {
                let sensor = SeasonalSensor {
                    baseline: Amount(baseline),
                    slope: Amount(slope),
                    period: Count(period),
                    amplitude: Amount(amplitude),
                    phase,
                    noise: Deviation(noise),
                };
                (SensorName(format!("sensor{number}")), sensor)
            },
        );
        Sensors(sensors.collect())
    }
}

/// A sensor's settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct SeasonalSensor {
    /// The value without trend, season and noise.
    baseline: Amount,
    /// How much the value grows with each step.
    slope: Amount,
    /// How many steps a season takes.
    period: Count<1_000_000_000>,
    /// How far the season moves the value.
    amplitude: Amount,
    /// How many steps of a season are over at step 0.
    phase: i64,
    /// The standard deviation of the noise.
    noise: Deviation,
}

impl Default for SeasonalSensor {
    fn default() -> Self {
        SeasonalSensor {
            baseline: Amount(0.0),
            slope: Amount(0.0),
            period: Count(20),
            amplitude: Amount(20.0),
            phase: 0,
            noise: Deviation(1.0),
        }
    }
}

impl SeasonalSensor {
    /// The value at a step with this random number.
    pub(super) fn value(&self, step: u64, random: f64) -> f64 {
        let period = self.period.0;
        // Whole numbers in 128 bits: no sum overflows, and no rounding moves the season.
        let over = (i128::from(step) + i128::from(self.phase)).rem_euclid(i128::from(period));
        let part = over as f64 / period as f64;
        let season = if part < 0.4 {
            (TAU * part).cos()
        } else {
            (-3.0 * part).exp()
        };
        self.baseline.0
            + self.slope.0 * step as f64
            + self.amplitude.0 * season
            + self.noise.0 * random
    }
}

/// An amount within ±1,000,000,000.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema, serde::Serialize),
    schemars(extend("minimum" = -LARGEST, "maximum" = LARGEST))
)]
pub(super) struct Amount(f64);

impl TryFrom<f64> for Amount {
    type Error = String;

    fn try_from(amount: f64) -> Result<Self, String> {
        if amount.abs() <= LARGEST {
            Ok(Amount(amount))
        } else {
            Err(format!(
                "{amount} is out of range; give a number from -{LARGEST} to {LARGEST}"
            ))
        }
    }
}

/// A standard deviation of at most 1,000,000,000.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema, serde::Serialize),
    schemars(extend("minimum" = 0, "maximum" = LARGEST))
)]
pub(super) struct Deviation(f64);

impl TryFrom<f64> for Deviation {
    type Error = String;

    fn try_from(deviation: f64) -> Result<Self, String> {
        if (0.0..=LARGEST).contains(&deviation) {
            Ok(Deviation(deviation))
        } else {
            Err(format!(
                "{deviation} is not a standard deviation; give a number from 0 to {LARGEST}"
            ))
        }
    }
}
