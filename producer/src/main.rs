//! `rivulet-producer STAGE`: runs one `[producer.STAGE]` of a pipeline file.

use std::process::ExitCode;

use rivulet_producer::{ProducerRegistry, program};

fn main() -> ExitCode {
    program(&ProducerRegistry::default(), |code| {
        std::process::exit(code.into())
    })
}
