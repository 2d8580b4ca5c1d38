//! `file`: a file of readings, CSV or JSON lines.

use std::path::{Path, PathBuf};

use rivulet_core::component::Component;
use rivulet_core::error::Result as OrError;
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::unit::Unit;
use serde::Deserialize;

use super::{SourceContext, SourceSettings};
use crate::replay::{Content, LastLine, LineParser, Repeat, Replay, ReplaySettings};
use crate::row::{Columns, Dialect, FileFormat, ParsedRow, Rows};
use crate::sequences::Sequences;
use crate::setting::Rate;
use crate::source::{Next, Source};

/// A file of readings, one row a line. It is streamed: only a few rows are in memory.
///
/// The format follows from the extension (`.csv`; `.jsonl`, `.ndjson`, `.json`) unless `format` is
/// `csv` or `json-lines`. `sensor`, `time` and `value` are the names of the columns, or of the
/// fields in JSON. Times are RFC 3339 or milliseconds since the epoch. Values are in `unit`.
/// Without this setting, values are in the unit of the column `unit`, or in °C if there is no such
/// column. Sequence numbers count up for each sensor.
///
/// `delimiter` separates the cells of a CSV file; the default is a comma. With
/// `decimal-comma = true` a number is written `12,5`. The file is UTF-8.
///
/// A row counts once it has a line end: a logger may still be writing it, or a power cut may have
/// stopped the logger. A last line without a line end is left for the next start, with a warning.
/// With `last-line = "take"` it counts as a row. A line with zero bytes, as a power cut leaves
/// them, becomes a dead letter.
///
/// The file is read once, or `repeat` times (a number or "forever"), with the same times in each
/// round. After a restart the source seeks to the next row. Rows that are appended meanwhile are
/// read too. A file that was rotated away or truncated is an error.
///
/// ```
/// use std::time::Duration;
///
/// use rivulet_producer::catalog::{SourceContext, read};
/// use rivulet_producer::source::Next;
/// use rivulet_pipeline::ComponentConfig;
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path().to_owned();
/// # let context = SourceContext { folder, ..SourceContext::default() };
/// let csv = "sensor,time,celsius\nhall,2024-01-01T00:00:00Z,21.5\n";
/// std::fs::write(context.folder.join("a.csv"), csv).unwrap();
/// let config = r#"file = { path = "a.csv", value = "celsius" }"#;
/// let settings = read(&ComponentConfig::parse(config).unwrap()).unwrap();
/// let mut source = settings.open(&context)?;
/// let Next::Reading(reading) = source.next(Duration::ZERO)? else { panic!("there is one") };
/// assert_eq!((&*reading.sensor, reading.time, reading.value), ("hall", 1_704_067_200_000, 21.5));
/// # Ok::<(), rivulet_core::error::Error>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Table")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(into = "Table")
)]
pub struct SourceFile {
    replay: ReplaySettings,
    content: Readings,
}

/// How the readings of a file are written.
#[derive(Debug, Clone)]
struct Readings {
    format: FileFormat,
    columns: Columns,
    dialect: Dialect,
    unit: Unit,
}

/// The settings as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Table {
    /// Relative to the pipeline file's folder.
    path: PathBuf,
    /// How the file is written; unless it is set, the path's ending says it.
    format: Option<FileFormat>,
    /// The column of the sensor; `sensor` unless it is set.
    sensor: Option<String>,
    /// The column of the time; `time` unless it is set.
    time: Option<String>,
    /// The column of the value; `value` unless it is set.
    value: Option<String>,
    /// What stands between the fields of a CSV file, one ASCII character; a comma unless it is set.
    delimiter: Option<char>,
    /// Whether numbers of a CSV file are written as `12,5`.
    decimal_comma: Option<bool>,
    #[serde(default)]
    last_line: LastLine,
    /// The unit of all values; unless it is set, the column `unit`, or celsius without one.
    unit: Option<Unit>,
    rate: Option<Rate>,
    #[serde(default)]
    repeat: Repeat,
}

impl TryFrom<Table> for SourceFile {
    type Error = String;

    fn try_from(table: Table) -> Result<Self, String> {
        let format = table
            .format
            .or(FileFormat::of(&table.path))
            .ok_or_else(|| {
                let path = table.path.display();
                format!(
                    "the extension of {path} does not say its format; add format = \"csv\" or \
                     format = \"json-lines\""
                )
            })?;
        let is_csv = format == FileFormat::Csv;
        if !is_csv && (table.delimiter.is_some() || table.decimal_comma.is_some()) {
            return Err("`delimiter` and `decimal-comma` are for CSV only; remove them".to_owned());
        }
        let delimiter = table.delimiter.unwrap_or(',');
        let delimiter = u8::try_from(delimiter)
            .ok()
            .filter(|byte| byte.is_ascii() && !b"\"\r\n\0".contains(byte));
        let delimiter =
            delimiter.ok_or("a delimiter is one ASCII character, such as \";\" or \"\\t\"")?;
        let dialect = Dialect {
            delimiter,
            decimal_comma: table.decimal_comma.unwrap_or_default(),
        };
        let columns = Columns {
            sensor: table.sensor.unwrap_or("sensor".into()),
            time: table.time.unwrap_or("time".into()),
            value: table.value.unwrap_or("value".into()),
            unit: table.unit.is_none().then_some("unit"),
        };
        let unit = table.unit.unwrap_or(Unit::Celsius);
        let Table {
            path,
            last_line,
            rate,
            repeat,
            ..
        } = table;
        Ok(SourceFile {
            replay: ReplaySettings {
                path,
                last_line,
                rate,
                repeat,
            },
            content: Readings {
                format,
                columns,
                dialect,
                unit,
            },
        })
    }
}

