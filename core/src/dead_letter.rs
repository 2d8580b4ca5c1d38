//! Dead letters: records that a stage could not process, kept with the reason.
//!
//! The dead-letter topic is a ledger. A [`Resolution`] says that earlier dead letters in the same
//! partition were replayed or dropped. Because it comes later, retention deletes the dead letters
//! first. A [`Migration`] says that the stage's state was migrated to other settings.

mod change;
mod entry;
mod offsets;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

pub use self::change::{Migration, MigrationKind};
pub use self::entry::{DeadLetter, LedgerRecord, Resolution, Resolved};
pub use self::offsets::Offsets;

use crate::log::{ConsumerRecord, Fault, Header, Log, ProducerRecord, Rejection};
use crate::metrics::Metrics;
use crate::reading::InvalidReading;

/// The headers that rivulet adds in a dead-letter topic.
pub mod header {
    /// The topic that the record was read from. For a producer, the file or device.
    pub const TOPIC: &str = "rivulet.topic";
    /// The partition that it was read from.
    pub const PARTITION: &str = "rivulet.partition";
    /// The offset that it was read at.
    pub const OFFSET: &str = "rivulet.offset";
    /// The stage that could not process it.
    pub const STAGE: &str = "rivulet.stage";
    /// A fixed word to group by, such as `not-json`.
    pub const REASON: &str = "rivulet.reason";
    /// The error in full.
    pub const ERROR: &str = "rivulet.error";
    /// The length of the original value in bytes, if the value was truncated, or the key or the
    /// record's own headers were too large to keep.
    pub const TRUNCATED: &str = "rivulet.truncated";
    /// Of a resolution: what was done with the dead letters, `replayed` or `dropped`.
    pub const HANDLED: &str = "rivulet.handled";
    /// Of a resolution: the offsets of the dead letters in the same partition, such as `3,7..9`.
    pub const LETTERS: &str = "rivulet.letters";
    /// Of a migration: what was done with the state, `kept`, `reset`, `anew` or `forgotten`.
    pub const STATE: &str = "rivulet.state";
    /// Of a migration: the description of the chain before it. Absent if unknown.
    pub const CHAIN: &str = "rivulet.chain";
    /// Of a migration: the offsets of the inputs at which the new chain starts, such as
    /// `warm/0=12,warm/1=7`.
    pub const OFFSETS: &str = "rivulet.offsets";
    /// Of a migration that removed the state of some sensors: their names, a list in JSON.
    pub const SENSORS: &str = "rivulet.sensors";
}

/// How much is kept of a value that is too large for the dead-letter topic, in bytes.
const KEPT_VALUE: usize = 64 * 1024;

/// How much is kept of an error, in bytes: a parser may quote its whole input.
const KEPT_ERROR: usize = 4 * 1024;

/// The smallest size that a dead letter is truncated to, if the brokers reject a larger one, in
/// bytes.
const LEAST: usize = 600;

/// The reason of a dead letter that records a gap: see [`DeadLetters::route_gap`].
pub const GAP: &str = "gap";

/// The overhead of a message in addition to its key, value and headers, at most, in bytes.
const FRAMING: usize = 200;

/// The overhead of a header in addition to its name and value, at most, in bytes.
const HEADER_FRAMING: usize = 10;

/// How many of the first dead letters are logged one by one.
const LOGGED: u64 = 10;

/// Routes records to a stage's dead-letter topic.
#[derive(Debug)]
pub struct DeadLetters {
    stage: String,
    topic: String,
    /// The topic's `max.message.bytes`.
    largest_message: usize,
    pending: Pending,
}

/// Counts dead letters. They count when they are committed.
#[derive(Debug, Default)]
struct Pending {
    committed: u64,
    /// How many were sent since the last commit, by reason.
    sent: BTreeMap<&'static str, u64>,
    /// What to log of those once they are committed.
    lines: Vec<String>,
}

