//! Resetting a stage: it starts with an empty state.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use crate::CheckedPipeline;
use rivulet_core::checkpoint;
use rivulet_core::dead_letter::{Migration, MigrationKind};
use rivulet_core::error::Result;
use rivulet_core::state::StateDigest;
use rivulet_pipeline::{Stage, StageKind};

use super::keep::is_ahead;
use super::transaction::{self, Transaction, still_running};
use super::{Changelog, Group};
use crate::table::aligned;
use crate::text::plural;
use rivulet_kafka::Cluster;
use rivulet_kafka::Committed;

/// How long to watch whether a source commits: a producer is in no group that would show whether it
/// runs.
const WATCH: Duration = Duration::from_secs(1);

/// A plan to reset a stage. Displayed, it says what will be done.
///
/// One transaction writes tombstones for all keys of the changelog, commits the group's offsets
/// again with the digest of an empty state, and records a [`Migration`] in the stage's dead-letter
/// topic.
#[derive(Debug)]
pub struct Reset<'p> {
    pipeline: &'p CheckedPipeline<'p>,
    stage: &'p Stage,
    from_start: bool,
    /// How many keys the changelog has; `None` if there is no such topic.
    keys: Option<usize>,
    /// The offsets to commit.
    moves: Vec<Move>,
}

/// An offset to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The input.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The committed offset.
    pub committed: i64,
    /// The offset to commit instead.
    pub next: i64,
}

impl<'p> Reset<'p> {
    /// Makes the plan without changing anything. With `from_start` the stage starts at the first
    /// records of its inputs instead of the committed offsets. For a stage without state only the
    /// offsets change.
    ///
    /// # Errors
    /// If the stage runs, the brokers are unreachable, or a transaction on the changelog stays
    /// open.
    pub fn plan(
        pipeline: &'p CheckedPipeline<'p>,
        stage: &'p Stage,
        from_start: bool,
    ) -> Result<Self> {
        let group = transaction::stopped_group(pipeline, stage, &doing(stage))?;
        let changelog = Changelog::find(&pipeline.connection(), &stage.changelog())?;
        if group.is_none() && changelog.is_some() {
            check_for_commits(pipeline, stage)?;
        }
        let moves = group.map_or(Ok(Vec::new()), |group| moves(&group, from_start))?;
        let keys = changelog.map(|changelog| {
            changelog
                .last
                .keys()
                .filter(|(_, key)| key != checkpoint::KEY)
                .count()
        });
        Ok(Reset {
            pipeline,
            stage,
            from_start,
            keys,
            moves,
        })
    }

    /// Executes the plan. Creates the changelog if it is missing.
    ///
    /// # Errors
    /// If the stage was started meanwhile, or the brokers fail. Nothing has changed then unless the
    /// error says otherwise.
    pub fn execute(&self) -> Result<()> {
        let (pipeline, stage) = (self.pipeline, self.stage);
        transaction::create_topics(pipeline, stage)?;
        let group = if stage.from.is_empty() {
            None
        } else {
            Some(Group::new(
                &pipeline.connection(),
                &stage.group(),
                &stage.from,
            )?)
        };
        // From here on no other process has the partitions. One may have committed since the plan.
        let membership = group.as_ref().map(Group::join).transpose()?;
        let moves = group
            .as_ref()
            .map_or(Ok(Vec::new()), |group| moves(group, self.from_start))?;
        let changelog =
            Changelog::find(&pipeline.connection(), &stage.changelog())?.unwrap_or_default();

        let transaction = Transaction::begin(pipeline, stage, &doing(stage))?;
        for (partition, key) in changelog.last.keys() {
            transaction.save(*partition, key, None)?;
        }
        let is_stateful = pipeline.stateful_chain(stage).is_some();
        let migration = migration(&moves, &changelog);
        // A stage without state gives the same results as before, unless it writes some again.
        if matches!(stage.kind, StageKind::Operator { .. })
            && (is_stateful || migration.remedy == MigrationKind::Anew)
        {
            transaction.record_migration(&migration)?;
        }
        let mut offsets: Vec<Committed> = moves.into_iter().map(Move::with_empty_state).collect();
        if !is_stateful {
            for at in &mut offsets {
                at.metadata.clear();
            }
        }
        transaction.commit(&offsets, membership.as_ref())
    }
}

impl Move {
    /// The offset to commit, with the digest of an empty state.
    fn with_empty_state(self) -> Committed {
        let Move {
            topic,
            partition,
            next,
            ..
        } = self;
        Committed {
            topic,
            partition,
            next,
            metadata: StateDigest::default().to_string(),
        }
    }
}

fn doing(stage: &Stage) -> String {
    format!("resetting the state of {}", stage.name)
}

/// The record for `rivulet verify`.
fn migration(moves: &[Move], changelog: &Changelog) -> Migration {
    // A state that cannot be read can be reset, too.
    let sensors = changelog.sensors().unwrap_or_default();
    let offsets: Vec<Committed> = moves.iter().cloned().map(Move::with_empty_state).collect();
    let is_read_again =
        moves.iter().any(|at| at.next < at.committed) || is_ahead(&sensors, &offsets);
    let mut chains: Vec<String> = sensors.into_iter().map(|sensor| sensor.chain).collect();
    chains.dedup();
    Migration {
        remedy: if is_read_again {
            MigrationKind::Anew
        } else {
            MigrationKind::Reset
        },
        chain: chains.pop().filter(|_| chains.is_empty()),
        offsets: moves
            .iter()
            .map(|at| ((at.topic.clone(), at.partition), at.next))
            .collect(),
        sensors: BTreeSet::new(),
    }
}

