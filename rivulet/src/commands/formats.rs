//! `rivulet formats`.

use std::path::{Path, PathBuf};

use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::format::{Format, FormatContext};
use rivulet_node::cli::BoxError;
use rivulet_pipeline::{Check, ComponentConfig};

use crate::args::FormatsCommand;
use crate::formats::attempt::Attempt;
use crate::formats::guess::Guess;
use crate::formats::sample::{self, SampleRecord};
use crate::{CheckedPipeline, Registry, Target, print};

pub(super) fn run<'r>(
    command: &FormatsCommand,
    target: impl FnOnce() -> Result<Target<'r>, BoxError>,
    registry: &Registry,
) -> Result<(), BoxError> {
    match command {
        FormatsCommand::Try {
            from,
            format,
            unit,
            records,
        } => {
            let sample = Sample::read(from, *records, target)?;
            let (format, unit) = match (format, &sample.pipeline) {
                (Some(format), _) => (ComponentConfig::parse(&named(format))?, *unit),
                (None, Some(pipeline)) if pipeline.topics.contains_key(&sample.topic) => {
                    let topic = pipeline.topic(&sample.topic);
                    (topic.format.clone(), unit.or(topic.unit))
                }
                (None, _) => {
                    let cause = format!("no pipeline file says the format of {from}");
                    return Err(Error::new("trying a format", cause)
                        .of_kind(Kind::Usage)
                        .help("give one: --format 'json = { value = \"/t\" }'")
                        .into());
                }
            };
            let folder = sample
                .pipeline
                .as_ref()
                .map(|pipeline| pipeline.text.folder());
            let context = FormatContext {
                topic: &sample.topic,
                unit,
                folder: folder.unwrap_or(Path::new("")),
            };
            let format = built(&format, &context, registry)?;
            let attempt = Attempt::new(&*format, &sample.records)?;
            print::text(&attempt)?;
            Ok(attempt.check()?)
        }
        FormatsCommand::Guess { from, records } => {
            let sample = Sample::read(from, *records, target)?;
            let guess = Guess::new(&sample.records)?;
            let stem = Path::new(from)
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy();
            print::text(guess.table(if sample.is_file { &stem } else { from }))?;
            let settings = ComponentConfig::parse(&guess.format())?;
            let format = built(&settings, &FormatContext::new(from), registry)?;
            let attempt = Attempt::new(&*format, &sample.records)?;
            print::line(format_args!(
                "# of {} records: {} with {} readings, {} skipped, {} dead letters",
                sample.records.len(),
                attempt.decoded,
                attempt.readings,
                attempt.skipped,
                attempt.invalid
            ))?;
            Ok(attempt.check()?)
        }
    }
}

fn built(
    format: &ComponentConfig,
    context: &FormatContext<'_>,
    registry: &Registry,
) -> Result<Box<dyn Format>, BoxError> {
    let settings = registry.formats().read(format)?;
    let built = settings.build(context);
    Ok(built.map_err(|why| Error::new("trying a format", why).of_kind(Kind::Usage))?)
}

/// A format may be only a name.
pub(super) fn named(format: &str) -> String {
    if format.contains('=') {
        format.to_owned()
    } else {
        format!("{format} = {{}}")
    }
}

struct Sample<'r> {
    records: Vec<SampleRecord>,
    is_file: bool,
    /// The topic's name in Kafka, or the file's.
    topic: String,
    /// The pipeline, if the sample is from a topic and there is a file.
    pipeline: Option<CheckedPipeline<'r>>,
}

impl<'r> Sample<'r> {
    /// A sample of a file, or of a topic if there is no such file.
    fn read(
        from: &str,
        count: usize,
        target: impl FnOnce() -> Result<Target<'r>, BoxError>,
    ) -> Result<Self, BoxError> {
        let path = PathBuf::from(from);
        if path.exists() {
            return Ok(Sample {
                records: sample::of_file(&path, count)?,
                is_file: true,
                topic: from.to_owned(),
                pipeline: None,
            });
        }
        let target = target()?;
        let topic = target.topic(from);
        Ok(Sample {
            records: sample::of_topic(&target.connection, &topic, count)?,
            is_file: false,
            topic,
            pipeline: target.pipeline,
        })
    }
}
