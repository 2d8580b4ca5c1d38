//! Whether a stage does its work, and if not, why not: [`Readiness`].

use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use rivulet_core::metrics::{Activity, Trouble, TroubleKind};

use super::ObservedStage;

/// Whether a stage does its work, and if not, why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// Its partitions are assigned and restored, and it commits when there is something to do.
    pub is_ready: bool,
    /// Whether it has nothing to do, however long it commits nothing.
    pub(super) is_stalled: bool,
    pub(super) is_hung: bool,
    /// What it is at, and what keeps it from going on, as a sentence without a full stop.
    pub sentence: String,
}

impl Readiness {
    /// That of a stage. It is not ready if something has kept it from going on for `limit`.
    pub(super) fn of(stage: &ObservedStage, limit: Duration, now: Instant) -> Self {
        let health = &stage.metrics.health;
        let (activity, (since, _)) = health.activity();
        let troubles = health.troubles();
        let (idle, stalled) = (stage.idle(now), stage.stalled(now));
        let lasts = |trouble: &&Trouble| {
            let lasted = now.saturating_duration_since(trouble.since.0);
            // What could not be committed once may have been somebody else's to do since.
            lasted >= limit && (trouble.kind != TroubleKind::Rollback || stalled >= limit)
        };
        let is_stalled = stalled >= limit || troubles.iter().any(|trouble| lasts(&trouble));
        let is_hung = idle >= limit && activity != Activity::Stopped;
        let is_at_work =
            health.is_restored() && ![Activity::Stopping, Activity::Stopped].contains(&activity);

        let mut said = Vec::new();
        if is_hung {
            said.push(format!(
                "the stage's thread hangs: it has not moved for {}",
                lasting(idle)
            ));
        }
        said.push(doing(stage, activity, now.saturating_duration_since(since)));
        if stalled >= limit {
            said.push(format!("no commit for {}", lasting(stalled)));
        }
        if stage.is_clock_set == Some(false) {
            said.push("the clock is not set".to_owned());
        }
        // What comes first explains what comes later.
        if let Some(trouble) = troubles.first() {
            said.push(explained(trouble, now));
        }
        Readiness {
            is_ready: is_at_work && !is_stalled && !is_hung,
            is_stalled,
            is_hung,
            sentence: said.join("; "),
        }
    }
}

/// What a stage is at, for `lasted`.
fn doing(stage: &ObservedStage, activity: Activity, lasted: Duration) -> String {
    let metrics = &stage.metrics;
    let lasted = lasting(lasted);
    match activity {
        Activity::Connecting => format!("waiting for Kafka for {lasted}"),
        Activity::Joining => format!("waiting for {lasted} for the group to assign partitions"),
        Activity::Restoring => format!("restoring for {lasted}"),
        Activity::RollingBack => "rolling back to the last commit".to_owned(),
        Activity::Stopping => format!("stopping for {lasted}"),
        Activity::Stopped => "ended".to_owned(),
        Activity::Running => {
            let mut parts = vec!["running".to_owned()];
            let partitions = metrics.partitions();
            let lags: Vec<u64> = partitions
                .iter()
                .filter_map(|partition| metrics.lag(partition))
                .collect();
            if stage.kind == "producer" {
                parts.extend(
                    metrics
                        .spool_readings
                        .get()
                        .map(|n| format!("{n} in the spool")),
                );
            } else {
                parts.push(format!("{} partition{}", lags.len(), plural(lags.len())));
                parts.push(format!("lag {}", lags.iter().sum::<u64>()));
            }
            parts.extend(stage.rate().map(|rate| format!("{rate:.0} records/s")));
            parts.join(", ")
        }
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn explained(trouble: &Trouble, now: Instant) -> String {
    let Trouble {
        kind,
        reason,
        since: (since, time),
        times,
    } = trouble;
    let what = match kind {
        TroubleKind::Rollback if *times > 1 => format!("rolled back {times} times: "),
        TroubleKind::Rollback => "rolled back: ".to_owned(),
        TroubleKind::Brokers | TroubleKind::Coordinator | TroubleKind::Topic => String::new(),
    };
    let lasted = lasting(now.saturating_duration_since(*since));
    format!("{what}{reason}, for {lasted}, since {}", at(*time))
}

/// A time, to the second: `2026-11-30T12:03:04Z`.
fn at(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).unwrap_or_default();
    format!("{time:.0}")
}

/// `41 s`, `12 min`, `3 h`.
fn lasting(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests;
