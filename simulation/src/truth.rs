//! The truth: what must be in the topics once everything has settled.
//!
//! [`rivulet_verify`] compares the results of operators. This module compares the readings of
//! sources, and the state that belongs to the committed offsets.

mod margins;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rivulet_core::checkpoint;
use rivulet_core::error::Result as OrError;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::operator::Operator;
use rivulet_core::state::{State, StateMetadata};
use rivulet_core::topic_source::{FetchedRecord, TopicSource};
use rivulet_pipeline::{ComponentConfig, Pipeline, Stage, StageKind};
use rivulet_verify::{NoRegistry, Options, TopicOutcome, verify};
use serde_json::Value;

use crate::cluster::{Content, Partition};
use crate::faults::FaultKind;
use crate::instances::Instances;
use crate::plan::{self, SourceReading};
use crate::world::World;

/// Compares all topics of a pipeline with the truth. Returns how many readings were compared.
///
/// # Errors
/// What is wrong, in one line.
pub fn check(world: &World, instances: &Instances) -> Result<u64, String> {
    let pipeline = &instances.plan().pipeline;
    let stopped = instances.stopped();
    let mut verified = 0;
    for (at, stage) in pipeline.stages.iter().enumerate() {
        match &stage.kind {
            StageKind::Producer { source, .. } => {
                verified += check_source(world, pipeline, stage, source, instances.attempts(at))?;
            }
            StageKind::Operator { .. } if stopped.contains(&at) || was_recreated(world, stage) => {}
            StageKind::Operator { steps } => check_state(world, pipeline, stage, steps)?,
            StageKind::Sink { .. } => (),
        }
    }
    if !world.margin().cuts_off() && stopped.is_empty() {
        let records = Simulated {
            world,
            excluded: margins::rejected(world, pipeline),
            reader: None,
        };
        return Ok(verified + compare(pipeline, records, false)?);
    }
    // Each stage by itself: the next stage works with what a stopped one has written.
    for (at, stage) in pipeline.stages.iter().enumerate() {
        if let StageKind::Operator { .. } = stage.kind {
            verified += margins::check(world, pipeline, stage, stopped.contains(&at))?;
        }
    }
    Ok(verified)
}

/// Compares the topics of a pipeline with what must be in them. If a stage has stopped, its last
/// results may be missing.
fn compare(
    pipeline: &Pipeline,
    mut records: Simulated<'_>,
    has_stopped: bool,
) -> Result<u64, String> {
    let options = Options {
        allow_duplicates: pipeline.guarantee == Guarantee::AtLeastOnce,
    };
    let report =
        verify(pipeline, options, &NoRegistry, &mut records).map_err(|error| error.to_string())?;
    if !has_stopped
        && report
            .topics
            .iter()
            .any(|topic| matches!(topic.outcome, TopicOutcome::NotVerifiable { .. }))
    {
        return Err(format!("not verifiable:\n{report}"));
    }
    let mut total = report.total();
    if options.allow_duplicates {
        // If readings are repeated, the order says nothing.
        total.out_of_order = 0;
    }
    if has_stopped {
        total.missing = 0;
    }
    if (total.missing, total.extra, total.wrong, total.out_of_order) != (0, 0, 0, 0) {
        let first = report
            .differences
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        let verdict = report
            .to_string()
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned();
        return Err(format!("{verdict}; {first}"));
    }
    Ok(total.expected)
}

/// Whether the changelog or an input of a stage was deleted and created again.
fn was_recreated(world: &World, stage: &Stage) -> bool {
    let cluster = world.cluster();
    let mut topics = stage.from.iter().cloned().chain([stage.changelog()]);
    topics.any(|topic| {
        cluster
            .topics
            .get(&topic)
            .is_some_and(|topic| !topic.former.is_empty())
    })
}

/// The topics of a simulated cluster, including the records that retention has deleted.
struct Simulated<'w> {
    world: &'w World,
    /// Records to leave out, by topic, partition and offset.
    excluded: BTreeSet<(String, i32, i64)>,
    /// The only stage, if there is one. Partitions of a deleted topic that it had not read do not
    /// count.
    reader: Option<&'w Stage>,
}

