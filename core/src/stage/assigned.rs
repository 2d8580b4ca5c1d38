//! A partition that the loop reads, and what it says about one.

use std::sync::Arc;

use super::assignment::Assignment;
use crate::error::Error;
use crate::log::{Fault, TopicPartition};
use crate::metrics::{Metrics, PartitionMetrics};

#[derive(Debug)]
pub(super) struct AssignedPartition {
    pub(super) partition: TopicPartition,
    /// The next offset to read; `None` before the committed one is known.
    pub(super) position: Option<i64>,
    pub(super) is_committed: bool,
    /// The records that were processed since the last commit.
    uncommitted: u64,
    metrics: Arc<PartitionMetrics>,
}

impl AssignedPartition {
    /// A partition whose committed offset is not known yet.
    pub(super) fn new(partition: TopicPartition, inputs: &[String], metrics: &Metrics) -> Self {
        let metrics = metrics.partition(&inputs[partition.topic], partition.partition);
        metrics.set_assigned(true);
        AssignedPartition {
            partition,
            position: None,
            is_committed: true,
            uncommitted: 0,
            metrics,
        }
    }

    /// Its committed offset is known.
    pub(super) fn looked_up(&mut self, assignment: &Assignment) {
        self.position = Some(assignment.next());
        self.is_committed = assignment.gap().is_none() && assignment.committed.is_some();
        self.metrics.set_position(assignment.next());
        self.metrics.set_end(assignment.watermarks.high);
    }

    /// The record at this offset was processed.
    pub(super) fn processed(&mut self, offset: i64) {
        self.position = Some(offset + 1);
        self.is_committed = false;
        self.uncommitted += 1;
    }

    /// What was processed is committed.
    pub(super) fn committed(&mut self) {
        self.is_committed = true;
        self.metrics
            .processed
            .add(std::mem::take(&mut self.uncommitted));
        if let Some(position) = self.position {
            self.metrics.set_position(position);
        }
    }

    /// What was processed since the last commit is not.
    pub(super) fn rolled_back(&mut self) {
        (self.position, self.is_committed, self.uncommitted) = (None, true, 0);
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
