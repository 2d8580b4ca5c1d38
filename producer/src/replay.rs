//! The replay: reads a file of readings from its first row to its last, once or several times.

use std::fs;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rivulet_core::error::{Error, Result as OrError};
use rivulet_core::reading::Reading;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::catalog::file::{LastLine, SourceFile};
use crate::line_reader::LineReader;
use crate::position;
use crate::row::{ParsedRow, Rows};
use crate::sequences::Sequences;
use crate::source::{Next, Progress, Source};

/// The largest file in bytes whose rows are counted when it is opened.
const COUNTED: u64 = 64 * 1024 * 1024;

/// How many bytes before the position are stored with it, to recognise the file.
const CONTEXT: usize = 80;

/// A file that is read row by row. The settings are those of [`SourceFile`].
pub struct Replay {
    settings: SourceFile,
    path: PathBuf,
    file: fs::File,
    lines: LineReader,
    rows: Box<dyn Rows>,
    sequences: Sequences,
    /// How many times the file was read to its end.
    round: u64,
    /// How many rows of this round were read.
    row: u64,
    /// Whether this round has had a row, or began in the middle of the file.
    has_rows: bool,
    rows_per_round: Option<u64>,
    /// Whether the warning about a last line without an end was logged.
    has_warned: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position<S> {
    round: u64,
    row: u64,
    line: u64,
    byte: u64,
    /// The file's content before the position.
    after: String,
    next: S,
}

impl Replay {
    /// Starts at the first row. `path` is for messages.
    ///
    /// # Errors
    /// If the file cannot be read or its header lacks a column.
    pub fn open(settings: SourceFile, mut path: PathBuf, mut file: fs::File) -> OrError<Self> {
        // Removes the `.` of a path such as `./a.csv`.
        path = path.components().collect();
        let (mut lines, rows) = begin(&settings, &path, &mut file)?;
        let failed = |error| reading(&path, error);
        let mut rows_per_round = None;
        if file.metadata().map_err(failed)?.len() <= COUNTED {
            let mut count = 0;
            while next_row(&mut lines, &mut file).map_err(failed)? {
                count += 1;
            }
            rows_per_round = Some(count);
            (lines, _) = begin(&settings, &path, &mut file)?;
        }
        let sequences = Sequences::default();
        Ok(Replay {
            settings,
            path,
            file,
            lines,
            rows,
            sequences,
            round: 0,
            row: 0,
            has_rows: true,
            rows_per_round,
            has_warned: false,
        })
    }

    /// Goes to the next row. Returns `false` at the end of the last round.
    fn advance(&mut self) -> OrError<bool> {
        loop {
            if next_row(&mut self.lines, &mut self.file)
                .map_err(|error| reading(&self.path, error))?
            {
                self.row = self.row.saturating_add(1);
                self.has_rows = true;
                return Ok(true);
            }
            self.check_end()?;
            let was_last = self
                .settings
                .repeat
                .0
                .is_some_and(|times| self.round >= times - 1);
            if was_last || !self.has_rows {
                return Ok(false);
            }
            (self.lines, self.rows) = begin(&self.settings, &self.path, &mut self.file)?;
            (self.round, self.row, self.has_rows) = (self.round.saturating_add(1), 0, false);
        }
    }

    /// Checks that the file was not truncated, and warns of a last line without a line end.
    fn check_end(&mut self) -> OrError<()> {
        let (byte, path) = (self.lines.byte(), self.path.display());
        let size = self
            .file
            .metadata()
            .map_err(|error| reading(&self.path, error))?
            .len();
        if size < byte {
            return Err(shorter(&self.path, byte, size));
        }
        if self.lines.rest() > 0 && !self.has_warned {
            self.has_warned = true;
            let (number, rest) = (self.lines.number().saturating_add(1), self.lines.rest());
            tracing::warn!(
                "{path} line {number} has no line end: its {rest} bytes are left for the next \
                 start, because it may be incomplete\n  help: if it is complete, add a line end, \
                 or set last-line = \"take\""
            );
        }
        Ok(())
    }

