//! `lines`: standard input, one reading a line.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::component::Component;
use rivulet_core::error::{Error, Result as OrError};
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::unit::Unit;
use rivulet_formats::catalog::json;
use serde::Deserialize;
use serde_json::Value;

use super::{SourceContext, SourceSettings};
use crate::line_reader::{BLOCK, LineReader, read_some};
use crate::row::number;
use crate::sequences::Sequences;
use crate::setting::{SensorName, celsius, now};
use crate::source::{Next, Source};

/// How many blocks to read ahead at most.
const AHEAD: usize = 4;

/// Lines of standard input. A line is one of
///
/// - `21.5`: a value of `sensor`, measured now,
/// - `kitchen 21.5`: a value of another sensor, measured now,
/// - `{"sensor":"kitchen","seq":7,…}`: a reading in JSON, sent as it is.
///
/// Values without a unit are in `unit`. Their sequence numbers count up for each sensor, also
/// across restarts. A reading in JSON keeps its own number. Blank lines are skipped.
///
/// A pipe cannot be read twice: if the process dies, lines that are read and not committed are
/// lost, unless the stage has a spool.
///
/// ```
/// use std::time::Duration;
///
/// use rivulet_producer::catalog::lines::Lines;
/// use rivulet_producer::source::{Next, Source};
/// use rivulet_pipeline::ComponentConfig;
///
/// let config = ComponentConfig::parse("lines = { sensor = \"hall\" }").unwrap();
/// let lines: Lines = config.settings().unwrap();
/// let mut source = lines.read_from(&b"20\nkitchen 21.5\n"[..])?;
/// let mut seen = Vec::new();
/// while let Next::Measured(reading) = source.next(Duration::from_secs(5))? {
///     seen.push(format!("{} {}", reading.sensor, reading.value));
/// }
/// assert_eq!(seen, ["hall 20", "kitchen 21.5"]);
/// # Ok::<(), rivulet_core::error::Error>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Lines {
    /// The unit of numbers that have none.
    #[serde(default = "celsius")]
    unit: Unit,
    /// The sensor of numbers that have none; `stdin` unless it is set.
    #[serde(default = "stdin")]
    sensor: SensorName,
}

fn stdin() -> SensorName {
    SensorName("stdin".to_owned())
}

impl Component for Lines {
    const NAME: &'static str = "lines";
    const ABOUT: &'static str =
        "standard input: a number, `SENSOR NUMBER` or a reading in JSON on each line";
    const EXAMPLE: &'static str = "lines = { unit = \"celsius\", sensor = \"kitchen\" }";
}

impl SourceSettings for Lines {
    fn open(&self, _: &SourceContext) -> OrError<Box<dyn Source>> {
        Ok(Box::new(self.read_from(io::stdin())?))
    }

    fn is_live(&self) -> bool {
        true
    }
}

impl Lines {
    /// The source that reads these lines. A thread reads a few blocks ahead, because a read may
    /// never return.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn read_from(&self, from: impl Read + Send + 'static) -> OrError<LinesSource> {
        let (to, blocks) = sync_channel(AHEAD);
        thread::Builder::new()
            .name("lines".into())
            .spawn(move || read_ahead(from, &to))
            .map_err(|error| Error::new("starting to read standard input", error))?;
        let (settings, lines, sequences) =
            (self.clone(), LineReader::default(), Sequences::default());
        Ok(LinesSource {
            settings,
            blocks,
            lines,
            sequences,
        })
    }
}

/// Sends block after block until the end, or until the receiver is gone.
fn read_ahead(mut from: impl Read, to: &SyncSender<io::Result<Vec<u8>>>) {
    let mut block = vec![0; BLOCK];
    loop {
        let read = read_some(&mut from, &mut block).map(|read| block[..read].to_vec());
        let last = read.as_ref().map_or(true, Vec::is_empty);
        if to.send(read).is_err() || last {
            return;
        }
    }
}

/// See [`Lines`].
#[derive(Debug)]
pub struct LinesSource {
    settings: Lines,
    blocks: Receiver<io::Result<Vec<u8>>>,
    lines: LineReader,
    sequences: Sequences,
}

impl LinesSource {
    /// Reads one more block. Returns `false` if none comes before the deadline.
    fn fill(&mut self, deadline: Instant) -> OrError<bool> {
        let failed = |error| Error::new("reading standard input", error);
        match self
            .blocks
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            Ok(block) => self
                .lines
                .fill(&mut &block.map_err(failed)?[..])
                .map_err(failed)?,
            Err(RecvTimeoutError::Timeout) => return Ok(false),
            // The thread has ended. A read error was returned before.
            Err(RecvTimeoutError::Disconnected) => {
                self.lines.fill(&mut io::empty()).map_err(failed)?;
            }
        }
        Ok(true)
    }
}

impl Source for LinesSource {
    fn next(&mut self, wait: Duration) -> OrError<Next<'_>> {
        let mut deadline = None;
        loop {
            if self.lines.advance() {
                if self.lines.is_blank() {
                    continue;
                }
                break;
            }
            if self.lines.has_ended() {
                return Ok(Next::End);
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + wait);
            if !self.fill(deadline)? {
                return Ok(Next::NotYet);
            }
        }
        let read = self
            .lines
            .whole()
            .and_then(|line| read(line, &self.settings, &mut self.sequences));
        Ok(read.unwrap_or_else(|invalid| Next::Bad {
            bytes: self.lines.line(),
            place: format!("standard input line {}", self.lines.number()),
            invalid,
        }))
    }

    fn position(&self) -> Value {
        self.sequences.position()
    }

    fn resume(&mut self, position: &Value) -> OrError<()> {
        self.sequences = Sequences::at(position)?;
        Ok(())
    }
}

/// Reads one line.
fn read<'a>(
    line: &'a [u8],
    settings: &'a Lines,
    sequences: &mut Sequences,
) -> Result<Next<'a>, InvalidReading> {
    let line = line.trim_ascii();
    if line.starts_with(b"{") {
        return json::parse(line).map(Next::Reading);
    }
    let text = str::from_utf8(line)
        .map_err(|error| InvalidReading::new("not-utf-8", error.to_string()))?;
    let mut words = text.split_whitespace();
    let (sensor, value) = match (words.next(), words.next(), words.next()) {
        (Some(value), None, _) => (settings.sensor.0.as_str(), value),
        (Some(sensor), Some(value), None) => (sensor, value),
        _ => {
            let detail =
                "more than two words; a line is a number, `SENSOR NUMBER` or a reading in JSON";
            return Err(InvalidReading::new("not-a-reading", detail));
        }
    };
    let value = number(value)?;
    let seq = sequences.take(sensor)?;
    Ok(Next::Measured(Reading {
        sensor: sensor.into(),
        seq,
        time: now(),
        value,
        unit: Some(settings.unit),
    }))
}

#[cfg(test)]
mod tests;
