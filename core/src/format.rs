//! Formats: how records carry readings.
//!
//! Each topic has a format. A stage can read one and write another. The formats themselves are in
//! the crate `rivulet-formats`, one file each.

use std::fmt;
use std::path::Path;

use crate::error::{Error, Result};
use crate::log::ConsumerRecord;
use crate::reading::{InvalidReading, LONGEST_SENSOR, Reading};
use crate::readings::Readings;
use crate::text::plain;
use crate::unit::Unit;

/// Decodes readings from records, and encodes them as values.
pub trait Format: Send {
    /// Decodes a record: the whole record, because a format may also need its key, a header or its
    /// timestamp.
    ///
    /// # Errors
    /// Why the record has no readings, or none yet.
    fn decode<'a>(&self, record: &ConsumerRecord<'a>) -> Result<Readings<'a>, DecodeError>;

    /// Appends the value of one record to `value`.
    ///
    /// # Errors
    /// Why the format cannot express the reading. The record that the reading came from is then
    /// routed to the dead-letter topic.
    fn encode(&self, reading: &Reading<'_>, value: &mut Vec<u8>) -> Result<(), InvalidReading>;

    /// Whether records have the [key](Self::key) of their sensor.
    fn keyed(&self) -> bool;

    /// The key of the records of a sensor: its name, or the beginning of it that it has in common
    /// with the other sensors of the same records.
    fn key<'s>(&self, sensor: &'s str) -> &'s str {
        sensor
    }

    /// Fetches what [`encode`](Self::encode) needs, such as the id of a schema. Called before the
    /// first record is written, and again after each abort.
    ///
    /// # Errors
    /// What it cannot reach. The stage tries again.
    fn prepare(&self) -> Result<()> {
        Ok(())
    }
}

/// Why a record cannot be decoded.
#[derive(Debug)]
pub enum DecodeError {
    /// It is invalid, and becomes a dead letter.
    Invalid(InvalidReading),
    /// What it takes to decode it cannot be reached. The stage waits for that, as it waits for
    /// Kafka.
    Unavailable(Error),
}

impl From<InvalidReading> for DecodeError {
    fn from(invalid: InvalidReading) -> Self {
        DecodeError::Invalid(invalid)
    }
}

impl std::error::Error for DecodeError {}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Invalid(invalid) => invalid.fmt(f),
            DecodeError::Unavailable(error) => error.fmt(f),
        }
    }
}

/// The topic that a format is built for.
#[derive(Debug, Clone, Copy)]
pub struct FormatContext<'c> {
    /// Its name.
    pub topic: &'c str,
    /// The unit of readings whose record does not say it.
    pub unit: Option<Unit>,
    /// The folder of the pipeline file. Relative paths start here.
    pub folder: &'c Path,
}

impl<'c> FormatContext<'c> {
    /// A topic without a unit, of a pipeline file in the working directory.
    #[must_use]
    pub fn new(topic: &'c str) -> Self {
        FormatContext {
            topic,
            unit: None,
            folder: Path::new(""),
        }
    }

    /// The same topic with a unit.
    #[must_use]
    pub fn with_unit(self, unit: Option<Unit>) -> Self {
        FormatContext { unit, ..self }
    }
}

/// The valid settings of a format.
pub trait FormatSettings: fmt::Debug + Send {
    /// The format of a topic. It reads the files that the settings name, and connects to nothing.
    ///
    /// # Errors
    /// What is wrong with a file that the settings name.
    fn build(&self, context: &FormatContext<'_>) -> Result<Box<dyn Format>, String>;

    /// Checks that the format can write readings: a stage writes a topic of it.
    ///
    /// # Errors
    /// Why it can only read them, and what to write instead.
    fn check_write(&self, _: &FormatContext<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// Checks a value.
///
/// # Errors
/// If the value is infinite or not a number: no operator may see one.
pub fn finite(value: f64) -> Result<f64, InvalidReading> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(InvalidReading::new(
            "not-finite",
            format!("the value is {value}, not a finite number"),
        ))
    }
}

/// Checks a sensor's name.
///
/// # Errors
/// If it has more than [`LONGEST_SENSOR`] bytes: it would be too long for a key.
pub fn check_sensor(sensor: &str) -> Result<&str, InvalidReading> {
    if sensor.len() <= LONGEST_SENSOR {
        return Ok(sensor);
    }
    let detail = format!(
        "the sensor's name has {} bytes, and may have at most {LONGEST_SENSOR}: {}",
        sensor.len(),
        excerpt(sensor.as_bytes())
    );
    Err(InvalidReading::new("too-large", detail))
}

/// The record's value.
///
/// # Errors
/// If it has none or an empty one.
pub fn value_of<'a>(record: &ConsumerRecord<'a>) -> Result<&'a [u8], InvalidReading> {
    match record.value {
        None => Err(InvalidReading::new(
            "no-value",
            "the record has no value (a tombstone)",
        )),
        Some([]) => Err(InvalidReading::new("empty", "the value is empty")),
        Some(value) => Ok(value),
    }
}

/// The beginning of a value, for an error message.
#[must_use]
pub fn excerpt(value: &[u8]) -> String {
    const SHOWN: usize = 40;
    let text = String::from_utf8_lossy(&value[..value.len().min(SHOWN)]);
    let text = plain(&text);
    if value.len() > SHOWN {
        format!("\"{text}…\" ({} bytes)", value.len())
    } else {
        format!("\"{text}\"")
    }
}
