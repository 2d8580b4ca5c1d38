//! `kafka COMMAND…` runs a command with a broker for all its tests in `RIVULET_TEST_BROKERS`.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use tests::Kafka;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!(
            "usage: kafka COMMAND…\nRuns a command with the address of a fresh Apache Kafka in {}.",
            Kafka::BROKERS
        );
        return ExitCode::from(2);
    };
    let kafka = Kafka::start(&[]);
    eprintln!("Apache Kafka answers at {}", kafka.brokers());
    match kafka.serve(Command::new(&program).args(words)) {
        // As shells tell it.
        Ok(status) => {
            let code = status
                .code()
                .or(status.signal().map(|signal| 128 + signal))
                .unwrap_or(1);
            ExitCode::from(u8::try_from(code).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("error: starting {}: {error}", program.display());
            ExitCode::from(127)
        }
    }
}
