//! What a running stage tells of itself: [`Metrics`], readable from other threads.

mod client;
mod counter;
mod gauge;
mod health;
mod histogram;
mod partition;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use self::client::{BrokerConnection, Client, ClientStatistics};
pub use self::counter::{Counter, LabelledCounter};
pub use self::gauge::Gauge;
pub use self::health::{Activity, Health, Trouble, TroubleKind};
pub use self::histogram::{Histogram, HistogramSnapshot};
pub use self::partition::PartitionMetrics;
use crate::error::Error;

/// A stage's metrics since its process started.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Records read, or readings of a source. Those that are processed again count again.
    pub read: Counter,
    /// Records read that do not concern the stage: their format yields no reading.
    pub skipped: Counter,
    /// Records written to output topics, or readings written to a sink.
    pub written: Counter,
    /// Dead letters, by reason.
    pub dead: LabelledCounter,
    /// Commits that succeeded.
    pub commits: Counter,
    /// How long they took, in seconds.
    pub commit_time: Histogram,
    /// When the last one succeeded, in milliseconds since the epoch.
    pub last_commit: Gauge,
    /// Aborts: rollbacks to the last commit, by the [kind](crate::error::Kind) of their cause.
    pub aborts: LabelledCounter,
    /// What the consumer group has done to the stage: `assigned`, `revoked`, `lost`.
    pub rebalances: LabelledCounter,
    /// From a record's entry into the pipeline to the commit of its results here, in seconds.
    pub end_to_end: Histogram,
    /// Records that are processed and not committed, or readings of a source that are to be
    /// committed.
    pub uncommitted: Gauge,
    /// Sensors whose state was restored.
    pub restored: Counter,
    /// How long the last restore took, in milliseconds.
    pub restore_time: Gauge,
    /// Sensors with state. Unset for a stage without state, as the next two.
    pub state_sensors: Gauge,
    /// The memory of the state, in bytes, as far as it counts against its limit.
    pub state_bytes: Gauge,
    /// That limit, in bytes.
    pub state_limit: Gauge,
    /// Readings that wait in the spool. Unset without a spool, as the next two.
    pub spool_readings: Gauge,
    /// The size of the spool on the disk, in bytes.
    pub spool_bytes: Gauge,
    /// Readings that were dropped because the spool was full.
    pub spool_dropped: Gauge,
    /// Whether the source needs the machine's clock to be set: it measures, and trusts no other.
    pub needs_clock: AtomicBool,
    /// Whether the producer has replaced one of another instance when it started: 0 or 1.
    pub taken_over: Gauge,
    /// What the stage is at.
    pub health: Health,
    partitions: Mutex<Vec<Arc<PartitionMetrics>>>,
    clients: Mutex<[ClientStatistics; Client::ALL.len()]>,
    /// Whether all that has come is committed.
    is_drained: AtomicBool,
}

impl Metrics {
    /// The metrics of a partition of a topic that is read.
    #[must_use]
    pub fn partition(&self, topic: &str, partition: i32) -> Arc<PartitionMetrics> {
        let mut partitions = lock(&self.partitions);
        let known = partitions
            .iter()
            .find(|known| known.partition == partition && known.topic == topic);
        if let Some(known) = known {
            return known.clone();
        }
        let new = Arc::new(PartitionMetrics::new(topic, partition));
        partitions.push(new.clone());
        new
    }

    /// The metrics of all partitions that were ever assigned.
    #[must_use]
    pub fn partitions(&self) -> Vec<Arc<PartitionMetrics>> {
        lock(&self.partitions).clone()
    }

    /// A commit has succeeded at `time`, in milliseconds since the epoch, and `took` so long.
    pub fn committed(&self, took: Duration, time: i64) {
        self.commits.add(1);
        self.commit_time.observe(took.as_secs_f64(), 1);
        self.last_commit.set(u64::try_from(time).unwrap_or(0));
        self.uncommitted.set(0);
        self.health.solved(TroubleKind::Rollback);
    }

    /// The stage rolls back to the last commit.
    pub fn rolled_back(&self, cause: &Error) {
        self.aborts.add(cause.kind().name(), 1);
        self.health
            .report(TroubleKind::Rollback, &cause.to_string());
    }

    /// A restore has taken so long.
    pub fn restored_in(&self, took: Duration) {
        let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX - 1);
        self.restore_time.set(took);
    }

    /// No partition is assigned.
    pub fn unassigned(&self) {
        for partition in &*lock(&self.partitions) {
            partition.set_assigned(false);
        }
    }

    /// Notes whether all that has come is committed, and nothing came for a moment.
    pub fn set_drained(&self, is_drained: bool) {
        self.is_drained.store(is_drained, Ordering::Relaxed);
    }

    /// The consumer lag of an assigned partition in records, as far as the stage can tell. It is a
    /// difference of offsets, and some of those may be transaction markers. At the end it is exact.
    /// `None` if the partition is not assigned.
    #[must_use]
    pub fn lag(&self, partition: &PartitionMetrics) -> Option<u64> {
        partition
            .is_assigned()
            .then(|| partition.lag(self.is_drained.load(Ordering::Relaxed)))
    }

    /// Everything there is to do, as far as the stage can tell: the lag of all partitions, and
    /// what is not committed.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        let partitions = self.partitions();
        let lag: u64 = partitions
            .iter()
            .filter_map(|partition| self.lag(partition))
            .sum();
        let [uncommitted, spool] =
            [&self.uncommitted, &self.spool_readings].map(|gauge| gauge.get().unwrap_or(0));
        lag.max(uncommitted).max(spool)
    }

    /// What a client of the stage reports.
    pub fn set_client(&self, client: Client, statistics: ClientStatistics) {
        lock(&self.clients)[client as usize] = statistics;
    }

    /// What the clients have reported.
    #[must_use]
    pub fn clients(&self) -> Vec<(Client, ClientStatistics)> {
        let clients = lock(&self.clients).clone();
        Client::ALL.into_iter().zip(clients).collect()
    }
}

/// Nothing that holds one of these locks can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_comes_back_counts_on() {
        let metrics = Metrics::default();
        let first = metrics.partition("celsius", 3);
        first.processed.add(7);
        first.set_assigned(true);
        metrics.unassigned();
        assert_eq!(metrics.lag(&first), None);
        assert_eq!(metrics.partition("celsius", 3).processed.get(), 7);
        assert_eq!(metrics.partition("celsius", 2).processed.get(), 0);
        assert_eq!(metrics.partitions().len(), 2);
    }

    /// A source sends again what it has, and may wait for hours until that is committed.
    #[test]
    fn a_rollback_leaves_what_is_to_be_committed() {
        let metrics = Metrics::default();
        metrics.uncommitted.set(3);
        metrics.rolled_back(&Error::new("committing", "no answer"));
        assert_eq!(metrics.backlog(), 3);
        metrics.committed(Duration::ZERO, 0);
        assert_eq!(metrics.backlog(), 0);
    }

    #[test]
    fn the_backlog_is_what_is_unread_uncommitted_or_in_the_spool() {
        let metrics = Metrics::default();
        assert_eq!(metrics.backlog(), 0);
        metrics.uncommitted.set(3);
        assert_eq!(metrics.backlog(), 3);
        for number in [0, 1] {
            let partition = metrics.partition("celsius", number);
            partition.set_assigned(true);
            partition.set_position(10);
            partition.set_end(15);
        }
        assert_eq!(metrics.backlog(), 10);
        metrics.unassigned();
        metrics.spool_readings.set(8);
        assert_eq!(metrics.backlog(), 8);
    }
}
