//! Topics in memory.

use std::collections::BTreeMap;

use rivulet_core::dead_letter::{DeadLetter, Migration, MigrationKind, Resolution, Resolved};
use rivulet_core::error::Result;
use rivulet_core::log::Header;
use rivulet_core::topic_source::{FetchedRecord, TopicSource};

/// Topics in memory: the records of each partition, and the headers of records that have any.
#[derive(Default)]
pub(super) struct Table {
    pub(super) topics: BTreeMap<String, Vec<Vec<Vec<u8>>>>,
    pub(super) headers: BTreeMap<(String, usize), Vec<Header>>,
    /// The log start offsets of topics of one partition whose first records were deleted.
    pub(super) starts: BTreeMap<String, i64>,
}

impl Table {
    pub(super) fn with(mut self, topic: &str, partitions: Vec<Vec<String>>) -> Self {
        let bytes = partitions
            .into_iter()
            .map(|values| values.into_iter().map(String::into_bytes).collect());
        self.topics.insert(topic.to_owned(), bytes.collect());
        self
    }

    /// Adds a record to a topic of one partition.
    pub(super) fn add(&mut self, topic: &str, value: &str, headers: Vec<Header>) {
        let records = &mut self
            .topics
            .entry(topic.to_owned())
            .or_insert_with(|| vec![Vec::new()])[0];
        self.headers
            .insert((topic.to_owned(), records.len()), headers);
        records.push(value.into());
    }

    /// Adds a dead letter of the stage with the record at this offset of the topic.
    pub(super) fn add_dead_letter(&mut self, stage: &str, topic: &str, offset: usize) {
        self.add_dead_letter_for(stage, topic, offset, "?");
    }

    pub(super) fn add_dead_letter_for(
        &mut self,
        stage: &str,
        topic: &str,
        offset: usize,
        reason: &str,
    ) {
        let value = String::from_utf8(self.topics[topic][0][offset].clone()).unwrap();
        let place = Some((0, i64::try_from(offset).unwrap()));
        let dead_letter = DeadLetter {
            original: &[],
            topic,
            place,
            stage,
            reason,
            error: "?",
            truncated: None,
        };
        self.add(
            &format!("{stage}-dead-letters"),
            &value,
            dead_letter.headers(),
        );
    }

    /// Adds a migration: the stage had this chain below this offset of its input.
    pub(super) fn migrate(
        &mut self,
        stage: &str,
        remedy: MigrationKind,
        chain: &str,
        topic: &str,
        offset: i64,
    ) {
        let offsets = [((topic.into(), 0), offset)].into();
        let migration = Migration {
            remedy,
            chain: Some(chain.into()),
            offsets,
            sensors: [].into(),
        };
        self.add(&format!("{stage}-dead-letters"), "", migration.headers());
    }

    pub(super) fn resolve(&mut self, stage: &str, resolved: Resolved, offsets: &str) {
        let resolution = Resolution {
            resolved,
            letters: offsets.parse().unwrap(),
        };
        self.add(&format!("{stage}-dead-letters"), "", resolution.headers());
    }
}

impl TopicSource for Table {
    fn partitions(&self, topic: &str) -> Option<usize> {
        self.topics.get(topic).map(Vec::len)
    }

    fn is_trimmed(&self, topic: &str) -> bool {
        self.start(topic, 0) > 0
    }

    fn start(&self, topic: &str, _: i32) -> i64 {
        self.starts.get(topic).copied().unwrap_or_default()
    }

    fn read(&mut self, topic: &str, each: &mut dyn FnMut(&FetchedRecord<'_>)) -> Result<()> {
        for (partition, values) in (0..).zip(&self.topics[topic]) {
            for (offset, value) in (0..)
                .zip(values)
                .filter(|(offset, _)| *offset >= self.start(topic, 0))
            {
                let headers = usize::try_from(offset)
                    .ok()
                    .and_then(|at| self.headers.get(&(topic.to_owned(), at)));
                let headers = headers.map_or(&[][..], Vec::as_slice);
                each(&FetchedRecord {
                    partition,
                    offset,
                    timestamp: 1000,
                    key: None,
                    value: Some(value),
                    headers,
                });
            }
        }
        Ok(())
    }
}
