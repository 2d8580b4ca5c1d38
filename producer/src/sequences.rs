//! The next sequence number of each sensor.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use stream::error::Result as OrError;
use stream::reading::InvalidReading;

use crate::position;

/// How many bytes all sensors may take in a position: it has to fit in one record.
const ROOM: usize = 128 * 1024;

/// Counts the readings of each sensor, from 0.
///
/// It is part of a source's position, so that a source that goes on goes on counting.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "BTreeMap<String, u64>")]
pub struct Sequences {
    next: BTreeMap<String, u64>,
    taken: usize,
}

impl Sequences {
    /// The sequence number of a sensor's next reading, which is then taken.
    ///
    /// # Errors
    /// If the sensor is new and there are too many to keep them all in a position.
    pub fn take(&mut self, sensor: &str) -> Result<u64, InvalidReading> {
        if let Some(next) = self.next.get_mut(sensor) {
            let seq = *next;
            *next = seq.saturating_add(1);
            return Ok(seq);
        }
        let taken = self.taken + written(sensor);
        if taken > ROOM {
            let count = self.next.len();
            let detail = format!(
                "a sensor beyond the first {count}: more do not fit in a position of {ROOM} bytes"
            );
            return Err(InvalidReading::new("too-many-sensors", detail));
        }
        self.taken = taken;
        self.next.insert(sensor.to_owned(), 1);
        Ok(0)
    }

    /// The position of a source that has no other.
    #[must_use]
    pub fn position(&self) -> Value {
        json!({ "next": self })
    }

    /// Reads such a position.
    ///
    /// # Errors
    /// If it is another source's.
    pub fn at(position: &Value) -> OrError<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Place {
            next: Sequences,
        }
        Ok(position::read::<Place>(position)?.next)
    }
}

/// The bytes that a sensor and its number take at most.
fn written(sensor: &str) -> usize {
    const NUMBER: usize = ":18446744073709551615,".len();
    Value::from(sensor).to_string().len() + NUMBER
}

impl From<BTreeMap<String, u64>> for Sequences {
    fn from(next: BTreeMap<String, u64>) -> Self {
        let taken = next.keys().map(|sensor| written(sensor)).sum();
        Sequences { next, taken }
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
    fn each_sensor_counts_from_zero_and_goes_on_after_a_restart() {
        let mut sequences = Sequences::default();
        let taken: Vec<u64> = ["a", "b", "a", "a"]
            .map(|sensor| sequences.take(sensor).unwrap())
            .into();
        assert_eq!(taken, [0, 0, 1, 2]);
        let kept = serde_json::to_value(&sequences).unwrap();
        assert_eq!(kept, serde_json::json!({ "a": 3, "b": 1 }));
        let mut again: Sequences = serde_json::from_value(kept).unwrap();
        assert_eq!((again.take("a").unwrap(), again.take("c").unwrap()), (3, 0));
    }

    #[test]
    fn a_kept_number_that_is_the_last_there_is_stays_the_last() {
        let mut sequences = Sequences::at(&json!({ "next": { "a": u64::MAX } })).unwrap();
        assert_eq!(
            (sequences.take("a").unwrap(), sequences.take("a").unwrap()),
            (u64::MAX, u64::MAX)
        );
    }

    #[test]
    fn the_position_stays_small_whatever_the_sensors_are_called() {
        let mut sequences = Sequences::default();
        let refusals = (0..100_000)
            .filter(|n| sequences.take(&format!("sénsor\u{1}\t{n}")).is_err())
            .count();
        assert!(refusals > 0);
        assert!(serde_json::to_vec(&sequences).unwrap().len() <= ROOM);
        assert_eq!(
            sequences.take("sénsor\u{1}\t0").unwrap(),
            1,
            "a sensor that is known goes on"
        );
        let again: Sequences =
            serde_json::from_value(serde_json::to_value(&sequences).unwrap()).unwrap();
        assert_eq!(again.taken, sequences.taken);
    }
}
