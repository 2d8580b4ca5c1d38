//! The faults: what can happen, and how often it happened.

use std::fmt;

use crate::chance::Chance;

/// Extra faults of a schedule, at the margins of what Kafka keeps. There not every reading can
/// arrive, and a stage must report each one that it does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Margin {
    /// No extra faults.
    None,
    /// Records are deleted before a stage has read them.
    Deletion,
    /// Topics are deleted and created again.
    Recreation,
    /// Stages are away until offsets expire and records are deleted.
    Month,
    /// Topics get more partitions.
    Partitions,
    /// Topics take only small batches, and an outside producer writes large records.
    Sizes,
    /// Topics reject some records, and writing them is not authorized for a while.
    Rejections,
}

impl Margin {
    /// Draws a margin. Most schedules have none.
    pub fn draw(chance: &mut Chance) -> Self {
        match chance.below(24) {
            0 | 1 => Margin::Deletion,
            2 => Margin::Recreation,
            3 | 4 => Margin::Month,
            5 => Margin::Partitions,
            6 => Margin::Sizes,
            7 => Margin::Rejections,
            _ => Margin::None,
        }
    }

    /// Whether stages may stop, or skip a gap.
    #[must_use]
    pub fn cuts_off(self) -> bool {
        matches!(
            self,
            Margin::Deletion | Margin::Recreation | Margin::Month | Margin::Partitions
        )
    }

    /// Whether an outside producer writes readings, too.
    #[must_use]
    pub fn has_outsider(self) -> bool {
        matches!(self, Margin::Sizes | Margin::Rejections)
    }
}

/// A fault, or at least something unusual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A process dies as in a power cut. Its session and its transaction stay open.
    Crash,
    /// A process is paused while others run.
    Pause,
    /// A process is paused for so long that it loses its partitions.
    LostSession,
    /// A member is removed from its group though it is alive.
    ThrownOut,
    /// A group rebalances.
    Rebalance,
    /// A second process with the same name is started.
    Double,
    /// Another instance of a stage is started.
    Joiner,
    /// A source is started on another host, too.
    Elsewhere,
    /// An instance is shut down, and started again later.
    Stop,
    /// No broker is reachable for a while.
    BrokerAway,
    /// The coordinator aborts a transaction that takes too long.
    TransactionTimeout,
    /// No process runs for longer than a transaction may take.
    TimeLeap,
    /// A commit never arrives.
    LostRequest,
    /// A commit arrives after its sender has stopped waiting for it.
    LateRequest,
    /// A commit succeeds, but the response is lost.
    LostAnswer,
    /// A changelog is compacted.
    Compaction,
    /// Records that all groups have read are deleted.
    Retention,
    /// A commit is sent twice. The second copy is answered, and the first arrives later.
    Repeated,
    /// Records are deleted, read or not.
    Deletion,
    /// A topic is deleted and created again.
    Recreation,
    /// All instances of a stage are away until offsets and records expire.
    Month,
    /// The offsets of an empty group expire.
    Expiry,
    /// A topic gets one more partition.
    Partitions,
    /// An outside producer writes readings, some of them odd.
    Outside,
    /// Writing a topic is not authorized for a while.
    Forbidden,
}

/// All kinds, with their weights among the faults that are drawn at a step. 0 if a kind is drawn
/// elsewhere.
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
    (FaultKind::Recreation, 3),
    (FaultKind::Month, 3),
    (FaultKind::Expiry, 0),
    (FaultKind::Partitions, 3),
    (FaultKind::Outside, 12),
    (FaultKind::Forbidden, 1),
];

impl FaultKind {
    /// Whether `at-least-once` is spared this kind. Without transactions nothing fences a process
    /// that was given up for dead: when it runs again, it overwrites newer state with older.
    #[must_use]
    pub fn needs_fencing(self) -> bool {
        use FaultKind::{Double, LateRequest, LostSession, Repeated, ThrownOut, TimeLeap};
        matches!(
            self,
            Double | LateRequest | LostSession | Repeated | ThrownOut | TimeLeap
        )
    }

    /// The margins that this kind needs. `None` if it happens in all schedules.
    fn margin(self) -> Option<fn(Margin) -> bool> {
        match self {
            FaultKind::Deletion => Some(|margin| margin == Margin::Deletion),
            FaultKind::Recreation => Some(|margin| margin == Margin::Recreation),
            FaultKind::Month => Some(|margin| margin == Margin::Month),
            FaultKind::Partitions => Some(|margin| margin == Margin::Partitions),
            FaultKind::Outside => Some(Margin::has_outsider),
            FaultKind::Forbidden => Some(|margin| margin == Margin::Rejections),
            _ => None,
        }
    }

    /// How often it may happen in one schedule.
    #[must_use]
    pub fn most(self) -> u64 {
        match self {
            // A stage that has lost both its offsets and its state looks like a new one.
            FaultKind::Recreation => 1,
            FaultKind::Month | FaultKind::Partitions => 2,
            FaultKind::Deletion => 3,
            _ => u64::MAX,
        }
    }

    /// Draws one of the kinds that can happen at any step.
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

    /// The kind with this name.
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

    /// The name that `simulate` prints.
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
            FaultKind::Recreation => "topic made anew",
            FaultKind::Month => "stage away for a month",
            FaultKind::Expiry => "offsets expired",
            FaultKind::Partitions => "more partitions",
            FaultKind::Outside => "odd records from outside",
            FaultKind::Forbidden => "not authorized for a while",
        }
    }
}

/// How often each kind happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultCounts([u64; ALL.len()]);

impl FaultCounts {
    /// Counts one.
    pub fn add(&mut self, kind: FaultKind) {
        self.0[kind as usize] += 1;
    }

    /// How often this kind happened.
    #[must_use]
    pub fn of(&self, kind: FaultKind) -> u64 {
        self.0[kind as usize]
    }

    /// Adds the counts of another schedule.
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