fn moves(group: &Group, from_start: bool) -> Result<Vec<Move>> {
    let watermarks = group.watermarks()?;
    let mut moves = Vec::new();
    for at in group.committed()? {
        let key = (at.topic.clone(), at.partition);
        let first = watermarks.get(&key).map_or(0, |(first, _)| *first);
        moves.push(Move {
            topic: at.topic,
            partition: at.partition,
            committed: at.next,
            // Below the log start offset there is nothing to read.
            next: if from_start {
                first
            } else {
                at.next.max(first)
            },
        });
    }
    Ok(moves)
}

/// Fails if a source commits right now. A source that is idle or slow is not detected.
fn check_for_commits(pipeline: &CheckedPipeline<'_>, stage: &Stage) -> Result<()> {
    let cluster = Cluster::new(&pipeline.connection())?;
    let topic = stage.changelog();
    let (_, end) = cluster.watermarks(&topic, 0)?;
    let start = Instant::now();
    while start.elapsed() < WATCH {
        if cluster.watermarks(&topic, 0)?.1 != end {
            return Err(still_running(&doing(stage), "it is committing"));
        }
        std::thread::sleep(WATCH / 20);
    }
    Ok(())
}

impl fmt::Display for Reset<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stage { name, from, to, .. } = self.stage;
        let (changelog, outputs) = (self.stage.changelog(), to.join(", "));
        let is_stateful = self.pipeline.stateful_chain(self.stage).is_some();
        if !self.moves.is_empty() {
            let head = ["topic", "partition", "committed", "next offset"]
                .map(str::to_owned)
                .to_vec();
            let rows = self.moves.iter().map(
                |Move {
                     topic,
                     partition,
                     committed,
                     next,
                 }| {
                    vec![
                        topic.clone(),
                        partition.to_string(),
                        committed.to_string(),
                        next.to_string(),
                    ]
                },
            );
            f.write_str(&aligned(
                &std::iter::once(head).chain(rows).collect::<Vec<_>>(),
            ))?;
        }
        match self.keys {
            None if to.is_empty() => (),
            None => writeln!(f, "{changelog} is created: there is no such topic")?,
            Some(_) if !is_stateful && !from.is_empty() => (),
            Some(0) => writeln!(f, "{changelog} is empty")?,
            Some(_) if from.is_empty() => writeln!(f, "the position in {changelog} is forgotten")?,
            Some(keys) => {
                let sensors = plural(keys, "sensor");
                writeln!(f, "{changelog}: the state of {sensors} is forgotten")?;
            }
        }
        if from.is_empty() {
            return writeln!(
                f,
                "{name} starts from the beginning and writes its readings to {outputs} again; stop \
                 it first: a running producer would write its position again"
            );
        }
        if !is_stateful {
            return match (self.moves.is_empty(), to.is_empty()) {
                (true, _) => writeln!(
                    f,
                    "nothing is committed: {name} starts at the first records"
                ),
                (false, true) => writeln!(f, "{name} continues there"),
                (false, false) => {
                    writeln!(
                        f,
                        "{name} continues there; the results of records that it reads again are \
                         written to {outputs} again"
                    )
                }
            };
        }
        if self.moves.is_empty() {
            writeln!(
                f,
                "nothing is committed: {name} starts with an empty state at the first records"
            )
        } else if self.from_start {
            writeln!(
                f,
                "{name} starts with an empty state at the first records; the results of records \
                 that it reads again are written to {outputs} again"
            )
        } else {
            writeln!(
                f,
                "{name} continues with an empty state; no record is processed twice"
            )
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::checked::tests::parse;

    const PIPELINE: &str = r#"
[producer.in]
source = { list = { values = [1] } }
to = "a"
[operator.smooth]
from = "a"
steps = [{ ewma = { alpha = 0.5 } }]
to = "b"
"#;

    fn shown(stage: &str, from_start: bool, keys: Option<usize>, moves: Vec<Move>) -> String {
        let pipeline = parse(PIPELINE).unwrap();
        let stage = pipeline.stage(stage).unwrap();
        Reset {
            pipeline: &pipeline,
            stage,
            from_start,
            keys,
            moves,
        }
        .to_string()
    }

    fn moved(committed: i64, next: i64) -> Vec<Move> {
        vec![Move {
            topic: "a".into(),
            partition: 0,
            committed,
            next,
        }]
    }

    #[test]
    fn it_continues_at_the_committed_offsets() {
        let expected = "\
topic  partition  committed  next offset
a      0          9          9
smooth-changelog: the state of 2 sensors is forgotten
smooth continues with an empty state; no record is processed twice
";
        assert_eq!(shown("smooth", false, Some(2), moved(9, 9)), expected);
    }

    #[test]
    fn the_plan_says_what_is_written_again() {
        let text = shown("smooth", true, Some(1), moved(9, 3));
        assert!(text.contains("a      0          9          3\n"), "{text}");
        assert!(
            text.contains("that it reads again are written to b again"),
            "{text}"
        );
        let text = shown("in", false, Some(1), vec![]);
        assert!(
            text.contains(
                "the position in in-changelog is forgotten\nin starts from the beginning"
            ),
            "{text}"
        );
    }

    #[test]
    fn the_plan_says_what_does_not_exist() {
        let text = shown("smooth", false, None, vec![]);
        assert!(
            text.contains("smooth-changelog is created: there is no such topic"),
            "{text}"
        );
        assert!(
            text.contains("nothing is committed: smooth starts with an empty state"),
            "{text}"
        );
    }
}
