//! The dead letters of all stages: [`DeadLetterLog`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rivulet_core::dead_letter::LedgerRecord;
use rivulet_core::error::{Error, Result};
use rivulet_core::shutdown::Shutdown;
use rivulet_kafka::{Cluster, OwnedRecord, ReadFrom, Tail};
use serde::Serialize;

use super::{Live, pause};
use crate::CheckedPipeline;
use crate::text;

/// How long to wait for a record before a stop is looked for.
const TICK: Duration = Duration::from_millis(100);
/// How long to wait until the cluster is asked again.
const PAUSE: Duration = Duration::from_secs(2);
/// How many dead letters of a stage are shown.
const SHOWN: usize = 20;
/// How many characters of an error and of a value are shown.
const ERROR: usize = 160;
const VALUE: usize = 80;

/// The dead letters of all stages. Those that were replayed or dropped since count, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterLog {
    /// By stage.
    pub stages: BTreeMap<String, StageDeadLetters>,
}

/// The dead letters of one stage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StageDeadLetters {
    /// How many there are, by reason.
    pub by_reason: BTreeMap<String, u64>,
    /// The last ones, the latest first.
    pub last: VecDeque<ShownDeadLetter>,
}

/// A dead letter, as plain text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownDeadLetter {
    /// The record's timestamp, in milliseconds since the epoch.
    pub time: i64,
    /// Why it could not be processed, in a word.
    pub reason: String,
    /// The error.
    pub error: String,
    /// Where the record was: `topic/partition/offset`.
    pub origin: String,
    /// The record's key, if it has one.
    pub key: Option<String>,
    /// The record's value, if it has one.
    pub value: Option<String>,
}

impl DeadLetterLog {
    /// Adds a record of a stage's dead-letter topic, if it is a dead letter.
    pub fn add(&mut self, stage: &str, record: &OwnedRecord) {
        let (fields, headers) = (record.fields(), record.headers());
        let LedgerRecord::DeadLetter(found) = LedgerRecord::read(&headers) else {
            return;
        };
        let bytes = |bytes: Option<&[u8]>| bytes.map(|bytes| text::shortened(bytes, VALUE));
        let shown = ShownDeadLetter {
            time: fields.timestamp,
            reason: text::plain(found.reason, VALUE),
            error: text::plain(found.error, ERROR),
            origin: text::plain(&found.origin(), ERROR),
            key: bytes(fields.key),
            value: bytes(fields.value),
        };
        let stage = self.stages.entry(stage.to_owned()).or_default();
        *stage.by_reason.entry(shown.reason.clone()).or_default() += 1;
        stage.last.push_front(shown);
        stage.last.truncate(SHOWN);
    }
}

/// Reads the dead-letter topics that there are until it is asked to stop.
pub(super) fn read(pipeline: &CheckedPipeline<'_>, live: &Live, shutdown: &Shutdown) {
    while !shutdown.is_stopping() {
        // Why it cannot be read is what everybody else says, too.
        let _ = follow(pipeline, live, shutdown);
        pause(PAUSE, shutdown);
    }
}

fn follow(pipeline: &CheckedPipeline<'_>, live: &Live, shutdown: &Shutdown) -> Result<(), Error> {
    let inventory = Cluster::new(&pipeline.connection())?.inventory()?;
    let stages = pipeline.stages.iter();
    let there = stages.filter(|stage| inventory.topics.contains_key(&stage.dead_letters()));
    let (names, topics): (Vec<&str>, Vec<String>) = there
        .map(|stage| (stage.name.as_str(), stage.dead_letters()))
        .unzip();
    if topics.is_empty() {
        return Ok(());
    }
    let mut tail = Tail::new(&pipeline.connection(), &topics, ReadFrom::All)?;
    *live.dead_letters() = DeadLetterLog::default();
    while !shutdown.is_stopping() {
        if let Some(record) = tail.next(TICK)? {
            let stage = names[record.fields().topic];
            live.dead_letters().add(stage, &record);
        }
    }
    Ok(())
}
