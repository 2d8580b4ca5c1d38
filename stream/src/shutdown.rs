//! The one signal to stop, and how urgently.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::log::Fault;

const DRAIN: u8 = 1;
const STOP: u8 = 2;

/// How long a process that was asked to stop may wait for a broker before it leaves without it.
const GRACE: Duration = Duration::from_secs(4);

/// Tells stages to go on, to finish what there is, or to stop. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<AtomicU8>);

impl Shutdown {
    /// A signal that nobody has given yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks to stop once everything there is to read has been processed.
    pub fn drain(&self) {
        self.0.fetch_max(DRAIN, Ordering::Relaxed);
    }

    /// Asks to commit what has been processed and to stop.
    pub fn stop(&self) {
        self.0.fetch_max(STOP, Ordering::Relaxed);
    }

    /// Whether to stop once there is nothing left to read.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.load(Ordering::Relaxed) == DRAIN
    }

    /// Whether to stop now.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.0.load(Ordering::Relaxed) == STOP
    }

    /// Goes on unless it is time to stop: for whoever waits.
    ///
    /// # Errors
    /// [`Fault::Stopped`] once it was asked to stop.
    pub fn check(&self) -> Result<(), Fault> {
        if self.is_stopping() { Err(Fault::Stopped) } else { Ok(()) }
    }

    /// Stops at SIGTERM and at SIGINT (Ctrl-C). A second signal ends the process at once.
    ///
    /// A process that cannot finish within some seconds, because no broker answers, ends all the same:
    /// what is uncommitted is done again by the next one, as after a power cut.
    ///
    /// # Errors
    /// If the signals cannot be watched.
    pub fn at_signals(&self) -> Result<()> {
        let failed = |cause: std::io::Error| Error::new("watching for SIGTERM and SIGINT", cause);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (mut term, mut int) = {
            use tokio::signal::unix::{SignalKind, signal};
            let _inside = runtime.enter();
            (signal(SignalKind::terminate()).map_err(failed)?, signal(SignalKind::interrupt()).map_err(failed)?)
        };
        let shutdown = self.clone();
        let watch = move || {
            let mut signal = async || tokio::select! { _ = term.recv() => (), _ = int.recv() => () };
            runtime.block_on(signal());
            tracing::info!("asked to stop: committing what is done");
            shutdown.stop();
            let again = runtime.block_on(async { tokio::time::timeout(GRACE, signal()).await });
            if again.is_ok() {
                tracing::warn!("asked to stop a second time: leaving at once");
                std::process::exit(130);
            }
            tracing::warn!("no broker answers: leaving; what is uncommitted will be done again");
            std::process::exit(0);
        };
        std::thread::Builder::new().name("signals".into()).spawn(watch).map_err(failed)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
