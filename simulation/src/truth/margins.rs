//! The truth at the margins: every reading that does not arrive must be reported.

use std::collections::BTreeSet;

use rivulet_core::dead_letter::{DeadLetter, GAP, LedgerRecord};
use rivulet_core::guarantee::Guarantee;
use rivulet_core::operator::Operator;
use rivulet_pipeline::{Pipeline, Stage, StageKind};

use super::{Simulated, compare, was_recreated};
use crate::cluster::{Cluster, Partition};
use crate::faults::Margin;
use crate::plan;
use crate::world::World;

/// Records by topic, partition and offset.
type Records = BTreeSet<(String, i32, i64)>;

/// Compares the results of one stage with what follows from all records that its inputs ever had,
/// except those that it reported as unread. If it has stopped, its last results may be missing.
///
/// # Errors
/// What is wrong, in one line.
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
    let mut excluded = gaps(world, stage);
    let is_cut = !excluded.is_empty() || was_recreated(world, stage) || has_stopped;
    if pipeline.guarantee == Guarantee::AtLeastOnce && is_cut {
        // It may have processed some of the records that it reports as unread, and died before it
        // committed them.
        return Ok(0);
    }
    excluded.extend(rejected(world, whole));
    excluded.extend(before(world, stage));
    let is_spread = {
        let cluster = world.cluster();
        let mut topics = stage.from.iter().chain(&stage.to);
        topics.any(|topic| is_spread(&cluster, whole, topic))
    };
    if is_spread {
        // Keys have moved to other partitions, and nothing says in which order.
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
            excluded,
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

/// A stage with state must not have processed partitions that were added to an input, unless it has
/// reported them.
fn check_spread(world: &World, pipeline: &Pipeline, stage: &Stage) -> Result<(), String> {
    let StageKind::Operator { steps } = &stage.kind else {
        return Ok(());
    };
    if plan::chain(pipeline, stage, steps).states() == 0 {
        return Ok(());
    }
    let mut cluster = world.cluster();
    let mut grown = stage.from.clone();
    grown.retain(|topic| {
        let readers = &cluster.topics[topic].readers_when_grown;
        readers.contains(&stage.group())
    });
    for ((topic, partition), (next, _)) in &cluster.group(&stage.group()).committed {
        if grown.contains(topic) && *partition >= partitions(pipeline, topic) {
            return Err(format!(
                "{} committed offset {next} of the added partition {topic} [{partition}], with new \
                 state",
                stage.name
            ));
        }
    }
    Ok(())
}

/// The records that a stage reported as unread, and the dead letters that report them.
fn gaps(world: &World, stage: &Stage) -> Records {
    let mut gaps = Records::new();
    dead_letters(&world.cluster(), stage, |dead_letter, place| {
        if dead_letter.reason == GAP
            && let Some((topic, partition, offsets)) = offsets(dead_letter.topic)
        {
            gaps.insert(place);
            gaps.extend(offsets.map(|offset| (topic.clone(), partition, offset)));
        }
    });
    gaps
}

/// The records that were deleted before a stage began.
fn before(world: &World, stage: &Stage) -> Records {
    let mut before = Records::new();
    let mut cluster = world.cluster();
    let start_offsets = cluster.group(&stage.group()).start_offsets.clone();
    for topic in &stage.from {
        for (number, partition) in (0..).zip(&cluster.topics[topic].partitions) {
            // A partition without a start offset was never read.
            let start_offsets = start_offsets
                .get(&(topic.clone(), number))
                .copied()
                .unwrap_or(i64::MAX);
            let number = i32::try_from(number).unwrap_or_default();
            before.extend(
                (0..start_offsets.min(partition.start))
                    .map(|offset| (topic.clone(), number, offset)),
            );
        }
    }
    before
}

/// Parses `in [0] offsets 100..150`.
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

/// Dead letters of records that a topic may reject, and those records.
pub(super) fn rejected(world: &World, pipeline: &Pipeline) -> Records {
    let mut rejected = Records::new();
    if world.margin() != Margin::Sizes && world.margin() != Margin::Rejections {
        return rejected;
    }
    let cluster = world.cluster();
    for stage in &pipeline.stages {
        dead_letters(&cluster, stage, |dead_letter, place| {
            if let Some((partition, offset)) = dead_letter.place
                && REJECTED.contains(&dead_letter.reason)
                && let Some(topic) = cluster.topics.get(dead_letter.topic)
                && is_odd(
                    &topic.partitions[usize::try_from(partition).unwrap_or_default()],
                    offset,
                )
            {
                rejected.insert(place);
                rejected.insert((dead_letter.topic.to_owned(), partition, offset));
            }
        });
    }
    rejected
}

/// The reasons of dead letters that a topic rejected.
const REJECTED: [&str; 3] = ["too-large", "timestamp-refused", "rejected"];

/// Whether a topic may reject this record.
fn is_odd(partition: &Partition, offset: i64) -> bool {
    let record = partition
        .all()
        .iter()
        .find(|record| record.offset == offset);
    record.is_some_and(|record| {
        let content = &record.content;
        content
            .value
            .as_ref()
            .is_some_and(|value| value.len() > 900)
            || content.timestamp > plan::TIMESTAMP_AFTER_MAX_MS
            || content.has_text(plan::FORBIDDEN_TEXT)
    })
}

/// Calls `each` for each dead letter of a stage, with its own offset.
fn dead_letters(
    cluster: &Cluster,
    stage: &Stage,
    mut each: impl FnMut(&DeadLetter<'_>, (String, i32, i64)),
) {
    let name = stage.dead_letters();
    let topic = &cluster.topics[&name];
    for (number, partition) in (0..).zip(&topic.partitions) {
        for record in partition.committed() {
            if let LedgerRecord::DeadLetter(dead_letter) =
                LedgerRecord::read(&record.content.headers)
            {
                each(&dead_letter, (name.clone(), number, record.offset));
            }
        }
    }
}
