//! The one signal to stop, and how urgently.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::exit;
use crate::log::Fault;

const DRAIN: u8 = 1;
const STOP: u8 = 2;

/// How long the exit hooks may take.
const HOOKS: Duration = Duration::from_secs(1);

/// Ends the process with a code, as `std::process::exit`. Only a program hands it in: a library
/// never ends the process that it is a part of.
pub type EndProcess = fn(u8);

/// The signal to shut down, and how: at once, or after everything is read. Clones share one state.
#[derive(Clone, Default)]
pub struct Shutdown(Arc<Shared>);

#[derive(Default)]
struct Shared {
    how: AtomicU8,
    beats: AtomicU64,
    undone: AtomicBool,
    hooks: Mutex<Vec<ExitHook>>,
    end: OnceLock<EndProcess>,
}

type ExitHook = Box<dyn FnOnce() + Send>;

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

    /// Whether to stop now. Whoever runs a stage asks this again and again, however long it waits
    /// for something. So it counts as a [beat](Self::beat).
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.beat();
        self.0.how.load(Ordering::Relaxed) == STOP
    }

    /// A sign of life of the stage.
    pub fn beat(&self) {
        self.0.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// How many signs of life there were. A stage without any more of them hangs.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.0.beats.load(Ordering::Relaxed)
    }

    /// For whoever waits.
    ///
    /// # Errors
    /// [`Fault::Shutdown`] once the process was asked to stop.
    pub fn check(&self) -> Result<(), Fault> {
        if self.is_stopping() {
            Err(Fault::Shutdown)
        } else {
            Ok(())
        }
    }

    /// Adds what must be done if the process ends while its stages still wait for a broker, such as
    /// to sync a file. It may take a second.
    pub fn on_exit(&self, hook: impl FnOnce() + Send + 'static) {
        self.hooks().push(Box::new(hook));
    }

    /// Runs the exit hooks, once. Waits a second at most.
    pub fn run_exit_hooks(&self) {
        let hooks = std::mem::take(&mut *self.hooks());
        let (done, is_done) = mpsc::channel();
        let run = move || {
            for hook in hooks {
                hook();
            }
            let _ = done.send(());
        };
        // A disk that hangs must not hold the process.
        if thread::Builder::new()
            .name("exit-hooks".into())
            .spawn(run)
            .is_ok()
        {
            let _ = is_done.recv_timeout(HOOKS);
        }
    }

    fn hooks(&self) -> std::sync::MutexGuard<'_, Vec<ExitHook>> {
        self.0.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the exit hooks and ends the process, if a program has said [how](Self::ends_by).
    pub fn abandon(&self, code: u8) {
        self.run_exit_hooks();
        if let Some(end) = self.0.end.get() {
            end(code);
        }
    }

    /// Notes that a stage has stopped and has left something uncommitted.
    pub fn mark_undone(&self) {
        self.0.undone.store(true, Ordering::Relaxed);
    }

    /// # Errors
    /// If a stage has left something uncommitted, with the [exit code](exit::UNDONE) for it.
    pub fn check_done(&self) -> Result<()> {
        if !self.0.undone.load(Ordering::Relaxed) {
            return Ok(());
        }
        let cause = "a broker or a schema registry does not answer, so not everything is committed";
        Err(Error::new("shutting down", cause)
            .help("the next start processes it again")
            .exit_code(exit::UNDONE))
    }

    /// Says how the process ends when it is [abandoned](Self::abandon). The first call counts.
    pub fn ends_by(&self, end: EndProcess) {
        let _ = self.0.end.set(end);
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
    fn exit_hooks_run_once_and_do_not_hold_the_process() {
        let shutdown = Shutdown::new();
        let (tell, told) = mpsc::channel();
        shutdown.clone().on_exit(move || tell.send(1).unwrap());
        shutdown.on_exit(|| thread::sleep(Duration::from_secs(20)));
        let begun = Instant::now();
        shutdown.run_exit_hooks();
        assert!(begun.elapsed() < Duration::from_secs(10));
        shutdown.run_exit_hooks();
        assert_eq!(told.iter().collect::<Vec<i32>>(), [1]);
    }

    #[test]
    fn a_stop_that_leaves_something_undone_has_a_code_of_its_own() {
        let shutdown = Shutdown::new();
        assert_eq!(shutdown.check_done(), Ok(()));
        shutdown.clone().mark_undone();
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
