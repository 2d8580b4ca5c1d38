//! Dead letters: what a stage refuses, kept with the reason.
//!
//! The topic is its own ledger: what became of a letter is told by a [`Mark`] behind it, in the same
//! partition, so that retention never takes the mark before the letter. Among the letters also stands a
//! [`Change`] for each time that the stage's settings were changed under its state.

mod change;
mod entry;
mod offsets;

pub use self::change::{Change, Remedy};
pub use self::entry::{Entry, Handled, Header, Letter, Mark};
pub use self::offsets::Offsets;

use crate::counters::Counters;
use crate::log::{Fault, Incoming, Log, Outgoing};
use crate::pipeline::{Pipeline, Stage};
use crate::reading::Refusal;

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
    /// How many bytes the value had, where only its beginning could be kept, or the key or the record's
    /// own headers were too large.
    pub const TRUNCATED: &str = "rivulet.truncated";
    /// In a mark: what became of letters, `replayed` or `dropped`.
    pub const HANDLED: &str = "rivulet.handled";
    /// In a mark: the letters' offsets in the same partition, such as `3,7..9`.
    pub const LETTERS: &str = "rivulet.letters";
    /// In a change of settings: what was done about the state, `kept`, `reset`, `anew` or `forgotten`.
    pub const STATE: &str = "rivulet.state";
    /// In a change of settings: the chain before it, as its operators describe themselves; absent if
    /// nobody knows.
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

/// What a message needs at most beside its key, value and headers, in bytes.
const FRAMING: usize = 200;

/// What a header needs at most beside its name and value, in bytes.
const HEADER_FRAMING: usize = 10;

/// A stage's way to its dead-letter topic.
#[derive(Debug)]
pub struct DeadLetters {
    stage: String,
    topic: String,
    /// How large a message the topic takes, in bytes.
    largest: usize,
}

impl DeadLetters {
    /// The dead letters of a stage.
    #[must_use]
    pub fn of(pipeline: &Pipeline, stage: &Stage) -> Self {
        let topic = stage.dead_letters();
        let largest = pipeline.topic(&topic).largest_message();
        DeadLetters { stage: stage.name.clone(), topic, largest }
    }

    /// Sends a record that was refused: its bytes, key, headers and timestamp as they were, as far as
    /// the topic takes them.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn bury<L: Log>(
        &self,
        log: &L,
        topic: &str,
        record: &Incoming<'_>,
        headers: &[Header],
        refusal: &Refusal,
        counters: &Counters,
    ) -> Result<(), Fault> {
        let letter = Letter { topic, place: Some((record.partition, record.offset)), ..self.letter(headers, refusal) };
        self.send(log, letter, record.stamped(), record.key, record.value, counters)
    }

    /// Sends what a source could not make a reading of.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn bury_input<L: Log>(
        &self,
        log: &L,
        place: &str,
        bytes: &[u8],
        refusal: &Refusal,
        counters: &Counters,
    ) -> Result<(), Fault> {
        self.send(log, Letter { topic: place, ..self.letter(&[], refusal) }, None, None, Some(bytes), counters)
    }

    fn letter<'l>(&'l self, original: &'l [Header], refusal: &'l Refusal) -> Letter<'l> {
        let (stage, reason, error) = (&self.stage, refusal.reason, &refusal.detail);
        Letter { original, topic: "", place: None, stage, reason, error, truncated: None }
    }

    fn send<L: Log>(
        &self,
        log: &L,
        mut letter: Letter<'_>,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        counters: &Counters,
    ) -> Result<(), Fault> {
        let (key, value) = self.fit(&mut letter, key, value);
        counters.dead.add(1);
        self.say(counters.dead.get(), &letter);
        let headers = letter.headers();
        log.send(&Outgoing { topic: &self.topic, partition: None, timestamp, key, value, headers: &headers })
    }

    /// As much of the record as the topic takes; the letter says so if that is not all.
    fn fit<'r>(
        &self,
        letter: &mut Letter<'_>,
        key: Option<&'r [u8]>,
        value: Option<&'r [u8]>,
    ) -> (Option<&'r [u8]>, Option<&'r [u8]>) {
        letter.error = &letter.error[..letter.error.floor_char_boundary(STORY.min(self.largest / 8))];
        // A key or headers that alone are too large would keep the letter from being taken at all.
        let kept = key.filter(|key| key.len() <= self.largest / 2);
        let mut is_whole = kept == key;
        if size(letter.original) > self.largest / 4 {
            letter.original = &[];
            is_whole = false;
        }
        let taken = FRAMING + kept.map_or(0, <[u8]>::len) + size(&letter.headers());
        let room = self.largest.saturating_sub(taken);
        let length = value.map_or(0, <[u8]>::len);
        if !is_whole || length > room {
            letter.truncated = Some(length as u64);
        }
        (kept, if length > room { value.map(|value| &value[..room.min(KEPT)]) } else { value })
    }

    /// The first letters are shown one by one, the rest now and then, so that a flood of bad records
    /// does not become a flood of lines.
    fn say(&self, count: u64, letter: &Letter<'_>) {
        if count <= 10 || count.is_power_of_two() {
            let Letter { reason, error, .. } = letter;
            tracing::warn!(stage = self.stage, "dead letter {count}: {}: {reason}: {error}", letter.origin());
        }
        if count == 10 {
            tracing::warn!(
                stage = self.stage,
                "further dead letters are in the topic {}, not all shown here",
                self.topic
            );
        }
    }
}

