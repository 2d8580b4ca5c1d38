//! The comparison of a topic with the truth, reading by reading: (sensor, seq) says which is which.

use std::collections::{BTreeMap, BTreeSet};

use super::sequence;
use super::tally::{Found, Tally, close};
use super::truth::{Entry, Lane, Order, Sensors, Stream};

/// Compares the records of one topic with the truth while they are read.
#[derive(Debug)]
pub(super) struct Comparison<'e> {
    expected: &'e Stream,
    tally: Tally,
    lanes: BTreeMap<u32, Matching<'e>>,
    /// What was found and not matched yet. Where readings cannot be told apart by their numbers,
    /// this is all that was found.
    unmatched: Vec<Found>,
    /// The partitions of which the first records are gone.
    trimmed: BTreeSet<i32>,
}

/// What a comparison found.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) tally: Tally,
    /// How many of the first readings of a sensor are not there any more, where the beginning of
    /// the topic is gone.
    pub(super) deleted: BTreeMap<u32, usize>,
}

impl<'e> Comparison<'e> {
    /// Nothing is found yet in a topic; the beginnings of these partitions are gone.
    pub(super) fn new(expected: &'e Stream, trimmed: BTreeSet<i32>, mut tally: Tally) -> Self {
        let unverified: usize = expected.lanes.values().map(|lane| lane.unverified).sum();
        tally.counts.expected = (expected.len() - unverified) as u64;
        tally.counts.unverifiable = unverified as u64;
        let lanes = expected
            .lanes
            .iter()
            .map(|(sensor, lane)| (*sensor, Matching::new(lane)))
            .collect();
        Comparison {
            expected,
            tally,
            lanes,
            unmatched: Vec::new(),
            trimmed,
        }
    }

    pub(super) fn undecodable(&mut self, partition: i32, offset: i64, why: String) {
        self.tally.undecodable(partition, offset, why);
    }

    pub(super) fn found(&mut self, found: Found, sensors: &Sensors) {
        self.tally.counts.found += 1;
        let matched = match self.lanes.get_mut(&found.sensor) {
            Some(lane) if self.expected.numbered => lane.take(&found),
            _ => Taken::Not,
        };
        match matched {
            Taken::InOrder => (),
            Taken::OutOfOrder(after) => {
                self.tally
                    .out_of_order(sensors.name(found.sensor), &found, &after)
            }
            Taken::Not => self.unmatched.push(found),
        }
    }

    /// The result, once everything has been found that is there.
    pub(super) fn finish(mut self, sensors: &Sensors) -> Compared {
        let mut deleted = BTreeMap::new();
        if self.expected.numbered {
            deleted = self.finish_numbered(sensors);
        } else {
            self.finish_unnumbered(sensors);
        }
        Compared {
            tally: self.tally,
            deleted,
        }
    }

    fn finish_numbered(&mut self, sensors: &Sensors) -> BTreeMap<u32, usize> {
        let mut deleted = BTreeMap::new();
        for (sensor, lane) in &self.lanes {
            if let Some(first) = lane.first(&self.trimmed) {
                deleted.insert(*sensor, first);
            }
        }
        for found in &self.unmatched {
            let name = sensors.name(found.sensor);
            let mut lane = self.lanes.get_mut(&found.sensor);
            if let Some(expected) = lane
                .as_mut()
                .and_then(|lane| lane.take_any(found.entry.seq))
            {
                self.tally.wrong(name, &expected, found);
            } else {
                let again = lane.is_some_and(|lane| lane.knows(&found.entry));
                self.tally.extra(name, found, again);
            }
        }
        for (sensor, lane) in &self.lanes {
            let first = deleted.get(sensor).copied().unwrap_or_default();
            for (index, expected) in lane.left() {
                if index < first {
                    self.tally.deleted();
                } else {
                    self.tally.missing(sensors.name(*sensor), expected);
                }
            }
        }
        deleted
    }

