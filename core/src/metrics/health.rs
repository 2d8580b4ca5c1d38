//! What a stage is at, and what keeps it from going on: [`Health`].

use std::sync::Mutex;
use std::time::{Instant, SystemTime};

use super::lock;
use crate::text::plain;

/// What a stage is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// It waits for a broker, for its topics, or for the transaction coordinator.
    Connecting,
    /// It waits for the group to assign partitions.
    Joining,
    /// It restores its state, or the position of its source.
    Restoring,
    /// It reads, processes and commits.
    Running,
    /// It rolls back to the last commit.
    RollingBack,
    /// It was asked to stop.
    Stopping,
    /// It has ended, and its process goes on with other stages.
    Stopped,
}

impl Activity {
    /// All of them.
    pub const ALL: [Activity; 7] = [
        Activity::Connecting,
        Activity::Joining,
        Activity::Restoring,
        Activity::Running,
        Activity::RollingBack,
        Activity::Stopping,
        Activity::Stopped,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Activity::Connecting => "connecting",
            Activity::Joining => "joining",
            Activity::Restoring => "restoring",
            Activity::Running => "running",
            Activity::RollingBack => "rolling-back",
            Activity::Stopping => "stopping",
            Activity::Stopped => "stopped",
        }
    }
}

/// What keeps a stage from going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// No broker answers.
    Brokers,
    /// The transaction coordinator does not answer.
    Coordinator,
    /// A topic does not exist.
    Topic,
    /// Nothing could be committed since it rolled back.
    Rollback,
}

impl TroubleKind {
    /// All of them. What comes first explains what comes later.
    pub const ALL: [TroubleKind; 4] = [
        TroubleKind::Brokers,
        TroubleKind::Coordinator,
        TroubleKind::Topic,
        TroubleKind::Rollback,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TroubleKind::Brokers => "brokers",
            TroubleKind::Coordinator => "coordinator",
            TroubleKind::Topic => "topic",
            TroubleKind::Rollback => "rollback",
        }
    }
}

/// Something that keeps a stage from going on, and that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What it is.
    pub kind: TroubleKind,
    /// What is known of it, as [plain] text on one line.
    pub reason: String,
    /// When it began.
    pub since: (Instant, SystemTime),
    /// How often it was reported since.
    pub times: u64,
}

/// What a stage is at, since when, and what keeps it from going on.
#[derive(Debug)]
pub struct Health(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    activity: Activity,
    since: (Instant, SystemTime),
    is_restored: bool,
    troubles: Vec<Trouble>,
}

impl Default for Health {
    fn default() -> Self {
        Health(Mutex::new(Inner {
            activity: Activity::Connecting,
            since: now(),
            is_restored: false,
            troubles: Vec::new(),
        }))
    }
}

impl Health {
    /// The stage begins with something else.
    pub fn enter(&self, activity: Activity) {
        let mut inner = lock(&self.0);
        let is_stopping = matches!(inner.activity, Activity::Stopping | Activity::Stopped);
        // What stops does not begin with anything else.
        if inner.activity != activity && (!is_stopping || activity == Activity::Stopped) {
            (inner.activity, inner.since) = (activity, now());
        }
        match activity {
            Activity::Running => inner.is_restored = true,
            Activity::Connecting | Activity::Joining => inner.is_restored = false,
            Activity::Restoring
            | Activity::RollingBack
            | Activity::Stopping
            | Activity::Stopped => (),
        }
    }

    /// Other partitions are assigned: they are not restored yet.
    pub fn assigned(&self) {
        lock(&self.0).is_restored = false;
    }

    /// What the stage is at, and since when.
    #[must_use]
    pub fn activity(&self) -> (Activity, (Instant, SystemTime)) {
        let inner = lock(&self.0);
        (inner.activity, inner.since)
    }

    /// Whether what is assigned was restored. It stays restored while the stage rolls back.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        lock(&self.0).is_restored
    }

    /// Something keeps the stage from going on. `reason` may quote what others wrote.
    pub fn report(&self, kind: TroubleKind, reason: &str) {
        let reason = plain(reason.split("\n  help: ").next().unwrap_or_default()).into_owned();
        let mut inner = lock(&self.0);
        let known = inner.troubles.iter_mut().find(|known| known.kind == kind);
        if let Some(known) = known {
            (known.reason, known.times) = (reason, known.times + 1);
            return;
        }
        inner.troubles.push(Trouble {
            kind,
            reason,
            since: now(),
            times: 1,
        });
    }

    /// It is over.
    pub fn solved(&self, kind: TroubleKind) {
        lock(&self.0).troubles.retain(|known| known.kind != kind);
    }

    /// What keeps the stage from going on. What comes first explains what comes later.
    #[must_use]
    pub fn troubles(&self) -> Vec<Trouble> {
        let mut troubles = lock(&self.0).troubles.clone();
        troubles.sort_by_key(|trouble| trouble.kind as u8);
        troubles
    }
}

fn now() -> (Instant, SystemTime) {
    (Instant::now(), SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_assignment_makes_it_unrestored() {
        let health = Health::default();
        assert!(!health.is_restored());
        health.enter(Activity::Restoring);
        health.enter(Activity::Running);
        health.enter(Activity::RollingBack);
        health.enter(Activity::Restoring);
        assert!(health.is_restored());
        health.assigned();
        assert!(!health.is_restored());
        health.enter(Activity::Running);
        health.enter(Activity::Joining);
        assert!(!health.is_restored());
    }

    #[test]
    fn what_stops_goes_on_stopping() {
        let health = Health::default();
        health.enter(Activity::Stopping);
        let (_, since) = health.activity();
        health.enter(Activity::Running);
        assert_eq!(health.activity(), (Activity::Stopping, since));
        health.enter(Activity::Stopped);
        health.enter(Activity::Stopping);
        assert_eq!(health.activity().0, Activity::Stopped);
    }

    #[test]
    fn trouble_lasts_from_its_first_report_until_it_is_solved() {
        let health = Health::default();
        health.report(TroubleKind::Rollback, "no answer\n  help: wait");
        let since = health.troubles()[0].since;
        health.report(TroubleKind::Rollback, "disk\nfull");
        health.report(TroubleKind::Brokers, "none");
        let troubles = health.troubles();
        assert_eq!(troubles[0].kind, TroubleKind::Brokers);
        let rollback = &troubles[1];
        assert_eq!((rollback.since, rollback.times), (since, 2));
        assert_eq!(rollback.reason, "disk\\nfull");
        health.solved(TroubleKind::Rollback);
        assert_eq!(health.troubles().len(), 1);
    }
}
