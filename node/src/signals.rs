//! Stopping at signals.

use std::thread;
use std::time::Duration;

use rivulet_core::error::{Error, Result};
use rivulet_core::exit;
use rivulet_core::shutdown::{EndProcess, Shutdown};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;

use crate::observe;

/// How long a process that was asked to stop may wait for a broker.
const GRACE: Duration = Duration::from_millis(3500);

/// Stops at SIGTERM and at SIGINT (Ctrl-C). A second signal ends the process at once.
///
/// A process that cannot finish within some seconds, because no broker answers, is ended by `end`
/// with the code [`exit::UNDONE`]. The next start processes again what is not committed, as after a
/// power cut. The [exit hooks](Shutdown::on_exit) run first.
///
/// # Errors
/// If the signals cannot be watched.
pub fn watch(shutdown: &Shutdown, end: EndProcess) -> Result<()> {
    // The first program decides; there is one.
    shutdown.ends_by(end);
    let shutdown = shutdown.clone();
    on_thread(move |mut signals| {
        signals.wait();
        tracing::info!("shutting down: committing");
        observe::stopping();
        shutdown.stop();
        if signals.wait_for(GRACE) {
            tracing::warn!("second signal: exiting at once");
            shutdown.abandon(exit::INTERRUPTED);
        } else {
            tracing::warn!(
                "brokers unreachable: exiting without a commit; the next start processes the rest \
                 again"
            );
            shutdown.abandon(exit::UNDONE);
        }
    })
}

/// Ends the process at SIGTERM and at SIGINT (Ctrl-C), with success. For a command that only shows
/// something until somebody stops it: it leaves nothing undone, whatever it waits for.
///
/// # Errors
/// If the signals cannot be watched.
pub fn end_at_once(end: EndProcess) -> Result<()> {
    on_thread(move |mut signals| {
        signals.wait();
        end(0);
    })
}

/// Lets a thread wait for the signals. They are caught when this returns.
fn on_thread(wait: impl FnOnce(Signals) + Send + 'static) -> Result<()> {
    let failed = |cause| Error::caused_by("watching for SIGTERM and SIGINT", cause);
    let signals = Signals::new().map_err(failed)?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || wait(signals))
        .map_err(failed)?;
    Ok(())
}

/// SIGTERM and SIGINT.
struct Signals {
    runtime: Runtime,
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let inside = runtime.enter();
        let term = signal(SignalKind::terminate())?;
        let int = signal(SignalKind::interrupt())?;
        drop(inside);
        Ok(Signals { runtime, term, int })
    }

    /// Waits for the next one.
    fn wait(&mut self) {
        self.runtime.block_on(next(&mut self.term, &mut self.int));
    }

    /// Waits for the next one. `false` if none comes in this time.
    fn wait_for(&mut self, time: Duration) -> bool {
        let next = next(&mut self.term, &mut self.int);
        self.runtime
            .block_on(async { timeout(time, next).await.is_ok() })
    }
}

async fn next(term: &mut Signal, int: &mut Signal) {
    tokio::select! { _ = term.recv() => (), _ = int.recv() => () }
}
