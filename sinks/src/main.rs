//! `rivulet-sink STAGE`: runs one `[sink.STAGE]` of a pipeline file.

use std::process::ExitCode;

use clap::Parser;
use stream::cli::{self, StageArgs};

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

fn main() -> ExitCode {
    let args = Args::parse();
    cli::log_to_stderr(cli::Level::INFO);
    cli::exit(args.stage.run(args.drain, sinks::check, end, |process| {
        sinks::run(process, Box::new(std::io::stdout()))
    }))
}

/// Ends a process that cannot stop in time.
fn end(code: u8) {
    std::process::exit(code.into())
}
