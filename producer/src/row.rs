//! One row of a file of readings.
//!
//! Each format is a [`Rows`]. To add one, write a file beside [`csv`] and [`json`] and add a
//! variant to [`FileFormat`].

pub mod csv;
pub mod json;

use std::borrow::Cow;
use std::path::Path;

use jiff::Timestamp;
use rivulet_core::error::Result as OrError;
use rivulet_core::format::finite;
use rivulet_core::reading::InvalidReading;
use rivulet_core::unit::Unit;
use serde::Deserialize;

/// The fields of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedRow<'a> {
    /// The sensor's name.
    pub sensor: Cow<'a, str>,
    /// The event time in milliseconds since the epoch.
    pub time: i64,
    /// The value. Always finite.
    pub value: f64,
    /// The value's unit. `None` if the row has none.
    pub unit: Option<Unit>,
}

/// The names of the columns, or of the fields of an object.
#[derive(Debug, Clone)]
pub struct Columns {
    /// The sensor's name.
    pub sensor: String,
    /// The event time, in RFC 3339 or milliseconds since the epoch.
    pub time: String,
    /// The value.
    pub value: String,
    /// The value's unit. The column is optional. `None` ignores it.
    pub unit: Option<&'static str>,
}

/// How cells and numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// The ASCII character between two cells.
    pub delimiter: u8,
    /// Whether numbers have a decimal comma.
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

/// Parses lines.
pub trait Rows: Send {
    /// Parses one line without its line end.
    ///
    /// # Errors
    /// If the line is not a valid row.
    fn row<'a>(&'a mut self, line: &'a [u8]) -> Result<ParsedRow<'a>, InvalidReading>;
}

/// The format of a file with one reading a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum FileFormat {
    /// A header and comma-separated values: see [`csv`].
    Csv,
    /// One JSON object a line: see [`json`].
    JsonLines,
}

impl FileFormat {
    /// The format of a file, from its extension. `None` if that is unknown.
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

    /// The parser for the lines of `path`. `header` is empty in a format without one. JSON ignores
    /// `dialect`.
    ///
    /// # Errors
    /// If the header lacks a column.
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

/// The line without a byte order mark, which some editors put at the start of a file.
#[must_use]
pub fn without_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
}

/// Parses a number.
///
/// # Errors
/// If the text is not a finite number.
pub fn number(text: &str) -> Result<f64, InvalidReading> {
    let number = text
        .parse()
        .map_err(|_| InvalidReading::new("not-a-number", format!("{text:?} is not a number")))?;
    finite(number)
}

/// Parses a time, in RFC 3339 or milliseconds since the epoch. Returns milliseconds.
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

/// Parses the name of a unit.
fn unit(text: &str) -> Result<Unit, InvalidReading> {
    text.parse()
        .map_err(|error: String| InvalidReading::new("bad-unit", error))
}

/// The error of a row that lacks a column.
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
    fn a_format_follows_from_the_extension() {
        assert_eq!(FileFormat::of(Path::new("a/b.CSV")), Some(FileFormat::Csv));
        for name in ["b.jsonl", "b.ndjson", "b.json"] {
            assert_eq!(FileFormat::of(Path::new(name)), Some(FileFormat::JsonLines));
        }
        assert_eq!(FileFormat::of(Path::new("csv")), None);
    }
}
