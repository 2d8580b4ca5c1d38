//! How a reading is written in a record's value.
//!
//! A format belongs to a topic, so a stage may read one and write another. A further format is a
//! file beside [`json`] and [`number`] and a line in [`FormatName`].

pub mod json;
pub mod number;

use serde::Deserialize;

use crate::log::ConsumerRecord;
use crate::reading::{InvalidReading, Reading, Unit};

/// Turns records into readings and readings into values.
///
/// The whole record is given to [`decode`](Self::decode), because a format may need more of it than
/// its value: a key, a header, the record's timestamp.
pub trait Format: Send {
    /// Reads one record.
    ///
    /// # Errors
    /// What is wrong with the record; it then goes to the dead letters.
    fn decode<'a>(&self, record: &ConsumerRecord<'a>) -> Result<Reading<'a>, InvalidReading>;

    /// Appends the value of one record to `value`.
    ///
    /// # Errors
    /// What the format cannot carry; the record the reading came from then goes to the dead
    /// letters.
    fn encode(&self, reading: &Reading<'_>, value: &mut Vec<u8>) -> Result<(), InvalidReading>;

    /// Whether records carry the sensor as their key.
    fn keyed(&self) -> bool;
}

/// The formats a pipeline file can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FormatName {
    /// A JSON object: see [`json`].
    #[default]
    Json,
    /// A bare JSON number: see [`number`].
    Number,
}

impl FormatName {
    /// The format itself; `unit` is what a format without units is told its values are in.
    #[must_use]
    pub fn build(self, unit: Option<Unit>) -> Box<dyn Format> {
        match self {
            FormatName::Json => Box::new(json::Json),
            FormatName::Number => Box::new(number::Number { unit }),
        }
    }
}

/// Refuses what no operator may ever see.
///
/// # Errors
/// If the value is infinite or not a number.
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

/// The record's value, or why there is none to decode.
fn value_of<'a>(record: &ConsumerRecord<'a>) -> Result<&'a [u8], InvalidReading> {
    match record.value {
        None => Err(InvalidReading::new(
            "no-value",
            "the record has no value (a tombstone)",
        )),
        Some([]) => Err(InvalidReading::new("empty", "the value is empty")),
        Some(value) => Ok(value),
    }
}

/// A short piece of a value for an error message.
fn excerpt(value: &[u8]) -> String {
    const SHOWN: usize = 40;
    let text: String = String::from_utf8_lossy(&value[..value.len().min(SHOWN)])
        .escape_debug()
        .collect();
    if value.len() > SHOWN {
        format!("\"{text}…\" ({} bytes)", value.len())
    } else {
        format!("\"{text}\"")
    }
}