impl TopicSource for Simulated<'_> {
    fn partitions(&self, topic: &str) -> Option<usize> {
        self.world
            .cluster()
            .topics
            .get(topic)
            .map(|topic| topic.partitions.len())
    }

    fn is_trimmed(&self, _: &str) -> bool {
        false
    }

    fn read(&mut self, topic: &str, each: &mut dyn FnMut(&FetchedRecord<'_>)) -> OrError<()> {
        let cluster = self.world.cluster();
        let topic_now = &cluster.topics[topic];
        let reader = self
            .reader
            .filter(|stage| stage.from.iter().any(|from| from == topic))
            .map(Stage::group);
        let former = topic_now.former.iter().flat_map(|all| (0..).zip(all));
        let former = former.filter(|(_, former)| match &reader {
            Some(group) => former.readers.contains(group),
            None => true,
        });
        let former = former.map(|(number, former)| (number, &former.partition));
        for (number, partition) in former.chain((0..).zip(&topic_now.partitions)) {
            for record in partition.committed() {
                if self
                    .excluded
                    .contains(&(topic.to_owned(), number, record.offset))
                {
                    continue;
                }
                let Content {
                    key,
                    value,
                    headers,
                    timestamp,
                } = &record.content;
                each(&FetchedRecord {
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

/// A source's topic must hold all its readings, each sensor's in order, and its dead-letter topic
/// all bad records.
///
/// Under `at-least-once` each process may repeat the readings of one commit for each roll back. The
/// process that it replaced may add as many until it notices.
fn check_source(
    world: &World,
    pipeline: &Pipeline,
    stage: &Stage,
    source: &ComponentConfig,
    attempts: u64,
) -> Result<u64, String> {
    let allow_duplicates = pipeline.guarantee == Guarantee::AtLeastOnce;
    let (source_readings, bad) = plan::read_all(&mut *plan::source(pipeline, source));
    let cluster = world.cluster();
    let mut found: BTreeMap<String, Vec<SourceReading>> = BTreeMap::new();
    let mut repeated = 0;
    for record in cluster.topics[&stage.to[0]]
        .all_partitions()
        .flat_map(Partition::committed)
    {
        let reading = reading(record.content.value.as_deref().unwrap_or_default());
        let reading = reading.ok_or_else(|| format!("{} holds an invalid reading", stage.to[0]))?;
        let of_sensor = found.entry(reading.0.clone()).or_default();
        if allow_duplicates && of_sensor.contains(&reading) {
            repeated += 1;
        } else {
            of_sensor.push(reading);
        }
    }
    if margins::is_spread(&cluster, pipeline, &stage.to[0]) {
        // Nothing says in which order readings of several partitions were sent.
        for of_sensor in found.values_mut() {
            of_sensor.sort_by_key(|reading| reading.1);
        }
    }
    let mut expected: BTreeMap<String, Vec<SourceReading>> = BTreeMap::new();
    for reading in source_readings {
        expected.entry(reading.0.clone()).or_default().push(reading);
    }
    let count = expected.values().map(Vec::len).sum::<usize>();
    for (sensor, expected) in &mut expected {
        let found = found.get(sensor).map(Vec::as_slice).unwrap_or_default();
        if found != expected {
            let at = found
                .iter()
                .zip(&*expected)
                .take_while(|(found, expected)| found == expected)
                .count();
            let next = found
                .get(at)
                .map_or("nothing".to_owned(), |found| format!("seq {}", found.1));
            let (have, want) = (found.len(), expected.len());
            return Err(format!(
                "{} has {have} readings of sensor {sensor}, not {want}; {next} follows the first \
                 {at}",
                stage.to[0]
            ));
        }
    }
    let most = 2 * attempts * (pipeline.commit.records + 1);
    let without_pauses = [FaultKind::Pause, FaultKind::BrokerAway]
        .iter()
        .all(|kind| world.counts().of(*kind) == 0);
    if repeated > most && without_pauses {
        return Err(format!(
            "{} holds {repeated} repeated readings, at most {most} are allowed",
            stage.to[0]
        ));
    }
    let dead_letters: usize = cluster.topics[&stage.dead_letters()]
        .partitions
        .iter()
        .map(|partition| partition.committed().count())
        .sum();
    if dead_letters < bad || (dead_letters > bad && !allow_duplicates) {
        return Err(format!(
            "{} has {dead_letters} dead letters, not {bad}",
            stage.dead_letters()
        ));
    }
    Ok(count as u64)
}

fn reading(value: &[u8]) -> Option<SourceReading> {
    let value: Value = serde_json::from_slice(value).ok()?;
    Some((
        value["sensor"].as_str()?.to_owned(),
        value["seq"].as_u64()?,
        value["time"].as_i64()?,
        value["value"].as_f64()?,
    ))
}

/// The metadata of each offset must match the state in the changelog.
fn check_state(
    world: &World,
    pipeline: &Pipeline,
    stage: &Stage,
    steps: &[ComponentConfig],
) -> Result<(), String> {
    let chain = plan::chain(pipeline, stage, steps);
    if chain.states() == 0 {
        return Ok(());
    }
    let mut state = State::new(
        Arc::new(chain),
        stage.from.clone(),
        pipeline.limits.state(),
        stage.rules.state_ttl,
    );
    let mut cluster = world.cluster();
    for (number, partition) in (0..).zip(&cluster.topics[&stage.changelog()].partitions) {
        for record in partition.committed() {
            let Content { key, value, .. } = &record.content;
            let key = key.as_deref().unwrap_or_default();
            if key == checkpoint::KEY {
                continue;
            }
            let restored = state.restore(number, key, value.as_deref());
            restored.map_err(|error| error.to_string())?;
        }
    }
    for ((topic, partition), (next, metadata)) in &cluster.group(&stage.group()).committed {
        let index = stage
            .from
            .iter()
            .position(|from| from == topic)
            .unwrap_or_default();
        let found = state.digest(index, i32::try_from(*partition).unwrap_or_default());
        let StateMetadata {
            digest: expected, ..
        } = metadata
            .parse()
            .map_err(|error| format!("{}, {topic} [{partition}]: {error}", stage.name))?;
        if found != expected {
            return Err(format!(
                "the state of {} for offset {next} of {topic} [{partition}] has the digest \
                 {found}, the committed metadata {expected}",
                stage.name
            ));
        }
    }
    Ok(())
}
