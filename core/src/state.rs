//! The state of a stage's stateful operators, by partition and sensor.

mod digest;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::digest::hash;
pub use self::digest::{StateDigest, StateMetadata};
use crate::error::{Error, Result};
use crate::operator::{KeyState, Operator};
use crate::size::Size;

/// The state of all sensors of the partitions that are assigned to a stage.
///
/// It is in memory. Each commit writes the sensors that have changed to the changelog, in the same
/// transaction, and each of them once.
#[derive(Debug)]
pub struct State {
    /// The description of the chain.
    chain: String,
    /// The names of the input topics.
    inputs: Vec<String>,
    /// How many [`KeyState`]s the chain keeps for each sensor.
    states: usize,
    budget: MemoryBudget,
    /// A sensor expires when its last reading is this much older than the newest reading of its
    /// partition, in milliseconds.
    ttl: Option<i64>,
    partitions: Vec<PartitionState>,
    /// The entries that changed since the last commit, as indices of partition and entry.
    changed: Vec<(usize, usize)>,
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

/// The time of a reading if none is known.
const UNKNOWN: i64 = i64::MIN;

/// How many times within the time to live expired sensors are looked for.
const SWEEPS: i64 = 16;

/// The sensors of one partition.
#[derive(Debug)]
struct PartitionState {
    partition: i32,
    by_name: HashMap<Box<str>, usize>,
    entries: Vec<SensorState>,
    /// The time of the newest reading, in milliseconds since the epoch.
    time: i64,
    /// The value of `time` when expired sensors were last looked for.
    last_sweep: i64,
    /// One for each input topic.
    digests: Box<[StateDigest]>,
}

/// The state of one sensor.
#[derive(Debug)]
struct SensorState {
    sensor: Box<str>,
    /// One for each stateful operator of the chain.
    states: Box<[KeyState]>,
    /// For each input topic the offset of the last record that is in the state. −1 if none is.
    last_offsets: Box<[i64]>,
    /// The time of its newest reading, in milliseconds since the epoch.
    time: i64,
    /// A hash of the sensor's name.
    hash: u64,
    changed: bool,
}

impl SensorState {
    fn is_expired(&self, ttl: i64, now: i64) -> bool {
        self.time != UNKNOWN && self.time.saturating_add(ttl) < now
    }
}

/// How large the state may be, in bytes.
#[derive(Debug)]
struct MemoryBudget {
    /// The cost of a sensor without its name.
    per_sensor: u64,
    left: u64,
    total: u64,
}

/// What the allocator and the hash table add to an entry, in bytes.
const OVERHEAD: usize = 128;

/// The state has used up its memory budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetExceeded {
    bytes: u64,
}

impl BudgetExceeded {
    /// What to do about it.
    pub const HELP: &'static str = "give the stage more memory ([limits] memory, or --memory-max), \
                                    or run more instances of it";
}

impl fmt::Display for BudgetExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the state has reached its memory budget of {}",
            Size(self.bytes)
        )
    }
}

impl std::error::Error for BudgetExceeded {}

/// The value of a changelog record, in JSON: the state of one sensor. The key is the sensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateRecord<'a> {
    /// The description of the chain.
    #[serde(borrow)]
    pub chain: Cow<'a, str>,
    /// For each input topic the offset of the last record that is in the state.
    #[serde(borrow)]
    pub offsets: BTreeMap<Cow<'a, str>, i64>,
    /// The time of the sensor's newest reading, in milliseconds since the epoch. `None` in records
    /// of versions that did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
    /// One for each stateful operator of the chain, in order.
    #[serde(rename = "memories")]
    pub states: Cow<'a, [KeyState]>,
}

