//! The comparison of a topic with what must be in it. Readings are matched by sensor and sequence
//! number.

use std::collections::{BTreeMap, BTreeSet};

use crate::diff::{FoundReading, TopicDiff, close};
use crate::sequence;
use crate::stream::{Entry, Order, Sensors, Series, Stream};

/// Compares the records of one topic while they are read.
#[derive(Debug)]
pub(crate) struct Comparison<'e> {
    expected: &'e Stream,
    diff: TopicDiff,
    matchings: BTreeMap<u32, Matching<'e>>,
    /// Readings that were found and not matched yet: all of them if their sequence numbers are
    /// unknown.
    unmatched: Vec<FoundReading>,
    /// The partitions whose first records were deleted.
    trimmed: BTreeSet<i32>,
}

/// The result of a comparison.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) diff: TopicDiff,
    /// How many of the first readings of a sensor were deleted, if the topic has lost its first
    /// records.
    pub(crate) deleted: BTreeMap<u32, usize>,
}

impl<'e> Comparison<'e> {
    /// A comparison before the first record is read. The first records of the `trimmed` partitions
    /// were deleted.
    pub(crate) fn new(expected: &'e Stream, trimmed: BTreeSet<i32>, mut diff: TopicDiff) -> Self {
        let unverified: usize = expected
            .series
            .values()
            .map(|series| series.unverified)
            .sum();
        diff.counts.expected = (expected.len() - unverified) as u64;
        diff.counts.unverifiable = unverified as u64;
        let matchings = expected
            .series
            .iter()
            .map(|(sensor, series)| (*sensor, Matching::new(series)))
            .collect();
        Comparison {
            expected,
            diff,
            matchings,
            unmatched: Vec::new(),
            trimmed,
        }
    }

    pub(crate) fn undecodable(&mut self, partition: i32, offset: i64, why: String) {
        self.diff.undecodable(partition, offset, why);
    }

    pub(crate) fn found(&mut self, found: FoundReading, sensors: &Sensors) {
        self.diff.counts.found += 1;
        let matched = match self.matchings.get_mut(&found.sensor) {
            Some(matching) if self.expected.numbered => matching.take(&found),
            _ => Matched::Not,
        };
        match matched {
            Matched::InOrder => (),
            Matched::OutOfOrder(after) => {
                self.diff
                    .out_of_order(sensors.name(found.sensor), &found, &after);
            }
            Matched::Not => self.unmatched.push(found),
        }
    }

    /// The result, after all records have been read.
    pub(crate) fn finish(mut self, sensors: &Sensors) -> Compared {
        let mut deleted = BTreeMap::new();
        if self.expected.numbered {
            deleted = self.finish_numbered(sensors);
        } else {
            self.finish_unnumbered(sensors);
        }
        Compared {
            diff: self.diff,
            deleted,
        }
    }

    fn finish_numbered(&mut self, sensors: &Sensors) -> BTreeMap<u32, usize> {
        let mut deleted = BTreeMap::new();
        for (sensor, matching) in &self.matchings {
            if let Some(first) = matching.first(&self.trimmed) {
                deleted.insert(*sensor, first);
            }
        }
        for found in &self.unmatched {
            let name = sensors.name(found.sensor);
            let mut matching = self.matchings.get_mut(&found.sensor);
            if let Some(expected) = matching
                .as_mut()
                .and_then(|matching| matching.take_any(found.entry.seq))
            {
                self.diff.wrong(name, &expected, found);
            } else {
                let again = matching.is_some_and(|matching| matching.expects(&found.entry));
                self.diff.extra(name, found, again);
            }
        }
        for (sensor, matching) in &self.matchings {
            let first = deleted.get(sensor).copied().unwrap_or_default();
            for (index, expected) in matching.left() {
                if index < first {
                    self.diff.deleted();
                } else {
                    self.diff.missing(sensors.name(*sensor), expected);
                }
            }
        }
        deleted
    }

    fn finish_unnumbered(&mut self, sensors: &Sensors) {
        // The records of several partitions arrive interleaved.
        self.unmatched
            .sort_unstable_by_key(|found| (found.sensor, found.partition, found.offset));
        let groups = self
            .unmatched
            .chunk_by(|one, other| one.sensor == other.sensor);
        let found: BTreeMap<u32, &[FoundReading]> =
            groups.map(|group| (group[0].sensor, group)).collect();
        let (expected, nothing) = (&self.expected.series, Series::default());
        let names: BTreeSet<u32> = expected.keys().chain(found.keys()).copied().collect();
        for sensor in names {
            let series = expected.get(&sensor).unwrap_or(&nothing);
            let found = found.get(&sensor).copied().unwrap_or_default();
            let compare = match series.order {
                Order::Defined => sequence::compare,
                Order::Undefined => sequence::compare_unordered,
            };
            compare(&series.entries, found, sensors.name(sensor), &mut self.diff);
        }
    }
}

