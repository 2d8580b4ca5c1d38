//! Beginning with an empty state.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use stream::checkpoint;
use stream::dead_letter::{Migration, MigrationKind};
use stream::error::Result;
use stream::pipeline::{Pipeline, Stage, StageKind};
use stream::state::StateDigest;

use super::group::Committed;
use super::keep::is_ahead;
use super::transaction::{self, Transaction, is_at_work};
use super::{Changelog, Group, chain};
use crate::cluster::Cluster;
use crate::table::aligned;
use crate::topics::plural;

/// How long to look whether a source commits: no group tells whether a producer runs.
const LOOK: Duration = Duration::from_secs(1);

/// What it takes for a stage to begin with an empty state; shown, what will be done.
///
/// It is one transaction: tombstones for all that the changelog holds, the group's offsets
/// committed again, each with the note that an empty state belongs there, and a [`Migration`] among
/// the stage's dead letters.
#[derive(Debug)]
pub struct Reset<'p> {
    pipeline: &'p Pipeline,
    stage: &'p Stage,
    from_start: bool,
    /// How many keys the changelog holds; nothing if there is no such topic.
    keys: Option<usize>,
    /// What is committed again.
    moves: Vec<Move>,
}

/// An offset that is committed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The input.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// What is committed now.
    pub committed: i64,
    /// What will be.
    pub next: i64,
}

