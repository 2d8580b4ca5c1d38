//! Forgetting some sensors.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Timestamp};
use stream::dead_letter::{Migration, MigrationKind};
use stream::error::{Error, Result};
use stream::pipeline::{Guarantee, Pipeline, Stage, suggest};
use stream::state::{StateDigest, StateMetadata};

use super::group::Committed;
use super::keep::is_ahead;
use super::transaction::{self, Transaction};
use super::{Changelog, Group, StoredSensor, Whole, chain};
use crate::table::aligned;
use crate::topics::plural;

/// How many sensors are shown.
const SHOWN: usize = 50;

/// How many bytes of names one mark holds: a dead-letter topic takes no record of any size.
const MARK: usize = 100_000;

/// Which sensors are to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForgetSelection {
    /// Those of these names.
    Named(BTreeSet<String>),
    /// Those whose last reading is so much older than the newest that the stage remembers, by the
    /// readings' own times.
    Idle(Age),
}

/// A span of time; as text `30d`, `12h` or `2h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Age(pub Duration);

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = text.parse::<Span>().ok();
        let age = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
        let age = age.and_then(|age| Duration::try_from(age).ok());
        age.map(Age)
            .ok_or_else(|| format!("`{text}` is no span of time; write 30d, 12h or 2h 30m"))
    }
}

/// What it takes for a stage to forget some of its sensors; shown, what will be done.
///
/// It is one transaction: a tombstone for each of them, the group's offsets committed again, each
/// with the note of the state that is left, and a [`Migration`] among the stage's dead letters. The
/// stage goes on where it was, and what a forgotten sensor sends later begins with an empty memory.
#[derive(Debug)]
pub struct Forget<'p> {
    pipeline: &'p Pipeline,
    stage: &'p Stage,
    which: ForgetSelection,
    found: Chosen,
}

/// What there is to do.
#[derive(Debug, PartialEq)]
struct Chosen {
    /// What is forgotten.
    gone: Vec<StoredSensor>,
    /// How many sensors are left.
    left: usize,
    /// How many have a state that does not tell the time of their last reading.
    timeless: usize,
    /// The chain that made the state; `None` if several did.
    chain: Option<String>,
    /// What is committed again.
    offsets: Vec<Committed>,
}

impl<'p> Forget<'p> {
    /// Looks at what there is to do; nothing is changed. The stage is one that
    /// [keeps](super::keeper) something.
    ///
    /// # Errors
    /// If the stage runs, the cluster does not answer, its state is not whole, or it does not know
    /// a sensor that is named.
    pub fn plan(pipeline: &'p Pipeline, stage: &'p Stage, which: ForgetSelection) -> Result<Self> {
        let doing = doing(stage);
        let group = transaction::at_rest(pipeline, stage, &doing)?;
        let (Some(_), Some(group)) = (chain(pipeline, stage), group) else {
            return Err(
                Error::new(doing, "a producer keeps a position, no sensors").help(format!(
                    "`rivulet state reset {}` has it begin anew",
                    stage.name
                )),
            );
        };
        let found = look(pipeline, stage, &group, &which)?;
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
        self.found.gone.is_empty()
    }

    /// Does it.
    ///
    /// # Errors
    /// If somebody has started the stage meanwhile, or the cluster refuses. Unless the error says
    /// otherwise, nothing has changed then.
    pub fn carry_out(&self) -> Result<()> {
        let (pipeline, stage) = (self.pipeline, self.stage);
        transaction::make_topics(pipeline, stage)?;
        let group = Group::new(pipeline, stage)?;
        // From here to its end nobody else can work on the stage's partitions. What is there now
        // counts.
        let place = group.take_place()?;
        let found = look(pipeline, stage, &group, &self.which)?;
        let transaction = Transaction::begin(pipeline, stage, &doing(stage))?;
        for StoredSensor {
            partition, name, ..
        } in &found.gone
        {
            transaction.save(*partition, name.as_bytes(), None)?;
        }
        for change in changes(&found) {
            transaction.mark(&change)?;
        }
        transaction.commit(&found.offsets, Some(&place))
    }
}

fn doing(stage: &Stage) -> String {
    format!("forgetting sensors of {}", stage.name)
}

fn look(
    pipeline: &Pipeline,
    stage: &Stage,
    group: &Group,
    which: &ForgetSelection,
) -> Result<Chosen> {
    let committed = group.committed()?;
    let sensors = Changelog::read(&pipeline.kafka, &stage.changelog())?.sensors()?;
    choose(sensors, committed, which, pipeline.guarantee).map_err(|(cause, help)| {
        let help = if help.is_empty() {
            format!(
                "`rivulet state show {0}` tells; to begin with an empty state: rivulet state reset \
                 {0}",
                stage.name
            )
        } else {
            help
        };
        Error::new(doing(stage), cause).help(help)
    })
}

