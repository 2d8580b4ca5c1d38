//! What librdkafka reports on the side: rebalances, failed deliveries, brokers that come and go.

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

use crate::reminder::{Reminder, lasting};

/// A commit that takes longer is one that nobody answers.
const SLOW_COMMIT: Duration = Duration::from_secs(2);

/// A commit that takes longer although a broker answers will never end.
const STUCK_COMMIT: Duration = Duration::from_secs(30);

/// How long asking is in vain before that counts as no answer: a busy broker takes its time.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a lost cluster is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// How long an address that brokers give may fail to be reached before that is told, and between
/// two tries.
const UNREACHABLE: Duration = Duration::from_secs(3);
/// The same of one that was reached before: the others know only after 9 s that a broker has gone.
const GONE: Duration = Duration::from_secs(15);

/// The ears of a stage's clients; clones share what was heard.
#[derive(Debug, Clone)]
pub(super) struct ClientMonitor {
    lock: Arc<Mutex<MonitorState>>,
    /// Whether there is a rebalance to answer: looked at before every record, so it must cost
    /// nothing.
    rebalanced: Arc<AtomicBool>,
    /// Which of the stage's consumers, one after the other, has this clone.
    consumer: u32,
    /// What concerns only the client that has this clone, if it is a producer.
    of_producer: Arc<ProducerMonitor>,
}

/// What was heard of one producer alone: of the next one it says nothing.
#[derive(Debug, Default)]
struct ProducerMonitor {
    /// How many things were heard of it.
    count: AtomicU64,
    /// Whether a request may have been repeated of which the first copy is still under way.
    repeats: AtomicBool,
    failed: Mutex<Option<FailedDelivery>>,
}

/// A record that could not be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedDelivery {
    pub(super) code: RDKafkaErrorCode,
    pub(super) topic: String,
    pub(super) partition: i32,
    /// How many records failed for the same reason.
    pub(super) count: u64,
}

impl FailedDelivery {
    /// Whether the record was only thrown away with others, for a reason that lies elsewhere.
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
    /// Since when asking has been in vain, if that is so.
    unanswered: Option<Instant>,
    /// Since when no broker has answered, as far as that was told.
    away: Option<Instant>,
    /// When that was told.
    told_away: Reminder<()>,
    /// Whether a client has lost its brokers, so that somebody should look.
    doubted: bool,
    looked: Option<Instant>,
    /// The last reason that a connection failed for.
    reason: String,
    /// The errors that were shown.
    said: Reminder<String>,
    rebalances: VecDeque<Rebalance>,
    /// Whether the coordinator is busy ending the transaction of a process that went before.
    predecessor: bool,
    /// Since when a commit is under way.
    committing: Option<Instant>,
    /// Addresses at which no connection came about, each with the time of the first failure, or of
    /// the last try since.
    unreached: BTreeMap<String, Instant>,
    /// Addresses at which a connection has been.
    reached: BTreeSet<String>,
    /// What was told of such addresses.
    unreachable: Reminder<String>,
    membership: Membership,
    closed: bool,
    /// Which consumer is heard.
    consumer: u32,
}

/// Where the consumer stands in its group.
#[derive(Debug, Clone, Copy)]
enum Membership {
    /// It has no partitions yet, or none any more because its session is over.
    Outside { was_inside: bool },
    /// It has got partitions, and its session goes on.
    Inside {
        /// When it came back, if an earlier session of this consumer ended.
        back: Option<Instant>,
    },
}

impl Membership {
    const NEW: Membership = Membership::Outside { was_inside: false };

    fn assigned_partitions(&mut self) {
        if let Membership::Outside { was_inside } = *self {
            *self = Membership::Inside {
                back: was_inside.then(Instant::now),
            };
        }
    }

    fn session_is_over(&mut self) {
        if let Membership::Inside { .. } = self {
            *self = Membership::Outside { was_inside: true };
        }
    }
}

/// A rebalance that waits for the stage's answer.
#[derive(Debug)]
pub(super) enum Rebalance {
    Assign(Vec<(String, i32)>),
    Revoke,
}

impl MonitorState {
    fn tell(&mut self, what: &str, remedy: Option<&str>) {
        let help = remedy
            .map(|remedy| format!("\n  help: {remedy}"))
            .unwrap_or_default();
        match self.said.due(&what.to_owned(), Instant::now()) {
            Some(lasted) => tracing::warn!(stage = self.stage, "{what}{}{help}", lasting(lasted)),
            None => tracing::debug!("librdkafka: {what}"),
        }
    }

