//! `compare`: how EWMA and moving average differ, and how far each lags behind its input.

mod join;
mod memory;
mod numbers;
mod sensor;
pub mod statistics;
mod table;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rivulet_core::component::Component;
use rivulet_core::error::{Error, Result};
use rivulet_core::reading::Reading;
use rivulet_pipeline::Diagnostic;
use serde::Deserialize;

use self::join::Side;
use self::memory::Memory;
pub use self::numbers::{LagMax, Seconds, WaitingMax};
use self::sensor::{CompareRules, SensorComparison};
use self::table::{Block, Table};
use super::{SinkContext, SinkSettings};
use crate::output::Output;
use crate::sink::{Delivery, Failure, Sink};

/// Joins EWMA, moving average and their input by sensor and event time, and compares them.
///
/// For each sensor it shows the number of joined points; the mean and last value of each series;
/// the mean, last, mean absolute and root-mean-square difference between each two series; and the
/// [lag](statistics::LagEstimate) of each smoothed series behind the input, in steps of the input.
/// All figures are over the joined points. It also shows what was not joined: readings without a
/// partner (EWMA and average emit nothing for the first readings of a sensor), duplicates, and
/// readings in another unit than their sensor's first.
///
/// Several readings of a sensor with the same time are joined in the order of their arrival. In the
/// format `number`, which has no sensors, all readings belong to the sensor "(all)".
///
/// `lag-max` and `waiting-max` limit the memory for a sensor: about 100 bytes a step, and about as
/// much for each waiting time. All sensors together have the part of `[limits] memory` that an
/// operator has for its state. When it is used up, readings of further sensors are counted and left
/// out. The figures start empty when the stage starts.
///
/// ```
/// use rivulet_sinks::catalog::{SinkContext, read};
/// use rivulet_pipeline::ComponentConfig;
///
/// let topics = vec!["smooth".to_owned(), "temperatures_moving_average".to_owned()];
/// let config = r#"compare = { ewma = "smooth", every-seconds = 10 }"#;
/// let settings = read(&ComponentConfig::parse(config).unwrap(), &topics).unwrap();
/// let mut sink = settings.open(SinkContext::new("config", "compare", topics))?;
/// sink.finish()?;
/// # Ok::<(), rivulet_core::error::Error>(())
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Compare {
    /// The topic of the EWMA.
    #[serde(default = "default_ewma")]
    pub ewma: String,
    /// The topic of the moving average.
    #[serde(default = "default_average")]
    pub average: String,
    /// The input topic of both. The default is `temperatures_above_threshold` if the stage reads
    /// it.
    pub input: Option<String>,
    /// How often to show the table while readings come; only at the end unless it is set.
    pub every_seconds: Option<Seconds>,
    /// The longest lag to try, in steps.
    #[serde(default)]
    pub lag_max: LagMax,
    /// How many times of a sensor may wait for the readings of all series.
    #[serde(default)]
    pub waiting_max: WaitingMax,
}

/// The default input.
const DEFAULT_INPUT: &str = "temperatures_above_threshold";

fn default_ewma() -> String {
    "temperatures_ewma".to_owned()
}

fn default_average() -> String {
    "temperatures_moving_average".to_owned()
}

impl Compare {
    /// The settings' names, with their topics and sides.
    fn sides(&self, topics: &[String]) -> Vec<(&'static str, &str, Side)> {
        let reads_default = topics.iter().any(|topic| topic == DEFAULT_INPUT);
        let default = reads_default.then_some(DEFAULT_INPUT);
        let input = self.input.as_deref().or(default);
        let mut sides = vec![
            ("ewma", self.ewma.as_str(), Side::Ewma),
            ("average", self.average.as_str(), Side::Average),
        ];
        sides.extend(input.map(|input| ("input", input, Side::Input)));
        sides
    }

    fn sink(&self, context: SinkContext) -> CompareSink {
        let sides = self.sides(&context.names);
        let named: Vec<String> = sides
            .iter()
            .map(|(setting, topic, _)| format!("{setting} = {topic}"))
            .collect();
        CompareSink {
            title: format!("{}: {}", context.stage, named.join(", ")),
            topics: sides
                .iter()
                .map(|(_, topic, side)| (context.in_kafka(topic), *side))
                .collect(),
            rules: CompareRules {
                sides: sides.iter().map(|(_, _, side)| *side).collect(),
                lag_max: self.lag_max.0,
                waiting_max: self.waiting_max.0,
            },
            every: self
                .every_seconds
                .map(|seconds| Duration::from_secs(seconds.0)),
            due: None,
            has_news: false,
            sensors: BTreeMap::new(),
            memory: Memory::new(context.limits),
            not_compared: 0,
            output: Output::new(&context.stage, context.output),
        }
    }
}

impl Component for Compare {
    const NAME: &'static str = "compare";
    const ABOUT: &'static str =
        "shows how EWMA, moving average and their input differ, and their lag";
    const EXAMPLE: &'static str = "compare = { ewma = \"temperatures_ewma\", every-seconds = 10 }";
}

