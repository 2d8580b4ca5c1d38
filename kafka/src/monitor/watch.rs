//! What a thread of its own watches, because the stage's thread may be inside librdkafka: a commit
//! that is slow or never ends, and clients that have forgotten all brokers.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rivulet_core::exit;
use rivulet_core::metrics::Metrics;
use rivulet_core::shutdown::Shutdown;

use super::{ClientMonitor, MonitorState, PROBE_INTERVAL, SLOW_COMMIT, STUCK_COMMIT};
use crate::waits::close;

/// How long a client waits for brokers before it counts as one that may have forgotten them. A
/// client that knows them reconnects within a second.
pub(super) const FORGOTTEN_AFTER: Duration = Duration::from_secs(3);
/// The longest pause between two reminders.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A consumer of a stage. Only the thread that watches shares it.
pub(crate) type StageConsumer = Arc<BaseConsumer<ClientMonitor>>;
/// A producer of a stage. Only the thread that watches shares it.
pub(crate) type StageProducer = Arc<BaseProducer<ClientMonitor>>;

/// A client that can be reminded of its brokers.
pub(crate) trait Forgetful: Send + Sync {
    fn client(&self) -> &Client<ClientMonitor>;
}

impl Forgetful for BaseConsumer<ClientMonitor> {
    fn client(&self) -> &Client<ClientMonitor> {
        Consumer::client(self)
    }
}

impl Forgetful for BaseProducer<ClientMonitor> {
    fn client(&self) -> &Client<ClientMonitor> {
        Producer::client(self)
    }
}

/// The time of the next reminder. If something else is amiss, reminders do not help, and become
/// rarer.
#[derive(Debug)]
pub(super) struct Reminding {
    due: Instant,
    pause: Duration,
}

impl Reminding {
    pub(super) fn new() -> Self {
        Reminding {
            due: Instant::now(),
            pause: FORGOTTEN_AFTER,
        }
    }
}

/// The stage waits for brokers while this lives.
pub(crate) struct Waiting<'m>(&'m ClientMonitor);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting_since = None;
    }
}

impl ClientMonitor {
    /// Watches while there is a client. Abandons the process if a commit is stuck: its thread is
    /// inside librdkafka, and nothing gets it out.
    pub(super) fn watch(
        lock: &Weak<Mutex<MonitorState>>,
        metrics: &Arc<Metrics>,
        answers: impl Fn(&ClientMonitor) -> bool,
        shutdown: &Shutdown,
    ) {
        let mut reminding = Reminding::new();
        while let Some(lock) = lock.upgrade() {
            let monitor = ClientMonitor {
                lock,
                metrics: metrics.clone(),
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
                return shutdown.abandon(exit::FAILED);
            }
            if monitor.is_committing() {
                // The stage's thread is in librdkafka, and this one does not let it wait in vain.
                shutdown.beat();
            }
            if monitor.must_be_reminded(&mut reminding, &answers) {
                monitor.remind_of_brokers();
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

    fn is_committing(&self) -> bool {
        self.lock().committing_since.is_some()
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

    /// The stage begins to wait for what brokers do: they acknowledge records, or send some.
    pub(crate) fn waiting(&self) -> Waiting<'_> {
        self.lock().waiting_since = Some(Instant::now());
        Waiting(self)
    }

    /// Lets a new client be reminded of its brokers.
    pub(crate) fn add_client<T: Forgetful + 'static>(&self, client: &Arc<T>) {
        let client: Weak<T> = Arc::downgrade(client);
        let mut lock = self.lock();
        lock.clients.retain(|known| known.strong_count() > 0);
        lock.clients.push(client);
    }

    /// Whether a client of this process waits for brokers, although they answer a new client.
    pub(super) fn must_be_reminded(
        &self,
        reminding: &mut Reminding,
        answers: impl Fn(&ClientMonitor) -> bool,
    ) -> bool {
        if !self.lock().is_waiting_for(FORGOTTEN_AFTER) {
            *reminding = Reminding::new();
            return false;
        }
        if Instant::now() < reminding.due {
            return false;
        }
        let answered = answers(self);
        reminding.pause = if answered {
            (2 * reminding.pause).min(LONGEST_PAUSE)
        } else {
            FORGOTTEN_AFTER
        };
        reminding.due = Instant::now() + reminding.pause;
        answered
    }

    /// Reminds all clients of their brokers. librdkafka forgets them when a broker answers that the
    /// cluster has none (its issue 5301).
    fn remind_of_brokers(&self) {
        let (clients, brokers): (Vec<_>, _) = {
            let lock = self.lock();
            let clients = lock.clients.iter().filter_map(Weak::upgrade);
            (clients.collect(), lock.brokers.clone())
        };
        tracing::debug!("brokers answer others, adding {brokers} to each client");
        for client in &clients {
            rivulet_native::add_brokers(client.client(), &brokers);
        }
        // Their owner may have dropped them meanwhile, and librdkafka can hang when they close.
        close(clients, Duration::ZERO);
    }
}
