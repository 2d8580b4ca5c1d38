//! Comma-separated values (RFC 4180), one row a line. The delimiter may be another character.
//!
//! A quoted cell may contain commas and quotes, but no line break. A quote that is never closed
//! then spoils one row and not the rest of the file.

use std::io::{Cursor, SeekFrom};
use std::path::Path;

use csv::{ByteRecord, Position, Reader, ReaderBuilder, Terminator};
use rivulet_core::error::{Error, Result as OrError};
use rivulet_core::reading::InvalidReading;

use super::{Columns, Dialect, ParsedRow, Rows, missing, number, time, unit, without_mark};

/// See the [module](self).
#[derive(Debug)]
pub struct Csv {
    /// Reads each line as if it were a file.
    reader: Reader<Cursor<Vec<u8>>>,
    record: ByteRecord,
    names: Columns,
    dialect: Dialect,
    sensor: usize,
    time: usize,
    value: usize,
    unit: Option<usize>,
    /// How many cells the header has.
    width: usize,
}

impl Csv {
    /// The parser for the lines after this header of `path`.
    ///
    /// # Errors
    /// If the header lacks a column.
    pub fn new(path: &Path, header: &[u8], columns: &Columns, dialect: Dialect) -> OrError<Self> {
        let reader = ReaderBuilder::new()
            .delimiter(dialect.delimiter)
            .has_headers(false)
            .flexible(true)
            // The input is one line, so a line break in it is data.
            .terminator(Terminator::Any(b'\n'))
            .from_reader(Cursor::default());
        let mut csv = Csv {
            reader,
            record: ByteRecord::new(),
            names: columns.clone(),
            dialect,
            sensor: 0,
            time: 0,
            value: 0,
            unit: None,
            width: 0,
        };
        let failed =
            |cause: String| Error::new(format!("reading the header of {}", path.display()), cause);
        csv.read(without_mark(header))
            .map_err(|invalid| failed(invalid.detail))?;
        let found: Vec<String> = csv
            .record
            .iter()
            .map(|cell| String::from_utf8_lossy(cell.trim_ascii()).into_owned())
            .collect();
        let find = |name: &str| found.iter().position(|found| found == name);
        let (Some(sensor), Some(time), Some(value)) = (
            find(&columns.sensor),
            find(&columns.time),
            find(&columns.value),
        ) else {
            let wanted = [
                ("sensor", &columns.sensor),
                ("time", &columns.time),
                ("value", &columns.value),
            ];
            let missing = wanted.into_iter().filter(|(_, name)| find(name).is_none());
            let (settings, names): (Vec<_>, Vec<_>) = missing
                .map(|(setting, name)| (format!("{setting} = \"COLUMN\""), format!("`{name}`")))
                .unzip();
            let found: Vec<String> = found.iter().map(|name| format!("`{name}`")).collect();
            let cause = format!(
                "there is no column {}; there are {}",
                names.join(", "),
                found.join(", ")
            );
            if let Some((delimiter, name)) = other_delimiter(header, dialect.delimiter) {
                let help = format!(
                    "its cells seem to be separated by {name}: add delimiter = \"{}\" to the \
                     source's settings, and decimal-comma = true if its numbers are written 12,5",
                    delimiter.escape_default()
                );
                return Err(failed(cause).help(help));
            }
            let help = format!(
                "name the column in the source's settings: {}",
                settings.join(", ")
            );
            return Err(failed(cause).help(help));
        };
        let unit = columns.unit.and_then(find);
        let width = found.len();
        Ok(Csv {
            sensor,
            time,
            value,
            unit,
            width,
            ..csv
        })
    }

    /// Splits a line into the cells of `record`.
    fn read(&mut self, line: &[u8]) -> Result<(), InvalidReading> {
        let cells = self.reader.get_mut().get_mut();
        cells.clear();
        cells.extend_from_slice(line);
        self.reader
            .seek_raw(SeekFrom::Start(0), Position::new())
            .and_then(|()| self.reader.read_byte_record(&mut self.record))
            .map_err(|error| InvalidReading::new("not-csv", error.to_string()))?;
        Ok(())
    }

    /// Parses a number in this dialect.
    fn number(&self, text: &str) -> Result<f64, InvalidReading> {
        let with_point = || text.replacen(',', ".", 1);
        if !self.dialect.decimal_comma {
            return number(text).map_err(|mut invalid| {
                if let Ok(value) = number(&with_point()) {
                    let hint = format!(": decimal-comma = true reads it as {value}");
                    invalid.detail.push_str(&hint);
                }
                invalid
            });
        }
        if text.contains('.') {
            let detail = format!("{text:?} is not a number with a decimal comma");
            return Err(InvalidReading::new("not-a-number", detail));
        }
        number(&with_point())
    }

    /// The text of a cell. An error if the cell is missing or empty.
    fn cell(&self, index: usize, name: &str) -> Result<&str, InvalidReading> {
        let cell = self.record.get(index).unwrap_or_default().trim_ascii();
        if cell.is_empty() {
            return Err(missing(name));
        }
        str::from_utf8(cell)
            .map_err(|error| InvalidReading::new("not-utf-8", format!("`{name}`: {error}")))
    }
}

/// The delimiter that the header seems to have instead, and its name.
fn other_delimiter(header: &[u8], delimiter: u8) -> Option<(char, &'static str)> {
    const COMMON: [(u8, &str); 4] = [
        (b',', "commas"),
        (b';', "semicolons"),
        (b'\t', "tabs"),
        (b'|', "`|`"),
    ];
    let count = |wanted: u8| header.split(|byte| *byte == wanted).count() - 1;
    let others = COMMON
        .into_iter()
        .filter(|(other, _)| count(*other) > count(delimiter));
    others
        .max_by_key(|(other, _)| count(*other))
        .map(|(other, name)| (char::from(other), name))
}

