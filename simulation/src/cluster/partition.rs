//! A partition: records, markers, and what readers may see of them.

use std::collections::{BTreeMap, BTreeSet};

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The key, if it has one.
    pub key: Option<Vec<u8>>,
    /// The value; nothing for a tombstone.
    pub value: Option<Vec<u8>>,
    /// Header names and values.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
}

/// A record or a marker as it is kept.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its place.
    pub offset: i64,
    /// The producer of its transaction; nothing for a record outside of any.
    pub producer: Option<i64>,
    /// Whether it is the marker of a transaction's end, which takes an offset and is never shown.
    pub is_marker: bool,
    /// Whether its transaction was aborted.
    pub aborted: bool,
    /// Nothing in a marker.
    pub content: Content,
}

/// A partition of a topic.
#[derive(Debug, Default)]
pub struct Partition {
    records: Vec<Stored>,
    /// The log start offset: what is below was deleted. It is kept all the same, for the truth.
    pub start: i64,
    end: i64,
    /// The first offset of each open transaction, by producer.
    open: BTreeMap<i64, i64>,
    /// The newest epoch seen of each producer.
    epochs: BTreeMap<i64, i16>,
}

impl Partition {
    /// The high watermark: one more than the last offset.
    #[must_use]
    pub fn end(&self) -> i64 {
        self.end
    }

    /// The last stable offset: no transaction is open below it.
    #[must_use]
    pub fn stable_end(&self) -> i64 {
        self.open.values().copied().min().unwrap_or(self.end)
    }

    /// Everything that was ever written and not compacted away.
    #[must_use]
    pub fn all(&self) -> &[Stored] {
        &self.records
    }

    /// The first record at or behind an offset that a reader of committed records may see.
    #[must_use]
    pub fn fetch(&self, from: i64) -> Option<&Stored> {
        let from = from.max(self.start);
        let at = self.records.partition_point(|record| record.offset < from);
        let stable = self.stable_end();
        let below = self.records[at..]
            .iter()
            .take_while(|record| record.offset < stable);
        below
            .into_iter()
            .find(|record| !record.is_marker && !record.aborted)
    }

    /// All that a reader of committed records would ever see, also what was deleted since.
    pub fn committed(&self) -> impl Iterator<Item = &Stored> {
        let stable = self.stable_end();
        self.records
            .iter()
            .filter(move |record| record.offset < stable && !record.is_marker && !record.aborted)
    }

    /// Whether a producer's transaction is open here.
    pub(super) fn is_open(&self, producer: i64) -> bool {
        self.open.contains_key(&producer)
    }

    /// Whether a producer of this epoch may write, as far as this partition knows.
    pub(super) fn takes(&mut self, producer: i64, epoch: i16) -> bool {
        let newest = self.epochs.entry(producer).or_insert(epoch);
        *newest = (*newest).max(epoch);
        *newest == epoch
    }

    pub(super) fn append(&mut self, producer: Option<i64>, contents: Vec<Content>) {
        for content in contents {
            if let Some(producer) = producer {
                self.open.entry(producer).or_insert(self.end);
            }
            self.push(Stored {
                offset: self.end,
                producer,
                is_marker: false,
                aborted: false,
                content,
            });
        }
    }

    fn push(&mut self, record: Stored) {
        self.records.push(record);
        self.end += 1;
    }

    /// Writes the marker of a transaction's end.
    pub(super) fn mark(&mut self, producer: i64, epoch: i16, commit: bool) {
        self.takes(producer, epoch);
        if let Some(first) = self.open.remove(&producer)
            && !commit
        {
            let at = self.records.partition_point(|record| record.offset < first);
            let of_it = self.records[at..]
                .iter_mut()
                .filter(|record| record.producer == Some(producer));
            of_it.for_each(|record| record.aborted = true);
        }
        let content = Content {
            key: None,
            value: None,
            headers: Vec::new(),
            timestamp: 0,
        };
        let producer = Some(producer);
        self.push(Stored {
            offset: self.end,
            producer,
            is_marker: true,
            aborted: false,
            content,
        });
    }

    /// Keeps of what is below `to` only the newest record of each key; nothing aborted, no markers,
    /// and no tombstones if they are old enough.
    pub(super) fn compact(&mut self, to: i64, tombstones: bool) {
        let mut newer = BTreeSet::new();
        let mut kept: Vec<Stored> = Vec::new();
        for record in std::mem::take(&mut self.records).into_iter().rev() {
            let is_old = record.offset < to;
            let is_shown = !record.is_marker && !record.aborted;
            if is_old && !is_shown {
                continue;
            }
            // A record that may yet be aborted makes no other one old.
            let is_first = record.offset >= to || newer.insert(record.content.key.clone());
            if is_first && !(is_old && tombstones && record.content.value.is_none()) {
                kept.push(record);
            }
        }
        kept.reverse();
        self.records = kept;
    }

    /// Loses what is below an offset, as when its retention has passed.
    pub(super) fn lose(&mut self, below: i64) {
        self.records.retain(|record| record.offset >= below);
        self.start = self.start.max(below.min(self.end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(key: &str, value: Option<&str>) -> Content {
        let bytes = |text: &str| text.as_bytes().to_vec();
        Content {
            key: Some(bytes(key)),
            value: value.map(bytes),
            headers: Vec::new(),
            timestamp: 0,
        }
    }

    fn seen(partition: &Partition) -> Vec<i64> {
        let (mut seen, mut from) = (Vec::new(), 0);
        while let Some(record) = partition.fetch(from) {
            seen.push(record.offset);
            from = record.offset + 1;
        }
        seen
    }

    #[test]
    fn a_reader_stops_at_the_first_open_transaction_and_skips_what_was_aborted() {
        let mut partition = Partition::default();
        partition.append(Some(1), vec![content("a", Some("0"))]);
        partition.append(Some(2), vec![content("b", Some("1"))]);
        partition.append(None, vec![content("c", Some("2"))]);
        assert_eq!((partition.stable_end(), partition.end()), (0, 3));
        partition.mark(1, 0, true);
        assert_eq!((seen(&partition), partition.stable_end()), (vec![0], 1));
        partition.mark(2, 0, false);
        assert_eq!((seen(&partition), partition.stable_end()), (vec![0, 2], 5));
        assert!(partition.takes(2, 1) && !partition.takes(2, 0));
    }

    #[test]
    fn the_newest_of_each_key_is_kept_and_nothing_above_the_stable_end_is_touched() {
        let mut partition = Partition::default();
        let values = [
            ("a", Some("0")),
            ("a", Some("1")),
            ("b", Some("2")),
            ("b", None),
        ];
        partition.append(None, values.map(|(key, value)| content(key, value)).into());
        partition.append(Some(1), vec![content("a", Some("4"))]);
        partition.compact(partition.stable_end(), false);
        assert_eq!(seen(&partition), [1, 3]);
        partition.mark(1, 0, false);
        partition.compact(partition.stable_end(), true);
        assert_eq!(seen(&partition), [1]);
    }
}
