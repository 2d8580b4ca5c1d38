//! The replay: a file of readings from its first row to its last, once or over and over.

use std::fs;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stream::error::{Error, Result as OrError};
use stream::reading::Reading;

use crate::catalog::file::{File, LastLine};
use crate::line_reader::LineReader;
use crate::position;
use crate::row::{ParsedRow, Rows};
use crate::sequences::Sequences;
use crate::source::{Next, Progress, Source};

/// The rows of a file up to this size, in bytes, are counted when it is opened.
const COUNTED: u64 = 64 * 1024 * 1024;

/// How much of the file before a position is kept with it, in bytes, to know the place again.
const KNOWN_BY: usize = 80;

/// A file that is read row by row; the settings are those of [`File`].
pub struct Replay {
    settings: File,
    path: PathBuf,
    file: fs::File,
    lines: LineReader,
    rows: Box<dyn Rows>,
    sequences: Sequences,
    /// How many times the file was read to its end, and how many rows since.
    round: u64,
    row: u64,
    /// Whether this round has found a row, or is not a whole one.
    fruitful: bool,
    rows_a_round: Option<u64>,
    /// Whether it was told that a last line has no end.
    told: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place<S> {
    round: u64,
    row: u64,
    line: u64,
    byte: u64,
    /// What the file says before this place.
    after: String,
    next: S,
}

impl Replay {
    /// Starts at the first row. `path` is what messages call the file.
    ///
    /// # Errors
    /// If it cannot be read or its header lacks a column.
    pub fn open(settings: File, mut path: PathBuf, mut file: fs::File) -> OrError<Self> {
        // Without the `.` of a base such as `./a.csv`.
        path = path.components().collect();
        let (mut lines, rows) = begin(&settings, &path, &mut file)?;
        let failed = |error| reading(&path, error);
        let mut rows_a_round = None;
        if file.metadata().map_err(failed)?.len() <= COUNTED {
            let mut count = 0;
            while next_row(&mut lines, &mut file).map_err(failed)? {
                count += 1;
            }
            rows_a_round = Some(count);
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
            fruitful: true,
            rows_a_round,
            told: false,
        })
    }

    /// Goes to the next row; false if there is none any more.
    fn advance(&mut self) -> OrError<bool> {
        loop {
            if next_row(&mut self.lines, &mut self.file)
                .map_err(|error| reading(&self.path, error))?
            {
                self.row = self.row.saturating_add(1);
                self.fruitful = true;
                return Ok(true);
            }
            self.look_behind_the_end()?;
            let was_last = self
                .settings
                .repeat
                .0
                .is_some_and(|times| self.round >= times - 1);
            if was_last || !self.fruitful {
                return Ok(false);
            }
            (self.lines, self.rows) = begin(&self.settings, &self.path, &mut self.file)?;
            (self.round, self.row, self.fruitful) = (self.round.saturating_add(1), 0, false);
        }
    }

    /// Says what is behind the last row, or that the file has become shorter while it was read.
    fn look_behind_the_end(&mut self) -> OrError<()> {
        let (byte, path) = (self.lines.byte(), self.path.display());
        let size = self
            .file
            .metadata()
            .map_err(|error| reading(&self.path, error))?
            .len();
        if size < byte {
            return Err(shorter(&self.path, byte, size));
        }
        if self.lines.rest() > 0 && !self.told {
            self.told = true;
            let (number, rest) = (self.lines.number().saturating_add(1), self.lines.rest());
            tracing::warn!(
                "{path} line {number} has no line end: its {rest} bytes are left for the next \
                 start, when it may be whole\n  help: if it is whole, end it with a line end, or \
                 take it with last-line = \"take\""
            );
        }
        Ok(())
    }

    /// The last of the file before a place, by which the place is known again.
    fn before(&self, byte: u64) -> io::Result<String> {
        let mut known = [0; KNOWN_BY];
        let known = &mut known[..usize::try_from(byte).unwrap_or(KNOWN_BY).min(KNOWN_BY)];
        self.file.read_exact_at(known, byte - known.len() as u64)?;
        Ok(String::from_utf8_lossy(known).into_owned())
    }
}

fn shorter(path: &Path, byte: u64, size: u64) -> Error {
    let path = path.display();
    position::refused(format!(
        "{path} was read up to byte {byte} and has only {size} now: it became shorter"
    ))
}

fn reading(path: &Path, error: io::Error) -> Error {
    Error::new(format!("reading {}", path.display()), error)
}

