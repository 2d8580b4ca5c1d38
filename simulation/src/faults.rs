//! The faults: what may happen, and how often it did.

use std::fmt;

use crate::chance::Chance;

/// Something bad that happens, or at least something unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A process dies as of a power cut; its session and its transaction live on.
    Crash,
    /// A process is held up while others go on.
    Pause,
    /// It is held up for so long that the group gives its partitions away.
    LostSession,
    /// A member is taken out of its group though it works.
    ThrownOut,
    /// A group calls its members together.
    Rebalance,
    /// A second process with the same name is started.
    Double,
    /// Another instance of a stage is started.
    Joiner,
    /// An instance is asked to stop, and started again later.
    Stop,
    /// No broker answers for a while.
    BrokerAway,
    /// The coordinator aborts a transaction that takes too long.
    TransactionTimeout,
    /// Everything stands still for longer than a transaction may take.
    TimeLeap,
    /// A commit never arrives.
    LostRequest,
    /// A commit arrives when nobody waits for it any more.
    LateRequest,
    /// A commit is done, but the answer is lost.
    LostAnswer,
    /// A changelog is cleaned.
    Compaction,
    /// Records that everybody has read are deleted.
    Retention,
}

/// With how often each is drawn among those that happen at any step.
const ALL: [(Kind, u32); 16] = [
    (Kind::Crash, 6),
    (Kind::Pause, 6),
    (Kind::LostSession, 4),
    (Kind::ThrownOut, 2),
    (Kind::Rebalance, 3),
    (Kind::Double, 2),
    (Kind::Joiner, 1),
    (Kind::Stop, 2),
    (Kind::BrokerAway, 1),
    (Kind::TransactionTimeout, 2),
    (Kind::TimeLeap, 1),
    (Kind::LostRequest, 0),
    (Kind::LateRequest, 0),
    (Kind::LostAnswer, 0),
    (Kind::Compaction, 4),
    (Kind::Retention, 2),
];

impl Kind {
    /// Whether `at-least-once` stands it. Without transactions nothing fences a process that was given up
    /// for dead: when it goes on, it writes an older state over the newer one.
    #[must_use]
    pub fn needs_fences(self) -> bool {
        use Kind::{Double, LateRequest, LostSession, ThrownOut, TimeLeap};
        matches!(self, Double | LateRequest | LostSession | ThrownOut | TimeLeap)
    }

    /// One of those that happen at any step.
    pub fn any(chance: &mut Chance) -> Self {
        let mut at = chance.below(ALL.iter().map(|(_, weight)| weight).sum());
        for (kind, weight) in ALL {
            if at < weight {
                return kind;
            }
            at -= weight;
        }
        Kind::Pause
    }

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Crash => "crash",
            Kind::Pause => "pause",
            Kind::LostSession => "pause past the session",
            Kind::ThrownOut => "thrown out of the group",
            Kind::Rebalance => "rebalance",
            Kind::Double => "second process of the same name",
            Kind::Joiner => "another instance",
            Kind::Stop => "stop",
            Kind::BrokerAway => "brokers away",
            Kind::TransactionTimeout => "transaction timeout",
            Kind::TimeLeap => "standstill",
            Kind::LostRequest => "commit lost",
            Kind::LateRequest => "commit late",
            Kind::LostAnswer => "answer to a commit lost",
            Kind::Compaction => "compaction",
            Kind::Retention => "retention",
        }
    }
}

/// How often each kind has happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts([u64; ALL.len()]);

impl Counts {
    /// It has happened.
    pub fn add(&mut self, kind: Kind) {
        self.0[kind as usize] += 1;
    }

    /// Adds what has happened elsewhere.
    pub fn join(&mut self, other: &Counts) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, other)| *mine += other);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ALL.iter().zip(&self.0).try_for_each(|((kind, _), count)| writeln!(f, "{count:>12}  {}", kind.name()))
    }
}
