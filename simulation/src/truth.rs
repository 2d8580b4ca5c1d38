//! The truth: what must be in the topics when everything has come to rest.
//!
//! What operators make of readings is compared by [`rivulet::verify`]; what sources give, and what
//! stands beside the offsets, here.

use std::collections::{BTreeMap, BTreeSet};

use rivulet::verify::{Counts, Options, Outcome, Record, Topics, verify_topics};
use serde_json::Value;
use stream::dead_letter::Entry;
use stream::error::Result as OrError;
use stream::operator::Operator;
use stream::pipeline::{Guarantee, Part, Pipeline, Stage, Work};
use stream::state::{State, Summary};

use crate::cluster::{Content, Partition};
use crate::faults::{Kind, Margin};
use crate::instances::Instances;
use crate::plan::{self, Given};
use crate::world::World;

/// Compares all topics of a pipeline with the truth; gives how many readings were compared.
///
/// Where a stage has ended for good and told why, what it would have written may be missing, and all that
/// follows from it: nothing else.
///
/// # Errors
/// What is wrong, in a line.
pub fn check(world: &World, instances: &Instances) -> Result<u64, String> {
    let pipeline = &instances.plan().pipeline;
    let stopped = instances.stopped();
    let mut verified = 0;
    for (at, stage) in pipeline.stages.iter().enumerate() {
        match &stage.work {
            Work::Producer { source, .. } => {
                verified += check_source(world, pipeline, stage, source, instances.attempts(at))?;
            }
            Work::Operator { .. } if stopped.contains(&at) || is_anew(world, stage) => (),
            Work::Operator { steps } => check_state(world, pipeline, stage, steps)?,
            Work::Sink { .. } => (),
        }
    }
    let options = Options { allow_duplicates: pipeline.guarantee == Guarantee::AtLeastOnce };
    let mut topics = Simulated { world, excused: excused(world, pipeline) };
    let report = verify_topics(pipeline, options, &mut topics).map_err(|error| error.to_string())?;
    let cut_off = behind(pipeline, |at, stage| stopped.contains(&at) || is_spread(world, pipeline, stage));
    for topic in &report.topics {
        let is_cut_off = cut_off.contains(&topic.topic);
        let counts = match &topic.outcome {
            Outcome::NotVerifiable { .. } if !is_cut_off => return Err(format!("not verifiable:\n{report}")),
            Outcome::Compared(counts) | Outcome::DeadLetters(counts) => *counts,
            Outcome::NotVerifiable { .. } | Outcome::Given { .. } => Counts::default(),
        };
        let missing = if is_cut_off { 0 } else { counts.missing };
        // Of readings that are there again nobody can say which is which.
        let out_of_order = if options.allow_duplicates { 0 } else { counts.out_of_order };
        let is_wrong = (missing, counts.extra, counts.wrong, out_of_order) != (0, 0, 0, 0);
        if is_wrong && !(is_cut_off && world.margin() == Margin::Partitions) {
            let first = report.differences.first().map(ToString::to_string).unwrap_or_default();
            let verdict = report.to_string().lines().last().unwrap_or_default().to_owned();
            return Err(format!("{verdict}; {first}"));
        }
    }
    for (at, stage) in pipeline.stages.iter().enumerate() {
        if !stopped.contains(&at) {
            check_spread(world, pipeline, stage)?;
        }
    }
    Ok(verified + report.total().expected)
}

/// The topics of some stages, and all behind them.
fn behind(pipeline: &Pipeline, is_one: impl Fn(usize, &Stage) -> bool) -> BTreeSet<String> {
    let mut topics = BTreeSet::new();
    for stage in pipeline.in_order() {
        let at = pipeline.stages.iter().position(|other| other.name == stage.name).unwrap_or_default();
        if is_one(at, stage) || stage.from.iter().any(|topic| topics.contains(topic)) {
            topics.extend(stage.to.iter().cloned().chain([stage.dead_letters()]));
        }
    }
    topics
}

/// Whether the changelog of a stage or any of its inputs was made anew.
fn is_anew(world: &World, stage: &Stage) -> bool {
    let cluster = world.cluster();
    let mut topics = stage.from.iter().cloned().chain([stage.changelog()]);
    topics.any(|topic| cluster.topics.get(&topic).is_some_and(|topic| !topic.former.is_empty()))
}

