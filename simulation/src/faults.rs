//! The faults: what may happen, and how often it did.

use std::fmt;

use crate::chance::Chance;

/// What may happen in a schedule beside what may happen in all: at the margins of what Kafka keeps,
/// where not everything can arrive, and what cannot must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Margin {
    /// Nothing.
    None,
    /// Records are deleted that a stage has not read.
    Deletion,
    /// Topics are made anew.
    Anew,
    /// Stages are away for so long that offsets expire and records are deleted.
    Month,
    /// Topics get more partitions.
    Partitions,
    /// Topics take no large batches, and somebody outside writes large records.
    Sizes,
    /// Topics refuse records for what they are, and may not be written for a while.
    Refusals,
}

impl Margin {
    /// Draws one: most schedules have none.
    pub fn draw(chance: &mut Chance) -> Self {
        match chance.below(24) {
            0 | 1 => Margin::Deletion,
            2 => Margin::Anew,
            3 | 4 => Margin::Month,
            5 => Margin::Partitions,
            6 => Margin::Sizes,
            7 => Margin::Refusals,
            _ => Margin::None,
        }
    }

    /// Whether stages may stop, or go on behind what they have not read.
    #[must_use]
    pub fn cuts_off(self) -> bool {
        matches!(
            self,
            Margin::Deletion | Margin::Anew | Margin::Month | Margin::Partitions
        )
    }

    /// Whether somebody outside writes readings, too.
    #[must_use]
    pub fn has_outsider(self) -> bool {
        matches!(self, Margin::Sizes | Margin::Refusals)
    }
}

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
    /// A source is started on another host, too.
    Elsewhere,
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
    /// A commit is answered only when it was sent again, and the first copy of it arrives later.
    Repeated,
    /// Records are deleted whether or not anybody has read them.
    Deletion,
    /// A topic is deleted and made anew.
    Anew,
    /// All instances of a stage are away for so long that what is not used expires.
    Month,
    /// The offsets of a group expire in which nobody is.
    Expiry,
    /// A topic gets one more partition.
    Partitions,
    /// Somebody outside writes readings, some of which are odd.
    Outside,
    /// A topic may not be written for a while.
    Forbidden,
}

/// With how often each is drawn among those that happen at any step.
const ALL: [(Kind, u32); 25] = [
    (Kind::Crash, 6),
    (Kind::Pause, 6),
    (Kind::LostSession, 4),
    (Kind::ThrownOut, 2),
    (Kind::Rebalance, 3),
    (Kind::Double, 2),
    (Kind::Joiner, 1),
    (Kind::Elsewhere, 1),
    (Kind::Stop, 2),
    (Kind::BrokerAway, 1),
    (Kind::TransactionTimeout, 2),
    (Kind::TimeLeap, 1),
    (Kind::LostRequest, 0),
    (Kind::LateRequest, 0),
    (Kind::LostAnswer, 0),
    (Kind::Compaction, 4),
    (Kind::Retention, 2),
    (Kind::Repeated, 0),
    (Kind::Deletion, 3),
    (Kind::Anew, 3),
    (Kind::Month, 3),
    (Kind::Expiry, 0),
    (Kind::Partitions, 3),
    (Kind::Outside, 12),
    (Kind::Forbidden, 1),
];

impl Kind {
    /// Whether `at-least-once` stands it. Without transactions nothing fences a process that was
    /// given up for dead: when it goes on, it writes an older state over the newer one.
    #[must_use]
    pub fn needs_fences(self) -> bool {
        use Kind::{Double, LateRequest, LostSession, Repeated, ThrownOut, TimeLeap};
        matches!(
            self,
            Double | LateRequest | LostSession | Repeated | ThrownOut | TimeLeap
        )
    }

    /// In which schedules it happens, if not in all.
    fn margin(self) -> Option<fn(Margin) -> bool> {
        match self {
            Kind::Deletion => Some(|margin| margin == Margin::Deletion),
            Kind::Anew => Some(|margin| margin == Margin::Anew),
            Kind::Month => Some(|margin| margin == Margin::Month),
            Kind::Partitions => Some(|margin| margin == Margin::Partitions),
            Kind::Outside => Some(Margin::has_outsider),
            Kind::Forbidden => Some(|margin| margin == Margin::Refusals),
            _ => None,
        }
    }

    /// How often it may happen in one schedule.
    #[must_use]
    pub fn most(self) -> u64 {
        match self {
            // A stage whose offsets and state are both gone is a new one.
            Kind::Anew => 1,
            Kind::Month | Kind::Partitions => 2,
            Kind::Deletion => 3,
            _ => u64::MAX,
        }
    }

    /// One of those that happen at any step of a schedule.
    pub fn any(chance: &mut Chance, margin: Margin) -> Self {
        let happens =
            |(kind, _): &&(Kind, u32)| kind.margin().is_none_or(|happens| happens(margin));
        let mut at = chance.below(ALL.iter().filter(happens).map(|(_, weight)| weight).sum());
        for (kind, weight) in ALL.iter().filter(happens).copied() {
            if at < weight {
                return kind;
            }
            at -= weight;
        }
        Kind::Pause
    }

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter()
            .map(|(kind, _)| *kind)
            .find(|kind| kind.name() == name)
    }

    /// The names of all kinds.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        ALL.iter().map(|(kind, _)| kind.name()).collect()
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
            Kind::Elsewhere => "source on another host, too",
            Kind::Stop => "stop",
            Kind::BrokerAway => "brokers away",
            Kind::TransactionTimeout => "transaction timeout",
            Kind::TimeLeap => "standstill",
            Kind::LostRequest => "commit lost",
            Kind::LateRequest => "commit late",
            Kind::LostAnswer => "answer to a commit lost",
            Kind::Compaction => "compaction",
            Kind::Retention => "retention",
            Kind::Repeated => "commit repeated, its copy late",
            Kind::Deletion => "records deleted unread",
            Kind::Anew => "topic made anew",
            Kind::Month => "stage away for a month",
            Kind::Expiry => "offsets expired",
            Kind::Partitions => "more partitions",
            Kind::Outside => "odd records from outside",
            Kind::Forbidden => "not authorized for a while",
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

    /// How often a kind has.
    #[must_use]
    pub fn of(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }

    /// Adds what has happened elsewhere.
    pub fn join(&mut self, other: &Counts) {
        self.0
            .iter_mut()
            .zip(&other.0)
            .for_each(|(mine, other)| *mine += other);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ALL.iter()
            .zip(&self.0)
            .try_for_each(|((kind, _), count)| writeln!(f, "{count:>12}  {}", kind.name()))
    }
}
