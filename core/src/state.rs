//! The state of a stage's stateful operators, by partition and sensor.

mod budget;
mod digest;
mod partition;
mod record;
mod size;
mod undo;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::budget::BudgetExceeded;
use self::budget::{MemoryBudget, OVERHEAD, STATE};
pub use self::digest::hash;
pub use self::digest::{StateDigest, StateMetadata};
use self::partition::{PartitionState, SensorState, UNKNOWN};
pub use self::record::StateRecord;
use self::undo::{UndoEntry, UndoLog};
use crate::error::{Error, Kind, Result};
use crate::key_state::{self, KeyState};
use crate::operator::Operator;

/// The state of all sensors of the partitions that are assigned to a stage.
///
/// It is in memory. Each commit writes the sensors that have changed to the changelog, in the same
/// transaction, and each of them once.
pub struct State {
    operator: Arc<dyn Operator>,
    /// Its description.
    chain: String,
    /// The names of the input topics.
    inputs: Vec<String>,
    budget: MemoryBudget,
    /// A sensor expires when its last reading is this much older than the newest reading of its
    /// partition, in milliseconds.
    ttl: Option<i64>,
    partitions: Vec<PartitionState>,
    /// The entries that changed since the last commit, as indices of partition and entry.
    changed: Vec<(usize, usize)>,
    /// What the current record has changed.
    undo_log: UndoLog,
    /// The first sensor that was found in two partitions.
    split_sensor: Option<SplitSensor>,
}

/// A sensor whose readings are in more than one partition, so that each has only a part of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitSensor {
    /// The sensor.
    pub sensor: String,
    /// Two of the partitions.
    pub partitions: [i32; 2],
    is_reported: bool,
}

/// How many times within the time to live expired sensors are looked for.
const SWEEPS: i64 = 16;

