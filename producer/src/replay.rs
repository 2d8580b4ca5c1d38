//! The replay: reads a file from its first row to its last, once or several times.

mod settings;

use std::fs;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rivulet_core::error::{Error, Result as OrError};
use rivulet_core::reading::InvalidReading;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::settings::{LastLine, Repeat, ReplaySettings};
use crate::line_reader::LineReader;
use crate::position;
use crate::sequences::Sequences;
use crate::source::{Next, Progress, Source};

/// The largest file in bytes whose rows are counted when it is opened.
const COUNTED: u64 = 64 * 1024 * 1024;

/// How many bytes before the position are stored with it, to recognise the file.
const CONTEXT: usize = 80;

/// What is in the file of a replay.
pub trait Content: Send {
    /// Whether the first line is a header.
    fn has_header(&self) -> bool {
        false
    }

    /// The parser for the lines of `path`. `header` is empty if there is none.
    ///
    /// # Errors
    /// If the header lacks a column.
    fn parser(&self, path: &Path, header: &[u8]) -> OrError<Box<dyn LineParser>>;
}

/// Parses the lines of a file.
pub trait LineParser: Send {
    /// What a line holds. `sequences` counts the readings of each sensor.
    ///
    /// # Errors
    /// If the line is invalid.
    fn parse<'a>(
        &'a mut self,
        line: &'a [u8],
        sequences: &mut Sequences,
    ) -> Result<Next<'a>, InvalidReading>;
}

/// A file that is read row by row.
pub struct Replay {
    settings: ReplaySettings,
    content: Box<dyn Content>,
    path: PathBuf,
    file: fs::File,
    lines: LineReader,
    parser: Box<dyn LineParser>,
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
    /// Opens the file at its first row. Its path is relative to `folder`.
    ///
    /// # Errors
    /// If the file cannot be read or its header lacks a column.
    pub fn open(
        settings: ReplaySettings,
        content: Box<dyn Content>,
        folder: &Path,
    ) -> OrError<Self> {
        // Removes the `.` of a path such as `./a.csv`.
        let path: PathBuf = folder.join(&settings.path).components().collect();
        let mut file = open_file(&path, folder)?;
        let (mut lines, parser) = begin(&settings, &*content, &path, &mut file)?;
        let failed = |error| reading(&path, error);
        let mut rows_per_round = None;
        if file.metadata().map_err(failed)?.len() <= COUNTED {
            let mut count = 0;
            while next_row(&mut lines, &mut file).map_err(failed)? {
                count += 1;
            }
            rows_per_round = Some(count);
            (lines, _) = begin(&settings, &*content, &path, &mut file)?;
        }
        let sequences = Sequences::default();
        Ok(Replay {
            settings,
            content,
            path,
            file,
            lines,
            parser,
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
            (self.lines, self.parser) = self.begin()?;
            (self.round, self.row, self.has_rows) = (self.round.saturating_add(1), 0, false);
        }
    }

    /// Goes to the first row, after the header.
    fn begin(&mut self) -> OrError<(LineReader, Box<dyn LineParser>)> {
        begin(&self.settings, &*self.content, &self.path, &mut self.file)
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
    Error::caused_by(format!("reading {}", path.display()), error)
}

/// Opens a regular file.
fn open_file(path: &Path, folder: &Path) -> OrError<fs::File> {
    let doing = || format!("opening {}", path.display());
    let folder = folder.display();
    let hint =
        format!("check the path; it is relative to the folder of the pipeline file ({folder})");
    // Checked before opening, because opening a named pipe waits for its writer.
    let kind = fs::metadata(path)
        .map_err(|error| Error::caused_by(doing(), error).help(&*hint))?
        .file_type();
    if kind.is_dir() {
        return Err(Error::new(doing(), "it is a directory").help("give a file in it"));
    }
    if !kind.is_file() {
        return Err(
            Error::new(doing(), "it is not a regular file").help("pipe it into the source `lines`")
        );
    }
    fs::File::open(path)
        .map_err(|error| Error::caused_by(doing(), error).help("let this user read it"))
}

fn begin(
    settings: &ReplaySettings,
    content: &dyn Content,
    path: &Path,
    file: &mut fs::File,
) -> OrError<(LineReader, Box<dyn LineParser>)> {
    let failed = |error| reading(path, error);
    file.rewind().map_err(failed)?;
    check_encoding(path, file)?;
    let mut lines = LineReader::default();
    let mut header = &b""[..];
    if content.has_header() {
        if !next_row(&mut lines, file).map_err(failed)? {
            let doing = format!("reading the header of {}", path.display());
            return Err(Error::new(doing, "the file is empty")
                .help("its first line must name its columns, for example: sensor,time,value"));
        }
        header = lines.line();
    }
    let parser = content.parser(path, header)?;
    Ok((
        lines.only_ended(settings.last_line == LastLine::Leave),
        parser,
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
        let parsed = self.lines.whole();
        let parsed = parsed.and_then(|line| self.parser.parse(line, &mut self.sequences));
        Ok(parsed.unwrap_or_else(|invalid| Next::Bad {
            bytes: self.lines.line(),
            place: format!(
                "{} line {}",
                self.settings.path.display(),
                self.lines.number()
            ),
            invalid,
        }))
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
        let first = self.begin()?.0.byte();
        let at_line = before.is_empty() || before.ends_with('\n') || byte == size;
        if before != after || !at_line || byte < first {
            let path = self.path.display();
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
mod tests;
