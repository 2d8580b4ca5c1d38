//! `rivulet-sink STAGE`: runs one `[sink.STAGE]` of a pipeline file.

use std::process::ExitCode;

use rivulet_sinks::{SinkRegistry, program};

fn main() -> ExitCode {
    program(&SinkRegistry::default(), |code| {
        std::process::exit(code.into())
    })
}
