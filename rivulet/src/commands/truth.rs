//! `rivulet truth`.

use jiff::Timestamp;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::topic_source::ReadProgress;
use rivulet_kafka::TopicReader;
use rivulet_node::cli::BoxError;
use rivulet_verify::experiment::{
    ResultCheck, ResultKind, TruthLog, TruthOptions, TruthReport, compare_topic,
};

use super::bar;
use crate::args::TruthArgs;
use crate::schemas::registry;
use crate::times::TimeBound;
use crate::truth::{ResultFields, TruthTable, add_file, add_topic, read_logs};
use crate::{Target, print};

pub(super) fn run<'r>(
    command: &TruthArgs,
    target: impl FnOnce() -> Result<Target<'r>, BoxError>,
) -> Result<(), BoxError> {
    let since = command.since.map(time).transpose()?;
    let mut warn = |warning: &str| tracing::warn!("{warning}");
    let keep_values = command.with.compare.is_some();
    let log = read_logs(&command.logs, since, keep_values, &mut warn)?;
    let Some(report) = compared(command, log, target)? else {
        return Ok(());
    };
    if command.how.json {
        print::json(&report)?;
    } else {
        print::text(TruthTable(&report))?;
    }
    if report.is_clean {
        Ok(())
    } else {
        Err(format!("{} differs from the ground truth", report.compared_with).into())
    }
}

/// The outcome of the comparison. `None` if the log was only to be printed.
fn compared<'r>(
    command: &TruthArgs,
    log: TruthLog,
    target: impl FnOnce() -> Result<Target<'r>, BoxError>,
) -> Result<Option<TruthReport>, BoxError> {
    let (with, how) = (&command.with, &command.how);
    let options = TruthOptions {
        tolerance: how.tolerance,
        show: how.show,
    };
    if let Some(topic) = &with.compare {
        let target = target()?;
        let topic = target.topic(topic);
        let report = read(&target, &topic, |reader| {
            compare_topic(log, &topic, options, reader)
        })?;
        return Ok(Some(report));
    }
    let required: Vec<ResultKind> = how.require.iter().map(|kind| (*kind).into()).collect();
    let fields = ResultFields::new(&how.fields);
    let mut check = ResultCheck::new(&log, &required, options);
    match (&with.results, &with.results_topic) {
        (Some(path), _) => {
            add_file(&mut check, &fields, path)?;
            Ok(Some(check.report(&path.display().to_string())))
        }
        (None, Some(topic)) => {
            let target = target()?;
            let topic = target.topic(topic);
            let topics = std::slice::from_ref(&topic);
            let registry = registry(how.registry.as_ref(), topics, &target)?;
            read(&target, &topic, |reader| {
                add_topic(&mut check, &fields, &topic, reader, registry)
            })?;
            Ok(Some(check.report(&format!("the topic {topic}"))))
        }
        (None, None) => {
            for listing in log.listings() {
                print::text(listing)?;
            }
            Ok(None)
        }
    }
}

/// Reads a topic with a progress bar.
fn read<T>(
    target: &Target<'_>,
    topic: &str,
    read: impl FnOnce(&mut TopicReader<'_>) -> Result<T>,
) -> Result<T, BoxError> {
    let bar = bar()?;
    bar.set_message(format!("reading {topic}"));
    let mut progress = |progress: ReadProgress<'_>| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    };
    let topics = [topic.to_owned()];
    let reader = TopicReader::new(&target.connection, &topics, &mut progress);
    let outcome = reader.and_then(|mut reader| read(&mut reader));
    bar.finish_and_clear();
    Ok(outcome?)
}

fn time(TimeBound(millis): TimeBound) -> Result<Timestamp> {
    Timestamp::from_millisecond(millis).map_err(|error| {
        Error::new("reading --since", error)
            .of_kind(Kind::Usage)
            .help("choose a time between the years -9999 and 9999")
    })
}
