//! The plan: which pipeline a seed runs, and how many instances of each stage.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use operators::Chain;
use producer::catalog::{self, SourceContext};
use producer::source::{Next, Source};
use stream::pipeline::{ComponentConfig, Guarantee, Pipeline, Role, Stage, StageKind, Text};

use crate::chance::Chance;
use crate::cluster::Terms;
use crate::faults::Margin;

/// A pipeline and its instances.
#[derive(Debug)]
pub struct Plan {
    /// Read from the text of a pipeline file, as any.
    pub pipeline: Pipeline,
    /// For each stage, how many instances it has.
    pub instances: Vec<u32>,
    /// What topics take, where that is not everything.
    pub terms: BTreeMap<String, Terms>,
}

/// What stands in records that are against the policy of the simulated cluster.
pub const TABOO: &str = "taboo";

/// How large a batch is that topics take which do not take everything, in bytes.
const SMALL: usize = 2000;

/// How far ahead records may be stamped, in milliseconds.
pub const AHEAD: i64 = 3_600_000;

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

/// Where it is said what is to be done about gaps.
const GAP: &str = "# on-gap\n";

impl Plan {
    /// How many of the first stages are sources, each of one instance.
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
    /// Under `at-least-once` every stage stands right behind the producers: what a stage with a
    /// state makes of repeated readings is right, but nobody can say which were repeated.
    ///
    /// # Panics
    /// Never: the pipelines are right.
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
            // What the file says is known beforehand, the rest is found out.
            let _ = writeln!(
                text,
                "[topic.ewma]\nconfig = {{ \"max.message.bytes\" = {SMALL} }}"
            );
        }
        let on_gap = ["", "on-gap = \"stop\"\n", "on-gap = \"dead-letter\"\n"];
        let text = text.replace(GAP, chance.one_of(&on_gap));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipeline.toml");
        let pipeline = Pipeline::parse(Arc::new(Text { path, text }))
            .unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let instances = pipeline.stages.iter().map(|stage| match stage.kind {
            StageKind::Producer { .. } => 1,
            _ => 1 + chance.below(2),
        });
        let instances = instances.collect();
        let terms = match margin {
            Margin::Sizes => Terms {
                largest: Some(SMALL),
                ..Terms::default()
            },
            Margin::Refusals => Terms {
                ahead: Some(AHEAD),
                taboo: Some(TABOO),
                ..Terms::default()
            },
            _ => Terms::default(),
        };
        let written = pipeline.topics.keys().filter(|topic| *topic != "outside");
        let terms = written.map(|topic| {
            let wanted = pipeline.topic(topic);
            let taboo = terms.taboo.filter(|_| wanted.role != Role::DeadLetters);
            let largest = terms.largest.filter(|_| wanted.role != Role::Changelog);
            (
                topic.clone(),
                Terms {
                    taboo,
                    largest: largest.or(Some(wanted.largest_message())),
                    ..terms.clone()
                },
            )
        });
        let terms = terms.collect();
        Plan {
            pipeline,
            instances,
            terms,
        }
    }
}

/// The source of a stage, at its beginning.
///
/// # Panics
/// If the stage is no producer or its source does not open.
#[must_use]
pub fn source(pipeline: &Pipeline, part: &ComponentConfig) -> Box<dyn Source> {
    let settings = catalog::read(part).unwrap_or_else(|mistake| panic!("{mistake:?}"));
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
/// If the pipeline is wrong.
#[must_use]
pub fn chain(pipeline: &Pipeline, stage: &Stage, steps: &[ComponentConfig]) -> Chain {
    operators::stage::chain(pipeline, stage, steps)
        .unwrap_or_else(|mistakes| panic!("{mistakes:?}"))
}

/// A reading as a source gives it: sensor, sequence number, time in milliseconds and value.
pub type Given = (String, u64, i64, f64);

/// What a source gives from its beginning to its end, and how much of it is bad.
///
/// # Panics
/// If it cannot be read.
#[must_use]
pub fn given(source: &mut dyn Source) -> (Vec<Given>, usize) {
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
            Next::Bad { .. } => bad += 1,
            Next::NotYet => (),
            Next::End => return (readings, bad),
        }
    }
}
