//! Whether a broker answers, and if not, why.

use std::time::{Duration, Instant};

use rivulet_core::metrics::TroubleKind;
use rivulet_core::reminder::lasting;

use super::message::describe_failure;
use super::{ClientMonitor, MonitorState, PROBE_INTERVAL, SLOW_COMMIT, UNREACHABLE_AFTER};
use crate::failure::refused;

impl MonitorState {
    /// Notes that the brokers count as unreachable. How long they have been, if it is time to log
    /// that.
    fn unreachable_due(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let since = *self.unreachable_since.get_or_insert(now);
        let lasted = self.unreachable_logged.due(&(), now)?;
        Some(if lasted.is_zero() {
            lasted
        } else {
            now - since
        })
    }

    /// Warns of one broker that lets nobody in while others answer.
    fn warn_of_refusing_broker(&mut self) {
        // If no broker has answered until now, the reason is past.
        if self.unreachable_since.is_some() {
            return;
        }
        if let Some(failure) = refused(&self.last_failure).filter(|failure| failure.is_certain) {
            // The rest differs from time to time.
            let reason = self.last_failure.split(" (after ").next();
            let error = format!("{}: {}", failure.what, reason.unwrap_or_default());
            self.warn(&error, Some(failure.help));
        }
    }
}

impl ClientMonitor {
    /// A request has failed. If requests keep failing, logs that the brokers are unreachable.
    pub(crate) fn broker_unreachable(&self, error: &str) {
        let since = *self.lock().failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= UNREACHABLE_AFTER {
            self.unreachable(error);
        }
    }

    /// Logs that the brokers are unreachable. `error` is the reason, unless a connection has failed
    /// for another.
    pub(super) fn unreachable(&self, error: &str) {
        let mut lock = self.lock();
        let Some(lasted) = lock.unreachable_due() else {
            return;
        };
        let reason = if lock.last_failure.is_empty() {
            error
        } else {
            &lock.last_failure
        };
        let (reason, trust) = (reason.to_owned(), lock.trust.clone());
        let (stage, brokers) = (lock.stage.clone(), lock.brokers.clone());
        // A broker may be asked for its certificate, which takes a while.
        drop(lock);
        let reason = trust.explain(&reason);
        let brokers = if brokers.is_empty() {
            "an empty list"
        } else {
            &brokers
        };
        let (what, help) = describe_failure(&reason, brokers);
        self.report(
            TroubleKind::Brokers,
            &format!("{what} at {brokers}: {reason}"),
        );
        tracing::warn!(
            stage,
            "{what} at {brokers}{}, waiting: {reason}\n  help: {help}",
            lasting(lasted)
        );
    }

    /// A broker has answered. Logs it if the brokers were unreachable before. During a slow commit
    /// other answers do not show that the stage can go on.
    pub(crate) fn broker_reachable(&self) {
        let mut lock = self.lock();
        (lock.needs_probe, lock.failing_since) = (false, None);
        if lock.is_committing_for(SLOW_COMMIT) {
            return;
        }
        lock.warn_of_refusing_broker();
        lock.unreachable_logged.clear();
        if let Some(since) = lock.unreachable_since.take() {
            self.solved(TroubleKind::Brokers);
            tracing::info!(
                stage = lock.stage,
                "brokers reachable again, after {:.1} s",
                since.elapsed().as_secs_f64()
            );
        }
        lock.last_failure.clear();
    }

    /// Whether the brokers count as unreachable.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.lock().unreachable_since.is_some()
    }

    /// Whether it is time to ask whether a broker answers.
    pub(crate) fn probe_due(&self) -> bool {
        let mut lock = self.lock();
        let is_unreached = lock
            .unreached
            .iter()
            .any(|(address, since)| since.elapsed() >= lock.grace(address));
        let due = (lock.needs_probe || lock.unreachable_since.is_some() || is_unreached)
            && lock
                .last_probe
                .is_none_or(|probe| probe.elapsed() >= PROBE_INTERVAL);
        if due {
            lock.last_probe = Some(Instant::now());
        }
        due
    }
}
