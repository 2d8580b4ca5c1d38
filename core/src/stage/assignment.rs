//! Assigned partitions, with their committed offsets and watermarks.

use std::ops::Range;

use crate::error::{Error, Kind};
use crate::log::{Fault, Log, OffsetAndMetadata, TopicPartition, Watermarks};

/// An assigned partition, its committed offset and its watermarks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The partition.
    pub partition: TopicPartition,
    /// The committed offset. `None` if none was ever committed, or if Kafka has deleted it.
    pub committed: Option<OffsetAndMetadata>,
    /// The watermarks.
    pub watermarks: Watermarks,
}

impl Assignment {
    /// The next offset to read: the committed one, or the log start offset if that is higher.
    #[must_use]
    pub fn next(&self) -> i64 {
        let committed = self
            .committed
            .as_ref()
            .map_or(0, |committed| committed.offset);
        committed.max(self.watermarks.low)
    }

    /// The offsets that were deleted before they were read.
    #[must_use]
    pub fn gap(&self) -> Option<Range<i64>> {
        let committed = self.committed.as_ref()?.offset;
        (committed < self.watermarks.low).then_some(committed..self.watermarks.low)
    }

    /// Checks that the next offset is not beyond the partition's end. Such an offset belongs to an
    /// older topic of the same name, and the records of the new one would not be read up to there.
    ///
    /// # Errors
    /// A fatal fault.
    pub fn check_end(&self, stage: &str, topic: &str) -> Result<(), Fault> {
        let next = self.next();
        if next <= self.watermarks.high {
            return Ok(());
        }
        let doing = format!(
            "going on at offset {next} of {topic} [{}]",
            self.watermarks.partition
        );
        let cause = format!(
            "the partition ends at offset {}: the topic was deleted and created again, or has lost \
             its end",
            self.watermarks.high
        );
        Err(Fault::Fatal(Error::new(doing, cause).of_kind(Kind::Conflict).help(format!(
            "to read the new topic from its first record: rivulet state reset {stage} --from-start"
        ))))
    }
}

/// The error of a stage that stops at a gap.
#[must_use]
pub fn gap_error(stage: &str, topic: &str, partition: i32, gap: &Range<i64>) -> Error {
    let doing = format!("going on at offset {} of {topic} [{partition}]", gap.start);
    let cause = format!(
        "the records {}..{} were deleted before {stage} read them, by retention or DeleteRecords",
        gap.start, gap.end
    );
    Error::new(doing, cause)
        .of_kind(Kind::Missing)
        .help(format!(
            "to skip them, set on-gap = \"dead-letter\" in the table of {stage}, which records the \
         gap; to go on with an empty state: rivulet state reset {stage}"
        ))
}

/// Looks up the committed offsets and watermarks of `partitions`. `inputs` are the names of the
/// topics.
pub(super) fn look_up<L: Log>(
    log: &mut L,
    inputs: &[String],
    partitions: &[TopicPartition],
) -> Result<Vec<Assignment>, Fault> {
    // Offsets first: if retention deletes records in between, that is a gap.
    let committed = log.committed(partitions)?;
    let mut assignments = Vec::with_capacity(partitions.len());
    for (topic, name) in inputs.iter().enumerate() {
        let of_topic = partitions
            .iter()
            .filter(|partition| partition.topic == topic);
        let numbers: Vec<i32> = of_topic.map(|partition| partition.partition).collect();
        for watermarks in log.watermarks(name, &numbers)? {
            let partition = TopicPartition {
                topic,
                partition: watermarks.partition,
            };
            let committed = committed
                .iter()
                .find(|committed| committed.partition == partition);
            assignments.push(Assignment {
                partition,
                committed: committed.cloned(),
                watermarks,
            });
        }
    }
    Ok(assignments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment(committed: Option<i64>, low: i64, high: i64) -> Assignment {
        let partition = TopicPartition {
            topic: 0,
            partition: 3,
        };
        let committed = committed.map(|offset| OffsetAndMetadata {
            partition,
            offset,
            metadata: String::new(),
        });
        Assignment {
            partition,
            committed,
            watermarks: Watermarks {
                partition: 3,
                low,
                high,
                partition_count: 4,
            },
        }
    }

    #[test]
    fn the_next_offset_is_the_committed_or_the_first_one() {
        assert_eq!(assignment(Some(7), 0, 10).next(), 7);
        assert_eq!(assignment(None, 5, 10).next(), 5);
        assert_eq!(assignment(Some(2), 5, 10).next(), 5);
    }

    #[test]
    fn a_gap_begins_at_a_committed_offset() {
        assert_eq!(assignment(Some(2), 5, 10).gap(), Some(2..5));
        assert_eq!(assignment(Some(5), 5, 10).gap(), None);
        assert_eq!(assignment(None, 5, 10).gap(), None);
    }

    #[test]
    fn an_offset_beyond_the_end_belongs_to_another_topic() {
        assert!(assignment(Some(10), 0, 10).check_end("mean", "in").is_ok());
        let fault = assignment(Some(11), 0, 10)
            .check_end("mean", "in")
            .unwrap_err();
        let Fault::Fatal(error) = fault else {
            panic!("{fault:?}")
        };
        let error = error.to_string();
        assert!(
            error.contains("offset 11 of in [3]") && error.contains("created again"),
            "{error}"
        );
    }
}
