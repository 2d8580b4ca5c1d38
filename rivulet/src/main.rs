//! `rivulet COMMAND`: the laptop's program.

use std::process::ExitCode;

use rivulet::{Registry, program};

fn main() -> ExitCode {
    program(&Registry::default(), |code| std::process::exit(code.into()))
}