impl Component for SourceFile {
    const NAME: &'static str = "file";
    const ABOUT: &'static str =
        "a file of readings, CSV or JSON lines, at any rate and any number of times";
    const EXAMPLE: &'static str = "file = { path = \"data/daily-maximum-temperatures.csv\", value \
                                   = \"celsius\", rate = 100 }";
}

impl SourceSettings for SourceFile {
    fn open(&self, context: &SourceContext) -> OrError<Box<dyn Source>> {
        let content = Box::new(self.content.clone());
        Ok(Box::new(Replay::open(
            self.replay.clone(),
            content,
            &context.folder,
        )?))
    }

    fn ends(&self) -> bool {
        self.replay.repeat.0.is_some()
    }
}

impl Content for Readings {
    fn has_header(&self) -> bool {
        self.format.has_header()
    }

    fn parser(&self, path: &Path, header: &[u8]) -> OrError<Box<dyn LineParser>> {
        let rows = self
            .format
            .rows(path, header, &self.columns, self.dialect)?;
        let unit = self.unit;
        Ok(Box::new(ReadingLines { rows, unit }))
    }
}

/// Parses lines that are readings.
struct ReadingLines {
    rows: Box<dyn Rows>,
    unit: Unit,
}

impl LineParser for ReadingLines {
    fn parse<'a>(
        &'a mut self,
        line: &'a [u8],
        sequences: &mut Sequences,
    ) -> Result<Next<'a>, InvalidReading> {
        let ParsedRow {
            sensor,
            time,
            value,
            unit,
        } = self.rows.row(line)?;
        Ok(Next::Reading(Reading {
            seq: sequences.take(&sensor)?,
            sensor,
            time,
            value,
            unit: Some(unit.unwrap_or(self.unit)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::source::Progress;
    use crate::testing::{diagnostic, folder, open_in, readings, take};

    fn fails(folder: &TempDir, config: &str) -> String {
        match open_in(folder.path(), config) {
            Ok(_) => panic!("{config} opens"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_sample_file_is_read_to_its_end_and_counted() {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
        let mut source = open_in(&config, SourceFile::EXAMPLE).unwrap();
        assert_eq!(source.rate(), Some(100.0));
        assert_eq!(
            source.progress(),
            Some(Progress {
                done: 0,
                total: 2922
            })
        );
        let found = readings(&mut *source, 9999);
        assert_eq!(found.len(), 2922);
        let last = |sensor: &str| found.iter().rfind(|got| got.sensor == sensor).unwrap();
        assert_eq!((last("seattle").seq, last("new-york").seq), (1460, 1460));
        assert_eq!(
            (found[1].sensor.as_str(), found[1].time, found[1].value),
            ("seattle", 1_325_376_000_000, 12.8)
        );
        assert_eq!(found[1].unit, Some(Unit::Celsius));
        assert_eq!(
            source.progress(),
            Some(Progress {
                done: 2922,
                total: 2922
            })
        );
        assert!(take(&mut *source, 1).is_empty(), "the end stays the end");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_with_help() {
        let folder = folder("a.csv", "sensor,time,celsius\n");
        fs::write(folder.path().join("empty.csv"), "").unwrap();
        let error = fails(&folder, "file = { path = \"b.csv\" }");
        assert!(
            error.contains("b.csv: No such file") && error.contains("relative to the folder"),
            "{error}"
        );
        let error = fails(&folder, "file = { path = \"..\", format = \"csv\" }");
        assert!(error.contains("it is a directory"), "{error}");
        let error = fails(&folder, "file = { path = \"/dev/null\", format = \"csv\" }");
        assert!(error.contains("into the source `lines`"), "{error}");
        let error = fails(&folder, "file = { path = \"a.csv\" }");
        assert!(
            error.contains("no column `value`; there are `sensor`, `time`, `celsius`"),
            "{error}"
        );
        let error = fails(&folder, "file = { path = \"empty.csv\" }");
        assert!(error.contains("the file is empty"), "{error}");
    }

    #[test]
    fn an_invalid_setting_is_explained() {
        for (settings, expected) in [
            ("path = \"a.txt\"", "add format = "),
            ("path = \"a.csv\", repeat = 0", "at least 1"),
            ("path = \"a.csv\", repeat = \"twice\"", "a number or"),
            ("path = \"a.csv\", repeat = 1.5", "how many times"),
            ("path = \"a.csv\", format = \"xml\"", "json-lines"),
            ("path = \"a.csv\", colunm = 1", "colunm"),
            ("path = \"a.csv\", delimiter = \";;\"", "character"),
            ("path = \"a.csv\", delimiter = \"é\"", "one ASCII character"),
            ("path = \"a.json\", delimiter = \";\"", "for CSV only"),
            ("path = \"a.csv\", last-line = \"drop\"", "leave"),
            ("", "missing field `path`"),
        ] {
            let diagnostic = diagnostic(&format!("file = {{ {settings} }}"));
            assert!(diagnostic.contains(expected), "{settings}: {diagnostic}");
        }
    }
}
