//! The truth: what must be in the topics when everything has come to rest.
//!
//! What operators make of readings is compared by [`rivulet::verify`]; what sources give, and what
//! stands beside the offsets, here.

use std::collections::BTreeMap;

use rivulet::verify::{Options, Outcome, Record, Topics, verify_topics};
use serde_json::Value;
use stream::checkpoint;
use stream::error::Result as OrError;
use stream::operator::Operator;
use stream::pipeline::{Guarantee, Part, Pipeline, Stage, Work};
use stream::state::{Note, State};

use crate::cluster::{Content, Partition};
use crate::plan::{self, Given};
use crate::world::World;

/// Compares all topics of a pipeline with the truth; gives how many readings were compared.
///
/// # Errors
/// What is wrong, in a line.
pub fn check(world: &World, pipeline: &Pipeline) -> Result<u64, String> {
    let mut verified = 0;
    for stage in &pipeline.stages {
        match &stage.work {
            Work::Producer { source, .. } => verified += check_source(world, pipeline, stage, source)?,
            Work::Operator { steps } => check_state(world, pipeline, stage, steps)?,
            Work::Sink { .. } => (),
        }
    }
    let options = Options { allow_duplicates: pipeline.guarantee == Guarantee::AtLeastOnce };
    let report = verify_topics(pipeline, options, &mut Simulated { world }).map_err(|error| error.to_string())?;
    if report.topics.iter().any(|topic| matches!(topic.outcome, Outcome::NotVerifiable { .. })) {
        return Err(format!("not verifiable:\n{report}"));
    }
    let mut total = report.total();
    if options.allow_duplicates {
        // Of readings that are there again nobody can say which is which.
        total.out_of_order = 0;
    }
    if (total.missing, total.extra, total.wrong, total.out_of_order) != (0, 0, 0, 0) {
        let first = report.differences.first().map(ToString::to_string).unwrap_or_default();
        let verdict = report.to_string().lines().last().unwrap_or_default().to_owned();
        return Err(format!("{verdict}; {first}"));
    }
    Ok(verified + total.expected)
}

/// The topics of a simulated cluster, with what retention has deleted.
struct Simulated<'w> {
    world: &'w World,
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
        for (number, partition) in (0..).zip(&cluster.topics[topic].partitions) {
            for record in partition.committed() {
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
fn check_source(world: &World, pipeline: &Pipeline, stage: &Stage, source: &Part) -> Result<u64, String> {
    let allow_duplicates = pipeline.guarantee == Guarantee::AtLeastOnce;
    let (given, bad) = plan::given(&mut *plan::source(pipeline, source));
    let cluster = world.cluster();
    let mut found: BTreeMap<String, Vec<Given>> = BTreeMap::new();
    for record in cluster.topics[&stage.to[0]].partitions.iter().flat_map(Partition::committed) {
        let reading = reading(record.content.value.as_deref().unwrap_or_default());
        let reading = reading.ok_or_else(|| format!("{} holds what is no reading", stage.to[0]))?;
        let of_sensor = found.entry(reading.0.clone()).or_default();
        if !(allow_duplicates && of_sensor.contains(&reading)) {
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
    let mut state = State::new(&chain, stage.from.clone(), pipeline.limits.state(), stage.rules.state_ttl);
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
    for ((topic, partition), (next, note)) in &cluster.group(&stage.name).committed {
        let index = stage.from.iter().position(|from| from == topic).unwrap_or_default();
        let found = state.summary(index, i32::try_from(*partition).unwrap_or_default());
        let Note { summary: noted, .. } =
            note.parse().map_err(|error| format!("{}, {topic} [{partition}]: {error}", stage.name))?;
        if found != noted {
            return Err(format!(
                "the state of {} for offset {next} of {topic} [{partition}] is {found}, noted {noted}",
                stage.name
            ));
        }
    }
    Ok(())
}
