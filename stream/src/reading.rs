//! The reading: one measurement of one sensor.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One measurement of one sensor.
///
/// Its text is borrowed from the record if the format allows it, so that a stage copies nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading<'a> {
    /// The sensor's name. It is the record's key if the format has keys, and "" otherwise.
    pub sensor: Cow<'a, str>,
    /// The sequence number. The source counts it up by one for each sensor. Operators keep it.
    pub seq: u64,
    /// The event time in milliseconds since the epoch: when it was measured, not when it was sent.
    pub time: i64,
    /// The measured value in [`unit`](Self::unit). Always finite.
    pub value: f64,
    /// The value's unit. `None` if the format has no units.
    pub unit: Option<Unit>,
}

/// The longest name of a sensor, in bytes. It is the key of all records of its readings.
pub const LONGEST_SENSOR: usize = 4096;

/// A unit of temperature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Unit {
    /// °C
    Celsius,
    /// °F
    Fahrenheit,
    /// K
    Kelvin,
}

impl Unit {
    /// The name on the wire and in pipeline files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Unit::Celsius => "celsius",
            Unit::Fahrenheit => "fahrenheit",
            Unit::Kelvin => "kelvin",
        }
    }

    /// The symbol, such as `°C`.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Unit::Celsius => "°C",
            Unit::Fahrenheit => "°F",
            Unit::Kelvin => "K",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a record or a reading could not be decoded, processed or encoded.
///
/// It goes to the stage's dead-letter topic, with the original record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidReading {
    /// A short fixed word to group by, such as `not-json` or `wrong-unit`.
    pub reason: &'static str,
    /// The error in full.
    pub detail: String,
}

impl InvalidReading {
    /// An invalid reading with this reason.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        InvalidReading {
            reason,
            detail: detail.into(),
        }
    }
}

impl std::error::Error for InvalidReading {}

impl fmt::Display for InvalidReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}
