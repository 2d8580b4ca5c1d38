//! The truth: what must be in every topic, against what is in it.
//!
//! [`verify`] reads the topics that producers or others outside write, computes with plain naive
//! code what every operator of the pipeline must have made of them, and compares that with what its
//! output topics hold. The expected stream of a stage comes from the *expected* stream of its
//! input, never from the actual one, so that a wrong stage shows in its own topic and in all behind
//! it. Readings that a stage must have refused are counted and compared with its dead letters.
//!
//! A letter that was replayed or dropped (`rivulet dlq`) is settled: neither it nor the record that
//! it holds counts for the stage any more. A replayed record is in its topic once more, and that
//! one counts as any other: refused again, it must be a letter again; processed now, it must have
//! come out. Where in a topic that the pipeline itself writes replayed records stand, nobody can
//! say: of their sensors only what there is, is compared there.
//!
//! A stage whose settings were changed under its state (`rivulet state`) has a mark of that in its
//! dead-letter topic: readings below the offsets that it names go through the steps as they were.
//! How many those are, the topic itself tells; where it does not hold what it must, or its
//! beginning is gone, nobody can say.
//!
//! Where retention has deleted the beginning of a topic, nobody can say what must have come of it.
//! What came of it is counted apart and taken as it is found, so that what further stages make of
//! it is verified. A stage that remembers something is verified again as soon as nothing of that is
//! unknown: an average once its window is filled from what is there, an EWMA behind the first
//! result that is found. What must have been in the deleted beginning of a stage's own output is
//! counted apart, too.
//!
//! It shares nothing with the `operators` crate, nor the decoding with `stream`. Run it when the
//! pipeline has come to rest: what is still on its way counts as missing.
//!
//! Where the order of readings is not defined (one sensor in several inputs or partitions, bare
//! numbers in several partitions), only what there is can be compared. What a stage with a state
//! makes of such readings nobody can say: its topics, and all behind them, are shown as not
//! verifiable.
//!
//! A record, decoded, is some 32 bytes of memory, held from the topic that it comes into until all
//! stages that read the topic have been computed.

mod compare;
mod course;
mod decode;
mod letters;
mod report;
mod sequence;
mod steps;
mod tally;
mod truth;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use stream::error::Result;
use stream::format::FormatName;
use stream::pipeline::{Pipeline, Stage, StageKind, Topic};

use self::compare::{Compared, Comparison};
use self::course::{Course, Seen};
use self::letters::Letters;
pub use self::report::{
    DifferenceKind, ReadingCounts, ReadingDifference, Report, TopicOutcome, TopicReport,
};
use self::steps::Step;
use self::tally::{Found, Tally};
use self::truth::{Entry, Order, Output, Sensors, Stream};
use crate::read::Reader;
pub use crate::read::{FetchedRecord, ReadProgress, TopicSource};

/// What counts as right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// A reading that is there again, with the same value, is counted apart and is no fault: for
    /// pipelines that run `at-least-once`.
    pub allow_duplicates: bool,
}