    fn grace(&self, address: &str) -> Duration {
        if self.reached.contains(address) {
            GONE
        } else {
            UNREACHABLE
        }
    }

    fn is_committing_for(&self, time: Duration) -> bool {
        self.committing.is_some_and(|since| since.elapsed() > time)
    }

    fn broker_unreachable(&mut self, error: &str) {
        let now = Instant::now();
        let since = *self.away.get_or_insert(now);
        let Some(lasted) = self.told_away.due(&(), now) else {
            return;
        };
        let lasted = if lasted.is_zero() {
            lasted
        } else {
            now - since
        };
        let reason = if self.reason.is_empty() {
            error
        } else {
            &self.reason
        };
        let brokers = if self.brokers.is_empty() {
            "an empty list"
        } else {
            &self.brokers
        };
        let (how, help) = why_no_answer(reason, brokers);
        tracing::warn!(
            stage = self.stage,
            "no broker of {brokers} {how}{}: waiting ({reason})\n  help: {help}",
            lasting(lasted)
        );
    }
}

/// How a broker that can be of no use behaves, and what to do about it.
fn why_no_answer(reason: &str, brokers: &str) -> (&'static str, &'static str) {
    let says = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if says(&["SASL", "uthentication"]) {
        let help = "look at \"sasl.mechanism\", \"sasl.username\", \"sasl.password\" \
                    and \"security.protocol\" in [kafka]: they must be what that listener of the \
                    brokers wants";
        ("lets this stage in", help)
    } else if says(&["SSL", "ssl", "certificate", "security.protocol"]) {
        let help = "look at \"security.protocol\" and \"ssl.ca.location\" in [kafka]: a listener \
                    of the brokers speaks either TLS or plain text, and the file must have who \
                    signed the brokers' certificates";
        ("can be talked to", help)
    } else if is_closed_at_once(reason) {
        let help = "a listener that wants SASL or TLS closes connections that come without: look \
                    at \"security.protocol\" and \"sasl.mechanism\" in [kafka]";
        ("keeps a connection open", help)
    } else if is_told_by_a_broker(reason, brokers) {
        let help = "see that Kafka runs at the address in brackets and that its name resolves; the \
                    brokers tell it: it is the advertised.listeners in that broker's \
                    server.properties";
        ("answers", help)
    } else {
        let help = "see that Kafka runs there and that the names resolve; give other brokers with \
                    --brokers or [kafka] brokers";
        ("answers", help)
    }
}

/// Whether a connection failed to an address that is none of those to ask first. librdkafka names
/// it as `rpi1:9092/2: `, with the broker's number.
fn is_told_by_a_broker(reason: &str, brokers: &str) -> bool {
    let Some((address, rest)) = reason.split_once('/') else {
        return false;
    };
    let is_number = rest
        .split_once(':')
        .is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    is_number && brokers.split(',').all(|broker| broker.trim() != address)
}

