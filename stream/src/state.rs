//! What the stateful operators of a stage remember, by partition and sensor.

mod summary;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use self::summary::hash;
pub use self::summary::{Note, Summary};
use crate::error::{Error, Result};
use crate::operator::{Memory, Operator};
use crate::size::Size;

/// The memories of all sensors of the partitions that a stage owns.
///
/// Everything is in memory. What changes in a transaction is written to the changelog in the same
/// transaction, once for each sensor, however many of its readings there were.
#[derive(Debug)]
pub struct State {
    /// Which chain the memories belong to.
    chain: String,
    /// The names of the input topics.
    inputs: Vec<String>,
    /// How many memories the chain keeps for each sensor.
    memories: usize,
    room: Room,
    /// How much older than the newest reading of its partition a sensor's last one may be, in
    /// milliseconds.
    ttl: Option<i64>,
    partitions: Vec<Sensors>,
    /// The entries that changed since the last commit, as indices.
    changed: Vec<(usize, usize)>,
    /// A sensor that is in two partitions, the first that was seen.
    spread: Option<Spread>,
}

/// A sensor whose readings are in more than one partition, so that none holds all that it has sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// The sensor.
    pub sensor: String,
    /// Two of the partitions.
    pub partitions: [i32; 2],
    is_told: bool,
}

/// The time of a reading of which none is known.
const UNKNOWN: i64 = i64::MIN;

/// How often expired sensors are looked for, in parts of the time that they are kept.
const SWEEPS: i64 = 16;

/// The sensors of one partition.
#[derive(Debug)]
struct Sensors {
    partition: i32,
    by_name: HashMap<Box<str>, usize>,
    entries: Vec<Entry>,
    /// The newest time of a reading, in milliseconds since the epoch.
    time: i64,
    /// What it was when expired sensors were last looked for.
    swept: i64,
    /// For each input topic.
    summaries: Box<[Summary]>,
}

/// What is remembered of one sensor.
#[derive(Debug)]
struct Entry {
    sensor: Box<str>,
    /// One for each stateful operator of the chain.
    memories: Box<[Memory]>,
    /// For each input topic, the offset of the last record that is in the memories; −1 for none.
    applied: Box<[i64]>,
    /// The newest time of its readings, in milliseconds since the epoch.
    time: i64,
    /// The sensor's name in 64 bits.
    hash: u64,
    changed: bool,
}

impl Entry {
    fn is_expired(&self, ttl: i64, now: i64) -> bool {
        self.time != UNKNOWN && self.time.saturating_add(ttl) < now
    }
}

/// How much more there may be, in bytes.
#[derive(Debug)]
struct Room {
    /// What a sensor costs beside its name.
    each: u64,
    left: u64,
    whole: u64,
}

/// What the allocator and the hash table add to an entry, in bytes.
const OVERHEAD: usize = 128;

/// The state is as large as it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    bytes: u64,
}

impl Full {
    /// What to do about it.
    pub const HELP: &'static str = "give the stage more memory ([limits] memory, or --memory-max), \
                                    or run more instances of it";
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the state has its full size of {}", Size(self.bytes))
    }
}

impl std::error::Error for Full {}

/// What the changelog holds of one sensor, in JSON. Its key is the sensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved<'a> {
    /// Which chain the memories belong to.
    #[serde(borrow)]
    pub chain: Cow<'a, str>,
    /// Input topic and the offset of its last record that is in the memories.
    #[serde(borrow)]
    pub offsets: BTreeMap<Cow<'a, str>, i64>,
    /// The newest time of the sensor's readings, in milliseconds since the epoch; `None` in records
    /// of versions that did not keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
    /// One for each that the chain's operators keep, in order.
    pub memories: Cow<'a, [Memory]>,
}

