//! `rivulet plot`.

use std::path::Path;

use rivulet_core::error::{Error, Kind};
use rivulet_core::format::{Format, FormatContext};
use rivulet_core::shutdown::{EndProcess, Shutdown};
use rivulet_node::cli::BoxError;
use rivulet_node::signals;
use rivulet_pipeline::{Check, ComponentConfig, Role};

use super::formats::named;
use crate::args::PlotArgs;
use crate::live::LiveTopics;
use crate::plot::{self, PlotSettings, PlotTopic};
use crate::{Registry, Target};

pub(super) fn run(
    args: &PlotArgs,
    target: &Target<'_>,
    registry: &Registry,
    end: EndProcess,
) -> Result<(), BoxError> {
    let compared = target.pipeline.as_ref();
    // Whatever is wrong with the comparison is no matter here.
    let compared = compared.and_then(|pipeline| LiveTopics::of_pipeline(pipeline, None).ok());
    let compared = compared.map_or_else(Vec::new, |topics| topics.topics);
    let topics = args.topics.iter().map(|name| {
        let in_kafka = target.topic(name);
        let known = compared.iter().find(|topic| topic.in_kafka == in_kafka);
        Ok(PlotTopic {
            side: known.and_then(|topic| topic.side),
            format: format(&in_kafka, args, target, registry)?,
            name: name.clone(),
            in_kafka,
        })
    });
    let settings = PlotSettings {
        topics: topics.collect::<Result<_, BoxError>>()?,
        sensors: args.sensors.clone(),
        from: args.from,
        group: args.group.clone(),
    };
    if let Some(address) = args.page {
        signals::end_at_once(end)?;
        let brokers = target.connection.properties.get("bootstrap.servers");
        let brokers = brokers.map_or("", String::as_str);
        return plot::page(&target.connection, settings, brokers, address);
    }
    let shutdown = Shutdown::new();
    signals::watch(&shutdown, end)?;
    plot::run(&target.connection, settings, &shutdown)
}

/// The format of a topic: that of the pipeline file, or else that of the option.
fn format(
    topic: &str,
    args: &PlotArgs,
    target: &Target<'_>,
    registry: &Registry,
) -> Result<Box<dyn Format>, BoxError> {
    if let Some(pipeline) = &target.pipeline
        && let Some(of_file) = pipeline.topics.get(topic)
    {
        if of_file.role == Role::Readings {
            return Ok(pipeline.format(topic, registry.formats())?);
        }
        let error = Error::new(format!("drawing {topic}"), "it does not have readings");
        return Err(error
            .of_kind(Kind::Usage)
            .help("`rivulet state show` shows changelogs, and `rivulet dlq list` dead letters")
            .into());
    }
    let settings = registry
        .formats()
        .read(&ComponentConfig::parse(&named(&args.format))?)?;
    let context = FormatContext {
        folder: Path::new(""),
        ..FormatContext::new(topic)
    };
    let built = settings.build(&context);
    let doing = format!("setting up the format of {topic}");
    Ok(built.map_err(|why| Error::new(doing, why).of_kind(Kind::Usage))?)
}