/// Compares all topics of a pipeline with the truth, and tells `progress` now and then how far it
/// is.
///
/// # Errors
/// If the cluster does not answer, a topic that is given does not exist, or a stage has a step that
/// is not known here.
pub fn verify(
    pipeline: &Pipeline,
    options: Options,
    progress: &mut dyn FnMut(ReadProgress<'_>),
) -> Result<Report> {
    let verification = Verification::new(pipeline, options)?;
    let mut topics = Reader::new(&pipeline.kafka, &verification.topics(), progress)?;
    verification.run(&mut topics)
}

/// Compares all topics of a pipeline with the truth, wherever their records come from.
///
/// # Errors
/// Those of [`TopicSource::read`], or if a stage has a step that is not known here.
pub fn verify_topics(
    pipeline: &Pipeline,
    options: Options,
    topics: &mut dyn TopicSource,
) -> Result<Report> {
    Verification::new(pipeline, options)?.run(topics)
}

/// What is known to come out of a topic, or why nothing is.
type Known = Result<Rc<Stream>, String>;

/// One run over a pipeline.
struct Verification<'p> {
    pipeline: &'p Pipeline,
    options: Options,
    /// The stages that read, each behind all that write what it reads, with their steps.
    stages: Vec<(&'p Stage, Vec<Step>)>,
    sensors: Sensors,
    /// What comes out of the topics that are still to be read by a stage.
    known: BTreeMap<&'p str, Known>,
    /// What stages have put into topics that further stages write to.
    pending: BTreeMap<&'p str, Vec<Result<Stream, String>>>,
    /// Records that are no readings, by given topic.
    undecodable: BTreeMap<&'p str, u64>,
    /// What is in the topics of stages whose inputs have lost their beginnings.
    found: BTreeMap<&'p str, Stream>,
    /// What the dead-letter topics hold, by stage.
    letters: BTreeMap<&'p str, Letters>,
    /// What stages have been and are, until their turn.
    courses: BTreeMap<&'p str, Course>,
    report: Report,
}

impl<'p> Verification<'p> {
    fn new(pipeline: &'p Pipeline, options: Options) -> Result<Self> {
        let mut stages = Vec::new();
        for stage in pipeline.in_order() {
            match &stage.kind {
                StageKind::Producer { .. } => (),
                StageKind::Operator { steps } => {
                    stages.push((stage, Step::all(pipeline, stage, steps)?))
                }
                StageKind::Sink { .. } => stages.push((stage, Vec::new())),
            }
        }
        let report = Report {
            topics: Vec::new(),
            differences: Vec::new(),
            notes: Vec::new(),
            allow_duplicates: options.allow_duplicates,
        };
        Ok(Verification {
            pipeline,
            options,
            stages,
            sensors: Sensors::default(),
            known: BTreeMap::new(),
            pending: BTreeMap::new(),
            undecodable: BTreeMap::new(),
            found: BTreeMap::new(),
            letters: BTreeMap::new(),
            courses: BTreeMap::new(),
            report,
        })
    }

    /// The topics that will be read, each once.
    fn topics(&self) -> Vec<String> {
        let mut topics: Vec<String> = Vec::new();
        for (stage, _) in &self.stages {
            let given = stage.from.iter().filter(|topic| self.is_given(topic));
            let made = stage.to.iter().filter(|topic| !self.is_given(topic));
            topics.extend(given.chain(made).cloned().chain([stage.dead_letters()]));
        }
        topics.sort_unstable();
        topics.dedup();
        topics
    }

    fn run(mut self, topics: &mut dyn TopicSource) -> Result<Report> {
        // First, because what was replayed is in topics that are compared before its stage's turn.
        for (stage, steps) in &self.stages {
            let mut letters = Letters::read(self.pipeline, stage, &mut self.sensors, topics)?;
            let course = Course::new(steps.clone(), std::mem::take(&mut letters.changes));
            let mut course = course.with(stage.rules);
            if course.forgets() && stage.from.len() > 1 {
                let why = course.why();
                course.hinder(format!(
                    "{why}, and the order of readings between its inputs is not defined"
                ));
            }
            self.report.notes.extend(
                course
                    .changes()
                    .map(|change| format!("`{}` {change}", stage.name)),
            );
            if steps.iter().any(|step| step.is_stateful())
                && topics.is_trimmed(&stage.dead_letters())
            {
                self.report.notes.push(format!(
                    "the first records of {} are gone: whether its settings were changed before, \
                     nobody knows",
                    stage.dead_letters()
                ));
            }
            if letters.limits() > 0 {
                self.report.notes.push(format!(
                    "`{}` refused {} records for limits that only brokers or its process know: \
                     what its dead letters say is taken for true",
                    stage.name,
                    letters.limits()
                ));
            }
            self.report.notes.extend(letters.gaps.iter().map(|gap| {
                format!(
                    "`{}` never read {}: they were deleted before",
                    stage.name, gap.place
                )
            }));
            self.courses.insert(&stage.name, course);
            self.letters.insert(&stage.name, letters);
        }
        for index in 0..self.stages.len() {
            let stage = self.stages[index].0;
            for topic in &stage.from {
                if self.is_given(topic) {
                    self.read_given(topic, topics)?;
                }
            }
            let tally = match &stage.kind {
                StageKind::Operator { .. } => self.operate(index, topics)?,
                StageKind::Producer { .. } | StageKind::Sink { .. } => {
                    Some(truth::Tally::default())
                }
            };
            if let Some(tally) = tally {
                let is_trimmed = topics.is_trimmed(&stage.dead_letters());
                self.compare_dead_letters(stage, tally, is_trimmed);
            }
            let later = &self.stages[index + 1..];
            self.known.retain(|topic, _| {
                later
                    .iter()
                    .any(|(stage, _)| stage.from.iter().any(|from| from == topic))
            });
        }
        if self.report.total().expected == 0 && self.report.unverified().is_none() {
            self.report.notes.push(
                "there was nothing to compare: no reading must have come out of any stage".into(),
            );
        }
        Ok(self.report)
    }

    /// Whether a topic's readings are taken as they are.
    fn is_given(&self, topic: &str) -> bool {
        self.pipeline.topic(topic).external
            || self
                .pipeline
                .writers(topic)
                .any(|stage| matches!(stage.kind, StageKind::Producer { .. }))
    }

    fn read_given(&mut self, name: &'p str, topics: &mut dyn TopicSource) -> Result<()> {
        if self.known.contains_key(name) {
            return Ok(());
        }
        let topic = self.pipeline.topic(name);
        let (mut stream, mut undecodable) = (Stream::new(), 0);
        let (mut partitions, mut keyed): (BTreeMap<u32, i32>, BTreeMap<u32, i32>) = <_>::default();
        let mut scattered = BTreeSet::new();
        let trimmed = trimmed(topics, name);
        let mut limited = self.limited(name);
        let mut readers = watching_readers(&mut self.courses, self.pipeline, name);
        let sensors = &mut self.sensors;
        topics.read(
            name,
            &mut |record| match limited.decode(topic, record, sensors) {
                Ok((named, entry)) => {
                    let sensor = sensors.id(&named);
                    let lane = stream.lanes.entry(sensor).or_default();
                    if *partitions.entry(sensor).or_insert(record.partition) != record.partition {
                        lane.order = Order::Undefined;
                    }
                    if topic.format == FormatName::Json && record.key != Some(named.as_bytes()) {
                        stream
                            .wrong_keys
                            .entry(sensor)
                            .or_default()
                            .0
                            .push(lane.entries.len());
                    } else if *keyed.entry(sensor).or_insert(record.partition) != record.partition {
                        scattered.insert(sensor);
                    }
                    lane.entries.push(entry);
                    lane.lost |= trimmed.contains_key(&record.partition);
                    let seen = seen((name, topic), (sensor, &named), &entry, record);
                    for course in &mut readers {
                        course.saw(seen);
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
        for course in readers
            .iter_mut()
            .filter(|course| course.forgets() && stream.lost)
        {
            // Which reading was the newest then, nobody can say.
            course.hinder(format!(
                "{}, and the first records of `{name}` are gone",
                course.why()
            ));
        }
        self.found_limited(name, limited);
        let mut spread = stream
            .lanes
            .iter()
            .filter(|(_, lane)| lane.order == Order::Undefined);
        if let (FormatName::Json, Some((sensor, _))) = (topic.format, spread.next()) {
            self.report.notes.push(format!(
                "the readings of {} sensors, such as \"{}\", are in several partitions of {name}, \
                 so their order is not defined; give records their sensor as the key",
                1 + spread.count(),
                self.sensors.name(*sensor)
            ));
        }
        if topic.format == FormatName::Json && !topic.external {
            let replayed = self
                .letters
                .values()
                .flat_map(|letters| letters.replayed(name));
            let gaps = gaps(&stream, replayed.map(|(sensor, _)| sensor));
            self.report
                .notes
                .extend(gaps.map(|gaps| format!("in {name}, {gaps}")));
        }
        self.note_trimmed(name, &trimmed);
        self.undecodable.insert(name, undecodable);
        self.add(
            name,
            TopicOutcome::Given {
                readings: stream.len() as u64,
                undecodable,
            },
        );
        self.known.insert(name, Ok(Rc::new(stream)));
        Ok(())
    }

    /// Says of which partitions of a topic the first records are gone.
    fn note_trimmed(&mut self, topic: &str, trimmed: &BTreeMap<i32, i64>) {
        if !trimmed.is_empty() {
            let begins = trimmed
                .iter()
                .map(|(partition, start)| format!("[{partition}] begins at offset {start}"));
            let begins = begins.collect::<Vec<_>>().join(", ");
            self.report
                .notes
                .push(format!("the first records of {topic} are gone: {begins}"));
        }
    }

    /// Computes what an operator stage must have written and compares the topics that are complete
    /// with it. Returns what it must have done besides, if that is known.
    fn operate(
        &mut self,
        index: usize,
        topics: &mut dyn TopicSource,
    ) -> Result<Option<truth::Tally>> {
        let stage = self.stages[index].0;
        let found = self.look_ahead(stage, topics)?;
        let mut output = self.process(stage, &found);
        if let Ok(Output { stream, tally }) = &mut output
            && stage
                .to
                .iter()
                .any(|topic| self.pipeline.topic(topic).format == FormatName::Json)
        {
            // That format cannot say nothing about the unit.
            tally.refused += stream.drop_unitless();
        }
        let tally = output.as_ref().ok().map(|output| output.tally);
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
        Ok(tally)
    }

    /// Reads what a stage has written, if its inputs have lost readings. Returns all of it
    /// together.
    fn look_ahead(&mut self, stage: &'p Stage, topics: &mut dyn TopicSource) -> Result<Stream> {
        let mut all = Stream::new();
        let letters = &self.letters[stage.name.as_str()];
        let has_lost = |topic: &String| match self.known.get(topic.as_str()) {
            Some(Ok(stream)) => stream.has_lost() || letters.has_gap(topic),
            _ => false,
        };
        if !stage.from.iter().any(has_lost) {
            return Ok(all);
        }
        for name in &stage.to {
            let topic = self.pipeline.topic(name);
            if topic.format != FormatName::Json
                || self.is_given(name)
                || topics.partitions(name).is_none()
            {
                continue;
            }
            let (mut found, sensors) = (Stream::new(), &mut self.sensors);
            topics.read(name, &mut |record| {
                if let Ok((sensor, entry)) = decode::decode(topic, record) {
                    found
                        .lanes
                        .entry(sensors.id(&sensor))
                        .or_default()
                        .entries
                        .push(entry);
                }
            })?;
            for (sensor, lane) in &found.lanes {
                all.lanes
                    .entry(*sensor)
                    .or_default()
                    .entries
                    .extend(&lane.entries);
            }
            self.found.insert(name, found);
        }
        Ok(all)
    }

    fn process(&mut self, stage: &'p Stage, found: &Stream) -> Result<Output, String> {
        let mut course = self.courses.remove(stage.name.as_str()).unwrap_or_default();
        let letters = &self.letters[stage.name.as_str()];
        let mut known: Vec<(&str, Cow<'_, Stream>)> = Vec::new();
        let mut wrong_keys = 0;
        for topic in &stage.from {
            let Some(Ok(stream)) = self.known.get(topic.as_str()) else {
                return Err(format!("its input `{topic}` is not verifiable"));
            };
            let mut stream = letters.take_settled(topic, stream, &mut course);
            if course.requires_key() && !stream.wrong_keys.is_empty() {
                wrong_keys += stream.to_mut().drop_wrong_keys();
            }
            if letters.has_gap(topic) {
                // Which of the readings that are deleted it has read, nobody can say.
                let stream = stream.to_mut();
                stream.lost = true;
                for lane in stream.lanes.values_mut().filter(|lane| lane.deleted > 0) {
                    lane.entries.drain(..lane.deleted);
                    lane.lost = true;
                }
            }
            known.push((topic, stream));
        }
        let inputs: Vec<(&str, &Stream)> = known
            .iter()
            .map(|(topic, stream)| (*topic, &**stream))
            .collect();
        let mut output = truth::process(&course, &inputs, found, &self.sensors)
            .map_err(|reason| format!("`{}` writes it: {reason}", stage.name))?;
        output.tally.refused += wrong_keys;
        Ok(output)
    }

    fn compare(
        &mut self,
        name: &'p str,
        streams: Vec<Result<Stream, String>>,
        topics: &mut dyn TopicSource,
    ) -> Result<()> {
        if self.is_given(name) {
            let reason =
                "producers or others outside write it too, so nobody can say what must be in it"
                    .to_owned();
            self.add(name, TopicOutcome::NotVerifiable { reason });
            return Ok(());
        }
        let partitions = topics.partitions(name).unwrap_or_default();
        let mut expected = match self.expected(name, partitions, streams) {
            Ok(expected) => expected,
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
            .letters
            .values()
            .flat_map(|letters| letters.replayed(name))
        {
            let lane = expected.lanes.entry(sensor).or_default();
            lane.entries.push(entry);
            lane.order = Order::Undefined;
        }
        let mut limited = self.limited(name);
        let mut readers = watching_readers(&mut self.courses, self.pipeline, name);
        if !trimmed.is_empty() {
            for course in &mut readers {
                course.hinder(format!(
                    "{}, and the first records of `{name}` are gone",
                    course.why()
                ));
            }
            if !expected.numbered {
                let reason =
                    "its first records are gone, and bare numbers do not tell which these were"
                        .to_owned();
                self.add(name, TopicOutcome::NotVerifiable { reason });
                // What further stages have read is known nevertheless.
                expected
                    .lanes
                    .values_mut()
                    .for_each(|lane| lane.deleted = lane.entries.len());
                self.known.insert(name, Ok(Rc::new(expected)));
                return Ok(());
            }
        }
        let tally = Tally::new(name, self.options.allow_duplicates);
        let mut comparison = Comparison::new(&expected, trimmed.keys().copied().collect(), tally);
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
                        let found = Found {
                            sensor,
                            entry,
                            partition: record.partition,
                            offset: record.offset,
                        };
                        comparison.found(found, sensors);
                        let seen = seen((name, topic), (sensor, &named), &entry, record);
                        for course in &mut readers {
                            course.saw(seen);
                        }
                    }
                    Err(why) => comparison.undecodable(record.partition, record.offset, why),
                },
            )?;
        }
        let Compared { tally, deleted } = comparison.finish(&self.sensors);
        if !tally.counts.is_clean() {
            // What is counted there are not the readings that must be there.
            for course in &mut readers {
                course.hinder(format!(
                    "{}, and `{name}` does not hold what it must",
                    course.why()
                ));
            }
        }
        self.found_limited(name, limited);
        self.add(name, TopicOutcome::Compared(tally.counts));
        self.report.differences.extend(tally.differences);
        expected.settle(&deleted, !trimmed.is_empty());
        self.known.insert(name, Ok(Rc::new(expected)));
        Ok(())
    }

    /// What must be in a topic that these come into.
    ///
    /// # Errors
    /// Why nobody can say.
    fn expected(
        &mut self,
        name: &str,
        partitions: usize,
        streams: Vec<Result<Stream, String>>,
    ) -> Result<Stream, String> {
        let topic = self.pipeline.topic(name);
        let (mut expected, writers) = (Stream::new(), streams.len());
        for stream in streams {
            match topic.format {
                FormatName::Json => expected.join(stream?),
                FormatName::Number => {
                    expected.join(stream?.into_numbers(partitions, topic.unit, &mut self.sensors));
                }
            }
        }
        let found = self.found.remove(name);
        if expected.has_lost() {
            if !expected.numbered {
                return Err(
                    "the first records of what it was made from are gone, and bare numbers do not \
                     tell which results are theirs"
                        .to_owned(),
                );
            }
            if writers > 1 {
                return Err(
                    "several stages write it, and the first records of their inputs are gone"
                        .to_owned(),
                );
            }
            expected.accept(&found.unwrap_or_else(Stream::new));
        }
        Ok(expected)
    }

    /// The records of a topic that stages refused for limits.
    fn limited(&self, name: &str) -> Limited<'p> {
        let mut limited = Limited::default();
        for (stage, letters) in &self.letters {
            for place in letters.limited(name) {
                limited.places.entry(place).or_default().push(*stage);
            }
        }
        limited
    }

    fn found_limited(&mut self, name: &str, limited: Limited<'_>) {
        for (stage, reading) in limited.found {
            if let Some(letters) = self.letters.get_mut(stage) {
                letters.found_limited(name, reading);
            }
        }
    }

    /// How many records of its given inputs the stage cannot have read, settled ones aside.
    fn undecodable(&self, stage: &Stage) -> u64 {
        let letters = &self.letters[stage.name.as_str()];
        let of_topic = |topic: &String| {
            let found = self
                .undecodable
                .get(topic.as_str())
                .copied()
                .unwrap_or_default();
            found.saturating_sub(letters.settled_undecodable(topic))
        };
        stage.from.iter().map(of_topic).sum()
    }

    fn compare_dead_letters(&mut self, stage: &Stage, tally: truth::Tally, is_trimmed: bool) {
        let name = stage.dead_letters();
        let letters = &self.letters[stage.name.as_str()];
        let (expected, found) = (tally.refused + self.undecodable(stage), letters.unsettled);
        if expected == 0 && found == 0 {
            return;
        }
        // Those of records that are gone, and of readings that may have been refused.
        let has_lost = |topic: &&String| {
            let known = self.known.get(topic.as_str());
            known.is_some_and(|known| known.as_ref().is_ok_and(|stream| stream.has_lost()))
        };
        let deleted: u64 = stage
            .from
            .iter()
            .filter(has_lost)
            .map(|topic| letters.deleted(topic))
            .sum();
        let surplus = found.saturating_sub(expected);
        let unverifiable = surplus.min(deleted + tally.unknown);
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
        let counts = ReadingCounts {
            expected,
            found,
            missing,
            extra,
            duplicates,
            unverifiable,
            deleted,
            ..ReadingCounts::default()
        };
        self.add(&name, TopicOutcome::DeadLetters(counts));
    }

    fn add(&mut self, topic: &str, outcome: TopicOutcome) {
        self.report.topics.push(TopicReport {
            topic: topic.to_owned(),
            outcome,
        });
    }
}

/// The partitions of a topic of which the first records are gone, each with the offset it begins
/// at.
fn trimmed(topics: &dyn TopicSource, name: &str) -> BTreeMap<i32, i64> {
    let count = i32::try_from(topics.partitions(name).unwrap_or_default()).unwrap_or_default();
    let starts = (0..count).map(|partition| (partition, topics.start(name, partition)));
    starts.filter(|(_, start)| *start > 0).collect()
}

/// Records of a topic that stages refused for limits, and what they are, once they are read.
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

/// A reading where a stage reads it.
fn seen<'s>(
    (name, topic): (&'s str, &Topic),
    sensor: (u32, &'s str),
    entry: &Entry,
    record: &FetchedRecord<'_>,
) -> Seen<'s> {
    let FetchedRecord {
        partition,
        offset,
        timestamp,
        ..
    } = *record;
    // No reading is from after it entered the pipeline.
    let time = if timestamp < 0 {
        entry.time
    } else {
        entry.time.min(timestamp)
    };
    let is_keyed = topic.format == FormatName::Number || record.key == Some(sensor.1.as_bytes());
    Seen {
        topic: name,
        sensor,
        partition,
        offset,
        time,
        is_keyed,
    }
}

/// The courses of the stages that read a topic and must see its readings.
fn watching_readers<'c>(
    courses: &'c mut BTreeMap<&str, Course>,
    pipeline: &Pipeline,
    topic: &str,
) -> Vec<&'c mut Course> {
    let reads = |stage: &str| pipeline.readers(topic).any(|reader| reader.name == stage);
    let watching = courses
        .iter_mut()
        .filter(|(stage, course)| course.watches() && reads(stage));
    watching.map(|(_, course)| course).collect()
}

