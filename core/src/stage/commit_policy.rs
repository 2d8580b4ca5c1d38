//! When a stage commits: [`CommitPolicy`].

use std::time::Duration;

/// When a stage commits.
///
/// With nothing left to read it commits at once, if its last commit is long enough ago. How long
/// that is follows the brokers: see [`interval`](Self::interval).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitPolicy {
    /// The shortest interval between two commits, on average.
    pub least_interval: Duration,
    /// With work uncommitted, a stage commits at the latest after this.
    pub longest_interval: Duration,
    /// The largest share of its time that a stage may spend on commits, in percent.
    pub time_percent: u32,
    /// With this many records read, a stage commits.
    pub records: u64,
}

impl CommitPolicy {
    /// The interval between two commits that take `duration`: so long that they take no more than
    /// [`time_percent`](Self::time_percent) of it, within the two limits.
    #[must_use]
    pub fn interval(&self, duration: Duration) -> Duration {
        let enough = duration.saturating_mul(100) / self.time_percent.max(1);
        enough.min(self.longest_interval).max(self.least_interval)
    }
}

impl Default for CommitPolicy {
    fn default() -> Self {
        CommitPolicy {
            least_interval: Duration::from_millis(50),
            longest_interval: Duration::from_millis(500),
            time_percent: 10,
            records: 20_000,
        }
    }
}
