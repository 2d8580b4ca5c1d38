//! `compare`: how EWMA and moving average differ, and how far each lags behind its input.

mod comparison;
mod figures;
mod join;
mod memory;
mod numbers;
mod sensor;
pub mod statistics;
mod table;

use std::time::{Duration, Instant};

use rivulet_core::component::Component;
use rivulet_core::error::{Error, Result};
use rivulet_core::limits::Limits;
use rivulet_pipeline::Diagnostic;
use serde::Deserialize;

pub use self::comparison::Comparison;
pub use self::figures::{DifferenceFigures, SensorFigures, SeriesFigures};
pub use self::join::Side;
pub use self::numbers::{LagMax, Seconds, WaitingMax};
use self::sensor::CompareRules;
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

    /// The comparison without the sink, for whoever shows it in another way. `names` are the topics
    /// as the settings name them, and `in_kafka` tells the name in Kafka of each.
    #[must_use]
    pub fn comparison(
        &self,
        names: &[String],
        in_kafka: impl Fn(&str) -> String,
        limits: Limits,
    ) -> Comparison {
        let sides = self.sides(names);
        let topics = sides
            .iter()
            .map(|(_, topic, side)| (in_kafka(topic), *side));
        let rules = CompareRules {
            sides: sides.iter().map(|(_, _, side)| *side).collect(),
            lag_max: self.lag_max.0,
            waiting_max: self.waiting_max.0,
        };
        Comparison::new(topics.collect(), rules, limits)
    }

    fn sink(&self, context: SinkContext) -> CompareSink {
        let sides = self.sides(&context.names);
        let named: Vec<String> = sides
            .iter()
            .map(|(setting, topic, _)| format!("{setting} = {topic}"))
            .collect();
        CompareSink {
            title: format!("{}: {}", context.stage, named.join(", ")),
            comparison: self.comparison(
                &context.names,
                |topic| context.in_kafka(topic),
                context.limits,
            ),
            every: self
                .every_seconds
                .map(|seconds| Duration::from_secs(seconds.0)),
            due: None,
            has_news: false,
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
    comparison: Comparison,
    every: Option<Duration>,
    /// When to show the table next.
    due: Option<Instant>,
    /// Whether a reading came since the table was last shown.
    has_news: bool,
    output: Output,
}

impl CompareSink {
    fn show(&mut self) -> Result<()> {
        self.has_news = false;
        let table = self.comparison.table(&self.title);
        self.output.write(table.to_string().as_bytes())?;
        self.output.flush()
    }
}

impl Sink for CompareSink {
    fn write(&mut self, delivery: &Delivery<'_>) -> Result<(), Failure> {
        let Some(side) = self.comparison.side(delivery.topic) else {
            return Err(Error::new(
                "comparing readings",
                format!("the topic {} is not compared", delivery.topic),
            )
            .help("name the same topics in `from` and in the settings of `compare`")
            .into());
        };
        self.has_news = true;
        for reading in delivery.readings {
            self.comparison.add(side, delivery.partition, reading);
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
