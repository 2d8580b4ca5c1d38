//! What is sent: [`InputSource`], and how records are in it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, IsTerminal, Read};
use std::path::PathBuf;

use clap::ValueEnum;
use indicatif::ProgressBar;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::shutdown::Shutdown;

use super::elements::each_element;
use super::rules::{EachRecord, ReadRules};
use super::standard_input::StandardInput;
use crate::print;

/// How many bytes are read at once.
const BLOCK: usize = 128 * 1024;
/// The byte order mark that some editors write at the beginning of a file.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Where records come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputSource {
    /// The file at this path.
    File(PathBuf),
    /// Standard input.
    Standard,
}

/// How records are in an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum InputFormat {
    /// A record a line
    Lines,
    /// A record for each element of one JSON array
    JsonArray,
}

impl InputSource {
    /// Its name in messages.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            InputSource::File(path) => path.display().to_string(),
            InputSource::Standard => "standard input".to_owned(),
        }
    }

    /// How many bytes it has. `None` if that is not known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            InputSource::File(path) => {
                let found = std::fs::metadata(path).ok()?;
                Some(found.len()).filter(|_| found.is_file())
            }
            InputSource::Standard => None,
        }
    }

    /// Opens it. `bar` counts its bytes.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(super) fn open(&self, bar: &ProgressBar, shutdown: &Shutdown) -> Result<Input> {
        let bytes: Box<dyn Read> = match self {
            InputSource::File(path) => {
                let file = File::open(path).and_then(|file| {
                    if file.metadata()?.is_dir() {
                        Err(io::ErrorKind::IsADirectory.into())
                    } else {
                        Ok(file)
                    }
                });
                let failed = |error| Error::caused_by(format!("opening {}", self.name()), error);
                Box::new(bar.wrap_read(file.map_err(failed)?))
            }
            InputSource::Standard => Box::new(StandardInput::new(io::stdin(), shutdown)?),
        };
        let is_typed = *self == InputSource::Standard && io::stdin().is_terminal();
        Ok(Input {
            bytes,
            name: self.name(),
            is_typed,
            prompts: is_typed && io::stdout().is_terminal(),
            shutdown: shutdown.clone(),
        })
    }
}

/// An open input.
pub(super) struct Input {
    bytes: Box<dyn Read>,
    name: String,
    /// Whether a person types it.
    is_typed: bool,
    prompts: bool,
    shutdown: Shutdown,
}

impl Input {
    /// Calls `each` with every record, until it says that this is enough, or the process is asked
    /// to stop. A record may have `largest` bytes.
    ///
    /// # Errors
    /// Those of `each`; if the input cannot be read, or is not what `format` says.
    pub(super) fn each(
        mut self,
        format: Option<InputFormat>,
        largest: usize,
        each: EachRecord<'_>,
    ) -> Result<()> {
        let rules = ReadRules {
            place: &self.name,
            largest,
            block: BLOCK,
            shutdown: &self.shutdown,
        };
        if self.is_typed {
            let prompt = if self.prompts { "> " } else { "" };
            return each_line(BufReader::new(self.bytes), &rules, prompt, each);
        }
        let (begin, found) = match beginning(&mut self.bytes, format) {
            Ok(beginning) => beginning,
            Err(error) => return rules.failed(error),
        };
        let bytes = Cursor::new(begin).chain(self.bytes);
        match found {
            InputFormat::Lines => {
                each_line(BufReader::with_capacity(BLOCK, bytes), &rules, "", each)
            }
            InputFormat::JsonArray => each_element(bytes, &rules, each),
        }
    }
}

/// The first bytes without a byte order mark, and the format: the given one, or what the first byte
/// that is not white space says.
fn beginning(
    bytes: &mut dyn Read,
    format: Option<InputFormat>,
) -> io::Result<(Vec<u8>, InputFormat)> {
    let mut begin = Vec::new();
    loop {
        let before = begin.len();
        begin.resize(before + BLOCK, 0);
        let read = match bytes.read(&mut begin[before..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            read => read?,
        };
        let is_end = read == 0;
        begin.truncate(before + read);
        if !is_end && begin.len() < MARK.len() && MARK.starts_with(&begin) {
            continue;
        }
        if begin.starts_with(MARK) {
            begin.drain(..MARK.len());
        }
        let first = begin.iter().find(|byte| !byte.is_ascii_whitespace());
        let format = match (format, first) {
            (Some(format), _) => format,
            (None, Some(b'[')) => InputFormat::JsonArray,
            (None, None) if !is_end && begin.len() < BLOCK => continue,
            (None, _) => InputFormat::Lines,
        };
        return Ok((begin, format));
    }
}

/// Calls `each` for every line, without its line end, which is LF or CR LF. The last line may have
/// none.
fn each_line(
    mut input: impl BufRead,
    rules: &ReadRules<'_>,
    prompt: &str,
    each: EachRecord<'_>,
) -> Result<()> {
    let mut line = Vec::new();
    for number in 1_u64.. {
        if !prompt.is_empty() {
            let shown = print::text(prompt);
            shown.map_err(|error| Error::caused_by("writing to standard output", error))?;
        }
        line.clear();
        // One byte more than a line may have with its line end.
        let mut limited = input.by_ref().take(rules.largest as u64 + 3);
        match limited.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return rules.failed(error),
        }
        if line.ends_with(b"\n") {
            line.pop();
            if line.ends_with(b"\r") {
                line.pop();
            }
        }
        if line.len() > rules.largest {
            let cause = format!(
                "record {number} is too large: it has more than {} bytes",
                rules.largest
            );
            return Err(Error::new(format!("reading {}", rules.place), cause)
                .of_kind(Kind::TooLarge)
                .help("raise max.message.bytes of the topic, or send smaller records"));
        }
        if each(&line)?.is_break() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
