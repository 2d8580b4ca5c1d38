//! `rivulet compare`. At a terminal each table replaces the one before.

use std::io::{IsTerminal, Write};

use crate::CheckedPipeline;
use crate::compare::{LiveComparison, ReadFrom};
use rivulet_core::shutdown::{EndProcess, Shutdown};
use rivulet_node::cli::BoxError;
use rivulet_node::signals;

use crate::args::CompareArgs;

pub(super) fn run(
    pipeline: &CheckedPipeline<'_>,
    command: &CompareArgs,
    end: EndProcess,
) -> Result<(), BoxError> {
    let CompareArgs {
        first,
        second,
        input,
        latest,
        once,
    } = command;
    let mut comparison = match (first, second) {
        (Some(ewma), Some(average)) => LiveComparison::between(pipeline, ewma, average),
        (name, _) => LiveComparison::find(pipeline, name.as_deref())?,
    };
    if let Some(input) = input {
        comparison = comparison.with_input(input);
    }
    let screen = Screen::new();
    if screen.is_terminal {
        comparison = comparison.live();
    }
    let from = match (once, latest) {
        (true, _) => ReadFrom::Now,
        (false, true) => ReadFrom::Latest,
        (false, false) => ReadFrom::All,
    };
    let shutdown = Shutdown::new();
    signals::watch(&shutdown, end)?;
    comparison.run(from, Box::new(screen), &shutdown)
}

/// Standard output. Writes a table at once when it is flushed.
pub(super) struct Screen {
    pub(super) is_terminal: bool,
    table: Vec<u8>,
}

impl Screen {
    pub(super) fn new() -> Self {
        Screen {
            is_terminal: std::io::stdout().is_terminal(),
            table: Vec::new(),
        }
    }
}

/// The escape sequence that clears the screen of a terminal.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.table.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.table.is_empty() {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        out.write_all(if self.is_terminal { CLEAR } else { b"" })?;
        out.write_all(&std::mem::take(&mut self.table))?;
        out.flush()
    }
}
