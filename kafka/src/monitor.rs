//! What librdkafka reports through callbacks: rebalances, failed deliveries, broker connections.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

pub(crate) use self::delivery::FailedDelivery;
use self::membership::Membership;
pub(crate) use self::message::reason_of;
pub(crate) use self::watch::{Forgetful, StageConsumer, StageProducer};
use crate::trust::Trust;
use rivulet_core::metrics::{Metrics, TroubleKind};
use rivulet_core::reminder::{Reminder, lasting};
use rivulet_core::shutdown::Shutdown;

mod addresses;
mod callbacks;
mod delivery;
mod membership;
mod message;
mod statistics;
mod unreachable;
mod watch;

/// A commit that takes longer counts as unanswered.
const SLOW_COMMIT: Duration = Duration::from_secs(2);

/// A commit that takes longer never ends, if brokers answer other requests.
const STUCK_COMMIT: Duration = Duration::from_secs(30);

/// How long requests fail before the brokers count as unreachable: a busy broker answers late.
/// Also the timeout of a connection attempt.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(1);

/// The time between two probes of the brokers while they are unreachable.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// How long connections to an advertised address fail before it is tried again and logged.
const ADDRESS_GRACE: Duration = Duration::from_secs(3);
/// The same for an address that was connected before. The cluster needs up to 9 s to notice that
/// one of its brokers is gone, and advertises the address until then.
const KNOWN_ADDRESS_GRACE: Duration = Duration::from_secs(15);

/// The context of a stage's clients. Clones share their state.
#[derive(Debug, Clone)]
pub(super) struct ClientMonitor {
    lock: Arc<Mutex<MonitorState>>,
    metrics: Arc<Metrics>,
    /// Whether a rebalance is pending. It is read before every record, so it must cost nothing.
    has_rebalance: Arc<AtomicBool>,
    /// The generation of the stage's consumer that has this clone: 0 for the first.
    consumer: u32,
    /// The state of one producer, if a producer has this clone.
    producer: Arc<ProducerMonitor>,
}

/// What concerns one producer and not its successors.
#[derive(Debug, Default)]
struct ProducerMonitor {
    /// How many callbacks it has made.
    events: AtomicU64,
    /// Whether it may have sent a request again while the first copy is still in flight.
    may_have_repeated: AtomicBool,
    failed_delivery: Mutex<Option<FailedDelivery>>,
}

#[derive(Debug)]
struct MonitorState {
    stage: String,
    brokers: String,
    trust: Trust,
    /// When requests began to fail, if they still do.
    failing_since: Option<Instant>,
    /// The same, once the brokers count as unreachable.
    unreachable_since: Option<Instant>,
    /// When the unreachable brokers were logged.
    unreachable_logged: Reminder<()>,
    /// Whether a client has lost a connection, so that the brokers must be probed.
    needs_probe: bool,
    last_probe: Option<Instant>,
    /// Why a connection failed last. Empty if none has.
    last_failure: String,
    /// The errors that were logged.
    errors_logged: Reminder<String>,
    rebalances: VecDeque<Rebalance>,
    /// Whether the coordinator is still ending the transaction of the previous process.
    concurrent_transaction: bool,
    /// When the commit in progress began.
    committing_since: Option<Instant>,
    /// When the stage began to wait for what brokers do, if it waits.
    waiting_since: Option<Instant>,
    /// The stage's clients.
    clients: Vec<Weak<dyn Forgetful>>,
    /// Advertised addresses to which connections fail, each with the time of the first failure or
    /// of the last attempt since.
    unreached: BTreeMap<String, Instant>,
    /// Advertised addresses that were connected at least once.
    reached: BTreeSet<String>,
    /// The unreachable addresses that were logged.
    addresses_logged: Reminder<String>,
    membership: Membership,
    /// Whether rebalances are answered without the stage.
    closed: bool,
    /// The generation of the consumer whose rebalances count.
    consumer: u32,
}

/// A rebalance that the stage has yet to answer.
#[derive(Debug)]
pub(super) enum Rebalance {
    Assign(Vec<(String, i32)>),
    Revoke,
}

impl MonitorState {
    fn warn(&mut self, error: &str, remedy: Option<&str>) {
        let help = remedy
            .map(|remedy| format!("\n  help: {remedy}"))
            .unwrap_or_default();
        match self.errors_logged.due(&error.to_owned(), Instant::now()) {
            Some(lasted) => tracing::warn!(stage = self.stage, "{error}{}{help}", lasting(lasted)),
            None => tracing::debug!("librdkafka: {error}"),
        }
    }

    fn grace(&self, address: &str) -> Duration {
        if self.reached.contains(address) {
            KNOWN_ADDRESS_GRACE
        } else {
            ADDRESS_GRACE
        }
    }

    fn is_committing_for(&self, time: Duration) -> bool {
        self.committing_since
            .is_some_and(|since| since.elapsed() > time)
    }

    /// Whether the stage has waited for brokers for so long.
    fn is_waiting_for(&self, time: Duration) -> bool {
        let since = [self.unreachable_since, self.waiting_since];
        since.iter().flatten().any(|since| since.elapsed() > time)
    }
}

