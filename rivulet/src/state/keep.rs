//! Going on with what was remembered under other settings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use operators::Chain;
use stream::dead_letter::{Migration, MigrationKind};
use stream::error::{Error, Result};
use stream::operator::Operator;
use stream::pipeline::{Guarantee, Pipeline, Stage};
use stream::state::StateRecord;

use super::group::Committed;
use super::transaction::{self, Transaction};
use super::{Changelog, Group, StoredSensor, Whole, chain};
use crate::table::aligned;
use crate::topics::plural;

/// What it takes for a stage whose settings have changed to go on with what it remembers; shown,
/// what will be done.
///
/// It is one transaction: every state in the changelog again, under the chain of the file, the
/// group's offsets with their notes again, and a [`Migration`] among the stage's dead letters.
#[derive(Debug)]
pub struct Keep<'p> {
    pipeline: &'p Pipeline,
    stage: &'p Stage,
    /// What the file's chain describes itself as.
    now: String,
    /// Nothing if the state is of that chain already.
    taken: Option<Taken>,
    committed: Vec<Committed>,
}

/// A state taken over.
#[derive(Debug, PartialEq)]
struct Taken {
    /// The chain that made it.
    made_by: String,
    /// Under the file's chain.
    sensors: Vec<StoredSensor>,
}

impl<'p> Keep<'p> {
    /// Looks at what there is to do; nothing is changed. The stage is one that
    /// [keeps](super::keeper) something.
    ///
    /// # Errors
    /// If the stage runs, the cluster does not answer, or what is remembered means nothing to the
    /// chain of the file.
    pub fn plan(pipeline: &'p Pipeline, stage: &'p Stage) -> Result<Self> {
        let doing = doing(stage);
        let (Some(chain), Some(group)) = (
            chain(pipeline, stage),
            transaction::at_rest(pipeline, stage, &doing)?,
        ) else {
            return Err(Error::new(
                doing,
                "a producer keeps a position, which no change of settings touches",
            ));
        };
        let (taken, committed) = look(pipeline, stage, &chain, &group)?;
        Ok(Keep {
            pipeline,
            stage,
            now: chain.describe(),
            taken,
            committed,
        })
    }

    /// Whether the state is another chain's.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.taken.is_some()
    }

    /// Does it.
    ///
    /// # Errors
    /// If somebody has started the stage meanwhile, or the cluster refuses. Unless the error says
    /// otherwise, nothing has changed then.
    ///
    /// # Panics
    /// Never: text and finite numbers always make JSON.
    pub fn carry_out(&self) -> Result<()> {
        let (pipeline, stage) = (self.pipeline, self.stage);
        let Some(chain) = chain(pipeline, stage) else {
            return Ok(());
        };
        transaction::make_topics(pipeline, stage)?;
        let group = Group::new(pipeline, stage)?;
        // From here to its end nobody else can work on the stage's partitions. What is there now
        // counts.
        let place = group.take_place()?;
        let (Some(taken), committed) = look(pipeline, stage, &chain, &group)? else {
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
        } in &taken.sensors
        {
            let saved = StateRecord {
                chain: chain.into(),
                offsets: offsets
                    .iter()
                    .map(|(topic, offset)| (topic.into(), *offset))
                    .collect(),
                time: *time,
                states: states.into(),
            };
            let value =
                serde_json::to_vec(&saved).expect("text and finite numbers always make JSON");
            transaction.save(*partition, name.as_bytes(), Some(&value))?;
        }
        let offsets = committed
            .iter()
            .map(|at| ((at.topic.clone(), at.partition), at.next))
            .collect();
        let (chain, sensors) = (Some(taken.made_by), BTreeSet::new());
        transaction.mark(&Migration {
            remedy: MigrationKind::Kept,
            chain,
            offsets,
            sensors,
        })?;
        transaction.commit(&committed, Some(&place))
    }
}

fn doing(stage: &Stage) -> String {
    format!("keeping the state of {}", stage.name)
}

/// What is there, taken over; nothing if it is of that chain already.
fn look(
    pipeline: &Pipeline,
    stage: &Stage,
    chain: &Chain,
    group: &Group,
) -> Result<(Option<Taken>, Vec<Committed>)> {
    let committed = group.committed()?;
    let changelog = Changelog::find(&pipeline.kafka, &stage.changelog())?;
    let sensors = changelog.map_or(Ok(Vec::new()), |changelog| changelog.sensors())?;
    let taken = migrate(chain, sensors, &committed, pipeline.guarantee).map_err(
        |Refused { cause, help }| {
            Error::new(doing(stage), cause)
                .help(format!("{help}: rivulet state reset {}", stage.name))
        },
    )?;
    Ok((taken, committed))
}

