//! `rivulet-operator` with `median`.

use std::process::ExitCode;

use own_operator::Median;
use rivulet_operators::{OperatorRegistry, program};

fn main() -> ExitCode {
    let registry = OperatorRegistry::default().operator::<Median>();
    program(&registry, |code| std::process::exit(code.into()))
}
