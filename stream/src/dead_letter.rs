//! Dead letters: what a stage refuses, kept with the reason.
//!
//! The topic is its own ledger: what became of a letter is told by a [`Mark`] behind it, in the same
//! partition, so that retention never takes the mark before the letter.

mod entry;
mod offsets;

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
    /// How many bytes the value had, where only its beginning could be kept or the key was too large.
    pub const TRUNCATED: &str = "rivulet.truncated";
    /// In a mark: what became of letters, `replayed` or `dropped`.
    pub const HANDLED: &str = "rivulet.handled";
    /// In a mark: the letters' offsets in the same partition, such as `3,7..9`.
    pub const LETTERS: &str = "rivulet.letters";
}

/// How much is kept of a value that the dead-letter topic would not take.
const KEPT: usize = 64 * 1024;

/// A stage's way to its dead-letter topic.
#[derive(Debug)]
pub struct DeadLetters {
    stage: String,
    topic: String,
    largest: usize,
}

impl DeadLetters {
    /// The dead letters of a stage.
    #[must_use]
    pub fn of(pipeline: &Pipeline, stage: &Stage) -> Self {
        let topic = stage.dead_letters();
        let largest = pipeline.topic(&topic).largest_record();
        DeadLetters { stage: stage.name.clone(), topic, largest }
    }

    /// Sends a record that was refused: its bytes, key, headers and timestamp as they were.
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

    /// As much of key and value as the topic takes; the letter says so if that is not all.
    fn fit<'r>(
        &self,
        letter: &mut Letter<'_>,
        key: Option<&'r [u8]>,
        value: Option<&'r [u8]>,
    ) -> (Option<&'r [u8]>, Option<&'r [u8]>) {
        let length = value.map_or(0, <[u8]>::len);
        let is_large = key.map_or(0, <[u8]>::len) + length > self.largest;
        // A key that alone is too large would keep the letter from being taken at all.
        let kept = key.filter(|key| key.len() <= self.largest / 2);
        if is_large || kept != key {
            letter.truncated = Some(length as u64);
        }
        (kept, if is_large { value.map(|value| &value[..length.min(KEPT)]) } else { value })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_is_not_the_whole_record_says_so() {
        let letters = DeadLetters { stage: "s".into(), topic: "s-dead-letters".into(), largest: 100_000 };
        let refusal = Refusal::new("not-json", "no");
        let bytes = vec![b'x'; 200_000];
        let fitted = |key: usize, value: usize| {
            let mut letter = letters.letter(&[], &refusal);
            let (key, value) = letters.fit(&mut letter, Some(&bytes[..key]), Some(&bytes[..value]));
            (key.map(<[u8]>::len), value.map(<[u8]>::len), letter.truncated)
        };
        assert_eq!(fitted(50_000, 50_000), (Some(50_000), Some(50_000), None));
        assert_eq!(fitted(50_000, 50_001), (Some(50_000), Some(50_001.min(KEPT)), Some(50_001)));
        assert_eq!(fitted(1, 200_000), (Some(1), Some(KEPT), Some(200_000)));
        assert_eq!(fitted(50_001, 7), (None, Some(7), Some(7)), "without its key it is not the record");
    }
}
