//! What a stage's dead-letter topic holds, and which dead letters are resolved.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use rivulet_core::dead_letter::{DeadLetter, GAP, LedgerRecord, Migration, Resolved};
use rivulet_core::error::Result;
use rivulet_pipeline::Stage;

use crate::decode::Decoders;
use crate::diff::close;
use crate::history::StageHistory;
use crate::stream::{Entry, RecordReadings, Sensors, Stream};
use rivulet_core::topic_source::{FetchedRecord, TopicSource};

/// The dead letters of one stage.
#[derive(Debug, Default)]
pub(crate) struct StageDeadLetters {
    /// How many dead letters are unresolved.
    pub(crate) unresolved: u64,
    /// How many of these hold a record that was deleted from its topic, by topic.
    deleted: BTreeMap<String, u64>,
    /// The migrations of the stage's state, in order.
    pub(crate) migrations: Vec<Migration>,
    /// The records that were deleted before the stage read them.
    pub(crate) gaps: Vec<Gap>,
    /// Records that are dead letters because of limits that only the brokers or the process know,
    /// by topic, partition and offset.
    limited: BTreeSet<(String, i32, i64)>,
    resolved: Vec<ResolvedRecord>,
}

/// The record of a dead letter that was replayed or dropped.
#[derive(Debug)]
struct ResolvedRecord {
    /// The topic that the stage read it from.
    topic: String,
    /// Its sensors and readings; `None` if it is invalid.
    readings: RecordReadings,
    resolution: Resolved,
    /// Whether the record was deleted from its topic.
    is_deleted: bool,
}

/// A dead letter while the topic is read.
#[derive(Debug)]
struct Read {
    /// The topic and readings of the record. `None` if they are unknown: such a dead letter counts
    /// even after it is resolved.
    record: Option<(String, RecordReadings)>,
    /// The topic that the record was deleted from.
    deleted_from: Option<String>,
    /// Topic, partition and offset of the record, if it is a dead letter because of a limit.
    limited: Option<(String, i32, i64)>,
    is_foreign: bool,
    resolution: Option<Resolved>,
}

