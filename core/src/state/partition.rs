//! The state of one partition: its sensors, each with the state of its operators.

use std::collections::HashMap;

use super::budget::MemoryBudget;
use super::digest::StateDigest;
use crate::error::Result;
use crate::key_state::KeyState;

/// The time of a reading if none is known.
pub(super) const UNKNOWN: i64 = i64::MIN;

/// The sensors of one partition.
#[derive(Debug)]
pub(super) struct PartitionState {
    pub(super) partition: i32,
    pub(super) by_name: HashMap<Box<str>, usize>,
    pub(super) entries: Vec<SensorState>,
    /// The time of the newest reading, in milliseconds since the epoch.
    pub(super) time: i64,
    /// The value of `time` when expired sensors were last looked for.
    pub(super) last_sweep: i64,
    /// One for each input topic.
    pub(super) digests: Box<[StateDigest]>,
}

/// The state of one sensor.
#[derive(Debug)]
pub(super) struct SensorState {
    pub(super) sensor: Box<str>,
    /// One for each stateful operator of the chain.
    pub(super) states: Box<[Box<dyn KeyState>]>,
    /// For each input topic the offset of the last record that is in the state. −1 if none is.
    pub(super) last_offsets: Box<[i64]>,
    /// The time of its newest reading, in milliseconds since the epoch.
    pub(super) time: i64,
    /// A hash of the sensor's name.
    pub(super) hash: u64,
    pub(super) changed: bool,
}

impl SensorState {
    pub(super) fn is_expired(&self, ttl: i64, now: i64) -> bool {
        self.time != UNKNOWN && self.time.saturating_add(ttl) < now
    }
}

impl PartitionState {
    /// Removes the expired sensors and writes a tombstone for each.
    pub(super) fn sweep<E>(
        &mut self,
        ttl: i64,
        budget: &mut MemoryBudget,
        write: &mut impl FnMut(i32, &str, Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.last_sweep = self.time;
        for index in (0..self.entries.len()).rev() {
            if !self.entries[index].is_expired(ttl, self.time) {
                continue;
            }
            let SensorState {
                sensor,
                last_offsets,
                hash,
                ..
            } = self.entries.swap_remove(index);
            write(self.partition, &sensor, None)?;
            for (digest, last_offsets) in self.digests.iter_mut().zip(&last_offsets) {
                digest.replace(hash, *last_offsets, -1);
            }
            self.by_name.remove(&sensor);
            if let Some(moved) = self.entries.get(index) {
                self.by_name.insert(moved.sensor.clone(), index);
            }
            budget.left += budget.cost(&sensor);
        }
        Ok(())
    }
}
