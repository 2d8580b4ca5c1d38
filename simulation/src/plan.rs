//! The plan: which pipeline a seed runs, and how many instances of each stage.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use rivulet_core::guarantee::Guarantee;
use rivulet_core::processing::{OutputTopic, ProcessingConfig};
use rivulet_operators::{Chain, OperatorRegistry};
use rivulet_pipeline::{ComponentConfig, Pipeline, Role, Stage, StageKind, Text};
use rivulet_producer::catalog::{self, SourceContext};
use rivulet_producer::source::{Next, Source};

use crate::chance::Chance;
use crate::cluster::TopicConfig;
use crate::faults::Margin;

/// A pipeline and its instances.
#[derive(Debug)]
pub struct Plan {
    /// Parsed from a pipeline file's text.
    pub pipeline: Pipeline,
    /// The number of instances of each stage.
    pub instances: Vec<u32>,
    /// The configs of the topics.
    pub topic_configs: BTreeMap<String, TopicConfig>,
}

/// Records that contain this text violate the policy of the simulated cluster.
pub const FORBIDDEN_TEXT: &str = "taboo";

/// `max.message.bytes` of the topics that take only small batches.
const SMALL_BATCH: usize = 2000;

/// `message.timestamp.after.max.ms` of the topics that reject timestamps.
pub const TIMESTAMP_AFTER_MAX_MS: i64 = 3_600_000;

const CONVERT: &str = "{ convert = { from = \"celsius\", to = \"fahrenheit\" } }";
const THRESHOLD: &str = "{ threshold = { above = 50 } }";
const EWMA: &str = "{ ewma = { alpha = 0.5 } }";
const AVERAGE: &str = "{ average = { window = 3 } }";

fn producer(name: &str, sensor: &str, rate: &str, to: &str) -> String {
    format!(
        "[producer.{name}]\nsource = {{ file = {{ path = \"readings.csv\", sensor \
         = \"{sensor}\"{rate} }} }}\nto = \"{to}\"\n"
    )
}

fn operator(name: &str, from: &str, steps: &[&str], to: &str) -> String {
    format!(
        "[operator.{name}]\nfrom = {from}\nsteps = [{}]\nto = \"{to}\"\n{GAP}",
        steps.join(", ")
    )
}

/// Replaced by the `on-gap` setting.
const GAP: &str = "# on-gap\n";

