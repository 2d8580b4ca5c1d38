//! What a stage is told of a partition that it takes over.

use std::ops::Range;

use crate::error::Error;
use crate::log::{Fault, Log, OffsetAndMetadata, TopicPartition, Watermarks};

/// A partition that was assigned, the offset committed for it, and the offsets that there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The partition.
    pub partition: TopicPartition,
    /// What was committed for it; `None` if nothing ever was, or if Kafka has forgotten it.
    pub committed: Option<OffsetAndMetadata>,
    /// The offsets that there are.
    pub watermarks: Watermarks,
}

impl Assignment {
    /// The offset to go on at: the committed one, or the first that there is.
    #[must_use]
    pub fn next(&self) -> i64 {
        let committed = self
            .committed
            .as_ref()
            .map_or(0, |position| position.offset);
        committed.max(self.watermarks.low)
    }

    /// The offsets that were deleted before they were read.
    #[must_use]
    pub fn gap(&self) -> Option<Range<i64>> {
        let committed = self.committed.as_ref()?.offset;
        (committed < self.watermarks.low).then_some(committed..self.watermarks.low)
    }

    /// Refuses an offset behind the partition's end: it belongs to another topic of the same name.
    /// The records of the new one would never be read up to that offset.
    ///
    /// # Errors
    /// Always fatal, with the way on for this stage.
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
        Err(Fault::Fatal(Error::new(doing, cause).help(format!(
            "to read the new topic from its first record: rivulet state reset {stage} --from-start"
        ))))
    }
}

/// The end of a stage that does not go on behind records which were deleted before it read them.
#[must_use]
pub fn gap_error(stage: &str, topic: &str, partition: i32, gap: &Range<i64>) -> Error {
    let doing = format!("going on at offset {} of {topic} [{partition}]", gap.start);
    let cause = format!(
        "the records {}..{} were deleted before {stage} read them, by retention or DeleteRecords",
        gap.start, gap.end
    );
    Error::new(doing, cause).help(format!(
        "to go on behind them, say on-gap = \"dead-letter\" in the table of {stage}, which records \
         the gap; to go on with an empty state: rivulet state reset {stage}"
    ))
}

/// Asks the log about all of these partitions; `inputs` are the names of the topics.
///
/// # Errors
/// See [`Fault`].
pub(super) fn look_up<L: Log>(
    log: &mut L,
    inputs: &[String],
    partitions: &[TopicPartition],
) -> Result<Vec<Assignment>, Fault> {
    // Offsets first: what retention deletes meanwhile is then a gap, and never a step back.
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
                .find(|position| position.partition == partition);
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
    fn reading_goes_on_at_the_committed_offset_or_the_first_one() {
        assert_eq!(assignment(Some(7), 0, 10).next(), 7);
        assert_eq!(assignment(None, 5, 10).next(), 5);
        assert_eq!(assignment(Some(2), 5, 10).next(), 5);
    }

    #[test]
    fn only_offsets_that_were_to_be_read_are_a_gap() {
        assert_eq!(assignment(Some(2), 5, 10).gap(), Some(2..5));
        assert_eq!(assignment(Some(5), 5, 10).gap(), None);
        assert_eq!(assignment(None, 5, 10).gap(), None);
    }

    #[test]
    fn an_offset_behind_the_end_is_another_topics() {
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