/// Goes to the file's first row, behind its header.
fn begin(
    settings: &File,
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
            let error = Error::new(
                format!("reading the header of {}", path.display()),
                "the file is empty",
            );
            return Err(
                error.help("its first line names its columns, for example: sensor,time,value")
            );
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

/// Refuses a file in another encoding than UTF-8, as far as its first characters tell.
fn check_encoding(path: &Path, file: &fs::File) -> OrError<()> {
    let mut start = [0; 4];
    let read = file
        .read_at(&mut start, 0)
        .map_err(|error| reading(path, error))?;
    let is_utf_16 = match &start[..read] {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        // Without a mark: every other byte of what is English in it is zero.
        [low, 0, other, 0] => *low != 0 && *other != 0,
        [0, high, 0, other] => *high != 0 && *other != 0,
        _ => false,
    };
    if !is_utf_16 {
        return Ok(());
    }
    let path = path.display();
    let help = format!("write it anew in UTF-8: iconv -f utf-16 -t utf-8 {path} > NEW.csv");
    Err(Error::new(
        format!("reading {path}"),
        "it is in UTF-16, and only UTF-8 is read",
    )
    .help(help))
}

/// Goes to the next line that is not blank; false at the end.
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
            Err(refusal) => {
                let place = format!(
                    "{} line {}",
                    self.settings.path.display(),
                    self.lines.number()
                );
                Next::Bad {
                    bytes: self.lines.line(),
                    place,
                    refusal,
                }
            }
        })
    }

    fn position(&self) -> Value {
        let byte = self.lines.byte();
        // If it cannot be read now, nothing will match it later, and nothing is taken for granted.
        let after = self.before(byte).unwrap_or_default();
        let next = &self.sequences;
        json!(Place {
            round: self.round,
            row: self.row,
            line: self.lines.number(),
            byte,
            after,
            next
        })
    }

    fn resume(&mut self, position: &Value) -> OrError<()> {
        let Place::<Sequences> {
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
            let cause = format!("{path} has changed in what was read of it, up to line {line}");
            return Err(position::refused(cause));
        }
        self.file
            .seek(SeekFrom::Start(byte))
            .map_err(|error| reading(&self.path, error))?;
        self.lines =
            LineReader::behind(byte, line).only_ended(self.settings.last_line == LastLine::Leave);
        (self.round, self.row, self.sequences) = (round, row, next);
        Ok(())
    }

    fn rate(&self) -> Option<f64> {
        self.settings.rate.map(|rate| rate.0)
    }

    fn progress(&self) -> Option<Progress> {
        let (rows, times) = (self.rows_a_round?, self.settings.repeat.0?);
        let done = self.round.saturating_mul(rows).saturating_add(self.row);
        // More is done than there was if the file has grown.
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
    use stream::reading::Unit;

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
    fn either_line_end_will_do_and_blank_lines_do_not_matter() {
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
    fn a_bad_row_is_handed_on_with_its_bytes_and_its_line_and_the_rest_is_read() {
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
        let bad = |bytes: &[u8], line: u64, reason| {
            assert!(
                found.contains(&Observed::Bad {
                    bytes: bytes.into(),
                    place: format!("a.csv line {line}"),
                    reason
                }),
                "{line}"
            );
        };
        bad(b"a,2", 3, "missing-cell");
        bad(b"a,3,abc", 4, "not-a-number");
        bad(b"a,noon,1", 5, "bad-time");
        bad(b"\xff,4,1", 6, "not-utf-8");
        bad(b"\"a,5,1", 7, "missing-cell");
        bad(&vec![b'x'; LONGEST], 9, "too-long");
        assert_eq!(found.len(), 9);
    }

    #[test]
    fn json_lines_are_read_and_numbered_anew() {
        let json = "{\"sensor\":\"a\",\"seq\":70,\"time\":5,\"value\":1,\"unit\":\"kelvin\"}\n{\"sensor\":\"a\",\"time\":6,\"value\":2}\n[]\n";
        let folder = folder("a.jsonl", json);
        let found = all(&mut *open_in(folder.path(), "file = { path = \"a.jsonl\" }").unwrap());
        assert_eq!(values(&found), [("a", 0, 5, 1.0), ("a", 1, 6, 2.0)]);
        assert!(
            matches!(&found[..], [Observed::Reading(kelvin), Observed::Reading(celsius), Observed::Bad { .. }]
            if kelvin.unit == Some(Unit::Kelvin) && celsius.unit == Some(Unit::Celsius))
        );
    }

    #[test]
    fn a_unit_that_is_set_wins_over_the_column() {
        let folder = folder(
            "a.csv",
            "sensor,time,value,unit\na,1,10,fahrenheit\na,2,11,°F\n",
        );
        let units = |part| -> Vec<Option<Unit>> {
            let seen = all(&mut *open_in(folder.path(), part).unwrap());
            seen.iter()
                .map(|seen| {
                    if let Observed::Reading(got) = seen {
                        got.unit
                    } else {
                        None
                    }
                })
                .collect()
        };
        assert_eq!(units(A), [Some(Unit::Fahrenheit), None]);
        assert_eq!(
            units("file = { path = \"a.csv\", unit = \"kelvin\" }"),
            [Some(Unit::Kelvin); 2]
        );
    }

    #[test]
    fn a_repeated_file_has_the_same_times_and_counts_on() {
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
    fn a_file_without_rows_ends_even_if_it_is_repeated_forever() {
        for (name, text) in [
            ("a.csv", "sensor,time,value\n"),
            ("a.json", ""),
            ("a.json", "\n \n"),
        ] {
            let folder = folder(name, text);
            let part = format!("file = {{ path = \"{name}\", repeat = \"forever\" }}");
            assert!(all(&mut *open_in(folder.path(), &part).unwrap()).is_empty());
        }
    }

    #[test]
    fn what_was_appended_is_read_after_a_restart() {
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
    fn a_file_that_is_another_one_now_is_refused_with_the_way_out() {
        let text = "sensor,time,value\na,1,10\na,2,11\n";
        let kept = {
            let folder = folder("a.csv", text);
            let mut source = open_in(folder.path(), A).unwrap();
            take(&mut *source, 9);
            source.position()
        };
        for (now, told) in [
            ("sensor,time,value\na,1,10\n", "became shorter"),
            (
                "sensor,time,value\na,1,10\na,2,12\n",
                "has changed in what was read of it, up to line 3",
            ),
            (
                "sensor,time,value\na,1,1\na,2,111\na,3,1\n",
                "has changed in what was read of it, up to line 3",
            ),
            (
                "value,time,sensor\n1,1,ab\n1,2,abc\n1,3,a\n",
                "has changed in what was read of it, up to line 3",
            ),
        ] {
            let folder = folder("a.csv", now);
            let error = open_in(folder.path(), A)
                .unwrap()
                .resume(&kept)
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(told) && error.contains("--from-start"),
                "{error}"
            );
        }
        let half = folder("a.csv", text.trim_end());
        let part = "file = { path = \"a.csv\", last-line = \"take\" }";
        let mut source = open_in(half.path(), part).unwrap();
        assert_eq!(take(&mut *source, 9).len(), 2);
        fs::write(
            half.path().join("a.csv"),
            "sensor,time,value\na,1,10\na,2,11.5\n",
        )
        .unwrap();
        open_in(half.path(), part)
            .unwrap()
            .resume(&source.position())
            .unwrap_err();
    }

    /// 1.0 was delivered for 12.5, and the next start refused the file.
    #[test]
    fn a_row_that_is_still_being_written_is_left_for_the_next_start() {
        let folder = folder("a.csv", "sensor,time,value\na,1,10\na,2,1");
        let append = |text: &str| {
            let mut file = OpenOptions::new()
                .append(true)
                .open(folder.path().join("a.csv"))
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        let mut source = open_in(folder.path(), A).unwrap();
        assert_eq!(source.progress(), Some(Progress { done: 0, total: 1 }));
        assert_eq!(values(&all(&mut *source)), [("a", 0, 1, 10.0)]);
        let mut again = open_in(folder.path(), A).unwrap();
        again.resume(&source.position()).unwrap();
        assert!(all(&mut *again).is_empty(), "it is still not whole");
        append("2.5\na,3,");
        let mut again = open_in(folder.path(), A).unwrap();
        again.resume(&source.position()).unwrap();
        assert_eq!(values(&all(&mut *again)), [("a", 1, 2, 12.5)]);
        let part = "file = { path = \"a.csv\", last-line = \"take\" }";
        append("7");
        assert_eq!(
            values(&all(&mut *open_in(folder.path(), part).unwrap())).len(),
            3
        );
    }

    /// What loggers, spreadsheets and power cuts leave, and what of it are readings.
    #[test]
    fn files_as_they_are_found() {
        let header = "sensor,time,value\n";
        let rows = |text: &[u8]| {
            let folder = folder("a.csv", [header.as_bytes(), text].concat());
            let seen = all(&mut *open_in(folder.path(), A).unwrap());
            let word = |seen: &Observed| match seen {
                Observed::Reading(got) => format!("{} {}", got.seq, got.value),
                Observed::Bad { reason, .. } => (*reason).to_owned(),
            };
            seen.iter().map(word).collect::<Vec<_>>()
        };
        // Zeros where the disk had no time to write, at the end and in the middle.
        assert_eq!(rows(b"a,1,10\n\0\0\0\0\0\0"), ["0 10"]);
        assert_eq!(
            rows(b"a,1,10\na,2\0\0\0\0\0\0a,3,11\na,4,12\n"),
            ["0 10", "zero-bytes", "1 12"]
        );
        assert_eq!(
            rows(b"a,1,10\n\0\0a,3,11\na,4,12\n"),
            ["0 10", "zero-bytes", "1 12"]
        );
        // Half a character, and a half line that the logger went on behind after the cut.
        assert_eq!(rows(b"a,1,10\n\xc3"), ["0 10"]);
        assert_eq!(rows(b"\xc3,1,10\na,2,11\n"), ["not-utf-8", "0 11"]);
        assert_eq!(rows(b"a,1,1a,2,11\na,3,12\n"), ["extra-cell", "0 12"]);
        // Blank lines, and Windows' ends.
        assert_eq!(rows(b"a,1,10\r\n\r\n \r\na,2,11\r\n\r\n"), ["0 10", "1 11"]);
        assert_eq!(
            rows(b"a,1,10\r"),
            Vec::<String>::new(),
            "only the half of an end"
        );
        // The header again, where files were put one behind the other.
        assert_eq!(
            rows(b"a,1,10\nsensor,time,value\na,2,11\n"),
            ["0 10", "bad-time", "1 11"]
        );
    }

    #[test]
    fn an_encoding_that_is_not_read_is_named_with_the_remedy() {
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
                .expect("it is not read")
                .to_string();
            assert!(
                error.contains("it is in UTF-16") && error.contains("iconv -f utf-16 -t utf-8"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_with_semicolons_and_decimal_commas_is_read_with_its_settings() {
        let folder = folder("a.csv", "sensor;time;value\na;1;12,5\n");
        let error = open_in(folder.path(), A)
            .err()
            .expect("there is no such column")
            .to_string();
        assert!(error.contains("delimiter = \";\""), "{error}");
        let part = "file = { path = \"a.csv\", delimiter = \";\", decimal-comma = true }";
        assert_eq!(
            values(&all(&mut *open_in(folder.path(), part).unwrap())),
            [("a", 0, 1, 12.5)]
        );
    }

    #[test]
    fn a_file_that_becomes_shorter_while_it_is_read_is_told() {
        let folder = folder("a.csv", "sensor,time,value\na,1,10\na,2,11\n");
        let mut source = open_in(folder.path(), A).unwrap();
        take(&mut *source, 2);
        // As `logrotate` does with `copytruncate`.
        fs::write(folder.path().join("a.csv"), "").unwrap();
        let error = source.next(Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains("became shorter"), "{error}");
    }

    #[test]
    fn a_position_with_counts_that_cannot_grow_is_gone_on_from() {
        let folder = folder("a.csv", "sensor,time,value\na,1,10\na,2,11\n");
        let part = "file = { path = \"a.csv\", repeat = \"forever\" }";
        let mut source = open_in(folder.path(), part).unwrap();
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
        fn stopped_anywhere_it_goes_on_as_if_it_had_not(
            rows in prop::collection::vec("[ab],[1-9],[1-9]|a,1|\"b\",noon,é||[ab],7,x{100}", 0..12),
            repeat in 1..4_u64, stop in 0..40_usize, end in "\n|\r\n", last in "\n?", take_last: bool,
        ) {
            let text = format!("sensor,time,value{end}{}{last}", rows.join(&end));
            let folder = folder("a.csv", text);
            let last_line = if take_last { "take" } else { "leave" };
            let part = format!("file = {{ path = \"a.csv\", repeat = {repeat}, last-line \
                                = \"{last_line}\" }}");
            let whole = all(&mut *open_in(folder.path(), &part).unwrap());
            let counted = if take_last || !last.is_empty() { &rows[..] } else { &rows[..rows.len().saturating_sub(1)] };
            let count = counted.iter().filter(|row| !row.is_empty()).count() as u64;
            prop_assert_eq!(whole.len() as u64, count * repeat);
            let mut first = open_in(folder.path(), &part).unwrap();
            let mut found = take(&mut *first, stop);
            let mut second = open_in(folder.path(), &part).unwrap();
            second.resume(&serde_json::from_str(&first.position().to_string()).unwrap()).unwrap();
            prop_assert_eq!(second.progress(), first.progress());
            found.extend(all(&mut *second));
            prop_assert_eq!(found, whole);
        }
    }
}
