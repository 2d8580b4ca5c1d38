//! How a process shows how it is: metrics and health over HTTP, and what systemd is told.
//!
//! A stage writes its [`Metrics`](rivulet_core::metrics::Metrics). A thread looks at them twice a
//! second, tells systemd, and remembers since when something is so. The server's threads answer
//! from both. The stage's own thread does nothing of this, so whatever it hangs in shows.

mod args;
mod exposition;
mod process;
mod readiness;
mod server;
mod stage;
mod systemd;
#[cfg(test)]
mod testing;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::error::{Error, Result};
use rivulet_core::listen_address::{ListenAddress, url};

pub use self::args::ObserveArgs;
pub use self::readiness::Readiness;
use self::server::Server;
pub use self::stage::ObservedStage;
use self::systemd::Systemd;
pub use self::systemd::stopping;

/// The time between two looks at the stages.
const LOOK: Duration = Duration::from_millis(500);

/// The stages of this process, and what is remembered of them.
#[derive(Debug)]
pub struct Observer {
    stages: Mutex<Vec<ObservedStage>>,
    stalled_after: Duration,
    memory_limit: u64,
}

impl Observer {
    /// Observes `stages`, as far as `args` or systemd ask for it. `memory_limit` is that of the
    /// process, in bytes. Returns where it serves metrics, if it does.
    ///
    /// # Errors
    /// If it cannot listen at the address.
    pub fn start(
        args: &ObserveArgs,
        stages: Vec<ObservedStage>,
        memory_limit: u64,
    ) -> Result<Option<SocketAddr>> {
        let systemd = Systemd::new();
        if args.metrics.is_none() && systemd.is_none() {
            return Ok(None);
        }
        let observer = Arc::new(Observer {
            stages: Mutex::new(stages),
            stalled_after: args.stalled_after(),
            memory_limit,
        });
        let listen = args.metrics;
        let address = listen
            .map(|listen| observer.serve(listen, args))
            .transpose()?;
        spawn("observer", move || observer.watch(systemd))?;
        Ok(address)
    }

    fn serve(self: &Arc<Self>, listen: ListenAddress, args: &ObserveArgs) -> Result<SocketAddr> {
        let (listener, address) = listen.bind("the metrics", "--metrics")?;
        tracing::info!("metrics at {}metrics", url(address));
        let server = Arc::new(Server::new(
            listener,
            args.metrics_from.clone(),
            self.clone(),
        ));
        // One that is slow to ask does not hold up the others.
        for number in 1..=server::THREADS {
            let server = server.clone();
            spawn(&format!("metrics-{number}"), move || server.run())?;
        }
        Ok(address)
    }

    /// Looks at the stages until the process ends.
    fn watch(&self, mut systemd: Option<Systemd>) {
        loop {
            for stage in &mut *self.stages() {
                stage.look(Instant::now());
            }
            if let Some(systemd) = &mut systemd {
                let news = systemd.news(&self.stages(), self.stalled_after);
                news.tell();
            }
            thread::sleep(LOOK);
        }
    }

    fn stages(&self) -> MutexGuard<'_, Vec<ObservedStage>> {
        // Nothing that holds the lock can panic half-way.
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let spawned = thread::Builder::new().name(name.into()).spawn(run);
    spawned
        .map(drop)
        .map_err(|error| Error::caused_by(format!("starting the thread {name}"), error))
}
