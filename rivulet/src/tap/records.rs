//! What a stage read and what it wrote, as `rivulet tap` keeps it.

use rivulet_core::format::{DecodeError, Format};
use rivulet_core::log::ConsumerRecord;
use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;

use crate::text;

/// How many characters are kept of a record that is not a reading, and of an error.
const SHOWN: usize = 80;

/// Where a record is. The topic is an index into the inputs or the outputs of the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) topic: usize,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

impl Place {
    pub(super) fn of(record: &ConsumerRecord<'_>) -> Self {
        Place {
            topic: record.topic,
            partition: record.partition,
            offset: record.offset,
        }
    }
}

/// A reading, with its own copy of the sensor's name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TapReading {
    pub(super) sensor: String,
    pub(super) seq: u64,
    pub(super) time: i64,
    pub(super) value: f64,
    pub(super) unit: Option<Unit>,
}

impl From<&Reading<'_>> for TapReading {
    fn from(reading: &Reading<'_>) -> Self {
        TapReading {
            sensor: reading.sensor.clone().into_owned(),
            seq: reading.seq,
            time: reading.time,
            value: reading.value,
            unit: reading.unit,
        }
    }
}

/// A record of an input.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Input {
    pub(super) place: Place,
    /// The record's timestamp; −1 if it has none.
    pub(super) timestamp: i64,
    pub(super) readings: Vec<TapReading>,
    /// Its value as plain text, if it is not a reading.
    pub(super) raw: Option<String>,
    /// Whether it is shown. The others only claim their outputs.
    pub(super) is_shown: bool,
}

impl Input {
    /// Decodes a record. It need not be a reading.
    ///
    /// # Errors
    /// If what it takes to decode it cannot be reached.
    pub(super) fn decode(
        format: &dyn Format,
        record: &ConsumerRecord<'_>,
    ) -> rivulet_core::error::Result<Self> {
        let mut input = Input {
            place: Place::of(record),
            timestamp: record.timestamp,
            readings: Vec::new(),
            raw: None,
            is_shown: true,
        };
        match format.decode(record) {
            Ok(readings) => {
                input.readings = readings.as_slice().iter().map(TapReading::from).collect();
            }
            Err(DecodeError::Invalid(_)) => {
                let bytes = |bytes| text::shortened(bytes, SHOWN);
                input.raw = Some(record.value.map_or("(tombstone)".to_owned(), bytes));
            }
            Err(DecodeError::Unavailable(error)) => return Err(error),
        }
        Ok(input)
    }
}

/// A reading of an output.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Output {
    pub(super) place: Place,
    pub(super) timestamp: i64,
    pub(super) reading: TapReading,
}

/// Why a record became a dead letter, as plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TapDeadLetter {
    pub(super) reason: String,
    pub(super) error: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

impl TapDeadLetter {
    pub(super) fn new(reason: &str, error: &str, record: &ConsumerRecord<'_>) -> Self {
        TapDeadLetter {
            reason: text::plain(reason, SHOWN),
            error: text::plain(error, 2 * SHOWN),
            partition: record.partition,
            offset: record.offset,
        }
    }
}

/// What became of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has outputs.
    Written,
    /// The stage has passed it, and wrote nothing.
    Dropped,
    /// It could not be processed.
    DeadLetter(TapDeadLetter),
    /// The stage has not passed it.
    Pending,
}

impl Outcome {
    /// The word for programs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Outcome::Written => "written",
            Outcome::Dropped => "dropped",
            Outcome::DeadLetter(_) => "dead-letter",
            Outcome::Pending => "pending",
        }
    }
}

/// An input beside what the stage made of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Matched {
    pub(super) input: Input,
    /// In the order of their places, each with the index of the reading that it comes from.
    pub(super) outputs: Vec<(usize, Output)>,
    pub(super) outcome: Outcome,
    /// Whether records cannot be told apart of which only some were dropped, and this is one.
    pub(super) is_ambiguous: bool,
}

/// Whether an output has a part of a reading as the input has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It must be the same.
    Kept,
    /// If it is the same, that is better.
    Unknown,
    /// It says nothing.
    Lost,
}

/// Which parts of a reading the format of an output keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeptParts {
    pub(super) sensor: Part,
    pub(super) seq: Part,
    pub(super) time: Part,
}

impl KeptParts {
    /// Nothing is known.
    pub(super) const UNKNOWN: KeptParts = KeptParts {
        sensor: Part::Unknown,
        seq: Part::Unknown,
        time: Part::Unknown,
    };

    /// Writes a reading in this format, and reads it.
    pub(super) fn of(format: &dyn Format) -> Self {
        let reading = Reading {
            sensor: "sensor".into(),
            seq: 987_654_321,
            time: 1_325_376_000_789,
            value: 1.5,
            unit: None,
        };
        let mut value = Vec::new();
        if format.encode(&reading, &mut value).is_err() {
            return Self::UNKNOWN;
        }
        let record = ConsumerRecord {
            topic: 0,
            partition: 0,
            offset: 1,
            timestamp: 2,
            key: format
                .keyed()
                .then(|| format.key(&reading.sensor).as_bytes()),
            value: Some(&value),
            headers: &(),
        };
        let Ok(readings) = format.decode(&record) else {
            return Self::UNKNOWN;
        };
        let [found] = readings.as_slice() else {
            return Self::UNKNOWN;
        };
        let part = |is_same| if is_same { Part::Kept } else { Part::Lost };
        KeptParts {
            sensor: part(found.sensor == reading.sensor),
            seq: part(found.seq == reading.seq),
            time: part(found.time == reading.time),
        }
    }

    /// Whether the whole identity of a reading is kept.
    pub(super) fn is_all(self) -> bool {
        [self.sensor, self.seq, self.time] == [Part::Kept; 3]
    }

    /// The same where an output may have the sequence number and the time of an earlier input.
    pub(super) fn loose(self) -> Self {
        let loose = |part| match part {
            Part::Lost => Part::Lost,
            Part::Kept | Part::Unknown => Part::Unknown,
        };
        KeptParts {
            sensor: self.sensor,
            seq: loose(self.seq),
            time: loose(self.time),
        }
    }
}

#[cfg(test)]
mod tests {
    use rivulet_core::format::FormatContext;
    use rivulet_pipeline::{Check, ComponentConfig};

    use super::*;
    use crate::Registry;

    fn kept(format: &str) -> KeptParts {
        let registry = Registry::default();
        let config = ComponentConfig::parse(format).unwrap();
        let settings = registry.formats().read(&config).unwrap();
        KeptParts::of(&*settings.build(&FormatContext::new("t")).unwrap())
    }

    #[test]
    fn a_format_shows_which_parts_it_keeps() {
        use Part::{Kept, Lost};
        let parts = |sensor, seq, time| KeptParts { sensor, seq, time };
        assert_eq!(kept("json = {}"), parts(Kept, Kept, Kept));
        assert_eq!(kept("number = {}"), parts(Lost, Lost, Lost));
        let mapped = "json = { sensor = \"/id\", value = \"/t\" }";
        assert_eq!(kept(mapped), parts(Kept, Lost, Lost));
    }
}
