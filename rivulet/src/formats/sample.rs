//! A sample of records, from a topic or a file.

use std::path::Path;
use std::time::{Duration, Instant};

use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::log::ConsumerRecord;
use rivulet_core::log::Header;
use rivulet_kafka::{Connection, ReadFrom, Tail};
use serde_json::Value;

/// How long to wait for the next record of a topic.
const TIMEOUT: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(100);
/// How an Avro object container file begins.
const CONTAINER: &[u8] = b"Obj\x01";

/// A record of a sample.
#[derive(Debug, Clone, Default)]
pub struct SampleRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset; in a file its place, from 0.
    pub offset: i64,
    /// Its timestamp in milliseconds since the epoch; in a file 0.
    pub timestamp: i64,
    /// Its key. A file has none.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<Header>,
}

impl SampleRecord {
    /// Its fields, borrowed.
    #[must_use]
    pub fn fields(&self) -> ConsumerRecord<'_> {
        ConsumerRecord {
            topic: 0,
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &self.headers,
        }
    }
}

/// The first records of a topic.
///
/// # Errors
/// If it cannot be read, or has no records.
pub fn of_topic(connection: &Connection, topic: &str, count: usize) -> Result<Vec<SampleRecord>> {
    let mut tail = Tail::new(connection, &[topic.to_owned()], ReadFrom::Now)?;
    let (mut records, mut last) = (Vec::new(), Instant::now());
    while records.len() < count && !tail.is_done() {
        let Some(record) = tail.next(TICK)? else {
            if last.elapsed() > TIMEOUT {
                let cause = format!("no record arrived for {} s", TIMEOUT.as_secs());
                return Err(Error::new(format!("reading {topic}"), cause)
                    .of_kind(Kind::Unreachable)
                    .help("are all brokers running?"));
            }
            continue;
        };
        last = Instant::now();
        let headers = record.headers();
        let record = record.fields();
        records.push(SampleRecord {
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers,
        });
    }
    if records.is_empty() {
        let error = Error::new(format!("reading {topic}"), "it has no records");
        return Err(error
            .of_kind(Kind::Missing)
            .help("send one, or give a file"));
    }
    Ok(records)
}

/// The first records of a file: the elements of a JSON array, one JSON value, an Avro object
/// container file, or else its lines.
///
/// # Errors
/// If it cannot be read, or has no records.
pub fn of_file(path: &Path, count: usize) -> Result<Vec<SampleRecord>> {
    let doing = || format!("reading {}", path.display());
    let content = std::fs::read(path).map_err(|error| Error::caused_by(doing(), error))?;
    let values: Vec<Vec<u8>> = match serde_json::from_slice(&content) {
        _ if content.starts_with(CONTAINER) => vec![content],
        Ok(Value::Array(values)) => {
            let text = |value: &Value| value.to_string().into_bytes();
            values.iter().take(count).map(text).collect()
        }
        Ok(_) => vec![content],
        Err(_) => {
            let lines = content.split(|byte| *byte == b'\n');
            let lines = lines
                .map(<[u8]>::trim_ascii)
                .filter(|line| !line.is_empty());
            lines.take(count).map(<[u8]>::to_vec).collect()
        }
    };
    if values.is_empty() {
        return Err(Error::new(doing(), "it has no records").of_kind(Kind::Missing));
    }
    let record = |(offset, value)| SampleRecord {
        offset,
        value: Some(value),
        ..SampleRecord::default()
    };
    Ok((0..).zip(values).map(record).collect())
}
