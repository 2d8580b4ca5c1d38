//! Ground truth logs: [`TruthLogReader`] reads them, [`TruthLog`] is what they say.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, Read};
use std::rc::Rc;

use jiff::Timestamp;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::text::plain;

use super::difference::{TruthDifference, TruthDifferenceKind};
use super::life_cycle::LifeCycle;
use super::line::{Claim, LogLine, Part};
use super::verdict::Verdict;
use crate::stream::Sensors;

/// The longest line in bytes.
const LONGEST: u64 = 64 * 1024;
/// How many warnings are kept.
const MOST: u64 = 10;

/// What ground truth logs say about experiments.
#[derive(Debug, Default)]
pub struct TruthLog {
    pub(super) experiments: BTreeMap<String, LoggedExperiment>,
    /// The experiments that were left out.
    pub(super) left_out: BTreeMap<String, LoggedExperiment>,
}

/// An experiment, as the log tells it.
#[derive(Debug, Default)]
pub(super) struct LoggedExperiment {
    /// In the order in which each was first named.
    pub(super) stages: Vec<LoggedStage>,
    /// In the order of their stages, and of the log in each.
    pub(super) measurements: Vec<LoggedMeasurement>,
    pub(super) sensors: Sensors,
    places: HashMap<Rc<str>, usize>,
    lines: u64,
}

/// The beginning of a stage.
#[derive(Debug)]
pub(super) struct LoggedStage {
    pub(super) stage: LifeCycle,
    pub(super) timestamp: Box<str>,
    time: Timestamp,
}

/// A measurement, as the log tells it.
#[derive(Debug)]
pub(super) struct LoggedMeasurement {
    pub(super) id: Rc<str>,
    /// The index of its stage, from 1; 0 if no stage was named before.
    pub(super) stage: usize,
    /// The number of its first line, among those of the experiment.
    line: u64,
    pub(super) timestamp: Box<str>,
    pub(super) average: Option<f32>,
    /// Each with its timestamp.
    pub(super) events: Vec<(Box<str>, Verdict)>,
    /// By sensor, in ascending order.
    pub(super) values: Vec<SensorValue>,
}

/// What a sensor has measured. There can be millions of them, so it is small.
#[derive(Debug, Clone, Copy)]
pub(super) struct SensorValue {
    pub(super) sensor: u32,
    /// `None` if the log does not say.
    pub(super) logged: Option<f32>,
    /// Whether its message was found.
    pub(super) is_found: bool,
}

impl LoggedMeasurement {
    /// The value of a sensor, or where it would be.
    pub(super) fn value(&mut self, sensor: u32) -> std::result::Result<&mut SensorValue, usize> {
        let found = self
            .values
            .binary_search_by_key(&sensor, |value| value.sensor);
        found.map(|place| &mut self.values[place])
    }
}

impl LoggedExperiment {
    /// Adds a line. A producer that was killed may tell the same again after its restart: of a
    /// stage the last line counts, at the first one's place, and of a measurement the last one.
    fn add(&mut self, line: LogLine<'_>, keep_values: bool) -> std::result::Result<(), String> {
        self.lines += 1;
        match line.claim {
            Claim::Stage(stage) => {
                let time = line.time()?;
                let timestamp = line.timestamp.into();
                let told = LoggedStage {
                    stage,
                    timestamp,
                    time,
                };
                match self.stages.iter_mut().find(|known| known.stage == stage) {
                    Some(known) => *known = told,
                    None => self.stages.push(told),
                }
            }
            Claim::Measurement { id, part } => {
                let place = self.place(&id, &line.timestamp);
                let sensors = &mut self.sensors;
                let measurement = &mut self.measurements[place];
                match part {
                    Part::Average(average) => {
                        measurement.line = self.lines;
                        measurement.timestamp = line.timestamp.into();
                        measurement.average = Some(average);
                        measurement.events.clear();
                        measurement.values.clear();
                    }
                    Part::Event(event) => {
                        measurement.events.push((line.timestamp.into(), event));
                    }
                    Part::Sensor { sensor, value } if keep_values => {
                        let sensor = sensors.id(&sensor);
                        match measurement.value(sensor) {
                            Ok(known) => known.logged = Some(value),
                            Err(at) => {
                                let value = SensorValue {
                                    sensor,
                                    logged: Some(value),
                                    is_found: false,
                                };
                                measurement.values.insert(at, value);
                            }
                        }
                    }
                    Part::Sensor { .. } => (),
                }
            }
        }
        Ok(())
    }

    /// Where a measurement is. A new one belongs to the stage that was named last.
    fn place(&mut self, id: &str, timestamp: &str) -> usize {
        if let Some(place) = self.places.get(id) {
            return *place;
        }
        // The one before it is complete.
        if let Some(last) = self.measurements.last_mut() {
            last.values.shrink_to_fit();
        }
        let id: Rc<str> = id.into();
        let place = self.measurements.len();
        self.places.insert(id.clone(), place);
        self.measurements.push(LoggedMeasurement {
            id,
            stage: self.stages.len(),
            line: self.lines,
            timestamp: timestamp.into(),
            average: None,
            events: Vec::new(),
            values: Vec::new(),
        });
        place
    }

    fn finish(&mut self) {
        self.measurements
            .sort_by_key(|measurement| (measurement.stage, measurement.line));
        for (measurement, place) in self.measurements.iter().zip(0..) {
            self.places.insert(measurement.id.clone(), place);
        }
    }

    /// The place of the measurement with this id.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// The stage in which a measurement was made; `None` if no stage was named before it.
    pub(super) fn stage(&self, measurement: &LoggedMeasurement) -> Option<LifeCycle> {
        let stage = self.stages.get(measurement.stage.checked_sub(1)?)?;
        Some(stage.stage)
    }

