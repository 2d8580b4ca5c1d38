//! Sends what experiments yield, to topics that need no pipeline.

use std::time::Duration;

use rivulet_core::error::Result;
use rivulet_core::log::ProducerRecord;
use rivulet_core::shutdown::Shutdown;
use rivulet_kafka::{Admin, Connection, Producer, ProducerSettings};
use rivulet_producer::experiment::ExperimentSource;
use rivulet_producer::source::{Next, Source, SourceRecord};

use super::EventCounts;
use crate::produce;

/// How long to wait for the next event before a stop is noticed.
const TICK: Duration = Duration::from_millis(20);

/// A producer for these topics.
///
/// # Errors
/// If one does not exist, or no broker answers.
pub fn producer(connection: &Connection, topics: &[&str]) -> Result<Producer> {
    let admin = Admin::new(connection)?;
    produce::check_topics(&admin.cluster, topics, None)?;
    let settings = ProducerSettings {
        client_id: "rivulet-experiment".to_owned(),
        message_bytes: Some(produce::message_bytes(&admin, topics)),
        ..ProducerSettings::default()
    };
    Producer::new(connection, &settings)
}

/// Sends all events until the experiments are over or the process is asked to stop, which it does
/// after a sample. What was sent is delivered then.
///
/// # Errors
/// If a message is not delivered, or the ground truth log cannot be written.
pub fn send(
    source: &mut ExperimentSource,
    producer: &Producer,
    counts: &EventCounts,
    shutdown: &Shutdown,
) -> Result<()> {
    let sent = send_all(source, producer, counts, shutdown);
    let flushed = producer.flush(shutdown);
    counts.set_running(0);
    sent.and(flushed)
}

fn send_all(
    source: &mut ExperimentSource,
    producer: &Producer,
    counts: &EventCounts,
    shutdown: &Shutdown,
) -> Result<()> {
    // What a part of the sensors has measured has no average.
    while !shutdown.is_stopping() || source.is_within_sample() {
        match source.next(TICK)? {
            Next::Record(record) => {
                if !send_one(&record, producer, counts, shutdown)? {
                    break;
                }
            }
            Next::End => break,
            _ => producer.poll(shutdown)?,
        }
        counts.set_running(source.running());
    }
    Ok(())
}

/// Returns `false` if the process was asked to stop before.
fn send_one(
    record: &SourceRecord<'_>,
    producer: &Producer,
    counts: &EventCounts,
    shutdown: &Shutdown,
) -> Result<bool> {
    let topic = record.topic.as_deref().unwrap_or_default();
    let is_sent = producer.send(
        &ProducerRecord {
            topic,
            partition: None,
            timestamp: None,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        },
        shutdown,
    )?;
    if is_sent {
        let key = record.key.as_deref().unwrap_or_default();
        counts.count(&String::from_utf8_lossy(key), topic);
    }
    Ok(is_sent)
}
