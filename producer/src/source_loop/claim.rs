//! Who produces: the record of a source's changelog, and the claim in it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The key of the only record in a source's changelog.
pub(super) const POSITION: &[u8] = b"position";

/// The value of that record, in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PositionRecord {
    /// The number of commits. It shows whether a commit went through; the position does not,
    /// because not every reading changes it.
    pub commit: u64,
    /// The number of processes that have claimed the source, including this one. 0 in records of
    /// versions without claims.
    #[serde(default)]
    pub epoch: u64,
    /// A random number per process. Two processes may have the same epoch.
    #[serde(default)]
    pub run: u64,
    /// The instance, for people.
    #[serde(default)]
    pub instance: String,
    /// The source's [position](crate::source::Source::position).
    pub position: Value,
}

/// The fields of a [`PositionRecord`] that say which process wrote it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Claim {
    pub(super) commit: u64,
    pub(super) epoch: u64,
    pub(super) run: u64,
    pub(super) instance: String,
}

impl Claim {
    /// The claim with the highest rank wins. Among processes that start at the same time it is a
    /// random one.
    pub(super) fn rank(&self) -> (u64, u64) {
        (self.epoch, self.run)
    }
}

/// What is in the changelog.
#[derive(Default)]
pub(super) struct Found {
    /// The last position that another process has committed.
    pub(super) before: Option<Value>,
    /// The last commit of this process.
    pub(super) own: Option<u64>,
    /// The last commit of any process.
    pub(super) commit: u64,
    /// The claim with the highest rank.
    pub(super) highest: Option<Claim>,
}
