//! What a stage's dead-letter topic holds, and which of its letters are settled.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use stream::dead_letter::{DeadLetter, GAP, LedgerRecord, Migration, Resolved};
use stream::error::Result;
use stream::pipeline::{Pipeline, Stage};

use super::course::Course;
use super::decode::decode;
use super::tally::close;
use super::truth::{Entry, Sensors, Stream};
use crate::read::{FetchedRecord, TopicSource};

/// The dead letters of one stage.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// How many records there are besides marks and what is settled.
    pub(super) unsettled: u64,
    /// How many of these hold a record that is deleted, by its topic.
    deleted: BTreeMap<String, u64>,
    /// How the stage's settings were changed under its state, in order.
    pub(super) changes: Vec<Migration>,
    /// The records that were deleted before the stage read them.
    pub(super) gaps: Vec<Gap>,
    /// The records that were refused for limits which only brokers or the process know, by topic,
    /// partition and offset.
    limited: BTreeSet<(String, i32, i64)>,
    settled: Vec<Settled>,
}

/// The record in a letter that was replayed or dropped.
#[derive(Debug)]
struct Settled {
    /// The topic that the stage read it from.
    topic: String,
    /// The reading that it is, with its sensor, if it is one.
    reading: Option<(u32, Entry)>,
    handled: Resolved,
    /// Whether the stage's topic does not hold the record any more.
    is_deleted: bool,
}

/// A letter while the topic is read.
#[derive(Debug)]
struct Read {
    /// Topic and reading of the record. Nothing where they are not known: such a letter goes on
    /// counting.
    record: Option<(String, Option<(u32, Entry)>)>,
    /// The topic that does not hold the record any more.
    deleted_from: Option<String>,
    /// Where the record is, if it was refused for a limit.
    limited: Option<(String, i32, i64)>,
    is_foreign: bool,
    handled: Option<Resolved>,
}

impl Letters {
    /// Reads the stage's dead-letter topic, if there is one.
    pub(super) fn read(
        pipeline: &Pipeline,
        stage: &Stage,
        sensors: &mut Sensors,
        topics: &mut dyn TopicSource,
    ) -> Result<Self> {
        let name = stage.dead_letters();
        let mut read: BTreeMap<(i32, i64), Read> = BTreeMap::new();
        let mut letters = Letters::default();
        if topics.partitions(&name).is_some() {
            let starts: BTreeMap<(&str, i32), i64> = stage
                .from
                .iter()
                .flat_map(|topic| {
                    let count = i32::try_from(topics.partitions(topic).unwrap_or_default())
                        .unwrap_or_default();
                    (0..count).map(move |partition| (topic.as_str(), partition))
                })
                .map(|(topic, partition)| ((topic, partition), topics.start(topic, partition)))
                .collect();
            topics.read(&name, &mut |record| {
                let partition = record.partition;
                match LedgerRecord::read(record.headers) {
                    LedgerRecord::Resolution(mark) => {
                        for (first, last) in mark.letters.ranges() {
                            for (_, letter) in
                                read.range_mut((partition, *first)..=(partition, *last))
                            {
                                letter.handled.get_or_insert(mark.resolved);
                            }
                        }
                    }
                    LedgerRecord::Migration(change) => letters.changes.push(change),
                    LedgerRecord::DeadLetter(letter) if letter.reason == GAP => {
                        letters.gaps.extend(Gap::read(letter.topic));
                    }
                    entry => {
                        let is_foreign = entry == LedgerRecord::Foreign;
                        let deleted_from = match &entry {
                            LedgerRecord::DeadLetter(DeadLetter {
                                topic,
                                place: Some((number, offset)),
                                ..
                            }) => starts
                                .get(&(*topic, *number))
                                .filter(|start| offset < *start)
                                .map(|_| (*topic).to_owned()),
                            _ => None,
                        };
                        let limited = match &entry {
                            LedgerRecord::DeadLetter(DeadLetter {
                                topic,
                                place: Some((number, offset)),
                                reason,
                                ..
                            }) if LIMITS.contains(reason) && deleted_from.is_none() => {
                                Some(((*topic).to_owned(), *number, *offset))
                            }
                            _ => None,
                        };
                        let record_in_it = refused(pipeline, &entry, record, sensors);
                        let letter = Read {
                            record: record_in_it,
                            deleted_from,
                            limited,
                            is_foreign,
                            handled: None,
                        };
                        read.insert((partition, record.offset), letter);
                    }
                }
            })?;
        }
        for letter in read.into_values() {
            match (letter.handled, letter.record) {
                (Some(handled), Some((topic, reading))) => {
                    let is_deleted = letter.deleted_from.is_some();
                    letters.settled.push(Settled {
                        topic,
                        reading,
                        handled,
                        is_deleted,
                    });
                }
                (Some(_), None) if letter.is_foreign => (),
                _ if letter.limited.is_some() => letters.limited.extend(letter.limited),
                _ => {
                    letters.unsettled += 1;
                    if let Some(topic) = letter.deleted_from {
                        *letters.deleted.entry(topic).or_default() += 1;
                    }
                }
            }
        }
        Ok(letters)
    }

