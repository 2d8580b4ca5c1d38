//! Fetching: records come in batches, each of one partition.

use std::collections::BTreeMap;

use rivulet_core::log::{Fault, TopicPartition};

use super::{Consumer, SimulatedLog, SimulatedRecord, abortable};

/// The largest batch.
const BATCH: u32 = 16;

impl Consumer {
    /// Reads from these offsets on. Whatever was fetched before belongs to an earlier assignment.
    pub(super) fn read_from(&mut self, positions: BTreeMap<TopicPartition, i64>) {
        (self.positions, self.last) = (positions, None);
        self.batch.clear();
    }
}

impl SimulatedLog {
    /// Fetches the next records of an assigned partition, if one has any.
    pub(super) fn fetch(&self) -> Result<(), Fault> {
        let mut partitions: Vec<TopicPartition> =
            self.consumer().borrow().positions.keys().copied().collect();
        if partitions.is_empty() {
            return Ok(());
        }
        // Batches come in runs of one partition.
        if let Some(last) = self
            .consumer()
            .borrow()
            .last
            .filter(|_| !self.world.chance().one_in(4))
        {
            partitions.sort_by_key(|partition| *partition != last);
        } else {
            let first = self.world.chance().index(partitions.len());
            partitions.swap(0, first);
        }
        let size = 1 + self.world.chance().below(BATCH);
        for partition in partitions {
            for _ in 0..size {
                if !self.fetch_one(partition)? {
                    break;
                }
            }
            let mut consumer = self.consumer().borrow_mut();
            if !consumer.batch.is_empty() {
                consumer.last = Some(partition);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Fetches the next record of a partition. `false` if it has none.
    fn fetch_one(&self, partition: TopicPartition) -> Result<bool, Fault> {
        let place = self.place(partition);
        let from = self.consumer().borrow().positions[&partition];
        let cluster = self.world.cluster();
        self.check_topic(&cluster, partition)?;
        let found = cluster
            .fetch(&place, from)
            .map_err(|error| abortable("reading", error))?;
        let found = found.map(|found| SimulatedRecord {
            partition,
            offset: found.offset,
            content: found.content.clone(),
        });
        drop(cluster);
        let mut consumer = self.consumer().borrow_mut();
        let next = found.as_ref().map_or(from, |found| found.offset + 1);
        consumer.positions.insert(partition, next);
        let is_found = found.is_some();
        consumer.batch.extend(found);
        Ok(is_found)
    }
}
