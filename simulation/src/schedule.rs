//! A schedule: one pipeline from its first reading to its last, with everything that a seed makes
//! happen meanwhile, and then the truth.

use std::rc::Rc;

use stream::pipeline::{Guarantee, Pipeline, Role, StageKind};

use crate::cluster::Terms;
use crate::faults::{FaultCounts, FaultKind, Margin};
use crate::instances::Instances;
use crate::plan::Plan;
use crate::truth;
use crate::world::World;

/// Within how many turns everything must have come to rest once nothing bad happens any more.
const MOST_TURNS: u32 = 20_000;

/// What came of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How many readings were compared with the truth.
    pub verified: u64,
    /// What has happened.
    pub faults: FaultCounts,
    /// What is wrong, if anything is.
    pub failure: Option<String>,
}

/// Runs the schedule of a seed; `is_told` prints what happens.
#[must_use]
pub fn run(seed: u64, is_told: bool) -> Outcome {
    run_without(seed, is_told, &[])
}

/// The same, in which some kinds of faults never happen.
#[must_use]
pub fn run_without(seed: u64, is_told: bool, left_out: &[FaultKind]) -> Outcome {
    let world = World::new(seed, is_told);
    world.leave_out(left_out);
    let margin = Margin::draw(&mut world.chance());
    world.set_margin(margin);
    let plan = Plan::draw(&mut world.chance(), margin);
    make_topics(&world, &plan.pipeline);
    for (topic, terms) in &plan.terms {
        world.cluster().set_terms(topic, terms.clone());
    }
    if plan.pipeline.guarantee == Guarantee::AtLeastOnce {
        world.be_mild();
    }
    let instances = Instances::new(&world, plan);
    world.set_others(Some(instances.clone()));
    let mut verified = 0;
    let failure = go_through(&world, &instances)
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

/// Makes the topics of a pipeline as `rivulet topics create` does.
pub fn make_topics(world: &World, pipeline: &Pipeline) {
    let mut cluster = world.cluster();
    for (name, topic) in &pipeline.topics {
        let partitions = usize::try_from(topic.partitions).unwrap_or(1);
        cluster.create(name, partitions, topic.role == Role::Changelog);
        let ahead = topic
            .config
            .get("message.timestamp.after.max.ms")
            .and_then(|ahead| ahead.parse().ok());
        cluster.set_terms(
            name,
            Terms {
                largest: Some(topic.largest_message()),
                ahead,
                taboo: None,
            },
        );
    }
}

/// From the first turn to the end of all processes.
fn go_through(world: &Rc<World>, instances: &Instances) -> Result<(), String> {
    let (odds, turns) = {
        let mut chance = world.chance();
        (chance.one_of(&[40, 100, 250, 1000]), 50 + chance.below(500))
    };
    world.set_odds(odds);
    for _ in 0..turns {
        instances.turn();
    }
    world.set_odds(0);
    world.tell("everybody", || "nothing bad happens any more".to_owned());
    instances.calm_down();
    let pipeline = &instances.plan().pipeline;
    until(world, instances, "come to rest", || {
        instances.is_settled() && world.cluster().is_quiet() && is_read(world, instances, pipeline)
    })?;
    // Each behind those that write what it reads.
    for stage in pipeline.in_order() {
        let at = pipeline
            .stages
            .iter()
            .position(|other| other.name == stage.name)
            .unwrap_or_default();
        instances.drain(at);
        until(world, instances, &format!("let {} end", stage.name), || {
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
    for turn in 0..MOST_TURNS {
        if turn % 8 == 0 && is_done() {
            return Ok(());
        }
        instances.turn();
        if let Some(failure) = instances.failure() {
            return Err(failure);
        }
        if world.is_exhausted() {
            break;
        }
    }
    Err(format!("it does not {doing}: {}", instances.describe()))
}

/// Whether all sources have ended and everything there is to read is read and committed.
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
                        .group(&stage.name)
                        .committed
                        .get(&place)
                        .map_or(0, |(next, _)| *next);
                    cluster.partition(topic, partition).fetch(next).is_none()
                })
            }),
        })
}