/// What is odd about the sequence numbers that producers gave, if anything is: from its first on, a
/// sensor's go up by one. Those that were replayed, given by their sensors, are there again with
/// reason.
fn gaps(stream: &Stream, replayed: impl Iterator<Item = u32>) -> Option<String> {
    let mut excused: BTreeMap<u32, u64> = BTreeMap::new();
    replayed.for_each(|sensor| *excused.entry(sensor).or_default() += 1);
    let (mut left_out, mut repeated, mut sensors) = (0, 0, 0);
    for (sensor, lane) in &stream.lanes {
        let mut seqs: Vec<u64> = lane.entries.iter().map(|entry| entry.seq).collect();
        seqs.sort_unstable();
        let (mut gap, mut again) = (0, 0);
        for pair in seqs.windows(2) {
            match pair[1] - pair[0] {
                0 => again += 1,
                step => gap += step - 1,
            }
        }
        again = u64::saturating_sub(again, excused.get(sensor).copied().unwrap_or_default());
        left_out += gap;
        repeated += again;
        sensors += u64::from((gap, again) != (0, 0));
    }
    (sensors > 0).then(|| {
        format!(
            "{left_out} sequence numbers are left out and {repeated} are there again, of {sensors} \
             sensors"
        )
    })
}

#[cfg(test)]
mod tests;
