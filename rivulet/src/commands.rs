//! What each command does with the library.

mod compare;
mod consume;
mod dlq;
mod experiment;
mod formats;
mod groups;
mod plot;
mod produce;
mod report;
mod state;
mod tap;
mod top;
mod topics;
mod truth;
mod web;

use std::io::{IsTerminal, Write};

use crate::catalog::ComponentList;
use crate::check::Manifest;
use crate::complete;
use crate::demo;
use crate::schemas::TopicSchemas;
use crate::{graph, print, run};
use clap::CommandFactory;
use indicatif::{ProgressBar, ProgressStyle};
use rivulet_core::error::{Error, Kind, exit_codes};
use rivulet_core::exit;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::shutdown::EndProcess;
use rivulet_core::topic_source::ReadProgress;
use rivulet_kafka::EmbeddedBroker;
use rivulet_node::cli::{BoxError, Common};
use rivulet_node::{log, signals};
use rivulet_pipeline::Stage;
use rivulet_pipeline::{Pipeline, suggest};
use rivulet_verify::{Options, Report};

use crate::{CheckedPipeline, Registry, Target};
use rivulet_core::shutdown::Shutdown;

use crate::args::{Args, Command};

pub(crate) fn run(mut args: Args, registry: &Registry, end: EndProcess) -> Result<(), BoxError> {
    let target = || Target::new(&args.common, args.timeout(), registry);
    match &args.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            complete::registration(&shell.to_string(), &mut script)?;
            return Ok(std::io::stdout().write_all(&script)?);
        }
        Command::Man => {
            return manual(&mut std::io::stdout());
        }
        Command::Check { schema: true, .. } => {
            return print::json(&registry.schema());
        }
        Command::Catalog { name } => {
            return Ok(print::text(catalog(registry, name.as_deref())?)?);
        }
        Command::Formats(command) => {
            return formats::run(command, target, registry);
        }
        Command::Consume(command) => {
            return consume::run(command, &target()?, end);
        }
        Command::Topics(command) => {
            return topics::run(command, &target()?, end);
        }
        Command::Truth(command) => {
            return truth::run(command, target);
        }
        Command::Produce(command) => {
            return produce::run(command, &target()?, end);
        }
        Command::Experiment(command) => {
            return experiment::run(command, &target()?, end);
        }
        Command::Plot(command) => {
            return plot::run(command, &target()?, registry, end);
        }
        Command::Check {
            file: Some(file), ..
        } => args.common.pipeline.clone_from(file),
        _ => {}
    }
    let mut pipeline = CheckedPipeline::load(&args.common, registry)?;
    pipeline.timeout = args.timeout();
    if let Command::Run { .. } | Command::Demo = args.command {
        log::identify(None, &args.common.instance());
    }
    match args.command {
        Command::Check { json: true, .. } => {
            // Without the changes that options of the command line make.
            let file = Pipeline::load(&args.common.pipeline, registry)?;
            print::json(&Manifest::new(&pipeline, &file))
        }
        Command::Check { .. } => Ok(print::text(graph::draw(&pipeline))?),
        Command::Demo => demo(pipeline, &args.common, end),
        Command::Run {
            stages,
            all,
            observe,
        } => {
            // The limits are those of a process: the stages share them.
            let count = if all {
                pipeline.stages.len()
            } else {
                stages.len()
            };
            pipeline.limits = pipeline.limits.shared_by(count);
            let named = stages
                .iter()
                .map(|name| pipeline.stage(name))
                .collect::<Result<Vec<&Stage>, _>>()?;
            let stages = if all {
                pipeline.stages.iter().collect()
            } else {
                named
            };
            let shutdown = Shutdown::new();
            signals::watch(&shutdown, end)?;
            let instance = args.common.instance();
            run::run(&pipeline, &stages, &instance, &observe, &shutdown)
        }
        Command::Groups(args) => groups::run(&pipeline, &args, end),
        Command::Compare(command) => compare::run(&pipeline, &command, end),
        Command::Top(command) => top::run(&pipeline, &command, end),
        Command::Web(command) => web::run(&pipeline, &command, end),
        Command::Report(command) => report::run(&pipeline, &command, end),
        Command::Tap(command) => tap::run(&pipeline, &command, end),
        Command::State(command) => state::run(&pipeline, &command),
        Command::Dlq(command) => dlq::run(&pipeline, &command, end),
        Command::Verify {
            allow_duplicates,
            allow_unverifiable,
        } => verify(&pipeline, Options { allow_duplicates }, allow_unverifiable),
        Command::Completions { .. }
        | Command::Man
        | Command::Catalog { .. }
        | Command::Consume(_)
        | Command::Experiment(_)
        | Command::Formats(_)
        | Command::Plot(_)
        | Command::Produce(_)
        | Command::Topics(_)
        | Command::Truth(_) => Ok(()),
    }
}