#[expect(
    clippy::missing_errors_doc,
    reason = "the methods pass on the faults of the log"
)]
impl DeadLetters {
    /// The dead letters of `stage` in `topic`, which accepts messages of `largest_message` bytes.
    #[must_use]
    pub fn new(stage: &str, topic: String, largest_message: usize) -> Self {
        DeadLetters {
            stage: stage.to_owned(),
            topic,
            largest_message,
            pending: Pending::default(),
        }
    }

    /// Routes a record to the dead-letter topic. Value, key, headers and timestamp stay as they
    /// are, as far as they fit.
    pub fn route<L: Log>(
        &mut self,
        log: &L,
        topic: &str,
        record: &ConsumerRecord<'_>,
        headers: &[Header],
        invalid: &InvalidReading,
    ) -> Result<(), Fault> {
        let place = Some((record.partition, record.offset));
        let dead_letter = DeadLetter {
            topic,
            place,
            ..dead_letter(&self.stage, headers, invalid)
        };
        let line = self.send(
            log,
            dead_letter,
            record.stamped(),
            record.key,
            record.value,
            self.largest_message,
        )?;
        self.pending.add(invalid.reason, line);
        Ok(())
    }

    /// Routes a record whose output the brokers have rejected `tries` times. The more tries, the
    /// more of it is truncated. Its timestamp is the current time.
    pub fn route_truncated<L: Log>(
        &mut self,
        log: &L,
        topic: &str,
        record: &ConsumerRecord<'_>,
        headers: &[Header],
        invalid: &InvalidReading,
        tries: usize,
    ) -> Result<(), Fault> {
        let place = Some((record.partition, record.offset));
        let mut dead_letter = DeadLetter {
            topic,
            place,
            ..dead_letter(&self.stage, headers, invalid)
        };
        let length = record.value.map_or(0, <[u8]>::len);
        let size = length + record.key.map_or(0, <[u8]>::len) + size(headers);
        let (key, value) = if tries < 3 {
            (record.key, record.value)
        } else {
            (None, None)
        };
        if tries >= 3 {
            dead_letter.original = &[];
            dead_letter.error = "";
            dead_letter.truncated = Some(length as u64);
        }
        let largest = if tries < 2 {
            self.largest_message
        } else {
            self.largest_message.min(size / 4 + LEAST)
        };
        let line = self.send(log, dead_letter, None, key, value, largest)?;
        self.pending.add(invalid.reason, line);
        Ok(())
    }

    /// Routes input of a source that is not a valid reading.
    pub fn route_input<L: Log>(
        &mut self,
        log: &L,
        place: &str,
        bytes: &[u8],
        invalid: &InvalidReading,
    ) -> Result<(), Fault> {
        let dead_letter = DeadLetter {
            topic: place,
            ..dead_letter(&self.stage, &[], invalid)
        };
        let value = Some(bytes);
        let line = self.send(log, dead_letter, None, None, value, self.largest_message)?;
        self.pending.add(invalid.reason, line);
        Ok(())
    }

    /// Records a gap: these offsets of a partition were deleted before the stage read them.
    pub fn route_gap<L: Log>(
        &mut self,
        log: &L,
        topic: &str,
        partition: i32,
        offsets: &Range<i64>,
    ) -> Result<(), Fault> {
        let place = format!(
            "{topic} [{partition}] offsets {}..{}",
            offsets.start, offsets.end
        );
        let detail = "they were deleted before they were read: retention, or DeleteRecords";
        let invalid = InvalidReading::new(GAP, detail);
        let dead_letter = DeadLetter {
            topic: &place,
            ..dead_letter(&self.stage, &[], &invalid)
        };
        let line = self.send(log, dead_letter, None, None, None, self.largest_message)?;
        self.pending.add(invalid.reason, line);
        Ok(())
    }

    /// Everything that was sent is committed: counts and logs it.
    pub fn committed(&mut self, metrics: &Metrics) {
        let Pending {
            committed,
            sent,
            lines,
        } = &mut self.pending;
        for (reason, count) in std::mem::take(sent) {
            metrics.dead.add(reason, count);
            *committed += count;
        }
        for line in lines.drain(..) {
            tracing::warn!(stage = self.stage, "{line}");
        }
    }

    /// Everything that was sent since the last commit is aborted.
    pub fn rolled_back(&mut self) {
        self.pending.sent.clear();
        self.pending.lines.clear();
    }