/// What headers take in a message at most, in bytes.
fn size(headers: &[Header]) -> usize {
    headers.iter().map(|(name, value)| HEADER_FRAMING + name.len() + value.as_ref().map_or(0, Vec::len)).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn letters(largest: usize) -> DeadLetters {
        DeadLetters { stage: "s".into(), topic: "s-dead-letters".into(), largest }
    }

    #[test]
    fn a_letter_that_is_not_the_whole_record_says_so() {
        let letters = letters(100_000);
        let refusal = Refusal::new("not-json", "no");
        let bytes = vec![b'x'; 200_000];
        let fitted = |key: usize, value: usize| {
            let mut letter = letters.letter(&[], &refusal);
            let (key, value) = letters.fit(&mut letter, Some(&bytes[..key]), Some(&bytes[..value]));
            (key.map(<[u8]>::len), value.map(<[u8]>::len), letter.truncated)
        };
        assert_eq!(fitted(50_000, 49_000), (Some(50_000), Some(49_000), None));
        let (key, value, truncated) = fitted(50_000, 50_000);
        assert!(key == Some(50_000) && value.is_some_and(|kept| kept > 49_000) && truncated == Some(50_000));
        assert_eq!(fitted(1, 200_000), (Some(1), Some(KEPT), Some(200_000)));
        assert_eq!(fitted(50_001, 7), (None, Some(7), Some(7)), "without its key it is not the record");
    }

    #[test]
    fn an_error_that_quotes_the_whole_value_leaves_room_for_it() {
        let value = format!("{{\"unit\":\"{}\"}}", "é".repeat(300_000));
        let refusal = Refusal::new("not-json", format!("unknown variant `{value}`, expected one of"));
        let letters = letters(1_048_588);
        let mut letter = letters.letter(&[], &refusal);
        assert_eq!(letters.fit(&mut letter, None, Some(value.as_bytes())), (None, Some(value.as_bytes())));
        assert!(letter.error.starts_with("unknown variant") && letter.error.len() <= STORY);
        assert_eq!(letter.truncated, None);
    }

    #[test]
    fn headers_that_are_too_large_are_left_out_and_told() {
        let (letters, refusal) = (letters(100_000), Refusal::new("not-json", "no"));
        let headers = [("a".to_owned(), Some(vec![b'b'; 25_000]))];
        let mut letter = letters.letter(&headers, &refusal);
        assert_eq!(letters.fit(&mut letter, None, Some(b"7")), (None, Some(&b"7"[..])));
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
            let (letters, refusal) = (letters(largest), Refusal::new("not-json", "x".repeat(detail)));
            let mut letter = letters.letter(&headers, &refusal);
            let (key, value) = letters.fit(&mut letter, Some(&key), Some(&value));
            // As librdkafka counts a record, and the batch around it.
            let framing = 61 + 36;
            let (key, value) = (key.map_or(0, <[u8]>::len), value.map_or(0, <[u8]>::len));
            prop_assert!(framing + key + value + size(&letter.headers()) <= largest);
        }
    }
}
