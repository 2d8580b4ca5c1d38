//! Dead letters. The input is an invalid record, and its headers are also read as those of a dead
//! letter.
//!
//! The first line has three numbers: how often each header's value, the key and the value are
//! repeated. Then each header has a line, `NAME=VALUE`, or `NAME` if it has no value. Then come an
//! empty line, a line with the key (empty if there is none), and a line with the value.
//!
//! - If the record fits in its topic, its dead letter fits in the dead-letter topic.
//! - Value, key and headers are unchanged, or the dead letter says that it is truncated. What is
//!   left of a truncated value is its beginning.
//! - The dead letter reads back as it was written.
//! - Any headers that are read as a ledger record are read the same after they are written again.
#![no_main]

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::{Corpus, fuzz_target};
use rivulet_core::dead_letter::LedgerRecord;
use rivulet_core::log::Header;
use rivulet_core::log::{
    ConsumerRecord, Event, Fault, Log, OffsetAndMetadata, ProducerRecord, Record, RestoreCallback,
    TopicPartition, Watermarks,
};
use rivulet_core::metrics::Metrics;
use rivulet_core::reading::InvalidReading;
use rivulet_formats::catalog::json;
use rivulet_pipeline::{Pipeline, Text};

/// The topics' `max.message.bytes`.
const LARGEST: usize = 100_000;
/// The overhead of a message in addition to its key, value and headers, at least and at most, as
/// Kafka counts it. The same for a header in addition to its name and value.
const FRAMING: (usize, usize) = (61, 61 + 36);
const HEADER_FRAMING: (usize, usize) = (2, 10);

static PIPELINE: LazyLock<Pipeline> = LazyLock::new(|| {
    let text = format!(
        "[topic.in]\nexternal = true\nconfig = {{ \"max.message.bytes\" = {LARGEST} }}\n\
         [sink.show]\nfrom = \"in\"\nsink = \"console\"\n"
    );
    Pipeline::parse(Arc::new(Text {
        path: "pipeline.toml".into(),
        text,
    }))
    .unwrap()
});

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some(message) = Message::read(input) else {
        return Corpus::Reject;
    };
    if message.size(FRAMING.0, HEADER_FRAMING.0) > LARGEST {
        return Corpus::Reject;
    }
    read_back(&message.headers);
    route(&message);
    Corpus::Keep
});

#[derive(Debug, Default)]
struct Message {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
}

impl Message {
    fn read(input: &[u8]) -> Option<Self> {
        let (first, mut rest) = line(input)?;
        let times: Vec<usize> = str::from_utf8(first)
            .ok()?
            .split(' ')
            .map(|times| times.parse().ok())
            .collect::<Option<_>>()?;
        let [header_times, key_times, value_times] = times[..] else {
            return None;
        };
        let mut headers = Vec::new();
        loop {
            let (header, after) = line(rest)?;
            rest = after;
            if header.is_empty() {
                break;
            }
            let mut parts = header.splitn(2, |byte| *byte == b'=');
            let name = String::from_utf8(parts.next()?.to_vec()).ok()?;
            let value = match parts.next() {
                Some(value) => Some(repeat(value, header_times)?),
                None => None,
            };
            headers.push((name, value));
        }
        let (key, value) = line(rest)?;
        let key = if key.is_empty() {
            None
        } else {
            Some(repeat(key, key_times)?)
        };
        Some(Message {
            key,
            value: Some(repeat(value, value_times)?),
            headers,
        })
    }

    /// Its size in bytes.
    fn size(&self, framing: usize, header_framing: usize) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| header_framing + name.len() + length(value));
        framing + length(&self.key) + length(&self.value) + headers.sum::<usize>()
    }
}

/// A line without its end, and the text after it.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    Some((&text[..end], &text[end + 1..]))
}

/// Repeats bytes. `None` if they become too long.
fn repeat(bytes: &[u8], times: usize) -> Option<Vec<u8>> {
    let length = bytes.len().checked_mul(times)?;
    (length <= 2 * LARGEST).then(|| bytes.repeat(times))
}

