//! When a stage commits: [`CommitPolicy`].

use std::time::Duration;

/// When a stage commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitPolicy {
    /// With nothing left to read, a stage commits, but no sooner than this after its last commit.
    pub least_interval: Duration,
    /// With work uncommitted, a stage commits at the latest after this.
    pub longest_interval: Duration,
    /// With this many records read, a stage commits.
    pub records: u64,
}

impl Default for CommitPolicy {
    fn default() -> Self {
        CommitPolicy {
            least_interval: Duration::from_millis(20),
            longest_interval: Duration::from_millis(100),
            records: 10_000,
        }
    }
}
