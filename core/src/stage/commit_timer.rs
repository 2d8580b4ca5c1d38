//! When to commit.

use std::time::{Duration, Instant};

use super::CommitPolicy;

/// How many of the last commits the interval goes by.
const COMMITS: usize = 31;

/// Decides when to commit.
///
/// If nothing is left to read, it commits at once, for a low latency. But every transaction costs
/// the brokers, so on average no two are closer than [`CommitPolicy::interval`], which follows the
/// median duration of the last commits: one that was slow by chance changes nothing. A shorter
/// interval must leave a margin, or stages would change between two of them, and not in step. Under
/// a steady flow it commits at the longest interval, or when the number of records is reached.
///
/// A commit may come half an interval early if the last ones came late. Stages that follow one
/// another have the same interval. Without that allowance each would wait for its own time, with it
/// they commit when the records of the stage before arrive.
#[derive(Debug)]
pub struct CommitTimer {
    policy: CommitPolicy,
    /// When the next commit may begin, without the allowance.
    due: Instant,
    last_commit: Instant,
    /// The interval between two commits, as the last ones suggest.
    interval: Duration,
    /// How long the last commits took, in a ring.
    took: [Duration; COMMITS],
    commits: usize,
    uncommitted: u64,
}

impl CommitTimer {
    /// A timer that starts as if there was a commit at `now`.
    #[must_use]
    pub fn new(policy: CommitPolicy, now: Instant) -> Self {
        CommitTimer {
            policy,
            due: now + policy.least_interval,
            last_commit: now,
            interval: policy.least_interval,
            took: [Duration::ZERO; COMMITS],
            commits: 0,
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
            self.due
                .saturating_duration_since(now)
                .saturating_sub(self.interval / 2)
        } else {
            Duration::MAX
        }
    }

    /// Everything was committed, between `begun` and `now`.
    pub fn committed(&mut self, begun: Instant, now: Instant) {
        self.took[self.commits % COMMITS] = now.saturating_duration_since(begun);
        self.commits = self.commits.wrapping_add(1);
        let mut took = self.took;
        took.sort_unstable();
        let median = took[COMMITS / 2];
        let enough = self.policy.interval(median);
        let with_margin = self.policy.interval(median * 4 / 3);
        self.interval = self.interval.clamp(enough, with_margin);
        // A commit that was due for another reason does not put off the ones after it.
        self.due = self.due.clamp(begun, begun + self.interval / 2) + self.interval;
        self.ended(now);
    }

    /// Everything was aborted at `now`.
    pub fn aborted(&mut self, now: Instant) {
        self.due = now + self.interval;
        self.ended(now);
    }

    fn ended(&mut self, now: Instant) {
        self.last_commit = now;
        self.uncommitted = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const POLICY: CommitPolicy = CommitPolicy {
        least_interval: Duration::from_millis(20),
        longest_interval: Duration::from_millis(100),
        time_percent: 10,
        records: 3,
    };

    fn timer() -> (CommitTimer, Instant) {
        let start = Instant::now();
        (CommitTimer::new(POLICY, start), start)
    }

    #[test]
    fn nothing_is_committed_if_nothing_was_processed() {
        let (timer, start) = timer();
        assert!(!timer.is_due(start + 1000 * MS) && !timer.is_due_when_drained(start + 1000 * MS));
        assert_eq!(timer.wait(start), Duration::MAX);
    }

    #[test]
    fn a_lone_record_is_committed_at_once() {
        let (mut timer, start) = timer();
        timer.record_processed();
        assert!(timer.is_due_when_drained(start + 1000 * MS));
        timer.committed(start + 1000 * MS, start + 1001 * MS);
        assert!(!timer.is_dirty());
    }

    #[test]
    fn a_drained_input_commits_once_an_interval() {
        let (mut timer, start) = timer();
        let mut commits = Vec::new();
        for time in 0..400 {
            let now = start + time * MS;
            timer.record_processed();
            if timer.is_due_when_drained(now) {
                timer.committed(now, now);
                commits.push(time);
            }
        }
        // The first is early by the allowance.
        assert_eq!(commits[..4], [10, 30, 50, 70]);
        assert_eq!(commits.len(), 20);
    }

    #[test]
    fn records_that_come_a_little_early_do_not_wait() {
        let (mut timer, start) = timer();
        for (round, early) in (1..).zip([0, 7, 3, 9, 0, 5, 8]) {
            let now = start + (round * 20 - early) * MS;
            timer.record_processed();
            assert_eq!(timer.wait(now), Duration::ZERO, "round {round}");
            timer.committed(now, now + MS);
        }
    }

    #[test]
    fn slow_commits_become_rarer_but_not_after_a_single_one() {
        let (mut timer, start) = timer();
        let mut after = |took: [u32; COMMITS]| {
            for took in took {
                timer.committed(start, start + took * MS);
            }
            timer.interval
        };
        assert_eq!(after([1; COMMITS]), 20 * MS);
        assert_eq!(
            after(std::array::from_fn(|i| if i % 3 == 0 { 80 } else { 1 })),
            20 * MS
        );
        assert_eq!(after([3; COMMITS]), 40 * MS);
        // They would just fit into the shorter interval.
        assert_eq!(after([2; COMMITS]), 40 * MS);
        assert_eq!(after([1; COMMITS]), 20 * MS);
        assert_eq!(after([70; COMMITS]), 100 * MS);
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

    proptest! {
        /// However commits follow one another, what comes after them waits an interval at most.
        #[test]
        fn no_wait_is_longer_than_an_interval(
            commits in prop::collection::vec((0..50u32, 0..50u32), 0..50),
        ) {
            let (mut timer, mut now) = timer();
            for (pause, took) in commits {
                let begun = now + pause * MS;
                now = begun + took * MS;
                timer.committed(begun, now);
                timer.record_processed();
                prop_assert!(timer.wait(begun) <= timer.interval);
            }
        }
    }
}
