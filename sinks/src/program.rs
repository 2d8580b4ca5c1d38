//! The program `rivulet-sink`.

use std::process::ExitCode;

use clap::Parser;
use rivulet_core::shutdown::EndProcess;
use rivulet_node::cli::{self, StageArgs};

use crate::registry::SinkRegistry;
use crate::run::run;

/// Run one [sink.STAGE] of a pipeline file: it shows or stores the readings of topics
#[derive(Parser)]
#[command(name = "rivulet-sink", version)]
struct Args {
    #[command(flatten)]
    stage: StageArgs,

    /// Exit once all readings in the topics are shown or stored
    #[arg(long)]
    drain: bool,
}

/// Runs the program `rivulet-sink` with what is in the registry. `end` ends a process that cannot
/// stop in time.
#[must_use]
pub fn program(registry: &SinkRegistry, end: EndProcess) -> ExitCode {
    let args = Args::parse();
    args.stage.log();
    cli::exit(args.stage.run(args.drain, registry, end, |process| {
        run(registry, process, Box::new(std::io::stdout()))
    }))
}