/// Whether a stage writes or reads a topic that has more partitions than it had: its keys are in others.
fn is_spread(world: &World, pipeline: &Pipeline, stage: &Stage) -> bool {
    let cluster = world.cluster();
    let mut topics = stage.from.iter().chain(&stage.to);
    topics.any(|topic| cluster.topics[topic].partitions.len() > partitions(pipeline, topic))
}

fn partitions(pipeline: &Pipeline, topic: &str) -> usize {
    usize::try_from(pipeline.topic(topic).partitions).unwrap_or_default()
}

/// No stage with a state has begun to work on partitions that were added, unless it has told so.
fn check_spread(world: &World, pipeline: &Pipeline, stage: &Stage) -> Result<(), String> {
    let mut cluster = world.cluster();
    if !pipeline.topics.contains_key(&stage.changelog()) || stage.from.is_empty() {
        return Ok(());
    }
    for ((topic, partition), (next, _)) in &cluster.group(&stage.name).committed {
        if *partition >= partitions(pipeline, topic) {
            return Err(format!(
                "{} has worked on {topic} [{partition}] up to {next}, which was added, with a state of its own",
                stage.name
            ));
        }
    }
    Ok(())
}

/// Letters of records that a topic does not take, with those records: by topic, partition and offset.
fn excused(world: &World, pipeline: &Pipeline) -> BTreeSet<(String, i32, i64)> {
    let mut excused = BTreeSet::new();
    if !world.margin().has_outsider() {
        return excused;
    }
    let cluster = world.cluster();
    for stage in &pipeline.stages {
        let name = stage.dead_letters();
        for (number, partition) in (0..).zip(&cluster.topics[&name].partitions) {
            for record in partition.committed() {
                if let Entry::Letter(letter) = Entry::read(&record.content.headers)
                    && let Some((of, offset)) = letter.place
                    && REFUSED.contains(&letter.reason)
                    && is_odd(&cluster.topics[letter.topic].partitions[usize::try_from(of).unwrap_or_default()], offset)
                {
                    excused.insert((name.clone(), number, record.offset));
                    excused.insert((letter.topic.to_owned(), of, offset));
                }
            }
        }
    }
    excused
}

/// Why a topic does not take a record, in letters.
const REFUSED: [&str; 4] = ["too-large", "timestamp-refused", "refused", "policy"];

/// Whether a record is one that a topic need not take.
fn is_odd(partition: &Partition, offset: i64) -> bool {
    let record = partition.all().iter().find(|record| record.offset == offset);
    record.is_some_and(|record| {
        let Content { value, timestamp, .. } = &record.content;
        let value = value.as_deref().unwrap_or_default();
        value.len() > 900
            || *timestamp > 3_600_000
            || value.windows(plan::TABOO.len()).any(|part| part == plan::TABOO.as_bytes())
    })
}

/// The topics of a simulated cluster, with what retention has deleted.
struct Simulated<'w> {
    world: &'w World,
    /// What is left out.
    excused: BTreeSet<(String, i32, i64)>,
}

impl Topics for Simulated<'_> {
    fn partitions(&self, topic: &str) -> Option<usize> {
        self.world.cluster().topics.get(topic).map(|topic| topic.partitions.len())
    }

    fn is_trimmed(&self, _: &str) -> bool {
        false
    }

    fn read(&mut self, topic: &str, each: &mut dyn FnMut(&Record<'_>)) -> OrError<()> {
        let cluster = self.world.cluster();
        let topic_now = &cluster.topics[topic];
        let all = topic_now.former.iter().chain([&topic_now.partitions]);
        for (number, partition) in all.flat_map(|partitions| (0..).zip(partitions)) {
            for record in partition.committed() {
                if self.excused.contains(&(topic.to_owned(), number, record.offset)) {
                    continue;
                }
                let Content { key, value, headers, timestamp } = &record.content;
                each(&Record {
                    partition: number,
                    offset: record.offset,
                    timestamp: *timestamp,
                    key: key.as_deref(),
                    value: value.as_deref(),
                    headers,
                });
            }
        }
        Ok(())
    }
}

