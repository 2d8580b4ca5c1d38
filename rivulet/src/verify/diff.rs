//! The differences in one topic, and when two values are equal.

use super::report::{DifferenceKind, ReadingCounts, ReadingDifference, SHOWN};
use super::truth::Entry;

/// Two values are equal if they differ by at most this part of the greater one.
const RELATIVE: f64 = 1e-9;

/// They are also equal if they differ by at most this. After a subtraction of nearly equal numbers,
/// as in °F to °C near freezing, no relative tolerance holds.
const ABSOLUTE: f64 = 1e-12;

/// A reading that was found in a topic.
#[derive(Debug, Clone, Copy)]
pub(super) struct FoundReading {
    pub(super) sensor: u32,
    pub(super) entry: Entry,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

pub(super) fn close(one: f64, other: f64) -> bool {
    let difference = (one - other).abs();
    difference <= ABSOLUTE || difference <= RELATIVE * one.abs().max(other.abs())
}

/// Counts the differences in one topic and keeps the first of them.
#[derive(Debug)]
pub(super) struct TopicDiff {
    topic: String,
    allow_duplicates: bool,
    pub(super) counts: ReadingCounts,
    pub(super) differences: Vec<ReadingDifference>,
}

impl TopicDiff {
    pub(super) fn new(topic: &str, allow_duplicates: bool) -> Self {
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

    pub(super) fn missing(&mut self, sensor: &str, expected: &Entry) {
        self.counts.missing += 1;
        self.keep(DifferenceKind::Missing, |topic| {
            between(topic, sensor, Some(expected), None)
        });
    }

    /// A reading that retention may have deleted.
    pub(super) fn deleted(&mut self) {
        self.counts.expected -= 1;
        self.counts.deleted += 1;
    }

    /// A record that was not expected. `again` if it repeats an expected reading.
    pub(super) fn extra(&mut self, sensor: &str, found: &FoundReading, again: bool) {
        if again && self.allow_duplicates {
            self.counts.duplicates += 1;
            return;
        }
        self.counts.extra += 1;
        self.keep(DifferenceKind::Extra, |topic| {
            between(topic, sensor, None, Some(found))
        });
    }

    pub(super) fn wrong(&mut self, sensor: &str, expected: &Entry, found: &FoundReading) {
        self.counts.wrong += 1;
        self.keep(DifferenceKind::Wrong, |topic| {
            between(topic, sensor, Some(expected), Some(found))
        });
    }

    pub(super) fn out_of_order(&mut self, sensor: &str, found: &FoundReading, after: &str) {
        self.counts.out_of_order += 1;
        self.keep(DifferenceKind::OutOfOrder, |topic| ReadingDifference {
            found: Some(format!("{} {after}", shown(&found.entry))),
            ..between(topic, sensor, None, Some(found))
        });
    }

    /// A record that is not a reading.
    pub(super) fn undecodable(&mut self, partition: i32, offset: i64, why: String) {
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
