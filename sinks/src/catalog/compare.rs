//! `compare`: how EWMA and moving average differ, and how far each is behind its input.

mod join;
mod sensor;
pub mod statistics;
mod table;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;
use stream::catalog::Component;
use stream::error::{Error, Result};
use stream::pipeline::Diagnostic;

use self::join::Side;
use self::sensor::{CompareRules, SensorComparison};
use self::table::{Block, Table};
use super::{SinkContext, SinkSettings};
use crate::output::Output;
use crate::sink::{Delivery, Failure, Sink};

/// Joins EWMA, moving average and their input by sensor and event time, and compares them.
///
/// It shows, for each sensor: how many points were joined; mean and last value of each series; the
/// mean, the last, the mean absolute and the root-mean-square difference between each two; and the
/// [lag](statistics::LagEstimate) of each smoothed series behind the input, in steps of the input.
/// All of them are taken over the points that were joined. Beside them it shows what was not:
/// readings without a partner (the first few of each sensor, for which EWMA or average emit
/// nothing), readings that came twice, and readings in another unit than their sensor's first.
///
/// Several readings of a sensor with the same time are joined in the order of their arrival. Where
/// readings have no sensor, in the format `number`, all are of the sensor "(all)".
///
/// The memory for a sensor is bounded by `lag-max` and `waiting-max`: about 100 bytes a step, and
/// about as much for each time that waits. The figures are of what this process has read: a stage
/// that starts again begins with empty ones.
///
/// ```
/// use sinks::catalog::{SinkContext, read};
/// use stream::pipeline::ComponentConfig;
///
/// let topics = vec!["smooth".to_owned(), "temperatures_moving_average".to_owned()];
/// let part = ComponentConfig::parse(r#"compare = { ewma = "smooth", every-seconds = 10 }"#).unwrap();
/// let settings = read(&part, &topics).unwrap();
/// let mut sink = settings.open(SinkContext::new("config", "compare", topics))?;
/// sink.finish()?;
/// # Ok::<(), stream::error::Error>(())
/// ```
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Compare {
    /// The topic of the EWMA.
    #[serde(default = "default_ewma")]
    pub ewma: String,
    /// The topic of the moving average.
    #[serde(default = "default_average")]
    pub average: String,
    /// The topic that both were made from; if it is not given,
    /// `temperatures_above_threshold` where the stage reads that.
    pub input: Option<String>,
    /// How often the table is shown while readings come; only at the end if it is not given.
    pub every_seconds: Option<Seconds>,
    /// The longest lag that is tried, in steps.
    #[serde(default)]
    pub lag_max: LagMax,
    /// How many times of a sensor may wait until every series has brought its reading.
    #[serde(default)]
    pub waiting_max: WaitingMax,
}

/// The input unless another is named.
const DEFAULT_INPUT: &str = "temperatures_above_threshold";

fn default_ewma() -> String {
    "temperatures_ewma".to_owned()
}

fn default_average() -> String {
    "temperatures_moving_average".to_owned()
}

/// An interval from a second to a day.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
pub struct Seconds(u64);

impl TryFrom<i64> for Seconds {
    type Error = String;

    fn try_from(seconds: i64) -> Result<Self, String> {
        match u64::try_from(seconds) {
            Ok(seconds @ 1..=86_400) => Ok(Seconds(seconds)),
            _ => Err(format!(
                "{seconds} is not a number of seconds from 1 to 86400; leave it out to see the \
                 table at the end only"
            )),
        }
    }
}

/// A number of steps, 0 to 1000; 24 unless said otherwise.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
pub struct LagMax(usize);

impl Default for LagMax {
    fn default() -> Self {
        LagMax(24)
    }
}

impl TryFrom<i64> for LagMax {
    type Error = String;

    fn try_from(steps: i64) -> Result<Self, String> {
        match usize::try_from(steps) {
            Ok(steps @ 0..=1000) => Ok(LagMax(steps)),
            _ => Err(format!(
                "{steps} is not a number of steps from 0 to 1000; a day of hourly readings has 24"
            )),
        }
    }
}

/// A number of waiting times, 1 to 1,000,000; 4096 unless said otherwise.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
pub struct WaitingMax(usize);

impl Default for WaitingMax {
    fn default() -> Self {
        WaitingMax(4096)
    }
}

impl TryFrom<i64> for WaitingMax {
    type Error = String;

    fn try_from(times: i64) -> Result<Self, String> {
        match usize::try_from(times) {
            Ok(times @ 1..=1_000_000) => Ok(WaitingMax(times)),
            _ => Err(format!(
                "{times} is not a number from 1 to 1000000; most want the default, 4096"
            )),
        }
    }
}

