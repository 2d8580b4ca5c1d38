//! One verification of a pipeline.

use std::collections::BTreeMap;
use std::rc::Rc;

use rivulet_core::error::Result;
use rivulet_core::topic_source::TopicSource;
use rivulet_pipeline::{Pipeline, Stage, StageKind};

use self::limited::Limited;
use super::dead_letters::StageDeadLetters;
use super::decode::{Decoders, Schemas};
use super::history::StageHistory;
use super::report::{Report, TopicOutcome, TopicReport};
use super::steps::Step;
use super::stream::{Sensors, Stream};
use crate::Options;

mod inputs;
mod limited;
mod outputs;
mod topic;

/// What a reader of a topic must have read, or why that cannot be computed.
pub(crate) type Known = Result<Rc<Stream>, String>;

/// One verification of a pipeline.
pub(crate) struct Verification<'p> {
    pipeline: &'p Pipeline,
    decoders: Decoders<'p>,
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
    pub(crate) fn new(pipeline: &'p Pipeline, options: Options, schemas: &'p dyn Schemas) -> Self {
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
            decoders: Decoders::new(pipeline, schemas),
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
    pub(crate) fn topics(&self) -> Vec<String> {
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

    pub(crate) fn run(mut self, topics: &mut dyn TopicSource) -> Result<Report> {
        // First, because replayed records are in topics that are compared before the stage itself.
        for (stage, steps) in &self.stages {
            let mut dead_letters =
                StageDeadLetters::read(&self.decoders, stage, &mut self.sensors, topics)?;
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
                    Some(crate::stream::StageCounts::default())
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
        for (stage, readings) in limited.found {
            if let Some(dead_letters) = self.dead_letters.get_mut(stage) {
                dead_letters.found_limited(name, readings);
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

    fn add(&mut self, topic: &str, outcome: TopicOutcome) {
        self.report.topics.push(TopicReport {
            topic: topic.to_owned(),
            outcome,
        });
    }
}
