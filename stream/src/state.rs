//! What the stateful operators of a stage remember, by partition and sensor.

mod summary;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::summary::Summary;
pub(crate) use self::summary::hash;
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
    partitions: Vec<Sensors>,
    /// The entries that changed since the last commit, as indices.
    changed: Vec<(usize, usize)>,
}

/// The sensors of one partition.
#[derive(Debug)]
struct Sensors {
    partition: i32,
    by_name: HashMap<Box<str>, usize>,
    entries: Vec<Entry>,
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
    /// The sensor's name in 64 bits.
    hash: u64,
    changed: bool,
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
    pub const HELP: &'static str =
        "give the stage more memory ([limits] memory, or --memory-max), or run more instances of it";
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
    /// One for each that the chain's operators keep, in order.
    pub memories: Cow<'a, [Memory]>,
}

impl State {
    /// No memories yet of a chain; at most `bytes` of them.
    #[must_use]
    pub fn new(chain: &dyn Operator, inputs: Vec<String>, bytes: u64) -> Self {
        let memories = chain.memories();
        let each = size_of::<Entry>() + size_of::<Memory>() * memories + 8 * (chain.numbers() + inputs.len());
        State {
            chain: chain.describe(),
            room: Room { each: (each + OVERHEAD) as u64, left: bytes, whole: bytes },
            inputs,
            memories,
            partitions: Vec::new(),
            changed: Vec::new(),
        }
    }

    /// How many sensors are remembered.
    #[must_use]
    pub fn sensors(&self) -> usize {
        let known = |entry: &&Entry| entry.applied.iter().any(|offset| *offset >= 0);
        self.partitions.iter().map(|sensors| sensors.entries.iter().filter(known).count()).sum()
    }

    /// What is remembered of the records of one partition of an input topic.
    #[must_use]
    pub fn summary(&self, topic: usize, partition: i32) -> Summary {
        let found = self.partitions.iter().find(|sensors| sensors.partition == partition);
        found.map(|sensors| sensors.summaries[topic]).unwrap_or_default()
    }

    /// Forgets everything.
    pub fn forget(&mut self) {
        self.partitions.clear();
        self.changed.clear();
        self.room.left = self.room.whole;
    }

    /// The memories of a sensor for the record at `offset` of an input topic, to be changed by it; or
    /// nothing if that record is in them already.
    ///
    /// # Errors
    /// If the sensor is new and there is no room for it.
    pub fn apply(
        &mut self,
        topic: usize,
        partition: i32,
        offset: i64,
        sensor: &str,
    ) -> Result<Option<&mut [Memory]>, Full> {
        let at = self.partition(partition);
        let index = self.index(at, sensor)?;
        let Sensors { entries, summaries, .. } = &mut self.partitions[at];
        let entry = &mut entries[index];
        if entry.applied[topic] >= offset {
            return Ok(None);
        }
        summaries[topic].replace(entry.hash, entry.applied[topic], offset);
        entry.applied[topic] = offset;
        if !entry.changed {
            entry.changed = true;
            self.changed.push((at, index));
        }
        Ok(Some(&mut entry.memories))
    }