impl Plan {
    /// How many sources there are. They come first, and each has one instance.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.pipeline
            .stages
            .iter()
            .take_while(|stage| stage.from.is_empty())
            .count()
    }

    /// Draws a plan.
    ///
    /// Under `at-least-once` every operator reads directly from a source: a stage with state
    /// handles repeated readings correctly, but no check can say which readings were repeated.
    ///
    /// # Panics
    /// Never: the pipelines are valid.
    #[must_use]
    pub fn draw(chance: &mut Chance, margin: Margin) -> Self {
        let guarantee = if chance.one_in(4) {
            Guarantee::AtLeastOnce
        } else {
            Guarantee::ExactlyOnce
        };
        let mut text = format!("guarantee = \"{guarantee}\"\n");
        let _ = write!(
            text,
            "[commit]\nleast-interval-ms = {}\nlongest-interval-ms = {}\nrecords = {}\n",
            chance.one_of(&[0, 5, 20]),
            chance.one_of(&[20, 100]),
            chance.one_of(&[1, 3, 8, 30]),
        );
        let _ = writeln!(text, "[defaults]\npartitions = {}", 1 + chance.below(4));
        let rate = if chance.one_in(3) {
            ", rate = 50.0"
        } else {
            ""
        };
        text += &producer("first", "sensor", rate, "celsius");
        let shape = chance.below(if guarantee == Guarantee::ExactlyOnce {
            4
        } else {
            2
        });
        match shape {
            _ if margin.has_outsider() => {
                text += "[topic.outside]\nexternal = true\n";
                text += &operator(
                    "ewma",
                    "[\"celsius\", \"outside\"]",
                    &[CONVERT, EWMA],
                    "ewma",
                );
                text += &operator("average", "\"celsius\"", &[CONVERT, AVERAGE], "average");
                if guarantee == Guarantee::ExactlyOnce {
                    text += &operator("threshold", "\"ewma\"", &[THRESHOLD], "above");
                }
            }
            0 => {
                text += &operator("ewma", "\"celsius\"", &[CONVERT, THRESHOLD, EWMA], "ewma");
                text += &operator("average", "\"celsius\"", &[CONVERT, AVERAGE], "average");
            }
            1 => {
                text += &producer("second", "other", "", "more");
                text += &operator(
                    "ewma",
                    "[\"celsius\", \"more\"]",
                    &[CONVERT, EWMA, AVERAGE],
                    "ewma",
                );
            }
            _ => {
                text += &operator("convert", "\"celsius\"", &[CONVERT], "fahrenheit");
                text += &operator("threshold", "\"fahrenheit\"", &[THRESHOLD], "above");
                text += &operator("ewma", "\"above\"", &[EWMA], "ewma");
                text += &operator("average", "\"above\"", &[AVERAGE], "average");
            }
        }
        if margin == Margin::Sizes && chance.one_in(2) {
            // A limit in the file is known beforehand. Other limits are found out.
            let _ = writeln!(
                text,
                "[topic.ewma]\nconfig = {{ \"max.message.bytes\" = {SMALL_BATCH} }}"
            );
        }
        let on_gap = ["", "on-gap = \"stop\"\n", "on-gap = \"dead-letter\"\n"];
        let text = text.replace(GAP, chance.one_of(&on_gap));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipeline.toml");
        let pipeline = Pipeline::parse(Arc::new(Text { path, text }))
            .unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        let instances = pipeline.stages.iter().map(|stage| match stage.kind {
            StageKind::Producer { .. } => 1,
            _ => 1 + chance.below(2),
        });
        let instances = instances.collect();
        let topic_configs = match margin {
            Margin::Sizes => TopicConfig {
                max_message_bytes: Some(SMALL_BATCH),
                ..TopicConfig::default()
            },
            Margin::Rejections => TopicConfig {
                timestamp_after_max_ms: Some(TIMESTAMP_AFTER_MAX_MS),
                forbidden_text: Some(FORBIDDEN_TEXT),
                ..TopicConfig::default()
            },
            _ => TopicConfig::default(),
        };
        let written = pipeline.topics.keys().filter(|topic| *topic != "outside");
        let topic_configs = written.map(|topic| {
            let wanted = pipeline.topic(topic);
            let forbidden_text = topic_configs
                .forbidden_text
                .filter(|_| wanted.role != Role::DeadLetters);
            let max_message_bytes = topic_configs
                .max_message_bytes
                .filter(|_| wanted.role != Role::Changelog);
            (
                topic.clone(),
                TopicConfig {
                    forbidden_text,
                    max_message_bytes: max_message_bytes.or(Some(wanted.largest_message())),
                    ..topic_configs.clone()
                },
            )
        });
        let topic_configs = topic_configs.collect();
        Plan {
            pipeline,
            instances,
            topic_configs,
        }
    }
}

/// The source of a stage, at its beginning.
///
/// # Panics
/// If the source does not open.
#[must_use]
pub fn source(pipeline: &Pipeline, config: &ComponentConfig) -> Box<dyn Source> {
    let settings = catalog::read(config).unwrap_or_else(|diagnostic| panic!("{diagnostic:?}"));
    let context = SourceContext {
        folder: pipeline.text.folder().to_owned(),
        host: String::new(),
    };
    settings
        .open(&context)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// The chain of an operator stage.
///
/// # Panics
/// If the steps are invalid.
#[must_use]
pub fn chain(pipeline: &Pipeline, stage: &Stage, steps: &[ComponentConfig]) -> Chain {
    OperatorRegistry::default()
        .chain(pipeline, stage, steps)
        .unwrap_or_else(|diagnostics| panic!("{diagnostics:?}"))
}

/// What the task of an operator stage needs to know.
///
/// # Panics
/// If a format is invalid.
#[must_use]
pub fn processing_config(pipeline: &Pipeline, stage: &Stage) -> ProcessingConfig {
    pipeline
        .processing_config(stage, &OperatorRegistry::default().formats)
        .unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

/// The topics that a stage writes.
///
/// # Panics
/// If a format is invalid.
#[must_use]
pub fn outputs(pipeline: &Pipeline, stage: &Stage) -> Vec<OutputTopic> {
    pipeline
        .outputs(stage, &OperatorRegistry::default().formats)
        .unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

/// A reading of a source: sensor, sequence number, time in milliseconds and value.
pub type SourceReading = (String, u64, i64, f64);

/// All readings of a source, and how many of its records are bad.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn read_all(source: &mut dyn Source) -> (Vec<SourceReading>, usize) {
    let (mut readings, mut bad) = (Vec::new(), 0);
    loop {
        match source
            .next(std::time::Duration::ZERO)
            .unwrap_or_else(|error| panic!("{error}"))
        {
            Next::Reading(reading) | Next::Measured(reading) => {
                readings.push((
                    reading.sensor.into_owned(),
                    reading.seq,
                    reading.time,
                    reading.value,
                ));
            }
            Next::Record(_) => panic!("no plan has a source of whole records"),
            Next::Bad { .. } => bad += 1,
            Next::NotYet => (),
            Next::End => return (readings, bad),
        }
    }
}
