//! The program `rivulet`.

use std::env;
use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;
use rivulet_core::shutdown::EndProcess;
use rivulet_node::cli;
use rivulet_node::log::{self, Level};

use crate::args::{Args, Command, TopicsCommand};
use crate::commands;
use crate::complete::VARIABLE;
use crate::registry::Registry;

/// Runs the program `rivulet` with what is in the registry. `end` ends a process that cannot stop
/// in time.
#[must_use]
pub fn program(registry: &Registry, end: EndProcess) -> ExitCode {
    match complete() {
        Ok(false) => (),
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => return cli::exit(Err(error.into())),
    }
    let args = Args::parse();
    // Log lines would disturb what is drawn at a terminal: only warnings are printed then. Live
    // tables, `produce` and `consume` have no other log lines that matter.
    let is_drawn = match &args.command {
        Command::Demo => std::io::stderr().is_terminal(),
        Command::Groups(groups) => groups.watch.is_some(),
        Command::Compare(_)
        | Command::Consume(_)
        | Command::Produce(_)
        | Command::Top(_)
        | Command::Topics(TopicsCommand::Watch { .. }) => true,
        _ => false,
    };
    let level = if is_drawn { Level::WARN } else { Level::INFO };
    log::to_stderr(level, args.common.log);
    cli::exit(commands::run(args, registry, end))
}

/// Answers a shell that asks for completions. Whether one has asked.
///
/// # Errors
/// If the answer cannot be written.
fn complete() -> clap::error::Result<bool> {
    let folder = env::current_dir().ok();
    CompleteEnv::with_factory(Args::command)
        .var(VARIABLE)
        .try_complete(env::args_os(), folder.as_deref())
}