/// Whether a connection came about and was closed by the broker within two seconds.
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
            rebalanced: Arc::default(),
            consumer: u32::MAX,
            of_producer: Arc::default(),
        };
        monitor.tell_of_slow_commit();
        if monitor.is_commit_stuck(&answers) {
            tracing::error!(
                "brokers are reachable, but a commit has had no answer for {} s: exiting, to \
                 restart from the last commit\n  help: start this stage again, unless systemd does",
                STUCK_COMMIT.as_secs()
            );
            return on_stuck();
        }
        drop(monitor);
        std::thread::sleep(LOOK / 2);
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
            unanswered: None,
            away: None,
            told_away: Reminder::new(),
            doubted: false,
            looked: None,
            reason: String::new(),
            said: Reminder::new(),
            rebalances: VecDeque::new(),
            predecessor: false,
            committing: None,
            unreached: BTreeMap::new(),
            reached: BTreeSet::new(),
            unreachable: Reminder::new(),
            membership: Membership::NEW,
            closed: false,
            consumer: 0,
        };
        let lock = Arc::new(Mutex::new(lock));
        let weak = Arc::downgrade(&lock);
        let span = tracing::Span::current();
        // Without the thread a slow commit is not told of, and a stuck one stays so; nothing else
        // is missing.
        let watching = move || span.in_scope(|| watch_commits(&weak, answers, on_stuck));
        let _ = std::thread::Builder::new()
            .name("commits".into())
            .spawn(watching);
        ClientMonitor {
            lock,
            rebalanced: Arc::default(),
            consumer: 0,
            of_producer: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, MonitorState> {
        // Nothing that holds the lock can panic half-way.
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn next_rebalance(&self) -> Option<Rebalance> {
        if !self.rebalanced.load(Ordering::Acquire) {
            return None;
        }
        let mut lock = self.lock();
        let next = lock.rebalances.pop_front();
        self.rebalanced
            .store(!lock.rebalances.is_empty(), Ordering::Release);
        next
    }

    /// Whether a rebalance waits for the stage's answer.
    pub(super) fn has_rebalance(&self) -> bool {
        self.rebalanced.load(Ordering::Acquire)
    }

    /// A clone for a new producer.
    pub(super) fn of_producer(&self) -> Self {
        ClientMonitor {
            of_producer: Arc::default(),
            ..self.clone()
        }
    }

    /// How many things were heard of this producer.
    pub(super) fn count(&self) -> u64 {
        self.of_producer.count.load(Ordering::Relaxed)
    }

    /// Whether this producer may have repeated a request of which the first copy is still under
    /// way.
    pub(super) fn may_have_repeated(&self) -> bool {
        self.of_producer.repeats.load(Ordering::Relaxed)
    }

    /// This producer's first record that could not be sent, one that says why before one that was
    /// thrown away with others.
    pub(super) fn take_failed_delivery(&self) -> Option<FailedDelivery> {
        self.failed().take()
    }

    fn failed(&self) -> MutexGuard<'_, Option<FailedDelivery>> {
        // Nothing that holds the lock can panic half-way.
        self.of_producer
            .failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn take_event(&self) {
        self.of_producer.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the transactions of this stage cannot be initialised yet because those of the
    /// process that went before are being ended.
    pub(super) fn take_concurrent_transaction(&self) -> bool {
        std::mem::take(&mut self.lock().predecessor)
    }

    /// From now on rebalances are answered without the stage.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// There is a new consumer: what the old one has to say of rebalances, now or later, is void.
    pub(super) fn reopen(&mut self) {
        self.consumer += 1;
        let mut lock = self.lock();
        (lock.closed, lock.membership, lock.consumer) = (false, Membership::NEW, self.consumer);
        lock.rebalances.clear();
        self.rebalanced.store(false, Ordering::Release);
    }

    /// Whether a member that is told that it is fenced may have been so by its own past: it is
    /// outside the group, or what it sent in a session that is over can still be answered. A
    /// heartbeat is given up after one `session`.
    pub(super) fn may_be_fenced_by_its_past(&self, session: Duration) -> bool {
        match self.lock().membership {
            Membership::Outside { .. } => true,
            Membership::Inside { back } => back.is_some_and(|back| back.elapsed() <= session),
        }
    }

    /// No broker answers: says so once, if that goes on.
    pub(super) fn broker_unreachable(&self, error: &str) {
        let mut lock = self.lock();
        let since = *lock.unanswered.get_or_insert_with(Instant::now);
        if since.elapsed() >= PATIENCE {
            lock.broker_unreachable(error);
        }
    }

    /// A commit begins or has ended. While a broker is away librdkafka can keep a commit for as
    /// long, whatever it was told of timeouts, and nothing else is heard meanwhile.
    pub(super) fn committing(&self, is_committing: bool) {
        self.lock().committing = is_committing.then(Instant::now);
    }

    fn tell_of_slow_commit(&self) {
        let mut lock = self.lock();
        if lock.is_committing_for(SLOW_COMMIT) {
            lock.broker_unreachable("a commit gets no answer");
        }
    }

    /// Whether a commit is under way that librdkafka has lost sight of: its issue 5511 is one way
    /// to that.
    fn is_commit_stuck(&self, answers: impl Fn(&ClientMonitor) -> bool) -> bool {
        let is_long = || self.lock().is_committing_for(STUCK_COMMIT);
        // It may have ended while the broker was asked.
        is_long() && answers(self) && is_long()
    }

    /// A broker answers: says so if none did before. While a commit waits, other answers are no
    /// sign that the stage can go on.
    pub(super) fn broker_reachable(&self) {
        let mut lock = self.lock();
        (lock.doubted, lock.unanswered) = (false, None);
        if lock.is_committing_for(SLOW_COMMIT) {
            return;
        }
        lock.told_away.clear();
        if let Some(since) = lock.away.take() {
            tracing::info!(
                stage = lock.stage,
                "Kafka is back after {:.1} s",
                since.elapsed().as_secs_f64()
            );
        }
        lock.reason.clear();
    }

    /// Whether no broker has answered for a while.
    pub(super) fn is_away(&self) -> bool {
        self.lock().away.is_some()
    }

    /// Whether it is time to look if a broker answers.
    pub(super) fn probe_due(&self) -> bool {
        let mut lock = self.lock();
        let is_unreached = lock
            .unreached
            .iter()
            .any(|(address, since)| since.elapsed() >= lock.grace(address));
        let due = (lock.doubted || lock.away.is_some() || is_unreached)
            && lock.looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        if due {
            lock.looked = Some(Instant::now());
        }
        due
    }

    /// These are the brokers' addresses as they tell them. One of them that is not reached is
    /// tried, by a thread of its own: to resolve a name can take long.
    pub(super) fn announced(&self, addresses: &[String]) {
        let mut lock = self.lock();
        lock.unreached
            .retain(|address, _| addresses.contains(address));
        let is_due =
            |(address, since): &(&String, &Instant)| since.elapsed() >= lock.grace(address);
        let due: Vec<String> = lock
            .unreached
            .iter()
            .filter(is_due)
            .map(|(address, _)| address.clone())
            .collect();
        for address in due {
            lock.unreached.insert(address.clone(), Instant::now());
            let (monitor, span) = (self.clone(), tracing::Span::current());
            let trying = move || span.in_scope(|| monitor.tried(&address, reach(&address)));
            let _ = std::thread::Builder::new()
                .name("reach".into())
                .spawn(trying);
        }
    }

    fn tried(&self, address: &str, reached: std::io::Result<()>) {
        let mut lock = self.lock();
        let Err(error) = reached else {
            lock.unreached.remove(address);
            lock.unreachable.clear();
            return;
        };
        if let Some(lasted) = lock.unreachable.due(&address.to_owned(), Instant::now()) {
            let help = if lock.reached.contains(address) {
                "see that Kafka runs there and that nothing is between"
            } else {
                "set advertised.listeners in that broker's server.properties to a name and port \
                 that clients can reach, and see that the name resolves here"
            };
            tracing::warn!(
                stage = lock.stage,
                "Kafka answers at {}, but the address {address} of a broker, from its \
                 advertised.listeners, cannot be reached{}: waiting ({error})\n  help: {help}",
                lock.brokers,
                lasting(lasted)
            );
        }
    }

    /// Whether it was told that a broker gives an address that cannot be reached.
    pub(super) fn told_of_an_unreachable_address(&self) -> bool {
        !self.lock().unreachable.is_clear()
    }

    /// What a client reports of its connections. A late report of brokers that were down is no news
    /// of them being so, hence it only raises a doubt.
    pub(super) fn client_error(&self, error: &KafkaError) {
        use RDKafkaErrorCode::{
            AllBrokersDown, BrokerTransportFailure, FencedInstanceId, OperationTimedOut,
            PartitionEOF, PollExceeded, Resolve,
        };
        let mut lock = self.lock();
        match error.rdkafka_error_code() {
            Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve) => {
                lock.doubted = true;
                tracing::debug!("librdkafka: {error}");
            }
            // A reader that is closed right behind the last record.
            Some(PartitionEOF) => {}
            // The stage finds out by whom; and what kept it from polling was told while it did.
            Some(FencedInstanceId | PollExceeded) => tracing::debug!("librdkafka: {error}"),
            // Whatever else it is, it comes again and again until somebody mends it.
            _ => lock.tell(&error.to_string(), None),
        }
    }

    /// Tells of something that comes again and again until somebody mends it, and of the remedy.
    pub(super) fn tell(&self, what: &str, remedy: &str) {
        self.lock().tell(what, Some(remedy));
    }
}

impl ClientContext for ClientMonitor {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.take_event();
        if may_lead_to_a_repetition(facility, message) {
            self.of_producer.repeats.store(true, Ordering::Relaxed);
        }
        match facility {
            // Properties of the other kind of client in the same [kafka] table; and what is fatal
            // to a client, which the stage hears of too, and may know a way out.
            "CONFWARN" | "FATAL" => tracing::debug!("librdkafka: {message}"),
            "SESSTMOUT" => {
                tracing::debug!("librdkafka: {facility} {message}");
                self.lock().membership.session_is_over();
            }
            // A connection failed, which may be one of several, or just an idle one: reason to
            // look. What fails again and again is told once, by `broker_unreachable`, with the last
            // reason.
            "FAIL" | "ERROR" => {
                let reason = message
                    .split_once("]: ")
                    .map_or(message, |(_thread, reason)| reason);
                tracing::debug!("librdkafka: {facility} {message}");
                let mut lock = self.lock();
                lock.doubted = true;
                if let Some(address) = address(reason).map(str::to_owned) {
                    if never_came_about(message) {
                        lock.unreached.entry(address).or_insert_with(Instant::now);
                    } else {
                        lock.reached.insert(address);
                    }
                }
                if !reason.contains("brokers are down") {
                    reason.clone_into(&mut lock.reason);
                }
            }
            // librdkafka has no other way to tell: the call just times out.
            "GETPID" if message.contains("concurrent operation") => {
                tracing::debug!("librdkafka: {message}");
                self.lock().predecessor = true;
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
        self.take_event();
    }

    fn error(&self, error: KafkaError, _: &str) {
        self.take_event();
        self.client_error(&error);
    }
}

/// Whether a client that says this may send a request again that it has sent before. A connection
/// that did not come about has carried none: those of a broker that is away fail again and again.
///
/// librdkafka tells of a connection that breaks before it repeats what was under way on it. It
/// leaves out what it has told within half a minute in the same words, which is enough: the first
/// time counts until the producer is replaced.
fn may_lead_to_a_repetition(facility: &str, message: &str) -> bool {
    matches!(facility, "FAIL" | "ERROR" | "REQTMOUT") && !never_came_about(message)
}

/// Whether a failure is that of a connection which never came about.
fn never_came_about(message: &str) -> bool {
    let words = [
        "Connect to ",
        "Failed to resolve",
        "in state CONNECT",
        "brokers are down",
    ];
    words.iter().any(|words| message.contains(words))
}

/// The address of a broker that others have told of, if what librdkafka says is about one: it
/// begins with `HOST:PORT/ID: ` or `TxnCoordinator: HOST:PORT: `.
fn address(reason: &str) -> Option<&str> {
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

/// Tries to connect.
fn reach(address: &str) -> std::io::Result<()> {
    let mut failed = std::io::Error::other("it has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

impl ConsumerContext for ClientMonitor {
    /// Notes a rebalance for the stage loop instead of answering it here, inside a poll, where the
    /// open transaction cannot be committed.
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
                lock.membership.assigned_partitions();
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
                    lock.membership.session_is_over();
                }
                Rebalance::Revoke
            }
        };
        lock.rebalances.push_back(rebalance);
        self.rebalanced.store(true, Ordering::Release);
    }
}

impl ProducerContext<NoCustomPartitioner> for ClientMonitor {
    type DeliveryOpaque = ();

    /// Only failures are reported: see the property `delivery.report.only.error`.
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.take_event();
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
        let mut first = self.failed();
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
    fn only_a_commit_that_kafka_leaves_unanswered_while_it_answers_others_is_stuck() {
        let monitor = monitor();
        assert!(!monitor.is_commit_stuck(|_| true), "there is no commit");
        monitor.committing(true);
        assert!(!monitor.is_commit_stuck(|_| true), "it has just begun");
        monitor.lock().committing = Some(ago(STUCK_COMMIT + LOOK));
        assert!(!monitor.is_commit_stuck(|_| false), "Kafka is away");
        assert!(monitor.is_commit_stuck(|_| true));
        let ends_meanwhile = |monitor: &ClientMonitor| {
            monitor.committing(false);
            true
        };
        assert!(!monitor.is_commit_stuck(ends_meanwhile));
    }

    #[test]
    fn a_member_is_fenced_by_its_past_only_for_a_session_after_it_came_back() {
        let session = Duration::from_secs(45);
        let monitor = monitor();
        assert!(
            monitor.may_be_fenced_by_its_past(session),
            "it has not joined yet"
        );
        monitor.lock().membership.assigned_partitions();
        assert!(
            !monitor.may_be_fenced_by_its_past(session),
            "it is another's past"
        );
        monitor.lock().membership.session_is_over();
        assert!(monitor.may_be_fenced_by_its_past(session), "it is outside");
        monitor.lock().membership.assigned_partitions();
        assert!(
            monitor.may_be_fenced_by_its_past(session),
            "a heartbeat may be under way"
        );
        monitor.lock().membership = Membership::Inside {
            back: Some(ago(session + LOOK)),
        };
        assert!(
            !monitor.may_be_fenced_by_its_past(session),
            "none is any more"
        );
    }

    #[test]
    fn a_connection_that_breaks_may_lead_to_a_repetition_and_one_that_never_was_does_not() {
        let monitor = monitor();
        let says = |facility: &str, message: &str| {
            let producer = monitor.of_producer();
            producer.log(RDKafkaLogLevel::Info, facility, message);
            assert_eq!(producer.count(), 1);
            producer.may_have_repeated()
        };
        let thread = "[thrd:rpi0:9092/0]: rpi0:9092/0:";
        for broken in [
            "Disconnected (after 2031ms in state UP)",
            "Disconnected (after 31ms in state AUTH_REQ)",
            "Receive failed: Connection reset by peer (after 31ms in state UP)",
            "TxnCoordinator: rpi0:9092: Disconnected (after 2031ms in state UP)",
        ] {
            assert!(says("FAIL", &format!("{thread} {broken}")), "{broken}");
        }
        assert!(says(
            "REQTMOUT",
            &format!("{thread} Timed out EndTxnRequest in flight (after 10015ms, timeout #0)")
        ));
        for never in [
            "Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)",
            "Failed to resolve 'rpi0:9092': Name or service not known (after 3ms in state CONNECT)",
            "Connection setup timed out in state CONNECT (after 30029ms in state CONNECT)",
        ] {
            assert!(!says("FAIL", &format!("{thread} {never}")), "{never}");
        }
        assert!(!says("GETPID", "Failed to acquire PID"));
        assert!(
            !monitor.may_have_repeated() && !monitor.of_producer().may_have_repeated(),
            "others did not"
        );
    }

    #[test]
    fn each_reason_has_a_help_of_its_own() {
        for (reason, how, remedy) in [
            (
                "SASL authentication error: Authentication failed: Invalid username or password",
                "lets",
                "sasl.password",
            ),
            (
                "SASL SCRAM-SHA-256 mechanism handshake failed: Unsupported SASL mechanism",
                "lets",
                "sasl.mechanism",
            ),
            (
                "SSL handshake failed: wrong version number",
                "can be talked to",
                "security.protocol",
            ),
            (
                "Disconnected: closed by peer (after 3ms in state UP, 1 identical)",
                "keeps",
                "security.protocol",
            ),
            (
                "Disconnected: closed by peer (after 0ms in state APIVERSION_QUERY)",
                "keeps",
                "security.protocol",
            ),
            (
                "Disconnected: closed by peer (after 42031ms in state UP)",
                "answers",
                "Kafka runs there",
            ),
            (
                "Connect to ipv4#127.0.0.1:1 failed: Connection refused",
                "answers",
                "Kafka runs there",
            ),
        ] {
            let (said, help) = why_no_answer(reason, "rpi0:9092");
            assert!(
                said.starts_with(how) && help.contains(remedy),
                "{reason}: {said}, {help}"
            );
        }
    }

    #[test]
    fn the_address_of_a_broker_is_that_which_others_told() {
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
            assert_eq!(address(reason), expected, "{reason}");
        }
    }

    #[test]
    fn one_answer_that_is_late_is_not_told() {
        let monitor = monitor();
        monitor.broker_unreachable("timed out");
        assert!(monitor.lock().away.is_none());
        monitor.lock().unanswered = Some(ago(PATIENCE));
        monitor.broker_unreachable("timed out");
        assert!(monitor.lock().away.is_some());
        monitor.broker_reachable();
        assert!(monitor.lock().away.is_none());
        monitor.broker_unreachable("timed out");
        assert!(
            monitor.lock().away.is_none(),
            "what was before the answer does not count"
        );
    }
}