impl StageDeadLetters {
    /// Reads the stage's dead-letter topic, if there is one.
    pub(crate) fn read(
        decoders: &Decoders<'_>,
        stage: &Stage,
        sensors: &mut Sensors,
        topics: &mut dyn TopicSource,
    ) -> Result<Self> {
        let name = stage.dead_letters();
        let mut read: BTreeMap<(i32, i64), Read> = BTreeMap::new();
        let mut dead_letters = StageDeadLetters::default();
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
                    LedgerRecord::Resolution(resolution) => {
                        for (first, last) in resolution.letters.ranges() {
                            for (_, dead_letter) in
                                read.range_mut((partition, *first)..=(partition, *last))
                            {
                                dead_letter.resolution.get_or_insert(resolution.resolved);
                            }
                        }
                    }
                    LedgerRecord::Migration(migration) => dead_letters.migrations.push(migration),
                    LedgerRecord::DeadLetter(dead_letter) if dead_letter.reason == GAP => {
                        dead_letters.gaps.extend(Gap::read(dead_letter.topic));
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
                        let dead_letter = Read {
                            record: original(decoders, &entry, record, sensors),
                            deleted_from,
                            limited,
                            is_foreign,
                            resolution: None,
                        };
                        read.insert((partition, record.offset), dead_letter);
                    }
                }
            })?;
        }
        for dead_letter in read.into_values() {
            match (dead_letter.resolution, dead_letter.record) {
                (Some(resolution), Some((topic, readings))) => {
                    let is_deleted = dead_letter.deleted_from.is_some();
                    dead_letters.resolved.push(ResolvedRecord {
                        topic,
                        readings,
                        resolution,
                        is_deleted,
                    });
                }
                (Some(_), None) if dead_letter.is_foreign => (),
                _ if dead_letter.limited.is_some() => {
                    dead_letters.limited.extend(dead_letter.limited);
                }
                _ => {
                    dead_letters.unresolved += 1;
                    if let Some(topic) = dead_letter.deleted_from {
                        *dead_letters.deleted.entry(topic).or_default() += 1;
                    }
                }
            }
        }
        Ok(dead_letters)
    }

    /// The readings that were replayed to a topic, each with its sensor.
    pub(crate) fn replayed(&self, topic: &str) -> impl Iterator<Item = (u32, Entry)> {
        let replayed = self
            .resolved
            .iter()
            .filter(move |record| record.resolution == Resolved::Replayed && record.topic == topic);
        replayed.flat_map(|record| record.readings.iter().flatten().copied())
    }

    /// How many records of a topic are resolved, not readings, and not deleted.
    pub(crate) fn resolved_undecodable(&self, topic: &str) -> u64 {
        let of_topic = self.resolved.iter().filter(|record| record.topic == topic);
        of_topic
            .filter(|record| record.readings.is_none() && !record.is_deleted)
            .count() as u64
    }

    /// How many unresolved dead letters hold a record that was deleted from the topic.
    pub(crate) fn deleted(&self, topic: &str) -> u64 {
        self.deleted.get(topic).copied().unwrap_or_default()
    }

    /// The records of a topic that are dead letters because of limits, by partition and offset.
    pub(crate) fn limited(&self, topic: &str) -> impl Iterator<Item = (i32, i64)> {
        let of_topic = self.limited.iter().filter(move |(of, ..)| of == topic);
        of_topic.map(|(_, partition, offset)| (*partition, *offset))
    }

    /// Records the readings of a record that is a dead letter because of a limit.
    pub(crate) fn found_limited(&mut self, topic: &str, readings: RecordReadings) {
        let topic = topic.to_owned();
        self.resolved.push(ResolvedRecord {
            topic,
            readings,
            resolution: Resolved::Dropped,
            is_deleted: false,
        });
    }

    /// How many records are dead letters because of limits.
    pub(crate) fn limits(&self) -> usize {
        self.limited.len()
    }

    /// Whether records of the topic were deleted before the stage read them.
    pub(crate) fn has_gap(&self, topic: &str) -> bool {
        self.gaps.iter().any(|gap| gap.topic == topic)
    }

    /// The input of the stage from a topic, without resolved records. They are removed from the
    /// history as well.
    pub(crate) fn without_resolved<'s>(
        &self,
        topic: &str,
        stream: &'s Stream,
        history: &mut StageHistory,
    ) -> Cow<'s, Stream> {
        let mut left = Cow::Borrowed(stream);
        // If the stream has lost its deleted readings, it has lost the resolved ones among them.
        let is_lost = stream.has_lost();
        let resolved = self
            .resolved
            .iter()
            .filter(|record| record.topic == topic && !(record.is_deleted && is_lost));
        for (sensor, resolved) in resolved.flat_map(|record| record.readings.iter().flatten()) {
            let entries = left.series.get(sensor).map(|series| &series.entries[..]);
            // The first one: the replayed reading comes after it.
            let index = entries.unwrap_or_default().iter().position(|entry| {
                (!stream.numbered || entry.seq == resolved.seq)
                    && entry.unit == resolved.unit
                    && close(entry.value, resolved.value)
            });
            let Some(index) = index else {
                continue;
            };
            let with_right_key = left.to_mut().remove(*sensor, index);
            let observed = if history.requires_key() {
                with_right_key
            } else {
                Some(index)
            };
            if let Some(index) = observed {
                history.remove_observed(topic, *sensor, index);
            }
        }
        left
    }
}

/// Records that were deleted before a stage read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) topic: String,
    pub(crate) place: String,
}

/// Reasons of dead letters that cannot be derived from the record.
const LIMITS: [&str; 4] = ["too-large", "timestamp-refused", "rejected", "state-full"];

impl Gap {
    /// Parses the origin of a dead letter: `in [0] offsets 100..150`.
    fn read(place: &str) -> Option<Self> {
        let (topic, _) = place.split_once(" [")?;
        Some(Gap {
            topic: topic.to_owned(),
            place: place.to_owned(),
        })
    }
}

/// The record in a dead letter: its topic, and its readings if it is valid.
fn original(
    decoders: &Decoders<'_>,
    dead_letter: &LedgerRecord<'_>,
    record: &FetchedRecord<'_>,
    sensors: &mut Sensors,
) -> Option<(String, RecordReadings)> {
    let LedgerRecord::DeadLetter(dead_letter) = dead_letter else {
        return None;
    };
    let (partition, offset) = dead_letter
        .place
        .filter(|_| dead_letter.truncated.is_none())?;
    if !decoders.pipeline.topics.contains_key(dead_letter.topic) {
        return None;
    }
    // As the stage read it.
    let original = FetchedRecord {
        partition,
        offset,
        headers: dead_letter.original,
        ..*record
    };
    let decoder = decoders.of(dead_letter.topic);
    let decoded = decoder.and_then(|decoder| decoder.decode(&original).ok());
    let readings = decoded.map(|readings| {
        let named = |(sensor, entry): (String, Entry)| (sensors.id(&sensor), entry);
        readings.into_iter().map(named).collect()
    });
    Some((dead_letter.topic.to_owned(), readings))
}
