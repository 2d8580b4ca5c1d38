//! The selection of dead letters.

use rivulet_core::dead_letter::Offsets;

use super::topic::Id;
use crate::times::TimeBound;

/// A selection of dead letters: those that match all its conditions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// The reason.
    pub reason: Option<String>,
    /// The record entered the pipeline at this time or later.
    pub since: Option<TimeBound>,
    /// The record entered the pipeline before this time.
    pub until: Option<TimeBound>,
    /// The offset in the dead-letter topic, in any of its partitions.
    pub offsets: Option<Offsets>,
}

impl Selection {
    pub(super) fn matches(&self, id: Id, reason: &str, timestamp: i64) -> bool {
        self.reason.as_deref().is_none_or(|wanted| wanted == reason)
            && self.since.is_none_or(|since| timestamp >= since.0)
            && self.until.is_none_or(|until| timestamp < until.0)
            && self
                .offsets
                .as_ref()
                .is_none_or(|offsets| offsets.contains(id.offset))
    }
}
