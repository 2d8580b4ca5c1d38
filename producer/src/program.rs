//! The program `rivulet-producer`.

use std::process::ExitCode;

use clap::Parser;
use rivulet_core::shutdown::EndProcess;
use rivulet_node::cli::{self, StageArgs};

use crate::progress;
use crate::registry::ProducerRegistry;
use crate::run::run;

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

/// Runs the program `rivulet-producer` with what is in the registry. `end` ends a process that
/// cannot stop in time.
#[must_use]
pub fn program(registry: &ProducerRegistry, end: EndProcess) -> ExitCode {
    let args = Args::parse();
    args.stage.log();
    cli::exit(args.stage.run(false, registry, end, |process| {
        let mut bar = progress::bar(&process.stage.name);
        run(registry, process, args.from_start, &mut |progress| {
            bar.show(progress);
        })
    }))
}
