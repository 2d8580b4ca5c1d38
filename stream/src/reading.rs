//! The reading: the one thing that travels.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// One measurement of one sensor.
///
/// Its text is borrowed from the record it was decoded from whenever the format allows it, so that
/// a stage copies nothing on the way through.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading<'a> {
    /// Who measured: the record's key where the format has one, "" where it has none.
    pub sensor: Cow<'a, str>,
    /// Counts up by one per sensor at the source; operators leave it as it is.
    pub seq: u64,
    /// Event time in milliseconds since the epoch: when it was measured, not when it was sent.
    pub time: i64,
    /// The measured value in [`unit`](Self::unit); always finite.
    pub value: f64,
    /// The value's unit, or nothing where a format does not carry it.
    pub unit: Option<Unit>,
}

/// How long a sensor's name may be, in bytes: it is the key of every record that is made of its
/// readings.
pub const LONGEST_SENSOR: usize = 4096;

/// A unit of temperature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

    /// The symbol that people read.
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

/// Why a reading goes no further: it could not be decoded, processed or encoded.
///
/// It travels with the original bytes to the stage's dead-letter topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidReading {
    /// A short fixed word to group by, such as `not-json` or `wrong-unit`.
    pub reason: &'static str,
    /// The whole story for a person.
    pub detail: String,
}

impl InvalidReading {
    /// A refusal of the given kind.
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
