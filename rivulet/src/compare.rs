//! The live comparison: the table of the sink `compare`, without a consumer group.
//!
//! It commits nothing and leaves nothing on the cluster, so any number of people can use it at
//! once, whether the sink runs or not.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::CheckedPipeline;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::format::{DecodeError, Format};
use rivulet_core::log::ConsumerRecord;
use rivulet_core::reading::InvalidReading;
use rivulet_core::readings::Readings;
use rivulet_core::shutdown::Shutdown;
use rivulet_core::text::plain;
use rivulet_node::cli::BoxError;
use rivulet_pipeline::{Check, ComponentConfig, Diagnostic, Diagnostics, Role, StageKind, suggest};
use rivulet_sinks::catalog::compare::{Compare, Comparison, Seconds};
use rivulet_sinks::catalog::{SinkContext, SinkSettings};
use rivulet_sinks::sink::{Delivery, Failure, Sink};

use crate::text::plural;
pub use rivulet_kafka::ReadFrom;
use rivulet_kafka::Tail;

/// How often to check for a stop and for a table to show.
const TICK: Duration = Duration::from_millis(100);
/// How long no record may arrive before that is an error.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A comparison of two topics.
#[derive(Debug)]
pub struct LiveComparison<'p> {
    pipeline: &'p CheckedPipeline<'p>,
    title: String,
    /// As the settings name them.
    topics: Vec<String>,
    settings: Compare,
}

impl<'p> LiveComparison<'p> {
    /// Whether a sink of the pipeline compares.
    #[must_use]
    pub fn is_in(pipeline: &CheckedPipeline<'_>) -> bool {
        pipeline.stages.iter().any(
            |stage| matches!(&stage.kind, StageKind::Sink { sink } if sink.name() == "compare"),
        )
    }

    /// The comparison of a sink of the file: the sink of this name, or the only one.
    ///
    /// # Errors
    /// If there is no such sink, or several, or the sink does not compare.
    pub fn find(
        pipeline: &'p CheckedPipeline<'p>,
        name: Option<&str>,
    ) -> Result<Self, Diagnostics> {
        let found: Vec<(&str, &[String], &ComponentConfig)> = pipeline
            .stages
            .iter()
            .filter_map(|stage| {
                let StageKind::Sink { sink } = &stage.kind else {
                    return None;
                };
                (sink.name() == "compare").then_some((
                    stage.name.as_str(),
                    stage.from.as_slice(),
                    sink,
                ))
            })
            .collect();
        let names: Vec<&str> = found.iter().map(|(name, ..)| *name).collect();
        let error =
            |diagnostic: Diagnostic| Diagnostics::new(pipeline.text.clone(), vec![diagnostic]);
        let topics = "name two topics: `rivulet compare EWMA AVERAGE`".to_owned();
        let chosen = match (name, found.as_slice()) {
            (None, [one]) => Ok(one),
            (None, []) => Err(("has no sink that compares".to_owned(), topics)),
            (None, _) => Err((
                format!("has {} sinks that compare", names.len()),
                format!("name one: {}", names.join(", ")),
            )),
            (Some(name), _) => {
                let sink = found.iter().find(|(known, ..)| *known == name);
                sink.ok_or_else(|| {
                    let help = if names.is_empty() {
                        topics
                    } else {
                        suggest(name, &names)
                    };
                    (format!("has no sink `{}` that compares", plain(name)), help)
                })
            }
        };
        let (title, topics, sink) =
            chosen.map_err(|(message, help)| error(Diagnostic::nowhere(message).help(help)))?;
        let settings = sink.settings()?;
        Ok(LiveComparison {
            pipeline,
            title: (*title).to_owned(),
            topics: topics
                .iter()
                .map(|topic| pipeline.in_file(topic).to_owned())
                .collect(),
            settings,
        })
    }

    /// A comparison without a sink, of two topics that stages of the file read or write.
    #[must_use]
    pub fn between(pipeline: &'p CheckedPipeline<'p>, ewma: &str, average: &str) -> Self {
        let topics = [ewma, average].map(str::to_owned);
        let [ewma, average] = topics.clone();
        let (input, every_seconds, lag_max, waiting_max) = <_>::default();
        let settings = Compare {
            ewma,
            average,
            input,
            every_seconds,
            lag_max,
            waiting_max,
        };
        LiveComparison {
            pipeline,
            title: "compare".to_owned(),
            topics: topics.into(),
            settings,
        }
    }

