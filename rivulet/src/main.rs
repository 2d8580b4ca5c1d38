//! `rivulet COMMAND`: the laptop's program.

mod args;
mod commands;

use std::process::ExitCode;

use clap::Parser;
use stream::cli;

fn main() -> ExitCode {
    let args = args::Args::parse();
    cli::log_to_stderr();
    cli::exit(commands::run(args))
}
