//! Whether the consumer is a member of its group.

use std::time::Instant;

/// Whether the consumer is, or was, a member.
#[derive(Debug, Clone, Copy)]
pub(super) enum Membership {
    /// No partitions were assigned yet, or the session has ended.
    NotMember { was_member: bool },
    /// Partitions were assigned, and the session lasts.
    Member {
        /// When it rejoined, if an earlier session of this consumer has ended.
        rejoined: Option<Instant>,
    },
}

impl Membership {
    pub(super) const NEW: Membership = Membership::NotMember { was_member: false };

    pub(super) fn partitions_assigned(&mut self) {
        if let Membership::NotMember { was_member } = *self {
            *self = Membership::Member {
                rejoined: was_member.then(Instant::now),
            };
        }
    }

    pub(super) fn session_ended(&mut self) {
        if let Membership::Member { .. } = self {
            *self = Membership::NotMember { was_member: true };
        }
    }
}
