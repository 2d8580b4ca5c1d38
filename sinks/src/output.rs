//! The output: where a sink shows readings.

use std::fmt;
use std::io::{ErrorKind, Write};

use rivulet_core::error::{Error, Result};

/// Standard output, or a replacement in tests.
///
/// It is buffered. The buffer never splits what one call of [`write`](Self::write) takes, so
/// several sinks of one process can share a terminal line by line.
pub struct Output {
    stage: String,
    buffer: Vec<u8>,
    to: Box<dyn Write + Send>,
}

/// The size of the buffer in bytes.
const BUFFER: usize = 8192;

impl Output {
    /// The output of a stage, whose name is for error messages.
    #[must_use]
    pub fn new(stage: &str, to: Box<dyn Write + Send>) -> Self {
        Output {
            stage: stage.to_owned(),
            buffer: Vec::new(),
            to,
        }
    }

    /// Appends complete lines to the buffer.
    ///
    /// # Errors
    /// If the buffer is full and cannot be written, for example because the pipe is closed.
    pub fn write(&mut self, lines: &[u8]) -> Result<()> {
        if self.buffer.len() + lines.len() > BUFFER {
            self.flush()?;
        }
        self.buffer.extend_from_slice(lines);
        Ok(())
    }

    /// Writes the buffer.
    ///
    /// # Errors
    /// If it cannot be written, for example because the pipe is closed.
    pub fn flush(&mut self) -> Result<()> {
        let shown = self
            .to
            .write_all(&self.buffer)
            .and_then(|()| self.to.flush());
        self.buffer.clear();
        shown.map_err(|error| self.failed(&error))
    }

    /// Discards the buffer.
    pub fn discard(&mut self) {
        self.buffer.clear();
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        let doing = format!("showing the readings of {}", self.stage);
        match error.kind() {
            ErrorKind::BrokenPipe => Error::new(
                doing,
                "the pipe is closed: the program that reads the output has exited",
            )
            .help("let the program after the `|` read to the end, or remove it"),
            _ => Error::new(doing, error).help("check what standard output is connected to"),
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// A screen that a test can read.
    #[derive(Clone, Default)]
    pub(crate) struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Screen {
        /// What is on it.
        pub(crate) fn text(&self) -> String {
            String::from_utf8(
                self.0
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone(),
            )
            .unwrap()
        }
    }

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_named_as_the_cause() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut output = Output::new("out", Box::new(writer));
        output.write(b"1\n").unwrap();
        let error = output.flush().unwrap_err().to_string();
        assert!(
            error.starts_with("showing the readings of out: the pipe is closed"),
            "{error}"
        );
    }

    #[test]
    fn nothing_is_shown_before_the_flush_and_no_line_is_split() {
        let screen = Screen::default();
        let mut output = Output::new("out", Box::new(screen.clone()));
        output.write(b"first\n").unwrap();
        assert_eq!(screen.text(), "");
        let line = [b"x".repeat(5000), b"\n".to_vec()].concat();
        output.write(&line).unwrap();
        output.write(&line).unwrap();
        assert!(screen.text().ends_with('\n'), "the buffer has split a line");
        output.flush().unwrap();
        assert_eq!(screen.text().lines().count(), 3);
        output.write(b"dropped\n").unwrap();
        output.discard();
        output.flush().unwrap();
        assert_eq!(screen.text().lines().count(), 3);
    }
}
