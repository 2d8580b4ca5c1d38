//! Resuming a stage whose committed offsets have expired.

use std::collections::BTreeMap;
use std::fmt;

use crate::CheckedPipeline;
use rivulet_core::checkpoint::Checkpoint;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::state::{StateDigest, StateMetadata};
use rivulet_pipeline::Stage;

use super::transaction::{self, Transaction};
use super::{Changelog, Group, StoredSensor};
use crate::table::aligned;
use rivulet_kafka::Committed;

/// A plan to resume a stage without committed offsets. Displayed, it says what will be done.
///
/// The offsets come from the stage's changelog: from its checkpoints, and for a stage with state
/// from the last record in its state. Only missing offsets are committed.
#[derive(Debug)]
pub struct Resume<'p> {
    pipeline: &'p CheckedPipeline<'p>,
    stage: &'p Stage,
    offsets: Vec<Committed>,
}

impl<'p> Resume<'p> {
    /// Makes the plan without changing anything.
    ///
    /// # Errors
    /// If the stage runs or has no changelog, the brokers are unreachable, or a partition ends
    /// before the offset of the stage.
    pub fn plan(pipeline: &'p CheckedPipeline<'p>, stage: &'p Stage) -> Result<Self> {
        let doing = doing(stage);
        let group =
            transaction::stopped_group(pipeline, stage, &doing)?.filter(|_| !stage.to.is_empty());
        let Some(group) = group else {
            return Err(
                Error::new(doing, "only operators keep their offsets in a changelog")
                    .of_kind(Kind::Usage),
            );
        };
        Ok(Resume {
            pipeline,
            stage,
            offsets: inspect(pipeline, stage, &group)?,
        })
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Executes the plan.
    ///
    /// # Errors
    /// If the stage was started meanwhile, or the brokers fail. Nothing has changed then unless the
    /// error says otherwise.
    pub fn execute(&self) -> Result<()> {
        let group = Group::new(
            &self.pipeline.connection(),
            &self.stage.group(),
            &self.stage.from,
        )?;
        // From here on no other process has the partitions. One may have committed since the plan.
        let membership = group.join()?;
        let offsets = inspect(self.pipeline, self.stage, &group)?;
        Transaction::begin(self.pipeline, self.stage, &doing(self.stage))?
            .commit(&offsets, Some(&membership))
    }
}

fn doing(stage: &Stage) -> String {
    format!("resuming {}", stage.name)
}

fn inspect(pipeline: &CheckedPipeline<'_>, stage: &Stage, group: &Group) -> Result<Vec<Committed>> {
    let committed = group.committed()?;
    let changelog = Changelog::read(&pipeline.connection(), &stage.changelog())?;
    let is_stateful = pipeline.stateful_chain(stage).is_some();
    let sensors = if is_stateful {
        changelog.sensors()?
    } else {
        Vec::new()
    };
    let watermarks = group.watermarks()?;
    let offsets = missing(
        &watermarks,
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
        let end = watermarks
            .get(&(topic.clone(), *partition))
            .map_or(0, |(_, end)| *end);
        if *next > end {
            let cause =
                format!("it was at offset {next} of {topic} [{partition}], which ends at {end}");
            return Err(Error::new(doing(stage), cause).of_kind(Kind::Conflict).help(format!(
                "the topic was deleted and created again: `rivulet state reset {} --from-start` \
                 reads the new one",
                stage.name
            )));
        }
    }
    Ok(offsets)
}

/// The offsets of partitions without a committed one, as far as the changelog has them.
fn missing(
    watermarks: &BTreeMap<(String, i32), (i64, i64)>,
    committed: &[Committed],
    checkpoints: &BTreeMap<i32, Checkpoint>,
    sensors: &[StoredSensor],
    is_stateful: bool,
) -> Vec<Committed> {
    let mut offsets = Vec::new();
    for (topic, partition) in watermarks.keys() {
        let mut committed = committed.iter();
        if committed.any(|at| at.topic == *topic && at.partition == *partition) {
            continue;
        }
        let last: Vec<(&str, i64)> = sensors
            .iter()
            .filter(|sensor| sensor.partition == *partition)
            .filter_map(|sensor| Some((sensor.name.as_str(), *sensor.offsets.get(topic)?)))
            .collect();
        let checkpoint = checkpoints
            .get(partition)
            .and_then(|checkpoint| checkpoint.offsets.get(topic))
            .copied();
        let next = checkpoint.max(last.iter().map(|(_, offset)| offset + 1).max());
        let count = watermarks
            .keys()
            .filter(|(other, _)| other == topic)
            .count();
        let metadata = StateMetadata {
            digest: StateDigest::of(last),
            partitions: i32::try_from(count).ok(),
        };
        let metadata = if is_stateful {
            metadata.to_string()
        } else {
            String::new()
        };
        offsets.extend(next.map(|next| Committed {
            topic: topic.clone(),
            partition: *partition,
            next,
            metadata,
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
                "nothing to do: {changelog} has no offset for a partition without a committed one"
            );
        }
        let head = ["topic", "partition", "next offset"]
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
            "{name} continues at the offsets in {changelog}. If it did not shut down cleanly, it \
             processes again what came later: without state up to ten minutes of records"
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
            descriptions: Vec::new(),
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
        let watermarks = [
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
            &watermarks,
            committed,
            &checkpoint.into_iter().collect(),
            sensors,
            !sensors.is_empty(),
        );
        offsets
            .into_iter()
            .map(|at| (at.partition, at.next, at.metadata))
            .collect()
    }

    #[test]
    fn the_offsets_come_from_the_changelog() {
        assert_eq!(found(&[], Some(25), &[]), [(0, 25, String::new())]);
        assert_eq!(found(&[], None, &[]), []);
        let metadata = StateMetadata {
            digest: StateDigest::of([("a", 30), ("b", 9)]),
            partitions: Some(2),
        }
        .to_string();
        assert_eq!(
            found(&[], Some(25), &[sensor("a", 30), sensor("b", 9)]),
            [(0, 31, metadata)]
        );
        let metadata = StateMetadata {
            digest: StateDigest::of([("a", 8)]),
            partitions: Some(2),
        }
        .to_string();
        assert_eq!(
            found(&[], Some(25), &[sensor("a", 8)]),
            [(0, 25, metadata)],
            "the records after 8 were not readings"
        );
    }

    #[test]
    fn committed_offsets_are_not_changed() {
        let at = Committed {
            topic: "in".into(),
            partition: 0,
            next: 7,
            metadata: String::new(),
        };
        assert_eq!(found(&[at], Some(25), &[]), []);
    }
}