/// The components of the registry, or those of one name.
fn catalog(registry: &Registry, name: Option<&str>) -> Result<ComponentList, Error> {
    let list = ComponentList::new(registry);
    let Some(name) = name else {
        return Ok(list);
    };
    let names = list.names();
    list.named(name).ok_or_else(|| {
        let cause = format!("there is no source, operator, sink or format `{name}`");
        Error::new("listing the catalog", cause)
            .help(suggest(name, &names))
            .of_kind(Kind::Usage)
    })
}

/// Writes the manual page, with the exit codes.
fn manual(out: &mut dyn std::io::Write) -> Result<(), BoxError> {
    use clap_mangen::roff::{Roff, bold, roman};

    clap_mangen::Man::new(Args::command()).render(out)?;
    let mut status = Roff::new();
    status.control("SH", ["EXIT STATUS"]);
    for (code, about) in exit_codes() {
        status.control("TP", []);
        status.text([bold(code.to_string())]);
        status.text([roman(about)]);
    }
    Ok(status.to_writer(out)?)
}

/// Runs the pipeline on an embedded broker, or on the given brokers, and verifies it.
fn demo(
    mut pipeline: CheckedPipeline<'_>,
    common: &Common,
    end: EndProcess,
) -> Result<(), BoxError> {
    let shutdown = Shutdown::new();
    signals::watch(&shutdown, end)?;
    let wanted = pipeline.topics.clone();
    print::text(graph::draw(&pipeline))?;
    let _embedded = if common.brokers.is_some() {
        crate::topics::create(&pipeline.connection(), &wanted, &mut say)?;
        print::line(format_args!(
            "\nRunning on the Kafka at {}, {}.",
            pipeline.brokers(),
            pipeline.guarantee
        ))?;
        None
    } else {
        let broker = EmbeddedBroker::start()?;
        demo::adopt(&broker, &mut pipeline, &wanted)?;
        print::line(format_args!(
            "\nRunning on an embedded broker without transactions, {}.",
            Guarantee::AtLeastOnce
        ))?;
        print::line("To run on Kafka, exactly-once, pass --brokers HOST:PORT.")?;
        Some(broker)
    };
    print::line("")?;
    let asks_groups = common.brokers.is_some();
    demo::run(&pipeline, &common.instance(), asks_groups, &shutdown)?;
    print::line("")?;
    // Its limit was that of the stages, which have run in this process.
    pipeline.memory_max = None;
    verify(&pipeline, Options::default(), false)
}

/// Prints a line of progress. What it is about goes on if nobody can read it.
fn say(line: &str) {
    let _ = print::line(line);
}

/// Asks at the terminal. `false` if there is no terminal.
fn confirmed(question: &str) -> Result<bool, BoxError> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    print::text(format_args!("{question} Type yes: "))?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn bar() -> Result<ProgressBar, BoxError> {
    Ok(ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{msg} {wide_bar} {pos}/{len}",
    )?))
}

/// Verifies with a progress bar.
fn verification(pipeline: &CheckedPipeline<'_>, options: Options) -> Result<Report, BoxError> {
    let bar = bar()?;
    let topics = rivulet_verify::topics(pipeline);
    let mut progress = |progress: ReadProgress<'_>| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        bar.set_message(format!("verifying {}", progress.topic));
    };
    let schemas = TopicSchemas::new(pipeline);
    let help = "allow more with --memory-max SIZE, or verify a file with fewer stages";
    let report = pipeline
        .reader(&topics, help, &mut progress)
        .and_then(|mut reader| rivulet_verify::verify(pipeline, options, &schemas, &mut reader));
    bar.finish_and_clear();
    let report = report?;
    schemas.check()?;
    Ok(report)
}

/// Verifies with a progress bar, and prints the report.
fn verify(
    pipeline: &CheckedPipeline<'_>,
    options: Options,
    allow_unverifiable: bool,
) -> Result<(), BoxError> {
    let report = verification(pipeline, options)?;
    print::text(&report)?;
    match report.unverified() {
        _ if !report.is_clean() => Err("the topics do not hold what they must".into()),
        Some(what) if !allow_unverifiable => {
            let cause = format!("not everything could be verified: {what}");
            Err(Error::new("verifying", cause)
                .help(
                    "the table and the notes say why; with --allow-unverifiable this is not an \
                     error",
                )
                .exit_code(exit::UNVERIFIABLE)
                .into())
        }
        _ => Ok(()),
    }
}
