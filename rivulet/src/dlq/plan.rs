//! The plan to replay or drop dead letters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rivulet_core::dead_letter::{Offsets, Resolved};
use rivulet_pipeline::Stage;

use crate::CheckedPipeline;

use super::topic::{DeadLetterTopic, Id, NotReplayable};
use crate::text;

/// How many characters of a list of offsets are shown.
const OFFSETS: usize = 80;

/// A plan to replay or drop dead letters. Displayed, it has a line for each action.
#[derive(Debug)]
pub struct Plan<'p> {
    pub(super) pipeline: &'p CheckedPipeline<'p>,
    pub(super) resolved: Resolved,
    pub(super) parts: Vec<PlanPart<'p>>,
}

/// The dead letters of one stage.
#[derive(Debug)]
pub(super) struct PlanPart<'p> {
    pub(super) stage: &'p Stage,
    pub(super) ids: BTreeSet<Id>,
    /// How many are replayed to each topic. Empty if they are dropped.
    pub(super) topics: BTreeMap<String, u64>,
    skipped: BTreeMap<NotReplayable, BTreeSet<Id>>,
}

impl<'p> Plan<'p> {
    pub(super) fn new(
        pipeline: &'p CheckedPipeline<'p>,
        resolved: Resolved,
        dlqs: &[DeadLetterTopic<'p>],
    ) -> Self {
        let parts = dlqs.iter().map(|dlq| {
            let stage = dlq.stage;
            let mut part = PlanPart {
                stage,
                ids: BTreeSet::new(),
                topics: BTreeMap::new(),
                skipped: BTreeMap::new(),
            };
            let open = dlq.entries.iter();
            let open = open.filter(|(_, entry)| entry.resolved.is_none());
            for (&id, entry) in open {
                match (resolved, &entry.replay_to) {
                    (Resolved::Dropped, _) => (),
                    (Resolved::Replayed, Ok(topic)) => {
                        *part.topics.entry(topic.to_string()).or_default() += 1;
                    }
                    (Resolved::Replayed, Err(obstacle)) => {
                        part.skipped.entry(obstacle.clone()).or_default().insert(id);
                        continue;
                    }
                }
                part.ids.insert(id);
            }
            part
        });
        Plan {
            pipeline,
            resolved,
            parts: parts.collect(),
        }
    }

    /// How many dead letters will be resolved.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.parts.iter().map(|part| part.ids.len() as u64).sum()
    }

    /// The other stages that read a topic: they read replayed records again, too.
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
            if self.resolved == Resolved::Dropped && !part.ids.is_empty() {
                writeln!(
                    f,
                    "drop    {} of {stage}",
                    dead_letters(part.ids.len() as u64)
                )?;
            }
            for (topic, count) in &part.topics {
                writeln!(f, "replay  {} of {stage} to {topic}", dead_letters(*count))?;
                let others = self.other_readers(part, topic);
                if !others.is_empty() {
                    writeln!(
                        f,
                        "note    {topic} is also read by {}: they process these records again",
                        others.join(", ")
                    )?;
                }
            }
            for (obstacle, ids) in &part.skipped {
                let count = dead_letters(ids.len() as u64);
                writeln!(
                    f,
                    "skip    {count} of {stage}, {}: {obstacle}; it can be dropped",
                    offsets(ids)
                )?;
            }
        }
        Ok(())
    }
}

pub(super) fn dead_letters(count: u64) -> String {
    format!("{count} dead letter{}", if count == 1 { "" } else { "s" })
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
