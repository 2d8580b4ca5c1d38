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
pub enum FaultKind {
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
const ALL: [(FaultKind, u32); 25] = [
    (FaultKind::Crash, 6),
    (FaultKind::Pause, 6),
    (FaultKind::LostSession, 4),
    (FaultKind::ThrownOut, 2),
    (FaultKind::Rebalance, 3),
    (FaultKind::Double, 2),
    (FaultKind::Joiner, 1),
    (FaultKind::Elsewhere, 1),
    (FaultKind::Stop, 2),
    (FaultKind::BrokerAway, 1),
    (FaultKind::TransactionTimeout, 2),
    (FaultKind::TimeLeap, 1),
    (FaultKind::LostRequest, 0),
    (FaultKind::LateRequest, 0),
    (FaultKind::LostAnswer, 0),
    (FaultKind::Compaction, 4),
    (FaultKind::Retention, 2),
    (FaultKind::Repeated, 0),
    (FaultKind::Deletion, 3),
    (FaultKind::Anew, 3),
    (FaultKind::Month, 3),
    (FaultKind::Expiry, 0),
    (FaultKind::Partitions, 3),
    (FaultKind::Outside, 12),
    (FaultKind::Forbidden, 1),
];

impl FaultKind {
    /// Whether `at-least-once` stands it. Without transactions nothing fences a process that was
    /// given up for dead: when it goes on, it writes an older state over the newer one.
    #[must_use]
    pub fn needs_fences(self) -> bool {
        use FaultKind::{Double, LateRequest, LostSession, Repeated, ThrownOut, TimeLeap};
        matches!(
            self,
            Double | LateRequest | LostSession | Repeated | ThrownOut | TimeLeap
        )
    }

    /// In which schedules it happens, if not in all.
    fn margin(self) -> Option<fn(Margin) -> bool> {
        match self {
            FaultKind::Deletion => Some(|margin| margin == Margin::Deletion),
            FaultKind::Anew => Some(|margin| margin == Margin::Anew),
            FaultKind::Month => Some(|margin| margin == Margin::Month),
            FaultKind::Partitions => Some(|margin| margin == Margin::Partitions),
            FaultKind::Outside => Some(Margin::has_outsider),
            FaultKind::Forbidden => Some(|margin| margin == Margin::Refusals),
            _ => None,
        }
    }

    /// How often it may happen in one schedule.
    #[must_use]
    pub fn most(self) -> u64 {
        match self {
            // A stage whose offsets and state are both gone is a new one.
            FaultKind::Anew => 1,
            FaultKind::Month | FaultKind::Partitions => 2,
            FaultKind::Deletion => 3,
            _ => u64::MAX,
        }
    }

    /// One of those that happen at any step of a schedule.
    pub fn any(chance: &mut Chance, margin: Margin) -> Self {
        let happens =
            |(kind, _): &&(FaultKind, u32)| kind.margin().is_none_or(|happens| happens(margin));
        let mut at = chance.below(ALL.iter().filter(happens).map(|(_, weight)| weight).sum());
        for (kind, weight) in ALL.iter().filter(happens).copied() {
            if at < weight {
                return kind;
            }
            at -= weight;
        }
        FaultKind::Pause
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
            FaultKind::Crash => "crash",
            FaultKind::Pause => "pause",
            FaultKind::LostSession => "pause past the session",
            FaultKind::ThrownOut => "thrown out of the group",
            FaultKind::Rebalance => "rebalance",
            FaultKind::Double => "second process of the same name",
            FaultKind::Joiner => "another instance",
            FaultKind::Elsewhere => "source on another host, too",
            FaultKind::Stop => "stop",
            FaultKind::BrokerAway => "brokers away",
            FaultKind::TransactionTimeout => "transaction timeout",
            FaultKind::TimeLeap => "standstill",
            FaultKind::LostRequest => "commit lost",
            FaultKind::LateRequest => "commit late",
            FaultKind::LostAnswer => "answer to a commit lost",
            FaultKind::Compaction => "compaction",
            FaultKind::Retention => "retention",
            FaultKind::Repeated => "commit repeated, its copy late",
            FaultKind::Deletion => "records deleted unread",
            FaultKind::Anew => "topic made anew",
            FaultKind::Month => "stage away for a month",
            FaultKind::Expiry => "offsets expired",
            FaultKind::Partitions => "more partitions",
            FaultKind::Outside => "odd records from outside",
            FaultKind::Forbidden => "not authorized for a while",
        }
    }
}

/// How often each kind has happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultCounts([u64; ALL.len()]);

impl FaultCounts {
    /// It has happened.
    pub fn add(&mut self, kind: FaultKind) {
        self.0[kind as usize] += 1;
    }

    /// How often a kind has.
    #[must_use]
    pub fn of(&self, kind: FaultKind) -> u64 {
        self.0[kind as usize]
    }

    /// Adds what has happened elsewhere.
    pub fn join(&mut self, other: &FaultCounts) {
        self.0
            .iter_mut()
            .zip(&other.0)
            .for_each(|(mine, other)| *mine += other);
    }
}

impl fmt::Display for FaultCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ALL.iter()
            .zip(&self.0)
            .try_for_each(|((kind, _), count)| writeln!(f, "{count:>12}  {}", kind.name()))
    }
}
