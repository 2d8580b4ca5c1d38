//! Dead letters: what a stage refuses, kept with the reason.
//!
//! The topic is its own ledger: what became of a letter is told by a [`Resolution`] behind it, in
//! the same partition, so that retention never takes the mark before the letter. Among the letters
//! also stands a [`Migration`] for each time that the stage's settings were changed under its
//! state.

mod change;
mod entry;
mod offsets;

use std::ops::Range;

pub use self::change::{Migration, MigrationKind};
pub use self::entry::{DeadLetter, Header, LedgerRecord, Resolution, Resolved};
pub use self::offsets::Offsets;

use crate::counters::Counters;
use crate::log::{ConsumerRecord, Fault, Log, ProducerRecord, Rejection};
use crate::pipeline::{Pipeline, Stage};
use crate::reading::InvalidReading;

/// The headers that rivulet adds in a dead-letter topic.
pub mod header {
    /// The topic the record was read from; for a producer, the file or device.
    pub const TOPIC: &str = "rivulet.topic";
    /// The partition it was read from.
    pub const PARTITION: &str = "rivulet.partition";
    /// The offset it was read at.
    pub const OFFSET: &str = "rivulet.offset";
    /// The stage that refused it.
    pub const STAGE: &str = "rivulet.stage";
    /// A fixed word to group by, such as `not-json`.
    pub const REASON: &str = "rivulet.reason";
    /// The whole story.
    pub const ERROR: &str = "rivulet.error";
    /// How many bytes the value had, where only its beginning could be kept, or the key or the
    /// record's own headers were too large.
    pub const TRUNCATED: &str = "rivulet.truncated";
    /// In a mark: what became of letters, `replayed` or `dropped`.
    pub const HANDLED: &str = "rivulet.handled";
    /// In a mark: the letters' offsets in the same partition, such as `3,7..9`.
    pub const LETTERS: &str = "rivulet.letters";
    /// In a change of settings: what was done about the state, `kept`, `reset`, `anew` or
    /// `forgotten`.
    pub const STATE: &str = "rivulet.state";
    /// In a change of settings: the chain before it, as its operators describe themselves; absent
    /// if nobody knows.
    pub const CHAIN: &str = "rivulet.chain";
    /// In a change of settings: the offsets of the inputs from which the new chain counts, such as
    /// `warm/0=12,warm/1=7`.
    pub const OFFSETS: &str = "rivulet.offsets";
    /// Where some sensors were forgotten: their names, a list in JSON.
    pub const SENSORS: &str = "rivulet.sensors";
}

/// How much is kept of a value that the dead-letter topic would not take, in bytes.
const KEPT: usize = 64 * 1024;

/// How much is kept of a refusal's story, in bytes: a parser may quote all that it was given.
const STORY: usize = 4 * 1024;

/// The least that a letter is cut to when brokers have rejected a larger one, in bytes.
const LEAST: usize = 600;

/// The reason of a letter that records a gap: see [`DeadLetters::route_gap`].
pub const GAP: &str = "gap";

/// What a message needs at most beside its key, value and headers, in bytes.
const FRAMING: usize = 200;

/// What a header needs at most beside its name and value, in bytes.
const HEADER_FRAMING: usize = 10;

/// How many of the first letters are shown one by one.
const SHOWN: u64 = 10;

/// A stage's way to its dead-letter topic.
#[derive(Debug)]
pub struct DeadLetters {
    stage: String,
    topic: String,
    /// How large a message the topic takes, in bytes.
    largest: usize,
    pending: Pending,
}

/// Counts letters: one counts when it is committed.
#[derive(Debug, Default)]
struct Pending {
    committed: u64,
    /// How many were sent since the last commit.
    sent: u64,
    /// What is to be shown of those once they are committed.
    lines: Vec<String>,
}

impl DeadLetters {
    /// The dead letters of a stage.
    #[must_use]
    pub fn of(pipeline: &Pipeline, stage: &Stage) -> Self {
        let topic = stage.dead_letters();
        let largest = pipeline.topic(&topic).largest_message();
        let stage = stage.name.clone();
        DeadLetters {
            stage,
            topic,
            largest,
            pending: Pending::default(),
        }
    }

