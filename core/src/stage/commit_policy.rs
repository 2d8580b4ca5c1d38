//! When a stage commits: [`CommitPolicy`].

use std::time::Duration;

/// What is doubled if the least interval is none.
const SHORTEST_STEP: Duration = Duration::from_millis(1);

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
    ///
    /// It is the least interval, or that doubled as often as it takes. Stages that follow one
    /// another then have the same interval, although their commits do not take the same time, and
    /// commit in step.
    #[must_use]
    pub fn interval(&self, duration: Duration) -> Duration {
        let enough = duration.saturating_mul(100) / self.time_percent.max(1);
        let mut interval = self.least_interval;
        while interval < enough.min(self.longest_interval) {
            interval = interval.saturating_mul(2).max(SHORTEST_STEP);
        }
        interval.min(self.longest_interval.max(self.least_interval))
    }
}

impl Default for CommitPolicy {
    fn default() -> Self {
        CommitPolicy {
            least_interval: Duration::from_millis(50),
            longest_interval: Duration::from_millis(500),
            time_percent: 33,
            records: 20_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn interval(policy: CommitPolicy, took: u32) -> u128 {
        policy.interval(took * MS).as_millis()
    }

    #[test]
    fn slower_commits_double_the_interval_up_to_the_longest() {
        let of = |took| interval(CommitPolicy::default(), took);
        assert_eq!([0, 16, 17, 33, 34].map(of), [50, 50, 100, 100, 200]);
        assert_eq!([66, 67, 10_000].map(of), [200, 400, 500]);
    }

    #[test]
    fn without_a_least_interval_fast_commits_follow_at_once() {
        let policy = CommitPolicy {
            least_interval: Duration::ZERO,
            ..CommitPolicy::default()
        };
        assert_eq!([0, 1, 3].map(|took| interval(policy, took)), [0, 4, 16]);
    }

    #[test]
    fn limits_that_are_one_leave_no_choice() {
        let policy = CommitPolicy {
            least_interval: 70 * MS,
            longest_interval: 70 * MS,
            ..CommitPolicy::default()
        };
        assert_eq!([0, 5, 500].map(|took| interval(policy, took)), [70; 3]);
    }
}
