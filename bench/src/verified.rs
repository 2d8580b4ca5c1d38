//! Whether a run did the job right: [`Verified`].

use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::error::KafkaError;

use crate::outcome::Outcome;
use crate::readings::{self, Received};
use crate::step::{Step, expected};

/// What is wrong with the outputs of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Verified {
    /// Readings that must be there and are not.
    pub(crate) missing: u64,
    /// Readings that are there once more than they may.
    pub(crate) doubled: u64,
    /// Readings that have another value, or that nothing can have come of.
    pub(crate) wrong: u64,
}

impl Verified {
    /// Whether nothing is wrong. A reading may be doubled unless it is exactly once.
    pub(crate) fn is_right(self, exactly_once: bool) -> bool {
        self.missing == 0 && self.wrong == 0 && (self.doubled == 0 || !exactly_once)
    }

    /// The sum of both.
    pub(crate) fn plus(self, other: Verified) -> Verified {
        Verified {
            missing: self.missing + other.missing,
            doubled: self.doubled + other.doubled,
            wrong: self.wrong + other.wrong,
        }
    }
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.missing, self.doubled, self.wrong)
    }
}

/// Two values are the same if they differ by no more than this, as a part of the larger.
const TOLERANCE: f64 = 1e-12;
/// How long the brokers may keep an end of a topic back.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of a number of readings, beside what had to.
pub(crate) struct Checklist {
    steps: Vec<Step>,
    sensors: u64,
    expected: Vec<Option<f64>>,
    seen: Vec<bool>,
    found: Verified,
}

impl Checklist {
    /// For the first `count` readings.
    pub(crate) fn new(steps: &[Step], sensors: u64, count: u64) -> Self {
        let expected = expected(steps, sensors, count, readings::value);
        Checklist {
            steps: steps.to_vec(),
            sensors,
            seen: vec![false; expected.len()],
            expected,
            found: Verified::default(),
        }
    }

    /// How many readings must come out.
    pub(crate) fn outputs(&self) -> u64 {
        self.expected.iter().flatten().count() as u64
    }

    /// Takes the key and the value of one record.
    pub(crate) fn take(&mut self, key: Option<&[u8]>, value: &[u8]) {
        let received = Received::parse(value);
        let found = received.and_then(|one| Some((one.index(self.sensors)?, one.value)));
        let is_right = found.is_some_and(|(index, _)| {
            let has_key = key == Some(readings::sensor(index, self.sensors).as_bytes());
            has_key && self.has_same_bytes(index, value)
        });
        self.count(found, is_right);
    }

    /// Counts one output: the reading that it came of, its value, and whether the rest is right.
    /// `None` is an output of no reading.
    pub(crate) fn count(&mut self, found: Option<(u64, f64)>, is_right: bool) {
        let output = found.and_then(|(index, value)| {
            let place = usize::try_from(index).ok()?;
            let wanted = (*self.expected.get(place)?)?;
            Some((place, value, wanted))
        });
        let Some((place, value, wanted)) = output else {
            self.found.wrong += 1;
            return;
        };
        if std::mem::replace(&mut self.seen[place], true) {
            self.found.doubled += 1;
        }
        let most = wanted.abs().max(value.abs());
        let is_same = (wanted - value).abs() <= TOLERANCE * most;
        if !is_same || !is_right {
            self.found.wrong += 1;
        }
    }

    /// Whether the bytes are those that were sent, if they must be.
    fn has_same_bytes(&self, index: u64, value: &[u8]) -> bool {
        if self.steps.iter().any(|step| *step != Step::Copy) {
            return true;
        }
        let mut text = String::new();
        readings::json(index, self.sensors, &mut text);
        text.as_bytes() == value
    }

    /// What is wrong, now that everything has been taken.
    pub(crate) fn verified(&self) -> Verified {
        let wanted = self.expected.iter().zip(&self.seen);
        let missing = wanted.filter(|(value, seen)| value.is_some() && !**seen);
        Verified {
            missing: missing.count() as u64,
            ..self.found
        }
    }
}

/// Reads all committed records of a topic, and says what is wrong with them.
pub(crate) fn verify(
    brokers: &str,
    topic: &str,
    partitions: i32,
    mut checklist: Checklist,
) -> Outcome<Verified> {
    let ends = [("enable.partition.eof", "true"), ("fetch.wait.max.ms", "5")];
    let client = readings::reader(brokers, topic, partitions, &ends)?;
    let mut at_end = vec![false; usize::try_from(partitions)?];
    let mut last = Instant::now();
    while !at_end.iter().all(|is_at_end| *is_at_end) {
        match client.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                last = Instant::now();
                checklist.take(record.key(), record.payload().unwrap_or_default());
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                at_end[usize::try_from(partition)?] = true;
            }
            Some(Err(error)) => return Err(error.into()),
            None if last.elapsed() > PATIENCE => {
                return Err(format!("{topic} has no end").into());
            }
            None => {}
        }
    }
    Ok(checklist.verified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u64, value: f64) -> (String, String) {
        let (sensor, seq) = (readings::sensor(index, 2), index / 2);
        let json = format!("{{\"sensor\":\"{sensor}\",\"seq\":{seq},\"value\":{value:?}}}");
        (sensor, json)
    }

    fn verified(records: &[(String, String)]) -> Verified {
        let mut checklist = Checklist::new(&[Step::Convert], 2, 4);
        for (key, value) in records {
            checklist.take(Some(key.as_bytes()), value.as_bytes());
        }
        checklist.verified()
    }

    fn right(index: u64) -> (String, String) {
        record(index, readings::value(index) * 9.0 / 5.0 + 32.0)
    }

    #[test]
    fn what_is_missing_doubled_or_wrong_is_counted() {
        let all: Vec<_> = (0..4).map(right).collect();
        assert_eq!(verified(&all), Verified::default());
        assert_eq!(verified(&all[1..]).missing, 1);
        assert_eq!(verified(&[&all[..], &all[..1]].concat()).doubled, 1);
        let mut other = all.clone();
        other[2] = record(2, 7.0);
        assert_eq!(verified(&other).wrong, 1);
        let mut other = all.clone();
        other[3].0 = "sensor0".to_owned();
        assert_eq!(verified(&other).wrong, 1, "another key");
        let more = [&all[..], &[right(4)]].concat();
        assert_eq!(verified(&more).wrong, 1, "nobody sent it");
    }

    #[test]
    fn a_copy_must_have_the_same_bytes() {
        let mut checklist = Checklist::new(&[Step::Copy], 1, 2);
        let mut text = String::new();
        readings::json(0, 1, &mut text);
        checklist.take(Some(b"sensor0"), text.as_bytes());
        readings::json(1, 1, &mut text);
        checklist.take(
            Some(b"sensor0"),
            text.replace("celsius", "kelvin").as_bytes(),
        );
        assert_eq!(checklist.verified().wrong, 1);
    }

    #[test]
    fn only_exactly_once_forbids_doubles() {
        let doubled = Verified {
            doubled: 3,
            ..Verified::default()
        };
        assert!(doubled.is_right(false) && !doubled.is_right(true));
    }
}
