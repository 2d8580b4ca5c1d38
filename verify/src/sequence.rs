//! The comparison of bare numbers, which only their position identifies.
//!
//! In one partition the two sequences are compared element by element. Where they differ, the
//! nearest position is searched at which they agree again, so that one lost reading counts as one
//! missing reading and not as a thousand wrong values. Without a defined order, the readings are
//! compared as sets.

use std::collections::HashMap;

use crate::diff::{FoundReading, TopicDiff, close};
use crate::stream::Entry;

/// How many readings must be equal before two sequences count as aligned again.
const RUN: usize = 8;

/// How many readings on both sides are tried in every combination.
const NEAR: usize = 64;

/// Compares two sequences in order.
pub(crate) fn compare(
    expected: &[Entry],
    found: &[FoundReading],
    sensor: &str,
    diff: &mut TopicDiff,
) {
    let mut sides = Sides {
        expected,
        found,
        sensor,
        diff,
        firsts: None,
    };
    let (mut e, mut f, mut gave_up) = (0, 0, false);
    while e < expected.len() && f < found.len() {
        if same(&expected[e], &found[f]) {
            (e, f) = (e + 1, f + 1);
            continue;
        }
        // After a failed search there is no second one: that would take quadratic time.
        let aligned = if gave_up {
            None
        } else {
            realign(&expected[e..], &found[f..])
        };
        gave_up |= aligned.is_none();
        let (more_e, more_f) = aligned.unwrap_or((1, 1));
        sides.block(e..e + more_e, f..f + more_f);
        (e, f) = (e + more_e, f + more_f);
    }
    sides.block(e..expected.len(), f..found.len());
}

/// Compares readings without their order.
pub(crate) fn compare_unordered(
    expected: &[Entry],
    found: &[FoundReading],
    sensor: &str,
    diff: &mut TopicDiff,
) {
    let mut expected: Vec<&Entry> = expected.iter().collect();
    let mut found: Vec<&FoundReading> = found.iter().collect();
    expected.sort_by(|one, other| one.value.total_cmp(&other.value));
    found.sort_by(|one, other| one.entry.value.total_cmp(&other.entry.value));
    let (mut e, mut f) = (0, 0);
    while e < expected.len() || f < found.len() {
        match (expected.get(e), found.get(f)) {
            (Some(one), Some(other)) if same(one, other) => (e, f) = (e + 1, f + 1),
            (Some(one), other) if other.is_none_or(|other| one.value < other.entry.value) => {
                diff.missing(sensor, one);
                e += 1;
            }
            (_, Some(other)) => {
                let again = e > 0 && same(expected[e - 1], other);
                diff.extra(sensor, other, again);
                f += 1;
            }
            (_, None) => break,
        }
    }
}

fn same(expected: &Entry, found: &FoundReading) -> bool {
    expected.unit == found.entry.unit && close(expected.value, found.entry.value)
}

/// How many readings to skip on both sides until the sequences agree again, the fewest first.
fn realign(expected: &[Entry], found: &[FoundReading]) -> Option<(usize, usize)> {
    let agree = |e: usize, f: usize| agree(expected.get(e..), found.get(f..));
    let near = (1..=NEAR)
        .flat_map(|far| (0..=far).map(move |e| (e, far - e)))
        .find(|&(e, f)| agree(e, f));
    near.or_else(|| {
        let lost = (NEAR..expected.len())
            .find(|&e| agree(e, 0))
            .map(|e| (e, 0));
        let added = (NEAR..found.len()).find(|&f| agree(0, f)).map(|f| (0, f));
        [lost, added]
            .into_iter()
            .flatten()
            .min_by_key(|(e, f)| e + f)
    })
}

/// Whether the first readings of both sides are equal.
fn agree(expected: Option<&[Entry]>, found: Option<&[FoundReading]>) -> bool {
    let (Some(expected), Some(found)) = (expected, found) else {
        return false;
    };
    let run = RUN.min(expected.len()).min(found.len());
    // Near the end fewer are enough, if both sequences end there.
    (run == RUN || expected.len() == found.len())
        && expected
            .iter()
            .zip(found)
            .take(run)
            .all(|(expected, found)| same(expected, found))
}