    /// Sends a record that was refused: its bytes, key, headers and timestamp as they were, as far
    /// as the topic takes them.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn route<L: Log>(
        &mut self,
        log: &L,
        topic: &str,
        record: &ConsumerRecord<'_>,
        headers: &[Header],
        refusal: &InvalidReading,
    ) -> Result<(), Fault> {
        let place = Some((record.partition, record.offset));
        let letter = DeadLetter {
            topic,
            place,
            ..letter(&self.stage, headers, refusal)
        };
        let line = self.send(
            log,
            letter,
            record.stamped(),
            record.key,
            record.value,
            self.largest,
        )?;
        self.pending.add(line);
        Ok(())
    }

    /// Sends what is left of a record when the brokers have rejected what became of it `tries`
    /// times: the less the more often, and with the time of now.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn route_truncated<L: Log>(
        &mut self,
        log: &L,
        topic: &str,
        record: &ConsumerRecord<'_>,
        headers: &[Header],
        refusal: &InvalidReading,
        tries: usize,
    ) -> Result<(), Fault> {
        let place = Some((record.partition, record.offset));
        let mut letter = DeadLetter {
            topic,
            place,
            ..letter(&self.stage, headers, refusal)
        };
        let length = record.value.map_or(0, <[u8]>::len);
        let size = length + record.key.map_or(0, <[u8]>::len) + size(headers);
        let (key, value) = if tries < 3 {
            (record.key, record.value)
        } else {
            (None, None)
        };
        if tries >= 3 {
            (letter.original, letter.error, letter.truncated) = (&[], "", Some(length as u64));
        }
        let largest = if tries < 2 {
            self.largest
        } else {
            self.largest.min(size / 4 + LEAST)
        };
        let line = self.send(log, letter, None, key, value, largest)?;
        self.pending.add(line);
        Ok(())
    }

    /// Sends what a source could not make a reading of.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn route_input<L: Log>(
        &mut self,
        log: &L,
        place: &str,
        bytes: &[u8],
        refusal: &InvalidReading,
    ) -> Result<(), Fault> {
        let letter = DeadLetter {
            topic: place,
            ..letter(&self.stage, &[], refusal)
        };
        let line = self.send(log, letter, None, None, Some(bytes), self.largest)?;
        self.pending.add(line);
        Ok(())
    }

    /// Records that these offsets of a partition were deleted before the stage read them.
    ///
    /// # Errors
    /// See [`Fault`].
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
        let refusal = InvalidReading::new(GAP, detail);
        let letter = DeadLetter {
            topic: &place,
            ..letter(&self.stage, &[], &refusal)
        };
        let line = self.send(log, letter, None, None, None, self.largest)?;
        self.pending.add(line);
        Ok(())
    }

    /// All that was sent is committed: it counts from now on.
    pub fn committed(&mut self, counters: &Counters) {
        let Pending {
            committed,
            sent,
            lines,
        } = &mut self.pending;
        counters.dead.add(*sent);
        *committed += std::mem::take(sent);
        for line in lines.drain(..) {
            tracing::warn!(stage = self.stage, "{line}");
        }
    }

    /// What was sent since the last commit is undone.
    pub fn rolled_back(&mut self) {
        self.pending.sent = 0;
        self.pending.lines.clear();
    }

    /// Sends a letter, as much of it as fits into `largest` bytes, and gives the line that tells of
    /// it.
    fn send<L: Log>(
        &self,
        log: &L,
        mut letter: DeadLetter<'_>,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        largest: usize,
    ) -> Result<Option<String>, Fault> {
        let (key, value) = fit(largest, &mut letter, key, value);
        let headers = letter.headers();
        log.send(&ProducerRecord {
            topic: &self.topic,
            partition: None,
            timestamp,
            key,
            value,
            headers: &headers,
        })?;
        // The first letters are shown one by one, the rest now and then, so that a flood of bad
        // records does not become a flood of lines.
        let number = self.pending.next();
        let DeadLetter { reason, error, .. } = letter;
        let line = || {
            format!(
                "dead letter {number}: {}: {reason}: {error}",
                letter.origin()
            )
        };
        let more = format!(
            "; further ones are in the topic {}, not all shown here",
            self.topic
        );
        Ok((number <= SHOWN || number.is_power_of_two())
            .then(|| line() + if number == SHOWN { &more } else { "" }))
    }
}

impl Pending {
    fn next(&self) -> u64 {
        self.committed + self.sent + 1
    }

    fn add(&mut self, line: Option<String>) {
        self.sent += 1;
        self.lines.extend(line);
    }
}

/// Why a record becomes a dead letter if brokers have rejected what became of it, for the last of
/// these reasons.
#[must_use]
pub fn rejected(rejections: &[Rejection]) -> InvalidReading {
    match rejections.last() {
        Some(Rejection::Timestamp) => InvalidReading::new(
            "timestamp-refused",
            "a topic does not take the record's timestamp",
        ),
        Some(Rejection::Policy) => {
            InvalidReading::new("rejected", "the brokers reject what became of the record")
        }
        Some(Rejection::TooLarge) | None => InvalidReading::new(
            "too-large",
            "what became of the record is larger than a topic takes: max.message.bytes",
        ),
    }
}

fn letter<'l>(
    stage: &'l str,
    original: &'l [Header],
    refusal: &'l InvalidReading,
) -> DeadLetter<'l> {
    let (reason, error) = (refusal.reason, &refusal.detail);
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

