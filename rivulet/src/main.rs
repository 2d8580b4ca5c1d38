//! `rivulet COMMAND`: the laptop's program.

mod args;
mod commands;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use stream::cli;

fn main() -> ExitCode {
    let args = args::Args::parse();
    // Log lines would disturb what is drawn at a terminal: only warnings are printed then. A
    // comparison has no other log lines that matter.
    let is_drawn = match args.command {
        args::Command::Demo => std::io::stderr().is_terminal(),
        args::Command::Compare(_) => true,
        _ => false,
    };
    cli::log_to_stderr(if is_drawn {
        cli::Level::WARN
    } else {
        cli::Level::INFO
    });
    cli::exit(commands::run(args))
}

/// Ends a process that cannot stop in time.
fn end(code: u8) {
    std::process::exit(code.into())
}
