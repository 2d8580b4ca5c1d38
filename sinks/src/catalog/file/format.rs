//! The formats of a file.

use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;
use serde::Deserialize;

use crate::json;
use crate::sink::Delivery;
use crate::text::{push, push_number, push_time};

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema, serde::Serialize))]
pub enum OutputFormat {
    /// A header, then one row a reading. Times are in RFC 3339. Fields are quoted as in RFC 4180
    /// where necessary. A spreadsheet takes a sensor whose name begins with `=`, `+`, `-` or `@`
    /// for a formula: if others choose the names, import that column as text.
    Csv,
    /// Topic, partition and offset, then the fields of the
    /// [`json` format](rivulet_formats::catalog::json).
    JsonLines,
}

impl OutputFormat {
    /// The start of every file of this format.
    pub(super) fn beginning(self) -> &'static [u8] {
        match self {
            OutputFormat::Csv => b"topic,partition,offset,sensor,seq,time,value,unit\n",
            OutputFormat::JsonLines => b"{\"topic\":",
        }
    }

    /// Appends one line for each reading.
    pub(super) fn push(self, lines: &mut Vec<u8>, delivery: &Delivery<'_>) {
        for reading in delivery.readings {
            match self {
                OutputFormat::Csv => push_row(lines, delivery, reading),
                OutputFormat::JsonLines => json::push_delivery(lines, delivery, reading),
            }
        }
    }
}

fn push_row(line: &mut Vec<u8>, delivery: &Delivery<'_>, reading: &Reading<'_>) {
    let Delivery {
        topic,
        partition,
        offset,
        ..
    } = delivery;
    push(line, format_args!("{topic},{partition},{offset},"));
    push_field(line, &reading.sensor);
    push(line, format_args!(",{},", reading.seq));
    push_time(line, reading.time);
    line.push(b',');
    push_number(line, reading.value);
    line.push(b',');
    push_field(line, reading.unit.as_ref().map_or("", Unit::name));
    line.push(b'\n');
}

fn push_field(line: &mut Vec<u8>, field: &str) {
    if !field.contains([',', '"', '\r', '\n']) {
        return line.extend_from_slice(field.as_bytes());
    }
    line.push(b'"');
    for byte in field.bytes() {
        if byte == b'"' {
            line.push(b'"');
        }
        line.push(byte);
    }
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_csv_reader_reads_what_was_written(
            sensor in ".*",
            value in proptest::num::f64::NORMAL,
            offset: i64,
        ) {
            let mut row = OutputFormat::Csv.beginning().to_vec();
            let unit = Some(Unit::Celsius);
            let reading = Reading {
                sensor: sensor.as_str().into(),
                seq: 7,
                time: 1000,
                value,
                unit,
            };
            let delivery = Delivery {
                topic: "t",
                partition: 3,
                offset,
                timestamp: 0,
                key: None,
                readings: &[reading],
            };
            OutputFormat::Csv.push(&mut row, &delivery);
            let mut rows = csv::Reader::from_reader(row.as_slice());
            let read: (String, i32, i64, String, u64, String, f64, Option<Unit>) =
                rows.deserialize().next().unwrap().unwrap();
            let time = "1970-01-01T00:00:01Z".to_owned();
            let expected = ("t".to_owned(), 3, offset, sensor.clone(), 7, time, value, unit);
            prop_assert_eq!(read, expected);
        }
    }
}