impl<'p> Reset<'p> {
    /// Looks at what there is to do; nothing is changed. `from_start` begins at the first records
    /// of the inputs instead of at the committed offsets. A stage without a state only moves in its
    /// inputs.
    ///
    /// # Errors
    /// If the stage runs, the cluster does not answer, or a transaction on the changelog stays
    /// open.
    pub fn plan(pipeline: &'p Pipeline, stage: &'p Stage, from_start: bool) -> Result<Self> {
        let group = transaction::at_rest(pipeline, stage, &doing(stage))?;
        let changelog = Changelog::find(&pipeline.kafka, &stage.changelog())?;
        if group.is_none() && changelog.is_some() {
            look_for_commits(pipeline, stage)?;
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

    /// Does it. A changelog that is missing is made.
    ///
    /// # Errors
    /// If somebody has started the stage meanwhile, or the cluster refuses. Unless the error says
    /// otherwise, nothing has changed then.
    pub fn carry_out(&self) -> Result<()> {
        let (pipeline, stage) = (self.pipeline, self.stage);
        transaction::make_topics(pipeline, stage)?;
        let group = if stage.from.is_empty() {
            None
        } else {
            Some(Group::new(pipeline, stage)?)
        };
        // From here to its end nobody else can work on the stage's partitions. What is there now
        // counts.
        let place = group.as_ref().map(Group::take_place).transpose()?;
        let moves = group
            .as_ref()
            .map_or(Ok(Vec::new()), |group| moves(group, self.from_start))?;
        let changelog = Changelog::find(&pipeline.kafka, &stage.changelog())?.unwrap_or_default();

        let transaction = Transaction::begin(pipeline, stage, &doing(stage))?;
        for (partition, key) in changelog.last.keys() {
            transaction.save(*partition, key, None)?;
        }
        let is_stateful = chain(pipeline, stage).is_some();
        let change = change(&moves, &changelog);
        // A stage without a state is no other than before, unless it writes again what it wrote.
        if matches!(stage.kind, StageKind::Operator { .. })
            && (is_stateful || change.remedy == MigrationKind::Anew)
        {
            transaction.mark(&change)?;
        }
        let noted = |at: Move| {
            let note = if is_stateful {
                StateDigest::default().to_string()
            } else {
                String::new()
            };
            Committed {
                note,
                ..at.with_nothing_known()
            }
        };
        let offsets: Vec<Committed> = moves.into_iter().map(noted).collect();
        transaction.commit(&offsets, place.as_ref())
    }
}

impl Move {
    /// What is committed.
    fn with_nothing_known(self) -> Committed {
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
            note: StateDigest::default().to_string(),
        }
    }
}

fn doing(stage: &Stage) -> String {
    format!("resetting the state of {}", stage.name)
}

/// What `rivulet verify` must know of it.
fn change(moves: &[Move], changelog: &Changelog) -> Migration {
    // A state that nobody can read is no reason to keep it.
    let sensors = changelog.sensors().unwrap_or_default();
    let offsets: Vec<Committed> = moves
        .iter()
        .cloned()
        .map(Move::with_nothing_known)
        .collect();
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
    let ends = group.ends()?;
    let again = |Committed {
                     topic,
                     partition,
                     next: committed,
                     ..
                 }| {
        let first = ends
            .get(&(topic.clone(), partition))
            .map_or(0, |(first, _)| *first);
        // What was deleted before it was read nobody can go on with.
        let next = if from_start {
            first
        } else {
            committed.max(first)
        };
        Move {
            topic,
            partition,
            committed,
            next,
        }
    };
    Ok(group.committed()?.into_iter().map(again).collect())
}

/// Refuses if a source commits just now. One that rests, or is slow, nothing tells of.
fn look_for_commits(pipeline: &Pipeline, stage: &Stage) -> Result<()> {
    let cluster = Cluster::new(&pipeline.kafka)?;
    let topic = stage.changelog();
    let (_, end) = cluster.ends(&topic, 0)?;
    let start = Instant::now();
    while start.elapsed() < LOOK {
        if cluster.ends(&topic, 0)?.1 != end {
            return Err(is_at_work(&doing(stage), "it commits just now"));
        }
        std::thread::sleep(LOOK / 20);
    }
    Ok(())
}

impl fmt::Display for Reset<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stage { name, from, to, .. } = self.stage;
        let (changelog, outputs) = (self.stage.changelog(), to.join(", "));
        let is_stateful = chain(self.pipeline, self.stage).is_some();
        if !self.moves.is_empty() {
            let head = ["topic", "partition", "committed", "goes on at"]
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
            None => writeln!(f, "{changelog} is made: there is no such topic")?,
            Some(_) if !is_stateful && !from.is_empty() => (),
            Some(0) => writeln!(f, "{changelog} holds nothing")?,
            Some(_) if from.is_empty() => writeln!(f, "the position in {changelog} is forgotten")?,
            Some(keys) => {
                let sensors = plural(i64::try_from(keys).unwrap_or(i64::MAX), "sensor");
                writeln!(f, "what {changelog} holds of {sensors} is forgotten")?;
            }
        }
        if from.is_empty() {
            return writeln!(
                f,
                "{name} begins anew and writes its readings again to {outputs}; one that still \
                 runs would write its position again: stop it first"
            );
        }
        if !is_stateful {
            return match (self.moves.is_empty(), to.is_empty()) {
                (true, _) => writeln!(
                    f,
                    "nothing is committed: {name} begins at the first records"
                ),
                (false, true) => writeln!(f, "{name} goes on there"),
                (false, false) => {
                    writeln!(
                        f,
                        "{name} goes on there, and writes again to {outputs} what it reads again"
                    )
                }
            };
        }
        if self.moves.is_empty() {
            writeln!(
                f,
                "nothing is committed: {name} begins with an empty state at the first records"
            )
        } else if self.from_start {
            writeln!(
                f,
                "{name} begins with an empty state at the first records, and writes again to \
                 {outputs} what it reads again"
            )
        } else {
            writeln!(
                f,
                "{name} goes on with an empty state; nothing is read twice"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stream::pipeline::Text;

    use super::*;

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
        let pipeline = Pipeline::parse(Arc::new(Text {
            path: "p.toml".into(),
            text: PIPELINE.into(),
        }))
        .unwrap();
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
    fn it_goes_on_at_the_committed_offsets() {
        let expected = "topic  partition  committed  goes on \
                        at
a      0          9          9
what smooth-changelog holds of 2 sensors \
                        is forgotten
smooth goes on with an empty state; nothing is read twice
";
        assert_eq!(shown("smooth", false, Some(2), moved(9, 9)), expected);
    }

    #[test]
    fn what_is_written_again_is_said() {
        let text = shown("smooth", true, Some(1), moved(9, 3));
        assert!(text.contains("a      0          9          3\n"), "{text}");
        assert!(
            text.contains("writes again to b what it reads again"),
            "{text}"
        );
        let text = shown("in", false, Some(1), vec![]);
        assert!(
            text.contains("the position in in-changelog is forgotten\nin begins anew"),
            "{text}"
        );
    }

    #[test]
    fn what_there_is_not_is_said() {
        let text = shown("smooth", false, None, vec![]);
        assert!(
            text.contains("smooth-changelog is made: there is no such topic"),
            "{text}"
        );
        assert!(
            text.contains("nothing is committed: smooth begins with an empty state"),
            "{text}"
        );
    }
}
