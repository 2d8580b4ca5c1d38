//! One row of a file of readings.
//!
//! How rows are written is a [`Rows`]: a further format is a file beside [`csv`] and [`json`] and a
//! line in [`FileFormat`].

pub mod csv;
pub mod json;

use std::borrow::Cow;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;
use stream::error::Result as OrError;
use stream::format::finite;
use stream::reading::{InvalidReading, Unit};

/// What a row says of a reading.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedRow<'a> {
    /// Who measured.
    pub sensor: Cow<'a, str>,
    /// Event time in milliseconds since the epoch.
    pub time: i64,
    /// The value; always finite.
    pub value: f64,
    /// The value's unit, if the row states it.
    pub unit: Option<Unit>,
}

/// What the columns, or the fields of an object, are called.
#[derive(Debug, Clone)]
pub struct Columns {
    /// Who measured.
    pub sensor: String,
    /// When: RFC 3339 or milliseconds since the epoch.
    pub time: String,
    /// The value.
    pub value: String,
    /// The value's unit, if it is to be looked for; a file need not have it.
    pub unit: Option<&'static str>,
}

/// How cells and numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// What stands between two cells: an ASCII character.
    pub delimiter: u8,
    /// Whether a number's fraction begins with a comma.
    pub decimal_comma: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Dialect {
            delimiter: b',',
            decimal_comma: false,
        }
    }
}

/// Takes lines apart.
pub trait Rows: Send {
    /// Reads one line, given without its line break.
    ///
    /// # Errors
    /// What is wrong with it.
    fn row<'a>(&'a mut self, line: &'a [u8]) -> Result<ParsedRow<'a>, InvalidReading>;
}

/// How a file of readings is written, a row a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileFormat {
    /// A header, then comma-separated values: see [`csv`].
    Csv,
    /// A JSON object a line: see [`json`].
    JsonLines,
}

impl FileFormat {
    /// The format that a file's name tells.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(FileFormat::Csv),
            "jsonl" | "ndjson" | "json" => Some(FileFormat::JsonLines),
            _ => None,
        }
    }

    /// Whether the first line is a header.
    #[must_use]
    pub fn has_header(self) -> bool {
        self == FileFormat::Csv
    }

    /// What takes the lines of `path` apart; `header` is empty where there is none.
    ///
    /// # Errors
    /// If the header lacks a column. JSON has no dialects.
    pub fn rows(
        self,
        path: &Path,
        header: &[u8],
        columns: &Columns,
        dialect: Dialect,
    ) -> OrError<Box<dyn Rows>> {
        Ok(match self {
            FileFormat::Csv => Box::new(csv::Csv::new(path, header, columns, dialect)?),
            FileFormat::JsonLines => Box::new(json::JsonLines::new(columns)),
        })
    }
}

/// The line without the mark that some editors put at the start of a file.
#[must_use]
pub fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
}

/// A number as text.
///
/// # Errors
/// If it is none.
pub fn number(text: &str) -> Result<f64, InvalidReading> {
    let number = text
        .parse()
        .map_err(|_| InvalidReading::new("not-a-number", format!("{text:?} is not a number")))?;
    finite(number)
}

/// A time as text, in milliseconds since the epoch.
///
/// # Errors
/// If it is neither RFC 3339 nor a whole number.
fn time(text: &str) -> Result<i64, InvalidReading> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    text.parse::<Timestamp>()
        .map(Timestamp::as_millisecond)
        .map_err(|error| {
            let wanted = "write it like 2024-01-01T00:00:00Z or in milliseconds since the epoch";
            InvalidReading::new(
                "bad-time",
                format!("{text:?} is not a time ({error}); {wanted}"),
            )
        })
}

/// A unit's name.
///
/// # Errors
/// If there is no such unit.
fn unit(text: &str) -> Result<Unit, InvalidReading> {
    let mut units = [Unit::Celsius, Unit::Fahrenheit, Unit::Kelvin].into_iter();
    units.find(|unit| unit.name() == text).ok_or_else(|| {
        InvalidReading::new(
            "bad-unit",
            format!("{text:?} is not celsius, fahrenheit or kelvin"),
        )
    })
}

/// Refuses a row that lacks something.
fn missing(column: &str) -> InvalidReading {
    InvalidReading::new("missing-cell", format!("there is no `{column}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_or_milliseconds() {
        assert_eq!(time("2012-01-01T00:00:00Z"), Ok(1_325_376_000_000));
        assert_eq!(time("2012-01-01T01:30:00.25+01:30"), Ok(1_325_376_000_250));
        assert_eq!(time("1325376000000"), Ok(1_325_376_000_000));
        assert_eq!(time("-1"), Ok(-1));
        for bad in [
            "",
            "yesterday",
            "2012-01-01",
            "2012-01-01T00:00:00",
            "2012-13-01T00:00:00Z",
            "1e3",
        ] {
            assert_eq!(time(bad).unwrap_err().reason, "bad-time", "{bad}");
        }
    }

    #[test]
    fn a_format_is_known_by_the_end_of_the_name() {
        assert_eq!(FileFormat::of(Path::new("a/b.CSV")), Some(FileFormat::Csv));
        for name in ["b.jsonl", "b.ndjson", "b.json"] {
            assert_eq!(FileFormat::of(Path::new(name)), Some(FileFormat::JsonLines));
        }
        assert_eq!(FileFormat::of(Path::new("csv")), None);
    }
}