    fn finish_unnumbered(&mut self, sensors: &Sensors) {
        // Several partitions arrive interleaved.
        self.unmatched
            .sort_unstable_by_key(|found| (found.sensor, found.partition, found.offset));
        let groups = self
            .unmatched
            .chunk_by(|one, other| one.sensor == other.sensor);
        let found: BTreeMap<u32, &[Found]> = groups.map(|group| (group[0].sensor, group)).collect();
        let (expected, nothing) = (&self.expected.lanes, Lane::default());
        let names: BTreeSet<u32> = expected.keys().chain(found.keys()).copied().collect();
        for sensor in names {
            let lane = expected.get(&sensor).unwrap_or(&nothing);
            let found = found.get(&sensor).copied().unwrap_or_default();
            let compare = match lane.order {
                Order::Defined => sequence::compare,
                Order::Undefined => sequence::compare_unordered,
            };
            compare(&lane.entries, found, sensors.name(sensor), &mut self.tally);
        }
    }
}

/// Matches what is found of one sensor with what must be there.
#[derive(Debug)]
struct Matching<'e> {
    lane: &'e Lane,
    /// Which entries have been found.
    taken: Vec<bool>,
    /// The entries sorted by sequence number, where they do not come so.
    by_seq: Option<Vec<usize>>,
    /// The entry behind the last one found: most often it is the next.
    next: usize,
    /// The last entry found and its partition.
    previous: Option<(usize, i32)>,
}

/// Whether a record was expected.
enum Taken {
    InOrder,
    OutOfOrder(String),
    Not,
}

impl<'e> Matching<'e> {
    fn new(lane: &'e Lane) -> Self {
        let by_seq = (!lane.entries.is_sorted_by_key(|entry| entry.seq)).then(|| {
            let mut order: Vec<usize> = (0..lane.entries.len()).collect();
            order.sort_by_key(|&index| lane.entries[index].seq);
            order
        });
        Matching {
            lane,
            taken: vec![false; lane.entries.len()],
            by_seq,
            next: 0,
            previous: None,
        }
    }

    /// The entries of a sequence number, in their order.
    fn candidates(&self, seq: u64) -> impl Iterator<Item = usize> {
        let entries = &self.lane.entries;
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
        !self.taken[index] && same(&self.lane.entries[index], entry)
    }

    /// Takes the entry that a record is exactly, if it is still open.
    fn take(&mut self, found: &Found) -> Taken {
        let open = if self.next < self.taken.len() && self.is_open(self.next, &found.entry) {
            Some(self.next)
        } else {
            self.candidates(found.entry.seq)
                .find(|&index| self.is_open(index, &found.entry))
        };
        let Some(index) = open else { return Taken::Not };
        self.taken[index] = true;
        self.next = index + 1;
        match (
            self.lane.order,
            self.previous.replace((index, found.partition)),
        ) {
            (Order::Defined, Some((_, partition))) if partition != found.partition => {
                Taken::OutOfOrder(format!("after a reading in partition {partition}"))
            }
            (Order::Defined, Some((previous, _))) if index < previous => {
                Taken::OutOfOrder(format!("after seq {}", self.lane.entries[previous].seq))
            }
            _ => Taken::InOrder,
        }
    }

    /// Takes any open entry of a sequence number.
    fn take_any(&mut self, seq: u64) -> Option<Entry> {
        let index = self.candidates(seq).find(|&index| !self.taken[index])?;
        self.taken[index] = true;
        Some(self.lane.entries[index])
    }

    /// Whether such a reading was expected at all.
    fn knows(&self, entry: &Entry) -> bool {
        self.candidates(entry.seq)
            .any(|index| same(&self.lane.entries[index], entry))
    }

    /// What has not been found, each with its place.
    fn left(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.lane
            .entries
            .iter()
            .enumerate()
            .filter(|(index, _)| !self.taken[*index])
    }

