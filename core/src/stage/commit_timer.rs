//! When to commit.

use std::time::{Duration, Instant};

use super::CommitPolicy;

/// Decides when to commit.
///
/// If nothing is left to read, it commits at once, for a low latency. It waits for the least
/// interval since the last commit, because every transaction costs the broker. Under a steady flow
/// it commits at the longest interval, or when the number of records is reached.
#[derive(Debug)]
pub struct CommitTimer {
    policy: CommitPolicy,
    last_commit: Instant,
    uncommitted: u64,
}

impl CommitTimer {
    /// A timer that starts as if there was a commit at `now`.
    #[must_use]
    pub fn new(policy: CommitPolicy, now: Instant) -> Self {
        CommitTimer {
            policy,
            last_commit: now,
            uncommitted: 0,
        }
    }

    /// One record was processed.
    pub fn record_processed(&mut self) {
        self.uncommitted += 1;
    }

    /// How many records are processed and not committed.
    #[must_use]
    pub fn uncommitted(&self) -> u64 {
        self.uncommitted
    }

    /// Whether there is anything to commit.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.uncommitted > 0
    }

    /// Whether there are as many records as a commit may contain.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.uncommitted >= self.policy.records
    }

    /// Whether to commit although more records may be left to read.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.is_full()
            || (self.is_dirty()
                && now.duration_since(self.last_commit) >= self.policy.longest_interval)
    }

    /// Whether to commit now that nothing is left to read.
    #[must_use]
    pub fn is_due_when_drained(&self, now: Instant) -> bool {
        self.is_dirty() && self.wait(now).is_zero()
    }

    /// How long to wait for more records before a commit: for ever if there is nothing to commit.
    #[must_use]
    pub fn wait(&self, now: Instant) -> Duration {
        if self.is_dirty() {
            self.policy
                .least_interval
                .saturating_sub(now.duration_since(self.last_commit))
        } else {
            Duration::MAX
        }
    }

    /// Everything was committed or aborted at `now`.
    pub fn committed(&mut self, now: Instant) {
        self.last_commit = now;
        self.uncommitted = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn timer() -> (CommitTimer, Instant) {
        let start = Instant::now();
        let policy = CommitPolicy {
            least_interval: 20 * MS,
            longest_interval: 100 * MS,
            records: 3,
        };
        (CommitTimer::new(policy, start), start)
    }

    #[test]
    fn nothing_is_committed_if_nothing_was_processed() {
        let (timer, start) = timer();
        assert!(!timer.is_due(start + 1000 * MS) && !timer.is_due_when_drained(start + 1000 * MS));
        assert_eq!(timer.wait(start), Duration::MAX);
    }

    #[test]
    fn a_drained_input_commits_but_not_before_the_least_interval() {
        let (mut timer, start) = timer();
        timer.record_processed();
        assert_eq!(timer.wait(start + 5 * MS), 15 * MS);
        assert!(!timer.is_due_when_drained(start + 19 * MS));
        assert!(timer.is_due_when_drained(start + 20 * MS));
        timer.committed(start + 20 * MS);
        assert!(!timer.is_dirty());
    }

    #[test]
    fn a_steady_flow_commits_at_the_longest_interval_or_the_size() {
        let (mut timer, start) = timer();
        timer.record_processed();
        assert!(!timer.is_due(start + 99 * MS));
        assert!(timer.is_due(start + 100 * MS));
        timer.record_processed();
        timer.record_processed();
        assert!(timer.is_due(start));
    }
}
