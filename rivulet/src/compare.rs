//! The live comparison: what the sink `compare` shows, without its place in a consumer group.
//!
//! Nothing is committed and nothing is left on the cluster, so any number of people can look at
//! once, whether the sink runs or not.

mod tail;

use std::io::Write;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::message::OwnedMessage;
use sinks::catalog::compare::{Compare, Seconds};
use sinks::catalog::{SinkContext, SinkSettings};
use sinks::sink::{Delivery, Failure, Sink};
use stream::cli::BoxError;
use stream::error::{Error, Result};
use stream::format::Format;
use stream::log::ConsumerRecord;
use stream::pipeline::{
    ComponentConfig, Diagnostic, Diagnostics, Pipeline, Role, StageKind, suggest,
};
use stream::reading::InvalidReading;
use stream::shutdown::Shutdown;

pub use self::tail::ReadFrom;
use self::tail::Tail;
use crate::topics::plural;

/// How often it is looked whether to stop, and whether to show something.
const TICK: Duration = Duration::from_millis(100);
/// How long nothing may come of what there is to read before that is an error.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is compared with what.
#[derive(Debug)]
pub struct LiveComparison<'p> {
    pipeline: &'p Pipeline,
    title: String,
    topics: Vec<String>,
    settings: Compare,
}

impl<'p> LiveComparison<'p> {
    /// The one that a sink of the file makes, by its name, or the only one.
    ///
    /// # Errors
    /// If there is none, if there are several, or if that one is something else.
    pub fn find(pipeline: &'p Pipeline, name: Option<&str>) -> Result<Self, Diagnostics> {
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
        let diagnostic =
            |diagnostic: Diagnostic| Diagnostics::new(pipeline.text.clone(), vec![diagnostic]);
        let topics = "name two topics: `rivulet compare EWMA AVERAGE`";
        let (title, topics, sink) = match (name, found.as_slice()) {
            (None, [one]) => one,
            (None, []) => {
                return Err(diagnostic(
                    Diagnostic::nowhere("has no sink that compares").help(topics),
                ));
            }
            (None, _) => {
                let message = format!("has {} sinks that compare", names.len());
                return Err(diagnostic(
                    Diagnostic::nowhere(message).help(format!("name one: {}", names.join(", "))),
                ));
            }
            (Some(name), _) => {
                found
                    .iter()
                    .find(|(known, ..)| *known == name)
                    .ok_or_else(|| {
                        let help = if names.is_empty() {
                            topics.to_owned()
                        } else {
                            suggest(name, &names)
                        };
                        diagnostic(
                            Diagnostic::nowhere(format!("has no sink `{name}` that compares"))
                                .help(help),
                        )
                    })?
            }
        };
        let settings = sink.settings().map_err(diagnostic)?;
        Ok(LiveComparison {
            pipeline,
            title: (*title).to_owned(),
            topics: topics.to_vec(),
            settings,
        })
    }

