//! The phases of the stage loop.

use crate::metrics::Activity;

/// What the [stage loop](super::StageLoop) is at. The transitions are drawn there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The group has assigned no partitions.
    Unassigned,
    /// Partitions are assigned; their state is being restored.
    Restoring,
    /// Records are read, processed and committed.
    Running,
    /// Something failed: the transaction is to be aborted.
    RollingBack,
    /// The group takes the partitions: what is processed is committed or aborted.
    Revoking,
}

impl Phase {
    /// What the stage is at, for others.
    pub(super) fn activity(self) -> Activity {
        match self {
            // Partitions that are taken are those of others soon.
            Phase::Unassigned | Phase::Revoking => Activity::Joining,
            Phase::Restoring => Activity::Restoring,
            Phase::Running => Activity::Running,
            Phase::RollingBack => Activity::RollingBack,
        }
    }

    /// Whether the loop may go from this phase to that one.
    pub(super) fn may_become(self, next: Phase) -> bool {
        use Phase::{Restoring, Revoking, RollingBack, Running, Unassigned};
        match self {
            Unassigned => matches!(next, Restoring | RollingBack | Revoking),
            // A rollback without partitions restores nothing.
            Restoring => matches!(next, Running | RollingBack | Unassigned),
            Running => matches!(next, Restoring | RollingBack | Revoking),
            RollingBack => matches!(next, Restoring | RollingBack | Revoking),
            Revoking => matches!(next, Unassigned),
        }
    }
}
