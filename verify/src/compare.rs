//! The comparison of a topic with what must be in it. Readings are matched by sensor and sequence
//! number.

use std::collections::{BTreeMap, BTreeSet};

use crate::diff::{FoundReading, TopicDiff, close};
use crate::sequence;
use crate::truth::{Entry, Order, Sensors, Series, Stream};

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
mod tests {
    use proptest::prelude::*;

    use super::super::report::ReadingCounts;
    use super::super::truth::tests::{CELSIUS, stream};
    use super::*;

    /// The result for a topic of one partition that holds these entries.
    fn compared(found: &[Entry], allow_duplicates: bool) -> TopicDiff {
        let mut sensors = Sensors::default();
        let expected = stream(&mut sensors, "a", &CELSIUS);
        let mut comparison = Comparison::new(
            &expected,
            BTreeSet::new(),
            TopicDiff::new("t", allow_duplicates),
        );
        for (offset, entry) in (0..).zip(found) {
            comparison.found(
                FoundReading {
                    sensor: 0,
                    entry: *entry,
                    partition: 0,
                    offset,
                },
                &sensors,
            );
        }
        comparison.finish(&sensors).diff
    }

    fn entries() -> Vec<Entry> {
        stream(&mut Sensors::default(), "a", &CELSIUS).series[&0]
            .entries
            .clone()
    }

    const CLEAN: ReadingCounts = ReadingCounts {
        expected: 14,
        found: 14,
        missing: 0,
        extra: 0,
        wrong: 0,
        out_of_order: 0,
        duplicates: 0,
        unverifiable: 0,
        deleted: 0,
    };

    #[test]
    fn the_same_is_clean_even_with_the_last_bit_off() {
        let mut found = entries();
        found[3].value *= 1.0 + 1e-15;
        assert_eq!(compared(&found, false).counts, CLEAN);
    }

    #[test]
    fn a_missing_reading_is_only_missing() {
        let mut found = entries();
        found.remove(4);
        let diff = compared(&found, false);
        assert_eq!(
            diff.counts,
            ReadingCounts {
                found: 13,
                missing: 1,
                ..CLEAN
            }
        );
        assert_eq!(
            diff.differences[0].to_string(),
            "missing: t, sensor \"a\", seq 4: expected 12 celsius at time 0"
        );
    }

    #[test]
    fn an_extra_reading_is_only_extra() {
        let mut found = entries();
        found.insert(
            4,
            Entry {
                seq: 99,
                ..found[0]
            },
        );
        assert_eq!(
            compared(&found, false).counts,
            ReadingCounts {
                found: 15,
                extra: 1,
                ..CLEAN
            }
        );
        assert_eq!(
            compared(&found, true).counts,
            ReadingCounts {
                found: 15,
                extra: 1,
                ..CLEAN
            },
            "it is not a duplicate"
        );
    }