    /// Sends a dead letter, truncated to `largest` bytes. Returns the line to log, if it is logged.
    fn send<L: Log>(
        &self,
        log: &L,
        mut dead_letter: DeadLetter<'_>,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        largest: usize,
    ) -> Result<Option<String>, Fault> {
        let (key, value) = truncate(largest, &mut dead_letter, key, value);
        let headers = dead_letter.headers();
        log.send(&ProducerRecord {
            topic: &self.topic,
            partition: None,
            timestamp,
            key,
            value,
            headers: &headers,
        })?;
        // After the first few only some are logged, so that a flood of invalid records does not
        // flood the log.
        let number = self.pending.next();
        if number > LOGGED && !number.is_power_of_two() {
            return Ok(None);
        }
        let DeadLetter { reason, error, .. } = dead_letter;
        let mut line = format!(
            "dead letter {number}: {}: {reason}: {error}",
            dead_letter.origin()
        );
        if number == LOGGED {
            let _ = write!(
                line,
                "; further ones are in the topic {}, not all are logged",
                self.topic
            );
        }
        Ok(Some(line))
    }
}

impl Pending {
    fn next(&self) -> u64 {
        self.committed + self.sent.values().sum::<u64>() + 1
    }

    fn add(&mut self, reason: &'static str, line: Option<String>) {
        *self.sent.entry(reason).or_default() += 1;
        self.lines.extend(line);
    }
}

/// Why a record is routed to the dead-letter topic when the brokers have rejected its output. The
/// last rejection counts.
#[must_use]
pub fn rejected(rejections: &[Rejection]) -> InvalidReading {
    match rejections.last() {
        Some(Rejection::Timestamp) => InvalidReading::new(
            "timestamp-refused",
            "the brokers reject the record's timestamp",
        ),
        Some(Rejection::Policy) => {
            InvalidReading::new("rejected", "the brokers reject the result of the record")
        }
        Some(Rejection::TooLarge) | None => InvalidReading::new(
            "too-large",
            "the result of the record is larger than the topic's max.message.bytes",
        ),
    }
}

fn dead_letter<'l>(
    stage: &'l str,
    original: &'l [Header],
    invalid: &'l InvalidReading,
) -> DeadLetter<'l> {
    let (reason, error) = (invalid.reason, &invalid.detail);
    DeadLetter {
        original,
        topic: "",
        place: None,
        stage,
        reason,
        error,
        truncated: None,
    }
}

/// Truncates a dead letter to a message of `largest` bytes, and records that in its headers.
/// Returns the key and the value to send.
fn truncate<'r>(
    largest: usize,
    dead_letter: &mut DeadLetter<'_>,
    key: Option<&'r [u8]>,
    value: Option<&'r [u8]>,
) -> (Option<&'r [u8]>, Option<&'r [u8]>) {
    let error_length = KEPT_ERROR.min(largest / 8);
    dead_letter.error = &dead_letter.error[..dead_letter.error.floor_char_boundary(error_length)];
    // Headers or a key that are too large are left out: the topic would reject the message.
    let kept_key = key.filter(|key| key.len() <= largest / 2);
    let mut is_whole = kept_key == key;
    if size(dead_letter.original) > largest / 4 {
        dead_letter.original = &[];
        is_whole = false;
    }
    let used = FRAMING + kept_key.map_or(0, <[u8]>::len) + size(&dead_letter.headers());
    let left = largest.saturating_sub(used);
    let length = value.map_or(0, <[u8]>::len);
    if !is_whole || length > left {
        dead_letter.truncated = Some(length as u64);
    }
    (
        kept_key,
        if length > left {
            value.map(|value| &value[..left.min(KEPT_VALUE)])
        } else {
            value
        },
    )
}

/// The size of headers in a message at most, in bytes.
fn size(headers: &[Header]) -> usize {
    headers
        .iter()
        .map(|(name, value)| HEADER_FRAMING + name.len() + value.as_ref().map_or(0, Vec::len))
        .sum()
}

#[cfg(test)]
mod tests;