    /// One that no sink makes: of two topics that stages of the file read or write.
    #[must_use]
    pub fn between(pipeline: &'p Pipeline, ewma: &str, average: &str) -> Self {
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

    /// Compares with this input instead of the sink's.
    #[must_use]
    pub fn with_input(mut self, input: &str) -> Self {
        self.topics = [&self.settings.ewma, &self.settings.average, input]
            .map(str::to_owned)
            .into();
        self.settings.input = Some(input.to_owned());
        self
    }

    /// Shows the table every second unless the sink says how often, not only at the end.
    #[must_use]
    pub fn live(mut self) -> Self {
        self.settings.every_seconds = self.settings.every_seconds.or(Seconds::try_from(1).ok());
        self
    }

    /// Compares until all has been read that is wanted, or it is asked to stop. Every table goes to
    /// `output` as a whole, the last one at the end.
    ///
    /// # Errors
    /// Topics that the file does not know or the cluster does not have, or a cluster that does not
    /// answer.
    pub fn run(
        self,
        extent: ReadFrom,
        output: Box<dyn Write + Send>,
        shutdown: &Shutdown,
    ) -> Result<(), BoxError> {
        let formats = self.formats()?;
        let LiveComparison {
            pipeline,
            title,
            topics,
            settings,
        } = self;
        let context = SinkContext {
            output,
            ..SinkContext::new(pipeline.text.folder(), title, topics.clone())
        };
        let mut sink = Box::new(settings).open(context)?;
        let mut tail = Tail::new(&pipeline.kafka, &topics, extent)?;
        let (mut refused, mut last) = (0_u64, Instant::now());
        while !shutdown.is_stopping() && !tail.is_done() {
            if let Some((index, message)) = tail.next(TICK)? {
                last = Instant::now();
                if let Err(refusal) = deliver(
                    &mut *sink,
                    index,
                    &topics[index],
                    &*formats[index],
                    &message,
                )? {
                    refused += 1;
                    if refused == 1 {
                        let (partition, offset) = (message.partition(), message.offset());
                        tracing::warn!(
                            "{}/{partition} at offset {offset} is no reading: {refusal}",
                            topics[index]
                        );
                    }
                }
            } else if extent == ReadFrom::Now && last.elapsed() > PATIENCE {
                let waited = format!("nothing came for {} s", PATIENCE.as_secs());
                let cause = tail.seen().map_or(waited.clone(), |seen| {
                    format!("{waited}; last seen: {seen}")
                });
                let error = Error::new(format!("reading {}", topics.join(", ")), cause);
                return Err(error.help("are all brokers running?").into());
            }
            sink.tick(Instant::now())?;
        }
        sink.finish()?;
        if refused > 0 {
            tracing::warn!(
                "{} left out that are no readings",
                plural(refused.cast_signed(), "record")
            );
        }
        Ok(())
    }

    /// How each topic is written.
    fn formats(&self) -> Result<Vec<Box<dyn Format>>, Diagnostics> {
        let known = self
            .pipeline
            .topics
            .iter()
            .filter(|(_, topic)| topic.role == Role::Readings);
        let known: Vec<&str> = known.map(|(name, _)| name.as_str()).collect();
        let lacking = self
            .topics
            .iter()
            .filter(|topic| !known.contains(&topic.as_str()))
            .map(|topic| {
                Diagnostic::nowhere(format!("no stage reads or writes the topic `{topic}`"))
                    .help(suggest(topic, &known))
            });
        let diagnostics: Vec<Diagnostic> = lacking
            .chain(self.settings.check(&self.topics).err())
            .collect();
        if diagnostics.is_empty() {
            Ok(self
                .topics
                .iter()
                .map(|topic| self.pipeline.topic(topic).build_format())
                .collect())
        } else {
            Err(Diagnostics::new(self.pipeline.text.clone(), diagnostics))
        }
    }
}

/// Hands a record to the sink, unless it is no reading.
fn deliver(
    sink: &mut dyn Sink,
    index: usize,
    topic: &str,
    format: &dyn Format,
    message: &OwnedMessage,
) -> Result<Result<(), InvalidReading>> {
    let (partition, offset) = (message.partition(), message.offset());
    let timestamp = message.timestamp().to_millis().unwrap_or(-1);
    let (key, value) = (message.key(), message.payload());
    let reading = match format.decode(&ConsumerRecord {
        topic: index,
        partition,
        offset,
        timestamp,
        key,
        value,
    }) {
        Ok(reading) => reading,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let written = sink.write(&Delivery {
        topic,
        partition,
        offset,
        timestamp,
        key,
        reading: &reading,
    });
    written.map_err(|(Failure::Passing(error) | Failure::Lasting(error))| error)?;
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stream::pipeline::Text;

    use super::*;

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

    fn pipeline(sinks: &[&str]) -> Pipeline {
        let sinks: String = sinks
            .iter()
            .map(|name| SINK.replace("NAME", name))
            .collect();
        let text = format!("{BRANCHES}{sinks}");
        Pipeline::parse(Arc::new(Text {
            path: "p.toml".into(),
            text,
        }))
        .unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
    }

    #[test]
    fn the_only_one_needs_no_name() {
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
        let refusal = LiveComparison::find(&pipeline, Some("comapre"))
            .unwrap_err()
            .to_string();
        assert!(
            refusal.contains("no sink `comapre` that compares") && refusal.contains("`compare`?"),
            "{refusal}"
        );
    }

    #[test]
    fn one_of_several_or_none_must_be_named() {
        let several = pipeline(&["left", "right"]);
        let refusal = LiveComparison::find(&several, None)
            .unwrap_err()
            .to_string();
        assert!(
            refusal.contains("has 2 sinks that compare")
                && refusal.contains("name one: left, right"),
            "{refusal}"
        );
        assert_eq!(
            LiveComparison::find(&several, Some("right")).unwrap().title,
            "right"
        );
        let refusal = LiveComparison::find(&pipeline(&[]), None)
            .unwrap_err()
            .to_string();
        assert!(
            refusal.contains("has no sink that compares\n  help: name two topics"),
            "{refusal}"
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
        let refusal = |ewma, average| {
            LiveComparison::between(&pipeline, ewma, average)
                .formats()
                .err()
                .unwrap()
                .to_string()
        };
        let shown = refusal("emwa", "in-dead-letters");
        assert!(
            shown.contains("the topic `emwa`") && shown.contains("did you mean `ewma`?"),
            "{shown}"
        );
        assert!(shown.contains("the topic `in-dead-letters`"), "{shown}");
        assert!(refusal("ewma", "ewma").contains("are the same topic `ewma`"));
    }
}
