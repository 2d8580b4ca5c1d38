//! Forgetting some sensors.

use std::collections::BTreeSet;
use std::fmt;

use crate::CheckedPipeline;
use jiff::Timestamp;
use rivulet_core::dead_letter::{Migration, MigrationKind};
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::guarantee::Guarantee;
use rivulet_core::state::{StateDigest, StateMetadata};
use rivulet_pipeline::{Stage, suggest};

use super::keep::is_ahead;
use super::transaction::{self, Transaction};
use super::{Changelog, Completeness, Group, StoredSensor};
use crate::table::aligned;
use crate::text::plural;
use crate::times::TimeSpan;
use rivulet_kafka::Committed;

/// How many sensors are shown.
const SHOWN: usize = 50;

/// How many bytes of names one record of a migration holds at most.
const NAMES: usize = 100_000;

/// Which sensors are to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForgetSelection {
    /// The sensors with these names.
    Named(BTreeSet<String>),
    /// The sensors whose last reading is older than the newest reading in the state by this age, by
    /// the readings' own times.
    Idle(TimeSpan),
}

/// A plan to forget the state of some sensors. Displayed, it says what will be done.
///
/// One transaction writes a tombstone for each of them, commits the group's offsets again with the
/// digest of the remaining state, and records a [`Migration`] in the stage's dead-letter topic. The
/// stage continues at its offsets. A forgotten sensor starts with an empty state when it sends
/// again.
#[derive(Debug)]
pub struct Forget<'p> {
    pipeline: &'p CheckedPipeline<'p>,
    stage: &'p Stage,
    which: ForgetSelection,
    found: Selected,
}

/// What will be done.
#[derive(Debug, PartialEq)]
struct Selected {
    /// The sensors to forget.
    forgotten: Vec<StoredSensor>,
    /// How many sensors remain.
    left: usize,
    /// How many sensors have a state without the time of their last reading.
    timeless: usize,
    /// The chain that made the state; `None` if several did.
    chain: Option<String>,
    /// The offsets to commit again.
    offsets: Vec<Committed>,
}

impl<'p> Forget<'p> {
    /// Makes the plan without changing anything. The stage must [keep
    /// state](super::stateful_stage).
    ///
    /// # Errors
    /// If the stage runs, the brokers are unreachable, its state is incomplete, or a named sensor
    /// is not in it.
    pub fn plan(
        pipeline: &'p CheckedPipeline<'p>,
        stage: &'p Stage,
        which: ForgetSelection,
    ) -> Result<Self> {
        let doing = doing(stage);
        let group = transaction::stopped_group(pipeline, stage, &doing)?;
        let (Some(_), Some(group)) = (pipeline.stateful_chain(stage), group) else {
            return Err(Error::new(doing, "a producer keeps a position, no sensors")
                .of_kind(Kind::Usage)
                .help(format!(
                    "`rivulet state reset {}` makes it start from the beginning",
                    stage.name
                )));
        };
        let found = inspect(pipeline, stage, &group, &which)?;
        Ok(Forget {
            pipeline,
            stage,
            which,
            found,
        })
    }

    /// Whether there is nothing to forget.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.forgotten.is_empty()
    }

    /// Executes the plan.
    ///
    /// # Errors
    /// If the stage was started meanwhile, or the brokers fail. Nothing has changed then unless the
    /// error says otherwise.
    pub fn execute(&self) -> Result<()> {
        let (pipeline, stage) = (self.pipeline, self.stage);
        transaction::create_topics(pipeline, stage)?;
        let group = Group::new(&pipeline.connection(), &stage.group(), &stage.from)?;
        // From here on no other process has the partitions. One may have committed since the plan.
        let membership = group.join()?;
        let found = inspect(pipeline, stage, &group, &self.which)?;
        let transaction = Transaction::begin(pipeline, stage, &doing(stage))?;
        for StoredSensor {
            partition, name, ..
        } in &found.forgotten
        {
            transaction.save(*partition, name.as_bytes(), None)?;
        }
        for migration in migrations(&found) {
            transaction.record_migration(&migration)?;
        }
        transaction.commit(&found.offsets, Some(&membership))
    }
}

fn doing(stage: &Stage) -> String {
    format!("forgetting sensors of {}", stage.name)
}

fn inspect(
    pipeline: &CheckedPipeline<'_>,
    stage: &Stage,
    group: &Group,
    which: &ForgetSelection,
) -> Result<Selected> {
    let committed = group.committed()?;
    let sensors = Changelog::read(&pipeline.connection(), &stage.changelog())?.sensors()?;
    choose(sensors, committed, which, pipeline.guarantee).map_err(|(cause, help)| {
        let help = if help.is_empty() {
            format!(
                "`rivulet state show {0}` shows it; to start with an empty state: rivulet state \
                 reset {0}",
                stage.name
            )
        } else {
            help
        };
        Error::new(doing(stage), cause).help(help)
    })
}