struct Sides<'s> {
    expected: &'s [Entry],
    found: &'s [FoundReading],
    sensor: &'s str,
    diff: &'s mut TopicDiff,
    /// The first index of each value that was found, by its bits.
    firsts: Option<HashMap<u64, usize>>,
}

impl Sides<'_> {
    /// Classifies the differences between two positions at which the sequences agree.
    fn block(&mut self, e: std::ops::Range<usize>, f: std::ops::Range<usize>) {
        let mut open: Vec<usize> = e.collect();
        let mut unexpected = Vec::new();
        let mut previous = None;
        for index in f {
            let found = self.found_at(index);
            match open.iter().position(|&e| same(&self.expected[e], &found)) {
                Some(at) => {
                    let e = open.remove(at);
                    if let Some(previous) = previous.filter(|previous| e < *previous) {
                        self.diff.out_of_order(
                            self.sensor,
                            &found,
                            &format!("after number {previous}"),
                        );
                    }
                    previous = Some(e);
                }
                None => unexpected.push(index),
            }
        }
        let wrong = open.len().min(unexpected.len());
        for (&e, &index) in open.iter().zip(&unexpected) {
            let found = self.found_at(index);
            self.diff.wrong(self.sensor, &self.expected_at(e), &found);
        }
        for &e in &open[wrong..] {
            self.diff.missing(self.sensor, &self.expected_at(e));
        }
        for &index in &unexpected[wrong..] {
            let again = self.is_repeat(index);
            let found = self.found_at(index);
            self.diff.extra(self.sensor, &found, again);
        }
    }

    /// An expected reading, with its index as its sequence number.
    fn expected_at(&self, index: usize) -> Entry {
        Entry {
            seq: index as u64,
            ..self.expected[index]
        }
    }

    fn found_at(&self, index: usize) -> FoundReading {
        let found = self.found[index];
        FoundReading {
            entry: Entry {
                seq: index as u64,
                ..found.entry
            },
            ..found
        }
    }

    fn is_repeat(&mut self, index: usize) -> bool {
        let bits = |found: &FoundReading| found.entry.value.to_bits();
        let firsts = self.firsts.get_or_insert_with(|| {
            // From the end, so that the first of equal values remains.
            self.found
                .iter()
                .enumerate()
                .rev()
                .map(|(index, found)| (bits(found), index))
                .collect()
        });
        firsts
            .get(&bits(&self.found[index]))
            .is_some_and(|&first| first < index)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::report::ReadingCounts;
    use super::*;

    fn entry(value: f64) -> Entry {
        Entry {
            seq: 0,
            time: 0,
            value,
            unit: None,
        }
    }

    fn compared(
        expected: &[f64],
        found: &[f64],
        allow_duplicates: bool,
        how: fn(&[Entry], &[FoundReading], &str, &mut TopicDiff),
    ) -> ReadingCounts {
        let expected: Vec<Entry> = expected.iter().map(|&value| entry(value)).collect();
        let found: Vec<FoundReading> = (0..)
            .zip(found)
            .map(|(offset, &value)| FoundReading {
                sensor: 0,
                entry: entry(value),
                partition: 0,
                offset,
            })
            .collect();
        let mut diff = TopicDiff::new("t", allow_duplicates);
        how(&expected, &found, "", &mut diff);
        diff.counts
    }

    fn numbers(range: std::ops::Range<u32>) -> Vec<f64> {
        range.map(|number| f64::from(number) / 3.0).collect()
    }

    #[test]
    fn each_kind_of_difference_is_found_as_such() {
        type Edit = fn(&mut Vec<f64>);
        let expected = numbers(0..1000);
        // Missing, extra, wrong and out of order.
        let edits: [(Edit, [u64; 4]); 11] = [
            (|_| (), [0, 0, 0, 0]),
            (|found| _ = found.remove(500), [1, 0, 0, 0]),
            (|found| _ = found.drain(100..400), [300, 0, 0, 0]),
            (|found| found.insert(500, -1.0), [0, 1, 0, 0]),
            (|found| found[500] = -1.0, [0, 0, 1, 0]),
            (|found| found.swap(500, 501), [0, 0, 0, 1]),
            (|found| _ = found.pop(), [1, 0, 0, 0]),
            (|found| found[999] = -1.0, [0, 0, 1, 0]),
            (|found| found.push(-1.0), [0, 1, 0, 0]),
            (Vec::clear, [1000, 0, 0, 0]),
            (
                |found| found.iter_mut().for_each(|value| *value += 0.1),
                [0, 0, 1000, 0],
            ),
        ];
        for (edit, [missing, extra, wrong, out_of_order]) in edits {
            let mut found = expected.clone();
            edit(&mut found);
            let counts = ReadingCounts {
                missing,
                extra,
                wrong,
                out_of_order,
                ..ReadingCounts::default()
            };
            assert_eq!(compared(&expected, &found, false, compare), counts);
        }
    }

    #[test]
    fn two_differences_close_together_are_counted_apart() {
        let mut found = numbers(0..100);
        found[50] = -1.0;
        found.remove(52);
        let counts = compared(&numbers(0..100), &found, false, compare);
        assert_eq!(
            counts,
            ReadingCounts {
                wrong: 1,
                missing: 1,
                ..ReadingCounts::default()
            }
        );
    }

    #[test]
    fn a_replayed_stretch_is_extra_or_duplicates() {
        let mut found = numbers(0..400);
        found.extend(numbers(200..1000));
        let expected = numbers(0..1000);
        assert_eq!(
            compared(&expected, &found, false, compare),
            ReadingCounts {
                extra: 200,
                ..ReadingCounts::default()
            }
        );
        assert_eq!(
            compared(&expected, &found, true, compare),
            ReadingCounts {
                duplicates: 200,
                ..ReadingCounts::default()
            }
        );
    }

    #[test]
    fn without_a_defined_order_the_order_does_not_count() {
        let expected = numbers(0..100);
        let mut found = expected.clone();
        found.reverse();
        assert_eq!(
            compared(&expected, &found, false, compare_unordered),
            ReadingCounts::default()
        );
        found[3] = -1.0;
        found.push(expected[50]);
        let counts = compared(&expected, &found, true, compare_unordered);
        assert_eq!(
            counts,
            ReadingCounts {
                missing: 1,
                extra: 1,
                duplicates: 1,
                ..ReadingCounts::default()
            }
        );
    }

    proptest! {
        #[test]
        fn losses_far_apart_are_only_missing(
            lost in proptest::collection::btree_set(0usize..60, 0..20),
        ) {
            let expected = numbers(0..1200);
            let kept = expected
                .iter()
                .enumerate()
                .filter(|(index, _)| index % 20 != 3 || !lost.contains(&(index / 20)));
            let found: Vec<f64> = kept.map(|(_, value)| *value).collect();
            let counts = compared(&expected, &found, false, compare);
            let missing = lost.len() as u64;
            prop_assert_eq!(counts, ReadingCounts { missing, ..ReadingCounts::default() });
        }

        #[test]
        fn the_counts_always_add_up(
            expected in proptest::collection::vec(0u8..5, 0..60),
            found in proptest::collection::vec(0u8..5, 0..60),
        ) {
            let expected: Vec<f64> = expected.into_iter().map(f64::from).collect();
            let found: Vec<f64> = found.into_iter().map(f64::from).collect();
            for how in [compare, compare_unordered] {
                let counts = compared(&expected, &found, false, how);
                let matched = expected.len() as u64 - counts.missing;
                prop_assert_eq!(matched, found.len() as u64 - counts.extra);
                prop_assert!(expected != found || counts == ReadingCounts::default());
            }
        }
    }
}