impl State {
    /// The empty state of a chain, which may grow to `bytes`. A sensor expires when its last
    /// reading is more than `ttl` older than the newest reading of its partition.
    #[must_use]
    pub fn new(
        chain: &dyn Operator,
        inputs: Vec<String>,
        bytes: u64,
        ttl: Option<Duration>,
    ) -> Self {
        let states = chain.states();
        let per_sensor = size_of::<SensorState>()
            + size_of::<KeyState>() * states
            + 8 * (chain.numbers() + inputs.len());
        State {
            chain: chain.describe(),
            budget: MemoryBudget {
                per_sensor: (per_sensor + OVERHEAD) as u64,
                left: bytes,
                total: bytes,
            },
            inputs,
            states,
            ttl: ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)),
            partitions: Vec::new(),
            changed: Vec::new(),
            split_sensor: None,
        }
    }

    /// How many sensors have state.
    #[must_use]
    pub fn sensors(&self) -> usize {
        let known = |entry: &&SensorState| entry.last_offsets.iter().any(|offset| *offset >= 0);
        self.partitions
            .iter()
            .map(|sensors| sensors.entries.iter().filter(known).count())
            .sum()
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

    /// The state of a sensor, for the record at `offset` of an input topic to change. `None` if the
    /// state contains that record already. `time` is the reading's, in milliseconds since the
    /// epoch.
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
    ) -> Result<Option<&mut [KeyState]>, BudgetExceeded> {
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
            return Ok(None);
        }
        if self.ttl.is_some_and(|ttl| entry.is_expired(ttl, *now)) {
            entry.states.iter_mut().for_each(KeyState::clear);
        }
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
            states: vec![KeyState::new(); self.states].into(),
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
            if states.iter().flatten().any(|number| !number.is_finite()) {
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
                states: Cow::Borrowed(&entry.states),
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
            (Err(error), _) => return Err(Error::new("restoring the state", error)),
        };
        let (states, last_offsets, time) = match value {
            None => (
                vec![KeyState::new(); self.states],
                vec![-1; self.inputs.len()],
                UNKNOWN,
            ),
            Some(value) => {
                let saved: StateRecord<'_> = serde_json::from_slice(value)
                    .map_err(|error| restore_error(sensor, partition, error))?;
                if saved.chain != self.chain || saved.states.len() != self.states {
                    let cause = format!(
                        "it was made by `{}`, but the stage now is `{}`",
                        saved.chain, self.chain
                    );
                    return Err(restore_error(sensor, partition, cause));
                }
                let last_offsets = self
                    .inputs
                    .iter()
                    .map(|topic| saved.offsets.get(topic.as_str()).copied().unwrap_or(-1));
                (
                    saved.states.to_vec(),
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
            restore_error(sensor, partition, exceeded).help(BudgetExceeded::HELP)
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

impl MemoryBudget {
    fn cost(&self, sensor: &str) -> u64 {
        // The name is stored twice: in the entry and as the key to find it.
        self.per_sensor + 2 * sensor.len() as u64
    }
}

impl PartitionState {
    /// Removes the expired sensors and writes a tombstone for each.
    fn sweep<E>(
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Emitter;
    use crate::reading::{InvalidReading, Reading};

    /// Keeps one number for each sensor.
    struct Named(&'static str);

    impl Operator for Named {
        fn process(
            &self,
            _: Reading<'_>,
            _: &mut [KeyState],
            _: &mut Emitter<'_>,
        ) -> Result<(), InvalidReading> {
            Ok(())
        }

        fn states(&self) -> usize {
            1
        }

        fn numbers(&self) -> usize {
            1
        }

        fn describe(&self) -> String {
            self.0.to_owned()
        }
    }

    fn state(chain: &'static str) -> State {
        State::new(&Named(chain), vec!["in".into()], 1_000_000, None)
    }

    /// The state for a new record, within the budget.
    fn apply<'s>(
        state: &'s mut State,
        partition: i32,
        offset: i64,
        sensor: &str,
    ) -> &'s mut [KeyState] {
        state
            .apply(0, partition, offset, sensor, 7)
            .unwrap()
            .unwrap()
    }

    /// What a commit writes: partition, sensor and value, which is empty for a tombstone.
    fn saved(state: &mut State) -> Vec<(i32, String, String)> {
        let mut out = Vec::new();
        state
            .save(|partition, sensor, value| {
                out.push((
                    partition,
                    sensor.to_owned(),
                    String::from_utf8_lossy(value.unwrap_or_default()).into_owned(),
                ));
                Ok::<(), ()>(())
            })
            .unwrap();
        out
    }

    #[test]
    fn a_saved_state_is_restored_and_each_sensor_is_saved_once() {
        let mut first = state("ewma(alpha=0.5)");
        for offset in 0..10_i32 {
            apply(&mut first, 2, offset.into(), "a")[0] = vec![f64::from(offset) + 0.1];
        }
        let records = saved(&mut first);
        let value = r#"{"chain":"ewma(alpha=0.5)","offsets":{"in":9},"time":7,"memories":[[9.1]]}"#;
        assert_eq!(records, [(2, "a".to_owned(), value.to_owned())]);
        assert!(saved(&mut first).is_empty(), "nothing has changed since");

        let mut second = state("ewma(alpha=0.5)");
        second.restore(2, b"a", Some(value.as_bytes())).unwrap();
        assert_eq!(second.digest(0, 2), first.digest(0, 2));
        assert_eq!(
            second.apply(0, 2, 9, "a", 7),
            Ok(None),
            "the record at 9 is in the state already"
        );
        assert_eq!(apply(&mut second, 2, 10, "a"), [vec![9.1]]);
    }

    #[test]
    fn a_sensor_has_a_state_in_each_partition() {
        let mut state = state("c");
        apply(&mut state, 0, 0, "a")[0].push(1.0);
        assert_eq!(apply(&mut state, 1, 0, "a"), [KeyState::new()]);
        assert_eq!(state.sensors(), 2);
    }

    #[test]
    fn a_tombstone_removes_a_state_and_the_last_record_counts() {
        let mut state = state("c");
        for number in ["1.5", "2.5"] {
            let value = format!(r#"{{"chain":"c","offsets":{{}},"memories":[[{number}]]}}"#);
            state.restore(0, b"a", Some(value.as_bytes())).unwrap();
        }
        assert_eq!(apply(&mut state, 0, 0, "a"), [vec![2.5]]);
        state.restore(0, b"a", None).unwrap();
        assert_eq!(
            (state.digest(0, 0), state.sensors()),
            (StateDigest::default(), 0)
        );
        assert_eq!(apply(&mut state, 0, 0, "a"), [KeyState::new()]);
    }

    #[test]
    fn a_tombstone_may_have_any_key() {
        assert_eq!(state("c").restore(0, b"\xff", None), Ok(()));
        assert!(state("c").restore(0, b"\xff", Some(b"")).is_err());
    }

    #[test]
    fn the_state_of_another_chain_is_an_error() {
        let value = br#"{"chain":"ewma(alpha=0.5)","offsets":{},"memories":[[1.0]]}"#;
        let error = state("ewma(alpha=0.3)")
            .restore(0, b"a", Some(value))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("made by `ewma(alpha=0.5)`, but the stage now is `ewma(alpha=0.3)`"),
            "{error}"
        );
    }

    fn with_ttl(ttl: u64) -> State {
        State::new(
            &Named("c"),
            vec!["in".into()],
            1_000_000,
            Some(Duration::from_millis(ttl)),
        )
    }

    #[test]
    fn a_sensor_expires_when_its_partition_is_ahead_by_the_ttl() {
        let mut state = with_ttl(100);
        state.apply(0, 0, 0, "old", 1000).unwrap().unwrap()[0].push(1.5);
        state.apply(0, 0, 1, "new", 1100).unwrap();
        assert_eq!(
            state.apply(0, 0, 2, "old", 1000),
            Ok(Some(&mut [vec![1.5]][..])),
            "not yet"
        );
        state.apply(0, 0, 3, "new", 1101).unwrap();
        state.apply(0, 1, 0, "other", 9999).unwrap();
        let records = saved(&mut state);
        assert_eq!(
            records.last().unwrap(),
            &(0, "old".to_owned(), String::new())
        );
        assert_eq!(
            (state.sensors(), state.digest(0, 0)),
            (2, StateDigest::of([("new", 3)]))
        );
        assert_eq!(
            apply(&mut state, 0, 4, "old"),
            [KeyState::new()],
            "its state is empty, although the reading is late"
        );
    }

    /// The results must not depend on whether an expired sensor is still in memory.
    #[test]
    fn results_do_not_depend_on_when_sensors_are_removed() {
        const READINGS: [(&str, i64); 8] = [
            ("a", 0),
            ("b", 50),
            ("a", 90),
            ("b", 170),
            ("a", 180),
            ("c", 400),
            ("b", 380),
            ("a", 401),
        ];
        fn run(save_each: bool) -> Vec<usize> {
            let mut state = with_ttl(100);
            let mut seen = Vec::new();
            for (offset, (sensor, time)) in (0..).zip(READINGS) {
                let states = state.apply(0, 0, offset, sensor, time).unwrap().unwrap();
                states[0].push(1.0);
                seen.push(states[0].len());
                if save_each {
                    saved(&mut state);
                }
            }
            seen
        }
        assert_eq!(run(false), [1, 1, 2, 1, 3, 1, 1, 1]);
        assert_eq!(run(true), run(false));
    }

    #[test]
    fn a_sensor_in_two_partitions_is_reported_once() {
        let mut state = state("c");
        apply(&mut state, 0, 0, "a");
        apply(&mut state, 1, 0, "b");
        assert_eq!(state.take_split_sensor(), None);
        apply(&mut state, 1, 1, "a");
        apply(&mut state, 0, 1, "b");
        let split_sensor = state.take_split_sensor().unwrap();
        assert_eq!(
            (split_sensor.sensor.as_str(), split_sensor.partitions),
            ("a", [0, 1])
        );
        assert_eq!(state.take_split_sensor(), None);
    }

    #[test]
    fn a_number_that_is_not_finite_is_never_written() {
        let mut state = state("c");
        apply(&mut state, 0, 0, "a")[0].push(f64::NAN);
        assert!(
            state
                .check()
                .unwrap_err()
                .to_string()
                .contains("not finite")
        );
    }

    #[test]
    fn a_full_state_rejects_new_sensors_and_keeps_the_known_ones() {
        let mut state = State::new(&Named("c"), vec!["in".into()], 1000, None);
        let sensors: Vec<String> = (0..10).map(|number| format!("sensor-{number}")).collect();
        let known = sensors
            .iter()
            .take_while(|sensor| state.apply(0, 0, 0, sensor, 7).is_ok())
            .count();
        assert!((2..8).contains(&known), "{known} sensors in 1000 bytes");
        let exceeded = state.apply(0, 0, 1, &sensors[known], 7).unwrap_err();
        assert_eq!(
            exceeded.to_string(),
            "the state has reached its memory budget of 1 kB"
        );
        assert!(state.apply(0, 0, 1, &sensors[0], 7).is_ok());
        let records = saved(&mut state);

        state.clear();
        for (partition, sensor, value) in &records {
            state
                .restore(*partition, sensor.as_bytes(), Some(value.as_bytes()))
                .unwrap();
        }
        state.restore(0, b"unknown", None).unwrap();
        let error = state
            .restore(0, b"one more", Some(records[0].2.as_bytes()))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("memory budget") && error.contains("--memory-max"),
            "{error}"
        );
        assert!(state.apply(0, 0, 2, &sensors[known - 1], 7).is_ok());
    }
}