/// What a source gives is in its topic, each sensor's readings in their order, and what is bad among its
/// dead letters.
///
/// Under `at-least-once` each of its processes may send again what one commit holds for each time that it
/// went back, and the one before it that much more until it has noticed.
fn check_source(
    world: &World,
    pipeline: &Pipeline,
    stage: &Stage,
    source: &Part,
    attempts: u64,
) -> Result<u64, String> {
    let allow_duplicates = pipeline.guarantee == Guarantee::AtLeastOnce;
    let (given, bad) = plan::given(&mut *plan::source(pipeline, source));
    let cluster = world.cluster();
    let mut found: BTreeMap<String, Vec<Given>> = BTreeMap::new();
    let mut again = 0;
    for record in cluster.topics[&stage.to[0]].all_partitions().flat_map(Partition::committed) {
        let reading = reading(record.content.value.as_deref().unwrap_or_default());
        let reading = reading.ok_or_else(|| format!("{} holds what is no reading", stage.to[0]))?;
        let of_sensor = found.entry(reading.0.clone()).or_default();
        if allow_duplicates && of_sensor.contains(&reading) {
            again += 1;
        } else {
            of_sensor.push(reading);
        }
    }
    let mut expected: BTreeMap<String, Vec<Given>> = BTreeMap::new();
    for reading in given {
        expected.entry(reading.0.clone()).or_default().push(reading);
    }
    let count = expected.values().map(Vec::len).sum::<usize>();
    for (sensor, expected) in &mut expected {
        let found = found.get(sensor).map(Vec::as_slice).unwrap_or_default();
        if found != expected {
            let at = found.iter().zip(&*expected).take_while(|(found, expected)| found == expected).count();
            let next = found.get(at).map_or("nothing more".to_owned(), |found| format!("seq {}", found.1));
            let (have, want) = (found.len(), expected.len());
            return Err(format!(
                "in {} sensor {sensor} has {have} readings of {want}; behind {at} of them comes {next}",
                stage.to[0]
            ));
        }
    }
    let most = 2 * attempts * (pipeline.commit.records + 1);
    let is_calm = [Kind::Pause, Kind::BrokerAway].iter().all(|kind| world.counts().of(*kind) == 0);
    if again > most && is_calm {
        return Err(format!("{} holds {again} readings again where {most} at most may be", stage.to[0]));
    }
    let letters: usize =
        cluster.topics[&stage.dead_letters()].partitions.iter().map(|partition| partition.committed().count()).sum();
    if letters < bad || (letters > bad && !allow_duplicates) {
        return Err(format!("{} has {letters} letters and not {bad}", stage.dead_letters()));
    }
    Ok(count as u64)
}

fn reading(value: &[u8]) -> Option<Given> {
    let value: Value = serde_json::from_slice(value).ok()?;
    Some((
        value["sensor"].as_str()?.to_owned(),
        value["seq"].as_u64()?,
        value["time"].as_i64()?,
        value["value"].as_f64()?,
    ))
}

/// What stands beside each offset is the state that the changelog gives.
fn check_state(world: &World, pipeline: &Pipeline, stage: &Stage, steps: &[Part]) -> Result<(), String> {
    let chain = plan::chain(pipeline, stage, steps);
    if chain.memories() == 0 {
        return Ok(());
    }
    let mut state = State::new(&chain, stage.from.clone(), pipeline.limits.state());
    let mut cluster = world.cluster();
    for (number, partition) in (0..).zip(&cluster.topics[&stage.changelog()].partitions) {
        for record in partition.committed() {
            let content = &record.content;
            let restored = state.restore(number, content.key.as_deref().unwrap_or_default(), content.value.as_deref());
            restored.map_err(|error| error.to_string())?;
        }
    }
    for ((topic, partition), (next, note)) in &cluster.group(&stage.name).committed {
        let index = stage.from.iter().position(|from| from == topic).unwrap_or_default();
        let found = state.summary(index, i32::try_from(*partition).unwrap_or_default());
        let noted: Summary = note.parse().map_err(|error| format!("{}, {topic} [{partition}]: {error}", stage.name))?;
        if found != noted {
            return Err(format!(
                "the state of {} for offset {next} of {topic} [{partition}] is {found}, noted {noted}",
                stage.name
            ));
        }
    }
    Ok(())
}
