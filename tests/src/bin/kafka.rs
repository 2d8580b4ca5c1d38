//! `kafka COMMAND…` runs a command with the address of a new broker in `RIVULET_TEST_BROKERS`.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use rivulet_tests::Kafka;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let Some(program) = words.next() else {
        eprintln!(
            "usage: kafka COMMAND…\nRuns a command with the address of a new Apache Kafka in {}.",
            Kafka::BROKERS
        );
        return ExitCode::from(2);
    };
    let kafka = Kafka::start(&[]);
    eprintln!("Apache Kafka runs at {}", kafka.brokers());
    match kafka.run_command(Command::new(&program).args(words)) {
        // As in a shell.
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
