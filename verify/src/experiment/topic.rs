//! The messages of a topic, compared with the ground truth: [`compare_topic`].

mod found;
mod outcome;

use std::collections::{BTreeMap, BTreeSet};

use rivulet_core::error::Result;
use rivulet_core::topic_source::{FetchedRecord, TopicSource};

use self::found::FoundExperiment;
use self::outcome::Outcome;
use super::difference::{Findings, TruthDifference, TruthDifferenceKind as Kind, TruthPlace};
use super::log::{LoggedExperiment, SensorValue, TruthLog};
use super::message::{Event, Measured, Message};
use super::options::TruthOptions;
use super::report::{TruthReport, TruthRow};

/// Compares a topic with what the log says. The log must be read
/// [with values](super::TruthLogReader::with_values), or the single values are not compared.
///
/// # Errors
/// Those of [`TopicSource::read`].
pub fn compare_topic(
    log: TruthLog,
    topic: &str,
    options: TruthOptions,
    topics: &mut dyn TopicSource,
) -> Result<TruthReport> {
    let mut comparison = Comparison {
        found: BTreeMap::new(),
        others: BTreeSet::new(),
        other_messages: 0,
        findings: Findings::new(options.show),
        log,
    };
    topics.read(topic, &mut |record| comparison.add(record))?;
    let mut report = comparison.report(topic, options.tolerance);
    if topics.is_trimmed(topic) {
        let note = "the first records of the topic were deleted: what was in them is missing";
        report.notes.push(note.to_owned());
    }
    Ok(report)
}

struct Comparison {
    log: TruthLog,
    /// By the id of the experiment.
    found: BTreeMap<String, FoundExperiment>,
    /// The experiments that are only in the topic.
    others: BTreeSet<String>,
    /// How many messages are about something else.
    other_messages: u64,
    findings: Findings,
}

/// The place of a record.
fn place(record: &FetchedRecord<'_>) -> TruthPlace {
    TruthPlace::Record {
        partition: record.partition,
        offset: record.offset,
    }
}

impl Comparison {
    fn add(&mut self, record: &FetchedRecord<'_>) {
        let message = match Message::decode(record) {
            Ok(Some(message)) => message,
            Ok(None) => {
                self.other_messages += 1;
                return;
            }
            Err(why) => {
                let mut difference = TruthDifference::new(Kind::Undecodable, why);
                let key = record.key.and_then(|key| str::from_utf8(key).ok());
                if let Some(key) = key.filter(|key| self.log.experiments.contains_key(*key)) {
                    difference = difference.experiment(key);
                }
                self.findings.add(difference.at(place(record)));
                return;
            }
        };
        let id = &message.experiment;
        let Some(logged) = self.log.experiments.get_mut(id) else {
            if !self.log.left_out.contains_key(id) {
                self.others.insert(message.experiment);
            }
            return;
        };
        if record.key != Some(id.as_bytes()) {
            let why = "the key of the record is not its experiment";
            let difference = TruthDifference::new(Kind::WrongKey, why).experiment(id);
            self.findings.add(difference.at(place(record)));
        }
        if !self.found.contains_key(id) {
            let found = FoundExperiment::new(logged.measurements.len());
            self.found.insert(id.clone(), found);
        }
        let Some(found) = self.found.get_mut(id) else {
            return;
        };
        found.see_partition(record.partition);
        let difference = match message.event {
            Event::Stage(stage, configured) => found.begin(stage, configured, place(record)),
            Event::Measured(measured) => add_value(logged, found, &measured, record),
        };
        if let Some(difference) = difference {
            self.findings
                .add(difference.experiment(id).at(place(record)));
        }
    }

    fn report(mut self, topic: &str, tolerance: f64) -> TruthReport {
        let mut rows = Vec::new();
        for (id, logged) in &mut self.log.experiments {
            rows.push(match self.found.remove(id) {
                Some(found) => {
                    let outcome = Outcome::new(id, logged, found, tolerance);
                    outcome.compare(self.findings.about(id))
                }
                None => absent(id, logged, topic, &mut self.findings),
            });
        }
        let mut report = TruthReport::new(&format!("the topic {topic}"), rows, self.findings);
        for (count, what) in [
            (
                self.others.len() as u64,
                "experiments that are only in the topic",
            ),
            (self.other_messages, "messages about something else"),
            (
                self.log.left_out.len() as u64,
                "experiments of the log that were left out",
            ),
        ] {
            if count > 0 {
                report.notes.push(format!("{what}: {count}"));
            }
        }
        report
    }
}

/// An experiment of which the topic has nothing: one difference, whatever the log says of it.
fn absent(id: &str, logged: &LoggedExperiment, topic: &str, findings: &mut Findings) -> TruthRow {
    let why = format!("nothing of it is in the topic {topic}");
    findings.add(TruthDifference::new(Kind::Missing, why).experiment(id));
    let mut row = TruthRow::new(id, logged.measurements.len());
    let averages = row.averages.get_or_insert_default();
    averages.missing = logged.measurements.len() as u64;
    for measurement in &logged.measurements {
        let event = measurement.events.first().map(|(_, event)| *event);
        row.judge(event, None);
    }
    row
}

/// Adds what a sensor has measured. Returns how it differs from the log by itself.
fn add_value(
    logged: &mut LoggedExperiment,
    found: &mut FoundExperiment,
    measured: &Measured,
    record: &FetchedRecord<'_>,
) -> Option<TruthDifference> {
    let differs = |kind: Kind, why: String| {
        let difference = TruthDifference::new(kind, why).measurement(&measured.measurement);
        Some(difference.sensor(&measured.sensor))
    };
    let Some(index) = logged.find(&measured.measurement) else {
        found.has_extra = true;
        let is_new = found.extra.insert(measured.measurement.clone());
        let why = "the measurement is not in the log";
        let difference = TruthDifference::new(Kind::Extra, why).measurement(&measured.measurement);
        return is_new.then_some(difference);
    };
    let sensor = logged.sensors.id(&measured.sensor);
    let measurement = &mut logged.measurements[index];
    let tells_values = measurement
        .values
        .first()
        .is_some_and(|value| value.logged.is_some());
    let sum = &mut found.measurements[index];
    let expected = match measurement.value(sensor) {
        Ok(value) if value.is_found => {
            return differs(Kind::Doubled, "its message is there twice".to_owned());
        }
        Ok(value) => {
            value.is_found = true;
            value.logged
        }
        Err(_) if tells_values => {
            sum.is_wrong = true;
            return differs(Kind::Extra, "the log has no such sensor there".to_owned());
        }
        Err(at) => {
            let value = SensorValue {
                sensor,
                logged: None,
                is_found: true,
            };
            measurement.values.insert(at, value);
            None
        }
    };
    let stage = logged.stage(&logged.measurements[index]);
    found.see_measurement(index, stage, place(record));
    let sum = &mut found.measurements[index];
    sum.add(measured.temperature);
    let value = measured.temperature;
    if let Some(expected) = expected.filter(|expected| *expected != value) {
        sum.is_wrong = true;
        return differs(
            Kind::WrongValue,
            format!("expected {expected}, found {value}"),
        );
    }
    let first = sum.first.get_or_insert_with(|| found::shared(measured));
    let (timestamp, hash) = found::shared(measured);
    let why = "differs from the first message of its measurement";
    if first.0 != timestamp {
        return differs(Kind::WrongValue, format!("its timestamp {timestamp} {why}"));
    }
    if first.1 != hash {
        return differs(Kind::WrongValue, format!("its measurement_hash {why}"));
    }
    None
}
