//! A changelog, read to its end.

use std::borrow::Cow;
use std::collections::BTreeMap;

use rivulet_core::checkpoint::{self, Checkpoint};
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::key_state::describe_numbers;
use rivulet_core::state::StateRecord;
use rivulet_producer::source_loop;

use super::{StoredPosition, StoredSensor};
use rivulet_core::topic_source::{FetchedRecord, ReadProgress, TopicSource};
use rivulet_kafka::{Connection, TopicReader};

/// The latest committed records of a changelog.
#[derive(Debug, Default)]
pub(super) struct Changelog {
    /// The topic's name.
    topic: String,
    /// How many partitions the topic has.
    pub(super) partitions: usize,
    /// The latest value of each key in each partition, without tombstones.
    pub(super) last: BTreeMap<(i32, Vec<u8>), Vec<u8>>,
}

impl Changelog {
    /// Reads a changelog to its current end, after all open transactions below it have ended.
    ///
    /// # Errors
    /// If the brokers are unreachable, the topic does not exist, or a transaction on it stays open.
    pub(super) fn read(connection: &Connection, topic: &str) -> Result<Self> {
        let found = Self::find(connection, topic)?;
        found.ok_or_else(|| {
            let doing = format!("reading {topic}");
            let error = Error::new(doing, "there is no such topic").of_kind(Kind::Missing);
            error.help(
                "create it with `rivulet topics create`, or name the right brokers with --brokers",
            )
        })
    }

    /// As [`read`](Self::read); `None` if there is no such topic.
    pub(super) fn find(connection: &Connection, topic: &str) -> Result<Option<Self>> {
        let (topics, mut is_logged) = ([topic.to_owned()], false);
        let progress: &mut dyn FnMut(ReadProgress<'_>) = &mut |progress| {
            if progress.waiting && !is_logged {
                is_logged = true;
                let topic = progress.topic;
                tracing::info!("waiting for an open transaction on {topic} to end");
            }
        };
        Self::find_with(&mut TopicReader::new(connection, &topics, progress)?, topic)
    }

    /// As [`find`](Self::find), with a reader that was made for the topic.
    pub(super) fn find_with(reader: &mut TopicReader<'_>, topic: &str) -> Result<Option<Self>> {
        let Some(partitions) = reader.partitions(topic) else {
            return Ok(None);
        };
        let mut changelog = Changelog {
            topic: topic.to_owned(),
            partitions,
            last: BTreeMap::new(),
        };
        reader.read(topic, &mut |record| changelog.apply(record))?;
        Ok(Some(changelog))
    }

    fn apply(&mut self, record: &FetchedRecord<'_>) {
        let key = (record.partition, record.key.unwrap_or_default().to_vec());
        match record.value {
            Some(value) => self.last.insert(key, value.to_vec()),
            None => self.last.remove(&key),
        };
    }

    /// The state of each sensor, by partition and name.
    ///
    /// # Errors
    /// If a record is not a state.
    pub(super) fn sensors(&self) -> Result<Vec<StoredSensor>> {
        let states = self
            .last
            .iter()
            .filter(|((_, key), _)| key != checkpoint::KEY);
        states
            .map(|((partition, key), value)| self.sensor(*partition, key, value))
            .collect()
    }

    /// The latest checkpoint of each partition.
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
        let states: Vec<Vec<f64>> = saved.states.into_iter().map(Cow::into_owned).collect();
        Ok(StoredSensor {
            partition,
            name,
            chain: saved.chain.into_owned(),
            descriptions: states
                .iter()
                .map(|numbers| describe_numbers(numbers))
                .collect(),
            states,
            offsets,
            time: saved.time,
        })
    }

    /// The position of a source.
    ///
    /// # Errors
    /// If the record is not a position.
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
        .of_kind(Kind::Corrupt)
        .help(format!(
            "another program has written to the topic; `rivulet state reset {stage}` starts with \
             an empty state"
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
            changelog.apply(&FetchedRecord {
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
    fn the_latest_record_of_a_sensor_counts_or_its_tombstone() {
        let state =
            |value: f64| format!(r#"{{"chain":"c","offsets":{{"in":7}},"memories":[[{value}]]}}"#);
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
            descriptions: vec!["2.5".into()],
            offsets: [("in".to_owned(), 7)].into(),
            time: None,
        };
        assert_eq!(changelog.sensors().unwrap(), [expected]);
    }

    #[test]
    fn a_position_is_read_unless_it_was_deleted() {
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
    fn a_foreign_record_is_an_error_with_a_remedy() {
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
