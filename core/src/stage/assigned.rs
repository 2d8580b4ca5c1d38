//! A partition that the loop reads, and what it says about one.

use super::assignment::Assignment;
use crate::error::Error;
use crate::log::{Fault, TopicPartition};

#[derive(Debug)]
pub(super) struct AssignedPartition {
    pub(super) partition: TopicPartition,
    /// The next offset to read; `None` before the committed one is known.
    pub(super) position: Option<i64>,
    pub(super) is_committed: bool,
}

impl From<&Assignment> for AssignedPartition {
    fn from(assignment: &Assignment) -> Self {
        AssignedPartition {
            partition: assignment.partition,
            position: Some(assignment.next()),
            is_committed: assignment.gap().is_none() && assignment.committed.is_some(),
        }
    }
}

/// Partitions for a log line: `warm [0, 2], cold [1]`.
pub(super) fn named(inputs: &[String], partitions: &[TopicPartition]) -> String {
    let mut named = Vec::new();
    for (topic, name) in inputs.iter().enumerate() {
        let of_topic = partitions
            .iter()
            .filter(|partition| partition.topic == topic);
        let mut numbers: Vec<i32> = of_topic.map(|partition| partition.partition).collect();
        numbers.sort_unstable();
        if !numbers.is_empty() {
            named.push(format!("{name} {numbers:?}"));
        }
    }
    if named.is_empty() {
        "none".to_owned()
    } else {
        named.join(", ")
    }
}

/// A record that neither Kafka nor librdkafka ever returns. No result of it could be right.
pub(super) fn out_of_order(topic: &str, partition: TopicPartition, offset: i64) -> Fault {
    let doing = format!("reading {topic} [{}]", partition.partition);
    let cause = format!("the record at offset {offset} is not in the assignment or out of order");
    Fault::Fatal(Error::new(doing, cause))
}
