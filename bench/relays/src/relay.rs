//! `relay`: copies the bytes of each record from one topic to another, with the calls of rdkafka:
//! one poll and one send a record.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rdkafka::Message;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rivulet_relays::{Clients, CommitClock, RelayArgs, RelayError, RelayStep, pause};

/// How many records are copied between two looks at the clock.
const STRIDE: u64 = 64;

fn main() -> ExitCode {
    match run(&RelayArgs::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &RelayArgs) -> Result<(), RelayError> {
    if args.step != RelayStep::Copy {
        let error = "this relay can only copy; relay-batch can do more".to_owned();
        return Err(RelayError::Record(error));
    }
    let clients = Clients::new(args)?;
    let mut clock = CommitClock::new(args);
    let mut next = Vec::new();
    let mut wait = Duration::ZERO;
    let mut copied = 0;
    loop {
        if let Some(message) = clients.consumer.poll(wait) {
            let message = message?;
            wait = Duration::ZERO;
            if clock.is_clean() {
                clients.begin()?;
            }
            copy(args, &clients.producer, &message)?;
            let partition = usize::try_from(message.partition()).unwrap_or_default();
            if next.len() <= partition {
                next.resize(partition + 1, None);
            }
            next[partition] = Some(message.offset() + 1);
            clock.add(1);
            copied += 1;
            if copied % STRIDE != 0 || !clock.is_due() {
                continue;
            }
        } else {
            wait = clock.wait();
            if !wait.is_zero() {
                continue;
            }
        }
        // The producer's own flush would wait for a tenth of a second if anything is in flight.
        while clients.producer.in_flight_count() > 0 {
            pause(&clients.producer);
        }
        clients.commit(&next, |_| Ok(()))?;
        clock.committed();
    }
}

fn copy(
    args: &RelayArgs,
    producer: &BaseProducer,
    message: &BorrowedMessage<'_>,
) -> KafkaResult<()> {
    let mut record = BaseRecord::<[u8], [u8]>::to(&args.to);
    (record.key, record.payload) = (message.key(), message.payload());
    record.timestamp = message.timestamp().to_millis();
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                pause(producer);
            }
            Err((error, _)) => return Err(error),
        }
    }
}
