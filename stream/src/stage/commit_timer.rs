//! When to commit.

use std::time::{Duration, Instant};

use crate::pipeline::CommitPolicy;

/// Decides when uncommitted work is committed.
///
/// With nothing more to read it is committed at once, so that a slow stream has a low latency, but
/// not more often than the least interval, because every transaction costs the broker. Under a
/// steady flow it is committed at the longest interval or when there is enough of it.
#[derive(Debug)]
pub struct CommitTimer {
    policy: CommitPolicy,
    last_commit: Instant,
    uncommitted: u64,
}

impl CommitTimer {
    /// A clock that starts as if a commit had been made at `now`.
    #[must_use]
    pub fn new(policy: CommitPolicy, now: Instant) -> Self {
        CommitTimer {
            policy,
            last_commit: now,
            uncommitted: 0,
        }
    }

    /// One record was worked on.
    pub fn record_processed(&mut self) {
        self.uncommitted += 1;
    }

    /// Whether there is anything to commit.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.uncommitted > 0
    }

    /// Whether there is as much to commit as a commit may hold.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.uncommitted >= self.policy.records
    }

    /// Whether to commit although there may be more to read.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.is_full()
            || (self.is_dirty()
                && now.duration_since(self.last_commit) >= self.policy.longest_interval)
    }

    /// Whether to commit now that there is nothing more to read.
    #[must_use]
    pub fn is_due_when_drained(&self, now: Instant) -> bool {
        self.is_dirty() && self.wait(now).is_zero()
    }

    /// How long to wait for more before a commit: nothing to commit waits for ever.
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

    /// Everything was committed, or undone, at `now`.
    pub fn committed(&mut self, now: Instant) {
        self.last_commit = now;
        self.uncommitted = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn clock() -> (CommitTimer, Instant) {
        let start = Instant::now();
        let policy = CommitPolicy {
            least_interval: 20 * MS,
            longest_interval: 100 * MS,
            records: 3,
        };
        (CommitTimer::new(policy, start), start)
    }

    #[test]
    fn nothing_is_committed_when_nothing_was_done() {
        let (clock, start) = clock();
        assert!(!clock.is_due(start + 1000 * MS) && !clock.is_due_when_drained(start + 1000 * MS));
        assert_eq!(clock.wait(start), Duration::MAX);
    }

    #[test]
    fn a_drained_input_commits_but_not_before_the_least_interval() {
        let (mut clock, start) = clock();
        clock.record_processed();
        assert_eq!(clock.wait(start + 5 * MS), 15 * MS);
        assert!(!clock.is_due_when_drained(start + 19 * MS));
        assert!(clock.is_due_when_drained(start + 20 * MS));
        clock.committed(start + 20 * MS);
        assert!(!clock.is_dirty());
    }

    #[test]
    fn a_steady_flow_commits_at_the_longest_interval_or_the_size() {
        let (mut clock, start) = clock();
        clock.record_processed();
        assert!(!clock.is_due(start + 99 * MS));
        assert!(clock.is_due(start + 100 * MS));
        clock.record_processed();
        clock.record_processed();
        assert!(clock.is_due(start));
    }
}
