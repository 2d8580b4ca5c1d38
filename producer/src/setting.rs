//! Types of settings that several sources share.

use std::time::{SystemTime, UNIX_EPOCH};

use rivulet_core::reading::LONGEST_SENSOR;
use rivulet_core::unit::Unit;
use serde::Deserialize;

/// How many readings a second: more than 0.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema, serde::Serialize),
    schemars(extend("exclusiveMinimum" = 0))
)]
pub struct Rate(pub f64);

impl TryFrom<f64> for Rate {
    type Error = String;

    fn try_from(rate: f64) -> Result<Self, String> {
        if rate.is_finite() && rate > 0.0 {
            Ok(Rate(rate))
        } else {
            Err(format!(
                "{rate} readings a second is not a rate; give a number above 0, or leave out \
                 `rate` for no limit"
            ))
        }
    }
}

/// A count from `LEAST` to `MOST`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema, serde::Serialize),
    schemars(extend("minimum" = LEAST, "maximum" = MOST))
)]
pub struct Count<const MOST: u64, const LEAST: u64 = 1>(pub u64);

impl<const MOST: u64, const LEAST: u64> TryFrom<i64> for Count<MOST, LEAST> {
    type Error = String;

    fn try_from(count: i64) -> Result<Self, String> {
        match u64::try_from(count) {
            Ok(count) if (LEAST..=MOST).contains(&count) => Ok(Count(count)),
            _ => Err(format!(
                "{count} is out of range; give a whole number from {LEAST} to {MOST}"
            )),
        }
    }
}

/// A sensor's name. One word, because the source `lines` reads `SENSOR NUMBER`.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("pattern" = r"^\S+$", "maxLength" = LONGEST_SENSOR))
)]
pub struct SensorName(pub String);

impl TryFrom<String> for SensorName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.is_empty() || name.contains(char::is_whitespace) {
            Err(format!("\"{name}\" is not a sensor's name; give one word"))
        } else if name.len() > LONGEST_SENSOR {
            let length = name.len();
            Err(format!(
                "a sensor's name has at most {LONGEST_SENSOR} bytes, and this one has {length}"
            ))
        } else {
            Ok(SensorName(name))
        }
    }
}

/// The default unit.
#[must_use]
pub fn celsius() -> Unit {
    Unit::Celsius
}

/// The wall clock in milliseconds since the epoch: the event time of a reading measured now.
#[must_use]
pub fn now() -> i64 {
    now_us() / 1000
}

/// The wall clock in microseconds since the epoch.
#[must_use]
pub fn now_us() -> i64 {
    // A clock before 1970 was never set.
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
