//! Positions: how far a sink has kept each partition.

use std::path::Path;

use serde::{Deserialize, Serialize};
use stream::error::{Error, Result};

/// How far a sink has kept each partition that it ever saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SinkOffsets(Vec<SinkOffset>);

/// How far a sink has kept one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SinkOffset {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// One more than the offset of the last record that is kept.
    pub(crate) next: i64,
    /// The latest of the kept records' timestamps, in milliseconds since the epoch.
    pub(crate) latest: i64,
}

impl SinkOffsets {
    /// The position of a partition; where there is none yet, `read` tells it, or it begins with the
    /// first record.
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
                let first = || SinkOffset {
                    topic: topic.to_owned(),
                    partition,
                    next: 0,
                    latest: i64::MIN,
                };
                self.0.push(read()?.unwrap_or_else(first));
                self.0.len() - 1
            }
        };
        Ok(&mut self.0[index])
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &SinkOffset> {
        self.0.iter()
    }
}

impl SinkOffset {
    /// Moves behind a record; whether that is new, or kept already.
    ///
    /// # Errors
    /// If the record cannot be the one that was kept under its offset: it is later than all of
    /// those. Without that look a topic that was deleted and made anew would be skipped in silence.
    pub(crate) fn pass(&mut self, offset: i64, timestamp: i64, path: &Path) -> Result<bool> {
        if offset >= self.next {
            self.next = offset.saturating_add(1);
            self.latest = self.latest.max(timestamp);
            return Ok(true);
        }
        if timestamp <= self.latest {
            return Ok(false);
        }
        let doing = format!(
            "keeping {}[{}] in {}",
            self.topic,
            self.partition,
            path.display()
        );
        let cause = format!(
            "it holds readings up to offset {}, and a reading that is later than all of them comes \
             with the offset {offset}: the topic was made anew",
            self.next - 1
        );
        Err(Error::new(doing, cause)
            .help("move the file away, with all whose names begin with its name"))
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn what_is_kept_is_known_and_a_topic_that_was_made_anew_is_told() {
        let mut positions = SinkOffsets::default();
        let mut pass = |partition, offset, timestamp| {
            let Ok(position) = positions.find("t", partition, || Ok::<_, Infallible>(None));
            position.pass(offset, timestamp, Path::new("a.csv"))
        };
        assert!(pass(0, 40, 1000).unwrap() && pass(0, 42, 900).unwrap() && pass(1, 0, -1).unwrap());
        assert!(
            !pass(0, 40, 1000).unwrap() && !pass(0, 41, 0).unwrap() && !pass(1, 0, -1).unwrap()
        );
        let error = pass(0, 0, 1001).unwrap_err().to_string();
        assert!(
            error.starts_with("keeping t[0] in a.csv: it holds readings up to offset 42"),
            "{error}"
        );
        assert!(
            error.contains("the topic was made anew\n  help: move the file away"),
            "{error}"
        );
        assert!(pass(0, 43, 5).unwrap());
    }
}