impl State {
    /// No memories yet of a chain; at most `bytes` of them. A sensor is forgotten whose last
    /// reading is more than `ttl` older than the newest of its partition.
    #[must_use]
    pub fn new(
        chain: &dyn Operator,
        inputs: Vec<String>,
        bytes: u64,
        ttl: Option<Duration>,
    ) -> Self {
        let memories = chain.memories();
        let each = size_of::<Entry>()
            + size_of::<Memory>() * memories
            + 8 * (chain.numbers() + inputs.len());
        State {
            chain: chain.describe(),
            room: Room {
                each: (each + OVERHEAD) as u64,
                left: bytes,
                whole: bytes,
            },
            inputs,
            memories,
            ttl: ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)),
            partitions: Vec::new(),
            changed: Vec::new(),
            spread: None,
        }
    }

    /// How many sensors are remembered.
    #[must_use]
    pub fn sensors(&self) -> usize {
        let known = |entry: &&Entry| entry.applied.iter().any(|offset| *offset >= 0);
        self.partitions
            .iter()
            .map(|sensors| sensors.entries.iter().filter(known).count())
            .sum()
    }

    /// What is remembered of the records of one partition of an input topic.
    #[must_use]
    pub fn summary(&self, topic: usize, partition: i32) -> Summary {
        let found = self
            .partitions
            .iter()
            .find(|sensors| sensors.partition == partition);
        found
            .map(|sensors| sensors.summaries[topic])
            .unwrap_or_default()
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        self.partitions.clear();
        self.changed.clear();
        self.room.left = self.room.whole;
    }

    /// A sensor that is in two partitions; each time another one is not told.
    pub fn take_spread(&mut self) -> Option<Spread> {
        let spread = self.spread.as_mut().filter(|spread| !spread.is_told)?;
        spread.is_told = true;
        Some(spread.clone())
    }

    /// The memories of a sensor for the record at `offset` of an input topic, to be changed by it;
    /// `None` if that record is in them already. `time` is the reading's, in milliseconds since the
    /// epoch.
    ///
    /// # Errors
    /// If the sensor is new and there is no room for it.
    pub fn apply(
        &mut self,
        topic: usize,
        partition: i32,
        offset: i64,
        sensor: &str,
        time: i64,
    ) -> Result<Option<&mut [Memory]>, Full> {
        let at = self.partition(partition);
        self.partitions[at].time = self.partitions[at].time.max(time);
        let index = self.index(at, sensor)?;
        let Sensors {
            entries,
            summaries,
            time: now,
            ..
        } = &mut self.partitions[at];
        let entry = &mut entries[index];
        if entry.applied[topic] >= offset {
            return Ok(None);
        }
        if self.ttl.is_some_and(|ttl| entry.is_expired(ttl, *now)) {
            entry.memories.iter_mut().for_each(Memory::clear);
        }
        entry.time = entry.time.max(time);
        summaries[topic].replace(entry.hash, entry.applied[topic], offset);
        entry.applied[topic] = offset;
        if !entry.changed {
            entry.changed = true;
            self.changed.push((at, index));
        }
        Ok(Some(&mut entry.memories))
    }

    fn partition(&mut self, partition: i32) -> usize {
        self.partitions
            .iter()
            .position(|sensors| sensors.partition == partition)
            .unwrap_or_else(|| {
                self.partitions.push(Sensors {
                    partition,
                    by_name: HashMap::new(),
                    entries: Vec::new(),
                    time: UNKNOWN,
                    swept: UNKNOWN,
                    summaries: vec![Summary::default(); self.inputs.len()].into(),
                });
                self.partitions.len() - 1
            })
    }

    fn index(&mut self, at: usize, sensor: &str) -> Result<usize, Full> {
        let sensors = &mut self.partitions[at];
        if let Some(index) = sensors.by_name.get(sensor) {
            return Ok(*index);
        }
        let Some(left) = self.room.left.checked_sub(self.room.cost(sensor)) else {
            // The next commit looks for room.
            sensors.swept = UNKNOWN;
            return Err(Full {
                bytes: self.room.whole,
            });
        };
        self.room.left = left;
        if self.spread.is_none() {
            let elsewhere = self
                .partitions
                .iter()
                .find(|other| other.by_name.contains_key(sensor));
            self.spread = elsewhere.map(|other| Spread {
                sensor: sensor.to_owned(),
                partitions: [other.partition, self.partitions[at].partition],
                is_told: false,
            });
        }
        let sensors = &mut self.partitions[at];
        sensors.entries.push(Entry {
            sensor: sensor.into(),
            memories: vec![Memory::new(); self.memories].into(),
            applied: vec![-1; self.inputs.len()].into(),
            time: UNKNOWN,
            hash: summary::hash(sensor),
            changed: false,
        });
        sensors
            .by_name
            .insert(sensor.into(), sensors.entries.len() - 1);
        Ok(sensors.entries.len() - 1)
    }

    /// Whether what changed since the last commit can be written: JSON has finite numbers only.
    ///
    /// # Errors
    /// If an operator has left another number in its memory, which would never be read back.
    pub fn check(&self) -> Result<()> {
        for (at, index) in &self.changed {
            let Entry {
                sensor, memories, ..
            } = &self.partitions[*at].entries[*index];
            if memories.iter().flatten().any(|number| !number.is_finite()) {
                let doing = format!("writing the state of sensor `{sensor}` of `{}`", self.chain);
                let error = Error::new(doing, "an operator keeps a number that is not finite");
                return Err(
                    error.help("mend the operator: it must refuse the reading that leads there")
                );
            }
        }
        Ok(())
    }

    /// Writes every entry that changed since the last time, as partition, sensor and value; without
    /// a value the sensor is forgotten.
    ///
    /// # Errors
    /// Those of `write`.
    ///
    /// # Panics
    /// Never: text and finite numbers always make JSON.
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
                .zip(&entry.applied)
                .filter(|(_, offset)| **offset >= 0);
            let saved = Saved {
                chain: Cow::Borrowed(&self.chain),
                offsets: offsets
                    .map(|(topic, offset)| (Cow::Borrowed(topic.as_str()), *offset))
                    .collect(),
                time: Some(entry.time).filter(|time| *time != UNKNOWN),
                memories: Cow::Borrowed(&entry.memories),
            };
            value.clear();
            serde_json::to_writer(&mut value, &saved)
                .expect("text and finite numbers always make JSON");
            write(sensors.partition, &entry.sensor, Some(&value))?;
        }
        let Some(ttl) = self.ttl else { return Ok(()) };
        for sensors in &mut self.partitions {
            if sensors.swept == UNKNOWN
                || sensors.time.saturating_sub(sensors.swept) >= ttl / SWEEPS
            {
                sensors.sweep(ttl, &mut self.room, &mut write)?;
            }
        }
        Ok(())
    }

    /// Takes one record of the changelog that is no [checkpoint](crate::checkpoint). A later record
    /// of a sensor replaces an earlier one; a tombstone forgets the sensor.
    ///
    /// # Errors
    /// If the record is not a state of this chain, or there is no room for it.
    pub fn restore(&mut self, partition: i32, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let sensor = match (std::str::from_utf8(key), value) {
            (Ok(sensor), _) => sensor,
            // No sensor has such a name, so there is nothing to forget.
            (Err(_), None) => return Ok(()),
            (Err(error), _) => return Err(Error::new("restoring the state", error)),
        };
        let doing = || {
            format!(
                "restoring the state of sensor `{sensor}` from partition {partition} of the \
                 changelog"
            )
        };
        let (memories, applied, time) = match value {
            None => (
                vec![Memory::new(); self.memories],
                vec![-1; self.inputs.len()],
                UNKNOWN,
            ),
            Some(value) => {
                let saved: Saved<'_> =
                    serde_json::from_slice(value).map_err(|error| Error::new(doing(), error))?;
                if saved.chain != self.chain || saved.memories.len() != self.memories {
                    let cause = format!(
                        "it was made by `{}`, but the stage now is `{}`",
                        saved.chain, self.chain
                    );
                    return Err(Error::new(doing(), cause));
                }
                let applied = self
                    .inputs
                    .iter()
                    .map(|topic| saved.offsets.get(topic.as_str()).copied().unwrap_or(-1));
                (
                    saved.memories.to_vec(),
                    applied.collect::<Vec<_>>(),
                    saved.time.unwrap_or(UNKNOWN),
                )
            }
        };
        let at = self.partition(partition);
        if value.is_none() && !self.partitions[at].by_name.contains_key(sensor) {
            return Ok(());
        }
        let index = self
            .index(at, sensor)
            .map_err(|full| Error::new(doing(), full).help(Full::HELP))?;
        let Sensors {
            entries, summaries, ..
        } = &mut self.partitions[at];
        let entry = &mut entries[index];
        for (summary, (before, after)) in
            summaries.iter_mut().zip(entry.applied.iter().zip(&applied))
        {
            summary.replace(entry.hash, *before, *after);
        }
        (entry.memories, entry.applied, entry.time) = (memories.into(), applied.into(), time);
        self.partitions[at].time = self.partitions[at].time.max(time);
        Ok(())
    }
}

