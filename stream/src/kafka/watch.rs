//! What librdkafka reports on the side: rebalances, failed deliveries, brokers that come and go.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{DeliveryResult, NoCustomPartitioner, ProducerContext};
use rdkafka::types::RDKafkaRespErr;

/// A commit that takes longer is one that nobody answers.
const SLOW_COMMIT: Duration = Duration::from_secs(2);

/// How often a lost cluster is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// The ears of a stage's clients; clones share what was heard.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    heard: Arc<Mutex<Heard>>,
    /// Whether there is a rebalance to answer: looked at before every record, so it must cost nothing.
    rebalanced: Arc<AtomicBool>,
    /// Which of the stage's consumers, one after the other, has this clone.
    consumer: u32,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is heard by itself, in any order")]
struct Heard {
    stage: String,
    brokers: String,
    /// Since when no broker has answered, if that is so.
    away: Option<Instant>,
    /// Whether a client has lost its brokers, so that somebody should look.
    doubted: bool,
    looked: Option<Instant>,
    /// The last reason that a connection failed for.
    reason: String,
    /// The last error that was shown.
    said: String,
    rebalances: VecDeque<Rebalance>,
    failed_delivery: Option<String>,
    /// Whether the coordinator is busy ending the transaction of a process that went before.
    predecessor: bool,
    /// Since when a commit is under way.
    committing: Option<Instant>,
    /// Whether the consumer has got partitions since it joined its group, and its session goes on.
    is_member: bool,
    closed: bool,
    /// Which consumer is heard.
    consumer: u32,
}

/// A rebalance that waits for the stage's answer.
#[derive(Debug)]
pub(super) enum Rebalance {
    Assign(Vec<(String, i32)>),
    Revoke,
}

impl Heard {
    fn is_commit_slow(&self) -> bool {
        self.committing.is_some_and(|since| since.elapsed() > SLOW_COMMIT)
    }

    fn no_answer(&mut self, error: &str) {
        if self.away.is_none() {
            self.away = Some(Instant::now());
            let reason = if self.reason.is_empty() { error } else { &self.reason };
            tracing::warn!(
                stage = self.stage,
                "no broker of {} answers: waiting ({reason})\n  help: see that Kafka runs there and that the names \
                 resolve; give other brokers with --brokers or [kafka] brokers",
                if self.brokers.is_empty() { "an empty list" } else { &self.brokers }
            );
        }
    }
}

/// Tells of a commit that takes too long, as long as anybody is there to commit.
fn watch_commits(heard: &Weak<Mutex<Heard>>) {
    while let Some(heard) = heard.upgrade() {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.is_commit_slow() {
            heard.no_answer("a commit gets no answer");
        }
        drop(heard);
        std::thread::sleep(LOOK / 2);
    }
}

impl Watch {
    pub(super) fn new(stage: &str, brokers: &str) -> Self {
        let heard = Heard {
            stage: stage.to_owned(),
            brokers: brokers.to_owned(),
            away: None,
            doubted: false,
            looked: None,
            reason: String::new(),
            said: String::new(),
            rebalances: VecDeque::new(),
            failed_delivery: None,
            predecessor: false,
            committing: None,
            is_member: false,
            closed: false,
            consumer: 0,
        };
        let heard = Arc::new(Mutex::new(heard));
        let weak = Arc::downgrade(&heard);
        let span = tracing::Span::current();
        // Without the thread a slow commit is not told of, and nothing else is missing.
        let _ =
            std::thread::Builder::new().name("commits".into()).spawn(move || span.in_scope(|| watch_commits(&weak)));
        Watch { heard, rebalanced: Arc::default(), consumer: 0 }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        // Nothing that holds the lock can panic half-way.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn next_rebalance(&self) -> Option<Rebalance> {
        if !self.rebalanced.load(Ordering::Acquire) {
            return None;
        }
        let mut heard = self.heard();
        let next = heard.rebalances.pop_front();
        self.rebalanced.store(!heard.rebalances.is_empty(), Ordering::Release);
        next
    }

    pub(super) fn take_failed_delivery(&self) -> Option<String> {
        self.heard().failed_delivery.take()
    }

    /// Whether the transactions of this stage cannot be initialised yet because those of the process that
    /// went before are being ended.
    pub(super) fn take_predecessor(&self) -> bool {
        std::mem::take(&mut self.heard().predecessor)
    }

    /// From now on rebalances are answered without the stage.
    pub(super) fn close(&self) {
        self.heard().closed = true;
    }

    /// There is a new consumer: what the old one has to say of rebalances, now or later, is void.
    pub(super) fn reopen(&mut self) {
        self.consumer += 1;
        let mut heard = self.heard();
        (heard.closed, heard.is_member, heard.consumer) = (false, false, self.consumer);
        heard.rebalances.clear();
        self.rebalanced.store(false, Ordering::Release);
    }

