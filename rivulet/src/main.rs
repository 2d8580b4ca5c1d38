//! `rivulet COMMAND`: the laptop's program.

mod args;
mod commands;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use stream::cli;

fn main() -> ExitCode {
    let args = args::Args::parse();
    // The demo draws at a terminal what its stages do: only what is out of order may come between.
    let is_drawn = matches!(args.command, args::Command::Demo) && std::io::stderr().is_terminal();
    cli::log_to_stderr(if is_drawn { cli::Level::WARN } else { cli::Level::INFO });
    cli::exit(commands::run(args))
}
