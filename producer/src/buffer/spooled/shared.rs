//! What the thread of the source and the source loop share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rivulet_core::error::Error;

use crate::spool::Spool;

/// The longest wait for the last sync.
const LONGEST_CLOSE: Duration = Duration::from_millis(900);

pub(super) struct Shared {
    pub(super) queue: Mutex<Queue>,
    pub(super) changed: Condvar,
    pub(super) stop: AtomicBool,
}

pub(super) struct Queue {
    pub(super) spool: Spool,
    pub(super) state: State,
}

pub(super) enum State {
    /// The thread is not started yet.
    Waiting,
    Running,
    Ended,
    Failed(Error),
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the thread sync the spool and end. Waits at most [`LONGEST_CLOSE`] for it.
    pub(super) fn close(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let is_running = |queue: &mut Queue| matches!(queue.state, State::Running);
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), LONGEST_CLOSE, is_running);
        let queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        if !queue.spool.is_dirty() {
            log_waiting(queue.spool.waiting(), &queue.spool);
        }
    }
}

pub(super) fn log_waiting(readings: u64, spool: &Spool) {
    tracing::info!(
        spool = %spool.folder().display(),
        readings,
        "readings wait in the spool for the next run"
    );
}
