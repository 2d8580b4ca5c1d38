//! The differences in one topic, and when two values are equal.

use crate::report::{DifferenceKind, ReadingCounts, ReadingDifference, SHOWN};
use crate::stream::Entry;

/// Two values are equal if they differ by at most this part of the greater one.
const RELATIVE: f64 = 1e-9;

/// They are also equal if they differ by at most this. After a subtraction of nearly equal numbers,
/// as in °F to °C near freezing, no relative tolerance holds.
const ABSOLUTE: f64 = 1e-12;

/// A reading that was found in a topic.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundReading {
    pub(crate) sensor: u32,
    pub(crate) entry: Entry,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

pub(crate) fn close(one: f64, other: f64) -> bool {
    let difference = (one - other).abs();
    difference <= ABSOLUTE || difference <= RELATIVE * one.abs().max(other.abs())
}

/// Counts the differences in one topic and keeps the first of them.
#[derive(Debug)]
pub(crate) struct TopicDiff {
    topic: String,
    allow_duplicates: bool,
    pub(crate) counts: ReadingCounts,
    pub(crate) differences: Vec<ReadingDifference>,
}

impl TopicDiff {
    pub(crate) fn new(topic: &str, allow_duplicates: bool) -> Self {
        TopicDiff {
            topic: topic.to_owned(),
            allow_duplicates,
            counts: ReadingCounts::default(),
            differences: Vec::new(),
        }
    }

    fn keep(&mut self, kind: DifferenceKind, difference: impl FnOnce(String) -> ReadingDifference) {
        if self.differences.len() < SHOWN {
            self.differences.push(ReadingDifference {
                kind,
                ..difference(self.topic.clone())
            });
        }
    }

    pub(crate) fn missing(&mut self, sensor: &str, expected: &Entry) {
        self.counts.missing += 1;
        self.keep(DifferenceKind::Missing, |topic| {
            between(topic, sensor, Some(expected), None)
        });
    }

    /// A reading that retention may have deleted.
    pub(crate) fn deleted(&mut self) {
        self.counts.expected -= 1;
        self.counts.deleted += 1;
    }

    /// A record that was not expected. `again` if it repeats an expected reading.
    pub(crate) fn extra(&mut self, sensor: &str, found: &FoundReading, again: bool) {
        if again && self.allow_duplicates {
            self.counts.duplicates += 1;
            return;
        }
        self.counts.extra += 1;
        self.keep(DifferenceKind::Extra, |topic| {
            between(topic, sensor, None, Some(found))
        });
    }

    pub(crate) fn wrong(&mut self, sensor: &str, expected: &Entry, found: &FoundReading) {
        self.counts.wrong += 1;
        self.keep(DifferenceKind::Wrong, |topic| {
            between(topic, sensor, Some(expected), Some(found))
        });
    }

    pub(crate) fn out_of_order(&mut self, sensor: &str, found: &FoundReading, after: &str) {
        self.counts.out_of_order += 1;
        self.keep(DifferenceKind::OutOfOrder, |topic| ReadingDifference {
            found: Some(format!("{} {after}", shown(&found.entry))),
            ..between(topic, sensor, None, Some(found))
        });
    }

    /// A record that is not a reading.
    pub(crate) fn undecodable(&mut self, partition: i32, offset: i64, why: String) {
        self.counts.found += 1;
        self.counts.extra += 1;
        self.keep(DifferenceKind::Extra, |topic| ReadingDifference {
            kind: DifferenceKind::Extra,
            topic,
            reading: "no reading".to_owned(),
            place: Some((partition, offset)),
            expected: None,
            found: Some(why),
        });
    }
}

fn between(
    topic: String,
    sensor: &str,
    expected: Option<&Entry>,
    found: Option<&FoundReading>,
) -> ReadingDifference {
    let seq = expected
        .or(found.map(|found| &found.entry))
        .map_or(0, |entry| entry.seq);
    ReadingDifference {
        kind: DifferenceKind::Wrong,
        topic,
        reading: format!("sensor \"{sensor}\", seq {seq}"),
        place: found.map(|found| (found.partition, found.offset)),
        expected: expected.map(shown),
        found: found.map(|found| shown(&found.entry)),
    }
}

fn shown(entry: &Entry) -> String {
    match entry.unit {
        Some(unit) => format!("{} {unit} at time {}", entry.value, entry.time),
        None => entry.value.to_string(),
    }
}
