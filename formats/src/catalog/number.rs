//! `number`: a bare JSON number without a key, as plain clients in any language write it.
//!
//! The sensor is "". The time is the record's timestamp, and the sequence number is its offset. The
//! unit is the topic's `unit`, if it has one.

use rivulet_core::component::Component;
use rivulet_core::format::{
    DecodeError, Format, FormatContext, FormatSettings, excerpt, finite, value_of,
};
use rivulet_core::log::ConsumerRecord;
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::readings::Readings;
use rivulet_core::unit::Unit;
use serde::Deserialize;

/// The sensor has no name, the time is the record's timestamp, and the sequence number is its
/// offset. It has no settings.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Number {}

impl Component for Number {
    const NAME: &'static str = "number";
    const ABOUT: &'static str = "a bare JSON number without a key, as plain clients write it";
    const EXAMPLE: &'static str = "number = {}";
}

impl FormatSettings for Number {
    fn build(&self, context: &FormatContext<'_>) -> Result<Box<dyn Format>, String> {
        Ok(Box::new(NumberFormat { unit: context.unit }))
    }
}

/// See the [module](self).
#[derive(Debug, Clone, Copy)]
pub struct NumberFormat {
    /// The unit of the topic's values.
    pub unit: Option<Unit>,
}

impl Format for NumberFormat {
    fn decode<'a>(&self, record: &ConsumerRecord<'a>) -> Result<Readings<'a>, DecodeError> {
        let value = value_of(record)?;
        let number = serde_json::from_slice(value).map_err(|error| {
            InvalidReading::new("not-a-number", format!("{error}, in {}", excerpt(value)))
        })?;
        let reading = Reading {
            sensor: "".into(),
            // Kafka's offsets are never negative.
            seq: u64::try_from(record.offset).unwrap_or_default(),
            time: record.timestamp,
            value: finite(number)?,
            unit: self.unit,
        };
        Ok(reading.into())
    }

    fn encode(&self, reading: &Reading<'_>, value: &mut Vec<u8>) -> Result<(), InvalidReading> {
        serde_json::to_writer(value, &finite(reading.value)?)
            .map_err(|error| InvalidReading::new("not-a-number", error.to_string()))
    }

    fn keyed(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(value: &[u8]) -> Result<Reading<'_>, DecodeError> {
        let record = ConsumerRecord {
            topic: 0,
            partition: 0,
            offset: 41,
            timestamp: 1000,
            key: None,
            value: Some(value),
            headers: &(),
        };
        let format = NumberFormat {
            unit: Some(Unit::Celsius),
        };
        let Readings::One(reading) = format.decode(&record)? else {
            panic!("a number is one reading")
        };
        Ok(reading)
    }

    #[test]
    fn the_record_supplies_the_other_fields() {
        let reading = decode(b"12.8").unwrap();
        assert_eq!(
            (reading.sensor.as_ref(), reading.seq, reading.time),
            ("", 41, 1000)
        );
        assert_eq!((reading.value, reading.unit), (12.8, Some(Unit::Celsius)));
        assert_eq!(decode(b"20").unwrap().value, 20.0);
        assert_eq!(decode(b" -3.5e1\n").unwrap().value, -35.0);
    }

    #[test]
    fn anything_but_a_number_is_invalid() {
        for bad in [
            &b""[..],
            b"null",
            b"\"abc\"",
            b"NaN",
            b"1e999",
            b"\xff",
            b"[1]",
            b"1 2",
        ] {
            decode(bad).expect_err(&String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn numbers_are_written_in_their_shortest_form() {
        let mut written = Vec::new();
        let reading = decode(b"5.40500e1").unwrap();
        NumberFormat { unit: None }
            .encode(&reading, &mut written)
            .unwrap();
        assert_eq!(written, b"54.05");
    }
}