    /// Uses this input topic instead of that of the sink.
    #[must_use]
    pub fn with_input(mut self, input: &str) -> Self {
        self.topics = [&self.settings.ewma, &self.settings.average, input]
            .map(str::to_owned)
            .into();
        self.settings.input = Some(input.to_owned());
        self
    }

    /// Shows the table every second, or as often as the sink does, instead of only at the end.
    #[must_use]
    pub fn live(mut self) -> Self {
        self.settings.every_seconds = self.settings.every_seconds.or(Seconds::try_from(1).ok());
        self
    }

    /// Compares until everything has been read or it is asked to stop. Every table is written to
    /// `output` and flushed, the last one at the end.
    ///
    /// # Errors
    /// If a topic is not in the file or on the cluster, or the brokers are unreachable.
    pub fn run(
        self,
        from: ReadFrom,
        output: Box<dyn Write + Send>,
        shutdown: &Shutdown,
    ) -> Result<(), BoxError> {
        let (topics, formats) = (self.in_kafka(), self.formats()?);
        let LiveComparison {
            pipeline,
            title,
            topics: names,
            settings,
        } = self;
        let context = SinkContext {
            limits: pipeline.limits,
            output,
            names,
            ..SinkContext::new(pipeline.text.folder(), title, topics.clone())
        };
        let mut sink = Box::new(settings).open(context)?;
        let mut tail = Tail::new(&pipeline.connection(), &topics, from)?;
        let (mut invalid_count, mut last) = (0_u64, Instant::now());
        while !shutdown.is_stopping() && !tail.is_done() {
            if let Some(record) = tail.next(TICK)? {
                last = Instant::now();
                let record = record.fields();
                let (topic, format) = (&topics[record.topic], &*formats[record.topic]);
                if let Err(invalid) = deliver(&mut *sink, topic, format, &record)? {
                    invalid_count += 1;
                    if invalid_count == 1 {
                        tracing::warn!(
                            topic,
                            partition = record.partition,
                            offset = record.offset,
                            "invalid reading left out: {invalid}"
                        );
                    }
                }
            } else if from == ReadFrom::Now && last.elapsed() > TIMEOUT {
                let mut cause = format!("no record arrived for {} s", TIMEOUT.as_secs());
                if let Some(last) = tail.last_error() {
                    cause = format!("{cause}; last error: {last}");
                }
                let error = Error::new(format!("reading {}", topics.join(", ")), cause);
                return Err(error
                    .of_kind(Kind::Unreachable)
                    .help("are all brokers running?")
                    .into());
            }
            sink.tick(Instant::now())?;
        }
        sink.finish()?;
        if invalid_count > 0 {
            tracing::warn!(
                "{} left out",
                plural(invalid_count.cast_signed(), "invalid reading")
            );
        }
        Ok(())
    }

    /// The comparison itself, before the first reading, for whoever shows it in another way.
    ///
    /// # Errors
    /// If a topic is not in the file.
    pub fn comparison(&self) -> Result<Comparison, Diagnostics> {
        self.formats()?;
        let in_kafka = |topic: &str| self.pipeline.in_kafka(topic);
        let limits = self.pipeline.limits;
        Ok(self.settings.comparison(&self.topics, in_kafka, limits))
    }

    /// The topics by their names in Kafka.
    fn in_kafka(&self) -> Vec<String> {
        let names = self.topics.iter();
        names.map(|name| self.pipeline.in_kafka(name)).collect()
    }

    /// The format of each topic.
    fn formats(&self) -> Result<Vec<Box<dyn Format>>, Diagnostics> {
        let topics = self.in_kafka();
        let known = self
            .pipeline
            .topics
            .iter()
            .filter(|(_, topic)| topic.role == Role::Readings);
        let (in_kafka, known): (Vec<&str>, Vec<&str>) = known
            .map(|(name, topic)| (name.as_str(), topic.name.as_str()))
            .unzip();
        let lacking = topics
            .iter()
            .filter(|topic| !in_kafka.contains(&topic.as_str()))
            .map(|topic| {
                Diagnostic::nowhere(format!(
                    "no stage reads or writes the topic `{}`",
                    plain(topic)
                ))
                .help(suggest(topic, &known))
            });
        let diagnostics: Vec<Diagnostic> = lacking
            .chain(self.settings.check(&self.topics).err())
            .collect();
        if diagnostics.is_empty() {
            let formats = self.pipeline.registry.formats();
            topics
                .iter()
                .map(|topic| self.pipeline.format(topic, formats))
                .collect()
        } else {
            Err(Diagnostics::new(self.pipeline.text.clone(), diagnostics))
        }
    }
}