    /// Whether the consumer has got partitions since it joined its group, and its session goes on.
    pub(super) fn is_member(&self) -> bool {
        self.heard().is_member
    }

    /// No broker answers: says so once.
    pub(super) fn no_answer(&self, error: &str) {
        self.heard().no_answer(error);
    }

    /// A commit begins or has ended. While a broker is away librdkafka can keep a commit for as long,
    /// whatever it was told of timeouts, and nothing else is heard meanwhile.
    pub(super) fn committing(&self, is_committing: bool) {
        self.heard().committing = is_committing.then(Instant::now);
    }

    /// A broker answers: says so if none did before. While a commit waits, other answers are no sign that
    /// the stage can go on.
    pub(super) fn answered(&self) {
        let mut heard = self.heard();
        heard.doubted = false;
        if heard.is_commit_slow() {
            return;
        }
        if let Some(since) = heard.away.take() {
            tracing::info!(stage = heard.stage, "Kafka is back after {:.1} s", since.elapsed().as_secs_f64());
        }
        heard.reason.clear();
    }

    /// Whether it is time to look if a broker answers.
    pub(super) fn wants_a_look(&self) -> bool {
        let mut heard = self.heard();
        let due = (heard.doubted || heard.away.is_some()) && heard.looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        if due {
            heard.looked = Some(Instant::now());
        }
        due
    }

    /// What a client reports of its connections. A late report of brokers that were down is no news of
    /// them being so, hence it only raises a doubt.
    pub(super) fn client_error(&self, error: &KafkaError) {
        use RDKafkaErrorCode::{
            AllBrokersDown, BrokerTransportFailure, FencedInstanceId, OperationTimedOut, PartitionEOF, Resolve,
        };
        let mut heard = self.heard();
        match error.rdkafka_error_code() {
            Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve) => {
                heard.doubted = true;
                tracing::debug!("librdkafka: {error}");
            }
            // A reader that is closed right behind the last record.
            Some(PartitionEOF) => {}
            // The stage finds out by whom.
            Some(FencedInstanceId) => tracing::debug!("librdkafka: {error}"),
            // Whatever else it is, it comes again and again until somebody mends it.
            _ if heard.said != error.to_string() => {
                heard.said = error.to_string();
                tracing::warn!(stage = heard.stage, "{error}");
            }
            _ => tracing::debug!("librdkafka: {error}"),
        }
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match facility {
            // Properties of the other kind of client in the same [kafka] table; and what is fatal to a
            // client, which the stage hears of too, and may know a way out.
            "CONFWARN" | "FATAL" => tracing::debug!("librdkafka: {message}"),
            "SESSTMOUT" => {
                tracing::debug!("librdkafka: {facility} {message}");
                self.heard().is_member = false;
            }
            // A connection failed, which may be one of several, or just an idle one: reason to look. What
            // fails again and again is told once, by `no_answer`, with the last reason.
            "FAIL" | "ERROR" => {
                let reason = message.split_once("]: ").map_or(message, |(_thread, reason)| reason);
                tracing::debug!("librdkafka: {facility} {message}");
                let mut heard = self.heard();
                heard.doubted = true;
                if !reason.contains("brokers are down") {
                    reason.clone_into(&mut heard.reason);
                }
            }
            // librdkafka has no other way to tell: the call just times out.
            "GETPID" if message.contains("concurrent operation") => {
                tracing::debug!("librdkafka: {message}");
                self.heard().predecessor = true;
            }
            _ => match level {
                RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                    tracing::error!("librdkafka: {facility} {message}");
                }
                _ => tracing::debug!("librdkafka: {facility} {message}"),
            },
        }
    }

    fn error(&self, error: KafkaError, _: &str) {
        self.client_error(&error);
    }
}

impl ConsumerContext for Watch {
    /// Notes a rebalance for the stage loop instead of answering it here, inside a poll, where the
    /// open transaction cannot be committed.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let mut heard = self.heard();
        if heard.closed || heard.consumer != self.consumer {
            drop(heard);
            let _ = consumer.unassign();
            return;
        }
        let rebalance = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                heard.is_member = true;
                Rebalance::Assign(
                    partitions
                        .elements()
                        .iter()
                        .map(|element| (element.topic().to_owned(), element.partition()))
                        .collect(),
                )
            }
            _ => Rebalance::Revoke,
        };
        heard.rebalances.push_back(rebalance);
        self.rebalanced.store(true, Ordering::Release);
    }
}

impl ProducerContext<NoCustomPartitioner> for Watch {
    type DeliveryOpaque = ();

    /// Only failures are reported: see the property `delivery.report.only.error`.
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.heard().failed_delivery.get_or_insert_with(|| error.to_string());
        }
    }
}
