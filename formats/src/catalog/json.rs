//! `json`: an object for each reading, keyed by sensor.
//!
//! ```json
//! {"sensor":"seattle","seq":7,"time":1325376000000,"value":12.8,"unit":"celsius"}
//! ```
//!
//! `time` is in milliseconds since the epoch. Numbers are written in the shortest form that reads
//! back as the same 64-bit float. `unit` is any text, and is left out if it is not known. Unknown
//! fields are skipped, so that a newer writer does not stop an older reader.
//!
//! With settings, it is somebody else's JSON: a [mapping](crate::mapping) says where each part of a
//! reading is.

mod fields;
pub mod mapped;
mod own;

use std::borrow::Cow;

use serde::Deserialize;

use self::mapped::MappedJson;
use crate::mapping::{Mapping, MappingTable};

use rivulet_core::component::Component;
use rivulet_core::format::{
    DecodeError, Format, FormatContext, FormatSettings, check_sensor, excerpt, finite, value_of,
};
use rivulet_core::log::ConsumerRecord;
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::readings::Readings;
use rivulet_core::unit::Unit;

/// Without settings, each record carries one reading, an object with `sensor`, `seq`, `time` in
/// milliseconds since the epoch, `value` and, if it is known, `unit`. Other fields are skipped.
///
/// With settings, they say where each part of a reading is in somebody else's messages.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "MappingTable")]
pub struct Json {
    mapping: Option<Mapping>,
}

impl TryFrom<MappingTable> for Json {
    type Error = String;

    fn try_from(table: MappingTable) -> Result<Self, String> {
        table.check_has_only(&[], Self::NAME)?;
        let mapping = (!table.is_empty()).then(|| table.try_into());
        Ok(Json {
            mapping: mapping.transpose()?,
        })
    }
}

impl Component for Json {
    const NAME: &'static str = "json";
    const ABOUT: &'static str = "a JSON object for each reading, or anybody's JSON by a mapping";
    const EXAMPLE: &'static str =
        r#"json = { sensor = "/device/id", time = "/ts", value = "/t", unit = "celsius" }"#;
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Json {
    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        MappingTable::schema_with_only(&[], generator)
    }
}

impl FormatSettings for Json {
    fn build(&self, context: &FormatContext<'_>) -> Result<Box<dyn Format>, String> {
        let unit = context.unit;
        Ok(match &self.mapping {
            None => Box::new(JsonFormat { unit }),
            Some(mapping) => Box::new(MappedJson::new(mapping.clone(), unit)),
        })
    }

    fn check_write(&self, _: &FormatContext<'_>) -> Result<(), String> {
        let layout = self.mapping.as_ref().map(Mapping::layout).transpose();
        layout.map(drop)
    }
}

/// See the [module](self).
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonFormat {
    /// The unit of readings that do not say theirs.
    pub unit: Option<Unit>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    sensor: Cow<'a, str>,
    seq: u64,
    time: i64,
    value: f64,
    #[serde(default)]
    unit: Option<Unit>,
}

impl Format for JsonFormat {
    fn decode<'a>(&self, record: &ConsumerRecord<'a>) -> Result<Readings<'a>, DecodeError> {
        let mut reading = parse(value_of(record)?)?;
        if reading.unit.is_none() {
            reading.unit = self.unit;
        }
        Ok(reading.into())
    }

    fn encode(&self, reading: &Reading<'_>, value: &mut Vec<u8>) -> Result<(), InvalidReading> {
        check_sensor(&reading.sensor)?;
        finite(reading.value)?;
        own::write(reading, value)
            .map_err(|error| InvalidReading::new("not-json", error.to_string()))
    }

    fn keyed(&self) -> bool {
        true
    }
}

/// Reads one JSON object.
///
/// # Errors
/// Why it is not a valid reading.
pub fn parse(value: &[u8]) -> Result<Reading<'_>, InvalidReading> {
    let reading = own::parse(value).map_or_else(|| by_parser(value), Ok)?;
    check_sensor(&reading.sensor)?;
    Ok(reading)
}

fn by_parser(value: &[u8]) -> Result<Reading<'_>, InvalidReading> {
    // serde would also accept an array of the fields, which other readers of the topic do not
    // expect.
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
        unit: wire.unit,
    })
}

#[cfg(test)]
mod tests {
    use proptest::num::f64::{NORMAL, SUBNORMAL, ZERO};
    use proptest::prelude::*;
    use rivulet_core::reading::LONGEST_SENSOR;

    use super::*;

    fn error(value: &[u8]) -> String {
        parse(value).expect_err("should be invalid").to_string()
    }

