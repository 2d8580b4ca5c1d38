//! What is about to be done with letters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use stream::dead_letter::{Offsets, Resolved};
use stream::pipeline::{Pipeline, Stage};

use super::Selection;
use super::ledger::{Hindrance, Id, Ledger};
use super::text;

/// How much of a list of offsets is shown.
const OFFSETS: usize = 80;

/// What is about to be done with letters; a line for each thing when it is shown.
#[derive(Debug)]
pub struct Plan<'p> {
    pub(super) pipeline: &'p Pipeline,
    pub(super) resolved: Resolved,
    pub(super) parts: Vec<PlanPart<'p>>,
}

/// The letters of one stage.
#[derive(Debug)]
pub(super) struct PlanPart<'p> {
    pub(super) stage: &'p Stage,
    pub(super) letters: BTreeSet<Id>,
    /// Where they go, with how many; nothing for letters that are dropped.
    pub(super) topics: BTreeMap<String, u64>,
    skipped: BTreeMap<Hindrance, BTreeSet<Id>>,
}

impl<'p> Plan<'p> {
    pub(super) fn new(
        pipeline: &'p Pipeline,
        resolved: Resolved,
        ledgers: &[Ledger<'p>],
        selection: &Selection,
    ) -> Self {
        let parts = ledgers.iter().map(|ledger| {
            let stage = ledger.stage;
            let mut part = PlanPart {
                stage,
                letters: BTreeSet::new(),
                topics: BTreeMap::new(),
                skipped: BTreeMap::new(),
            };
            for (id, filed) in ledger
                .selected(selection)
                .filter(|(_, filed)| filed.resolved.is_none())
            {
                match (resolved, &filed.way_back) {
                    (Resolved::Dropped, _) => (),
                    (Resolved::Replayed, Ok(topic)) => {
                        *part.topics.entry(topic.to_string()).or_default() += 1
                    }
                    (Resolved::Replayed, Err(hindrance)) => {
                        part.skipped
                            .entry(hindrance.clone())
                            .or_default()
                            .insert(id);
                        continue;
                    }
                }
                part.letters.insert(id);
            }
            part
        });
        Plan {
            pipeline,
            resolved,
            parts: parts.collect(),
        }
    }

    /// How many letters it is about.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.parts
            .iter()
            .map(|part| part.letters.len() as u64)
            .sum()
    }

    /// The stages, other than the one that refused them, that will read replayed records once more.
    fn other_readers<'a>(&'a self, part: &PlanPart<'_>, topic: &'a str) -> Vec<&'a str> {
        let others = self
            .pipeline
            .readers(topic)
            .filter(|stage| stage.name != part.stage.name);
        others.map(|stage| stage.name.as_str()).collect()
    }
}

impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            let stage = &part.stage.name;
            if self.resolved == Resolved::Dropped && !part.letters.is_empty() {
                writeln!(
                    f,
                    "drop    {} of {stage}",
                    letters(part.letters.len() as u64)
                )?;
            }
            for (topic, count) in &part.topics {
                writeln!(f, "replay  {} of {stage} to {topic}", letters(*count))?;
                let others = self.other_readers(part, topic);
                if !others.is_empty() {
                    writeln!(
                        f,
                        "note    {topic} is also read by {}: they get these records again",
                        others.join(", ")
                    )?;
                }
            }
            for (hindrance, ids) in &part.skipped {
                let count = letters(ids.len() as u64);
                writeln!(
                    f,
                    "skip    {count} of {stage}, {}: {hindrance}; `drop` takes it",
                    offsets(ids)
                )?;
            }
        }
        Ok(())
    }
}

pub(super) fn letters(count: u64) -> String {
    format!("{count} letter{}", if count == 1 { "" } else { "s" })
}

/// "[0] at 3,7..9"
fn offsets(ids: &BTreeSet<Id>) -> String {
    let mut partitions: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for id in ids {
        partitions.entry(id.partition).or_default().push(id.offset);
    }
    let shown = partitions
        .into_iter()
        .map(|(partition, offsets)| format!("[{partition}] at {}", Offsets::from_iter(offsets)));
    text::plain(&shown.collect::<Vec<_>>().join(", "), OFFSETS)
}
