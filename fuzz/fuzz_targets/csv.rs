//! A file of readings. The input is read as CSV, as JSON lines, and as the input of the source
//! `lines`.
//!
//! - The lines are those of the whole text.
//! - The outcome of a row does not depend on earlier rows.
//! - The cells of a row are those that a plain parser of the quotes finds.
//! - A row that is written again reads back the same.
//! - Every line that is not blank becomes one reading or one dead letter, in order.
#![no_main]

use std::path::Path;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use rivulet_core::reading::InvalidReading;
use rivulet_core::unit::Unit;
use rivulet_pipeline::ComponentConfig;
use rivulet_producer::catalog::lines::Lines;
use rivulet_producer::line_reader::LineReader;
use rivulet_producer::row::{Columns, Dialect, FileFormat, ParsedRow, Rows, without_mark};
use rivulet_producer::source::{Next, Source};
use serde_json::json;

/// The reasons of invalid readings.
const REASONS: [&str; 14] = [
    "bad-sensor",
    "bad-time",
    "bad-unit",
    "extra-cell",
    "missing-cell",
    "not-a-number",
    "not-a-reading",
    "not-csv",
    "not-finite",
    "not-json",
    "not-utf-8",
    "too-long",
    "too-many-sensors",
    "zero-bytes",
];

fuzz_target!(|file: &[u8]| {
    let lines = lines(file);
    json_lines(&lines);
    if let Some((header, lines)) = lines.split_first() {
        csv(header, lines);
    }
    standard_input(file);
});

fn columns() -> Columns {
    Columns {
        sensor: "sensor".into(),
        time: "time".into(),
        value: "value".into(),
        unit: Some("unit"),
    }
}

fn rows(format: FileFormat, header: &[u8]) -> rivulet_core::error::Result<Box<dyn Rows>> {
    format.rows(Path::new("a.csv"), header, &columns(), Dialect::default())
}

/// Splits a file into lines, and compares them with those of the whole text.
fn lines(mut file: &[u8]) -> Vec<Vec<u8>> {
    let expected = file.split_inclusive(|byte| *byte == b'\n').map(|line| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    });
    let expected: Vec<Vec<u8>> = expected.map(<[u8]>::to_vec).collect();
    let length = file.len() as u64;
    let mut reader = LineReader::default();
    let mut lines = Vec::new();
    loop {
        while reader.advance() {
            if let Ok(line) = reader.whole() {
                lines.push(line.to_vec());
            }
            assert_eq!(
                usize::try_from(reader.number()),
                Ok(lines.len()),
                "no line of the input is too long"
            );
        }
        if reader.has_ended() {
            break;
        }
        reader.fill(&mut file).unwrap();
    }
    assert_eq!(reader.byte(), length);
    assert_eq!(lines, expected);
    lines
}

fn csv(header: &[u8], lines: &[Vec<u8>]) {
    let mut reader = match rows(FileFormat::Csv, header) {
        Ok(reader) => reader,
        Err(error) => {
            assert!(error.to_string().contains("a.csv"), "{error}");
            return;
        }
    };
    let names = cells(without_mark(header));
    let find = |name: &str| names.iter().position(|there| there == name.as_bytes());
    for line in lines {
        let row = reader.row(line);
        assert_eq!(row, rows(FileFormat::Csv, header).unwrap().row(line));
        match row {
            Ok(row) => {
                let cells = cells(line);
                let cell = |name| str::from_utf8(&cells[find(name).unwrap()]).unwrap();
                assert!(cells.len() <= names.len());
                assert_eq!(row.sensor, cell("sensor"));
                assert_eq!(
                    row.value.to_bits(),
                    cell("value").parse::<f64>().unwrap().to_bits()
                );
                assert_eq!(
                    row.unit.as_ref().map(Unit::name),
                    find("unit").map(|_| cell("unit"))
                );
                check_row(&row);

                let ParsedRow {
                    sensor,
                    time,
                    value,
                    unit,
                } = &row;
                let quoted = sensor.replace('"', "\"\"");
                let unit = unit.map_or(String::new(), |unit| format!(",{unit}"));
                let header = if unit.is_empty() {
                    "sensor,time,value"
                } else {
                    "sensor,time,value,unit"
                };
                let again = format!("\"{quoted}\",{time},{value:?}{unit}");
                let mut reader = rows(FileFormat::Csv, header.as_bytes()).unwrap();
                assert_eq!(reader.row(again.as_bytes()).as_ref(), Ok(&row), "{again}");
            }
            Err(invalid) => check_invalid(&invalid),
        }
    }
}

