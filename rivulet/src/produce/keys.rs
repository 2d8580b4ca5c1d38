//! The keys of records: [`KeyChoice`].

use std::fmt::{self, Display};
use std::io::Write;
use std::str::FromStr;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rivulet_core::error::{Error, Kind, Result};

use super::field::FieldPath;

/// Which key a record gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum KeyChoice {
    /// None.
    #[default]
    None,
    /// This one, for every record.
    Text(String),
    /// The number of records before it: 0, 1, 2 …
    Count,
    /// A whole number of this range, each with the same chance.
    Random(KeyRange),
    /// What is in this field of its value, which is JSON.
    Field(FieldPath),
}

/// A range of whole numbers, with both ends. As text: `1..5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRange {
    /// The lowest.
    pub low: u64,
    /// The highest.
    pub high: u64,
}

impl FromStr for KeyRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let range = text.split_once("..").and_then(|(low, high)| {
            let (low, high) = (low.parse().ok()?, high.parse().ok()?);
            (low <= high).then_some(KeyRange { low, high })
        });
        range.ok_or_else(|| format!("`{text}` is not a range of whole numbers; write 1..5"))
    }
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.low, self.high)
    }
}

/// The keys of one producer's records.
#[derive(Debug)]
pub(super) struct Keys {
    choice: KeyChoice,
    random: Xoshiro256PlusPlus,
    /// The key of the last record, if it is not the same for all.
    key: Vec<u8>,
}

impl Keys {
    /// The same seed gives the same random keys.
    pub(super) fn new(choice: KeyChoice, seed: u64) -> Self {
        Keys {
            choice,
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            key: Vec::new(),
        }
    }

    /// The key of the record with this number, from 1.
    ///
    /// # Errors
    /// If the value does not have the field that the key is in.
    pub(super) fn next(&mut self, number: u64, value: &[u8]) -> Result<Option<&[u8]>> {
        match &self.choice {
            KeyChoice::None => return Ok(None),
            KeyChoice::Text(key) => return Ok(Some(key.as_bytes())),
            KeyChoice::Count => write_key(&mut self.key, number - 1),
            KeyChoice::Random(KeyRange { low, high }) => {
                write_key(&mut self.key, self.random.random_range(*low..=*high));
            }
            KeyChoice::Field(path) => {
                let found = path.text(value).map_err(|why| {
                    Error::new(format!("looking for the key of record {number}"), why)
                        .of_kind(Kind::Corrupt)
                        .help("the records before it were sent; correct it, or choose another key")
                })?;
                write_key(&mut self.key, found);
            }
        }
        Ok(Some(&self.key))
    }
}

fn write_key(key: &mut Vec<u8>, text: impl Display) {
    key.clear();
    // Writing to memory cannot fail.
    let _ = write!(key, "{text}");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn keys(choice: KeyChoice, seed: u64, count: u64) -> Vec<Option<String>> {
        let mut keys = Keys::new(choice, seed);
        let mut key = |number| {
            let key = keys.next(number, br#"{"id":"a"}"#).unwrap();
            key.map(|key| String::from_utf8(key.to_vec()).unwrap())
        };
        (1..=count).map(&mut key).collect()
    }

    #[test]
    fn keys_are_none_one_or_counted() {
        let some =
            |keys: &[&str]| -> Vec<_> { keys.iter().map(|key| Some((*key).to_owned())).collect() };
        assert_eq!(keys(KeyChoice::None, 1, 2), [None, None]);
        assert_eq!(keys(KeyChoice::Text("k".into()), 1, 2), some(&["k", "k"]));
        assert_eq!(keys(KeyChoice::Count, 1, 3), some(&["0", "1", "2"]));
        let field = KeyChoice::Field("id".parse().unwrap());
        assert_eq!(keys(field, 1, 2), some(&["a", "a"]));
    }

    #[test]
    fn random_keys_are_uniform_and_the_same_for_a_seed() {
        let range = KeyChoice::Random("1..5".parse().unwrap());
        let drawn = keys(range.clone(), 7, 1000);
        assert_eq!(keys(range.clone(), 7, 1000), drawn);
        assert_ne!(keys(range, 8, 1000), drawn);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for key in drawn.into_iter().flatten() {
            *counts.entry(key).or_default() += 1;
        }
        assert_eq!(counts.keys().collect::<Vec<_>>(), ["1", "2", "3", "4", "5"]);
        assert_eq!(counts.values().sum::<usize>(), 1000);
        // 200 each, six standard deviations of 12.6 to either side.
        assert!(
            counts.values().all(|count| (124..=276).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_range_has_two_ends() {
        assert_eq!("7..7".parse(), Ok(KeyRange { low: 7, high: 7 }));
        for text in ["", "5", "5..1", "1..=5", "a..b", "-1..2"] {
            let error = text.parse::<KeyRange>().unwrap_err();
            assert!(error.contains("write 1..5"), "{error}");
        }
    }

    #[test]
    fn a_record_without_its_key_is_named() {
        let mut keys = Keys::new(KeyChoice::Field("/no".parse().unwrap()), 0);
        let error = keys.next(12, b"{}").unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        assert!(error.to_string().contains("record 12: "), "{error}");
    }
}