    /// The last bytes of the file before a position, to recognise the file.
    fn before(&self, byte: u64) -> io::Result<String> {
        let mut context = [0; CONTEXT];
        let context = &mut context[..usize::try_from(byte).unwrap_or(CONTEXT).min(CONTEXT)];
        self.file
            .read_exact_at(context, byte - context.len() as u64)?;
        Ok(String::from_utf8_lossy(context).into_owned())
    }
}

fn shorter(path: &Path, byte: u64, size: u64) -> Error {
    let path = path.display();
    position::unusable(format!(
        "{path} was read up to byte {byte}, and now it only has {size}: it became shorter"
    ))
}

fn reading(path: &Path, error: io::Error) -> Error {
    Error::new(format!("reading {}", path.display()), error)
}

/// Goes to the first row, after the header.
fn begin(
    settings: &SourceFile,
    path: &Path,
    file: &mut fs::File,
) -> OrError<(LineReader, Box<dyn Rows>)> {
    let failed = |error| reading(path, error);
    file.rewind().map_err(failed)?;
    check_encoding(path, file)?;
    let mut lines = LineReader::default();
    let mut header = &b""[..];
    if settings.format.has_header() {
        if !next_row(&mut lines, file).map_err(failed)? {
            let doing = format!("reading the header of {}", path.display());
            return Err(Error::new(doing, "the file is empty")
                .help("its first line must name its columns, for example: sensor,time,value"));
        }
        header = lines.line();
    }
    let rows = settings
        .format
        .rows(path, header, &settings.columns, settings.dialect)?;
    Ok((
        lines.only_ended(settings.last_line == LastLine::Leave),
        rows,
    ))
}

/// Returns an error for a file in UTF-16, judging by its first bytes.
fn check_encoding(path: &Path, file: &fs::File) -> OrError<()> {
    let mut start = [0; 4];
    let read = file
        .read_at(&mut start, 0)
        .map_err(|error| reading(path, error))?;
    let is_utf_16 = match &start[..read] {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        // Without a byte order mark: every other byte of ASCII text is zero.
        [low, 0, other, 0] => *low != 0 && *other != 0,
        [0, high, 0, other] => *high != 0 && *other != 0,
        _ => false,
    };
    if !is_utf_16 {
        return Ok(());
    }
    let path = path.display();
    let help = format!("convert it to UTF-8: iconv -f utf-16 -t utf-8 {path} > NEW.csv");
    Err(Error::new(
        format!("reading {path}"),
        "it is in UTF-16, and only UTF-8 is supported",
    )
    .help(help))
}

/// Goes to the next line that is not blank. Returns `false` at the end.
fn next_row(lines: &mut LineReader, file: &mut fs::File) -> io::Result<bool> {
    loop {
        if lines.advance() {
            if !lines.is_blank() {
                return Ok(true);
            }
        } else if lines.has_ended() {
            return Ok(false);
        } else {
            lines.fill(file)?;
        }
    }
}

impl Source for Replay {
    fn next(&mut self, _: Duration) -> OrError<Next<'_>> {
        if !self.advance()? {
            return Ok(Next::End);
        }
        let row = self.lines.whole().and_then(|line| self.rows.row(line));
        let numbered = row.and_then(|row| Ok((self.sequences.take(&row.sensor)?, row)));
        Ok(match numbered {
            Ok((
                seq,
                ParsedRow {
                    sensor,
                    time,
                    value,
                    unit,
                },
            )) => Next::Reading(Reading {
                sensor,
                seq,
                time,
                value,
                unit: Some(unit.unwrap_or(self.settings.unit)),
            }),
            Err(invalid) => {
                let path = self.settings.path.display();
                Next::Bad {
                    bytes: self.lines.line(),
                    place: format!("{path} line {}", self.lines.number()),
                    invalid,
                }
            }
        })
    }

    fn position(&self) -> Value {
        let byte = self.lines.byte();
        // If the file cannot be read now, the position never matches, and `resume` is an error.
        let after = self.before(byte).unwrap_or_default();
        let next = &self.sequences;
        json!(Position {
            round: self.round,
            row: self.row,
            line: self.lines.number(),
            byte,
            after,
            next
        })
    }

