//! `rivulet-operator STAGE`: runs one `[operator.STAGE]` of a pipeline file.

use std::process::ExitCode;

use clap::Parser;
use stream::cli::{self, StageArgs};

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

fn main() -> ExitCode {
    let args = Args::parse();
    cli::log_to_stderr(cli::Level::INFO);
    cli::exit(args.stage.run(
        args.drain,
        operators::stage::check,
        end,
        operators::stage::run,
    ))
}

/// Ends a process that cannot stop in time.
fn end(code: u8) {
    std::process::exit(code.into())
}
