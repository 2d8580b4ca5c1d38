//! What a format makes of a sample.

use std::fmt;

use jiff::Timestamp;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::format::{DecodeError, Format, excerpt};
use rivulet_core::reading::Reading;
use rivulet_core::readings::Readings;
use rivulet_core::unit::Unit;

use super::sample::SampleRecord;
use crate::text::plural;

/// What a format makes of a sample, record by record.
#[derive(Debug, Default)]
pub struct Attempt {
    records: Vec<String>,
    /// How many records have readings.
    pub decoded: usize,
    /// How many readings they have.
    pub readings: usize,
    /// How many records do not concern the chain.
    pub skipped: usize,
    /// How many records are invalid.
    pub invalid: usize,
}

impl Attempt {
    /// Decodes each record.
    ///
    /// # Errors
    /// If what the format needs cannot be reached.
    pub fn new(format: &dyn Format, records: &[SampleRecord]) -> Result<Self> {
        let mut attempt = Attempt::default();
        for record in records {
            let text = match format.decode(&record.fields()) {
                Ok(Readings::None) => {
                    attempt.skipped += 1;
                    " skipped".to_owned()
                }
                Ok(readings) => {
                    let readings = readings.as_slice();
                    attempt.decoded += 1;
                    attempt.readings += readings.len();
                    readings
                        .iter()
                        .map(|reading| format!("\n  {}", shown(reading)))
                        .collect::<Vec<_>>()
                        .concat()
                }
                Err(DecodeError::Invalid(invalid)) => {
                    attempt.invalid += 1;
                    let value = record.value.as_deref().map(excerpt).unwrap_or_default();
                    format!(" dead letter: {invalid}\n  {value}")
                }
                Err(DecodeError::Unavailable(error)) => return Err(error),
            };
            let key = record.key.as_deref();
            let key = key
                .map(|key| format!(" {}", excerpt(key)))
                .unwrap_or_default();
            attempt.records.push(format!(
                "[{}] {}{key}:{text}",
                record.partition, record.offset
            ));
        }
        Ok(attempt)
    }

    /// Checks that at least one record has a reading.
    ///
    /// # Errors
    /// If none has.
    pub fn check(&self) -> Result<()> {
        if self.decoded > 0 {
            return Ok(());
        }
        let error = Error::new("trying the format", "no record has a reading");
        Err(error
            .of_kind(Kind::Corrupt)
            .help("`rivulet formats guess` proposes a mapping"))
    }
}

fn shown(reading: &Reading<'_>) -> String {
    let Reading {
        sensor,
        seq,
        time,
        value,
        unit,
    } = reading;
    let time = Timestamp::from_millisecond(*time)
        .map_or_else(|_| format!("{time} ms"), |time| time.to_string());
    let unit = unit.as_ref().map(|unit| format!(" {}", Unit::name(unit)));
    format!(
        "{sensor:?} number {seq} at {time}: {value}{}",
        unit.unwrap_or_default()
    )
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for record in &self.records {
            writeln!(f, "{record}")?;
        }
        let count = |count: usize, what| plural(count, what);
        writeln!(
            f,
            "{}: {} with {}, {} skipped, {}",
            count(self.records.len(), "record"),
            self.decoded,
            count(self.readings, "reading"),
            self.skipped,
            count(self.invalid, "dead letter"),
        )
    }
}
