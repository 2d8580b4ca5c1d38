//! Going on where a stage was whose offsets Kafka has forgotten.

use std::collections::BTreeMap;
use std::fmt;

use stream::checkpoint::Checkpoint;
use stream::error::{Error, Result};
use stream::pipeline::{Pipeline, Stage};
use stream::state::{StateDigest, StateMetadata};

use super::group::Committed;
use super::transaction::{self, Transaction};
use super::{Changelog, Group, StoredSensor, chain};
use crate::table::aligned;

/// What it takes for a stage without committed offsets to go on where it was; shown, what will be
/// done.
///
/// The stage's changelog tells: its checkpoints, and of a stage with a state the last record that
/// is in it. Only offsets that are missing are committed.
#[derive(Debug)]
pub struct Resume<'p> {
    pipeline: &'p Pipeline,
    stage: &'p Stage,
    offsets: Vec<Committed>,
}

impl<'p> Resume<'p> {
    /// Looks at what there is to do; nothing is changed.
    ///
    /// # Errors
    /// If the stage runs or has no changelog, the cluster does not answer, or a partition ends
    /// before the offset at which the stage was.
    pub fn plan(pipeline: &'p Pipeline, stage: &'p Stage) -> Result<Self> {
        let doing = doing(stage);
        let group = transaction::at_rest(pipeline, stage, &doing)?.filter(|_| !stage.to.is_empty());
        let Some(group) = group else {
            return Err(Error::new(
                doing,
                "only operators keep in a changelog where they are",
            ));
        };
        Ok(Resume {
            pipeline,
            stage,
            offsets: look(pipeline, stage, &group)?,
        })
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Does it.
    ///
    /// # Errors
    /// If somebody has started the stage meanwhile, or the cluster refuses. Unless the error says
    /// otherwise, nothing has changed then.
    pub fn carry_out(&self) -> Result<()> {
        let group = Group::new(self.pipeline, self.stage)?;
        // From here to its end nobody else can work on the stage's partitions. What is there now
        // counts.
        let place = group.take_place()?;
        let offsets = look(self.pipeline, self.stage, &group)?;
        Transaction::begin(self.pipeline, self.stage, &doing(self.stage))?
            .commit(&offsets, Some(&place))
    }
}

fn doing(stage: &Stage) -> String {
    format!("resuming {}", stage.name)
}

fn look(pipeline: &Pipeline, stage: &Stage, group: &Group) -> Result<Vec<Committed>> {
    let committed = group.committed()?;
    let changelog = Changelog::read(&pipeline.kafka, &stage.changelog())?;
    let is_stateful = chain(pipeline, stage).is_some();
    let sensors = if is_stateful {
        changelog.sensors()?
    } else {
        Vec::new()
    };
    let ends = group.ends()?;
    let offsets = missing(
        &ends,
        &committed,
        &changelog.checkpoints(),
        &sensors,
        is_stateful,
    );
    for Committed {
        topic,
        partition,
        next,
        ..
    } in &offsets
    {
        let end = ends
            .get(&(topic.clone(), *partition))
            .map_or(0, |(_, end)| *end);
        if *next > end {
            let cause =
                format!("it was at offset {next} of {topic} [{partition}], which ends at {end}");
            return Err(Error::new(doing(stage), cause).help(format!(
                "the topic was deleted and created again: rivulet state reset {} --from-start \
                 reads the new one",
                stage.name
            )));
        }
    }
    Ok(offsets)
}

/// The offsets of partitions without one, as far as the changelog tells.
fn missing(
    ends: &BTreeMap<(String, i32), (i64, i64)>,
    committed: &[Committed],
    checkpoints: &BTreeMap<i32, Checkpoint>,
    sensors: &[StoredSensor],
    is_stateful: bool,
) -> Vec<Committed> {
    let is_committed = |topic: &str, partition: i32| {
        committed
            .iter()
            .any(|at| at.topic == topic && at.partition == partition)
    };
    let mut offsets = Vec::new();
    for (topic, partition) in ends
        .keys()
        .filter(|(topic, partition)| !is_committed(topic, *partition))
    {
        let of_partition = || {
            sensors
                .iter()
                .filter(|sensor| sensor.partition == *partition)
        };
        let last = || {
            of_partition()
                .filter_map(|sensor| Some((sensor.name.as_str(), *sensor.offsets.get(topic)?)))
        };
        let checkpoint = checkpoints
            .get(partition)
            .and_then(|checkpoint| checkpoint.offsets.get(topic))
            .copied();
        let next = checkpoint.max(last().map(|(_, offset)| offset + 1).max());
        let count = ends.keys().filter(|(other, _)| other == topic).count();
        let note = StateMetadata {
            digest: StateDigest::of(last()),
            partitions: i32::try_from(count).ok(),
        };
        let note = if is_stateful {
            note.to_string()
        } else {
            String::new()
        };
        offsets.extend(next.map(|next| Committed {
            topic: topic.clone(),
            partition: *partition,
            next,
            note,
        }));
    }
    offsets
}

impl fmt::Display for Resume<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, changelog) = (&self.stage.name, self.stage.changelog());
        if self.offsets.is_empty() {
            return writeln!(
                f,
                "nothing to do: {changelog} tells of no offset that is not committed"
            );
        }
        let head = ["topic", "partition", "goes on at"]
            .map(str::to_owned)
            .to_vec();
        let rows = self.offsets.iter().map(|at| {
            vec![
                at.topic.clone(),
                at.partition.to_string(),
                at.next.to_string(),
            ]
        });
        f.write_str(&aligned(
            &std::iter::once(head).chain(rows).collect::<Vec<_>>(),
        ))?;
        writeln!(
            f,
            "{name} goes on where {changelog} says that it was. A stage that did not stop in order \
             repeats what it did since: without a state up to ten minutes of work"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensor(name: &str, last: i64) -> StoredSensor {
        StoredSensor {
            partition: 0,
            name: name.into(),
            chain: "c".into(),
            states: vec![vec![1.0]],
            offsets: [("in".to_owned(), last)].into(),
            time: None,
        }
    }

    fn found(
        committed: &[Committed],
        checkpoint: Option<i64>,
        sensors: &[StoredSensor],
    ) -> Vec<(i32, i64, String)> {
        let ends = [
            (("in".to_owned(), 0), (0, 90)),
            (("in".to_owned(), 1), (0, 90)),
        ]
        .into();
        let checkpoint = checkpoint.map(|next| {
            (
                0,
                Checkpoint {
                    offsets: [("in".to_owned(), next)].into(),
                },
            )
        });
        let offsets = missing(
            &ends,
            committed,
            &checkpoint.into_iter().collect(),
            sensors,
            !sensors.is_empty(),
        );
        offsets
            .into_iter()
            .map(|at| (at.partition, at.next, at.note))
            .collect()
    }

    #[test]
    fn the_changelog_tells_where_the_stage_was() {
        assert_eq!(found(&[], Some(25), &[]), [(0, 25, String::new())]);
        assert_eq!(found(&[], None, &[]), []);
        let note = StateMetadata {
            digest: StateDigest::of([("a", 30), ("b", 9)]),
            partitions: Some(2),
        }
        .to_string();
        assert_eq!(
            found(&[], Some(25), &[sensor("a", 30), sensor("b", 9)]),
            [(0, 31, note)]
        );
        let note = StateMetadata {
            digest: StateDigest::of([("a", 8)]),
            partitions: Some(2),
        }
        .to_string();
        assert_eq!(
            found(&[], Some(25), &[sensor("a", 8)]),
            [(0, 25, note)],
            "others were no readings"
        );
    }

    #[test]
    fn what_is_committed_stays() {
        let at = Committed {
            topic: "in".into(),
            partition: 0,
            next: 7,
            note: String::new(),
        };
        assert_eq!(found(&[at], Some(25), &[]), []);
    }
}