/// As much of the record as a topic takes that takes messages of `largest` bytes; the letter says
/// so if that is not all.
fn fit<'r>(
    largest: usize,
    letter: &mut DeadLetter<'_>,
    key: Option<&'r [u8]>,
    value: Option<&'r [u8]>,
) -> (Option<&'r [u8]>, Option<&'r [u8]>) {
    letter.error = &letter.error[..letter.error.floor_char_boundary(STORY.min(largest / 8))];
    // A key or headers that alone are too large would keep the letter from being taken at all.
    let kept = key.filter(|key| key.len() <= largest / 2);
    let mut is_whole = kept == key;
    if size(letter.original) > largest / 4 {
        letter.original = &[];
        is_whole = false;
    }
    let taken = FRAMING + kept.map_or(0, <[u8]>::len) + size(&letter.headers());
    let room = largest.saturating_sub(taken);
    let length = value.map_or(0, <[u8]>::len);
    if !is_whole || length > room {
        letter.truncated = Some(length as u64);
    }
    (
        kept,
        if length > room {
            value.map(|value| &value[..room.min(KEPT)])
        } else {
            value
        },
    )
}

/// What headers take in a message at most, in bytes.
fn size(headers: &[Header]) -> usize {
    headers
        .iter()
        .map(|(name, value)| HEADER_FRAMING + name.len() + value.as_ref().map_or(0, Vec::len))
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_letter_that_is_not_the_whole_record_says_so() {
        let refusal = InvalidReading::new("not-json", "no");
        let bytes = vec![b'x'; 200_000];
        let fitted = |key: usize, value: usize| {
            let mut letter = letter("s", &[], &refusal);
            let (key, value) = fit(
                100_000,
                &mut letter,
                Some(&bytes[..key]),
                Some(&bytes[..value]),
            );
            (
                key.map(<[u8]>::len),
                value.map(<[u8]>::len),
                letter.truncated,
            )
        };
        assert_eq!(fitted(50_000, 49_000), (Some(50_000), Some(49_000), None));
        let (key, value, truncated) = fitted(50_000, 50_000);
        assert!(
            key == Some(50_000)
                && value.is_some_and(|kept| kept > 49_000)
                && truncated == Some(50_000)
        );
        assert_eq!(fitted(1, 200_000), (Some(1), Some(KEPT), Some(200_000)));
        assert_eq!(
            fitted(50_001, 7),
            (None, Some(7), Some(7)),
            "without its key it is not the record"
        );
    }

    #[test]
    fn an_error_that_quotes_the_whole_value_leaves_room_for_it() {
        let value = format!("{{\"unit\":\"{}\"}}", "é".repeat(300_000));
        let refusal = InvalidReading::new(
            "not-json",
            format!("unknown variant `{value}`, expected one of"),
        );
        let mut letter = letter("s", &[], &refusal);
        assert_eq!(
            fit(1_048_588, &mut letter, None, Some(value.as_bytes())),
            (None, Some(value.as_bytes()))
        );
        assert!(letter.error.starts_with("unknown variant") && letter.error.len() <= STORY);
        assert_eq!(letter.truncated, None);
    }

    #[test]
    fn headers_that_are_too_large_are_left_out_and_told() {
        let refusal = InvalidReading::new("not-json", "no");
        let headers = [("a".to_owned(), Some(vec![b'b'; 25_000]))];
        let mut letter = letter("s", &headers, &refusal);
        assert_eq!(
            fit(100_000, &mut letter, None, Some(b"7")),
            (None, Some(&b"7"[..]))
        );
        assert!(letter.original.is_empty() && letter.truncated == Some(1));
    }

    proptest! {
        /// What a topic took, the dead letters of the same size take.
        #[test]
        fn a_letter_is_never_too_large(
            largest in 10_000..2_000_000_usize, key in 0..=100_usize, value in 0..=100_usize, headers in 0..=100_usize,
            count in 1..100_usize, detail in 0..2_000_000_usize,
        ) {
            let part = |share: usize| largest * share / (key + value + headers).max(100);
            let (key, value) = (vec![0; part(key)], vec![0; part(value)]);
            let headers = vec![("name".to_owned(), Some(vec![0; part(headers) / count])); count];
            let refusal = InvalidReading::new("not-json", "x".repeat(detail));
            let mut letter = letter("s", &headers, &refusal);
            let (key, value) = fit(largest, &mut letter, Some(&key), Some(&value));
            // As librdkafka counts a record, and the batch around it.
            let framing = 61 + 36;
            let (key, value) = (key.map_or(0, <[u8]>::len), value.map_or(0, <[u8]>::len));
            prop_assert!(framing + key + value + size(&letter.headers()) <= largest);
        }
    }
}
