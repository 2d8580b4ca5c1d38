//! Keeping a state that was made with other settings.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::CheckedPipeline;
use rivulet_core::dead_letter::{Migration, MigrationKind};
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::guarantee::Guarantee;
use rivulet_core::operator::Operator;
use rivulet_core::state::StateRecord;
use rivulet_core::text::plain;
use rivulet_operators::Chain;
use rivulet_pipeline::Stage;

use super::transaction::{self, Transaction};
use super::{Changelog, Completeness, Group, StoredSensor};
use crate::table::aligned;
use crate::text::plural;
use rivulet_kafka::Committed;

/// A plan to keep the state of a stage whose settings have changed. Displayed, it says what will be
/// done.
///
/// One transaction writes every state to the changelog again, migrated to the chain of the file,
/// commits the group's offsets and metadata again, and records a [`Migration`] in the stage's
/// dead-letter topic.
#[derive(Debug)]
pub struct Keep<'p> {
    pipeline: &'p CheckedPipeline<'p>,
    stage: &'p Stage,
    /// The description of the chain in the file.
    now: String,
    /// `None` if the state was made by that chain.
    migrated: Option<Migrated>,
    committed: Vec<Committed>,
}

/// A migrated state.
#[derive(Debug, PartialEq)]
struct Migrated {
    /// The chain that made it.
    made_by: String,
    /// The state of each sensor, for the chain of the file.
    sensors: Vec<StoredSensor>,
}

impl<'p> Keep<'p> {
    /// Makes the plan without changing anything. The stage must [keep
    /// state](super::stateful_stage).
    ///
    /// # Errors
    /// If the stage runs, the brokers are unreachable, or the state cannot be migrated to the chain
    /// of the file.
    pub fn plan(pipeline: &'p CheckedPipeline<'p>, stage: &'p Stage) -> Result<Self> {
        let doing = doing(stage);
        let (Some(chain), Some(group)) = (
            pipeline.stateful_chain(stage),
            transaction::stopped_group(pipeline, stage, &doing)?,
        ) else {
            return Err(Error::new(
                doing,
                "a producer keeps a position, which does not depend on settings",
            )
            .of_kind(Kind::Usage));
        };
        let (migrated, committed) = inspect(pipeline, stage, &chain, &group)?;
        Ok(Keep {
            pipeline,
            stage,
            now: chain.describe(),
            migrated,
            committed,
        })
    }

    /// Whether the state was made by another chain.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.migrated.is_some()
    }

    /// Executes the plan.
    ///
    /// # Errors
    /// If the stage was started meanwhile, or the brokers fail. Nothing has changed then unless the
    /// error says otherwise.
    ///
    /// # Panics
    /// Never: text and finite numbers always make JSON.
    pub fn execute(&self) -> Result<()> {
        let (pipeline, stage) = (self.pipeline, self.stage);
        let Some(chain) = pipeline.stateful_chain(stage) else {
            return Ok(());
        };
        transaction::create_topics(pipeline, stage)?;
        let group = Group::new(&pipeline.connection(), &stage.group(), &stage.from)?;
        // From here on no other process has the partitions. One may have committed since the plan.
        let membership = group.join()?;
        let (Some(migrated), committed) = inspect(pipeline, stage, &chain, &group)? else {
            return Ok(());
        };
        let transaction = Transaction::begin(pipeline, stage, &doing(stage))?;
        for StoredSensor {
            partition,
            name,
            chain,
            states,
            offsets,
            time,
            ..
        } in &migrated.sensors
        {
            let saved = StateRecord {
                chain: chain.into(),
                offsets: offsets
                    .iter()
                    .map(|(topic, offset)| (topic.into(), *offset))
                    .collect(),
                time: *time,
                states: states.iter().map(Cow::from).collect(),
            };
            let value =
                serde_json::to_vec(&saved).expect("text and finite numbers always make JSON");
            transaction.save(*partition, name.as_bytes(), Some(&value))?;
        }
        let offsets = committed
            .iter()
            .map(|at| ((at.topic.clone(), at.partition), at.next))
            .collect();
        let (chain, sensors) = (Some(migrated.made_by), BTreeSet::new());
        transaction.record_migration(&Migration {
            remedy: MigrationKind::Kept,
            chain,
            offsets,
            sensors,
        })?;
        transaction.commit(&committed, Some(&membership))
    }
}

fn doing(stage: &Stage) -> String {
    format!("keeping the state of {}", stage.name)
}

