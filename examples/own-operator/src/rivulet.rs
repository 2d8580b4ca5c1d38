//! `rivulet` with `median`.

use std::process::ExitCode;

use own_operator::Median;
use rivulet::{Registry, program};

fn main() -> ExitCode {
    let registry = Registry::default().operator::<Median>();
    program(&registry, |code| std::process::exit(code.into()))
}
