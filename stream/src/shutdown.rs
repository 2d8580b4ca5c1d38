//! The one signal to stop, and how urgently.

use std::fmt;
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::exit;
use crate::log::Fault;

const DRAIN: u8 = 1;
const STOP: u8 = 2;

/// How long a process that was asked to stop may wait for a broker before it leaves without it.
const GRACE: Duration = Duration::from_millis(3500);
/// How long what is to be done before that may take.
const LAST_ACTS: Duration = Duration::from_secs(1);

/// Tells stages to go on, to finish what there is, or to stop. Clones share one state.
#[derive(Clone, Default)]
pub struct Shutdown(Arc<Shared>);

#[derive(Default)]
struct Shared {
    how: AtomicU8,
    undone: AtomicBool,
    last_acts: Mutex<Vec<LastAct>>,
}

type LastAct = Box<dyn FnOnce() + Send>;

impl Shutdown {
    /// A signal that nobody has given yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks to stop once everything there is to read has been processed.
    pub fn drain(&self) {
        self.0.how.fetch_max(DRAIN, Ordering::Relaxed);
    }

    /// Asks to commit what has been processed and to stop.
    pub fn stop(&self) {
        self.0.how.fetch_max(STOP, Ordering::Relaxed);
    }

    /// Whether to stop once there is nothing left to read.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.how.load(Ordering::Relaxed) == DRAIN
    }

    /// Whether to stop now.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.how.load(Ordering::Relaxed) == STOP
    }

    /// Goes on unless it is time to stop: for whoever waits.
    ///
    /// # Errors
    /// [`Fault::Shutdown`] once it was asked to stop.
    pub fn check(&self) -> Result<(), Fault> {
        if self.is_stopping() {
            Err(Fault::Shutdown)
        } else {
            Ok(())
        }
    }

    /// What is to be done if the process leaves while its stages still wait for a broker, such as
    /// to sync what is in memory. It may take a second.
    pub fn before_leaving(&self, act: impl FnOnce() + Send + 'static) {
        self.last_acts().push(Box::new(act));
    }

    /// Does what is to be done before leaving, once; waits a second for it at most.
    pub fn leave(&self) {
        let acts = std::mem::take(&mut *self.last_acts());
        let (done, is_done) = mpsc::channel();
        let run = move || {
            for act in acts {
                act();
            }
            let _ = done.send(());
        };
        // A disk that hangs must not hold the process.
        if thread::Builder::new()
            .name("leaving".into())
            .spawn(run)
            .is_ok()
        {
            let _ = is_done.recv_timeout(LAST_ACTS);
        }
    }

    fn last_acts(&self) -> std::sync::MutexGuard<'_, Vec<LastAct>> {
        self.0
            .last_acts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a stage stopped with something undone, because no broker answers.
    pub fn leave_undone(&self) {
        self.0.undone.store(true, Ordering::Relaxed);
    }

    /// Tells a stop that left something undone from one in order.
    ///
    /// # Errors
    /// If something was left, with the [code](exit::UNDONE) for it.
    pub fn check_done(&self) -> Result<()> {
        if !self.0.undone.load(Ordering::Relaxed) {
            return Ok(());
        }
        let error = Error::new(
            "stopping",
            "no broker answers, so something is left that is not committed",
        );
        Err(error
            .help("the next start does it again")
            .exit_code(exit::UNDONE))
    }

    /// Stops at SIGTERM and at SIGINT (Ctrl-C). A second signal ends the process at once.
    ///
    /// A process that cannot finish within some seconds, because no broker answers, ends all the
    /// same, with the code [`exit::UNDONE`]: what is uncommitted is done again by the next one, as
    /// after a power cut. What is to be done [before](Self::before_leaving) is done first.
    ///
    /// # Errors
    /// If the signals cannot be watched.
    pub fn at_signals(&self) -> Result<()> {
        let failed = |cause: std::io::Error| Error::new("watching for SIGTERM and SIGINT", cause);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let (mut term, mut int) = {
            use tokio::signal::unix::{SignalKind, signal};
            let _inside = runtime.enter();
            (
                signal(SignalKind::terminate()).map_err(failed)?,
                signal(SignalKind::interrupt()).map_err(failed)?,
            )
        };
        let shutdown = self.clone();
        let watch = move || {
            let mut signal =
                async || tokio::select! { _ = term.recv() => (), _ = int.recv() => () };
            runtime.block_on(signal());
            tracing::info!("asked to stop: committing what is done");
            shutdown.stop();
            let again = runtime.block_on(async { tokio::time::timeout(GRACE, signal()).await });
            if again.is_ok() {
                tracing::warn!("asked to stop a second time: leaving at once");
                shutdown.leave();
                process::exit(130);
            }
            tracing::warn!("no broker answers: leaving; what is uncommitted will be done again");
            shutdown.leave();
            process::exit(exit::UNDONE.into());
        };
        thread::Builder::new()
            .name("signals".into())
            .spawn(watch)
            .map_err(failed)?;
        Ok(())
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown")
            .field("how", &self.0.how)
            .field("undone", &self.0.undone)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_is_to_be_done_before_leaving_is_done_once_and_does_not_hold_the_process() {
        let shutdown = Shutdown::new();
        let (tell, told) = mpsc::channel();
        shutdown
            .clone()
            .before_leaving(move || tell.send(1).unwrap());
        shutdown.before_leaving(|| thread::sleep(Duration::from_secs(20)));
        let begun = Instant::now();
        shutdown.leave();
        assert!(begun.elapsed() < Duration::from_secs(10));
        shutdown.leave();
        assert_eq!(told.iter().collect::<Vec<i32>>(), [1]);
    }

    #[test]
    fn a_stop_that_leaves_something_undone_has_a_code_of_its_own() {
        let shutdown = Shutdown::new();
        assert_eq!(shutdown.check_done(), Ok(()));
        shutdown.clone().leave_undone();
        assert_eq!(shutdown.check_done().unwrap_err().code(), 75);
    }

    #[test]
    fn a_stop_is_never_softened_to_a_drain() {
        let shutdown = Shutdown::new();
        shutdown.drain();
        assert!(shutdown.is_draining() && !shutdown.is_stopping());
        shutdown.clone().stop();
        shutdown.drain();
        assert!(shutdown.is_stopping() && !shutdown.is_draining());
    }
}