    /// How many of the first entries may have been deleted, if the beginning of their partition is
    /// gone: those before the first that is there.
    fn first(&self, trimmed: &BTreeSet<i32>) -> Option<usize> {
        let is_trimmed = match self.previous {
            Some((_, partition)) => trimmed.contains(&partition),
            None => !trimmed.is_empty(),
        };
        let everything = self.taken.len();
        is_trimmed.then(|| match self.lane.order {
            Order::Defined => self
                .taken
                .iter()
                .position(|taken| *taken)
                .unwrap_or(everything),
            Order::Undefined => everything,
        })
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

    /// What is found if the topic holds these entries of the expected ones, in one partition.
    fn compared(found: &[Entry], allow_duplicates: bool) -> Tally {
        let mut sensors = Sensors::default();
        let expected = stream(&mut sensors, "a", &CELSIUS);
        let mut comparison = Comparison::new(
            &expected,
            BTreeSet::new(),
            Tally::new("t", allow_duplicates),
        );
        for (offset, entry) in (0..).zip(found) {
            comparison.found(
                Found {
                    sensor: 0,
                    entry: *entry,
                    partition: 0,
                    offset,
                },
                &sensors,
            );
        }
        comparison.finish(&sensors).tally
    }

    fn entries() -> Vec<Entry> {
        stream(&mut Sensors::default(), "a", &CELSIUS).lanes[&0]
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
        let tally = compared(&found, false);
        assert_eq!(
            tally.counts,
            ReadingCounts {
                found: 13,
                missing: 1,
                ..CLEAN
            }
        );
        assert_eq!(
            tally.differences[0].to_string(),
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
            "it is no duplicate"
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
            let tally = compared(&found, false);
            assert_eq!(tally.counts, ReadingCounts { wrong: 1, ..CLEAN });
            let shown = tally.differences[0].to_string();
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
        let tally = compared(&found, false);
        assert_eq!(
            tally.counts,
            ReadingCounts {
                out_of_order: 1,
                ..CLEAN
            }
        );
        assert!(
            tally.differences[0]
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
    fn a_sensor_that_nobody_expects_is_extra() {
        let mut sensors = Sensors::default();
        let expected = stream(&mut sensors, "a", &CELSIUS);
        let other = sensors.id("b");
        let mut comparison = Comparison::new(&expected, BTreeSet::new(), Tally::new("t", false));
        comparison.found(
            Found {
                sensor: other,
                entry: entries()[0],
                partition: 0,
                offset: 0,
            },
            &sensors,
        );
        comparison.undecodable(0, 1, "not a reading".into());
        let counts = comparison.finish(&sensors).tally.counts;
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
    fn one_sensor_in_two_partitions_has_lost_its_order() {
        let mut sensors = Sensors::default();
        let expected = stream(&mut sensors, "a", &CELSIUS);
        let mut comparison = Comparison::new(&expected, BTreeSet::new(), Tally::new("t", false));
        for (entry, offset) in entries().into_iter().zip(0..) {
            comparison.found(
                Found {
                    sensor: 0,
                    entry,
                    partition: i32::from(offset > 6),
                    offset,
                },
                &sensors,
            );
        }
        assert_eq!(
            comparison.finish(&sensors).tally.counts,
            ReadingCounts {
                out_of_order: 1,
                ..CLEAN
            }
        );
    }

    #[test]
    fn readings_that_share_a_number_are_told_apart_by_their_values() {
        let mut sensors = Sensors::default();
        let mut expected = stream(&mut sensors, "a", &CELSIUS);
        for (index, entry) in expected
            .lanes
            .get_mut(&0)
            .unwrap()
            .entries
            .iter_mut()
            .enumerate()
        {
            entry.seq = [5, 3][index % 2];
        }
        let mut comparison = Comparison::new(&expected, BTreeSet::new(), Tally::new("t", false));
        for (offset, entry) in (0..).zip(&expected.lanes[&0].entries) {
            comparison.found(
                Found {
                    sensor: 0,
                    entry: *entry,
                    partition: 0,
                    offset,
                },
                &sensors,
            );
        }
        assert_eq!(comparison.finish(&sensors).tally.counts, CLEAN);
    }

    proptest! {
        /// Independent counting: what was done to the topic is what is found.
        #[test]
        fn losses_strangers_errors_and_repeats_are_counted_as_such(
            lost in proptest::collection::btree_set(0usize..14, 0..6),
            spoilt in proptest::collection::btree_set(0usize..14, 0..6),
            repeated in proptest::collection::btree_set(0usize..14, 0..6),
            strangers in 0u64..4,
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
            found.extend((0..strangers).map(|seq| Entry { seq: 100 + seq, time: 0, value: 0.0, unit: None }));
            let counts = compared(&found, true).counts;
            let expected = ReadingCounts { found: found.len() as u64, missing, extra: strangers, wrong, duplicates: again, ..CLEAN };
            prop_assert_eq!(counts, expected);
        }
    }
}
