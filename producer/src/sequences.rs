//! The next sequence number of each sensor.

use std::collections::BTreeMap;

use rivulet_core::error::Result as OrError;
use rivulet_core::reading::InvalidReading;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};

use crate::position;

/// How many bytes the sensors may take in a position, which must fit into one record.
const MOST: usize = 128 * 1024;

/// Counts the readings of each sensor, from 0.
///
/// It is part of a source's position, so that a resumed source continues the numbers.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "BTreeMap<String, u64>")]
pub struct Sequences {
    next: BTreeMap<String, u64>,
    /// The size of `next` in a position, in bytes.
    bytes: usize,
}

impl Sequences {
    /// Counts a reading of a sensor and returns its sequence number.
    ///
    /// # Errors
    /// If the sensor is new and does not fit into a position any more.
    pub fn take(&mut self, sensor: &str) -> Result<u64, InvalidReading> {
        if let Some(next) = self.next.get_mut(sensor) {
            let seq = *next;
            *next = seq.saturating_add(1);
            return Ok(seq);
        }
        let bytes = self.bytes + size_of_entry(sensor);
        if bytes > MOST {
            let count = self.next.len();
            let detail = format!(
                "too many sensors: a position of {MOST} bytes only has space for the first {count}"
            );
            return Err(InvalidReading::new("too-many-sensors", detail));
        }
        self.bytes = bytes;
        self.next.insert(sensor.to_owned(), 1);
        Ok(0)
    }

    /// The position of a source that consists of sequence numbers only.
    #[must_use]
    pub fn position(&self) -> Value {
        json!({ "next": self })
    }

    /// Reads such a position.
    ///
    /// # Errors
    /// If the position belongs to another kind of source.
    pub fn at(position: &Value) -> OrError<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Position {
            next: Sequences,
        }
        Ok(position::read::<Position>(position)?.next)
    }
}

/// The largest size of a sensor and its number in a position, in bytes.
fn size_of_entry(sensor: &str) -> usize {
    const NUMBER: usize = ":18446744073709551615,".len();
    Value::from(sensor).to_string().len() + NUMBER
}

impl From<BTreeMap<String, u64>> for Sequences {
    fn from(next: BTreeMap<String, u64>) -> Self {
        let bytes = next.keys().map(|sensor| size_of_entry(sensor)).sum();
        Sequences { next, bytes }
    }
}

impl Serialize for Sequences {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.next.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sensor_counts_from_zero_and_continues_after_a_restart() {
        let mut sequences = Sequences::default();
        let seqs = ["a", "b", "a", "a"].map(|sensor| sequences.take(sensor).unwrap());
        assert_eq!(seqs, [0, 0, 1, 2]);
        let json = serde_json::to_value(&sequences).unwrap();
        assert_eq!(json, serde_json::json!({ "a": 3, "b": 1 }));
        let mut again: Sequences = serde_json::from_value(json).unwrap();
        assert_eq!((again.take("a").unwrap(), again.take("c").unwrap()), (3, 0));
    }

    #[test]
    fn the_largest_number_does_not_overflow() {
        let mut sequences = Sequences::at(&json!({ "next": { "a": u64::MAX } })).unwrap();
        assert_eq!(
            (sequences.take("a").unwrap(), sequences.take("a").unwrap()),
            (u64::MAX, u64::MAX)
        );
    }

    #[test]
    fn the_position_stays_small_whatever_the_sensors_are_called() {
        let mut sequences = Sequences::default();
        let errors = (0..100_000)
            .filter(|n| sequences.take(&format!("sénsor\u{1}\t{n}")).is_err())
            .count();
        assert!(errors > 0);
        assert!(serde_json::to_vec(&sequences).unwrap().len() <= MOST);
        assert_eq!(
            sequences.take("sénsor\u{1}\t0").unwrap(),
            1,
            "a known sensor continues its numbers"
        );
        let again: Sequences =
            serde_json::from_value(serde_json::to_value(&sequences).unwrap()).unwrap();
        assert_eq!(again.bytes, sequences.bytes);
    }
}
