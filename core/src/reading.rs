//! The reading: one measurement of one sensor.

use std::borrow::Cow;
use std::fmt;

use crate::text::plain;
use crate::unit::Unit;

/// One measurement of one sensor.
///
/// Its text is borrowed from the record if the format allows it, so that a stage copies nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading<'a> {
    /// The sensor's name. It is the record's key if the format has keys, and "" otherwise.
    pub sensor: Cow<'a, str>,
    /// The sequence number. The source counts it up by one for each sensor. Operators keep it, and
    /// the time with it: a result has both of one of its readings.
    pub seq: u64,
    /// The event time in milliseconds since the epoch: when it was measured, not when it was sent.
    pub time: i64,
    /// The measured value in [`unit`](Self::unit). Always finite.
    pub value: f64,
    /// The value's unit. `None` if it is not known.
    pub unit: Option<Unit>,
}

/// The longest name of a sensor, in bytes. It is the key of all records of its readings.
pub const LONGEST_SENSOR: usize = 4096;

/// Why a record or a reading could not be decoded, processed or encoded.
///
/// It goes to the stage's dead-letter topic, with the original record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidReading {
    /// A short fixed word to group by, such as `not-json` or `wrong-unit`.
    pub reason: &'static str,
    /// The error in full, as [plain] text: it may quote the record.
    pub detail: String,
}

impl InvalidReading {
    /// An invalid reading with this reason.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        InvalidReading {
            reason,
            detail: plain(&detail.into()).into_owned(),
        }
    }
}

impl std::error::Error for InvalidReading {}

impl fmt::Display for InvalidReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}