    fn resume(&mut self, position: &Value) -> OrError<()> {
        let Position::<Sequences> {
            round,
            row,
            line,
            byte,
            after,
            next,
        } = position::read(position)?;
        let path = self.path.display();
        let size = self
            .file
            .metadata()
            .map_err(|error| reading(&self.path, error))?
            .len();
        if byte > size {
            return Err(shorter(&self.path, byte, size));
        }
        let before = self
            .before(byte)
            .map_err(|error| reading(&self.path, error))?;
        let at_line = before.is_empty() || before.ends_with('\n') || byte == size;
        if before != after
            || !at_line
            || byte < begin(&self.settings, &self.path, &mut self.file)?.0.byte()
        {
            let cause = format!("{path} has changed before line {line}, which was read already");
            return Err(position::unusable(cause));
        }
        self.file
            .seek(SeekFrom::Start(byte))
            .map_err(|error| reading(&self.path, error))?;
        self.lines =
            LineReader::after(byte, line).only_ended(self.settings.last_line == LastLine::Leave);
        (self.round, self.row, self.sequences) = (round, row, next);
        Ok(())
    }

    fn rate(&self) -> Option<f64> {
        self.settings.rate.map(|rate| rate.0)
    }

    fn progress(&self) -> Option<Progress> {
        let (rows, times) = (self.rows_per_round?, self.settings.repeat.0?);
        let done = self.round.saturating_mul(rows).saturating_add(self.row);
        // `done` may be larger if the file has grown.
        Some(Progress {
            done,
            total: rows.saturating_mul(times).max(done),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use proptest::prelude::*;
    use rivulet_core::unit::Unit;
    use tempfile::TempDir;

    use super::*;
    use crate::line_reader::LONGEST;
    use crate::testing::{Observed, all, folder, open_in, take};

    const A: &str = "file = { path = \"a.csv\" }";

    fn values(seen: &[Observed]) -> Vec<(&str, u64, i64, f64)> {
        seen.iter()
            .filter_map(|seen| match seen {
                Observed::Reading(got) => Some((got.sensor.as_str(), got.seq, got.time, got.value)),
                Observed::Bad { .. } => None,
            })
            .collect()
    }

    #[test]
    fn lines_end_in_lf_or_cr_lf_and_blank_lines_are_skipped() {
        let folder = folder(
            "a.csv",
            "\u{feff}sensor,time,value\r\na,1,10\r\n\r\na,2,11\n\nb,3,12\n\n",
        );
        let found = all(&mut *open_in(folder.path(), A).unwrap());
        assert_eq!(
            values(&found),
            [("a", 0, 1, 10.0), ("a", 1, 2, 11.0), ("b", 0, 3, 12.0)]
        );
    }

    #[test]
    fn a_bad_row_is_yielded_with_its_bytes_and_its_line() {
        let text = [
            &b"sensor,time,value\na,1,10\na,2\na,3,abc\na,noon,1\n\xff,4,1\n\"a,5,1\na,6,11\n"[..],
            &vec![b'x'; LONGEST * 3],
            b"\na,7,12\n",
        ]
        .concat();
        let folder = folder("a.csv", text);
        let found = all(&mut *open_in(folder.path(), A).unwrap());
        assert_eq!(
            values(&found),
            [("a", 0, 1, 10.0), ("a", 1, 6, 11.0), ("a", 2, 7, 12.0)]
        );
        for (bytes, line, reason) in [
            (&b"a,2"[..], 3, "missing-cell"),
            (b"a,3,abc", 4, "not-a-number"),
            (b"a,noon,1", 5, "bad-time"),
            (b"\xff,4,1", 6, "not-utf-8"),
            (b"\"a,5,1", 7, "missing-cell"),
            (&vec![b'x'; LONGEST], 9, "too-long"),
        ] {
            let bad = Observed::Bad {
                bytes: bytes.into(),
                place: format!("a.csv line {line}"),
                reason,
            };
            assert!(found.contains(&bad), "{line}");
        }
        assert_eq!(found.len(), 9);
    }

    #[test]
    fn rows_in_json_get_new_sequence_numbers() {
        let json = [
            r#"{"sensor":"a","seq":70,"time":5,"value":1,"unit":"kelvin"}"#,
            r#"{"sensor":"a","time":6,"value":2}"#,
            "[]\n",
        ];
        let folder = folder("a.jsonl", json.join("\n"));
        let found = all(&mut *open_in(folder.path(), "file = { path = \"a.jsonl\" }").unwrap());
        assert_eq!(values(&found), [("a", 0, 5, 1.0), ("a", 1, 6, 2.0)]);
        let [
            Observed::Reading(kelvin),
            Observed::Reading(celsius),
            Observed::Bad { .. },
        ] = &found[..]
        else {
            panic!("{found:?}")
        };
        assert_eq!(
            (kelvin.unit, celsius.unit),
            (Some(Unit::Kelvin), Some(Unit::Celsius))
        );
    }

    #[test]
    fn the_setting_unit_overrides_the_column() {
        let folder = folder(
            "a.csv",
            "sensor,time,value,unit\na,1,10,fahrenheit\na,2,11,°F\n",
        );
        let kelvin = "file = { path = \"a.csv\", unit = \"kelvin\" }";
        for (config, expected) in [
            (A, [Some(Unit::Fahrenheit), Some("°F".parse().unwrap())]),
            (kelvin, [Some(Unit::Kelvin); 2]),
        ] {
            let seen = all(&mut *open_in(folder.path(), config).unwrap());
            let units = seen.iter().map(|seen| match seen {
                Observed::Reading(got) => got.unit,
                Observed::Bad { .. } => None,
            });
            assert_eq!(units.collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_repeated_file_has_the_same_times_and_new_numbers() {
        let folder = folder("a.csv", "sensor,time,value\na,1,10\na,2,11\n");
        let mut source = open_in(folder.path(), "file = { path = \"a.csv\", repeat = 2 }").unwrap();
        let found = take(&mut *source, 3);
        assert_eq!(source.progress(), Some(Progress { done: 3, total: 4 }));
        assert_eq!(
            values(&found),
            [("a", 0, 1, 10.0), ("a", 1, 2, 11.0), ("a", 2, 1, 10.0)]
        );
        assert_eq!(values(&all(&mut *source)), [("a", 3, 2, 11.0)]);
        let mut endless = open_in(
            folder.path(),
            "file = { path = \"a.csv\", repeat = \"forever\" }",
        )
        .unwrap();
        assert_eq!(
            values(&take(&mut *endless, 101)).last(),
            Some(&("a", 100, 1, 10.0))
        );
        assert_eq!(endless.progress(), None);
    }

    #[test]
    fn a_file_without_rows_ends_even_if_repeated_forever() {
        for (name, text) in [
            ("a.csv", "sensor,time,value\n"),
            ("a.json", ""),
            ("a.json", "\n \n"),
        ] {
            let folder = folder(name, text);
            let config = format!("file = {{ path = \"{name}\", repeat = \"forever\" }}");
            assert!(all(&mut *open_in(folder.path(), &config).unwrap()).is_empty());
        }
    }

    #[test]
    fn appended_rows_are_read_after_a_restart() {
        let folder = folder("a.csv", "sensor,time,value\na,1,10\n");
        let mut source = open_in(folder.path(), A).unwrap();
        assert_eq!(take(&mut *source, 9).len(), 1);
        let mut file = OpenOptions::new()
            .append(true)
            .open(folder.path().join("a.csv"))
            .unwrap();
        file.write_all(b"a,2,11\n").unwrap();
        let mut again = open_in(folder.path(), A).unwrap();
        again.resume(&source.position()).unwrap();
        assert_eq!(values(&all(&mut *again)), [("a", 1, 2, 11.0)]);
    }

    #[test]
    fn a_file_that_has_changed_is_an_error_with_help() {
        const CHANGED: &str = "has changed before line 3";
        let text = "sensor,time,value\na,1,10\na,2,11\n";
        let position = {
            let folder = folder("a.csv", text);
            let mut source = open_in(folder.path(), A).unwrap();
            take(&mut *source, 9);
            source.position()
        };
        for (now, expected) in [
            ("sensor,time,value\na,1,10\n", "became shorter"),
            ("sensor,time,value\na,1,10\na,2,12\n", CHANGED),
            ("sensor,time,value\na,1,1\na,2,111\na,3,1\n", CHANGED),
            ("value,time,sensor\n1,1,ab\n1,2,abc\n1,3,a\n", CHANGED),
        ] {
            let folder = folder("a.csv", now);
            let error = open_in(folder.path(), A)
                .unwrap()
                .resume(&position)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(expected) && error.contains("--from-start"),
                "{error}"
            );
        }
        let half = folder("a.csv", text.trim_end());
        let config = "file = { path = \"a.csv\", last-line = \"take\" }";
        let mut source = open_in(half.path(), config).unwrap();
        assert_eq!(take(&mut *source, 9).len(), 2);
        fs::write(
            half.path().join("a.csv"),
            "sensor,time,value\na,1,10\na,2,11.5\n",
        )
        .unwrap();
        open_in(half.path(), config)
            .unwrap()
            .resume(&source.position())
            .unwrap_err();
    }

    /// Regression: 1.0 was sent for 12.5, and the next start failed because the file had changed.
    #[test]
    fn an_incomplete_last_row_is_left_for_the_next_start() {
        let folder = folder("a.csv", "sensor,time,value\na,1,10\na,2,1");
        let mut source = open_in(folder.path(), A).unwrap();
        assert_eq!(source.progress(), Some(Progress { done: 0, total: 1 }));
        assert_eq!(values(&all(&mut *source)), [("a", 0, 1, 10.0)]);
        let mut again = open_in(folder.path(), A).unwrap();
        again.resume(&source.position()).unwrap();
        assert!(all(&mut *again).is_empty(), "it is still incomplete");
        append(&folder, "2.5\na,3,");
        let mut again = open_in(folder.path(), A).unwrap();
        again.resume(&source.position()).unwrap();
        assert_eq!(values(&all(&mut *again)), [("a", 1, 2, 12.5)]);
        let config = "file = { path = \"a.csv\", last-line = \"take\" }";
        append(&folder, "7");
        assert_eq!(
            values(&all(&mut *open_in(folder.path(), config).unwrap())).len(),
            3
        );
    }

    fn append(folder: &TempDir, text: &str) {
        let mut file = OpenOptions::new()
            .append(true)
            .open(folder.path().join("a.csv"))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// The sequence number and value of each reading in a CSV file, or the reason why it is
    /// invalid.
    fn rows(text: &[u8]) -> Vec<String> {
        let header = b"sensor,time,value\n";
        let folder = folder("a.csv", [&header[..], text].concat());
        let seen = all(&mut *open_in(folder.path(), A).unwrap());
        let rows = seen.iter().map(|seen| match seen {
            Observed::Reading(got) => format!("{} {}", got.seq, got.value),
            Observed::Bad { reason, .. } => (*reason).to_owned(),
        });
        rows.collect()
    }

    /// What loggers, spreadsheets and power cuts leave in a file.
    #[test]
    fn real_files_are_read_as_far_as_possible() {
        // Zeros where the disk lost power before it wrote, at the end and in the middle.
        assert_eq!(rows(b"a,1,10\n\0\0\0\0\0\0"), ["0 10"]);
        assert_eq!(
            rows(b"a,1,10\na,2\0\0\0\0\0\0a,3,11\na,4,12\n"),
            ["0 10", "zero-bytes", "1 12"]
        );
        assert_eq!(
            rows(b"a,1,10\n\0\0a,3,11\na,4,12\n"),
            ["0 10", "zero-bytes", "1 12"]
        );
        // Half a character, and half a line to which the logger appended after the power cut.
        assert_eq!(rows(b"a,1,10\n\xc3"), ["0 10"]);
        assert_eq!(rows(b"\xc3,1,10\na,2,11\n"), ["not-utf-8", "0 11"]);
        assert_eq!(rows(b"a,1,1a,2,11\na,3,12\n"), ["extra-cell", "0 12"]);
        // Blank lines, and line ends of Windows.
        assert_eq!(rows(b"a,1,10\r\n\r\n \r\na,2,11\r\n\r\n"), ["0 10", "1 11"]);
        assert_eq!(
            rows(b"a,1,10\r"),
            Vec::<String>::new(),
            "only half of a line end"
        );
        // Concatenated files have several headers.
        assert_eq!(
            rows(b"a,1,10\nsensor,time,value\na,2,11\n"),
            ["0 10", "bad-time", "1 11"]
        );
    }

    #[test]
    fn an_unsupported_encoding_is_an_error_with_help() {
        let text = "sensor,time,value\na,1,10\n";
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [
            [b"\xff\xfe", &le[..]].concat(),
            [b"\xfe\xff", &be[..]].concat(),
            le,
            be,
        ] {
            let folder = folder("a.csv", bytes);
            let error = open_in(folder.path(), A)
                .err()
                .expect("UTF-16 should not be read")
                .to_string();
            assert!(
                error.contains("it is in UTF-16") && error.contains("iconv -f utf-16 -t utf-8"),
                "{error}"
            );
        }
    }

    #[test]
    fn semicolons_and_decimal_commas_are_settings() {
        let folder = folder("a.csv", "sensor;time;value\na;1;12,5\n");
        let error = open_in(folder.path(), A)
            .err()
            .expect("there is no such column")
            .to_string();
        assert!(error.contains("delimiter = \";\""), "{error}");
        let config = "file = { path = \"a.csv\", delimiter = \";\", decimal-comma = true }";
        assert_eq!(
            values(&all(&mut *open_in(folder.path(), config).unwrap())),
            [("a", 0, 1, 12.5)]
        );
    }

    #[test]
    fn a_file_that_becomes_shorter_while_read_is_an_error() {
        let folder = folder("a.csv", "sensor,time,value\na,1,10\na,2,11\n");
        let mut source = open_in(folder.path(), A).unwrap();
        take(&mut *source, 2);
        // As logrotate does with `copytruncate`.
        fs::write(folder.path().join("a.csv"), "").unwrap();
        let error = source.next(Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains("became shorter"), "{error}");
    }

    #[test]
    fn the_largest_counts_in_a_position_do_not_overflow() {
        let folder = folder("a.csv", "sensor,time,value\na,1,10\na,2,11\n");
        let config = "file = { path = \"a.csv\", repeat = \"forever\" }";
        let mut source = open_in(folder.path(), config).unwrap();
        take(&mut *source, 1);
        let mut position = source.position();
        for count in ["round", "row", "line"] {
            position[count] = u64::MAX.into();
        }
        source.resume(&position).unwrap();
        assert_eq!(
            values(&take(&mut *source, 2)),
            [("a", 1, 2, 11.0), ("a", 2, 1, 10.0)]
        );
    }

    proptest! {
        #[test]
        fn it_resumes_at_any_position(
            rows in prop::collection::vec(
                "[ab],[1-9],[1-9]|a,1|\"b\",noon,é||[ab],7,x{100}", 0..12,
            ),
            repeat in 1..4_u64,
            stop in 0..40_usize,
            end in "\n|\r\n",
            last in "\n?",
            take_last: bool,
        ) {
            let text = format!("sensor,time,value{end}{}{last}", rows.join(&end));
            let folder = folder("a.csv", text);
            let last_line = if take_last { "take" } else { "leave" };
            let config = format!(
                "file = {{ path = \"a.csv\", repeat = {repeat}, last-line = \"{last_line}\" }}"
            );
            let whole = all(&mut *open_in(folder.path(), &config).unwrap());
            let counted = if take_last || !last.is_empty() {
                &rows[..]
            } else {
                &rows[..rows.len().saturating_sub(1)]
            };
            let count = counted.iter().filter(|row| !row.is_empty()).count() as u64;
            prop_assert_eq!(whole.len() as u64, count * repeat);
            let mut first = open_in(folder.path(), &config).unwrap();
            let mut found = take(&mut *first, stop);
            let mut second = open_in(folder.path(), &config).unwrap();
            let position = first.position().to_string();
            second.resume(&serde_json::from_str(&position).unwrap()).unwrap();
            prop_assert_eq!(second.progress(), first.progress());
            found.extend(all(&mut *second));
            prop_assert_eq!(found, whole);
        }
    }
}