/// The migrated state, or `None` if it was made by this chain, and the committed offsets.
fn inspect(
    pipeline: &CheckedPipeline<'_>,
    stage: &Stage,
    chain: &Chain,
    group: &Group,
) -> Result<(Option<Migrated>, Vec<Committed>)> {
    let committed = group.committed()?;
    let changelog = Changelog::find(&pipeline.connection(), &stage.changelog())?;
    let sensors = changelog.map_or(Ok(Vec::new()), |changelog| changelog.sensors())?;
    let migrated = migrate(chain, sensors, &committed, pipeline.guarantee).map_err(
        |CannotKeep { cause, help }| {
            Error::new(doing(stage), cause)
                .of_kind(Kind::Conflict)
                .help(format!("{help}: rivulet state reset {}", stage.name))
        },
    )?;
    Ok((migrated, committed))
}

/// Why a state cannot be kept.
#[derive(Debug, PartialEq, Eq)]
struct CannotKeep {
    cause: String,
    /// What to do.
    help: &'static str,
}

/// The state for this chain; `None` if this chain made it.
fn migrate(
    chain: &Chain,
    mut sensors: Vec<StoredSensor>,
    committed: &[Committed],
    guarantee: Guarantee,
) -> Result<Option<Migrated>, CannotKeep> {
    let now = chain.describe();
    let made_by: BTreeSet<String> = sensors.iter().map(|sensor| sensor.chain.clone()).collect();
    if made_by.iter().all(|chain| *chain == now) {
        return Ok(None);
    }
    let cannot_keep = |cause: String| CannotKeep {
        cause,
        help: "restore the old settings, or start with an empty state",
    };
    let mut made_by = made_by.into_iter();
    let (Some(made_by), None) = (made_by.next(), made_by.next()) else {
        return Err(cannot_keep("it was made by several chains".to_owned()));
    };
    if let Completeness::Incomplete(differences) =
        Completeness::of(committed, committed, &sensors, guarantee)
    {
        let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
        return Err(cannot_keep(format!(
            "it is incomplete: {}",
            differences.join("; ")
        )));
    }
    if is_ahead(&sensors, committed) {
        return Err(CannotKeep {
            cause: "it is ahead of the committed offsets: a process died before it committed them \
                    (at-least-once)"
                .to_owned(),
            help: "restore the old settings, drain the stage and change it again; or start with \
                   an empty state",
        });
    }
    for sensor in &mut sensors {
        let states = chain
            .migrate_from(&made_by, &sensor.states)
            .map_err(|why| {
                cannot_keep(format!(
                    "it was made by `{made_by}` and cannot be migrated to `{now}`: {why}"
                ))
            })?;
        sensor.states = states
            .iter()
            .map(|state| state.numbers().into_owned())
            .collect();
        sensor.chain.clone_from(&now);
    }
    Ok(Some(Migrated { made_by, sensors }))
}

/// Whether the state of a sensor includes records at or after the offsets.
pub(super) fn is_ahead(sensors: &[StoredSensor], offsets: &[Committed]) -> bool {
    let next: BTreeMap<(&str, i32), i64> = offsets
        .iter()
        .map(|at| ((at.topic.as_str(), at.partition), at.next))
        .collect();
    sensors.iter().any(|sensor| {
        sensor.offsets.iter().any(|(topic, last)| {
            let next = next.get(&(topic.as_str(), sensor.partition));
            *last >= next.copied().unwrap_or_default()
        })
    })
}

impl fmt::Display for Keep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, changelog) = (&self.stage.name, self.stage.changelog());
        let Some(Migrated { made_by, sensors }) = &self.migrated else {
            return writeln!(
                f,
                "nothing to do: the state in {changelog} was made by `{}`",
                self.now
            );
        };
        if !self.committed.is_empty() {
            let head = ["topic", "partition", "next offset"]
                .map(str::to_owned)
                .to_vec();
            let rows = self.committed.iter().map(
                |Committed {
                     topic,
                     partition,
                     next,
                     ..
                 }| {
                    vec![topic.clone(), partition.to_string(), next.to_string()]
                },
            );
            f.write_str(&aligned(
                &std::iter::once(head).chain(rows).collect::<Vec<_>>(),
            ))?;
        }
        let sensors = plural(sensors.len(), "sensor");
        writeln!(
            f,
            "{changelog}: the state of {sensors}, made by `{}`, is migrated to `{}`",
            plain(made_by),
            self.now
        )?;
        writeln!(
            f,
            "{name} continues with its state; no record is processed twice"
        )
    }
}

#[cfg(test)]
mod tests;
