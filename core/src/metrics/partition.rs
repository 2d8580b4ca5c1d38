//! A partition that the stage reads, or has read: [`PartitionMetrics`].

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::Counter;

/// A partition of a topic that the stage reads, or has read.
#[derive(Debug)]
pub struct PartitionMetrics {
    /// The name of the topic in Kafka.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Records of it that were processed and committed.
    pub processed: Counter,
    is_assigned: AtomicBool,
    /// The committed offset: the next one to process.
    position: AtomicI64,
    /// The last stable offset, as far as it is known.
    end: AtomicI64,
    /// Whether everything up to there is fetched.
    is_fetched: AtomicBool,
}

impl PartitionMetrics {
    pub(super) fn new(topic: &str, partition: i32) -> Self {
        PartitionMetrics {
            topic: topic.to_owned(),
            partition,
            processed: Counter::default(),
            is_assigned: AtomicBool::default(),
            position: AtomicI64::default(),
            end: AtomicI64::default(),
            is_fetched: AtomicBool::default(),
        }
    }

    /// Notes whether it is assigned to the stage.
    pub fn set_assigned(&self, is_assigned: bool) {
        self.is_assigned.store(is_assigned, Ordering::Relaxed);
    }

    /// Whether it is assigned to the stage.
    #[must_use]
    pub fn is_assigned(&self) -> bool {
        self.is_assigned.load(Ordering::Relaxed)
    }

    /// Notes the committed offset.
    pub fn set_position(&self, offset: i64) {
        self.position.store(offset, Ordering::Relaxed);
    }

    /// Notes where it ends, when it is unknown what of it is fetched.
    pub fn set_end(&self, offset: i64) {
        self.end.store(offset, Ordering::Relaxed);
        self.is_fetched.store(false, Ordering::Relaxed);
    }

    /// Notes its last stable offset, and the next offset that the consumer will fetch.
    pub fn fetched(&self, last_stable: i64, next: i64) {
        self.end.store(last_stable, Ordering::Relaxed);
        self.is_fetched
            .store(next >= last_stable, Ordering::Relaxed);
    }

    /// The records that are not committed. `is_drained`: what was fetched is committed.
    ///
    /// It is a difference of offsets, and some of those are transaction markers. If everything is
    /// fetched and committed it is 0, whatever the offsets say.
    pub(super) fn lag(&self, is_drained: bool) -> u64 {
        if is_drained && self.is_fetched.load(Ordering::Relaxed) {
            return 0;
        }
        let [position, end] =
            [&self.position, &self.end].map(|offset| offset.load(Ordering::Relaxed));
        u64::try_from(end - position).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_at_the_end_are_no_lag() {
        let partition = PartitionMetrics::new("t", 0);
        partition.set_position(10);
        partition.set_end(12);
        assert_eq!(partition.lag(true), 2, "two records or two markers");
        partition.fetched(12, 12);
        assert_eq!(partition.lag(false), 2, "they may be in the queue");
        assert_eq!(partition.lag(true), 0);
        partition.fetched(20, 12);
        assert_eq!(partition.lag(true), 10);
    }

    #[test]
    fn a_position_past_a_known_end_is_no_lag() {
        let partition = PartitionMetrics::new("t", 0);
        partition.set_end(12);
        partition.set_position(15);
        assert_eq!(partition.lag(false), 0);
    }
}