impl Rows for Csv {
    fn row<'a>(&'a mut self, line: &'a [u8]) -> Result<ParsedRow<'a>, InvalidReading> {
        if line.contains(&0) {
            // The text after the zeros need not be the start of a row.
            let detail = "the line has zero bytes, as a power cut leaves them in a file";
            return Err(InvalidReading::new("zero-bytes", detail));
        }
        self.read(line)?;
        if self.record.len() > self.width {
            let detail = format!(
                "there are {} cells, and the header has {}: is a comma unquoted? Numbers written \
                 12,5 need another `delimiter`, or quotes, and decimal-comma = true",
                self.record.len(),
                self.width
            );
            return Err(InvalidReading::new("extra-cell", detail));
        }
        let unit = match self.unit {
            Some(index) => Some(unit(self.cell(index, "unit")?)?),
            None => None,
        };
        Ok(ParsedRow {
            sensor: self.cell(self.sensor, &self.names.sensor)?.into(),
            time: time(self.cell(self.time, &self.names.time)?)?,
            value: self.number(self.cell(self.value, &self.names.value)?)?,
            unit,
        })
    }
}

#[cfg(test)]
mod tests {
    use rivulet_core::unit::Unit;

    use super::*;

    fn columns() -> Columns {
        Columns {
            sensor: "sensor".into(),
            time: "time".into(),
            value: "value".into(),
            unit: Some("unit"),
        }
    }

    fn csv(header: &str) -> Csv {
        Csv::new(
            Path::new("a.csv"),
            header.as_bytes(),
            &columns(),
            Dialect::default(),
        )
        .unwrap()
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let mut csv = csv("\u{feff}value, note ,unit,time,\"sensor\"");
        let row = csv.row(b" 1.5,\"a, \"\"b\"\"\",kelvin,7,s1").unwrap();
        assert_eq!(
            row,
            ParsedRow {
                sensor: "s1".into(),
                time: 7,
                value: 1.5,
                unit: Some(Unit::Kelvin)
            }
        );
        assert_eq!(csv.row(b"-2e1,,celsius,8,s2").unwrap().value, -20.0);
    }

    #[test]
    fn an_invalid_row_does_not_affect_the_next() {
        let mut csv = csv("sensor,time,value");
        for (row, reason) in [
            (&b"s,7"[..], "missing-cell"),
            (b"s,7,", "missing-cell"),
            (b",7,1", "missing-cell"),
            (b",,", "missing-cell"),
            (b"s,7,abc", "not-a-number"),
            (b"s,7,12 C", "not-a-number"),
            (b"s,7,NaN", "not-finite"),
            (b"s,7,1e999", "not-finite"),
            (b"s,7,12,8", "extra-cell"),
            (b"s,noon,1", "bad-time"),
            (b"s\xff,7,1", "not-utf-8"),
            (b"\"s,7,1", "missing-cell"),
            (b"\0\0\0", "zero-bytes"),
            (b"\0\0s,7,1", "zero-bytes"),
            (b"s,7,\"12,5\"", "not-a-number"),
        ] {
            assert_eq!(
                csv.row(row).unwrap_err().reason,
                reason,
                "{}",
                String::from_utf8_lossy(row)
            );
            assert_eq!(csv.row(b"s,7,1").unwrap().value, 1.0);
        }
    }

    #[test]
    fn a_missing_column_is_an_error_with_the_columns_found() {
        let header = b"sensor,time,celsius";
        let error = Csv::new(Path::new("a.csv"), header, &columns(), Dialect::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(
                "a.csv: there is no column `value`; there are `sensor`, `time`, `celsius`"
            ),
            "{error}"
        );
        assert!(error.contains("value = \"COLUMN\""), "{error}");
    }

    #[test]
    fn other_delimiters_and_decimal_commas_are_settings() {
        let dialect = Dialect {
            delimiter: b';',
            decimal_comma: true,
        };
        let mut csv = Csv::new(
            Path::new("a.csv"),
            b"sensor;time;value",
            &columns(),
            dialect,
        )
        .unwrap();
        assert_eq!(
            csv.row(b"s,1;7;-12,5").unwrap(),
            ParsedRow {
                sensor: "s,1".into(),
                time: 7,
                value: -12.5,
                unit: None
            }
        );
        assert_eq!(csv.row(b"s;7;12").unwrap().value, 12.0);
        for text in ["1.234,5", "12.5", "1,2,3", ","] {
            assert_eq!(
                csv.row(format!("s;7;{text}").as_bytes())
                    .unwrap_err()
                    .reason,
                "not-a-number",
                "{text}"
            );
        }
    }

    #[test]
    fn a_wrong_delimiter_is_an_error_with_the_setting() {
        for (header, expected) in [
            ("sensor;time;value", "semicolons: add delimiter = \";\""),
            ("sensor\ttime\tvalue", "tabs: add delimiter = \"\\t\""),
        ] {
            let error = Csv::new(
                Path::new("a.csv"),
                header.as_bytes(),
                &columns(),
                Dialect::default(),
            );
            let error = error.unwrap_err().to_string();
            assert!(
                error.contains(expected) && error.contains("decimal-comma = true"),
                "{error}"
            );
        }
        let invalid = csv("sensor,time,value").row(b"s,7,\"12,5\"").unwrap_err();
        assert!(
            invalid
                .detail
                .contains("decimal-comma = true reads it as 12.5"),
            "{invalid:?}"
        );
    }
}