    #[test]
    fn a_wrong_value_time_or_unit_is_only_wrong() {
        let spoil: [fn(&mut Entry); 3] = [
            |entry| entry.value *= 1.0 + 1e-8,
            |entry| entry.time += 1,
            |entry| entry.unit = None,
        ];
        for spoil in spoil {
            let mut found = entries();
            spoil(&mut found[4]);
            let diff = compared(&found, false);
            assert_eq!(diff.counts, ReadingCounts { wrong: 1, ..CLEAN });
            let shown = diff.differences[0].to_string();
            assert!(
                shown.starts_with(
                    "wrong: t partition 0 offset 4, sensor \"a\", seq 4: expected 12 c"
                ),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_swap_is_only_out_of_order() {
        let mut found = entries();
        found.swap(4, 5);
        let diff = compared(&found, false);
        assert_eq!(
            diff.counts,
            ReadingCounts {
                out_of_order: 1,
                ..CLEAN
            }
        );
        assert!(
            diff.differences[0]
                .to_string()
                .ends_with("seq 4: found 12 celsius at time 0 after seq 5")
        );
    }

    #[test]
    fn a_repeated_reading_is_extra_or_a_duplicate() {
        let mut found = entries();
        found.splice(6..6, entries()[3..6].to_vec());
        assert_eq!(
            compared(&found, false).counts,
            ReadingCounts {
                found: 17,
                extra: 3,
                ..CLEAN
            }
        );
        assert_eq!(
            compared(&found, true).counts,
            ReadingCounts {
                found: 17,
                duplicates: 3,
                ..CLEAN
            }
        );
    }

    #[test]
    fn an_unexpected_sensor_is_extra() {
        let mut sensors = Sensors::default();
        let expected = stream(&mut sensors, "a", &CELSIUS);
        let other = sensors.id("b");
        let mut comparison =
            Comparison::new(&expected, BTreeSet::new(), TopicDiff::new("t", false));
        comparison.found(
            FoundReading {
                sensor: other,
                entry: entries()[0],
                partition: 0,
                offset: 0,
            },
            &sensors,
        );
        comparison.undecodable(0, 1, "not a reading".into());
        let counts = comparison.finish(&sensors).diff.counts;
        assert_eq!(
            counts,
            ReadingCounts {
                found: 2,
                missing: 14,
                extra: 2,
                ..CLEAN
            }
        );
    }

    #[test]
    fn one_sensor_in_two_partitions_is_out_of_order() {
        let mut sensors = Sensors::default();
        let expected = stream(&mut sensors, "a", &CELSIUS);
        let mut comparison =
            Comparison::new(&expected, BTreeSet::new(), TopicDiff::new("t", false));
        for (entry, offset) in entries().into_iter().zip(0..) {
            comparison.found(
                FoundReading {
                    sensor: 0,
                    entry,
                    partition: i32::from(offset > 6),
                    offset,
                },
                &sensors,
            );
        }
        assert_eq!(
            comparison.finish(&sensors).diff.counts,
            ReadingCounts {
                out_of_order: 1,
                ..CLEAN
            }
        );
    }

    #[test]
    fn readings_with_the_same_number_are_matched_by_value() {
        let mut sensors = Sensors::default();
        let mut expected = stream(&mut sensors, "a", &CELSIUS);
        for (index, entry) in expected
            .series
            .get_mut(&0)
            .unwrap()
            .entries
            .iter_mut()
            .enumerate()
        {
            entry.seq = [5, 3][index % 2];
        }
        let mut comparison =
            Comparison::new(&expected, BTreeSet::new(), TopicDiff::new("t", false));
        for (offset, entry) in (0..).zip(&expected.series[&0].entries) {
            comparison.found(
                FoundReading {
                    sensor: 0,
                    entry: *entry,
                    partition: 0,
                    offset,
                },
                &sensors,
            );
        }
        assert_eq!(comparison.finish(&sensors).diff.counts, CLEAN);
    }

    proptest! {
        /// Independent counting: exactly the changes that were made to the topic are found.
        #[test]
        fn losses_additions_errors_and_repeats_are_counted_as_such(
            lost in proptest::collection::btree_set(0usize..14, 0..6),
            spoilt in proptest::collection::btree_set(0usize..14, 0..6),
            repeated in proptest::collection::btree_set(0usize..14, 0..6),
            added in 0u64..4,
        ) {
            let mut found = Vec::new();
            let (mut missing, mut wrong, mut again) = (0, 0, 0);
            for (index, entry) in entries().into_iter().enumerate() {
                if lost.contains(&index) {
                    missing += 1;
                } else if spoilt.contains(&index) {
                    wrong += 1;
                    found.push(Entry { value: entry.value + 1.0, ..entry });
                } else {
                    found.push(entry);
                    if repeated.contains(&index) {
                        again += 1;
                        found.push(entry);
                    }
                }
            }
            found.extend((0..added).map(|seq| Entry {
                seq: 100 + seq,
                time: 0,
                value: 0.0,
                unit: None,
            }));
            let counts = compared(&found, true).counts;
            let expected = ReadingCounts {
                found: found.len() as u64,
                missing,
                extra: added,
                wrong,
                duplicates: again,
                ..CLEAN
            };
            prop_assert_eq!(counts, expected);
        }
    }
}
