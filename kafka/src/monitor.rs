//! What librdkafka reports through callbacks: rebalances, failed deliveries, broker connections.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, NoCustomPartitioner, ProducerContext};
use rdkafka::types::RDKafkaRespErr;

use rivulet_core::reminder::{Reminder, lasting};

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

/// A record whose delivery failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedDelivery {
    pub(super) code: RDKafkaErrorCode,
    pub(super) topic: String,
    pub(super) partition: i32,
    /// How many records failed for the same reason.
    pub(super) count: u64,
}

impl FailedDelivery {
    /// Whether the record was purged because something else failed.
    pub(super) fn is_purged(&self) -> bool {
        matches!(
            self.code,
            RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight
        )
    }
}

#[derive(Debug)]
struct MonitorState {
    stage: String,
    brokers: String,
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

/// Whether the consumer is a member of its group.
#[derive(Debug, Clone, Copy)]
enum Membership {
    /// No partitions were assigned yet, or the session has ended.
    NotMember { was_member: bool },
    /// Partitions were assigned, and the session lasts.
    Member {
        /// When it rejoined, if an earlier session of this consumer has ended.
        rejoined: Option<Instant>,
    },
}

impl Membership {
    const NEW: Membership = Membership::NotMember { was_member: false };

    fn partitions_assigned(&mut self) {
        if let Membership::NotMember { was_member } = *self {
            *self = Membership::Member {
                rejoined: was_member.then(Instant::now),
            };
        }
    }

    fn session_ended(&mut self) {
        if let Membership::Member { .. } = self {
            *self = Membership::NotMember { was_member: true };
        }
    }
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

