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

/// A commit that takes longer although a broker answers will never end.
const STUCK_COMMIT: Duration = Duration::from_secs(30);

/// How long asking is in vain before that counts as no answer: a busy broker takes its time.
const PATIENCE: Duration = Duration::from_secs(1);

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
struct Heard {
    stage: String,
    brokers: String,
    /// Since when asking has been in vain, if that is so.
    unanswered: Option<Instant>,
    /// Since when no broker has answered, as far as that was told.
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

    fn given_partitions(&mut self) {
        if let Membership::Outside { was_inside } = *self {
            *self = Membership::Inside { back: was_inside.then(Instant::now) };
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

impl Heard {
    fn is_committing_for(&self, time: Duration) -> bool {
        self.committing.is_some_and(|since| since.elapsed() > time)
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

/// Tells of a commit that takes too long, as long as anybody is there to commit. Ends the process if that
/// is stuck: the thread that commits is inside librdkafka, and nothing gets it out.
fn watch_commits(heard: &Weak<Mutex<Heard>>, answers: impl Fn(&Watch) -> bool) {
    while let Some(heard) = heard.upgrade() {
        let watch = Watch { heard, rebalanced: Arc::default(), consumer: u32::MAX };
        watch.tell_of_slow_commit();
        if watch.is_commit_stuck(&answers) {
            tracing::error!(
                "Kafka answers, but a commit has had no answer for {} s: ending, to begin anew at the last commit\n  \
                 help: start this stage again, unless systemd does",
                STUCK_COMMIT.as_secs()
            );
            std::process::exit(1);
        }
        drop(watch);
        std::thread::sleep(LOOK / 2);
    }
}

impl Watch {
    /// `answers` asks, by a client of its own, whether a broker answers.
    pub(super) fn new(stage: &str, brokers: &str, answers: impl Fn(&Watch) -> bool + Send + 'static) -> Self {
        let heard = Heard {
            stage: stage.to_owned(),
            brokers: brokers.to_owned(),
            unanswered: None,
            away: None,
            doubted: false,
            looked: None,
            reason: String::new(),
            said: String::new(),
            rebalances: VecDeque::new(),
            failed_delivery: None,
            predecessor: false,
            committing: None,
            membership: Membership::NEW,
            closed: false,
            consumer: 0,
        };
        let heard = Arc::new(Mutex::new(heard));
        let weak = Arc::downgrade(&heard);
        let span = tracing::Span::current();
        // Without the thread a slow commit is not told of, and a stuck one stays so; nothing else is missing.
        let watching = move || span.in_scope(|| watch_commits(&weak, answers));
        let _ = std::thread::Builder::new().name("commits".into()).spawn(watching);
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
        (heard.closed, heard.membership, heard.consumer) = (false, Membership::NEW, self.consumer);
        heard.rebalances.clear();
        self.rebalanced.store(false, Ordering::Release);
    }

    /// Whether a member that is told that it is fenced may have been so by its own past: it is outside the
    /// group, or what it sent in a session that is over can still be answered. A heartbeat is given up
    /// after one `session`.
    pub(super) fn may_be_fenced_by_its_past(&self, session: Duration) -> bool {
        match self.heard().membership {
            Membership::Outside { .. } => true,
            Membership::Inside { back } => back.is_some_and(|back| back.elapsed() <= session),
        }
    }

    /// No broker answers: says so once, if that goes on.
    pub(super) fn no_answer(&self, error: &str) {
        let mut heard = self.heard();
        let since = *heard.unanswered.get_or_insert_with(Instant::now);
        if since.elapsed() >= PATIENCE {
            heard.no_answer(error);
        }
    }

    /// A commit begins or has ended. While a broker is away librdkafka can keep a commit for as long,
    /// whatever it was told of timeouts, and nothing else is heard meanwhile.
    pub(super) fn committing(&self, is_committing: bool) {
        self.heard().committing = is_committing.then(Instant::now);
    }

    fn tell_of_slow_commit(&self) {
        let mut heard = self.heard();
        if heard.is_committing_for(SLOW_COMMIT) {
            heard.no_answer("a commit gets no answer");
        }
    }

    /// Whether a commit is under way that librdkafka has lost sight of: its issue 5511 is one way to that.
    fn is_commit_stuck(&self, answers: impl Fn(&Watch) -> bool) -> bool {
        let is_long = || self.heard().is_committing_for(STUCK_COMMIT);
        // It may have ended while the broker was asked.
        is_long() && answers(self) && is_long()
    }

    /// A broker answers: says so if none did before. While a commit waits, other answers are no sign that
    /// the stage can go on.
    pub(super) fn answered(&self) {
        let mut heard = self.heard();
        (heard.doubted, heard.unanswered) = (false, None);
        if heard.is_committing_for(SLOW_COMMIT) {
            return;
        }
        if let Some(since) = heard.away.take() {
            tracing::info!(stage = heard.stage, "Kafka is back after {:.1} s", since.elapsed().as_secs_f64());
        }
        heard.reason.clear();
    }

    /// Whether no broker has answered for a while.
    pub(super) fn is_away(&self) -> bool {
        self.heard().away.is_some()
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
            AllBrokersDown, BrokerTransportFailure, FencedInstanceId, OperationTimedOut, PartitionEOF, PollExceeded,
            Resolve,
        };
        let mut heard = self.heard();
        match error.rdkafka_error_code() {
            Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve) => {
                heard.doubted = true;
                tracing::debug!("librdkafka: {error}");
            }
            // A reader that is closed right behind the last record.
            Some(PartitionEOF) => {}
            // The stage finds out by whom; and what kept it from polling was told while it did.
            Some(FencedInstanceId | PollExceeded) => tracing::debug!("librdkafka: {error}"),
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
                self.heard().membership.session_is_over();
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
                heard.membership.given_partitions();
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
                    heard.membership.session_is_over();
                }
                Rebalance::Revoke
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        Watch::new("ewma", "rpi0:9092", |_| false)
    }

    fn ago(time: Duration) -> Instant {
        Instant::now().checked_sub(time).expect("this machine has been up for longer")
    }

    #[test]
    fn only_a_commit_that_kafka_leaves_unanswered_while_it_answers_others_is_stuck() {
        let watch = watch();
        assert!(!watch.is_commit_stuck(|_| true), "there is no commit");
        watch.committing(true);
        assert!(!watch.is_commit_stuck(|_| true), "it has just begun");
        watch.heard().committing = Some(ago(STUCK_COMMIT + LOOK));
        assert!(!watch.is_commit_stuck(|_| false), "Kafka is away");
        assert!(watch.is_commit_stuck(|_| true));
        let ends_meanwhile = |watch: &Watch| {
            watch.committing(false);
            true
        };
        assert!(!watch.is_commit_stuck(ends_meanwhile));
    }

    #[test]
    fn a_member_is_fenced_by_its_past_only_for_a_session_after_it_came_back() {
        let session = Duration::from_secs(45);
        let watch = watch();
        assert!(watch.may_be_fenced_by_its_past(session), "it has not joined yet");
        watch.heard().membership.given_partitions();
        assert!(!watch.may_be_fenced_by_its_past(session), "it is another's past");
        watch.heard().membership.session_is_over();
        assert!(watch.may_be_fenced_by_its_past(session), "it is outside");
        watch.heard().membership.given_partitions();
        assert!(watch.may_be_fenced_by_its_past(session), "a heartbeat may be under way");
        watch.heard().membership = Membership::Inside { back: Some(ago(session + LOOK)) };
        assert!(!watch.may_be_fenced_by_its_past(session), "none is any more");
    }

    #[test]
    fn one_answer_that_is_late_is_not_told() {
        let watch = watch();
        watch.no_answer("timed out");
        assert!(watch.heard().away.is_none());
        watch.heard().unanswered = Some(ago(PATIENCE));
        watch.no_answer("timed out");
        assert!(watch.heard().away.is_some());
        watch.answered();
        assert!(watch.heard().away.is_none());
        watch.no_answer("timed out");
        assert!(watch.heard().away.is_none(), "what was before the answer does not count");
    }
}