impl Compare {
    /// The topics with their settings' names and their sides.
    fn sides(&self, topics: &[String]) -> Vec<(&'static str, &str, Side)> {
        let input = self.input.as_deref().or_else(|| {
            topics
                .iter()
                .find(|topic| *topic == DEFAULT_INPUT)
                .map(|_| DEFAULT_INPUT)
        });
        let mut sides = vec![
            ("ewma", self.ewma.as_str(), Side::Ewma),
            ("average", self.average.as_str(), Side::Average),
        ];
        sides.extend(input.map(|input| ("input", input, Side::Input)));
        sides
    }

    fn sink(&self, context: SinkContext) -> CompareSink {
        let sides = self.sides(&context.topics);
        let named: Vec<String> = sides
            .iter()
            .map(|(setting, topic, _)| format!("{setting} = {topic}"))
            .collect();
        CompareSink {
            title: format!("{}: {}", context.stage, named.join(", ")),
            topics: sides
                .iter()
                .map(|(_, topic, side)| ((*topic).to_owned(), *side))
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
            news: false,
            sensors: BTreeMap::new(),
            output: Output::new(&context.stage, context.output),
        }
    }
}

impl Component for Compare {
    const NAME: &'static str = "compare";
    const ABOUT: &'static str =
        "shows how far EWMA, moving average and their input are apart and behind";
    const EXAMPLE: &'static str = r#"compare = { ewma = "temperatures_ewma", average = "temperatures_moving_average", every-seconds = 10 }"#;
}

impl SinkSettings for Compare {
    fn check(&self, topics: &[String]) -> Result<(), Diagnostic> {
        let sides = self.sides(topics);
        for (index, (setting, topic, _)) in sides.iter().enumerate() {
            if let Some((other, ..)) = sides[..index].iter().find(|(_, other, _)| other == topic) {
                return Err(Diagnostic::nowhere(format!(
                    "`{other}` and `{setting}` are the same topic `{topic}`"
                ))
                .help("name the topic that each is in"));
            }
            if !topics.iter().any(|read| read == topic) {
                let message = format!(
                    "compare wants `{setting}` from the topic `{topic}`, which its stage does not \
                     read"
                );
                return Err(Diagnostic::nowhere(message).help(format!(
                    "add \"{topic}\" to `from`, or say {setting} = \"TOPIC\" with one that stands \
                     there"
                )));
            }
        }
        match topics
            .iter()
            .find(|read| sides.iter().all(|(_, topic, _)| read != topic))
        {
            Some(unused) => Err(Diagnostic::nowhere(format!(
                "compare has no use for the topic `{unused}` in `from`"
            ))
            .help(format!(
                "say input = \"{unused}\" if the others were made from it, or take it out of `from`"
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
    /// When the table is shown next.
    due: Option<Instant>,
    /// Whether anything came since the table was last shown.
    news: bool,
    sensors: BTreeMap<String, SensorComparison>,
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
                heading: "nothing has come".to_owned(),
                rows: Vec::new(),
            });
        }
        Table {
            title: self.title.clone(),
            blocks,
            closing: self.left_out(),
        }
    }

    /// What the figures do not hold.
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
        format!(
            "left out: without a partner {}; duplicates {}; dropped because more than {} were \
             waiting {}; in another unit {}",
            alone.join(", "),
            sum(&|sensor| sensor.duplicates),
            self.rules.waiting_max,
            sum(&|sensor| sensor.join.dropped),
            sum(&|sensor| sensor.other_unit),
        )
    }

    fn show(&mut self) -> Result<()> {
        self.news = false;
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
                format!("the topic {} is none of those compared", delivery.topic),
            )
            .help("let `from` and the settings of `compare` name the same topics")
            .into());
        };
        let Delivery {
            partition, reading, ..
        } = delivery;
        if !self.sensors.contains_key(reading.sensor.as_ref()) {
            self.sensors.insert(
                reading.sensor.clone().into_owned(),
                SensorComparison::new(&self.rules),
            );
        }
        let sensor = self
            .sensors
            .get_mut(reading.sensor.as_ref())
            .expect("it was put in if it was not there");
        sensor.add(*side, *partition, reading, &self.rules);
        self.news = true;
        Ok(())
    }

    /// Nothing: the figures live in memory and are shown at the end or every so often.
    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Nothing: a reading that comes again is counted as one that came twice.
    fn rollback(&mut self) {}

    fn tick(&mut self, now: Instant) -> Result<()> {
        let Some(every) = self.every else {
            return Ok(());
        };
        if now < *self.due.get_or_insert(now + every) {
            return Ok(());
        }
        self.due = Some(now + every);
        if self.news { self.show() } else { Ok(()) }
    }

    fn finish(&mut self) -> Result<()> {
        self.show()
    }
}

#[cfg(test)]
mod tests;
