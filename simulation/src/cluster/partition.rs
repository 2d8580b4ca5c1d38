//! A partition: records, transaction markers, and what consumers see of them.

use std::collections::{BTreeMap, BTreeSet};

/// The content of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The key, if it has one.
    pub key: Option<Vec<u8>>,
    /// The value. `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Header names and values.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The timestamp in milliseconds since the epoch.
    pub timestamp: i64,
}

/// A record or a transaction marker in the log.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its offset.
    pub offset: i64,
    /// The producer id. `None` outside of transactions.
    pub producer: Option<i64>,
    /// Whether it is a transaction marker. Markers take an offset, but no consumer sees them.
    pub is_marker: bool,
    /// Whether its transaction was aborted.
    pub aborted: bool,
    /// Empty in a marker.
    pub content: Content,
}

/// A partition of a topic.
#[derive(Debug, Default)]
pub struct Partition {
    records: Vec<Stored>,
    /// The log start offset. Records below it are deleted, but kept here for the comparison with
    /// the truth.
    pub start: i64,
    end: i64,
    /// The first offset of each open transaction, by producer.
    open: BTreeMap<i64, i64>,
    /// The newest epoch of each producer id.
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

    /// All records ever written, except those that were compacted.
    #[must_use]
    pub fn all(&self) -> &[Stored] {
        &self.records
    }

    /// The first committed record at or after an offset.
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

    /// All committed records, including those that were deleted since.
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

    /// Whether this partition accepts the epoch of a producer.
    pub(super) fn accepts(&mut self, producer: i64, epoch: i16) -> bool {
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

    /// Writes a transaction marker.
    pub(super) fn write_marker(&mut self, producer: i64, epoch: i16, commit: bool) {
        self.accepts(producer, epoch);
        if let Some(first) = self.open.remove(&producer)
            && !commit
        {
            let at = self.records.partition_point(|record| record.offset < first);
            let of_transaction = self.records[at..]
                .iter_mut()
                .filter(|record| record.producer == Some(producer));
            of_transaction.for_each(|record| record.aborted = true);
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

    /// Compacts the log below `to`: keeps the newest record of each key. Removes aborted records
    /// and markers, and tombstones if `tombstones` is set.
    pub(super) fn compact(&mut self, to: i64, tombstones: bool) {
        let mut newer = BTreeSet::new();
        let mut kept: Vec<Stored> = Vec::new();
        for record in std::mem::take(&mut self.records).into_iter().rev() {
            let is_old = record.offset < to;
            let is_shown = !record.is_marker && !record.aborted;
            if is_old && !is_shown {
                continue;
            }
            // A record that may still be aborted does not replace an older one.
            let is_first = record.offset >= to || newer.insert(record.content.key.clone());
            if is_first && !(is_old && tombstones && record.content.value.is_none()) {
                kept.push(record);
            }
        }
        kept.reverse();
        self.records = kept;
    }

    /// Loses all records below an offset.
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
    fn a_fetch_ends_at_open_transactions_and_skips_aborted_ones() {
        let mut partition = Partition::default();
        partition.append(Some(1), vec![content("a", Some("0"))]);
        partition.append(Some(2), vec![content("b", Some("1"))]);
        partition.append(None, vec![content("c", Some("2"))]);
        assert_eq!((partition.stable_end(), partition.end()), (0, 3));
        partition.write_marker(1, 0, true);
        assert_eq!((seen(&partition), partition.stable_end()), (vec![0], 1));
        partition.write_marker(2, 0, false);
        assert_eq!((seen(&partition), partition.stable_end()), (vec![0, 2], 5));
        assert!(partition.accepts(2, 1) && !partition.accepts(2, 0));
    }

    #[test]
    fn compaction_keeps_the_newest_of_each_key_below_its_end() {
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
        partition.write_marker(1, 0, false);
        partition.compact(partition.stable_end(), true);
        assert_eq!(seen(&partition), [1]);
    }
}
