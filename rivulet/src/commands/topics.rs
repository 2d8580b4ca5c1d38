//! `rivulet topics`.

use std::collections::BTreeMap;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::error::{Error, Kind};
use rivulet_core::shutdown::EndProcess;
use rivulet_core::topic_source::ReadProgress;
use rivulet_kafka::Connection;
use rivulet_node::cli::BoxError;
use rivulet_node::signals;
use rivulet_pipeline::{Pipeline, Topic};

use crate::text::plural;
use crate::topics::{
    self, Clean, NewTopicOptions, TopicDeletion, TopicWatch, TruncateBound, Truncation,
};
use crate::{Target, print};

use super::compare::Screen;
use super::state::agreed;
use super::{bar, say};
use crate::args::TopicsCommand;

pub(super) fn run(
    command: &TopicsCommand,
    target: &Target<'_>,
    end: EndProcess,
) -> Result<(), BoxError> {
    let connection = &target.connection;
    let pipeline = target.pipeline.as_ref().map(|checked| &checked.pipeline);
    match command {
        TopicsCommand::Create { names, options } => create(
            connection,
            pipeline,
            &target.topics(names),
            &options.options(),
        ),
        TopicsCommand::List { all, internal } => {
            let listing = match pipeline {
                Some(file) if !all && !internal => topics::list(connection, &file.topics)?,
                _ => topics::list_all(connection, *internal)?,
            };
            Ok(print::text(listing)?)
        }
        TopicsCommand::Describe { names } if names.is_empty() => {
            describe(connection, of_file(pipeline, "describing the topics")?)
        }
        TopicsCommand::Describe { names } => Ok(print::text(topics::details(
            connection,
            &target.topics(names),
        )?)?),
        TopicsCommand::Delete { names, yes } => {
            if names.is_empty() {
                of_file(pipeline, "deleting the topics")?;
            }
            let deletion = TopicDeletion::plan(connection, pipeline, &target.topics(names))?;
            if deletion.is_empty() {
                print::line("none of the topics exists")?;
            } else if agreed(
                &deletion,
                "Delete them with all their records?",
                *yes,
                false,
            )? {
                deletion.execute(&mut say)?;
            }
            Ok(())
        }
        TopicsCommand::Clean { group, topic, yes } => {
            clean(connection, pipeline, (group, &target.topic(topic)), *yes)
        }
        TopicsCommand::Truncate { name, before, yes } => {
            truncate(connection, pipeline, &target.topic(name), *before, *yes)
        }
        TopicsCommand::Size { names } => {
            let sizes = topics::sizes(connection, pipeline, &target.topics(names))?;
            print::text(&sizes)?;
            if let Some(why) = &sizes.without_bytes {
                print::aside(format_args!("warning: the bytes are not known: {why}"));
            }
            Ok(())
        }
        TopicsCommand::Watch { names, every, once } => watch(
            TopicWatch::new(connection, pipeline, &target.topics(names)),
            *every,
            *once,
            end,
        ),
    }
}

/// The pipeline, which a command without names is about.
fn of_file<'p>(pipeline: Option<&'p Pipeline>, doing: &str) -> Result<&'p Pipeline, Error> {
    pipeline.ok_or_else(|| {
        Error::new(doing, "there is no pipeline file, and no topic is named")
            .of_kind(Kind::Usage)
            .help("name topics, or a pipeline file with --pipeline")
    })
}

fn create(
    connection: &Connection,
    pipeline: Option<&Pipeline>,
    names: &[String],
    options: &NewTopicOptions,
) -> Result<(), BoxError> {
    let doing = "creating the topics";
    let wanted: BTreeMap<String, Topic> = if names.is_empty() {
        of_file(pipeline, doing)?.topics.clone()
    } else {
        let of_file = pipeline.into_iter().flat_map(|file| &file.topics);
        let named = of_file.filter(|(name, _)| names.contains(*name));
        named
            .map(|(name, topic)| (name.clone(), topic.clone()))
            .collect()
    };
    if let Some(name) = wanted.keys().next()
        && !options.is_default()
    {
        let cause = format!("the pipeline file says what {name} is like, and so do the options");
        return Err(Error::new(doing, cause)
            .of_kind(Kind::Usage)
            .help("leave out the options, or change the file")
            .into());
    }
    if !wanted.is_empty() {
        topics::create(connection, &wanted, &mut say)?;
    }
    let others = names.iter().filter(|name| !wanted.contains_key(*name));
    let others: Vec<&str> = others.map(String::as_str).collect();
    if !others.is_empty() {
        topics::create_named(connection, &others, options, &mut say)?;
    }
    Ok(())
}

/// Compares the pipeline file with the cluster.
fn describe(connection: &Connection, pipeline: &Pipeline) -> Result<(), BoxError> {
    let description = topics::describe(connection, &pipeline.topics)?;
    print::text(&description)?;
    for warning in description.warnings(pipeline) {
        print::line(format_args!("warning: {warning}"))?;
    }
    if description.differs() {
        return Err(
            "the cluster differs from the file\n  help: create missing topics with \
             `rivulet topics create`; change different settings in the file or on the cluster"
                .into(),
        );
    }
    Ok(())
}

fn clean(
    connection: &Connection,
    pipeline: Option<&Pipeline>,
    (group, topic): (&str, &str),
    yes: bool,
) -> Result<(), BoxError> {
    let waiting = bar()?;
    let plan = Clean::plan(
        connection,
        pipeline,
        (group, topic),
        &mut |progress: ReadProgress<'_>| {
            let what = if progress.waiting {
                "waiting for an open transaction on"
            } else {
                "counting"
            };
            waiting.set_message(format!("{what} {}", progress.topic));
            waiting.set_position(progress.done);
        },
    );
    waiting.finish_and_clear();
    let plan = plan?;
    if plan.is_done() {
        print::text(&plan)?;
    } else if agreed(&plan, "Let it skip them?", yes, false)? {
        plan.execute()?;
        let records = plural(plan.records(), "record");
        print::line(format_args!("done: the group continues after {records}"))?;
    }
    Ok(())
}

fn truncate(
    connection: &Connection,
    pipeline: Option<&Pipeline>,
    name: &str,
    before: Option<TruncateBound>,
    yes: bool,
) -> Result<(), BoxError> {
    let plan = Truncation::plan(connection, pipeline, name, before)?;
    if plan.lost() == 0 {
        print::text(&plan)?;
    } else if agreed(&plan, "Delete these records?", yes, false)? {
        plan.execute()?;
        print::line("done: the records are deleted")?;
    }
    Ok(())
}

fn watch(
    mut watch: TopicWatch<'_>,
    every: Duration,
    once: bool,
    end: EndProcess,
) -> Result<(), BoxError> {
    signals::end_at_once(end)?;
    let mut screen = Screen::new();
    // A wrong name is an error; a broker that leaves later is not.
    watch.look()?;
    let mut next = Instant::now() + every;
    loop {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        match watch.look() {
            Ok(table) => {
                if let Some(table) = table {
                    let after = if screen.is_terminal || once { "" } else { "\n" };
                    print::write(&mut screen, format_args!("{table}{after}"))?;
                    screen.flush()?;
                }
                if once {
                    return Ok(());
                }
            }
            Err(error) if once => return Err(error.into()),
            Err(error) => print::aside(error),
        }
        next = (next + every).max(Instant::now());
    }
}