impl SinkSettings for Compare {
    fn check(&self, topics: &[String]) -> Result<(), Diagnostic> {
        let sides = self.sides(topics);
        for (index, (setting, topic, _)) in sides.iter().enumerate() {
            if let Some((other, ..)) = sides[..index].iter().find(|(_, other, _)| other == topic) {
                return Err(Diagnostic::nowhere(format!(
                    "`{other}` and `{setting}` are the same topic `{topic}`"
                ))
                .help("give each its own topic"));
            }
            if !topics.iter().any(|read| read == topic) {
                let message = format!(
                    "compare needs the topic `{topic}` for `{setting}`, and its stage does not \
                     read it"
                );
                return Err(Diagnostic::nowhere(message).help(format!(
                    "add \"{topic}\" to `from`, or set {setting} = \"TOPIC\" to a topic in `from`"
                )));
            }
        }
        match topics
            .iter()
            .find(|read| sides.iter().all(|(_, topic, _)| read != topic))
        {
            Some(unused) => Err(Diagnostic::nowhere(format!(
                "compare does not use the topic `{unused}` in `from`"
            ))
            .help(format!(
                "set input = \"{unused}\" if it is the input of the others, or remove it from \
                 `from`"
            ))),
            None => Ok(()),
        }
    }

    fn open(self: Box<Self>, context: SinkContext) -> Result<Box<dyn Sink>> {
        Ok(Box::new(self.sink(context)))
    }
}

#[derive(Debug)]
struct CompareSink {
    title: String,
    topics: Vec<(String, Side)>,
    rules: CompareRules,
    every: Option<Duration>,
    /// When to show the table next.
    due: Option<Instant>,
    /// Whether a reading came since the table was last shown.
    has_news: bool,
    sensors: BTreeMap<String, SensorComparison>,
    memory: Memory,
    /// Readings of sensors for which there is no memory.
    not_compared: u64,
    output: Output,
}

impl CompareSink {
    fn table(&self) -> Table {
        let mut blocks: Vec<Block> = self
            .sensors
            .iter()
            .map(|(name, sensor)| sensor.block(name, &self.rules))
            .collect();
        if blocks.is_empty() {
            blocks.push(Block {
                heading: "no readings".to_owned(),
                rows: Vec::new(),
            });
        }
        Table {
            title: self.title.clone(),
            blocks,
            closing: self.left_out(),
        }
    }

    /// What the figures do not include.
    fn left_out(&self) -> String {
        let sum = |count: &dyn Fn(&SensorComparison) -> u64| {
            self.sensors.values().map(count).sum::<u64>()
        };
        let alone: Vec<String> = self
            .topics
            .iter()
            .map(|(topic, side)| {
                format!("{} in {topic}", sum(&|sensor| sensor.join.waiting(*side)))
            })
            .collect();
        let mut left_out = format!(
            "left out: without a partner {}; duplicates {}; dropped because more than {} were \
             waiting {}; in another unit {}",
            alone.join(", "),
            sum(&|sensor| sensor.duplicates),
            self.rules.waiting_max,
            sum(&|sensor| sensor.join.dropped),
            sum(&|sensor| sensor.other_unit),
        );
        if self.not_compared > 0 {
            let rest = format!(
                "; of other than the first {} sensors, because the memory is full {}",
                self.sensors.len(),
                self.not_compared
            );
            left_out += &rest;
        }
        left_out
    }

    /// Compares one more reading, if there is memory for its sensor.
    fn add(&mut self, side: Side, partition: i32, reading: &Reading<'_>) {
        let name = reading.sensor.as_ref();
        if !self.sensors.contains_key(name) {
            if !self.memory.take(self.rules.size(name)) {
                self.no_memory();
                return;
            }
            let sensor = SensorComparison::new(&self.rules);
            self.sensors.insert(name.to_owned(), sensor);
        }
        let sensor = self.sensors.get_mut(name).expect("inserted above");
        let room = self.memory.has_room();
        self.memory.waiting -= sensor.waiting_size();
        sensor.add(side, partition, reading, &self.rules, room);
        self.memory.waiting += sensor.waiting_size();
    }

    /// Counts a reading of a sensor for which there is no memory.
    fn no_memory(&mut self) {
        self.not_compared += 1;
        if self.not_compared == 1 {
            tracing::warn!(
                "memory full: only the first {} sensors are compared\n  help: raise memory in \
                 [limits], or lower lag-max and waiting-max",
                self.sensors.len()
            );
        }
    }

    fn show(&mut self) -> Result<()> {
        self.has_news = false;
        self.output.write(self.table().to_string().as_bytes())?;
        self.output.flush()
    }
}

impl Sink for CompareSink {
    fn write(&mut self, delivery: &Delivery<'_>) -> Result<(), Failure> {
        let Some((_, side)) = self
            .topics
            .iter()
            .find(|(topic, _)| topic == delivery.topic)
        else {
            return Err(Error::new(
                "comparing readings",
                format!("the topic {} is not compared", delivery.topic),
            )
            .help("name the same topics in `from` and in the settings of `compare`")
            .into());
        };
        let side = *side;
        self.has_news = true;
        for reading in delivery.readings {
            self.add(side, delivery.partition, reading);
        }
        Ok(())
    }

    /// Does nothing: the figures are in memory.
    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Does nothing: a reading that comes again counts as a duplicate.
    fn rollback(&mut self) {}

    fn tick(&mut self, now: Instant) -> Result<()> {
        let Some(every) = self.every else {
            return Ok(());
        };
        if now < *self.due.get_or_insert(now + every) {
            return Ok(());
        }
        self.due = Some(now + every);
        if self.has_news { self.show() } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<()> {
        self.show()
    }
}

#[cfg(test)]
mod tests;
