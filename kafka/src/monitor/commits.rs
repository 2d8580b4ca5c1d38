//! The commit in progress: it may be slow, or never end.

use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use super::{ClientMonitor, MonitorState, PROBE_INTERVAL, SLOW_COMMIT, STUCK_COMMIT};

impl ClientMonitor {
    /// Warns of a commit that takes too long, while there is a client that may commit. Calls
    /// `on_stuck` if the commit is stuck: its thread is inside librdkafka, and nothing gets it out.
    pub(super) fn watch_commits(
        lock: &Weak<Mutex<MonitorState>>,
        answers: impl Fn(&ClientMonitor) -> bool,
        on_stuck: impl FnOnce(),
    ) {
        while let Some(lock) = lock.upgrade() {
            let monitor = ClientMonitor {
                lock,
                has_rebalance: Arc::default(),
                consumer: u32::MAX,
                producer: Arc::default(),
            };
            monitor.warn_of_slow_commit();
            if monitor.is_commit_stuck(&answers) {
                tracing::error!(
                    "commit timed out after {} s although the brokers are reachable, exiting; the \
                     next start resumes at the last commit\n  help: start this stage again, unless \
                     systemd does",
                    STUCK_COMMIT.as_secs()
                );
                return on_stuck();
            }
            drop(monitor);
            std::thread::sleep(PROBE_INTERVAL / 2);
        }
    }

    /// A commit begins or has ended. While a broker is unreachable, librdkafka can block in a
    /// commit whatever the timeout, and makes no callbacks meanwhile.
    pub(crate) fn committing(&self, is_committing: bool) {
        self.lock().committing_since = is_committing.then(Instant::now);
    }

    fn warn_of_slow_commit(&self) {
        if self.lock().is_committing_for(SLOW_COMMIT) {
            self.unreachable("a commit is not answered");
        }
    }

    /// Whether librdkafka has lost track of the commit in progress, as in its issue 5511.
    pub(crate) fn is_commit_stuck(&self, answers: impl Fn(&ClientMonitor) -> bool) -> bool {
        let is_long = || self.lock().is_committing_for(STUCK_COMMIT);
        // It may have ended while the broker was asked.
        is_long() && answers(self) && is_long()
    }
}
