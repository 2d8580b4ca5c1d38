//! What a stage's dead-letter topic says of its letters: what they are and what became of them.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::rc::Rc;

use stream::dead_letter::{DeadLetter, GAP, LedgerRecord, Resolved};
use stream::error::Result;
use stream::pipeline::{Pipeline, Role, Stage};

use super::Selection;
use super::text;
use crate::read::{FetchedRecord, TopicSource};

/// The reason that records go by which no stage wrote.
const FOREIGN: &str = "foreign";

/// How many characters are kept of an error.
const ERROR: usize = 80;

/// All letters of one stage.
#[derive(Debug)]
pub(super) struct Ledger<'p> {
    pub(super) stage: &'p Stage,
    /// Whether there is such a topic.
    pub(super) exists: bool,
    pub(super) letters: BTreeMap<Id, Filed>,
}

/// Where a letter is in the dead-letter topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) partition: i32,
    pub(super) offset: i64,
}

/// A letter without its value. There can be many: texts that are the same are kept once.
#[derive(Debug, Clone)]
pub(super) struct Filed {
    /// The topic that it goes back to, or why it cannot.
    pub(super) way_back: Result<Rc<str>, Hindrance>,
    pub(super) reason: Rc<str>,
    /// What was wrong with it, shortened.
    pub(super) error: Rc<str>,
    /// When the record entered the pipeline, in milliseconds since the epoch.
    pub(super) timestamp: i64,
    /// The bytes of key and value.
    pub(super) size: usize,
    /// What became of it; nothing while it is open.
    pub(super) resolved: Option<Resolved>,
}

/// Why a letter cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hindrance {
    Foreign,
    Truncated,
    /// Its records were deleted before the stage read them.
    Gap,
    Input(Rc<str>),
    Unknown(Rc<str>),
    TooLarge(Rc<str>),
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hindrance::Foreign => f.write_str("no stage wrote it"),
            Hindrance::Truncated => f.write_str("it was too large to be kept whole"),
            Hindrance::Gap => {
                f.write_str("it tells of records that were deleted before they were read")
            }
            Hindrance::Input(place) => write!(
                f,
                "it comes from {}, which is no topic",
                text::plain(place, ERROR)
            ),
            Hindrance::Unknown(topic) => {
                write!(
                    f,
                    "it comes from {}, which is no topic of this pipeline",
                    text::plain(topic, ERROR)
                )
            }
            Hindrance::TooLarge(topic) => write!(f, "it is larger than {topic} takes"),
        }
    }
}

impl<'p> Ledger<'p> {
    /// Reads the stage's dead-letter topic to its end.
    ///
    /// # Errors
    /// If the cluster does not answer.
    pub(super) fn read(
        pipeline: &Pipeline,
        stage: &'p Stage,
        topics: &mut dyn TopicSource,
    ) -> Result<Self> {
        let topic = stage.dead_letters();
        let mut ledger = Ledger {
            stage,
            exists: topics.partitions(&topic).is_some(),
            letters: BTreeMap::new(),
        };
        let mut texts = Texts::default();
        if ledger.exists {
            topics.read(&topic, &mut |record| {
                ledger.add(pipeline, record, &mut texts)
            })?;
        }
        Ok(ledger)
    }

    fn add(&mut self, pipeline: &Pipeline, record: &FetchedRecord<'_>, texts: &mut Texts) {
        let id = Id {
            partition: record.partition,
            offset: record.offset,
        };
        let filed = match LedgerRecord::read(record.headers) {
            LedgerRecord::Resolution(mark) => {
                // A mark is behind its letters and in their partition, so they are all here, unless
                // retention took them.
                for (first, last) in mark.letters.ranges() {
                    let [first, last] = [*first, *last].map(|offset| Id { offset, ..id });
                    for filed in self.letters.range_mut(first..=last).map(|(_, filed)| filed) {
                        filed.resolved.get_or_insert(mark.resolved);
                    }
                }
                return;
            }
            LedgerRecord::Migration(_) => return,
            LedgerRecord::DeadLetter(letter) => Filed {
                way_back: way_back(pipeline, &letter, size(record), texts),
                reason: texts.keep(letter.reason),
                error: texts.keep(&text::plain(letter.error, ERROR)),
                timestamp: record.timestamp,
                size: size(record),
                resolved: None,
            },
            LedgerRecord::Foreign => Filed {
                way_back: Err(Hindrance::Foreign),
                reason: texts.keep(FOREIGN),
                error: texts.keep("its headers are not those of a dead letter"),
                timestamp: record.timestamp,
                size: size(record),
                resolved: None,
            },
        };
        self.letters.insert(id, filed);
    }

    /// The letters that are selected, open or not.
    pub(super) fn selected<'l>(
        &'l self,
        selection: &'l Selection,
    ) -> impl Iterator<Item = (Id, &'l Filed)> {
        self.letters
            .iter()
            .filter(|(id, filed)| selection.takes(**id, filed))
            .map(|(id, filed)| (*id, filed))
    }
}

fn size(record: &FetchedRecord<'_>) -> usize {
    record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len)
}

/// The topic that a letter can be sent back to.
fn way_back(
    pipeline: &Pipeline,
    letter: &DeadLetter<'_>,
    size: usize,
    texts: &mut Texts,
) -> Result<Rc<str>, Hindrance> {
    let topic = texts.keep(letter.topic);
    if letter.reason == GAP {
        return Err(Hindrance::Gap);
    }
    if letter.truncated.is_some() {
        return Err(Hindrance::Truncated);
    }
    if letter.place.is_none() {
        return Err(Hindrance::Input(topic));
    }
    match pipeline.topics.get(letter.topic) {
        Some(wanted) if wanted.role == Role::Readings && size > wanted.largest_record() => {
            Err(Hindrance::TooLarge(topic))
        }
        Some(wanted) if wanted.role == Role::Readings => Ok(topic),
        _ => Err(Hindrance::Unknown(topic)),
    }
}

/// Texts, each kept once.
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
}