    fn broker_unreachable(&mut self, error: &str) {
        let now = Instant::now();
        let since = *self.unreachable_since.get_or_insert(now);
        let Some(lasted) = self.unreachable_logged.due(&(), now) else {
            return;
        };
        let lasted = if lasted.is_zero() {
            lasted
        } else {
            now - since
        };
        let reason = if self.last_failure.is_empty() {
            error
        } else {
            &self.last_failure
        };
        let brokers = if self.brokers.is_empty() {
            "an empty list"
        } else {
            &self.brokers
        };
        let (what, help) = describe_failure(reason, brokers);
        tracing::warn!(
            stage = self.stage,
            "{what} at {brokers}{}, waiting: {reason}\n  help: {help}",
            lasting(lasted)
        );
    }
}

/// What is wrong with the connections to the brokers, and what to do about it.
fn describe_failure(reason: &str, brokers: &str) -> (&'static str, &'static str) {
    let has_any = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if has_any(&["SASL", "uthentication"]) {
        let help = "check \"sasl.mechanism\", \"sasl.username\", \"sasl.password\" and \
                    \"security.protocol\" in [kafka]: they must match the listener of the brokers";
        ("authentication failed", help)
    } else if has_any(&["SSL", "ssl", "certificate", "security.protocol"]) {
        let help = "check \"security.protocol\" and \"ssl.ca.location\" in [kafka]: a listener \
                    speaks either TLS or plain text, and the file must contain the CA that signed \
                    the brokers' certificates";
        ("TLS failed", help)
    } else if is_closed_at_once(reason) {
        let help = "a listener that requires SASL or TLS closes other connections: check \
                    \"security.protocol\" and \"sasl.mechanism\" in [kafka]";
        ("connection closed by the brokers", help)
    } else if is_advertised(reason, brokers) {
        let help = "check that Kafka runs at the address in the error and that its name resolves: \
                    it is the advertised.listeners in that broker's server.properties";
        ("brokers unreachable", help)
    } else {
        let help = "check that Kafka runs there and that the names resolve; name other brokers \
                    with --brokers or [kafka] brokers";
        ("brokers unreachable", help)
    }
}

/// Whether the address that failed is advertised by a broker, and not in the bootstrap list.
/// librdkafka puts it in front as `rpi1:9092/2: `, with the broker's id.
fn is_advertised(reason: &str, brokers: &str) -> bool {
    let Some((address, rest)) = reason.split_once('/') else {
        return false;
    };
    let is_number = rest
        .split_once(':')
        .is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    is_number && brokers.split(',').all(|broker| broker.trim() != address)
}

/// Whether the broker closed an established connection within two seconds.
fn is_closed_at_once(reason: &str) -> bool {
    let Some((_, after)) = reason.split_once("(after ") else {
        return false;
    };
    let Some((time, state)) = after.split_once("ms in state ") else {
        return false;
    };
    let is_short = time.parse::<u64>().is_ok_and(|time| time < 2000);
    reason.contains("Disconnected")
        && is_short
        && ["UP", "APIVERSION_QUERY"]
            .iter()
            .any(|up| state.starts_with(up))
}

/// Warns of a commit that takes too long, while there is a client that may commit. Calls `on_stuck`
/// if the commit is stuck: its thread is inside librdkafka, and nothing gets it out.
fn watch_commits(
    lock: &Weak<Mutex<MonitorState>>,
    answers: impl Fn(&ClientMonitor) -> bool,
    on_stuck: impl FnOnce(),
) {
    while let Some(lock) = lock.upgrade() {
        let monitor = ClientMonitor {
            lock,
            has_rebalance: Arc::default(),
            consumer: u32::MAX,
            producer: Arc::default(),
        };
        monitor.warn_of_slow_commit();
        if monitor.is_commit_stuck(&answers) {
            tracing::error!(
                "commit timed out after {} s although the brokers are reachable, exiting; the next \
                 start resumes at the last commit\n  help: start this stage again, unless systemd \
                 does",
                STUCK_COMMIT.as_secs()
            );
            return on_stuck();
        }
        drop(monitor);
        std::thread::sleep(PROBE_INTERVAL / 2);
    }
}

impl ClientMonitor {
    /// `answers` asks, by a client of its own, whether a broker answers. `on_stuck` is called if a
    /// commit never ends.
    pub(super) fn new(
        stage: &str,
        brokers: &str,
        answers: impl Fn(&ClientMonitor) -> bool + Send + 'static,
        on_stuck: impl FnOnce() + Send + 'static,
    ) -> Self {
        let lock = MonitorState {
            stage: stage.to_owned(),
            brokers: brokers.to_owned(),
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
        // Without this thread slow commits are not logged, and a stuck one stays stuck. All else
        // works.
        let _ = std::thread::Builder::new()
            .name("commits".into())
            .spawn(move || span.in_scope(|| watch_commits(&weak, answers, on_stuck)));
        ClientMonitor {
            lock,
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

    /// A request has failed. If requests keep failing, logs that the brokers are unreachable.
    pub(super) fn broker_unreachable(&self, error: &str) {
        let mut lock = self.lock();
        let since = *lock.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= UNREACHABLE_AFTER {
            lock.broker_unreachable(error);
        }
    }

    /// A commit begins or has ended. While a broker is unreachable, librdkafka can block in a
    /// commit whatever the timeout, and makes no callbacks meanwhile.
    pub(super) fn committing(&self, is_committing: bool) {
        self.lock().committing_since = is_committing.then(Instant::now);
    }

    fn warn_of_slow_commit(&self) {
        let mut lock = self.lock();
        if lock.is_committing_for(SLOW_COMMIT) {
            lock.broker_unreachable("a commit is not answered");
        }
    }

    /// Whether librdkafka has lost track of the commit in progress, as in its issue 5511.
    fn is_commit_stuck(&self, answers: impl Fn(&ClientMonitor) -> bool) -> bool {
        let is_long = || self.lock().is_committing_for(STUCK_COMMIT);
        // It may have ended while the broker was asked.
        is_long() && answers(self) && is_long()
    }

    /// A broker has answered. Logs it if the brokers were unreachable before. During a slow commit
    /// other answers do not show that the stage can go on.
    pub(super) fn broker_reachable(&self) {
        let mut lock = self.lock();
        (lock.needs_probe, lock.failing_since) = (false, None);
        if lock.is_committing_for(SLOW_COMMIT) {
            return;
        }
        lock.unreachable_logged.clear();
        if let Some(since) = lock.unreachable_since.take() {
            tracing::info!(
                stage = lock.stage,
                "brokers reachable again, after {:.1} s",
                since.elapsed().as_secs_f64()
            );
        }
        lock.last_failure.clear();
    }

    /// Whether the brokers count as unreachable.
    pub(super) fn is_unreachable(&self) -> bool {
        self.lock().unreachable_since.is_some()
    }

    /// Whether it is time to ask whether a broker answers.
    pub(super) fn probe_due(&self) -> bool {
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

    /// Tries to connect to those of the advertised `addresses` that librdkafka could not connect
    /// to. Each has a thread of its own, because resolving a name can take long.
    pub(super) fn check_advertised(&self, addresses: &[String]) {
        let mut lock = self.lock();
        lock.unreached
            .retain(|address, _| addresses.contains(address));
        let due: Vec<String> = lock
            .unreached
            .iter()
            .filter(|(address, since)| since.elapsed() >= lock.grace(address))
            .map(|(address, _)| address.clone())
            .collect();
        for address in due {
            lock.unreached.insert(address.clone(), Instant::now());
            let (monitor, span) = (self.clone(), tracing::Span::current());
            let _ = std::thread::Builder::new()
                .name("connect".into())
                .spawn(move || span.in_scope(|| monitor.tried(&address, connect(&address))));
        }
    }

    fn tried(&self, address: &str, outcome: std::io::Result<()>) {
        let mut lock = self.lock();
        let Err(error) = outcome else {
            lock.unreached.remove(address);
            lock.addresses_logged.clear();
            return;
        };
        let lasted = lock
            .addresses_logged
            .due(&address.to_owned(), Instant::now());
        if let Some(lasted) = lasted {
            let help = if lock.reached.contains(address) {
                "check that Kafka runs there and that no firewall is in between"
            } else {
                "set advertised.listeners in that broker's server.properties to a name and port \
                 that clients can reach, and check that the name resolves here"
            };
            tracing::warn!(
                stage = lock.stage,
                "broker unreachable at {address}, from its advertised.listeners{}, waiting: \
                 {error}; Kafka answers at {}\n  help: {help}",
                lasting(lasted),
                lock.brokers
            );
        }
    }

    /// Whether an advertised address was logged as unreachable.
    pub(super) fn has_unreachable_address(&self) -> bool {
        !self.lock().addresses_logged.is_clear()
    }

    /// What a client reports of its connections. The report can be late and the brokers back
    /// already, so it only asks for a probe.
    pub(super) fn client_error(&self, error: &KafkaError) {
        use RDKafkaErrorCode::{
            AllBrokersDown, BrokerTransportFailure, FencedInstanceId, OperationTimedOut,
            PartitionEOF, PollExceeded, Resolve,
        };
        let mut lock = self.lock();
        match error.rdkafka_error_code() {
            Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve) => {
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

    /// Logs an error that repeats until somebody fixes its cause, with the remedy.
    pub(super) fn warn(&self, error: &str, remedy: &str) {
        self.lock().warn(error, Some(remedy));
    }
}

impl ClientContext for ClientMonitor {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.count_event();
        if may_repeat_request(facility, message) {
            self.producer
                .may_have_repeated
                .store(true, Ordering::Relaxed);
        }
        match facility {
            // Properties of the other kind of client in the same [kafka] table. And fatal errors of
            // a client, which the stage also gets and may recover from.
            "CONFWARN" | "FATAL" => tracing::debug!("librdkafka: {message}"),
            "SESSTMOUT" => {
                tracing::debug!("librdkafka: {facility} {message}");
                self.lock().membership.session_ended();
            }
            // It may be one connection of several, or an idle one, so the brokers are probed.
            // `broker_unreachable` logs the last reason if they are unreachable.
            "FAIL" | "ERROR" => {
                let reason = message
                    .split_once("]: ")
                    .map_or(message, |(_thread, reason)| reason);
                tracing::debug!("librdkafka: {facility} {message}");
                let mut lock = self.lock();
                lock.needs_probe = true;
                if let Some(address) = advertised_address(reason).map(str::to_owned) {
                    if is_connect_failure(message) {
                        lock.unreached.entry(address).or_insert_with(Instant::now);
                    } else {
                        lock.reached.insert(address);
                    }
                }
                if !reason.contains("brokers are down") {
                    reason.clone_into(&mut lock.last_failure);
                }
            }
            // Only the log says so: the call itself times out.
            "GETPID" if message.contains("concurrent operation") => {
                tracing::debug!("librdkafka: {message}");
                self.lock().concurrent_transaction = true;
            }
            _ => match level {
                RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                    tracing::error!("librdkafka: {facility} {message}");
                }
                _ => tracing::debug!("librdkafka: {facility} {message}"),
            },
        }
    }

    fn stats_raw(&self, _: &[u8]) {
        self.count_event();
    }

    fn error(&self, error: KafkaError, _: &str) {
        self.count_event();
        self.client_error(&error);
    }
}

/// Whether a client that logs this may send a request for a second time. Failed attempts to connect
/// do not count: no request was in flight on such a connection, and an unreachable broker makes
/// them fail again and again.
///
/// librdkafka logs a broken connection before it repeats the requests that were in flight on it. It
/// suppresses the same message for half a minute. That does no harm, because the first one counts
/// until the producer is replaced.
fn may_repeat_request(facility: &str, message: &str) -> bool {
    matches!(facility, "FAIL" | "ERROR" | "REQTMOUT") && !is_connect_failure(message)
}

/// Whether the connection failed before it was established.
fn is_connect_failure(message: &str) -> bool {
    let words = [
        "Connect to ",
        "Failed to resolve",
        "in state CONNECT",
        "brokers are down",
    ];
    words.iter().any(|words| message.contains(words))
}

/// The advertised address that a message of librdkafka begins with, as `HOST:PORT/ID: ` or
/// `TxnCoordinator: HOST:PORT: `. `None` if it begins with no such address.
fn advertised_address(reason: &str) -> Option<&str> {
    let (name, rest) = reason.split_once(": ")?;
    if let Some((address, id)) = name.split_once('/') {
        return id
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(address);
    }
    let is_logical = matches!(name, "GroupCoordinator" | "TxnCoordinator");
    let (address, _) = rest.split_once(": ")?;
    (is_logical && address.contains(':') && !address.contains(' ')).then_some(address)
}

fn connect(address: &str) -> std::io::Result<()> {
    let mut last_error = std::io::Error::other("the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, UNREACHABLE_AFTER) {
            Ok(_) => return Ok(()),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

impl ConsumerContext for ClientMonitor {
    /// Queues the rebalance for the stage loop. It cannot be answered here, inside a poll, because
    /// the open transaction must be committed first.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let mut lock = self.lock();
        if lock.closed || lock.consumer != self.consumer {
            drop(lock);
            let _ = consumer.unassign();
            return;
        }
        let rebalance = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                lock.membership.partitions_assigned();
                Rebalance::Assign(
                    partitions
                        .elements()
                        .iter()
                        .map(|element| (element.topic().to_owned(), element.partition()))
                        .collect(),
                )
            }
            _ => {
                if consumer.assignment_lost() {
                    lock.membership.session_ended();
                }
                Rebalance::Revoke
            }
        };
        lock.rebalances.push_back(rebalance);
        self.has_rebalance.store(true, Ordering::Release);
    }
}

impl ProducerContext<NoCustomPartitioner> for ClientMonitor {
    type DeliveryOpaque = ();

    /// Only failures are reported: see the property `delivery.report.only.error`.
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.count_event();
        let Err((error, message)) = result else {
            return;
        };
        let failed = FailedDelivery {
            code: error
                .rdkafka_error_code()
                .unwrap_or(RDKafkaErrorCode::Unknown),
            topic: message.topic().to_owned(),
            partition: message.partition(),
            count: 1,
        };
        let mut first = self.failed_delivery();
        match &mut *first {
            Some(first) if first.code == failed.code => first.count += 1,
            Some(first) if !first.is_purged() || failed.is_purged() => {}
            first => *first = Some(failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitor() -> ClientMonitor {
        ClientMonitor::new("ewma", "rpi0:9092", |_| false, || ())
    }

    fn ago(time: Duration) -> Instant {
        Instant::now()
            .checked_sub(time)
            .expect("this machine has been up for longer")
    }

    #[test]
    fn a_commit_is_stuck_only_while_brokers_answer() {
        let monitor = monitor();
        assert!(!monitor.is_commit_stuck(|_| true), "there is no commit");
        monitor.committing(true);
        assert!(!monitor.is_commit_stuck(|_| true), "it has just begun");
        monitor.lock().committing_since = Some(ago(STUCK_COMMIT + PROBE_INTERVAL));
        assert!(!monitor.is_commit_stuck(|_| false), "Kafka is unreachable");
        assert!(monitor.is_commit_stuck(|_| true));
        let is_stuck = monitor.is_commit_stuck(|monitor| {
            monitor.committing(false);
            true
        });
        assert!(!is_stuck, "it has ended meanwhile");
    }

    #[test]
    fn a_member_is_fenced_by_itself_for_a_session_after_it_rejoined() {
        let session = Duration::from_secs(45);
        let monitor = monitor();
        assert!(
            monitor.may_be_fenced_by_itself(session),
            "it has not joined yet"
        );
        monitor.lock().membership.partitions_assigned();
        assert!(
            !monitor.may_be_fenced_by_itself(session),
            "another process has fenced it"
        );
        monitor.lock().membership.session_ended();
        assert!(
            monitor.may_be_fenced_by_itself(session),
            "it is not a member"
        );
        monitor.lock().membership.partitions_assigned();
        assert!(
            monitor.may_be_fenced_by_itself(session),
            "an old heartbeat may be in flight"
        );
        monitor.lock().membership = Membership::Member {
            rejoined: Some(ago(session + PROBE_INTERVAL)),
        };
        assert!(
            !monitor.may_be_fenced_by_itself(session),
            "no old heartbeat is in flight"
        );
    }

    #[test]
    fn only_an_established_connection_can_repeat_a_request() {
        fn may_repeat(monitor: &ClientMonitor, facility: &str, message: &str) -> bool {
            let producer = monitor.for_producer();
            producer.log(RDKafkaLogLevel::Info, facility, message);
            assert_eq!(producer.event_count(), 1);
            producer.may_have_repeated()
        }
        let monitor = monitor();
        let thread = "[thrd:rpi0:9092/0]: rpi0:9092/0:";
        for broken in [
            "Disconnected (after 2031ms in state UP)",
            "Disconnected (after 31ms in state AUTH_REQ)",
            "Receive failed: Connection reset by peer (after 31ms in state UP)",
            "TxnCoordinator: rpi0:9092: Disconnected (after 2031ms in state UP)",
        ] {
            let message = format!("{thread} {broken}");
            assert!(may_repeat(&monitor, "FAIL", &message), "{broken}");
        }
        let timeout =
            format!("{thread} Timed out EndTxnRequest in flight (after 10015ms, timeout #0)");
        assert!(may_repeat(&monitor, "REQTMOUT", &timeout));
        for never in [
            "Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)",
            "Failed to resolve 'rpi0:9092': Name or service not known (after 3ms in state CONNECT)",
            "Connection setup timed out in state CONNECT (after 30029ms in state CONNECT)",
        ] {
            let message = format!("{thread} {never}");
            assert!(!may_repeat(&monitor, "FAIL", &message), "{never}");
        }
        assert!(!may_repeat(&monitor, "GETPID", "Failed to acquire PID"));
        assert!(
            !monitor.may_have_repeated() && !monitor.for_producer().may_have_repeated(),
            "other producers did not"
        );
    }

    #[test]
    fn each_reason_has_a_help_of_its_own() {
        for (reason, expected, remedy) in [
            (
                "SASL authentication error: Authentication failed: Invalid username or password",
                "authentication failed",
                "sasl.password",
            ),
            (
                "SASL SCRAM-SHA-256 mechanism handshake failed: Unsupported SASL mechanism",
                "authentication failed",
                "sasl.mechanism",
            ),
            (
                "SSL handshake failed: wrong version number",
                "TLS failed",
                "security.protocol",
            ),
            (
                "Disconnected: closed by peer (after 3ms in state UP, 1 identical)",
                "connection closed by the brokers",
                "security.protocol",
            ),
            (
                "Disconnected: closed by peer (after 0ms in state APIVERSION_QUERY)",
                "connection closed by the brokers",
                "security.protocol",
            ),
            (
                "Disconnected: closed by peer (after 42031ms in state UP)",
                "brokers unreachable",
                "Kafka runs there",
            ),
            (
                "Connect to ipv4#127.0.0.1:1 failed: Connection refused",
                "brokers unreachable",
                "Kafka runs there",
            ),
        ] {
            let (what, help) = describe_failure(reason, "rpi0:9092");
            assert_eq!(what, expected, "{reason}");
            assert!(help.contains(remedy), "{reason}: {help}");
        }
    }

    #[test]
    fn an_advertised_address_is_told_from_a_bootstrap_address() {
        for (reason, expected) in [
            (
                "rpi9:9092/1: Failed to resolve 'rpi9:9092': Name or service not known",
                Some("rpi9:9092"),
            ),
            (
                "TxnCoordinator: rpi9:9092: Connect to ipv4#10.0.0.9:9092 failed",
                Some("rpi9:9092"),
            ),
            (
                "GroupCoordinator: rpi9:9092: Connect to ipv4#10.0.0.9:9092 failed",
                Some("rpi9:9092"),
            ),
            (
                "rpi0:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused",
                None,
            ),
            ("GroupCoordinator: Failed to resolve 'x': y", None),
            ("1/1 brokers are down", None),
        ] {
            assert_eq!(advertised_address(reason), expected, "{reason}");
        }
    }

    #[test]
    fn a_single_late_answer_does_not_count_as_unreachable() {
        let monitor = monitor();
        monitor.broker_unreachable("timed out");
        assert!(!monitor.is_unreachable());
        monitor.lock().failing_since = Some(ago(UNREACHABLE_AFTER));
        monitor.broker_unreachable("timed out");
        assert!(monitor.is_unreachable());
        monitor.broker_reachable();
        assert!(!monitor.is_unreachable());
        monitor.broker_unreachable("timed out");
        assert!(
            !monitor.is_unreachable(),
            "failures before the answer do not count"
        );
    }
}
