//! The offsets up to which a sink has stored each partition.

use std::path::Path;

use rivulet_core::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// The offsets of all partitions that a sink has ever read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SinkOffsets(Vec<SinkOffset>);

/// The offset of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SinkOffset {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// One more than the offset of the last record that is stored.
    pub(crate) next: i64,
    /// The latest timestamp of the stored records in milliseconds since the epoch.
    pub(crate) latest: i64,
}

impl SinkOffsets {
    /// The offset of a partition. Calls `read` if it is not known yet, and starts at 0 if that
    /// returns `None`.
    pub(crate) fn find<E>(
        &mut self,
        topic: &str,
        partition: i32,
        read: impl FnOnce() -> Result<Option<SinkOffset>, E>,
    ) -> Result<&mut SinkOffset, E> {
        // Records come in runs of one partition, and there are few: a search beats a map.
        let found = self
            .0
            .iter()
            .position(|known| known.partition == partition && known.topic == topic);
        let index = match found {
            Some(index) => index,
            None => {
                let stored = read()?.unwrap_or_else(|| SinkOffset {
                    topic: topic.to_owned(),
                    partition,
                    next: 0,
                    latest: i64::MIN,
                });
                self.0.push(stored);
                self.0.len() - 1
            }
        };
        Ok(&mut self.0[index])
    }

    /// All offsets.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &SinkOffset> {
        self.0.iter()
    }
}

impl SinkOffset {
    /// Moves past a record. Returns `false` if the record is stored already.
    ///
    /// # Errors
    /// If the record has a stored offset, but is later than all stored records: the topic was
    /// deleted and created again. Without this check its records would be skipped silently.
    pub(crate) fn advance(&mut self, offset: i64, timestamp: i64, path: &Path) -> Result<bool> {
        if offset >= self.next {
            self.next = offset.saturating_add(1);
            self.latest = self.latest.max(timestamp);
            return Ok(true);
        }
        if timestamp <= self.latest {
            return Ok(false);
        }
        let doing = format!(
            "storing {} [{}] in {}",
            self.topic,
            self.partition,
            path.display()
        );
        let cause = format!(
            "it has readings up to offset {}, and the record at offset {offset} is later than all \
             of them: the topic was deleted and created again",
            self.next - 1
        );
        Err(Error::new(doing, cause)
            .help("move the file away, with all files whose names begin with its name"))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn stored_records_are_skipped_and_a_new_topic_is_an_error() {
        let mut offsets = SinkOffsets::default();
        for (partition, offset, timestamp) in [(0, 40, 1000), (0, 42, 900), (1, 0, -1)] {
            assert!(advance(&mut offsets, partition, offset, timestamp).unwrap());
        }
        for (partition, offset, timestamp) in [(0, 40, 1000), (0, 41, 0), (1, 0, -1)] {
            assert!(!advance(&mut offsets, partition, offset, timestamp).unwrap());
        }
        let error = advance(&mut offsets, 0, 0, 1001).unwrap_err().to_string();
        assert!(
            error.starts_with("storing t [0] in a.csv: it has readings up to offset 42"),
            "{error}"
        );
        assert!(
            error.contains("the topic was deleted and created again\n  help: move the file away"),
            "{error}"
        );
        assert!(advance(&mut offsets, 0, 43, 5).unwrap());
    }

    fn advance(
        offsets: &mut SinkOffsets,
        partition: i32,
        offset: i64,
        timestamp: i64,
    ) -> Result<bool> {
        let Ok(stored) = offsets.find("t", partition, || Ok::<_, Infallible>(None));
        stored.advance(offset, timestamp, Path::new("a.csv"))
    }
}