fn route(message: &Message) {
    let Message {
        key,
        value,
        headers,
    } = message;
    let record = ConsumerRecord {
        topic: 0,
        partition: 3,
        offset: i64::MAX,
        timestamp: 9,
        key: key.as_deref(),
        value: value.as_deref(),
        headers,
    };
    let invalid = match json::parse(record.value.unwrap_or_default()) {
        Ok(_) => InvalidReading::new("wrong-unit", "the reading is in another unit"),
        Err(invalid) => invalid,
    };
    let stage = PIPELINE.stage("show").unwrap();
    let (log, metrics) = (Outbox::default(), Metrics::default());
    let mut dead_letters = PIPELINE.dead_letters(stage);
    dead_letters
        .route(&log, "in", &record, headers, &invalid)
        .unwrap();
    dead_letters.committed(&metrics);
    assert_eq!(metrics.dead.get(), 1);
    let sent = log.0.into_inner();

    assert!(
        sent.size(FRAMING.1, HEADER_FRAMING.1) <= LARGEST,
        "{} bytes",
        sent.size(FRAMING.1, HEADER_FRAMING.1)
    );
    let LedgerRecord::DeadLetter(dead_letter) = LedgerRecord::read(&sent.headers) else {
        panic!("{:?} is not a dead letter", sent.headers)
    };
    assert_eq!(
        (dead_letter.topic, dead_letter.place, dead_letter.stage),
        ("in", Some((3, i64::MAX)), "show")
    );
    assert_eq!(dead_letter.reason, invalid.reason);
    assert!(!dead_letter.error.is_empty() && invalid.detail.starts_with(dead_letter.error));
    // A small key, small headers and the beginning of the value are always kept.
    let original = Message {
        headers: headers.clone(),
        ..Message::default()
    };
    assert!(dead_letter.original == headers || original.size(0, HEADER_FRAMING.1) > LARGEST / 5);
    assert!(&sent.key == key || key.as_ref().is_some_and(|key| key.len() > LARGEST / 3));
    let (kept, value) = (sent.value.as_deref().unwrap(), value.as_deref().unwrap());
    assert!(value.starts_with(kept));
    assert!(
        kept.len() == value.len() || kept.len() > LARGEST / 10,
        "only {} bytes are kept",
        kept.len()
    );
    let is_whole = kept.len() == value.len() && &sent.key == key && dead_letter.original == headers;
    let truncated = (!is_whole).then_some(value.len() as u64);
    assert_eq!(dead_letter.truncated, truncated);
}

fn read_back(headers: &[Header]) {
    let record = LedgerRecord::read(headers);
    let written = match &record {
        LedgerRecord::DeadLetter(dead_letter) => dead_letter.headers(),
        LedgerRecord::Resolution(resolution) => resolution.headers(),
        LedgerRecord::Migration(migration) => migration.headers(),
        LedgerRecord::Foreign => return,
    };
    assert_eq!(LedgerRecord::read(&written), record);
}

/// Keeps the last record that was sent.
#[derive(Default)]
struct Outbox(RefCell<Message>);

/// There is never a record to read.
enum Never {}

impl Record for Never {
    fn fields(&self) -> ConsumerRecord<'_> {
        match *self {}
    }

    fn headers(&self) -> Vec<Header> {
        match *self {}
    }
}

impl Log for Outbox {
    type Record<'a> = Never;

    fn poll(&self, _: Duration) -> Result<Event<Never>, Fault> {
        Ok(Event::Timeout)
    }

    fn assign(&mut self, _: &[(TopicPartition, i64)]) -> Result<(), Fault> {
        Ok(())
    }

    fn unassign(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn send(&self, record: &ProducerRecord<'_>) -> Result<(), Fault> {
        *self.0.borrow_mut() = Message {
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers.to_vec(),
        };
        Ok(())
    }

    fn flush_unless_transactional(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn watermarks(&mut self, _: &str, _: &[i32]) -> Result<Vec<Watermarks>, Fault> {
        Ok(Vec::new())
    }

    fn commit(&mut self, _: &[OffsetAndMetadata]) -> Result<(), Fault> {
        Ok(())
    }

    fn committed(&mut self, _: &[TopicPartition]) -> Result<Vec<OffsetAndMetadata>, Fault> {
        Ok(Vec::new())
    }

    fn abort(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn restore(&mut self, _: &str, _: &[i32], _: RestoreCallback<'_>) -> Result<(), Fault> {
        Ok(())
    }

    fn at_end(&mut self, _: &[(TopicPartition, Option<i64>)]) -> Result<bool, Fault> {
        Ok(true)
    }
}
