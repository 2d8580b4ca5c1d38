//! Dead letters: what a stage refuses, kept with the reason.

use crate::counters::Counters;
use crate::log::{Fault, Incoming, Log, Outgoing};
use crate::pipeline::{Pipeline, Stage};
use crate::reading::Refusal;

/// The headers that a dead letter has beside its own.
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
    /// How many bytes the value had, where only its beginning could be kept.
    pub const TRUNCATED: &str = "rivulet.truncated";
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
        mut headers: Vec<(String, Option<Vec<u8>>)>,
        refusal: &Refusal,
        counters: &Counters,
    ) -> Result<(), Fault> {
        let place = format!("{topic} [{}] at offset {}", record.partition, record.offset);
        headers.push(text(header::TOPIC, topic));
        headers.push(text(header::PARTITION, &record.partition.to_string()));
        headers.push(text(header::OFFSET, &record.offset.to_string()));
        self.send(log, &place, record.stamped(), record.key, record.value, headers, refusal, counters)
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
        self.send(log, place, None, None, Some(bytes), vec![text(header::TOPIC, place)], refusal, counters)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one record, in one private place")]
    fn send<L: Log>(
        &self,
        log: &L,
        place: &str,
        timestamp: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        mut headers: Vec<(String, Option<Vec<u8>>)>,
        refusal: &Refusal,
        counters: &Counters,
    ) -> Result<(), Fault> {
        headers.push(text(header::STAGE, &self.stage));
        headers.push(text(header::REASON, refusal.reason));
        headers.push(text(header::ERROR, &refusal.detail));
        let size = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        let value = if size > self.largest {
            headers.push(text(header::TRUNCATED, &value.map_or(0, <[u8]>::len).to_string()));
            value.map(|value| &value[..value.len().min(KEPT)])
        } else {
            value
        };
        // A key that alone is too large would keep the letter from being taken at all.
        let key = key.filter(|key| key.len() <= self.largest / 2);
        counters.dead.add(1);
        self.say(counters.dead.get(), place, refusal);
        log.send(&Outgoing { topic: &self.topic, partition: None, timestamp, key, value, headers: &headers })
    }

    /// The first letters are shown one by one, the rest now and then, so that a flood of bad records
    /// does not become a flood of lines.
    fn say(&self, count: u64, place: &str, refusal: &Refusal) {
        if count <= 10 || count.is_power_of_two() {
            tracing::warn!(stage = self.stage, "dead letter {count}: {place}: {refusal}");
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

fn text(name: &str, value: &str) -> (String, Option<Vec<u8>>) {
    (name.to_owned(), Some(value.as_bytes().to_vec()))
}
