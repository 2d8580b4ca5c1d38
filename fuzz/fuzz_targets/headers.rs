//! Dead letters: any bytes as a record that is refused, and its headers as those of a dead letter.
//!
//! The input is three numbers on a line, how often each header's value, the key and the value are
//! repeated; then a line `NAME=VALUE` (`NAME` for a header without one) a header; then an empty
//! line, a line with the key (none if it is empty), and the value.
//!
//! - If its topic took the record, the dead-letter topic takes the letter.
//! - Value, key and headers are as they were, or the letter says that it is not the whole record;
//!   what is left of a value that was cut is its beginning.
//! - The letter is read back as it was written.
//! - Of any headers, what is read as a letter or a mark is read the same once it is written again.
#![no_main]

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::{Corpus, fuzz_target};
use stream::counters::Counters;
use stream::dead_letter::{DeadLetters, Header, LedgerRecord};
use stream::format::json;
use stream::log::{
    ConsumerRecord, Event, Fault, Log, OffsetAndMetadata, ProducerRecord, Record, RestoreCallback,
    TopicPartition, Watermarks,
};
use stream::pipeline::{Pipeline, Text};
use stream::reading::InvalidReading;

/// What the topics take, in bytes.
const LARGEST: usize = 100_000;
/// What a message takes beside its key, value and headers at least and at most, as Kafka counts it;
/// and a header beside its name and value.
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
    let Some(refused) = Refused::read(input) else {
        return Corpus::Reject;
    };
    if refused.size(FRAMING.0, HEADER_FRAMING.0) > LARGEST {
        return Corpus::Reject;
    }
    read_back(&refused.headers);
    route(&refused);
    Corpus::Keep
});

#[derive(Debug, Default)]
struct Refused {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<Header>,
}

impl Refused {
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
        let repeat = |bytes: &[u8], times: usize| {
            bytes
                .len()
                .checked_mul(times)
                .filter(|length| *length <= 2 * LARGEST)
                .map(|_| bytes.repeat(times))
        };
        let mut headers = Vec::new();
        loop {
            let (header, behind) = line(rest)?;
            rest = behind;
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
        Some(Refused {
            key,
            value: Some(repeat(value, value_times)?),
            headers,
        })
    }

    /// How large a message it is.
    fn size(&self, framing: usize, header_framing: usize) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| header_framing + name.len() + length(value));
        framing + length(&self.key) + length(&self.value) + headers.sum::<usize>()
    }
}

/// A line without its end, and what follows it.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    Some((&text[..end], &text[end + 1..]))
}

fn route(refused: &Refused) {
    let Refused {
        key,
        value,
        headers,
    } = refused;
    let record = ConsumerRecord {
        topic: 0,
        partition: 3,
        offset: i64::MAX,
        timestamp: 9,
        key: key.as_deref(),
        value: value.as_deref(),
    };
    let refusal = match json::parse(record.value.unwrap_or_default()) {
        Ok(_) => InvalidReading::new("wrong-unit", "the reading is in no unit of these"),
        Err(refusal) => refusal,
    };
    let stage = PIPELINE.stage("show").unwrap();
    let (log, counters) = (Outbox::default(), Counters::default());
    let mut letters = DeadLetters::of(&PIPELINE, stage);
    letters
        .route(&log, "in", &record, headers, &refusal)
        .unwrap();
    letters.committed(&counters);
    assert_eq!(counters.dead.get(), 1);
    let letter = log.0.into_inner();

    assert!(
        letter.size(FRAMING.1, HEADER_FRAMING.1) <= LARGEST,
        "{} bytes",
        letter.size(FRAMING.1, HEADER_FRAMING.1)
    );
    let LedgerRecord::DeadLetter(told) = LedgerRecord::read(&letter.headers) else {
        panic!("{:?} is no letter", letter.headers)
    };
    assert_eq!(
        (told.topic, told.place, told.stage),
        ("in", Some((3, i64::MAX)), "show")
    );
    assert_eq!(told.reason, refusal.reason);
    assert!(!told.error.is_empty() && refusal.detail.starts_with(told.error));
    // What takes little room is kept, whatever the rest takes.
    let brought = Refused {
        headers: headers.clone(),
        ..Refused::default()
    };
    assert!(told.original == headers || brought.size(0, HEADER_FRAMING.1) > LARGEST / 5);
    assert!(&letter.key == key || key.as_ref().is_some_and(|key| key.len() > LARGEST / 3));
    let (kept, value) = (letter.value.as_deref().unwrap(), value.as_deref().unwrap());
    assert!(value.starts_with(kept));
    assert!(
        kept.len() == value.len() || kept.len() > LARGEST / 10,
        "only {} bytes are kept",
        kept.len()
    );
    let is_whole = kept.len() == value.len() && &letter.key == key && told.original == headers;
    assert_eq!(told.truncated, (!is_whole).then_some(value.len() as u64));
}

fn read_back(headers: &[Header]) {
    let entry = LedgerRecord::read(headers);
    let written = match &entry {
        LedgerRecord::DeadLetter(letter) => letter.headers(),
        LedgerRecord::Resolution(mark) => mark.headers(),
        LedgerRecord::Migration(change) => change.headers(),
        LedgerRecord::Foreign => return,
    };
    assert_eq!(LedgerRecord::read(&written), entry);
}

/// Takes one letter.
#[derive(Default)]
struct Outbox(RefCell<Refused>);

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

    fn send(&self, letter: &ProducerRecord<'_>) -> Result<(), Fault> {
        *self.0.borrow_mut() = Refused {
            key: letter.key.map(<[u8]>::to_vec),
            value: letter.value.map(<[u8]>::to_vec),
            headers: letter.headers.to_vec(),
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