    /// The readings that were sent to a topic once more, each with its sensor.
    pub(super) fn replayed(&self, topic: &str) -> impl Iterator<Item = (u32, Entry)> {
        let replayed = self
            .settled
            .iter()
            .filter(move |letter| letter.handled == Resolved::Replayed && letter.topic == topic);
        replayed.filter_map(|letter| letter.reading)
    }

    /// How many records of a topic are settled that are no readings, and are still there.
    pub(super) fn settled_undecodable(&self, topic: &str) -> u64 {
        let settled = self
            .settled
            .iter()
            .filter(|letter| letter.topic == topic && letter.reading.is_none());
        settled.filter(|letter| !letter.is_deleted).count() as u64
    }

    /// How many records that count hold one that the topic does not hold any more.
    pub(super) fn deleted(&self, topic: &str) -> u64 {
        self.deleted.get(topic).copied().unwrap_or_default()
    }

    /// The records of a topic that were refused for limits, by partition and offset.
    pub(super) fn limited(&self, topic: &str) -> impl Iterator<Item = (i32, i64)> {
        let of_topic = self.limited.iter().filter(move |(of, ..)| of == topic);
        of_topic.map(|(_, partition, offset)| (*partition, *offset))
    }

    /// Takes down what a record is that was refused for a limit.
    pub(super) fn found_limited(&mut self, topic: &str, reading: Option<(u32, Entry)>) {
        let topic = topic.to_owned();
        self.settled.push(Settled {
            topic,
            reading,
            handled: Resolved::Dropped,
            is_deleted: false,
        });
    }

    /// How many records were refused for limits.
    pub(super) fn limits(&self) -> usize {
        self.limited.len()
    }

    /// Whether records of the topic were deleted before the stage read them.
    pub(super) fn has_gap(&self, topic: &str) -> bool {
        self.gaps.iter().any(|gap| gap.topic == topic)
    }

    /// What the stage reads of a topic without the records that are settled, of which its course
    /// hears.
    pub(super) fn take_settled<'s>(
        &self,
        topic: &str,
        stream: &'s Stream,
        course: &mut Course,
    ) -> Cow<'s, Stream> {
        let mut left = Cow::Borrowed(stream);
        // Of readings that are gone, a settled one is gone, too.
        let is_lost = stream.has_lost();
        let settled = self
            .settled
            .iter()
            .filter(|letter| letter.topic == topic && !(letter.is_deleted && is_lost));
        for (sensor, settled) in settled.filter_map(|letter| letter.reading) {
            let same = |entry: &Entry| {
                (!stream.numbered || entry.seq == settled.seq)
                    && entry.unit == settled.unit
                    && close(entry.value, settled.value)
            };
            // The first: what was replayed comes behind it.
            let place = left
                .lanes
                .get(&sensor)
                .and_then(|lane| lane.entries.iter().position(same));
            if let Some(place) = place {
                let right = left.to_mut().remove(sensor, place);
                if let Some(place) = if course.requires_key() {
                    right
                } else {
                    Some(place)
                } {
                    course.take_away(topic, sensor, place);
                }
            }
        }
        left
    }
}

/// Records that were deleted before a stage read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) topic: String,
    pub(super) place: String,
}

/// The reasons of letters that nothing in the record tells of.
const LIMITS: [&str; 4] = ["too-large", "timestamp-refused", "rejected", "state-full"];

impl Gap {
    /// From where the letter says that it comes: `in [0] offsets 100..150`.
    fn read(place: &str) -> Option<Self> {
        let (topic, _) = place.split_once(" [")?;
        Some(Gap {
            topic: topic.to_owned(),
            place: place.to_owned(),
        })
    }
}

/// The record in a letter: its topic, and the reading that it is.
fn refused(
    pipeline: &Pipeline,
    letter: &LedgerRecord<'_>,
    record: &FetchedRecord<'_>,
    sensors: &mut Sensors,
) -> Option<(String, Option<(u32, Entry)>)> {
    let LedgerRecord::DeadLetter(letter) = letter else {
        return None;
    };
    let (partition, offset) = letter.place.filter(|_| letter.truncated.is_none())?;
    let topic = pipeline.topics.get(letter.topic)?;
    // As it was where the stage read it.
    let reading = decode(
        topic,
        &FetchedRecord {
            partition,
            offset,
            headers: letter.original,
            ..*record
        },
    )
    .ok();
    let reading = reading.map(|(sensor, entry)| (sensors.id(&sensor), entry));
    Some((letter.topic.to_owned(), reading))
}