    fn partition(&mut self, partition: i32) -> usize {
        self.partitions.iter().position(|sensors| sensors.partition == partition).unwrap_or_else(|| {
            self.partitions.push(Sensors {
                partition,
                by_name: HashMap::new(),
                entries: Vec::new(),
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
        // The name is there twice: in the entry and to find it.
        let cost = self.room.each + 2 * sensor.len() as u64;
        self.room.left = self.room.left.checked_sub(cost).ok_or(Full { bytes: self.room.whole })?;
        sensors.entries.push(Entry {
            sensor: sensor.into(),
            memories: vec![Memory::new(); self.memories].into(),
            applied: vec![-1; self.inputs.len()].into(),
            hash: summary::hash(sensor),
            changed: false,
        });
        sensors.by_name.insert(sensor.into(), sensors.entries.len() - 1);
        Ok(sensors.entries.len() - 1)
    }

    /// Writes every entry that changed since the last time, as partition, sensor and value.
    ///
    /// # Errors
    /// Those of `write`.
    ///
    /// # Panics
    /// Never: text and finite numbers always make JSON.
    pub fn save<E>(&mut self, mut write: impl FnMut(i32, &str, &[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut value = Vec::new();
        for (at, index) in self.changed.drain(..) {
            let sensors = &mut self.partitions[at];
            let entry = &mut sensors.entries[index];
            entry.changed = false;
            let offsets = self.inputs.iter().zip(&entry.applied).filter(|(_, offset)| **offset >= 0);
            let saved = Saved {
                chain: Cow::Borrowed(&self.chain),
                offsets: offsets.map(|(topic, offset)| (Cow::Borrowed(topic.as_str()), *offset)).collect(),
                memories: Cow::Borrowed(&entry.memories),
            };
            value.clear();
            serde_json::to_writer(&mut value, &saved).expect("text and finite numbers always make JSON");
            write(sensors.partition, &entry.sensor, &value)?;
        }
        Ok(())
    }

    /// Takes one record of the changelog. A later record of a sensor replaces an earlier one; a
    /// tombstone forgets the sensor.
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
        let doing = || format!("restoring the state of sensor `{sensor}` from partition {partition} of the changelog");
        let (memories, applied) = match value {
            None => (vec![Memory::new(); self.memories], vec![-1; self.inputs.len()]),
            Some(value) => {
                let saved: Saved<'_> = serde_json::from_slice(value).map_err(|error| Error::new(doing(), error))?;
                if saved.chain != self.chain || saved.memories.len() != self.memories {
                    let cause = format!("it was made by `{}`, but the stage now is `{}`", saved.chain, self.chain);
                    return Err(Error::new(doing(), cause));
                }
                let applied = self.inputs.iter().map(|topic| saved.offsets.get(topic.as_str()).copied().unwrap_or(-1));
                (saved.memories.to_vec(), applied.collect::<Vec<_>>())
            }
        };
        let at = self.partition(partition);
        if value.is_none() && !self.partitions[at].by_name.contains_key(sensor) {
            return Ok(());
        }
        let index = self.index(at, sensor).map_err(|full| Error::new(doing(), full).help(Full::HELP))?;
        let Sensors { entries, summaries, .. } = &mut self.partitions[at];
        let entry = &mut entries[index];
        for (summary, (before, after)) in summaries.iter_mut().zip(entry.applied.iter().zip(&applied)) {
            summary.replace(entry.hash, *before, *after);
        }
        (entry.memories, entry.applied) = (memories.into(), applied.into());
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
        State::new(&Named(chain), vec!["in".into()], 1_000_000)
    }

    /// The memories for a record that is new and has room.
    fn apply<'s>(state: &'s mut State, partition: i32, offset: i64, sensor: &str) -> &'s mut [Memory] {
        state.apply(0, partition, offset, sensor).unwrap().unwrap()
    }

    fn saved(state: &mut State) -> Vec<(i32, String, String)> {
        let mut out = Vec::new();
        state
            .save(|partition, sensor, value| {
                out.push((partition, sensor.to_owned(), String::from_utf8_lossy(value).into_owned()));
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
        let value = r#"{"chain":"ewma(alpha=0.5)","offsets":{"in":9},"memories":[[9.1]]}"#;
        assert_eq!(records, [(2, "a".to_owned(), value.to_owned())]);
        assert!(saved(&mut first).is_empty(), "nothing has changed since");

        let mut second = state("ewma(alpha=0.5)");
        second.restore(2, b"a", Some(value.as_bytes())).unwrap();
        assert_eq!(second.summary(0, 2), first.summary(0, 2));
        assert_eq!(second.apply(0, 2, 9, "a"), Ok(None), "the record at 9 is in the state already");
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
        assert_eq!((state.summary(0, 0), state.sensors()), (Summary::default(), 0));
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
        let error = state("ewma(alpha=0.3)").restore(0, b"a", Some(value)).unwrap_err().to_string();
        assert!(error.contains("made by `ewma(alpha=0.5)`, but the stage now is `ewma(alpha=0.3)`"), "{error}");
    }

    #[test]
    fn a_full_state_takes_no_new_sensor_and_goes_on_with_those_it_has() {
        let mut state = State::new(&Named("c"), vec!["in".into()], 1000);
        let sensors: Vec<String> = (0..10).map(|number| format!("sensor-{number}")).collect();
        let known = sensors.iter().take_while(|sensor| state.apply(0, 0, 0, sensor).is_ok()).count();
        assert!((2..8).contains(&known), "{known} sensors in 1000 bytes");
        let full = state.apply(0, 0, 1, &sensors[known]).unwrap_err();
        assert_eq!(full.to_string(), "the state has its full size of 1 kB");
        assert!(state.apply(0, 0, 1, &sensors[0]).is_ok());
        let records = saved(&mut state);

        state.forget();
        for (partition, sensor, value) in &records {
            state.restore(*partition, sensor.as_bytes(), Some(value.as_bytes())).unwrap();
        }
        state.restore(0, b"unknown", None).unwrap();
        let error = state.restore(0, b"one more", Some(records[0].2.as_bytes())).unwrap_err().to_string();
        assert!(error.contains("full size") && error.contains("--memory-max"), "{error}");
        assert!(state.apply(0, 0, 2, &sensors[known - 1]).is_ok());
    }
}
