//! `rivulet-producer STAGE`: runs one `[producer.STAGE]` of a pipeline file.

use std::process::ExitCode;

use clap::Parser;
use producer::progress;
use stream::cli::{self, StageArgs};

/// Run one [producer.STAGE] of a pipeline file: it sends the readings of a source to topics
#[derive(Parser)]
#[command(name = "rivulet-producer", version)]
struct Args {
    #[command(flatten)]
    stage: StageArgs,

    /// Start at the source's first reading instead of its committed position, and delete what is in
    /// its spool
    #[arg(long)]
    from_start: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    cli::log_to_stderr(cli::Level::INFO);
    cli::exit(args.stage.run(false, producer::check, end, |process| {
        let mut bar = progress::bar(&process.stage.name);
        producer::run(process, args.from_start, &mut |progress| bar.show(progress))
    }))
}

/// Ends a process that cannot stop in time.
fn end(code: u8) {
    std::process::exit(code.into())
}
