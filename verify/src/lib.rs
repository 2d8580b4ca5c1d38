//! The comparison of every topic with what must be in it.
//!
//! [`verify`] reads the topics that producers or other programs write. It computes with plain,
//! naive code what every operator of the pipeline must have made of them, and compares that with
//! the output topics. The expected output of a stage is computed from the *expected* output of the
//! stage before it, never from the actual one. A wrong stage therefore shows in its own topic and
//! in all topics after it. Readings that a stage must have rejected as invalid are counted and
//! compared with its dead letters.
//!
//! A dead letter that was replayed or dropped (`rivulet dlq`) is resolved: neither it nor its
//! record counts for the stage any more. A replayed record is in its topic a second time and counts
//! like any other record. If it is invalid again, there must be another dead letter; if it is
//! processed, its result must be there. In a topic that the pipeline itself writes, the position of
//! a replayed record is unknown. The readings of its sensor are compared without their order there.
//!
//! Each change of a stage's settings that kept or reset its state (`rivulet state`) is recorded in
//! its dead-letter topic. Readings below the recorded offsets are processed with the old settings.
//! The input topic itself shows how many readings those are. Nothing can be verified if the topic
//! does not hold what it must, or if its first records were deleted.
//!
//! If retention has deleted the first records of a topic, their results cannot be computed. Those
//! results are counted apart and accepted as found, so that what the next stages make of them is
//! verified. A stage with state is verified again as soon as its state no longer depends on deleted
//! records: an average once its window is full, an EWMA after the first result that is found.
//! Readings that are missing because the beginning of a stage's own output was deleted are counted
//! apart, too.
//!
//! This crate shares nothing with `rivulet-operators`, and its decoding nothing with
//! `rivulet-core`. Run it when the consumer lag is zero: readings that are still in flight count as
//! missing.
//!
//! Where the order of readings is not defined (one sensor in several inputs or partitions, bare
//! numbers in several partitions), readings are compared without their order. What a stage with
//! state makes of such readings cannot be computed. Its output topics, and all topics after them,
//! are shown as not verifiable.
//!
//! A decoded record takes about 56 bytes of memory. It is held from the time its topic is read
//! until all stages that read the topic have been computed.

mod compare;
mod dead_letters;
mod decode;
mod diff;
mod history;
mod report;
mod sequence;
mod steps;
mod truth;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use rivulet_core::error::Result;
use rivulet_core::topic_source::{FetchedRecord, TopicSource};
use rivulet_pipeline::{Pipeline, Stage, StageKind, Topic};

use self::compare::{Compared, Comparison};
use self::dead_letters::StageDeadLetters;
use self::decode::{KnownFormat, is_json};
use self::diff::{FoundReading, TopicDiff};
use self::history::{SeenReading, StageHistory};
pub use self::report::{
    DifferenceKind, ReadingCounts, ReadingDifference, Report, TopicOutcome, TopicReport,
};
use self::steps::Step;
use self::truth::{Entry, Order, Output, Sensors, Stream};

/// What counts as an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// A reading that is found twice with the same value is counted apart and is no error: for
    /// pipelines that run `at-least-once`.
    pub allow_duplicates: bool,
}

/// The topics of a pipeline that [`verify`] reads, each once.
#[must_use]
pub fn topics(pipeline: &Pipeline) -> Vec<String> {
    Verification::new(pipeline, Options::default()).topics()
}

/// Compares all topics of a pipeline with what must be in them.
///
/// # Errors
/// Those of [`TopicSource::read`].
pub fn verify(
    pipeline: &Pipeline,
    options: Options,
    topics: &mut dyn TopicSource,
) -> Result<Report> {
    Verification::new(pipeline, options).run(topics)
}

/// What a reader of a topic must have read, or why that cannot be computed.
type Known = Result<Rc<Stream>, String>;

/// One verification of a pipeline.
struct Verification<'p> {
    pipeline: &'p Pipeline,
    options: Options,
    /// The stages that read topics, with their steps. Each comes after the stages that write its
    /// inputs.
    stages: Vec<(&'p Stage, Vec<Step>)>,
    /// The stages with a step that is not known here, and which.
    unknown: BTreeMap<&'p str, String>,
    sensors: Sensors,
    /// The topics that a later stage reads.
    known: BTreeMap<&'p str, Known>,
    /// The expected output of stages for topics that a later stage writes as well.
    pending: BTreeMap<&'p str, Vec<Result<Stream, String>>>,
    /// How many records are not readings, by source topic.
    undecodable: BTreeMap<&'p str, u64>,
    /// What was found in the outputs of stages whose inputs have lost their first records.
    found: BTreeMap<&'p str, Stream>,
    /// What the dead-letter topics hold, by stage.
    dead_letters: BTreeMap<&'p str, StageDeadLetters>,
    /// The steps of each stage, past and present. Removed when the stage is computed.
    histories: BTreeMap<&'p str, StageHistory>,
    report: Report,
}

