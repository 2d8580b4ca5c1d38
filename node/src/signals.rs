//! Stopping at signals.

use std::thread;
use std::time::Duration;

use rivulet_core::error::{Error, Result};
use rivulet_core::exit;
use rivulet_core::shutdown::{EndProcess, Shutdown};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

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
    let failed = |cause| Error::caused_by("watching for SIGTERM and SIGINT", cause);
    // The first program decides; there is one.
    shutdown.ends_by(end);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let (mut term, mut int) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::terminate()).map_err(failed)?,
            signal(SignalKind::interrupt()).map_err(failed)?,
        )
    };
    let shutdown = shutdown.clone();
    let watch = move || {
        let mut signal = async || tokio::select! { _ = term.recv() => (), _ = int.recv() => () };
        runtime.block_on(signal());
        tracing::info!("shutting down: committing");
        shutdown.stop();
        let again = runtime.block_on(async { tokio::time::timeout(GRACE, signal()).await });
        if again.is_ok() {
            tracing::warn!("second signal: exiting at once");
            shutdown.abandon(exit::INTERRUPTED);
        } else {
            tracing::warn!(
                "brokers unreachable: exiting without a commit; the next start processes the rest \
                 again"
            );
            shutdown.abandon(exit::UNDONE);
        }
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(watch)
        .map_err(failed)?;
    Ok(())
}
