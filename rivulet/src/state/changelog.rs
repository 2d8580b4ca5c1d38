//! A changelog, read whole.

use std::collections::BTreeMap;

use producer::source_loop;
use stream::checkpoint::{self, Checkpoint};
use stream::error::{Error, Result};
use stream::state::StateRecord;

use super::{StoredPosition, StoredSensor};
use crate::read::{FetchedRecord, Reader, TopicSource};

/// What the committed records of a changelog come to.
#[derive(Debug, Default)]
pub(super) struct Changelog {
    /// The topic's name.
    topic: String,
    /// How many partitions the topic has.
    pub(super) partitions: usize,
    /// The last value of each key in each partition; nothing of keys whose last is a tombstone.
    pub(super) last: BTreeMap<(i32, Vec<u8>), Vec<u8>>,
}

impl Changelog {
    /// Reads a changelog to the end that it has now, once no transaction below that is open.
    ///
    /// # Errors
    /// If the cluster does not answer, there is no such topic, or a transaction on it stays open.
    pub(super) fn read(kafka: &BTreeMap<String, String>, topic: &str) -> Result<Self> {
        let found = Self::find(kafka, topic)?;
        found.ok_or_else(|| {
            Error::new(format!("reading {topic}"), "there is no such topic")
                .help("`rivulet topics create` makes it; name the right brokers with --brokers")
        })
    }

    /// The same, but nothing if there is no such topic.
    pub(super) fn find(kafka: &BTreeMap<String, String>, topic: &str) -> Result<Option<Self>> {
        let mut told = false;
        let mut progress = |progress: crate::read::ReadProgress<'_>| {
            if progress.waiting && !told {
                told = true;
                tracing::info!(
                    "waiting for an open transaction on {} to end",
                    progress.topic
                );
            }
        };
        let mut reader = Reader::new(kafka, &[topic.to_owned()], &mut progress)?;
        Self::find_with(&mut reader, topic)
    }

    /// The same with a reader that knows the topic.
    pub(super) fn find_with(reader: &mut Reader<'_>, topic: &str) -> Result<Option<Self>> {
        let Some(partitions) = reader.partitions(topic) else {
            return Ok(None);
        };
        let mut changelog = Changelog {
            topic: topic.to_owned(),
            partitions,
            last: BTreeMap::new(),
        };
        reader.read(topic, &mut |record| changelog.take(record))?;
        Ok(Some(changelog))
    }

    fn take(&mut self, record: &FetchedRecord<'_>) {
        let key = (record.partition, record.key.unwrap_or_default().to_vec());
        match record.value {
            Some(value) => self.last.insert(key, value.to_vec()),
            None => self.last.remove(&key),
        };
    }

    /// The state of each sensor, by partition and name.
    ///
    /// # Errors
    /// If a record is none.
    pub(super) fn sensors(&self) -> Result<Vec<StoredSensor>> {
        let states = self
            .last
            .iter()
            .filter(|((_, key), _)| key != checkpoint::KEY);
        states
            .map(|((partition, key), value)| self.sensor(*partition, key, value))
            .collect()
    }

    /// How far the stage had got when it last said so, by partition.
    pub(super) fn checkpoints(&self) -> BTreeMap<i32, Checkpoint> {
        let checkpoints = self
            .last
            .iter()
            .map(|((partition, key), value)| (*partition, Checkpoint::read(key, Some(value))));
        checkpoints
            .filter_map(|(partition, checkpoint)| Some((partition, checkpoint?)))
            .collect()
    }

    fn sensor(&self, partition: i32, key: &[u8], value: &[u8]) -> Result<StoredSensor> {
        let name = String::from_utf8_lossy(key).into_owned();
        let saved: StateRecord<'_> = serde_json::from_slice(value)
            .map_err(|error| self.foreign(partition, &name, &error))?;
        let offsets = saved
            .offsets
            .into_iter()
            .map(|(topic, offset)| (topic.into_owned(), offset))
            .collect();
        let (chain, states) = (saved.chain.into_owned(), saved.states.into_owned());
        Ok(StoredSensor {
            partition,
            name,
            chain,
            states,
            offsets,
            time: saved.time,
        })
    }

    /// Where a source stands.
    ///
    /// # Errors
    /// If a record is no position.
    pub(super) fn position(&self) -> Result<Option<StoredPosition>> {
        let Some(((partition, key), value)) = self.last.first_key_value() else {
            return Ok(None);
        };
        let source_loop::PositionRecord {
            commit, position, ..
        } = serde_json::from_slice(value)
            .map_err(|error| self.foreign(*partition, &String::from_utf8_lossy(key), &error))?;
        Ok(Some(StoredPosition { commit, position }))
    }

    fn foreign(&self, partition: i32, key: &str, error: &serde_json::Error) -> Error {
        let stage = self.topic.strip_suffix("-changelog").unwrap_or(&self.topic);
        Error::new(
            format!("reading `{key}` from {}/{partition}", self.topic),
            error,
        )
        .help(format!(
            "something else has written there; `rivulet state reset {stage}` begins with an empty \
             state"
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changelog(records: &[(i32, &str, Option<&str>)]) -> Changelog {
        let mut changelog = Changelog {
            topic: "ewma-changelog".into(),
            partitions: 4,
            last: BTreeMap::new(),
        };
        for (offset, (partition, key, value)) in (0..).zip(records) {
            let (key, value) = (Some(key.as_bytes()), value.map(str::as_bytes));
            changelog.take(&FetchedRecord {
                partition: *partition,
                offset,
                timestamp: 0,
                key,
                value,
                headers: &[],
            });
        }
        changelog
    }

    #[test]
    fn the_last_record_of_a_sensor_counts_and_a_tombstone_forgets_it() {
        let state = |memory: f64| {
            format!(r#"{{"chain":"c","offsets":{{"in":7}},"memories":[[{memory}]]}}"#)
        };
        let (old, new) = (state(1.5), state(2.5));
        let changelog = changelog(&[
            (2, "a", Some(&old)),
            (2, "b", Some(&old)),
            (2, "a", Some(&new)),
            (2, "b", None),
        ]);
        let expected = StoredSensor {
            partition: 2,
            name: "a".into(),
            chain: "c".into(),
            states: vec![vec![2.5]],
            offsets: [("in".to_owned(), 7)].into(),
            time: None,
        };
        assert_eq!(changelog.sensors().unwrap(), [expected]);
    }

    #[test]
    fn a_position_is_read_and_forgotten() {
        let saved = Some(r#"{"commit":3,"position":{"index":14}}"#);
        let position = StoredPosition {
            commit: 3,
            position: json!({ "index": 14 }),
        };
        assert_eq!(
            changelog(&[(0, "position", saved)]).position().unwrap(),
            Some(position)
        );
        assert_eq!(
            changelog(&[(0, "position", saved), (0, "position", None)])
                .position()
                .unwrap(),
            None
        );
    }

    #[test]
    fn what_is_no_state_is_named_with_the_remedy() {
        let error = changelog(&[(1, "seattle", Some("7"))])
            .sensors()
            .unwrap_err()
            .to_string();
        for words in [
            "reading `seattle` from ewma-changelog/1: ",
            "rivulet state reset ewma",
        ] {
            assert!(error.contains(words), "{error}");
        }
    }
}
