//! The program `rivulet-operator`.

use std::process::ExitCode;

use clap::Parser;
use rivulet_core::shutdown::EndProcess;
use rivulet_node::cli::{self, StageArgs};

use crate::registry::OperatorRegistry;
use crate::run::run;

/// Runs one [operator.STAGE] of a pipeline file: topic → chain of operators → topics
#[derive(Parser)]
#[command(name = "rivulet-operator", version)]
struct Args {
    #[command(flatten)]
    stage: StageArgs,

    /// Exit when all records have been processed
    #[arg(long)]
    drain: bool,
}

/// Runs the program `rivulet-operator` with what is in the registry. `end` ends a process that
/// cannot stop in time.
#[must_use]
pub fn program(registry: &OperatorRegistry, end: EndProcess) -> ExitCode {
    let args = Args::parse();
    args.stage.log();
    cli::exit(
        args.stage
            .run(args.drain, registry, end, |process| run(registry, process)),
    )
}