/// Matches the readings that are found of one sensor with those that must be there.
#[derive(Debug)]
struct Matching<'e> {
    series: &'e Series,
    /// Which entries have been matched.
    taken: Vec<bool>,
    /// The indices of the entries sorted by sequence number; `None` if they are in that order.
    by_seq: Option<Vec<usize>>,
    /// The entry after the last match: most often it is the next match.
    next: usize,
    /// The last match and its partition.
    previous: Option<(usize, i32)>,
}

/// Whether a record matched.
enum Matched {
    InOrder,
    OutOfOrder(String),
    Not,
}

impl<'e> Matching<'e> {
    fn new(series: &'e Series) -> Self {
        let by_seq = (!series.entries.is_sorted_by_key(|entry| entry.seq)).then(|| {
            let mut order: Vec<usize> = (0..series.entries.len()).collect();
            order.sort_by_key(|&index| series.entries[index].seq);
            order
        });
        Matching {
            series,
            taken: vec![false; series.entries.len()],
            by_seq,
            next: 0,
            previous: None,
        }
    }

    /// The indices of the entries with a sequence number, in order.
    fn candidates(&self, seq: u64) -> impl Iterator<Item = usize> {
        let entries = &self.series.entries;
        let at = |rank: usize| self.by_seq.as_ref().map_or(rank, |order| order[rank]);
        let first = match &self.by_seq {
            Some(order) => order.partition_point(|&index| entries[index].seq < seq),
            None => entries.partition_point(|entry| entry.seq < seq),
        };
        (first..entries.len())
            .map(at)
            .take_while(move |&index| entries[index].seq == seq)
    }

    fn is_open(&self, index: usize, entry: &Entry) -> bool {
        !self.taken[index] && same(&self.series.entries[index], entry)
    }

    /// Matches the entry that is equal to a record, if it is still open.
    fn take(&mut self, found: &FoundReading) -> Matched {
        let open = if self.next < self.taken.len() && self.is_open(self.next, &found.entry) {
            Some(self.next)
        } else {
            self.candidates(found.entry.seq)
                .find(|&index| self.is_open(index, &found.entry))
        };
        let Some(index) = open else {
            return Matched::Not;
        };
        self.taken[index] = true;
        self.next = index + 1;
        match (
            self.series.order,
            self.previous.replace((index, found.partition)),
        ) {
            (Order::Defined, Some((_, partition))) if partition != found.partition => {
                Matched::OutOfOrder(format!("after a reading in partition {partition}"))
            }
            (Order::Defined, Some((previous, _))) if index < previous => {
                Matched::OutOfOrder(format!("after seq {}", self.series.entries[previous].seq))
            }
            _ => Matched::InOrder,
        }
    }

    /// Matches any open entry with a sequence number.
    fn take_any(&mut self, seq: u64) -> Option<Entry> {
        let index = self.candidates(seq).find(|&index| !self.taken[index])?;
        self.taken[index] = true;
        Some(self.series.entries[index])
    }

    /// Whether an equal reading was expected at all.
    fn expects(&self, entry: &Entry) -> bool {
        self.candidates(entry.seq)
            .any(|index| same(&self.series.entries[index], entry))
    }

    /// The entries that have not been matched, with their indices.
    fn left(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.series
            .entries
            .iter()
            .enumerate()
            .filter(|(index, _)| !self.taken[*index])
    }

    /// How many of the first entries may have been deleted: those before the first match. `None` if
    /// their partition has its first records.
    fn first(&self, trimmed: &BTreeSet<i32>) -> Option<usize> {
        let is_trimmed = match self.previous {
            Some((_, partition)) => trimmed.contains(&partition),
            None => !trimmed.is_empty(),
        };
        let first_match = match self.series.order {
            Order::Defined => self.taken.iter().position(|taken| *taken),
            Order::Undefined => None,
        };
        is_trimmed.then(|| first_match.unwrap_or(self.taken.len()))
    }
}

fn same(expected: &Entry, found: &Entry) -> bool {
    expected.seq == found.seq
        && expected.time == found.time
        && expected.unit == found.unit
        && close(expected.value, found.value)
}

#[cfg(test)]
mod tests;