impl ClientMonitor {
    /// `answers` asks, by a client of its own, whether a broker answers. If a commit never ends,
    /// the process is [abandoned](Shutdown::abandon).
    pub(super) fn new(
        stage: &str,
        brokers: &str,
        trust: Trust,
        answers: impl Fn(&ClientMonitor) -> bool + Send + 'static,
        shutdown: Shutdown,
        metrics: Arc<Metrics>,
    ) -> Self {
        let lock = MonitorState {
            stage: stage.to_owned(),
            brokers: brokers.to_owned(),
            trust,
            failing_since: None,
            unreachable_since: None,
            unreachable_logged: Reminder::new(),
            needs_probe: false,
            last_probe: None,
            last_failure: String::new(),
            errors_logged: Reminder::new(),
            rebalances: VecDeque::new(),
            concurrent_transaction: false,
            committing_since: None,
            waiting_since: None,
            clients: Vec::new(),
            unreached: BTreeMap::new(),
            reached: BTreeSet::new(),
            addresses_logged: Reminder::new(),
            membership: Membership::NEW,
            closed: false,
            consumer: 0,
        };
        let lock = Arc::new(Mutex::new(lock));
        let weak = Arc::downgrade(&lock);
        let span = tracing::Span::current();
        let watched = metrics.clone();
        // Without this thread slow commits are not logged, and what is stuck stays stuck. All else
        // works.
        let _ = std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || span.in_scope(|| Self::watch(&weak, &watched, answers, &shutdown)));
        ClientMonitor {
            lock,
            metrics,
            has_rebalance: Arc::default(),
            consumer: 0,
            producer: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, MonitorState> {
        // Nothing that holds the lock can panic half-way.
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn next_rebalance(&self) -> Option<Rebalance> {
        if !self.has_rebalance() {
            return None;
        }
        let mut lock = self.lock();
        let next = lock.rebalances.pop_front();
        self.has_rebalance
            .store(!lock.rebalances.is_empty(), Ordering::Release);
        next
    }

    /// Whether the stage has yet to answer a rebalance.
    pub(super) fn has_rebalance(&self) -> bool {
        self.has_rebalance.load(Ordering::Acquire)
    }

    /// A clone for a new producer.
    pub(super) fn for_producer(&self) -> Self {
        ClientMonitor {
            producer: Arc::default(),
            ..self.clone()
        }
    }

    /// How many callbacks this producer has made.
    pub(super) fn event_count(&self) -> u64 {
        self.producer.events.load(Ordering::Relaxed)
    }

    /// Whether this producer may have sent a request again while the first copy is still in flight.
    pub(super) fn may_have_repeated(&self) -> bool {
        self.producer.may_have_repeated.load(Ordering::Relaxed)
    }

    /// This producer's first failed delivery. One with a reason of its own wins over one that was
    /// purged.
    pub(super) fn take_failed_delivery(&self) -> Option<FailedDelivery> {
        self.failed_delivery().take()
    }

    fn failed_delivery(&self) -> MutexGuard<'_, Option<FailedDelivery>> {
        // Nothing that holds the lock can panic half-way.
        self.producer
            .failed_delivery
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn count_event(&self) {
        self.producer.events.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether transactions cannot be initialised yet because the coordinator is still ending the
    /// transaction of the previous process.
    pub(super) fn take_concurrent_transaction(&self) -> bool {
        std::mem::take(&mut self.lock().concurrent_transaction)
    }

    /// From now on rebalances are answered without the stage.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// There is a new consumer: rebalances of the old one are ignored.
    pub(super) fn reopen(&mut self) {
        self.consumer += 1;
        let mut lock = self.lock();
        (lock.closed, lock.membership, lock.consumer) = (false, Membership::NEW, self.consumer);
        lock.rebalances.clear();
        self.has_rebalance.store(false, Ordering::Release);
    }

    /// Whether the consumer may be fenced without another process: it is not a member of the group,
    /// or a heartbeat of its last session can still be answered. librdkafka abandons a heartbeat
    /// after one `session`.
    pub(super) fn may_be_fenced_by_itself(&self, session: Duration) -> bool {
        match self.lock().membership {
            Membership::NotMember { .. } => true,
            Membership::Member { rejoined } => {
                rejoined.is_some_and(|rejoined| rejoined.elapsed() <= session)
            }
        }
    }

    /// What a client reports of its connections. The report can be late and the brokers back
    /// already, so it only asks for a probe.
    pub(super) fn client_error(&self, error: &KafkaError) {
        use RDKafkaErrorCode::{
            AllBrokersDown, Authentication, BrokerTransportFailure, FencedInstanceId,
            OperationTimedOut, PartitionEOF, PollExceeded, Resolve, SSL,
        };
        let mut lock = self.lock();
        match error.rdkafka_error_code() {
            Some(
                AllBrokersDown
                | Authentication
                | BrokerTransportFailure
                | OperationTimedOut
                | Resolve
                | SSL,
            ) => {
                lock.needs_probe = true;
                tracing::debug!("librdkafka: {error}");
            }
            // A reader that is closed right behind the last record.
            Some(PartitionEOF) => {}
            // The stage handles the fencing, and whatever kept it from polling was logged already.
            Some(FencedInstanceId | PollExceeded) => tracing::debug!("librdkafka: {error}"),
            // Any other error repeats until somebody fixes its cause.
            _ => lock.warn(&error.to_string(), None),
        }
    }

    /// Something keeps the stage from going on.
    pub(super) fn report(&self, kind: TroubleKind, reason: &str) {
        self.metrics.health.report(kind, reason);
    }

    /// It is over.
    pub(super) fn solved(&self, kind: TroubleKind) {
        self.metrics.health.solved(kind);
    }

    /// Logs an error that repeats until somebody fixes its cause, with the remedy.
    pub(super) fn warn(&self, error: &str, remedy: &str) {
        self.lock().warn(error, Some(remedy));
    }
}

#[cfg(test)]
mod tests;