/// What will be done, or the cause and the remedy if it cannot be done.
fn choose(
    sensors: Vec<StoredSensor>,
    committed: Vec<Committed>,
    which: &ForgetSelection,
    guarantee: Guarantee,
) -> Result<Selected, (String, String)> {
    if let Completeness::Incomplete(differences) =
        Completeness::of(&committed, &committed, &sensors, guarantee)
    {
        let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
        return Err((
            format!("its state is incomplete: {}", differences.join("; ")),
            String::new(),
        ));
    }
    let chains: BTreeSet<&str> = sensors.iter().map(|sensor| sensor.chain.as_str()).collect();
    let chain = chains
        .first()
        .filter(|_| chains.len() == 1)
        .map(|chain| (*chain).to_owned());
    let timeless = sensors
        .iter()
        .filter(|sensor| sensor.time.is_none())
        .count();
    if let ForgetSelection::Named(names) = which {
        let known: BTreeSet<&str> = sensors.iter().map(|sensor| sensor.name.as_str()).collect();
        if let Some(unknown) = names.iter().find(|name| !known.contains(name.as_str())) {
            let help = suggest(unknown, &known.into_iter().collect::<Vec<_>>());
            return Err((format!("it has no state of a sensor `{unknown}`"), help));
        }
    }
    let newest = sensors.iter().filter_map(|sensor| sensor.time).max();
    let (forgotten, left): (Vec<StoredSensor>, Vec<StoredSensor>) = sensors
        .into_iter()
        .partition(|sensor| is_selected(sensor, which, newest));
    if is_ahead(&forgotten, &committed) {
        let cause = "its state is ahead of the committed offsets: a process died before it \
                     committed them (at-least-once)";
        return Err((cause.to_owned(), "drain the stage first".to_owned()));
    }
    let offsets = committed.into_iter();
    let offsets = offsets.map(|at| with_digest(at, &left)).collect();
    Ok(Selected {
        forgotten,
        left: left.len(),
        timeless,
        chain,
        offsets,
    })
}

/// Whether a sensor is selected. `newest` is the time of the newest reading in the state.
fn is_selected(sensor: &StoredSensor, which: &ForgetSelection, newest: Option<i64>) -> bool {
    match which {
        ForgetSelection::Named(names) => names.contains(&sensor.name),
        ForgetSelection::Idle(TimeSpan(age)) => {
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            let times = sensor.time.zip(newest);
            times.is_some_and(|(time, newest)| time.saturating_add(age) < newest)
        }
    }
}

/// The offset with the digest of the remaining state. An offset without a digest was set by another
/// tool: it is not changed.
fn with_digest(at: Committed, left: &[StoredSensor]) -> Committed {
    let Ok(StateMetadata { partitions, .. }) = at.metadata.parse() else {
        return at;
    };
    let of_partition = left
        .iter()
        .filter(|sensor| sensor.partition == at.partition);
    let last = of_partition
        .filter_map(|sensor| Some((sensor.name.as_str(), *sensor.offsets.get(&at.topic)?)));
    let metadata = StateMetadata {
        digest: StateDigest::of(last),
        partitions,
    }
    .to_string();
    Committed { metadata, ..at }
}

/// The records for `rivulet verify`: several if there are many sensors.
fn migrations(found: &Selected) -> Vec<Migration> {
    let names: BTreeSet<&str> = found
        .forgotten
        .iter()
        .map(|sensor| sensor.name.as_str())
        .collect();
    let (mut parts, mut bytes): (Vec<BTreeSet<String>>, usize) = (Vec::new(), NAMES);
    for name in names {
        bytes += name.len();
        if bytes >= NAMES {
            parts.push(BTreeSet::new());
            bytes = name.len();
        }
        parts.last_mut().map(|part| part.insert(name.to_owned()));
    }
    let offsets = found
        .offsets
        .iter()
        .map(|at| ((at.topic.clone(), at.partition), at.next))
        .collect();
    let migration = Migration {
        remedy: MigrationKind::Forgotten,
        chain: found.chain.clone(),
        offsets,
        sensors: BTreeSet::new(),
    };
    parts
        .into_iter()
        .map(|sensors| Migration {
            sensors,
            ..migration.clone()
        })
        .collect()
}

impl fmt::Display for Forget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, changelog) = (&self.stage.name, self.stage.changelog());
        let Selected {
            forgotten,
            left,
            timeless,
            ..
        } = &self.found;
        if !forgotten.is_empty() {
            let head = ["partition", "sensor", "last reading"]
                .map(str::to_owned)
                .to_vec();
            let rows = forgotten.iter().take(SHOWN).map(
                |StoredSensor {
                     partition,
                     name,
                     time,
                     ..
                 }| {
                    let time = time.and_then(|time| Timestamp::from_millisecond(time).ok());
                    vec![
                        partition.to_string(),
                        name.clone(),
                        time.map_or("-".to_owned(), |time| time.to_string()),
                    ]
                },
            );
            f.write_str(&aligned(
                &std::iter::once(head).chain(rows).collect::<Vec<_>>(),
            ))?;
        }
        if forgotten.len() > SHOWN {
            writeln!(f, "and {} more", forgotten.len() - SHOWN)?;
        }
        let sensors = |count: usize| plural(count, "sensor");
        if let (ForgetSelection::Idle(_), 1..) = (&self.which, *timeless) {
            writeln!(
                f,
                "{changelog} has no time of the last reading for {}",
                sensors(*timeless)
            )?;
        }
        if forgotten.is_empty() {
            return writeln!(
                f,
                "nothing to do: none of {} is to be forgotten",
                sensors(*left)
            );
        }
        writeln!(
            f,
            "{changelog}: the state of {} is forgotten, that of {} is kept",
            sensors(forgotten.len()),
            sensors(*left)
        )?;
        writeln!(
            f,
            "{name} continues at its offsets; a forgotten sensor starts with an empty state when \
             it sends again"
        )
    }
}

#[cfg(test)]
mod tests;
