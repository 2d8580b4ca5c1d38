//! Checkpoints: the offsets that a stage last committed, kept where they do not expire.
//!
//! Kafka deletes the committed offsets of a group that has had no member for
//! `offsets.retention.minutes`, and those of a deleted topic. To the stage it then looks as if it
//! had never run, and it would read everything again. So a stage also writes its offsets to its
//! changelog, in the transaction that commits them: with its first records of a partition, every
//! ten minutes, and when it stops.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::log::{Fault, Log, ProducerRecord, TopicPartition};
use crate::stage::Assignment;

/// The key of a checkpoint in a changelog. No sensor has this name, because it is not UTF-8.
pub const KEY: &[u8] = b"\xffcheckpoint";

/// How often a running stage writes a checkpoint.
const INTERVAL: Duration = Duration::from_mins(10);

/// The value of the record, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Checkpoint {
    /// For each input topic the next offset of the partition with the changelog partition's number.
    pub offsets: BTreeMap<String, i64>,
}

impl Checkpoint {
    /// Reads a record of a changelog. `None` if it is not a checkpoint. An invalid one counts as
    /// empty.
    #[must_use]
    pub fn read(key: &[u8], value: Option<&[u8]>) -> Option<Self> {
        let parse = |value: &[u8]| serde_json::from_slice(value).ok();
        (key == KEY).then(|| value.and_then(parse).unwrap_or_default())
    }
}

/// The checkpoints of the partitions that are assigned to a stage.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    /// The next offset of each.
    next: BTreeMap<TopicPartition, i64>,
    /// The partitions without a committed offset. No checkpoint is written before one is
    /// committed: a checkpoint alone means that Kafka has deleted the committed offset.
    uncommitted: BTreeSet<TopicPartition>,
    /// When the checkpoint of a changelog partition was last sent.
    sent: BTreeMap<i32, Instant>,
}

impl Checkpoints {
    pub(crate) fn restored(assignments: &[Assignment]) -> Self {
        let uncommitted = assignments
            .iter()
            .filter(|assignment| assignment.committed.is_none());
        Checkpoints {
            next: assignments
                .iter()
                .map(|assignment| (assignment.partition, assignment.next()))
                .collect(),
            uncommitted: uncommitted.map(|assignment| assignment.partition).collect(),
            sent: BTreeMap::new(),
        }
    }

    /// Sends the checkpoints that are due, as part of a commit of the offsets `next`.
    pub(crate) fn send<L: Log>(
        &mut self,
        log: &L,
        changelog: &str,
        inputs: &[String],
        next: &[(TopicPartition, i64)],
        is_last: bool,
    ) -> Result<(), Fault> {
        self.next.extend(next.iter().copied());
        let now = log.now();
        let numbers: BTreeSet<i32> = next
            .iter()
            .map(|(partition, _)| partition.partition)
            .collect();
        for number in numbers {
            let is_old = |sent: &Instant| is_last || now.duration_since(*sent) >= INTERVAL;
            let is_new = self
                .uncommitted
                .iter()
                .any(|partition| partition.partition == number);
            if is_new || !self.sent.get(&number).is_none_or(is_old) {
                continue;
            }
            let of_number = self
                .next
                .iter()
                .filter(|(partition, _)| partition.partition == number);
            let offsets = of_number
                .map(|(partition, next)| (inputs[partition.topic].clone(), *next))
                .collect();
            let value = serde_json::json!(Checkpoint { offsets }).to_string();
            log.send(&ProducerRecord {
                topic: changelog,
                partition: Some(number),
                timestamp: None,
                key: Some(KEY),
                value: Some(value.as_bytes()),
                headers: &[],
            })?;
            self.sent.insert(number, now);
        }
        Ok(())
    }

    pub(crate) fn committed(&mut self) {
        self.uncommitted.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_differs_from_the_state_of_a_sensor() {
        let value = br#"{"offsets":{"in":25}}"#;
        let offsets = BTreeMap::from([("in".to_owned(), 25)]);
        assert_eq!(
            Checkpoint::read(KEY, Some(value)),
            Some(Checkpoint { offsets })
        );
        assert_eq!(Checkpoint::read(KEY, None), Some(Checkpoint::default()));
        assert_eq!(Checkpoint::read(b"checkpoint", Some(value)), None);
    }
}
