//! A record as the simulated log returns it.

use rivulet_core::log::{ConsumerRecord, Record, TopicPartition};

use crate::cluster::Content;

/// A record that was read.
#[derive(Debug)]
pub struct SimulatedRecord {
    pub(super) partition: TopicPartition,
    pub(super) offset: i64,
    pub(super) content: Content,
}

impl Record for SimulatedRecord {
    fn fields(&self) -> ConsumerRecord<'_> {
        ConsumerRecord {
            topic: self.partition.topic,
            partition: self.partition.partition,
            offset: self.offset,
            timestamp: self.content.timestamp,
            key: self.content.key.as_deref(),
            value: self.content.value.as_deref(),
            headers: &self.content.headers,
        }
    }

    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        self.content.headers.clone()
    }
}
