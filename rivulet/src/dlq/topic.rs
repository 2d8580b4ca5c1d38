//! The contents of a stage's dead-letter topic: dead letters and their resolutions.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::rc::Rc;

use rivulet_core::dead_letter::{DeadLetter, GAP, LedgerRecord, Resolved};
use rivulet_core::error::Result;
use rivulet_pipeline::{Pipeline, Role, Stage};

use crate::text;
use rivulet_core::topic_source::{FetchedRecord, TopicSource};

/// The reason shown for records that no stage wrote.
const FOREIGN: &str = "foreign";

/// How many characters of an error are kept.
const ERROR: usize = 80;
/// How many different texts are kept before errors are left out: each may quote another value.
const TEXTS: usize = 10_000;

/// Whether a dead letter is kept, by its position, its reason and its timestamp.
pub(super) type Keeps<'k> = &'k dyn Fn(Id, &str, i64) -> bool;

/// All dead letters of one stage.
#[derive(Debug)]
pub(super) struct DeadLetterTopic<'p> {
    pub(super) stage: &'p Stage,
    /// Whether the topic exists.
    pub(super) exists: bool,
    pub(super) entries: BTreeMap<Id, Entry>,
}

/// The position of a dead letter in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// A dead letter without its value. There can be many, so equal texts are stored once.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The topic to replay it to, or why it cannot be replayed.
    pub(super) replay_to: Result<Rc<str>, NotReplayable>,
    pub(super) reason: Rc<str>,
    /// The error, shortened. `None` once there are many others.
    pub(super) error: Option<Rc<str>>,
    /// When the record entered the pipeline, in milliseconds since the epoch.
    pub(super) timestamp: i64,
    /// The bytes of key and value.
    pub(super) size: usize,
    /// Its resolution; `None` while it is open.
    pub(super) resolved: Option<Resolved>,
}

/// Why a dead letter cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NotReplayable {
    Foreign,
    Truncated,
    /// Its records were deleted before the stage read them.
    Gap,
    Input(Rc<str>),
    Unknown(Rc<str>),
    TooLarge(Rc<str>),
}

impl fmt::Display for NotReplayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotReplayable::Foreign => f.write_str("no stage wrote it"),
            NotReplayable::Truncated => f.write_str("it was too large and is truncated"),
            NotReplayable::Gap => {
                f.write_str("it stands for records that were deleted before they were read")
            }
            NotReplayable::Input(place) => write!(
                f,
                "it comes from {}, which is not a topic",
                text::plain(place, ERROR)
            ),
            NotReplayable::Unknown(topic) => {
                write!(
                    f,
                    "it comes from {}, which is not a topic of this pipeline",
                    text::plain(topic, ERROR)
                )
            }
            NotReplayable::TooLarge(topic) => write!(f, "it is too large for {topic}"),
        }
    }
}

impl<'p> DeadLetterTopic<'p> {
    /// Reads the stage's dead-letter topic to its end, and keeps those that `keeps` wants.
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub(super) fn read(
        pipeline: &Pipeline,
        stage: &'p Stage,
        keeps: Keeps<'_>,
        topics: &mut dyn TopicSource,
    ) -> Result<Self> {
        let topic = stage.dead_letters();
        let mut dlq = DeadLetterTopic {
            stage,
            exists: topics.partitions(&topic).is_some(),
            entries: BTreeMap::new(),
        };
        let mut texts = Texts::default();
        if dlq.exists {
            topics.read(&topic, &mut |record| {
                dlq.add(pipeline, record, keeps, &mut texts);
            })?;
        }
        Ok(dlq)
    }

    fn add(
        &mut self,
        pipeline: &Pipeline,
        record: &FetchedRecord<'_>,
        keeps: Keeps<'_>,
        texts: &mut Texts,
    ) {
        let id = Id {
            partition: record.partition,
            offset: record.offset,
        };
        let entry = match LedgerRecord::read(record.headers) {
            LedgerRecord::Resolution(resolution) => {
                // It comes after its dead letters in the same partition, so they were read before,
                // unless retention has deleted them or nobody asked for them.
                for (first, last) in resolution.letters.ranges() {
                    let [first, last] = [*first, *last].map(|offset| Id { offset, ..id });
                    for entry in self.entries.range_mut(first..=last).map(|(_, entry)| entry) {
                        entry.resolved.get_or_insert(resolution.resolved);
                    }
                }
                return;
            }
            LedgerRecord::Migration(_) => return,
            LedgerRecord::DeadLetter(dead_letter) => {
                if !keeps(id, dead_letter.reason, record.timestamp) {
                    return;
                }
                Entry {
                    replay_to: replay_to(pipeline, &dead_letter, size(record), texts),
                    reason: texts.keep(dead_letter.reason),
                    error: texts.keep_some(&text::plain(dead_letter.error, ERROR)),
                    timestamp: record.timestamp,
                    size: size(record),
                    resolved: None,
                }
            }
            LedgerRecord::Foreign => {
                if !keeps(id, FOREIGN, record.timestamp) {
                    return;
                }
                Entry {
                    replay_to: Err(NotReplayable::Foreign),
                    reason: texts.keep(FOREIGN),
                    error: texts.keep_some("its headers are not those of a dead letter"),
                    timestamp: record.timestamp,
                    size: size(record),
                    resolved: None,
                }
            }
        };
        self.entries.insert(id, entry);
    }
}

fn size(record: &FetchedRecord<'_>) -> usize {
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)
}

/// The topic to replay a dead letter to.
fn replay_to(
    pipeline: &Pipeline,
    dead_letter: &DeadLetter<'_>,
    size: usize,
    texts: &mut Texts,
) -> Result<Rc<str>, NotReplayable> {
    let topic = texts.keep(dead_letter.topic);
    if dead_letter.reason == GAP {
        return Err(NotReplayable::Gap);
    }
    if dead_letter.truncated.is_some() {
        return Err(NotReplayable::Truncated);
    }
    if dead_letter.place.is_none() {
        return Err(NotReplayable::Input(topic));
    }
    match pipeline.topics.get(dead_letter.topic) {
        Some(wanted) if wanted.role == Role::Readings && size > wanted.largest_record() => {
            Err(NotReplayable::TooLarge(topic))
        }
        Some(wanted) if wanted.role == Role::Readings => Ok(topic),
        _ => Err(NotReplayable::Unknown(topic)),
    }
}

/// Texts, each stored once.
#[derive(Debug, Default)]
struct Texts(HashSet<Rc<str>>);

impl Texts {
    fn keep(&mut self, text: &str) -> Rc<str> {
        if let Some(kept) = self.0.get(text) {
            return kept.clone();
        }
        let kept: Rc<str> = text.into();
        self.0.insert(kept.clone());
        kept
    }

    /// Keeps a text unless there are too many.
    fn keep_some(&mut self, text: &str) -> Option<Rc<str>> {
        (self.0.len() < TEXTS || self.0.contains(text)).then(|| self.keep(text))
    }
}