impl<'p> Verification<'p> {
    fn new(pipeline: &'p Pipeline, options: Options) -> Self {
        let (mut stages, mut unknown) = (Vec::new(), BTreeMap::new());
        for stage in pipeline.in_order() {
            match &stage.kind {
                StageKind::Producer { .. } => (),
                StageKind::Operator { steps } => match Step::all(steps) {
                    Ok(steps) => stages.push((stage, steps)),
                    Err(reason) => {
                        stages.push((stage, Vec::new()));
                        unknown.insert(stage.name.as_str(), reason);
                    }
                },
                StageKind::Sink { .. } => stages.push((stage, Vec::new())),
            }
        }
        let report = Report {
            topics: Vec::new(),
            differences: Vec::new(),
            notes: Vec::new(),
            allow_duplicates: options.allow_duplicates,
        };
        Verification {
            pipeline,
            options,
            stages,
            unknown,
            sensors: Sensors::default(),
            known: BTreeMap::new(),
            pending: BTreeMap::new(),
            undecodable: BTreeMap::new(),
            found: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            histories: BTreeMap::new(),
            report,
        }
    }

    /// The topics that will be read, each once.
    fn topics(&self) -> Vec<String> {
        let mut topics: Vec<String> = Vec::new();
        for (stage, _) in &self.stages {
            let sources = stage.from.iter().filter(|topic| self.is_source(topic));
            let outputs = stage.to.iter().filter(|topic| !self.is_source(topic));
            topics.extend(
                sources
                    .chain(outputs)
                    .cloned()
                    .chain([stage.dead_letters()]),
            );
        }
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    fn run(mut self, topics: &mut dyn TopicSource) -> Result<Report> {
        // First, because replayed records are in topics that are compared before the stage itself.
        for (stage, steps) in &self.stages {
            let mut dead_letters =
                StageDeadLetters::read(self.pipeline, stage, &mut self.sensors, topics)?;
            let migrations = std::mem::take(&mut dead_letters.migrations);
            let mut history = StageHistory::new(steps.clone(), migrations).with(stage.rules);
            if history.expires() && stage.from.len() > 1 {
                history.mark_unverifiable(format!(
                    "{}, and the order of readings between its inputs is not defined",
                    history.reason()
                ));
            }
            self.report.notes.extend(
                history
                    .migrations()
                    .map(|migration| format!("`{}` {migration}", stage.name)),
            );
            if steps.iter().any(|step| step.is_stateful())
                && topics.is_trimmed(&stage.dead_letters())
            {
                self.report.notes.push(format!(
                    "the first records of {} were deleted: earlier changes of the settings of `{}` \
                     are unknown",
                    stage.dead_letters(),
                    stage.name
                ));
            }
            if dead_letters.limits() > 0 {
                self.report.notes.push(format!(
                    "`{}` routed {} records to its dead-letter topic because of limits that only \
                     the brokers or its process know: these dead letters are accepted as they are",
                    stage.name,
                    dead_letters.limits()
                ));
            }
            self.report
                .notes
                .extend(dead_letters.gaps.iter().map(|gap| {
                    format!(
                        "`{}` never read {}: they were deleted before it could",
                        stage.name, gap.place
                    )
                }));
            self.histories.insert(&stage.name, history);
            self.dead_letters.insert(&stage.name, dead_letters);
        }
        for index in 0..self.stages.len() {
            let stage = self.stages[index].0;
            for topic in &stage.from {
                if self.is_source(topic) {
                    self.read_source(topic, topics)?;
                }
            }
            let counts = match &stage.kind {
                StageKind::Operator { .. } => self.verify_operator(index, topics)?,
                StageKind::Producer { .. } | StageKind::Sink { .. } => {
                    Some(truth::StageCounts::default())
                }
            };
            if let Some(counts) = counts {
                let is_trimmed = topics.is_trimmed(&stage.dead_letters());
                self.compare_dead_letters(stage, counts, is_trimmed);
            }
            let later = &self.stages[index + 1..];
            self.known.retain(|topic, _| {
                later
                    .iter()
                    .any(|(stage, _)| stage.from.iter().any(|from| from == topic))
            });
        }
        if self.report.total().expected == 0 && self.report.unverified().is_none() {
            self.report
                .notes
                .push("there was nothing to compare: no stage must have written anything".into());
        }
        Ok(self.report)
    }

    /// Whether producers or other programs write the topic: its readings are not verified.
    fn is_source(&self, topic: &str) -> bool {
        self.pipeline.topic(topic).external
            || self
                .pipeline
                .writers(topic)
                .any(|stage| matches!(stage.kind, StageKind::Producer { .. }))
    }

    /// Whether a stage with an unknown step writes the topic.
    fn is_of_unknown_stage(&self, topic: &str) -> bool {
        self.pipeline
            .writers(topic)
            .any(|stage| self.unknown.contains_key(stage.name.as_str()))
    }

    fn read_source(&mut self, name: &'p str, topics: &mut dyn TopicSource) -> Result<()> {
        if self.known.contains_key(name) {
            return Ok(());
        }
        self.read_given(name, None, topics)
    }

    /// Reads a topic whose readings are taken as they are. `unverified` is why they are, if its
    /// writer is a stage.
    fn read_given(
        &mut self,
        name: &'p str,
        unverified: Option<String>,
        topics: &mut dyn TopicSource,
    ) -> Result<()> {
        let topic = self.pipeline.topic(name);
        if KnownFormat::of(topic).is_none() {
            let reason = unverified.unwrap_or_else(|| unknown_format(topic));
            self.known.insert(name, Err(reason.clone()));
            self.add(name, TopicOutcome::NotVerifiable { reason });
            return Ok(());
        }
        if unverified.is_some() && topics.partitions(name).is_none() {
            self.known.insert(name, Ok(Rc::new(Stream::new())));
            self.add_given(name, unverified, 0, 0);
            return Ok(());
        }
        let (mut stream, mut undecodable) = (Stream::new(), 0);
        let (mut partitions, mut keyed): (BTreeMap<u32, i32>, BTreeMap<u32, i32>) = <_>::default();
        let mut scattered = BTreeSet::new();
        let trimmed = trimmed(topics, name);
        let mut limited = self.limited(name);
        let mut readers = observing_readers(&mut self.histories, self.pipeline, name);
        let sensors = &mut self.sensors;
        topics.read(
            name,
            &mut |record| match limited.decode(topic, record, sensors) {
                Ok((named, entry)) => {
                    let sensor = sensors.id(&named);
                    let series = stream.series.entry(sensor).or_default();
                    if *partitions.entry(sensor).or_insert(record.partition) != record.partition {
                        series.order = Order::Undefined;
                    }
                    if is_json(topic) && record.key != Some(named.as_bytes()) {
                        stream
                            .wrong_keys
                            .entry(sensor)
                            .or_default()
                            .0
                            .push(series.entries.len());
                    } else if *keyed.entry(sensor).or_insert(record.partition) != record.partition {
                        scattered.insert(sensor);
                    }
                    series.entries.push(entry);
                    series.lost |= trimmed.contains_key(&record.partition);
                    let seen = seen((name, topic), (sensor, &named), &entry, record);
                    for history in &mut readers {
                        history.observe(seen);
                    }
                }
                Err(_) => undecodable += 1,
            },
        )?;
        stream.lost = !trimmed.is_empty();
        for (sensor, (_, order)) in &mut stream.wrong_keys {
            *order = if scattered.contains(sensor) {
                Order::Undefined
            } else {
                Order::Defined
            };
        }
        for history in readers
            .iter_mut()
            .filter(|history| history.expires() && stream.lost)
        {
            // The newest timestamp of the deleted records is unknown.
            history.mark_unverifiable(format!(
                "{}, and the first records of `{name}` were deleted",
                history.reason()
            ));
        }
        self.found_limited(name, limited);
        let mut in_several = stream
            .series
            .iter()
            .filter(|(_, series)| series.order == Order::Undefined);
        if let (true, Some((sensor, _))) = (is_json(topic), in_several.next()) {
            self.report.notes.push(format!(
                "the readings of {} sensors, such as \"{}\", are in several partitions of {name}, \
                 so their order is not defined; use the sensor as the key of the records",
                1 + in_several.count(),
                self.sensors.name(*sensor)
            ));
        }
        if is_json(topic) && !topic.external && unverified.is_none() {
            let replayed = self
                .dead_letters
                .values()
                .flat_map(|dead_letters| dead_letters.replayed(name));
            let gaps = sequence_gaps(&stream, replayed.map(|(sensor, _)| sensor));
            self.report
                .notes
                .extend(gaps.map(|gaps| format!("in {name}, {gaps}")));
        }
        self.note_trimmed(name, &trimmed);
        self.undecodable.insert(name, undecodable);
        self.add_given(name, unverified, stream.len() as u64, undecodable);
        self.known.insert(name, Ok(Rc::new(stream)));
        Ok(())
    }

    fn add_given(
        &mut self,
        name: &str,
        unverified: Option<String>,
        readings: u64,
        undecodable: u64,
    ) {
        let outcome = match unverified {
            Some(reason) => TopicOutcome::NotVerifiable { reason },
            None => TopicOutcome::Given {
                readings,
                undecodable,
            },
        };
        self.add(name, outcome);
    }

    /// Adds a note about the partitions of a topic whose first records were deleted.
    fn note_trimmed(&mut self, topic: &str, trimmed: &BTreeMap<i32, i64>) {
        if !trimmed.is_empty() {
            let begins = trimmed
                .iter()
                .map(|(partition, start)| format!("[{partition}] begins at offset {start}"));
            let begins = begins.collect::<Vec<_>>().join(", ");
            self.report.notes.push(format!(
                "the first records of {topic} were deleted: {begins}"
            ));
        }
    }

    /// Computes what an operator stage must have written, and compares the topics whose writers
    /// have all been computed. Returns the stage's other counts, if they can be computed.
    fn verify_operator(
        &mut self,
        index: usize,
        topics: &mut dyn TopicSource,
    ) -> Result<Option<truth::StageCounts>> {
        let stage = self.stages[index].0;
        let found = self.read_outputs(stage, topics)?;
        let output = self.process(stage, &found);
        let counts = output.as_ref().ok().map(|output| output.counts);
        let stream = output.map(|output| output.stream);
        for topic in &stage.to {
            let writers = self
                .pipeline
                .writers(topic)
                .filter(|stage| matches!(stage.kind, StageKind::Operator { .. }))
                .count();
            let pending = self.pending.entry(topic).or_default();
            pending.push(stream.clone());
            if pending.len() == writers {
                let streams = self.pending.remove(topic.as_str()).unwrap_or_default();
                self.compare(topic, streams, topics)?;
            }
        }
        Ok(counts)
    }

    /// Reads the outputs of a stage, if its inputs have lost readings. Returns all of them
    /// together.
    fn read_outputs(&mut self, stage: &'p Stage, topics: &mut dyn TopicSource) -> Result<Stream> {
        let mut all = Stream::new();
        let dead_letters = &self.dead_letters[stage.name.as_str()];
        let has_lost = stage.from.iter().any(|topic| {
            matches!(self.known.get(topic.as_str()), Some(Ok(stream))
                if stream.has_lost() || dead_letters.has_gap(topic))
        });
        if !has_lost {
            return Ok(all);
        }
        for name in &stage.to {
            let topic = self.pipeline.topic(name);
            if !is_json(topic) || self.is_source(name) || topics.partitions(name).is_none() {
                continue;
            }
            let (mut found, sensors) = (Stream::new(), &mut self.sensors);
            topics.read(name, &mut |record| {
                if let Ok((sensor, entry)) = decode::decode(topic, record) {
                    found
                        .series
                        .entry(sensors.id(&sensor))
                        .or_default()
                        .entries
                        .push(entry);
                }
            })?;
            for (sensor, series) in &found.series {
                all.series
                    .entry(*sensor)
                    .or_default()
                    .entries
                    .extend(&series.entries);
            }
            self.found.insert(name, found);
        }
        Ok(all)
    }

    fn process(&mut self, stage: &'p Stage, found: &Stream) -> Result<Output, String> {
        let mut history = self
            .histories
            .remove(stage.name.as_str())
            .unwrap_or_default();
        if let Some(reason) = self.unknown.get(stage.name.as_str()) {
            return Err(format!("`{}` writes it: {reason}", stage.name));
        }
        let dead_letters = &self.dead_letters[stage.name.as_str()];
        let mut known: Vec<(&str, Cow<'_, Stream>)> = Vec::new();
        let mut wrong_keys = 0;
        for topic in &stage.from {
            let Some(Ok(stream)) = self.known.get(topic.as_str()) else {
                return Err(format!("its input `{topic}` is not verifiable"));
            };
            let mut stream = dead_letters.without_resolved(topic, stream, &mut history);
            if history.requires_key() && !stream.wrong_keys.is_empty() {
                wrong_keys += stream.to_mut().drop_wrong_keys();
            }
            if dead_letters.has_gap(topic) {
                // It is unknown which of the deleted readings the stage has read.
                let stream = stream.to_mut();
                stream.lost = true;
                for series in stream
                    .series
                    .values_mut()
                    .filter(|series| series.deleted > 0)
                {
                    series.entries.drain(..series.deleted);
                    series.lost = true;
                }
            }
            known.push((topic, stream));
        }
        let inputs: Vec<(&str, &Stream)> = known
            .iter()
            .map(|(topic, stream)| (*topic, &**stream))
            .collect();
        let mut output = truth::process(&history, &inputs, found, &self.sensors)
            .map_err(|reason| format!("`{}` writes it: {reason}", stage.name))?;
        output.counts.dead_letters += wrong_keys;
        Ok(output)
    }

    fn compare(
        &mut self,
        name: &'p str,
        streams: Vec<Result<Stream, String>>,
        topics: &mut dyn TopicSource,
    ) -> Result<()> {
        if self.is_source(name) {
            let reason = "producers or other programs write it too, so what must be in it is \
                          unknown"
                .to_owned();
            self.add(name, TopicOutcome::NotVerifiable { reason });
            return Ok(());
        }
        let partitions = topics.partitions(name).unwrap_or_default();
        let mut expected = match self.expected(name, partitions, streams) {
            Ok(expected) => expected,
            Err(reason) if self.is_of_unknown_stage(name) => {
                // What the next stages make of it can be verified.
                return self.read_given(name, Some(reason), topics);
            }
            Err(reason) => {
                self.add(
                    name,
                    TopicOutcome::NotVerifiable {
                        reason: reason.clone(),
                    },
                );
                self.known.insert(name, Err(reason));
                return Ok(());
            }
        };
        let topic = self.pipeline.topic(name);
        let trimmed = trimmed(topics, name);
        self.note_trimmed(name, &trimmed);
        for (sensor, entry) in self
            .dead_letters
            .values()
            .flat_map(|dead_letters| dead_letters.replayed(name))
        {
            let series = expected.series.entry(sensor).or_default();
            series.entries.push(entry);
            series.order = Order::Undefined;
        }
        let mut limited = self.limited(name);
        let mut readers = observing_readers(&mut self.histories, self.pipeline, name);
        if !trimmed.is_empty() {
            for history in &mut readers {
                history.mark_unverifiable(format!(
                    "{}, and the first records of `{name}` were deleted",
                    history.reason()
                ));
            }
            if !expected.numbered {
                let reason = "its first records were deleted, and bare numbers do not show which \
                              they were"
                    .to_owned();
                self.add(name, TopicOutcome::NotVerifiable { reason });
                // What the next stages have read is known nevertheless.
                expected
                    .series
                    .values_mut()
                    .for_each(|series| series.deleted = series.entries.len());
                self.known.insert(name, Ok(Rc::new(expected)));
                return Ok(());
            }
        }
        let diff = TopicDiff::new(name, self.options.allow_duplicates);
        let mut comparison = Comparison::new(&expected, trimmed.keys().copied().collect(), diff);
        if partitions == 0 {
            self.report.notes.push(format!(
                "there is no topic {name}; `rivulet topics create` makes it"
            ));
        } else {
            let sensors = &mut self.sensors;
            topics.read(
                name,
                &mut |record| match limited.decode(topic, record, sensors) {
                    Ok((named, entry)) => {
                        let sensor = sensors.id(&named);
                        let found = FoundReading {
                            sensor,
                            entry,
                            partition: record.partition,
                            offset: record.offset,
                        };
                        comparison.found(found, sensors);
                        let seen = seen((name, topic), (sensor, &named), &entry, record);
                        for history in &mut readers {
                            history.observe(seen);
                        }
                    }
                    Err(why) => comparison.undecodable(record.partition, record.offset, why),
                },
            )?;
        }
        let Compared { diff, deleted } = comparison.finish(&self.sensors);
        if !diff.counts.is_clean() {
            // Which readings came before a change is counted in the topic as it is, and it is
            // wrong.
            for history in &mut readers {
                history.mark_unverifiable(format!(
                    "{}, and `{name}` does not hold what it must",
                    history.reason()
                ));
            }
        }
        self.found_limited(name, limited);
        self.add(name, TopicOutcome::Compared(diff.counts));
        self.report.differences.extend(diff.differences);
        expected.accept_compared(&deleted, !trimmed.is_empty());
        self.known.insert(name, Ok(Rc::new(expected)));
        Ok(())
    }

    /// What must be in a topic, from the expected output of its writers.
    ///
    /// # Errors
    /// Why it cannot be computed.
    fn expected(
        &mut self,
        name: &str,
        partitions: usize,
        streams: Vec<Result<Stream, String>>,
    ) -> Result<Stream, String> {
        let topic = self.pipeline.topic(name);
        let (mut expected, writers) = (Stream::new(), streams.len());
        for stream in streams {
            let stream = stream?;
            match KnownFormat::of(topic).ok_or_else(|| unknown_format(topic))? {
                KnownFormat::Json => expected.join(stream.with_unit(topic.unit)),
                KnownFormat::Number => {
                    expected.join(stream.into_numbers(partitions, topic.unit, &mut self.sensors));
                }
            }
        }
        let found = self.found.remove(name);
        if expected.has_lost() {
            if !expected.numbered {
                return Err(
                    "the first records of its input were deleted, and bare numbers do not show \
                     which results are theirs"
                        .to_owned(),
                );
            }
            if writers > 1 {
                return Err(
                    "several stages write it, and the first records of their inputs were deleted"
                        .to_owned(),
                );
            }
            expected.accept(&found.unwrap_or_else(Stream::new));
        }
        Ok(expected)
    }

    /// The records of a topic that are dead letters because of limits.
    fn limited(&self, name: &str) -> Limited<'p> {
        let mut limited = Limited::default();
        for (stage, dead_letters) in &self.dead_letters {
            for place in dead_letters.limited(name) {
                limited.places.entry(place).or_default().push(*stage);
            }
        }
        limited
    }

    fn found_limited(&mut self, name: &str, limited: Limited<'_>) {
        for (stage, reading) in limited.found {
            if let Some(dead_letters) = self.dead_letters.get_mut(stage) {
                dead_letters.found_limited(name, reading);
            }
        }
    }

    /// How many records of its source topics the stage cannot have decoded, without those that are
    /// resolved.
    fn undecodable(&self, stage: &Stage) -> u64 {
        let dead_letters = &self.dead_letters[stage.name.as_str()];
        let mut count = 0;
        for topic in &stage.from {
            let found = self.undecodable.get(topic.as_str()).copied();
            let found = found.unwrap_or_default();
            count += found.saturating_sub(dead_letters.resolved_undecodable(topic));
        }
        count
    }

    fn compare_dead_letters(
        &mut self,
        stage: &Stage,
        counts: truth::StageCounts,
        is_trimmed: bool,
    ) {
        let name = stage.dead_letters();
        let dead_letters = &self.dead_letters[stage.name.as_str()];
        let expected = counts.dead_letters + self.undecodable(stage);
        let found = dead_letters.unresolved;
        if expected == 0 && found == 0 {
            return;
        }
        // Those of deleted records, and of readings that may have been invalid.
        let mut deleted = 0;
        for topic in &stage.from {
            if matches!(self.known.get(topic.as_str()), Some(Ok(stream)) if stream.has_lost()) {
                deleted += dead_letters.deleted(topic);
            }
        }
        let surplus = found.saturating_sub(expected);
        let unverifiable = surplus.min(deleted + counts.unknown);
        let surplus = surplus - unverifiable;
        let (extra, duplicates) = if self.options.allow_duplicates && expected > 0 {
            (0, surplus)
        } else {
            (surplus, 0)
        };
        let missing = expected.saturating_sub(found);
        let (missing, deleted) = if is_trimmed {
            (0, missing)
        } else {
            (missing, 0)
        };
        let expected = expected - deleted;
        let dead_letters = ReadingCounts {
            expected,
            found,
            missing,
            extra,
            duplicates,
            unverifiable,
            deleted,
            ..ReadingCounts::default()
        };
        self.add(&name, TopicOutcome::DeadLetters(dead_letters));
    }

    fn add(&mut self, topic: &str, outcome: TopicOutcome) {
        self.report.topics.push(TopicReport {
            topic: topic.to_owned(),
            outcome,
        });
    }
}

fn unknown_format(topic: &Topic) -> String {
    format!("its format `{}` is not known here", topic.format.name())
}

/// The partitions of a topic whose first records were deleted, with their log start offsets.
fn trimmed(topics: &dyn TopicSource, name: &str) -> BTreeMap<i32, i64> {
    let count = i32::try_from(topics.partitions(name).unwrap_or_default()).unwrap_or_default();
    let starts = (0..count).map(|partition| (partition, topics.start(name, partition)));
    starts.filter(|(_, start)| *start > 0).collect()
}

/// The records of a topic that are dead letters because of limits, and their readings, once they
/// are read.
#[derive(Default)]
struct Limited<'p> {
    places: BTreeMap<(i32, i64), Vec<&'p str>>,
    found: Vec<(&'p str, Option<(u32, Entry)>)>,
}

impl Limited<'_> {
    /// Decodes a record of the topic.
    fn decode(
        &mut self,
        topic: &Topic,
        record: &FetchedRecord<'_>,
        sensors: &mut Sensors,
    ) -> std::result::Result<(String, Entry), String> {
        let decoded = decode::decode(topic, record);
        if let Some(stages) = self.places.get(&(record.partition, record.offset)) {
            let reading = decoded
                .as_ref()
                .ok()
                .map(|(sensor, entry)| (sensors.id(sensor), *entry));
            self.found
                .extend(stages.iter().map(|stage| (*stage, reading)));
        }
        decoded
    }
}

