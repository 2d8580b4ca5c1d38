//! The sequence numbers of what leaves a spool.
//!
//! The source counts while Kafka is away, from where this machine's spool knows that it was.
//! Meanwhile the stage may have run on another machine, and its sensors may have been counted on
//! there. Then they go on from that: numbers that were given already are passed over.

use std::collections::BTreeMap;

use serde_json::Value;

/// How many sensors are known at most; those that a source counts are fewer.
const MOST: usize = 20_000;

/// The next number of each sensor.
#[derive(Debug, Default)]
pub(super) struct Numbers(BTreeMap<String, Number>);

#[derive(Debug)]
struct Number {
    next: u64,
    /// How much is added to what the source has counted here.
    shift: u64,
    /// Whether the source counts this sensor: a reading that brings its own number keeps it.
    is_counted: bool,
}

impl Numbers {
    /// Goes on behind what was sent: where `sent` does not say it, behind what the source had
    /// counted.
    pub(super) fn behind(source: &Value, sent: &BTreeMap<String, u64>) -> Self {
        let counted = counted(source).map(|(sensor, next)| (sensor.to_owned(), next));
        let sent = sent.iter().map(|(sensor, next)| (sensor.clone(), *next));
        let number = |(sensor, next)| {
            (
                sensor,
                Number {
                    next,
                    shift: 0,
                    is_counted: true,
                },
            )
        };
        Numbers(counted.chain(sent).map(number).collect())
    }

    /// The number of a sensor's next reading, which the source counted as `seq`.
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

    /// The next numbers of those sensors that the source counts and has counted further, or less
    /// far.
    pub(super) fn beside(&self, source: &Value) -> BTreeMap<&str, u64> {
        let differs = |(sensor, counted)| {
            let (sensor, number) = self.0.get_key_value(sensor)?;
            (number.next != counted).then_some((sensor.as_str(), number.next))
        };
        counted(source).filter_map(differs).collect()
    }
}

/// What a source has counted, as its position tells it.
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
    fn numbers_that_were_given_elsewhere_are_passed_over_and_gaps_stay() {
        let source = json!({ "next": { "a": 10, "b": 5 } });
        let mut numbers = Numbers::behind(&source, &[("a".to_owned(), 7)].into());
        // Sent up to 7 of the 10 that were counted.
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
            numbers.beside(&json!({ "next": { "a": 10, "b": 7 } })),
            [("b", 10)].into()
        );
    }

    #[test]
    fn a_reading_that_brings_its_own_number_keeps_it() {
        let mut numbers = Numbers::default();
        assert_eq!([numbers.take("own", 70), numbers.take("own", 3)], [70, 3]);
        assert_eq!(numbers.beside(&json!({ "next": { "a": 10 } })), [].into());
    }
}