impl State {
    /// The empty state of a chain, which may grow to `bytes`. A sensor expires when its last
    /// reading is more than `ttl` older than the newest reading of its partition.
    #[must_use]
    pub fn new(
        chain: Arc<dyn Operator>,
        inputs: Vec<String>,
        bytes: u64,
        ttl: Option<Duration>,
    ) -> Self {
        let per_sensor = size_of::<SensorState>()
            + STATE * chain.states()
            + 8 * (chain.numbers() + inputs.len());
        State {
            chain: chain.describe(),
            budget: MemoryBudget {
                per_sensor: (per_sensor + OVERHEAD) as u64,
                left: bytes,
                total: bytes,
            },
            inputs,
            operator: chain,
            ttl: ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)),
            partitions: Vec::new(),
            changed: Vec::new(),
            undo_log: UndoLog::default(),
            split_sensor: None,
        }
    }

    /// The digest of the state that the records of one partition of an input topic have made.
    #[must_use]
    pub fn digest(&self, topic: usize, partition: i32) -> StateDigest {
        let found = self
            .partitions
            .iter()
            .find(|sensors| sensors.partition == partition);
        found
            .map(|sensors| sensors.digests[topic])
            .unwrap_or_default()
    }

    /// Removes the state of all sensors.
    pub fn clear(&mut self) {
        self.partitions.clear();
        self.changed.clear();
        self.undo_log.clear();
        self.budget.left = self.budget.total;
    }

    /// The first sensor that was found in two partitions. It is returned once.
    pub fn take_split_sensor(&mut self) -> Option<SplitSensor> {
        let split_sensor = self
            .split_sensor
            .as_mut()
            .filter(|split_sensor| !split_sensor.is_reported)?;
        split_sensor.is_reported = true;
        Some(split_sensor.clone())
    }

    /// Begins with a record: [`undo`](Self::undo) goes back to here.
    pub fn begin_record(&mut self) {
        self.undo_log.clear();
    }

    /// Gives the operators the states back that they had before the current record, because it
    /// becomes a dead letter. The state contains the record nevertheless: it is processed.
    ///
    /// # Errors
    /// If an operator rejects the numbers of a state that it has made.
    pub fn undo(&mut self) -> Result<()> {
        for UndoEntry { at, numbers } in self.undo_log.drain() {
            let entry = &mut self.partitions[at.0].entries[at.1];
            let states = self.operator.restore(numbers);
            entry.states = states
                .map_err(|why| Error::new(format!("undoing a record of `{}`", self.chain), why))?
                .into();
        }
        Ok(())
    }

    /// The state of a sensor, for the current record to change, which is at `offset` of an input
    /// topic. `None` if the state contains that record already. `time` is the reading's, in
    /// milliseconds since the epoch.
    ///
    /// # Errors
    /// If the sensor is new and the memory budget is used up.
    pub fn apply(
        &mut self,
        topic: usize,
        partition: i32,
        offset: i64,
        sensor: &str,
        time: i64,
    ) -> Result<Option<&mut [Box<dyn KeyState>]>, BudgetExceeded> {
        let at = self.partition(partition);
        self.partitions[at].time = self.partitions[at].time.max(time);
        let index = self.index(at, sensor)?;
        let PartitionState {
            entries,
            digests,
            time: now,
            ..
        } = &mut self.partitions[at];
        let entry = &mut entries[index];
        if entry.last_offsets[topic] >= offset {
            // The record may hold another reading of this sensor.
            let is_current = self.undo_log.contains((at, index));
            return Ok(is_current.then_some(&mut entry.states));
        }
        if self.ttl.is_some_and(|ttl| entry.is_expired(ttl, *now)) {
            entry.states = self.operator.new_states().into();
        }
        self.undo_log.push((at, index), &entry.states);
        entry.time = entry.time.max(time);
        digests[topic].replace(entry.hash, entry.last_offsets[topic], offset);
        entry.last_offsets[topic] = offset;
        if !entry.changed {
            entry.changed = true;
            self.changed.push((at, index));
        }
        Ok(Some(&mut entry.states))
    }

    fn partition(&mut self, partition: i32) -> usize {
        self.partitions
            .iter()
            .position(|sensors| sensors.partition == partition)
            .unwrap_or_else(|| {
                self.partitions.push(PartitionState {
                    partition,
                    by_name: HashMap::new(),
                    entries: Vec::new(),
                    time: UNKNOWN,
                    last_sweep: UNKNOWN,
                    digests: vec![StateDigest::default(); self.inputs.len()].into(),
                });
                self.partitions.len() - 1
            })
    }

    fn index(&mut self, at: usize, sensor: &str) -> Result<usize, BudgetExceeded> {
        let sensors = &mut self.partitions[at];
        if let Some(index) = sensors.by_name.get(sensor) {
            return Ok(*index);
        }
        let Some(left) = self.budget.left.checked_sub(self.budget.cost(sensor)) else {
            // The next commit looks for expired sensors.
            sensors.last_sweep = UNKNOWN;
            return Err(BudgetExceeded {
                bytes: self.budget.total,
            });
        };
        self.budget.left = left;
        if self.split_sensor.is_none() {
            let elsewhere = self
                .partitions
                .iter()
                .find(|other| other.by_name.contains_key(sensor));
            self.split_sensor = elsewhere.map(|other| SplitSensor {
                sensor: sensor.to_owned(),
                partitions: [other.partition, self.partitions[at].partition],
                is_reported: false,
            });
        }
        let sensors = &mut self.partitions[at];
        sensors.entries.push(SensorState {
            sensor: sensor.into(),
            states: self.operator.new_states().into(),
            last_offsets: vec![-1; self.inputs.len()].into(),
            time: UNKNOWN,
            hash: digest::hash(sensor),
            changed: false,
        });
        sensors
            .by_name
            .insert(sensor.into(), sensors.entries.len() - 1);
        Ok(sensors.entries.len() - 1)
    }

    /// Checks that the changes since the last commit can be written to the changelog.
    ///
    /// # Errors
    /// If an operator has put a number into its state that is not finite, which JSON does not have.
    pub fn check(&self) -> Result<()> {
        for (at, index) in &self.changed {
            let SensorState { sensor, states, .. } = &self.partitions[*at].entries[*index];
            let mut numbers = states.iter().map(|state| state.numbers());
            if numbers.any(|numbers| numbers.iter().any(|number| !number.is_finite())) {
                let doing = format!("writing the state of sensor `{sensor}` of `{}`", self.chain);
                let error = Error::new(doing, "an operator keeps a number that is not finite");
                return Err(
                    error.help("fix the operator: it must reject the reading that causes this")
                );
            }
        }
        Ok(())
    }

    /// Writes the state of every sensor that changed since the last call, as partition, sensor and
    /// value. `None` is a tombstone, for a sensor that has expired.
    ///
    /// # Errors
    /// Those of `write`.
    ///
    /// # Panics
    /// Never: text and finite numbers can always be written as JSON.
    pub fn save<E>(
        &mut self,
        mut write: impl FnMut(i32, &str, Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut value = Vec::new();
        for (at, index) in self.changed.drain(..) {
            let sensors = &mut self.partitions[at];
            let entry = &mut sensors.entries[index];
            entry.changed = false;
            let offsets = self
                .inputs
                .iter()
                .zip(&entry.last_offsets)
                .filter(|(_, offset)| **offset >= 0);
            let saved = StateRecord {
                chain: Cow::Borrowed(&self.chain),
                offsets: offsets
                    .map(|(topic, offset)| (Cow::Borrowed(topic.as_str()), *offset))
                    .collect(),
                time: Some(entry.time).filter(|time| *time != UNKNOWN),
                states: key_state::numbers(&entry.states),
            };
            value.clear();
            serde_json::to_writer(&mut value, &saved)
                .expect("text and finite numbers can always be written as JSON");
            write(sensors.partition, &entry.sensor, Some(&value))?;
        }
        let Some(ttl) = self.ttl else { return Ok(()) };
        for sensors in &mut self.partitions {
            if sensors.last_sweep == UNKNOWN
                || sensors.time.saturating_sub(sensors.last_sweep) >= ttl / SWEEPS
            {
                sensors.sweep(ttl, &mut self.budget, &mut write)?;
            }
        }
        Ok(())
    }

    /// Restores one record of the changelog that is not a [checkpoint](crate::checkpoint). A later
    /// record of a sensor replaces an earlier one. A tombstone removes the sensor's state.
    ///
    /// # Errors
    /// If the record is not a state of this chain, or the memory budget is used up.
    pub fn restore(&mut self, partition: i32, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let sensor = match (std::str::from_utf8(key), value) {
            (Ok(sensor), _) => sensor,
            // No sensor has such a name, so there is nothing to remove.
            (Err(_), None) => return Ok(()),
            (Err(error), _) => {
                return Err(Error::new("restoring the state", error).of_kind(Kind::Corrupt));
            }
        };
        let (states, last_offsets, time) = match value {
            None => (
                self.operator.new_states(),
                vec![-1; self.inputs.len()],
                UNKNOWN,
            ),
            Some(value) => {
                let saved: StateRecord<'_> = serde_json::from_slice(value).map_err(|error| {
                    restore_error(sensor, partition, error).of_kind(Kind::Corrupt)
                })?;
                if saved.chain != self.chain || saved.states.len() != self.operator.states() {
                    let cause = format!(
                        "it was made by `{}`, but the stage now is `{}`",
                        saved.chain, self.chain
                    );
                    return Err(restore_error(sensor, partition, cause).of_kind(Kind::Conflict));
                }
                let last_offsets = self
                    .inputs
                    .iter()
                    .map(|topic| saved.offsets.get(topic.as_str()).copied().unwrap_or(-1));
                let numbers: Vec<Vec<f64>> =
                    saved.states.into_iter().map(Cow::into_owned).collect();
                let states = self
                    .operator
                    .restore(&numbers)
                    .map_err(|why| restore_error(sensor, partition, why).of_kind(Kind::Corrupt))?;
                (
                    states,
                    last_offsets.collect::<Vec<_>>(),
                    saved.time.unwrap_or(UNKNOWN),
                )
            }
        };
        let at = self.partition(partition);
        if value.is_none() && !self.partitions[at].by_name.contains_key(sensor) {
            return Ok(());
        }
        let index = self.index(at, sensor).map_err(|exceeded| {
            restore_error(sensor, partition, exceeded)
                .of_kind(Kind::TooLarge)
                .help(BudgetExceeded::HELP)
        })?;
        let PartitionState {
            entries, digests, ..
        } = &mut self.partitions[at];
        let entry = &mut entries[index];
        for (digest, (before, after)) in digests
            .iter_mut()
            .zip(entry.last_offsets.iter().zip(&last_offsets))
        {
            digest.replace(entry.hash, *before, *after);
        }
        (entry.states, entry.last_offsets, entry.time) = (states.into(), last_offsets.into(), time);
        self.partitions[at].time = self.partitions[at].time.max(time);
        Ok(())
    }
}

fn restore_error(sensor: &str, partition: i32, cause: impl fmt::Display) -> Error {
    let doing = format!(
        "restoring the state of sensor `{sensor}` from partition {partition} of the changelog"
    );
    Error::new(doing, cause)
}

#[cfg(test)]
mod tests;