impl Room {
    fn cost(&self, sensor: &str) -> u64 {
        // The name is there twice: in the entry and to find it.
        self.each + 2 * sensor.len() as u64
    }
}

impl Sensors {
    /// Forgets the sensors that are expired.
    fn sweep<E>(
        &mut self,
        ttl: i64,
        room: &mut Room,
        write: &mut impl FnMut(i32, &str, Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.swept = self.time;
        for index in (0..self.entries.len()).rev() {
            if !self.entries[index].is_expired(ttl, self.time) {
                continue;
            }
            let Entry {
                sensor,
                applied,
                hash,
                ..
            } = self.entries.swap_remove(index);
            write(self.partition, &sensor, None)?;
            for (summary, applied) in self.summaries.iter_mut().zip(&applied) {
                summary.replace(hash, *applied, -1);
            }
            self.by_name.remove(&sensor);
            if let Some(moved) = self.entries.get(index) {
                self.by_name.insert(moved.sensor.clone(), index);
            }
            room.left += room.cost(&sensor);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::Flow;
    use crate::reading::{Reading, Refusal};

    /// Remembers one number of each sensor.
    struct Named(&'static str);

    impl Operator for Named {
        fn apply(&self, _: &mut Reading<'_>, _: &mut [Memory]) -> Result<Flow, Refusal> {
            Ok(Flow::Drop)
        }

        fn memories(&self) -> usize {
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

    /// The memories for a record that is new and has room.
    fn apply<'s>(
        state: &'s mut State,
        partition: i32,
        offset: i64,
        sensor: &str,
    ) -> &'s mut [Memory] {
        state
            .apply(0, partition, offset, sensor, 7)
            .unwrap()
            .unwrap()
    }

    /// What is written at a commit: partition, sensor and value, which is empty for a tombstone.
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
    fn what_is_saved_is_restored_and_each_sensor_is_saved_once() {
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
        assert_eq!(second.summary(0, 2), first.summary(0, 2));
        assert_eq!(
            second.apply(0, 2, 9, "a", 7),
            Ok(None),
            "the record at 9 is in the state already"
        );
        assert_eq!(apply(&mut second, 2, 10, "a"), [vec![9.1]]);
    }

    #[test]
    fn sensors_of_one_name_in_two_partitions_are_two() {
        let mut state = state("c");
        apply(&mut state, 0, 0, "a")[0].push(1.0);
        assert_eq!(apply(&mut state, 1, 0, "a"), [Memory::new()]);
        assert_eq!(state.sensors(), 2);
    }

    #[test]
    fn a_tombstone_forgets_and_the_last_record_counts() {
        let mut state = state("c");
        for memory in ["1.5", "2.5"] {
            let value = format!(r#"{{"chain":"c","offsets":{{}},"memories":[[{memory}]]}}"#);
            state.restore(0, b"a", Some(value.as_bytes())).unwrap();
        }
        assert_eq!(apply(&mut state, 0, 0, "a"), [vec![2.5]]);
        state.restore(0, b"a", None).unwrap();
        assert_eq!(
            (state.summary(0, 0), state.sensors()),
            (Summary::default(), 0)
        );
        assert_eq!(apply(&mut state, 0, 0, "a"), [Memory::new()]);
    }

    #[test]
    fn a_tombstone_is_taken_whatever_its_key() {
        assert_eq!(state("c").restore(0, b"\xff", None), Ok(()));
        assert!(state("c").restore(0, b"\xff", Some(b"")).is_err());
    }

    #[test]
    fn the_state_of_another_chain_is_refused() {
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
    fn a_sensor_is_forgotten_when_its_partition_is_ahead_of_it_by_the_ttl() {
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
            (state.sensors(), state.summary(0, 0)),
            (2, Summary::of([("new", 3)]))
        );
        assert_eq!(
            apply(&mut state, 0, 4, "old"),
            [Memory::new()],
            "it begins anew, late as it is"
        );
    }

    /// Which sensors are still in memory when one comes back must not change what becomes of it.
    #[test]
    fn when_expired_sensors_are_looked_for_makes_no_difference() {
        let readings = [
            ("a", 0),
            ("b", 50),
            ("a", 90),
            ("b", 170),
            ("a", 180),
            ("c", 400),
            ("b", 380),
            ("a", 401),
        ];
        let run = |save_each: bool| {
            let mut state = with_ttl(100);
            let mut seen = Vec::new();
            for (offset, (sensor, time)) in (0..).zip(readings) {
                let memories = state.apply(0, 0, offset, sensor, time).unwrap().unwrap();
                memories[0].push(1.0);
                seen.push(memories[0].len());
                if save_each {
                    saved(&mut state);
                }
            }
            seen
        };
        assert_eq!(run(false), [1, 1, 2, 1, 3, 1, 1, 1]);
        assert_eq!(run(true), run(false));
    }

    #[test]
    fn a_sensor_in_two_partitions_is_told_once() {
        let mut state = state("c");
        apply(&mut state, 0, 0, "a");
        apply(&mut state, 1, 0, "b");
        assert_eq!(state.take_spread(), None);
        apply(&mut state, 1, 1, "a");
        apply(&mut state, 0, 1, "b");
        let spread = state.take_spread().unwrap();
        assert_eq!((spread.sensor.as_str(), spread.partitions), ("a", [0, 1]));
        assert_eq!(state.take_spread(), None);
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
    fn a_full_state_takes_no_new_sensor_and_goes_on_with_those_it_has() {
        let mut state = State::new(&Named("c"), vec!["in".into()], 1000, None);
        let sensors: Vec<String> = (0..10).map(|number| format!("sensor-{number}")).collect();
        let known = sensors
            .iter()
            .take_while(|sensor| state.apply(0, 0, 0, sensor, 7).is_ok())
            .count();
        assert!((2..8).contains(&known), "{known} sensors in 1000 bytes");
        let full = state.apply(0, 0, 1, &sensors[known], 7).unwrap_err();
        assert_eq!(full.to_string(), "the state has its full size of 1 kB");
        assert!(state.apply(0, 0, 1, &sensors[0], 7).is_ok());
        let records = saved(&mut state);

        state.forget();
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
            error.contains("full size") && error.contains("--memory-max"),
            "{error}"
        );
        assert!(state.apply(0, 0, 2, &sensors[known - 1], 7).is_ok());
    }
}