/// Why a state cannot be kept.
#[derive(Debug, PartialEq, Eq)]
struct Refused {
    cause: String,
    /// What else to do than to begin with an empty state.
    help: &'static str,
}

/// The sensors under this chain; nothing if they are already.
fn migrate(
    chain: &Chain,
    mut sensors: Vec<StoredSensor>,
    committed: &[Committed],
    guarantee: Guarantee,
) -> Result<Option<Taken>, Refused> {
    let now = chain.describe();
    let made_by: BTreeSet<String> = sensors.iter().map(|sensor| sensor.chain.clone()).collect();
    if made_by.iter().all(|chain| *chain == now) {
        return Ok(None);
    }
    let refusal = |cause: String| Refused {
        cause,
        help: "undo the change, or begin with an empty state",
    };
    let mut made_by = made_by.into_iter();
    let (Some(made_by), None) = (made_by.next(), made_by.next()) else {
        return Err(refusal("it was made by several chains".to_owned()));
    };
    if let Whole::NotWhole(differences) = Whole::judge(committed, committed, &sensors, guarantee) {
        let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
        return Err(refusal(format!(
            "it is not whole: {}",
            differences.join("; ")
        )));
    }
    if is_ahead(&sensors, committed) {
        return Err(Refused {
            cause: "it is ahead of the committed offsets: at-least-once, a process died between \
                    the two"
                .to_owned(),
            help: "undo the change and drain the stage, then change it; or begin with an empty \
                   state",
        });
    }
    for sensor in &mut sensors {
        chain.migrate(&made_by, &mut sensor.states).map_err(|why| {
            refusal(format!(
                "it was made by `{made_by}`, and means nothing to `{now}`: {why}"
            ))
        })?;
        sensor.chain.clone_from(&now);
    }
    Ok(Some(Taken { made_by, sensors }))
}

/// Whether a sensor's last record is one that is read again from the offsets.
pub(super) fn is_ahead(sensors: &[StoredSensor], offsets: &[Committed]) -> bool {
    let next: BTreeMap<(&str, i32), i64> = offsets
        .iter()
        .map(|at| ((at.topic.as_str(), at.partition), at.next))
        .collect();
    let is_ahead = |sensor: &StoredSensor| {
        let of = |topic: &String| {
            next.get(&(topic.as_str(), sensor.partition))
                .copied()
                .unwrap_or_default()
        };
        sensor
            .offsets
            .iter()
            .any(|(topic, last)| *last >= of(topic))
    };
    sensors.iter().any(is_ahead)
}

