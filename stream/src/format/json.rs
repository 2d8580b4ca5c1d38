//! `json`: one object a reading, keyed by sensor.
//!
//! ```json
//! {"sensor":"seattle","seq":7,"time":1325376000000,"value":12.8,"unit":"celsius"}
//! ```
//!
//! `time` is in milliseconds since the epoch. Numbers are written in the shortest form that reads
//! back to the same 64-bit float. Fields that are not known are passed over, so that a newer writer
//! does not stop an older reader.

mod own;

use std::borrow::Cow;

use serde::de::IntoDeserializer;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Format, excerpt, finite, value_of};
use crate::log::ConsumerRecord;
use crate::reading::{InvalidReading, LONGEST_SENSOR, Reading, Unit};

/// See the [module](self).
#[derive(Debug, Clone, Copy)]
pub struct Json;

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    sensor: Cow<'a, str>,
    seq: u64,
    time: i64,
    value: f64,
    #[serde(deserialize_with = "unit_by_name")]
    unit: Unit,
}

/// By its name alone: for serde an object, `{"celsius":null}`, would do as well, but not for other
/// readers of the topic.
fn unit_by_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Unit, D::Error> {
    let name = Cow::<'de, str>::deserialize(deserializer)?;
    Unit::deserialize(name.into_deserializer())
}

impl Format for Json {
    fn decode<'a>(&self, record: &ConsumerRecord<'a>) -> Result<Reading<'a>, InvalidReading> {
        parse(value_of(record)?)
    }

    fn encode(&self, reading: &Reading<'_>, value: &mut Vec<u8>) -> Result<(), InvalidReading> {
        let unit = reading.unit.ok_or_else(|| {
            InvalidReading::new(
                "no-unit",
                "json needs a unit and the reading has none; state `unit` in the table of the \
                 topic it came from, or convert it first",
            )
        })?;
        let wire = Wire {
            sensor: Cow::Borrowed(named(&reading.sensor)?),
            seq: reading.seq,
            time: reading.time,
            value: finite(reading.value)?,
            unit,
        };
        serde_json::to_writer(value, &wire)
            .map_err(|error| InvalidReading::new("not-json", error.to_string()))
    }

    fn keyed(&self) -> bool {
        true
    }
}

/// Reads one JSON object; what borrows, borrows from `value`.
///
/// # Errors
/// Whatever keeps it from being a reading.
pub fn parse(value: &[u8]) -> Result<Reading<'_>, InvalidReading> {
    let reading = own::parse(value).map_or_else(|| by_parser(value), Ok)?;
    named(&reading.sensor)?;
    Ok(reading)
}

/// Refuses a name that is too long for a key, before any state knows of it.
fn named(sensor: &str) -> Result<&str, InvalidReading> {
    if sensor.len() <= LONGEST_SENSOR {
        return Ok(sensor);
    }
    let detail = format!(
        "the sensor's name has {} bytes, and may have {LONGEST_SENSOR}: {}",
        sensor.len(),
        excerpt(sensor.as_bytes())
    );
    Err(InvalidReading::new("too-large", detail))
}

fn by_parser(value: &[u8]) -> Result<Reading<'_>, InvalidReading> {
    // An array of the fields in their order would do for serde, but not for other readers of the
    // topic.
    if value.trim_ascii_start().first() != Some(&b'{') {
        return Err(InvalidReading::new(
            "not-json",
            format!("expected a JSON object, found {}", excerpt(value)),
        ));
    }
    let wire: Wire<'_> = serde_json::from_slice(value).map_err(|error| {
        InvalidReading::new("not-json", format!("{error}, in {}", excerpt(value)))
    })?;
    Ok(Reading {
        sensor: wire.sensor,
        seq: wire.seq,
        time: wire.time,
        value: finite(wire.value)?,
        unit: Some(wire.unit),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(value: &[u8]) -> String {
        parse(value).expect_err("should be refused").to_string()
    }

    #[test]
    fn the_documented_line_is_read_and_written_to_the_letter() {
        let line =
            br#"{"sensor":"seattle","seq":7,"time":1325376000000,"value":12.8,"unit":"celsius"}"#;
        let reading = parse(line).unwrap();
        assert!(
            matches!(reading.sensor, Cow::Borrowed("seattle")),
            "the sensor is borrowed, not copied"
        );
        let mut written = Vec::new();
        Json.encode(&reading, &mut written).unwrap();
        assert_eq!(written, line);
    }

    #[test]
    fn an_escaped_sensor_is_unescaped() {
        let reading =
            parse(br#"{"sensor":"s\u00e3o","seq":0,"time":0,"value":1,"unit":"kelvin"}"#).unwrap();
        assert_eq!(reading.sensor, "são");
    }

    #[test]
    fn a_name_longer_than_a_key_may_be_is_refused() {
        let line = |length: usize| {
            format!(
                r#"{{"sensor":"{}","seq":0,"time":0,"value":1.5,"unit":"kelvin"}}"#,
                "é".repeat(length / 2)
            )
        };
        let (longest, longer) = (line(LONGEST_SENSOR), line(LONGEST_SENSOR + 2));
        let reading = parse(longest.as_bytes()).unwrap();
        assert!(
            refused(longer.as_bytes()).starts_with("too-large: the sensor's name has 4098 bytes")
        );
        assert!(Json.encode(&reading, &mut Vec::new()).is_ok());
        let reading = Reading {
            sensor: format!("{}é", reading.sensor).into(),
            ..reading
        };
        assert!(
            Json.encode(&reading, &mut Vec::new())
                .unwrap_err()
                .to_string()
                .starts_with("too-large")
        );
    }

    #[test]
    fn fields_of_a_newer_writer_are_passed_over() {
        parse(
            br#"{"sensor":"a","seq":0,"time":0,"value":1,"unit":"kelvin","accuracy":{"plus":1}}"#,
        )
        .unwrap();
    }

    #[test]
    fn what_is_no_reading_is_refused_with_the_reason() {
        assert!(refused(b"null").starts_with("not-json"));
        assert!(refused(b"\"abc\"").contains("abc"));
        assert!(refused(b"NaN").starts_with("not-json"));
        assert!(refused(br#"["a",0,0,1,"kelvin"]"#).contains("expected a JSON object"));
        assert!(refused(b"[[[[[]]]]]").starts_with("not-json"));
        assert!(refused(b"\xff\xfe").starts_with("not-json"));
        assert!(
            refused(br#"{"sensor":"a","seq":0,"time":0,"value":1}"#)
                .contains("missing field `unit`")
        );
        let unit = refused(br#"{"sensor":"a","seq":0,"time":0,"value":1,"unit":{"celsius":null}}"#);
        assert!(unit.contains("expected a string"), "{unit}");
        assert!(
            refused(br#"{"sensor":"a","seq":0,"time":0,"value":1e999,"unit":"kelvin"}"#)
                .contains("out of range")
        );
        assert!(refused(&vec![b'x'; 10_000_000]).contains("10000000 bytes"));
        let deep = "[".repeat(100_000);
        assert!(refused(deep.as_bytes()).starts_with("not-json"));
    }

    proptest! {
        #[test]
        fn a_written_reading_reads_back_the_same(
            sensor in ".{0,1000}", seq: u64, time: i64, value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO | proptest::num::f64::SUBNORMAL,
        ) {
            let reading = Reading { sensor: sensor.into(), seq, time, value, unit: Some(Unit::Fahrenheit) };
            let mut written = Vec::new();
            Json.encode(&reading, &mut written).unwrap();
            prop_assert_eq!(parse(&written).unwrap(), reading);
        }
    }
}
