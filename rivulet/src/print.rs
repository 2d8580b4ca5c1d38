//! What the commands print.
//!
//! All of it goes through this file, so that no command can pass on what others wrote as it is.
//! Lints forbid `println!` and its relatives in this crate.

use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write};

use rivulet_core::text::{plain_json, plain_lines};
use rivulet_node::cli::BoxError;
use serde::Serialize;

/// Prints text to standard output.
///
/// # Errors
/// If standard output cannot be written, for example because the pipe is closed.
pub(crate) fn text(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write(&mut out, text)?;
    out.flush()
}

/// Prints a line to standard output.
///
/// # Errors
/// As for [`text`].
pub(crate) fn line(line: impl Display) -> io::Result<()> {
    text(format_args!("{line}\n"))
}

/// Prints a line to standard error, unless nobody can read it.
pub(crate) fn aside(line: impl Display) {
    let _ = write(&mut io::stderr().lock(), format_args!("{line}\n"));
}

/// Many lines to standard output. They are kept until they are flushed, or there are enough.
pub(crate) struct Lines(BufWriter<Stdout>);

impl Lines {
    pub(crate) fn new() -> Self {
        Lines(BufWriter::new(io::stdout()))
    }

    /// Adds a line.
    ///
    /// # Errors
    /// As for [`text`].
    pub(crate) fn line(&mut self, line: &str) -> io::Result<()> {
        self.0.write_all(plain_lines(line).as_bytes())?;
        self.0.write_all(b"\n")
    }

    /// Writes what was kept.
    ///
    /// # Errors
    /// As for [`text`].
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Prints a value as JSON.
///
/// # Errors
/// As for [`text`].
pub(crate) fn json(value: &impl Serialize) -> Result<(), BoxError> {
    let json = serde_json::to_string_pretty(value)?;
    Ok(writeln!(io::stdout().lock(), "{}", plain_json(&json))?)
}

/// Prints a value as one line of JSON.
///
/// # Errors
/// As for [`text`].
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), BoxError> {
    Ok(line(plain_json(&serde_json::to_string(value)?))?)
}

/// Writes text with what others wrote in it, so that a terminal can show it.
pub(crate) fn write(out: &mut dyn Write, text: impl Display) -> io::Result<()> {
    out.write_all(plain_lines(&text.to_string()).as_bytes())
}