/// What there is to do, or why it cannot be done, with the remedy.
fn choose(
    sensors: Vec<StoredSensor>,
    committed: Vec<Committed>,
    which: &ForgetSelection,
    guarantee: Guarantee,
) -> Result<Chosen, (String, String)> {
    if let Whole::NotWhole(differences) = Whole::judge(&committed, &committed, &sensors, guarantee)
    {
        let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
        return Err((
            format!("its state is not whole: {}", differences.join("; ")),
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
            return Err((
                format!("it remembers nothing of a sensor `{unknown}`"),
                help,
            ));
        }
    }
    let newest = sensors.iter().filter_map(|sensor| sensor.time).max();
    let is_gone = |sensor: &StoredSensor| match which {
        ForgetSelection::Named(names) => names.contains(&sensor.name),
        ForgetSelection::Idle(Age(age)) => {
            let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            sensor
                .time
                .zip(newest)
                .is_some_and(|(time, newest)| time.saturating_add(age) < newest)
        }
    };
    let (gone, left): (Vec<StoredSensor>, Vec<StoredSensor>) =
        sensors.into_iter().partition(is_gone);
    if is_ahead(&gone, &committed) {
        let cause = "its state is ahead of the committed offsets: at-least-once, a process died \
                     between the two";
        return Err((cause.to_owned(), "drain the stage first".to_owned()));
    }
    let offsets = committed.into_iter().map(|at| noted(at, &left)).collect();
    Ok(Chosen {
        gone,
        left: left.len(),
        timeless,
        chain,
        offsets,
    })
}

/// The same offset with the note of what is left. One without a note has been set by another tool.
fn noted(at: Committed, left: &[StoredSensor]) -> Committed {
    let Ok(StateMetadata { partitions, .. }) = at.note.parse() else {
        return at;
    };
    let of_partition = left
        .iter()
        .filter(|sensor| sensor.partition == at.partition);
    let last = of_partition
        .filter_map(|sensor| Some((sensor.name.as_str(), *sensor.offsets.get(&at.topic)?)));
    let note = StateMetadata {
        digest: StateDigest::of(last),
        partitions,
    }
    .to_string();
    Committed { note, ..at }
}

/// What `rivulet verify` must know of it: several marks if there are many sensors.
fn changes(found: &Chosen) -> Vec<Migration> {
    let names: BTreeSet<&str> = found
        .gone
        .iter()
        .map(|sensor| sensor.name.as_str())
        .collect();
    let (mut parts, mut bytes): (Vec<BTreeSet<String>>, usize) = (Vec::new(), MARK);
    for name in names {
        bytes += name.len();
        if bytes >= MARK {
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
    let change = Migration {
        remedy: MigrationKind::Forgotten,
        chain: found.chain.clone(),
        offsets,
        sensors: BTreeSet::new(),
    };
    parts
        .into_iter()
        .map(|sensors| Migration {
            sensors,
            ..change.clone()
        })
        .collect()
}

impl fmt::Display for Forget<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, changelog) = (&self.stage.name, self.stage.changelog());
        let Chosen {
            gone,
            left,
            timeless,
            ..
        } = &self.found;
        if !gone.is_empty() {
            let head = ["partition", "sensor", "last reading of"]
                .map(str::to_owned)
                .to_vec();
            let rows = gone.iter().take(SHOWN).map(
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
        if gone.len() > SHOWN {
            writeln!(f, "and {} more", gone.len() - SHOWN)?;
        }
        let sensors = |count: usize| plural(i64::try_from(count).unwrap_or(i64::MAX), "sensor");
        if let (ForgetSelection::Idle(_), 1..) = (&self.which, *timeless) {
            writeln!(
                f,
                "of {}, {changelog} does not tell when they sent their last reading",
                sensors(*timeless)
            )?;
        }
        if gone.is_empty() {
            return writeln!(
                f,
                "nothing to do: of {}, none is to be forgotten",
                sensors(*left)
            );
        }
        writeln!(
            f,
            "what {changelog} holds of {} is forgotten, and of {} it stays",
            sensors(gone.len()),
            sensors(*left)
        )?;
        writeln!(
            f,
            "{name} goes on where it was; what a forgotten sensor sends later begins with an empty \
             memory"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use stream::pipeline::Text;

    use super::*;

    fn sensor(partition: i32, name: &str, last: i64, time: Option<i64>) -> StoredSensor {
        StoredSensor {
            partition,
            name: name.into(),
            chain: "ewma(alpha=0.5)".into(),
            states: vec![vec![1.0]],
            offsets: [("in".to_owned(), last)].into(),
            time,
        }
    }

    fn note(last: &[(&str, i64)]) -> String {
        StateMetadata {
            digest: StateDigest::of(last.iter().copied()),
            partitions: Some(2),
        }
        .to_string()
    }

    fn committed(partition: i32, next: i64, last: &[(&str, i64)]) -> Committed {
        Committed {
            topic: "in".into(),
            partition,
            next,
            note: note(last),
        }
    }

    const DAY: i64 = 86_400_000;

    fn state() -> (Vec<StoredSensor>, Vec<Committed>) {
        let sensors = vec![
            sensor(0, "a", 4, Some(0)),
            sensor(0, "b", 2, Some(40 * DAY)),
            sensor(1, "c", 8, None),
        ];
        (
            sensors,
            vec![
                committed(0, 5, &[("a", 4), ("b", 2)]),
                committed(1, 9, &[("c", 8)]),
            ],
        )
    }

    fn chosen(which: &ForgetSelection) -> Result<Chosen, (String, String)> {
        let (sensors, committed) = state();
        choose(sensors, committed, which, Guarantee::ExactlyOnce)
    }

    fn named(names: &[&str]) -> ForgetSelection {
        ForgetSelection::Named(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn notes_are_those_of_what_is_left() {
        let found = chosen(&named(&["b", "c"])).unwrap();
        assert_eq!(
            found
                .gone
                .iter()
                .map(|sensor| sensor.name.as_str())
                .collect::<Vec<_>>(),
            ["b", "c"]
        );
        assert_eq!(
            found.offsets,
            [committed(0, 5, &[("a", 4)]), committed(1, 9, &[])]
        );
        let left = Whole::judge(
            &found.offsets,
            &found.offsets,
            &state().0[..1],
            Guarantee::ExactlyOnce,
        );
        assert_eq!(left, Whole::Whole, "the stage starts with it");
    }

    #[test]
    fn an_offset_that_another_tool_has_set_gets_no_note() {
        let (sensors, mut committed) = state();
        committed[1].note = "elsewhere".into();
        let found = choose(sensors, committed, &named(&["c"]), Guarantee::ExactlyOnce).unwrap();
        assert_eq!(found.offsets[1].note, "elsewhere");
    }

    #[test]
    fn the_idle_are_told_by_the_newest_reading() {
        let gone = |age: &str| {
            let found = chosen(&ForgetSelection::Idle(age.parse().unwrap())).unwrap();
            (
                found
                    .gone
                    .iter()
                    .map(|sensor| sensor.name.clone())
                    .collect::<Vec<_>>(),
                found.timeless,
            )
        };
        assert_eq!(gone("30d"), (vec!["a".to_owned()], 1));
        assert_eq!(gone("40d"), (vec![], 1));
        assert!("soon".parse::<Age>().unwrap_err().contains("write 30d"));
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let (cause, help) = chosen(&named(&["a", "bb"])).unwrap_err();
        assert!(
            cause.contains("nothing of a sensor `bb`") && help.contains('b'),
            "{cause}: {help}"
        );
        let (sensors, committed) = state();
        let lost = choose(
            sensors[1..].to_vec(),
            committed.clone(),
            &named(&["b"]),
            Guarantee::ExactlyOnce,
        );
        assert!(lost.unwrap_err().0.contains("not whole"));
        let ahead = vec![
            sensor(0, "a", 5, None),
            sensors[1].clone(),
            sensors[2].clone(),
        ];
        let (cause, _) =
            choose(ahead, committed, &named(&["a"]), Guarantee::AtLeastOnce).unwrap_err();
        assert!(cause.contains("ahead of the committed offsets"), "{cause}");
    }

    #[test]
    fn many_names_are_spread_over_several_marks() {
        let gone: Vec<StoredSensor> = (0..3000)
            .map(|number| sensor(0, &format!("{number:0100}"), 1, None))
            .collect();
        let found = Chosen {
            gone,
            left: 0,
            timeless: 0,
            chain: None,
            offsets: vec![committed(0, 5, &[])],
        };
        let changes = changes(&found);
        assert_eq!(
            changes
                .iter()
                .map(|change| change.sensors.len())
                .sum::<usize>(),
            3000
        );
        let size = |change: &Migration| {
            change
                .headers()
                .iter()
                .filter_map(|(_, value)| value.as_ref())
                .map(Vec::len)
                .sum()
        };
        assert!(changes.len() > 2 && changes.iter().map(size).all(|size: usize| size < 2 * MARK));
        assert!(
            changes
                .iter()
                .all(|change| change.offsets == [(("in".to_owned(), 0), 5)].into())
        );
    }

    #[test]
    fn what_will_be_done_is_shown() {
        let text = "[topic.in]\nexternal = true\n[operator.smooth]\nfrom = \"in\"\nsteps = [{ ewma \
                    = { alpha = 0.5 } }]\nto = \"b\"\n";
        let pipeline = Pipeline::parse(Arc::new(Text {
            path: "p.toml".into(),
            text: text.into(),
        }))
        .unwrap();
        let shown = |which: ForgetSelection| {
            let found = chosen(&which).unwrap();
            Forget {
                pipeline: &pipeline,
                stage: &pipeline.stages[0],
                which,
                found,
            }
            .to_string()
        };
        let expected = "partition  sensor  last reading \
                        of
0          b       1970-02-10T00:00:00Z
1          c       -
what \
                        smooth-changelog holds of 2 sensors is forgotten, and of 1 sensor it \
                        stays
smooth goes on where it was; what a forgotten sensor sends later \
                        begins with an empty memory
";
        assert_eq!(shown(named(&["b", "c"])), expected);
        let nothing = shown(ForgetSelection::Idle("90d".parse().unwrap()));
        assert!(
            nothing.ends_with("nothing to do: of 3 sensors, none is to be forgotten\n"),
            "{nothing}"
        );
        assert!(
            nothing.starts_with("of 1 sensor, smooth-changelog does not tell when"),
            "{nothing}"
        );
    }
}
