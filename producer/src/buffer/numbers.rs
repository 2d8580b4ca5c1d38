//! The sequence numbers of readings that leave a spool.
//!
//! While Kafka is unreachable the source continues counting at the last position in this machine's
//! spool. Meanwhile the stage may have run on another machine and counted the same sensors there.
//! This module then adds a shift, so that no number is used twice.

use std::collections::BTreeMap;

use serde_json::Value;

/// The largest number of sensors to remember. A source counts fewer than that.
const MOST: usize = 20_000;

/// The next number of each sensor.
#[derive(Debug, Default)]
pub(super) struct Numbers(BTreeMap<String, Number>);

#[derive(Debug)]
struct Number {
    next: u64,
    /// What to add to the number that the source counted on this machine.
    shift: u64,
    /// Whether the source counts this sensor. A reading with a number of its own keeps it.
    is_counted: bool,
}

impl Numbers {
    /// Continues after the numbers in `sent`. A sensor that is missing there continues after the
    /// number in the source's position.
    pub(super) fn after(source: &Value, sent: &BTreeMap<String, u64>) -> Self {
        let counted = counted(source).map(|(sensor, next)| (sensor.to_owned(), next));
        let sent = sent.iter().map(|(sensor, next)| (sensor.clone(), *next));
        let mut numbers = Numbers::default();
        for (sensor, next) in counted.chain(sent) {
            let number = Number {
                next,
                shift: 0,
                is_counted: true,
            };
            numbers.0.insert(sensor, number);
        }
        numbers
    }

    /// The number of a sensor's next reading. `seq` is the number that the source counted.
    pub(super) fn take(&mut self, sensor: &str, seq: u64) -> u64 {
        let Some(number) = self.0.get_mut(sensor) else {
            if self.0.len() < MOST {
                let number = Number {
                    next: seq.saturating_add(1),
                    shift: 0,
                    is_counted: false,
                };
                self.0.insert(sensor.to_owned(), number);
            }
            return seq;
        };
        let mut taken = seq.saturating_add(number.shift);
        if number.is_counted && taken < number.next {
            (number.shift, taken) = (number.next - seq, number.next);
        }
        number.next = taken.saturating_add(1);
        taken
    }

    /// The next numbers of the sensors whose number in the source's position differs.
    pub(super) fn differing(&self, source: &Value) -> BTreeMap<&str, u64> {
        let mut differing = BTreeMap::new();
        for (sensor, counted) in counted(source) {
            if let Some((sensor, number)) = self.0.get_key_value(sensor)
                && number.next != counted
            {
                differing.insert(sensor.as_str(), number.next);
            }
        }
        differing
    }
}

/// The next number of each sensor, from a source's position.
fn counted(source: &Value) -> impl Iterator<Item = (&str, u64)> {
    let next = source.get("next").and_then(Value::as_object);
    next.into_iter()
        .flatten()
        .filter_map(|(sensor, next)| Some((sensor.as_str(), next.as_u64()?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_used_elsewhere_are_skipped_and_gaps_stay() {
        let source = json!({ "next": { "a": 10, "b": 5 } });
        let mut numbers = Numbers::after(&source, &[("a".to_owned(), 7)].into());
        // The source has counted up to 10, and 7 were sent.
        assert_eq!([numbers.take("a", 7), numbers.take("a", 9)], [7, 9]);
        // Another machine has counted up to 5, this one up to 2.
        assert_eq!(
            [
                numbers.take("b", 2),
                numbers.take("b", 3),
                numbers.take("b", 6)
            ],
            [5, 6, 9]
        );
        assert_eq!(
            numbers.differing(&json!({ "next": { "a": 10, "b": 7 } })),
            [("b", 10)].into()
        );
    }

    #[test]
    fn a_reading_with_its_own_number_keeps_it() {
        let mut numbers = Numbers::default();
        assert_eq!([numbers.take("own", 70), numbers.take("own", 3)], [70, 3]);
        assert_eq!(
            numbers.differing(&json!({ "next": { "a": 10 } })),
            [].into()
        );
    }
}
