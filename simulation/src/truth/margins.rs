//! The truth at the margins: where not everything can arrive, what does not was told.

use std::collections::BTreeSet;

use stream::dead_letter::{DeadLetter, GAP, LedgerRecord};
use stream::operator::Operator;
use stream::pipeline::{Guarantee, Pipeline, Stage, StageKind};

use super::{Simulated, compare, is_anew};
use crate::cluster::{Cluster, Content, Partition};
use crate::faults::Margin;
use crate::plan;
use crate::world::World;

/// Records by topic, partition and offset.
type Records = BTreeSet<(String, i32, i64)>;

/// Compares what one stage has written with what it must have made of what is in its inputs, or
/// ever was, less what it says it has not read. If it has stopped, some of it may be missing.
///
/// # Errors
/// What is wrong, in a line.
pub(super) fn check(
    world: &World,
    whole: &Pipeline,
    stage: &Stage,
    has_stopped: bool,
) -> Result<u64, String> {
    let mut pipeline = whole.clone();
    pipeline.stages = vec![stage.clone()];
    for input in &stage.from {
        if let Some(topic) = pipeline.topics.get_mut(input) {
            topic.external = true;
        }
    }
    let mut left_out = gaps(world, stage);
    let is_cut = !left_out.is_empty() || is_anew(world, stage) || has_stopped;
    if pipeline.guarantee == Guarantee::AtLeastOnce && is_cut {
        // Some of what it says it has not read it may have worked on, and died before it committed
        // that.
        return Ok(0);
    }
    left_out.extend(refused(world, whole));
    left_out.extend(before(world, stage));
    let is_spread = {
        let cluster = world.cluster();
        let mut topics = stage.from.iter().chain(&stage.to);
        topics.any(|topic| is_spread(&cluster, whole, topic))
    };
    if is_spread {
        // Keys are in other partitions than before, and nothing says in which order.
        return if has_stopped {
            Ok(0)
        } else {
            check_spread(world, whole, stage).map(|()| 0)
        };
    }
    compare(
        &pipeline,
        Simulated {
            world,
            left_out,
            reader: Some(stage),
        },
        has_stopped,
    )
}

/// Whether a topic has more partitions than it had.
pub(super) fn is_spread(cluster: &Cluster, pipeline: &Pipeline, topic: &str) -> bool {
    cluster.topics[topic].partitions.len() > partitions(pipeline, topic)
}

fn partitions(pipeline: &Pipeline, topic: &str) -> usize {
    usize::try_from(pipeline.topic(topic).partitions).unwrap_or_default()
}

/// No stage with a state has begun to work on partitions that were added to what it had read,
/// unless it has told so.
fn check_spread(world: &World, pipeline: &Pipeline, stage: &Stage) -> Result<(), String> {
    let StageKind::Operator { steps } = &stage.kind else {
        return Ok(());
    };
    if plan::chain(pipeline, stage, steps).states() == 0 {
        return Ok(());
    }
    let mut cluster = world.cluster();
    let has_grown = |topic: &&String| cluster.topics[*topic].grown_under.contains(&stage.name);
    let grown: Vec<&String> = stage.from.iter().filter(has_grown).collect();
    let committed = &cluster.group(&stage.name).committed;
    let is_added = |topic: &String, partition: usize| {
        grown.contains(&topic) && partition >= partitions(pipeline, topic)
    };
    let added = committed
        .iter()
        .find(|((topic, partition), _)| is_added(topic, *partition));
    added.map_or(Ok(()), |((topic, partition), (next, _))| {
        Err(format!(
            "{} goes on to {next} of {topic} [{partition}], which was added, with a new state",
            stage.name
        ))
    })
}

/// What a stage says it has not read, with the letters that say so.
fn gaps(world: &World, stage: &Stage) -> Records {
    let mut gaps = Records::new();
    letters(&world.cluster(), stage, |letter, place| {
        if letter.reason == GAP
            && let Some((topic, partition, offsets)) = offsets(letter.topic)
        {
            gaps.insert(place);
            gaps.extend(offsets.map(|offset| (topic.clone(), partition, offset)));
        }
    });
    gaps
}

/// What was deleted before a stage began.
fn before(world: &World, stage: &Stage) -> Records {
    let mut before = Records::new();
    let mut cluster = world.cluster();
    let begun = cluster.group(&stage.name).begun.clone();
    for topic in &stage.from {
        for (number, partition) in (0..).zip(&cluster.topics[topic].partitions) {
            // One that has begun nowhere has read nothing.
            let begun = begun
                .get(&(topic.clone(), number))
                .copied()
                .unwrap_or(i64::MAX);
            let number = i32::try_from(number).unwrap_or_default();
            before.extend(
                (0..begun.min(partition.start)).map(|offset| (topic.clone(), number, offset)),
            );
        }
    }
    before
}

/// Reads `in [0] offsets 100..150`.
fn offsets(place: &str) -> Option<(String, i32, std::ops::Range<i64>)> {
    let (topic, rest) = place.split_once(" [")?;
    let (partition, offsets) = rest.split_once("] offsets ")?;
    let (from, to) = offsets.split_once("..")?;
    Some((
        topic.to_owned(),
        partition.parse().ok()?,
        from.parse().ok()?..to.parse().ok()?,
    ))
}

/// Letters of records that a topic need not take, with those records.
pub(super) fn refused(world: &World, pipeline: &Pipeline) -> Records {
    let mut refused = Records::new();
    if world.margin() != Margin::Sizes && world.margin() != Margin::Refusals {
        return refused;
    }
    let cluster = world.cluster();
    for stage in &pipeline.stages {
        letters(&cluster, stage, |letter, place| {
            if let Some((partition, offset)) = letter.place
                && REFUSED.contains(&letter.reason)
                && let Some(topic) = cluster.topics.get(letter.topic)
                && is_odd(
                    &topic.partitions[usize::try_from(partition).unwrap_or_default()],
                    offset,
                )
            {
                refused.insert(place);
                refused.insert((letter.topic.to_owned(), partition, offset));
            }
        });
    }
    refused
}

/// The reasons of letters of records that a topic does not take.
const REFUSED: [&str; 3] = ["too-large", "timestamp-refused", "rejected"];

/// Whether a record is one that a topic need not take.
fn is_odd(partition: &Partition, offset: i64) -> bool {
    let record = partition
        .all()
        .iter()
        .find(|record| record.offset == offset);
    record.is_some_and(|record| {
        let Content {
            value, timestamp, ..
        } = &record.content;
        let value = value.as_deref().unwrap_or_default();
        let has_taboo = value
            .windows(plan::TABOO.len())
            .any(|part| part == plan::TABOO.as_bytes());
        value.len() > 900 || *timestamp > plan::AHEAD || has_taboo
    })
}

/// The dead letters of a stage, each with its own place.
fn letters(
    cluster: &Cluster,
    stage: &Stage,
    mut each: impl FnMut(&DeadLetter<'_>, (String, i32, i64)),
) {
    let name = stage.dead_letters();
    let topic = &cluster.topics[&name];
    for (number, partition) in (0..).zip(&topic.partitions) {
        for record in partition.committed() {
            if let LedgerRecord::DeadLetter(letter) = LedgerRecord::read(&record.content.headers) {
                each(&letter, (name.clone(), number, record.offset));
            }
        }
    }
}