/// A reading at its position in an input.
fn seen<'s>(
    (name, topic): (&'s str, &Topic),
    sensor: (u32, &'s str),
    entry: &Entry,
    record: &FetchedRecord<'_>,
) -> SeenReading<'s> {
    let FetchedRecord {
        partition,
        offset,
        timestamp,
        ..
    } = *record;
    // No reading is newer than its record's timestamp: that is when it entered the pipeline.
    let time = if timestamp < 0 {
        entry.time
    } else {
        entry.time.min(timestamp)
    };
    let is_keyed = !is_json(topic) || record.key == Some(sensor.1.as_bytes());
    SeenReading {
        topic: name,
        sensor,
        partition,
        offset,
        time,
        is_keyed,
    }
}

/// The histories of the stages that read a topic and must observe its readings.
fn observing_readers<'c>(
    histories: &'c mut BTreeMap<&str, StageHistory>,
    pipeline: &Pipeline,
    topic: &str,
) -> Vec<&'c mut StageHistory> {
    let reads = |stage: &str| pipeline.readers(topic).any(|reader| reader.name == stage);
    histories
        .iter_mut()
        .filter(|(stage, history)| history.must_observe() && reads(stage))
        .map(|(_, history)| history)
        .collect()
}

/// Describes gaps and repeats in the sequence numbers of producers; `None` if there are none. The
/// numbers of a sensor go up by one. `replayed` has the sensor of each replayed reading: those
/// repeats are expected.
fn sequence_gaps(stream: &Stream, replayed: impl Iterator<Item = u32>) -> Option<String> {
    let mut expected: BTreeMap<u32, u64> = BTreeMap::new();
    replayed.for_each(|sensor| *expected.entry(sensor).or_default() += 1);
    let (mut missing, mut repeated, mut sensors) = (0, 0, 0);
    for (sensor, series) in &stream.series {
        let mut seqs: Vec<u64> = series.entries.iter().map(|entry| entry.seq).collect();
        seqs.sort_unstable();
        let (mut gap, mut again) = (0, 0);
        for pair in seqs.windows(2) {
            match pair[1] - pair[0] {
                0 => again += 1,
                step => gap += step - 1,
            }
        }
        again = u64::saturating_sub(again, expected.get(sensor).copied().unwrap_or_default());
        missing += gap;
        repeated += again;
        sensors += u64::from((gap, again) != (0, 0));
    }
    (sensors > 0).then(|| {
        format!(
            "{missing} sequence numbers are missing and {repeated} are repeated, of {sensors} \
             sensors"
        )
    })
}

#[cfg(test)]
mod tests;