/// The cells of a line, without the white space around them (RFC 4180). Quotes inside a cell that
/// does not begin with one are data, and so is the text after a closing quote. Each line may begin
/// with a byte order mark, as in concatenated files.
fn cells(line: &[u8]) -> Vec<Vec<u8>> {
    let mut cells = Vec::new();
    let mut rest = without_mark(line);
    loop {
        let mut cell = Vec::new();
        if let [b'"', quoted @ ..] = rest {
            rest = quoted;
            loop {
                match rest {
                    [b'"', b'"', rest_of_line @ ..] => {
                        cell.push(b'"');
                        rest = rest_of_line;
                    }
                    [b'"', rest_of_line @ ..] => {
                        rest = rest_of_line;
                        break;
                    }
                    [byte, rest_of_line @ ..] => {
                        cell.push(*byte);
                        rest = rest_of_line;
                    }
                    [] => break,
                }
            }
        }
        let end = rest.iter().position(|byte| *byte == b',');
        cell.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
        cells.push(cell.trim_ascii().to_vec());
        let Some(end) = end else { return cells };
        rest = &rest[end + 1..];
    }
}

fn json_lines(lines: &[Vec<u8>]) {
    let mut reader = rows(FileFormat::JsonLines, b"").unwrap();
    for line in lines {
        match reader.row(line) {
            Ok(row) => {
                check_row(&row);
                let ParsedRow {
                    sensor,
                    time,
                    value,
                    unit,
                } = &row;
                let again = json!({ "sensor": sensor, "time": time, "value": value, "unit": unit })
                    .to_string();
                let mut reader = rows(FileFormat::JsonLines, b"").unwrap();
                assert_eq!(reader.row(again.as_bytes()).as_ref(), Ok(&row), "{again}");
            }
            Err(invalid) => check_invalid(&invalid),
        }
    }
}

fn standard_input(file: &[u8]) {
    let lines: Lines = ComponentConfig::parse("lines = \"\"")
        .unwrap()
        .settings()
        .unwrap();
    let mut source = lines
        .read_from(std::io::Cursor::new(file.to_vec()))
        .unwrap();
    let mut left = file
        .split(|byte| *byte == b'\n')
        .zip(1..)
        .filter(|(line, _)| !line.trim_ascii().is_empty());
    loop {
        match source.next(Duration::from_mins(1)).unwrap() {
            Next::Reading(reading) | Next::Measured(reading) => {
                assert!(
                    reading.value.is_finite() && reading.unit.is_some(),
                    "{reading:?}"
                );
                assert!(left.next().is_some());
            }
            Next::Bad {
                bytes,
                place,
                invalid,
            } => {
                let (line, number) = left.next().unwrap();
                assert_eq!(bytes, line.strip_suffix(b"\r").unwrap_or(line));
                assert_eq!(place, format!("standard input line {number}"));
                check_invalid(&invalid);
            }
            Next::Record(record) => panic!("lines are readings: {record:?}"),
            Next::NotYet => panic!("the source has not ended"),
            Next::End => break,
        }
    }
    assert!(left.next().is_none());
}

fn check_row(row: &ParsedRow<'_>) {
    assert!(!row.sensor.is_empty() && row.value.is_finite(), "{row:?}");
}

fn check_invalid(invalid: &InvalidReading) {
    assert!(
        REASONS.contains(&invalid.reason) && !invalid.detail.is_empty(),
        "{invalid:?}"
    );
}