    /// Whether the producer has come to its end.
    fn is_terminated(&self) -> bool {
        self.stages
            .iter()
            .any(|stage| stage.stage == LifeCycle::Terminated)
    }

    /// How to name what is only in the log. `is_last` if nothing of the experiment follows it
    /// elsewhere.
    pub(super) fn lacking(&self, is_last: bool, what: &str) -> TruthDifference {
        if is_last && !self.is_terminated() {
            let why = format!(
                "{what}; the producer was stopped before it was committed, and sends it when it \
                 is started again"
            );
            TruthDifference::new(TruthDifferenceKind::NotCommitted, why)
        } else {
            TruthDifference::new(TruthDifferenceKind::Missing, what)
        }
    }

    fn has_stage_since(&self, since: Timestamp) -> bool {
        self.stages.iter().any(|stage| stage.time >= since)
    }
}

/// Reads ground truth logs, one after the other.
#[derive(Debug, Default)]
pub struct TruthLogReader {
    experiments: BTreeMap<String, LoggedExperiment>,
    keep_values: bool,
    warnings: Vec<String>,
    warned: u64,
}

impl TruthLogReader {
    /// A reader that keeps stages, averages and range events.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps what each sensor has measured, too.
    #[must_use]
    pub fn with_values(mut self) -> Self {
        self.keep_values = true;
        self
    }

    /// Reads a log to its end. `name` is that of the file. What is no line of a log becomes a
    /// warning, and the rest counts.
    ///
    /// # Errors
    /// If it cannot be read, or no line of it is one of a ground truth log.
    pub fn read(&mut self, name: &str, input: impl BufRead) -> Result<()> {
        let (mut has_line, mut first_wrong) = (false, None);
        each_line(name, input, &mut |number, line, is_ended| {
            let told = line.and_then(|line| match LogLine::parse(line)? {
                Some(line) => self.add(line),
                None => Ok(()),
            });
            match told {
                Ok(()) => has_line = true,
                Err(why) => {
                    let warning = if is_ended {
                        format!("{name}:{number}: no line of a ground truth log: {why}")
                    } else {
                        format!("{name}:{number}: the last line is cut off: {why}")
                    };
                    self.warn(&warning);
                    first_wrong.get_or_insert(warning);
                }
            }
            false
        })?;
        match first_wrong {
            Some(first) if !has_line => Err(Error::new("reading a ground truth log", first)
                .of_kind(Kind::Corrupt)
                .help("name the log of a producer of experiments: NAME.YYYY-MM-DD")),
            None if !has_line => {
                self.warn(&format!("{name}: it is empty"));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// When the first line of a log was written. `None` if no line says that.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn first_time(name: &str, input: impl BufRead) -> Result<Option<Timestamp>> {
        let mut first = None;
        each_line(name, input, &mut |_, line, _| {
            let parsed = line.and_then(LogLine::parse).ok().flatten();
            first = parsed.and_then(|line| line.time().ok());
            first.is_some()
        })?;
        Ok(first)
    }

    fn add(&mut self, line: LogLine<'_>) -> std::result::Result<(), String> {
        if !self.experiments.contains_key(&*line.experiment) {
            self.experiments
                .insert(line.experiment.to_string(), LoggedExperiment::default());
        }
        match self.experiments.get_mut(&*line.experiment) {
            Some(experiment) => experiment.add(line, self.keep_values),
            None => Ok(()),
        }
    }

    fn warn(&mut self, warning: &str) {
        self.warned += 1;
        if self.warned <= MOST {
            self.warnings.push(plain(warning).into_owned());
        }
    }

    /// What was no line of a log, each with its file and line.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        if self.warned > MOST {
            warnings.push(format!("{} more lines like these", self.warned - MOST));
        }
        warnings
    }

    /// What the logs say about the experiments that have a stage line at `since` or later, or about
    /// all.
    #[must_use]
    pub fn finish(self, since: Option<Timestamp>) -> TruthLog {
        let mut log = TruthLog::default();
        for (id, mut experiment) in self.experiments {
            experiment.finish();
            let is_chosen = since.is_none_or(|since| experiment.has_stage_since(since));
            let list = if is_chosen {
                &mut log.experiments
            } else {
                &mut log.left_out
            };
            list.insert(id, experiment);
        }
        log
    }
}

impl TruthLog {
    /// How many experiments it has, without those that were left out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.experiments.len()
    }

    /// Whether it has no experiment.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.experiments.is_empty()
    }
}

/// What to do with a line: its number, the line or why it is none, and whether it has a line end.
/// Whether that was enough.
type EachLine<'e> = &'e mut dyn FnMut(u64, std::result::Result<&[u8], String>, bool) -> bool;

/// Calls `each` for each line that is not blank.
fn each_line(name: &str, mut input: impl BufRead, each: EachLine<'_>) -> Result<()> {
    let mut line = Vec::new();
    let mut read = |line: &mut Vec<u8>| {
        line.clear();
        let read = input.by_ref().take(LONGEST).read_until(b'\n', line);
        read.map_err(|error| Error::caused_by(format!("reading {name}"), error))
    };
    for number in 1.. {
        if read(&mut line)? == 0 {
            break;
        }
        let is_long = line.len() as u64 == LONGEST && !line.ends_with(b"\n");
        while is_long && !line.ends_with(b"\n") && read(&mut line)? > 0 {}
        let is_ended = line.ends_with(b"\n");
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let text = if is_long {
            Err(format!("it is longer than {LONGEST} bytes"))
        } else {
            Ok(text)
        };
        if each(number, text, is_ended) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
