//! `rivulet-operator STAGE`: runs one `[operator.STAGE]` of a pipeline file.

use std::process::ExitCode;

use rivulet_operators::{OperatorRegistry, program};

fn main() -> ExitCode {
    program(&OperatorRegistry::default(), |code| {
        std::process::exit(code.into())
    })
}