impl fmt::Display for Keep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, changelog) = (&self.stage.name, self.stage.changelog());
        let Some(Taken { made_by, sensors }) = &self.taken else {
            return writeln!(
                f,
                "nothing to do: {changelog} holds nothing that was not made by `{}`",
                self.now
            );
        };
        if !self.committed.is_empty() {
            let head = ["topic", "partition", "goes on at"]
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
        let sensors = plural(i64::try_from(sensors.len()).unwrap_or(i64::MAX), "sensor");
        writeln!(
            f,
            "what {changelog} holds of {sensors}, made by `{made_by}`, is taken over for `{}`",
            self.now
        )?;
        writeln!(
            f,
            "{name} goes on with what it remembers; nothing is read twice"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stream::pipeline::{ComponentConfig, Text};
    use stream::state::StateDigest;

    use super::*;

    fn chain(steps: &[&str]) -> Chain {
        let steps: Vec<ComponentConfig> = steps
            .iter()
            .map(|step| ComponentConfig::parse(step).unwrap())
            .collect();
        Chain::build(&steps).unwrap()
    }

    fn sensor(name: &str, chain: &str, memory: &[f64], last: i64) -> StoredSensor {
        StoredSensor {
            partition: 0,
            name: name.into(),
            chain: chain.into(),
            states: vec![memory.to_vec()],
            offsets: [("in".to_owned(), last)].into(),
            time: None,
        }
    }

    fn committed(next: i64, last: &[(&str, i64)]) -> Vec<Committed> {
        let note = StateDigest::of(last.iter().copied()).to_string();
        vec![Committed {
            topic: "in".into(),
            partition: 0,
            next,
            note,
        }]
    }

    fn taken(
        steps: &[&str],
        sensors: Vec<StoredSensor>,
        guarantee: Guarantee,
    ) -> Result<Option<Taken>, Refused> {
        migrate(
            &chain(steps),
            sensors,
            &committed(5, &[("a", 4), ("b", 2)]),
            guarantee,
        )
    }

    fn of_two(chain: &str, memory: &[f64]) -> Vec<StoredSensor> {
        vec![sensor("a", chain, memory, 4), sensor("b", chain, memory, 2)]
    }

    #[test]
    fn values_and_offsets_are_kept_under_the_name_of_the_new_chain() {
        let found = taken(
            &["ewma = { alpha = 0.3 }"],
            of_two("ewma(alpha=0.5)", &[7.5]),
            Guarantee::ExactlyOnce,
        );
        let expected = Taken {
            made_by: "ewma(alpha=0.5)".into(),
            sensors: of_two("ewma(alpha=0.3)", &[7.5]),
        };
        assert_eq!(found, Ok(Some(expected)));
        let found = taken(
            &["average = { window = 2 }"],
            of_two("average(window=3)", &[1.0, 2.0, 3.0]),
            Guarantee::ExactlyOnce,
        );
        assert_eq!(
            found.unwrap().unwrap().sensors,
            of_two("average(window=2)", &[2.0, 3.0])
        );
    }

    #[test]
    fn a_state_that_fits_is_left_alone() {
        let sensors = of_two("ewma(alpha=0.5)", &[7.5]);
        assert_eq!(
            taken(&["ewma = { alpha = 0.5 }"], sensors, Guarantee::ExactlyOnce),
            Ok(None)
        );
        assert_eq!(
            taken(&["ewma = { alpha = 0.5 }"], vec![], Guarantee::ExactlyOnce),
            Ok(None)
        );
    }

    #[test]
    fn what_cannot_be_kept_is_said_with_the_reason() {
        let cause = |sensors| {
            let refusal =
                taken(&["ewma = { alpha = 0.3 }"], sensors, Guarantee::ExactlyOnce).unwrap_err();
            assert_eq!(
                refusal.help,
                "undo the change, or begin with an empty state"
            );
            refusal.cause
        };
        let others = cause(of_two("round(digits=1) → ewma(alpha=0.5)", &[7.5]));
        assert!(
            others
                .ends_with("`ewma(alpha=0.3)`: these are not the same operators in the same order"),
            "{others}"
        );
        let mixed = vec![
            sensor("a", "ewma(alpha=0.5)", &[1.0], 4),
            sensor("b", "ewma(alpha=0.4)", &[1.0], 2),
        ];
        assert_eq!(cause(mixed), "it was made by several chains");
        let lost = cause(of_two("ewma(alpha=0.5)", &[7.5])[..1].to_vec());
        assert!(
            lost.starts_with(
                "it is not whole: sensors in the changelog: 1, noted at offset 5 of in/0: 2"
            ),
            "{lost}"
        );
    }

    #[test]
    fn a_state_ahead_of_its_offsets_is_not_kept() {
        let ahead = vec![
            sensor("a", "ewma(alpha=0.5)", &[1.0], 5),
            sensor("b", "ewma(alpha=0.5)", &[1.0], 2),
        ];
        let refusal =
            taken(&["ewma = { alpha = 0.3 }"], ahead, Guarantee::AtLeastOnce).unwrap_err();
        assert!(
            refusal.cause.contains("ahead of the committed offsets"),
            "{refusal:?}"
        );
        assert!(refusal.help.contains("drain the stage"), "{refusal:?}");
    }

    #[test]
    fn what_will_be_done_is_shown() {
        let text = "[topic.a]\nexternal = true\n[operator.smooth]\nfrom = \"a\"\nsteps = [{ ewma = \
                    { alpha = 0.3 } }]\nto = \"b\"\n";
        let pipeline = Pipeline::parse(Arc::new(Text {
            path: "p.toml".into(),
            text: text.into(),
        }))
        .unwrap();
        let taken = Taken {
            made_by: "ewma(alpha=0.5)".into(),
            sensors: of_two("ewma(alpha=0.3)", &[7.5]),
        };
        let now = "ewma(alpha=0.3)".to_owned();
        let stage = &pipeline.stages[0];
        let mut keep = Keep {
            pipeline: &pipeline,
            stage,
            now,
            taken: Some(taken),
            committed: committed(5, &[]),
        };
        let expected = "topic  partition  goes on at
in     0          5
what smooth-changelog \
                        holds of 2 sensors, made by `ewma(alpha=0.5)`, is taken over for \
                        `ewma(alpha=0.3)`
smooth goes on with what it remembers; nothing is read \
                        twice
";
        assert_eq!(keep.to_string(), expected);
        keep.taken = None;
        assert!(
            keep.to_string()
                .contains("holds nothing that was not made by `ewma(alpha=0.3)`"),
            "{keep}"
        );
    }
}
