//! The ground truth: what the experiments really were, as a log: [`TruthLogWriter`].

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use rivulet_core::error::{Error, Result};
use serde::Serialize;

use super::life_cycle::LifeCycle;
use super::range::RangeEvent;

const TARGET: &str = "rivulet_producer::experiment";
/// How many bytes are read at once to find the last whole line.
const CHUNK: u64 = 64 * 1024;

/// Writes what happens in experiments, as JSON lines. Each day (UTC) has a file of its own, whose
/// name ends with the date.
///
/// An event is written before its first message is sent, so a message is in the log whatever dies.
/// The log is not synced: after a power cut its last seconds can be missing.
#[derive(Debug)]
pub struct TruthLogWriter {
    path: PathBuf,
    day: Date,
    file: File,
    lines: Vec<u8>,
}

/// One line. The fields are those of `tracing`'s JSON.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: &'a str,
    level: &'static str,
    fields: Fields<'a>,
    target: &'static str,
    span: Span<'a>,
    spans: &'a [Span<'a>],
}

#[derive(Serialize)]
#[serde(untagged)]
enum Fields<'a> {
    Stage {
        stage: &'static str,
        #[serde(flatten)]
        elapsed: Option<StageTimes>,
    },
    Average {
        avg_temperature: f32,
    },
    Range {
        range_event: RangeEvent,
    },
    Sensor {
        sensor: &'a str,
        temperature: f32,
    },
}

#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
enum Span<'a> {
    Experiment {
        experiment_id: &'a str,
        name: &'static str,
    },
    Measurement {
        measurement_id: &'a str,
        name: &'static str,
    },
}

/// How long an experiment and its stages took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StageTimes {
    /// All of it.
    pub elapsed: i64,
    /// The ramp.
    pub stabilization: i64,
    /// The walk.
    pub carry_out: i64,
}

impl TruthLogWriter {
    /// Opens today's file, and creates it if it does not exist.
    ///
    /// # Errors
    /// If that is not possible.
    pub fn open(path: &Path) -> Result<Self> {
        let day = today();
        Ok(TruthLogWriter {
            file: open(path, day)?,
            path: path.to_owned(),
            day,
            lines: Vec::new(),
        })
    }

    /// An experiment enters a stage. `elapsed` is for the last one.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn stage(
        &mut self,
        experiment: &LifeCycle,
        stage: &'static str,
        elapsed: Option<StageTimes>,
    ) -> Result<()> {
        let span = Span::Experiment {
            experiment_id: experiment.id(),
            name: "experiment",
        };
        let fields = Fields::Stage { stage, elapsed };
        self.push(&now(), "INFO", fields, &[span]);
        self.write()
    }

    /// The sensors of an experiment have measured.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn measurement(&mut self, experiment: &LifeCycle) -> Result<()> {
        let Some(measurement) = experiment.measurement() else {
            return Ok(());
        };
        let spans = [
            Span::Experiment {
                experiment_id: experiment.id(),
                name: "experiment",
            },
            Span::Measurement {
                measurement_id: &measurement.id,
                name: "measurement",
            },
        ];
        let now = now();
        let avg_temperature = measurement.temperature;
        self.push(&now, "DEBUG", Fields::Average { avg_temperature }, &spans);
        if let Some(range_event) = measurement.event {
            self.push(&now, "DEBUG", Fields::Range { range_event }, &spans);
        }
        for (sensor, temperature) in experiment.temperatures() {
            let fields = Fields::Sensor {
                sensor,
                temperature,
            };
            self.push(&now, "DEBUG", fields, &spans);
        }
        self.write()
    }

    fn push(&mut self, now: &str, level: &'static str, fields: Fields<'_>, spans: &[Span<'_>]) {
        let Some(span) = spans.last().copied() else {
            return;
        };
        let line = Line {
            timestamp: now,
            level,
            fields,
            target: TARGET,
            span,
            spans,
        };
        // Writing text and numbers to memory cannot fail.
        let _ = serde_json::to_writer(&mut self.lines, &line);
        self.lines.push(b'\n');
    }

    /// Writes all lines at once, so that a process that is killed leaves whole lines.
    fn write(&mut self) -> Result<()> {
        let day = today();
        if day != self.day {
            self.file = open(&self.path, day)?;
            self.day = day;
        }
        let written = self.file.write_all(&self.lines);
        self.lines.clear();
        written.map_err(|error| failed("writing", &self.path, day, error))
    }
}

fn failed(doing: &str, path: &Path, day: Date, error: io::Error) -> Error {
    let file = file_of(path, day);
    Error::caused_by(
        format!("{doing} the ground truth log {}", file.display()),
        error,
    )
    .help("choose a folder that exists and has room, or leave the log out")
}

fn file_of(path: &Path, day: Date) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{day}"));
    name.into()
}

fn open(path: &Path, day: Date) -> Result<File> {
    let file = file_of(path, day);
    let opened = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(&file)
        .and_then(|mut opened| {
            let cut = cut_last_line(&mut opened)?;
            if cut > 0 {
                tracing::warn!(file = %file.display(), bytes = cut, "cut off an unfinished line");
            }
            Ok(opened)
        });
    opened.map_err(|error| failed("opening", path, day, error))
}

/// Cuts off what follows the last line end: a power cut can leave half a line. Returns how many
/// bytes that were.
fn cut_last_line(file: &mut File) -> io::Result<u64> {
    let length = file.metadata()?.len();
    let mut end = length;
    let mut chunk = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        file.seek(SeekFrom::Start(start))?;
        chunk.clear();
        file.take(end - start).read_to_end(&mut chunk)?;
        if let Some(at) = chunk.iter().rposition(|byte| *byte == b'\n') {
            end = start + at as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(length - end)
}

fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// Now, as `tracing` writes it.
fn now() -> String {
    Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00")
        .to_string()
}