/// Delivers a record to the sink, unless it is an invalid reading.
fn deliver(
    sink: &mut dyn Sink,
    topic: &str,
    format: &dyn Format,
    record: &ConsumerRecord<'_>,
) -> Result<Result<(), InvalidReading>> {
    let readings = match format.decode(record) {
        Ok(Readings::None) => return Ok(Ok(())),
        Ok(readings) => readings,
        Err(DecodeError::Invalid(invalid)) => return Ok(Err(invalid)),
        Err(DecodeError::Unavailable(error)) => return Err(error),
    };
    let written = sink.write(&Delivery {
        topic,
        partition: record.partition,
        offset: record.offset,
        timestamp: record.timestamp,
        key: record.key,
        readings: readings.as_slice(),
    });
    written.map_err(|(Failure::Passing(error) | Failure::Lasting(error))| error)?;
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::checked::tests::parse;

    const BRANCHES: &str = r#"
[producer.in]
source = { list = { values = [1] } }
to = ["warm", "ewma", "average"]
"#;

    const SINK: &str = "
[sink.NAME]
from = [\"ewma\", \"average\"]
sink = { compare = { ewma = \"ewma\", average = \"average\", every-seconds = 10 } }
";

    fn pipeline(sinks: &[&str]) -> CheckedPipeline<'static> {
        let sinks: String = sinks
            .iter()
            .map(|name| SINK.replace("NAME", name))
            .collect();
        let text = format!("{BRANCHES}{sinks}");
        parse(text).unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
    }

    #[test]
    fn the_only_sink_needs_no_name() {
        let pipeline = pipeline(&["compare"]);
        let found = LiveComparison::find(&pipeline, None).unwrap();
        assert_eq!(
            (found.title.as_str(), found.topics.as_slice()),
            ("compare", &["ewma", "average"].map(String::from)[..])
        );
        assert!(found.formats().is_ok());
        let found = found.with_input("warm");
        assert_eq!(found.topics, ["ewma", "average", "warm"]);
        assert!(found.formats().is_ok());
        let error = LiveComparison::find(&pipeline, Some("comapre"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no sink `comapre` that compares") && error.contains("`compare`?"),
            "{error}"
        );
    }

    #[test]
    fn with_a_prefix_topics_are_named_as_in_the_file_or_in_kafka() {
        let sink = SINK.replace("NAME", "compare");
        let pipeline = parse(format!("prefix = \"team7-\"\n{BRANCHES}{sink}")).unwrap();
        let of_sink = LiveComparison::find(&pipeline, None).unwrap();
        let of_file = LiveComparison::between(&pipeline, "ewma", "average");
        let of_kafka = LiveComparison::between(&pipeline, "team7-ewma", "team7-average");
        for found in [of_sink, of_file, of_kafka] {
            assert_eq!(found.in_kafka(), ["team7-ewma", "team7-average"]);
            assert!(found.formats().is_ok());
        }
    }

    #[test]
    fn one_of_several_or_none_must_be_named() {
        let several = pipeline(&["left", "right"]);
        let error = LiveComparison::find(&several, None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("has 2 sinks that compare") && error.contains("name one: left, right"),
            "{error}"
        );
        assert_eq!(
            LiveComparison::find(&several, Some("right")).unwrap().title,
            "right"
        );
        let error = LiveComparison::find(&pipeline(&[]), None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("has no sink that compares\n  help: name two topics"),
            "{error}"
        );
    }

    #[test]
    fn two_topics_are_compared_without_a_sink() {
        let pipeline = pipeline(&[]);
        assert_eq!(
            LiveComparison::between(&pipeline, "ewma", "average")
                .formats()
                .unwrap()
                .len(),
            2
        );
        let error = |ewma, average| {
            let comparison = LiveComparison::between(&pipeline, ewma, average);
            comparison.formats().err().unwrap().to_string()
        };
        let shown = error("emwa", "in-dead-letters");
        assert!(
            shown.contains("the topic `emwa`") && shown.contains("did you mean `ewma`?"),
            "{shown}"
        );
        assert!(shown.contains("the topic `in-dead-letters`"), "{shown}");
        assert!(error("ewma", "ewma").contains("are the same topic `ewma`"));
    }
}