    #[test]
    fn the_documented_line_is_read_and_written_exactly() {
        let line =
            br#"{"sensor":"seattle","seq":7,"time":1325376000000,"value":12.8,"unit":"celsius"}"#;
        let reading = parse(line).unwrap();
        assert!(
            matches!(reading.sensor, Cow::Borrowed("seattle")),
            "the sensor is borrowed, not copied"
        );
        let mut written = Vec::new();
        JsonFormat::default()
            .encode(&reading, &mut written)
            .unwrap();
        assert_eq!(written, line);
    }

    #[test]
    fn an_escaped_sensor_is_unescaped() {
        let reading =
            parse(br#"{"sensor":"s\u00e3o","seq":0,"time":0,"value":1,"unit":"kelvin"}"#).unwrap();
        assert_eq!(reading.sensor, "são");
    }

    #[test]
    fn a_name_that_is_too_long_for_a_key_is_invalid() {
        let [longest, longer] = [LONGEST_SENSOR, LONGEST_SENSOR + 2].map(|length| {
            format!(
                r#"{{"sensor":"{}","seq":0,"time":0,"value":1.5,"unit":"kelvin"}}"#,
                "é".repeat(length / 2)
            )
        });
        let reading = parse(longest.as_bytes()).unwrap();
        assert!(
            error(longer.as_bytes()).starts_with("too-large: the sensor's name has 4098 bytes")
        );
        assert!(
            JsonFormat::default()
                .encode(&reading, &mut Vec::new())
                .is_ok()
        );
        let reading = Reading {
            sensor: format!("{}é", reading.sensor).into(),
            ..reading
        };
        assert!(
            JsonFormat::default()
                .encode(&reading, &mut Vec::new())
                .unwrap_err()
                .to_string()
                .starts_with("too-large")
        );
    }

    #[test]
    fn unknown_fields_are_skipped() {
        parse(
            br#"{"sensor":"a","seq":0,"time":0,"value":1,"unit":"kelvin","accuracy":{"plus":1}}"#,
        )
        .unwrap();
    }

    #[test]
    fn an_invalid_value_is_an_error_with_the_reason() {
        assert!(error(b"null").starts_with("not-json"));
        assert!(error(b"\"abc\"").contains("abc"));
        assert!(error(b"NaN").starts_with("not-json"));
        assert!(error(br#"["a",0,0,1,"kelvin"]"#).contains("expected a JSON object"));
        assert!(error(b"[[[[[]]]]]").starts_with("not-json"));
        assert!(error(b"\xff\xfe").starts_with("not-json"));
        assert!(
            error(br#"{"sensor":"a","seq":0,"time":0,"unit":"kelvin"}"#)
                .contains("missing field `value`")
        );
        let unit = error(br#"{"sensor":"a","seq":0,"time":0,"value":1,"unit":{"celsius":null}}"#);
        assert!(unit.contains("expected a string"), "{unit}");
        assert!(
            error(br#"{"sensor":"a","seq":0,"time":0,"value":1e999,"unit":"kelvin"}"#)
                .contains("out of range")
        );
        assert!(error(&vec![b'x'; 10_000_000]).contains("10000000 bytes"));
        let deep = "[".repeat(100_000);
        assert!(error(deep.as_bytes()).starts_with("not-json"));
    }

    #[test]
    fn a_unit_is_any_text_or_left_out() {
        for (text, unit) in [
            ("", None),
            (",\"unit\":null", None),
            (",\"unit\":\"kelvin\"", Some(Unit::Kelvin)),
            (",\"unit\":\"µg/m³\"", Some("µg/m³".parse().unwrap())),
        ] {
            let line = format!(r#"{{"sensor":"a","seq":0,"time":0,"value":1.5{text}}}"#);
            let reading = parse(line.as_bytes()).unwrap();
            assert_eq!(reading.unit, unit, "{line}");
            let mut written = Vec::new();
            JsonFormat::default()
                .encode(&reading, &mut written)
                .unwrap();
            assert_eq!(parse(&written).unwrap(), reading);
        }
        let long = format!(
            r#"{{"sensor":"a","seq":0,"time":0,"value":1,"unit":"{}"}}"#,
            "x".repeat(31)
        );
        assert!(error(long.as_bytes()).contains("at most 30 bytes"));
    }

    proptest! {
        #[test]
        fn a_written_reading_reads_back_the_same(
            sensor in ".{0,1000}",
            seq: u64,
            time: i64,
            value in NORMAL | ZERO | SUBNORMAL,
            unit in proptest::option::of(r"\PC{1,7}"),
        ) {
            let unit = unit.and_then(|unit| unit.parse().ok());
            let reading = Reading { sensor: sensor.into(), seq, time, value, unit };
            let mut written = Vec::new();
            JsonFormat::default().encode(&reading, &mut written).unwrap();
            prop_assert_eq!(parse(&written).unwrap(), reading);
        }
    }
}
