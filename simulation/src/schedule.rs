//! A schedule: runs one pipeline with the faults of a seed, from the first reading to the last, and
//! compares the results with the truth.

use std::rc::Rc;

use rivulet_core::guarantee::Guarantee;
use rivulet_pipeline::{Pipeline, Role, StageKind};

use crate::cluster::TopicConfig;
use crate::faults::{FaultCounts, FaultKind, Margin};
use crate::instances::Instances;
use crate::plan::Plan;
use crate::truth;
use crate::world::World;

/// Without faults, everything must settle within this many steps.
const MAX_STEPS: u32 = 20_000;

/// The result of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How many readings were compared.
    pub verified: u64,
    /// The faults that happened.
    pub faults: FaultCounts,
    /// What is wrong. `None` if nothing is.
    pub failure: Option<String>,
}

/// Runs the schedule of a seed. `is_verbose` prints its events.
#[must_use]
pub fn run(seed: u64, is_verbose: bool) -> Outcome {
    run_without(seed, is_verbose, &[])
}

/// [`run`] without some kinds of faults.
#[must_use]
pub fn run_without(seed: u64, is_verbose: bool, excluded: &[FaultKind]) -> Outcome {
    let world = World::new(seed, is_verbose);
    world.exclude(excluded);
    let margin = Margin::draw(&mut world.chance());
    world.set_margin(margin);
    let plan = Plan::draw(&mut world.chance(), margin);
    make_topics(&world, &plan.pipeline);
    for (topic, config) in &plan.topic_configs {
        world.cluster().set_topic_config(topic, config.clone());
    }
    if plan.pipeline.guarantee == Guarantee::AtLeastOnce {
        world.set_at_least_once();
    }
    let instances = Instances::new(&world, plan);
    world.set_others(Some(instances.clone()));
    let mut verified = 0;
    let failure = run_to_the_end(&world, &instances)
        .and_then(|()| {
            verified = truth::check(&world, &instances)?;
            Ok(())
        })
        .err();
    instances.clear();
    world.set_others(None);
    Outcome {
        verified,
        faults: world.counts(),
        failure,
    }
}

/// Creates the topics of a pipeline, as `rivulet topics create` does.
pub fn make_topics(world: &World, pipeline: &Pipeline) {
    let mut cluster = world.cluster();
    for (name, topic) in &pipeline.topics {
        let partitions = usize::try_from(topic.partitions).unwrap_or(1);
        cluster.create(name, partitions, topic.role == Role::Changelog);
        let timestamp_after_max_ms = topic
            .config
            .get("message.timestamp.after.max.ms")
            .and_then(|timestamp_after_max_ms| timestamp_after_max_ms.parse().ok());
        cluster.set_topic_config(
            name,
            TopicConfig {
                max_message_bytes: Some(topic.largest_message()),
                timestamp_after_max_ms,
                forbidden_text: None,
            },
        );
    }
}

/// Runs all processes from the first step until they have ended.
fn run_to_the_end(world: &Rc<World>, instances: &Instances) -> Result<(), String> {
    let (odds, steps) = {
        let mut chance = world.chance();
        (chance.one_of(&[40, 100, 250, 1000]), 50 + chance.below(500))
    };
    world.set_odds(odds);
    for _ in 0..steps {
        instances.step();
    }
    world.set_odds(0);
    world.trace("world", || "no more faults".to_owned());
    instances.stop_extras();
    let pipeline = &instances.plan().pipeline;
    until(world, instances, "settle", || {
        instances.is_settled() && world.cluster().is_quiet() && is_read(world, instances, pipeline)
    })?;
    // Downstream stages come later: each drains after the stages that write its inputs.
    for stage in pipeline.in_order() {
        let at = pipeline
            .stages
            .iter()
            .position(|other| other.name == stage.name)
            .unwrap_or_default();
        instances.drain(at);
        until(world, instances, &format!("end {}", stage.name), || {
            instances.is_done(at)
        })?;
    }
    Ok(())
}

fn until(
    world: &World,
    instances: &Instances,
    doing: &str,
    is_done: impl Fn() -> bool,
) -> Result<(), String> {
    for step in 0..MAX_STEPS {
        if step % 8 == 0 && is_done() {
            return Ok(());
        }
        instances.step();
        if let Some(failure) = instances.failure() {
            return Err(failure);
        }
        if world.is_exhausted() {
            break;
        }
    }
    Err(format!(
        "the pipeline does not {doing}: {}",
        instances.describe()
    ))
}

/// Whether all sources have ended, and all records are read and committed.
fn is_read(world: &World, instances: &Instances, pipeline: &Pipeline) -> bool {
    pipeline
        .stages
        .iter()
        .enumerate()
        .all(|(at, stage)| match stage.kind {
            StageKind::Producer { .. } => instances.is_done(at),
            _ if instances.stopped().contains(&at) => true,
            StageKind::Operator { .. } | StageKind::Sink { .. } => stage.from.iter().all(|topic| {
                let mut cluster = world.cluster();
                (0..cluster.topics[topic].partitions.len()).all(|partition| {
                    let place = (topic.clone(), partition);
                    let next = cluster
                        .group(&stage.group())
                        .committed
                        .get(&place)
                        .map_or(0, |(next, _)| *next);
                    cluster.partition(topic, partition).fetch(next).is_none()
                })
            }),
        })
}
