//! The readings that are sent: each is known by its number.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::Deserialize;

use crate::outcome::Outcome;

const PATIENCE: Duration = Duration::from_mins(1);
/// 2023-11-14, in milliseconds since the epoch.
pub(crate) const START: u64 = 1_700_000_000_000;

/// The value of a reading: a temperature with two decimals.
pub(crate) fn value(index: u64) -> f64 {
    // The finaliser of splitmix64: neighbours have nothing in common.
    let mut mixed = index.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    (mixed % 6000) as f64 / 100.0 - 20.0
}

/// The name of the sensor of a reading.
pub(crate) fn sensor(index: u64, sensors: u64) -> String {
    format!("sensor{}", index % sensors)
}

/// The record's value of a reading, as rivulet writes it.
pub(crate) fn json(index: u64, sensors: u64, text: &mut String) {
    let (sensor, seq) = (index % sensors, index / sensors);
    let (time, value) = (START + seq * 1000, value(index));
    text.clear();
    // A number is printed so that it reads back as the same one. Writing to a string cannot fail.
    let _ = write!(
        text,
        "{{\"sensor\":\"sensor{sensor}\",\"seq\":{seq},\"time\":{time},\"value\":{value:?},\
         \"unit\":\"celsius\"}}"
    );
}

/// A reading that comes out.
#[derive(Deserialize)]
pub(crate) struct Received<'a> {
    sensor: &'a str,
    seq: u64,
    pub(crate) value: f64,
}

impl Received<'_> {
    /// Reads a record's value.
    pub(crate) fn parse(value: &[u8]) -> Option<Received<'_>> {
        serde_json::from_slice(value).ok()
    }

    /// Which reading it came of.
    pub(crate) fn index(&self, sensors: u64) -> Option<u64> {
        let sensor: u64 = self.sensor.strip_prefix("sensor")?.parse().ok()?;
        (sensor < sensors).then_some(self.seq * sensors + sensor)
    }
}

/// A producer of readings with keys. It acknowledges nothing early.
pub(crate) fn producer(brokers: &str, linger_ms: u32) -> Outcome<BaseProducer> {
    let linger = linger_ms.to_string();
    Ok(ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", linger)
        .set("partitioner", "murmur2_random")
        .set("queue.buffering.max.messages", "1000000")
        .set("delivery.report.only.error", "true")
        .create()?)
}

/// A consumer of the committed records of a topic, from the first one on, outside of any group.
/// `properties` are those that only this one has.
pub(crate) fn reader(
    brokers: &str,
    topic: &str,
    partitions: i32,
    properties: &[(&str, &str)],
) -> Outcome<BaseConsumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed");
    for (name, value) in properties {
        config.set(*name, *value);
    }
    let client: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    client.assign(&list)?;
    Ok(client)
}

/// Sends one record.
pub(crate) fn send(producer: &BaseProducer, topic: &str, key: &str, value: &str) -> Outcome<()> {
    let mut record = BaseRecord::to(topic).key(key).payload(value);
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// Sends readings as fast as it goes, and waits until all are acknowledged.
pub(crate) fn fill(brokers: &str, topic: &str, sensors: u64, indices: Range<u64>) -> Outcome<()> {
    fill_with(brokers, topic, indices, |index, text| {
        json(index, sensors, text);
        sensor(index, sensors)
    })
}

/// The same with records of any kind. `record` writes the value of one, and returns its key.
pub(crate) fn fill_with(
    brokers: &str,
    topic: &str,
    indices: Range<u64>,
    record: impl Fn(u64, &mut String) -> String,
) -> Outcome<()> {
    let producer = producer(brokers, 20)?;
    let mut text = String::new();
    for index in indices {
        let key = record(index, &mut text);
        send(&producer, topic, &key, &text)?;
        if index % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    Ok(producer.flush(PATIENCE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_that_was_sent_is_recognised() {
        let mut text = String::new();
        for index in [0, 1, 9, 10, 123_456] {
            json(index, 10, &mut text);
            let received = Received::parse(text.as_bytes()).expect("it is JSON");
            assert_eq!(received.index(10), Some(index));
            assert!((received.value - value(index)).abs() < 1e-300);
        }
    }
}
