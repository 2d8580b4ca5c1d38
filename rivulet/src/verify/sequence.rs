//! The comparison where nothing but a reading's place says which it is: bare numbers.
//!
//! In one partition the two sequences are laid side by side; where they part, the nearest place is
//! looked for at which they go on together, so that one lost reading is one loss and not a thousand
//! wrong values. Without a defined order, only what there is can be compared.

use std::collections::HashMap;

use super::tally::{Found, Tally, close};
use super::truth::Entry;

/// So many readings must agree before two sequences go on together.
const RUN: usize = 8;

/// So many readings on both sides are tried in every combination.
const NEAR: usize = 64;

/// Compares two sequences in order.
pub(super) fn compare(expected: &[Entry], found: &[Found], sensor: &str, tally: &mut Tally) {
    let mut sides = Sides {
        expected,
        found,
        sensor,
        tally,
        firsts: None,
    };
    let (mut e, mut f, mut apart) = (0, 0, false);
    while e < expected.len() && f < found.len() {
        if same(&expected[e], &found[f]) {
            (e, f) = (e + 1, f + 1);
            continue;
        }
        // Two sequences that once did not come together again are not searched a second time: that
        // would take the square of their length.
        let together = if apart {
            None
        } else {
            reunion(&expected[e..], &found[f..])
        };
        apart |= together.is_none();
        let (more_e, more_f) = together.unwrap_or((1, 1));
        sides.block(e..e + more_e, f..f + more_f);
        (e, f) = (e + more_e, f + more_f);
    }
    sides.block(e..expected.len(), f..found.len());
}

/// Compares what there is, in whatever order.
pub(super) fn compare_unordered(
    expected: &[Entry],
    found: &[Found],
    sensor: &str,
    tally: &mut Tally,
) {
    let mut expected: Vec<&Entry> = expected.iter().collect();
    let mut found: Vec<&Found> = found.iter().collect();
    expected.sort_by(|one, other| one.value.total_cmp(&other.value));
    found.sort_by(|one, other| one.entry.value.total_cmp(&other.entry.value));
    let (mut e, mut f) = (0, 0);
    while e < expected.len() || f < found.len() {
        match (expected.get(e), found.get(f)) {
            (Some(one), Some(other)) if same(one, other) => (e, f) = (e + 1, f + 1),
            (Some(one), other) if other.is_none_or(|other| one.value < other.entry.value) => {
                tally.missing(sensor, one);
                e += 1;
            }
            (_, Some(other)) => {
                let again = e > 0 && same(expected[e - 1], other);
                tally.extra(sensor, other, again);
                f += 1;
            }
            (_, None) => break,
        }
    }
}

fn same(expected: &Entry, found: &Found) -> bool {
    expected.unit == found.entry.unit && close(expected.value, found.entry.value)
}

/// How far to go on both sides until they agree again, the shortest way first.
fn reunion(expected: &[Entry], found: &[Found]) -> Option<(usize, usize)> {
    let agree = |e: usize, f: usize| {
        let (Some(expected), Some(found)) = (expected.get(e..), found.get(f..)) else {
            return false;
        };
        let run = RUN.min(expected.len()).min(found.len());
        // Near the end fewer will do, if both end there.
        (run == RUN || expected.len() == found.len())
            && expected
                .iter()
                .zip(found)
                .take(run)
                .all(|(expected, found)| same(expected, found))
    };
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

struct Sides<'s> {
    expected: &'s [Entry],
    found: &'s [Found],
    sensor: &'s str,
    tally: &'s mut Tally,
    /// Where each value was found first, by its bits.
    firsts: Option<HashMap<u64, usize>>,
}

impl Sides<'_> {
    /// Tells apart what happened between two places at which the sequences agree.
    fn block(&mut self, e: std::ops::Range<usize>, f: std::ops::Range<usize>) {
        let mut open: Vec<usize> = e.collect();
        let mut strangers = Vec::new();
        let mut previous = None;
        for index in f {
            let found = self.found_at(index);
            match open.iter().position(|&e| same(&self.expected[e], &found)) {
                Some(at) => {
                    let e = open.remove(at);
                    if let Some(previous) = previous.filter(|previous| e < *previous) {
                        self.tally.out_of_order(
                            self.sensor,
                            &found,
                            &format!("after number {previous}"),
                        );
                    }
                    previous = Some(e);
                }
                None => strangers.push(index),
            }
        }
        let wrong = open.len().min(strangers.len());
        for (&e, &index) in open.iter().zip(&strangers) {
            let found = self.found_at(index);
            self.tally.wrong(self.sensor, &self.expected_at(e), &found);
        }
        for &e in &open[wrong..] {
            self.tally.missing(self.sensor, &self.expected_at(e));
        }
        for &index in &strangers[wrong..] {
            let again = self.was_there_before(index);
            let found = self.found_at(index);
            self.tally.extra(self.sensor, &found, again);
        }
    }

    /// An expected reading, with its place as its number.
    fn expected_at(&self, index: usize) -> Entry {
        Entry {
            seq: index as u64,
            ..self.expected[index]
        }
    }

    fn found_at(&self, index: usize) -> Found {
        let found = self.found[index];
        Found {
            entry: Entry {
                seq: index as u64,
                ..found.entry
            },
            ..found
        }
    }

    fn was_there_before(&mut self, index: usize) -> bool {
        let bits = |found: &Found| found.entry.value.to_bits();
        let firsts = self.firsts.get_or_insert_with(|| {
            // From the end, so that the first of equal values stays.
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
        how: fn(&[Entry], &[Found], &str, &mut Tally),
    ) -> ReadingCounts {
        let expected: Vec<Entry> = expected.iter().map(|&value| entry(value)).collect();
        let found: Vec<Found> = (0..)
            .zip(found)
            .map(|(offset, &value)| Found {
                sensor: 0,
                entry: entry(value),
                partition: 0,
                offset,
            })
            .collect();
        let mut tally = Tally::new("t", allow_duplicates);
        how(&expected, &found, "", &mut tally);
        tally.counts
    }

    fn numbers(range: std::ops::Range<u32>) -> Vec<f64> {
        range.map(|number| f64::from(number) / 3.0).collect()
    }

    #[test]
    fn each_kind_of_difference_is_found_as_such() {
        let expected = numbers(0..1000);
        let edited = |edit: fn(&mut Vec<f64>)| {
            let mut found = expected.clone();
            edit(&mut found);
            compared(&expected, &found, false, compare)
        };
        assert_eq!(edited(|_| ()), ReadingCounts::default());
        assert_eq!(
            edited(|found| _ = found.remove(500)),
            ReadingCounts {
                missing: 1,
                ..ReadingCounts::default()
            }
        );
        assert_eq!(
            edited(|found| _ = found.drain(100..400)),
            ReadingCounts {
                missing: 300,
                ..ReadingCounts::default()
            }
        );
        assert_eq!(
            edited(|found| found.insert(500, -1.0)),
            ReadingCounts {
                extra: 1,
                ..ReadingCounts::default()
            }
        );
        assert_eq!(
            edited(|found| found[500] = -1.0),
            ReadingCounts {
                wrong: 1,
                ..ReadingCounts::default()
            }
        );
        assert_eq!(
            edited(|found| found.swap(500, 501)),
            ReadingCounts {
                out_of_order: 1,
                ..ReadingCounts::default()
            }
        );
        assert_eq!(
            edited(|found| _ = found.pop()),
            ReadingCounts {
                missing: 1,
                ..ReadingCounts::default()
            }
        );
        assert_eq!(
            edited(|found| found[999] = -1.0),
            ReadingCounts {
                wrong: 1,
                ..ReadingCounts::default()
            }
        );
        assert_eq!(
            edited(|found| found.push(-1.0)),
            ReadingCounts {
                extra: 1,
                ..ReadingCounts::default()
            }
        );
        assert_eq!(
            edited(Vec::clear),
            ReadingCounts {
                missing: 1000,
                ..ReadingCounts::default()
            }
        );
        let all_wrong = edited(|found| found.iter_mut().for_each(|value| *value += 0.1));
        assert_eq!(
            all_wrong,
            ReadingCounts {
                wrong: 1000,
                ..ReadingCounts::default()
            }
        );
    }

    #[test]
    fn two_faults_close_together_are_told_apart() {
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
    fn without_an_order_only_what_is_there_counts() {
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
        fn losses_far_apart_are_all_there_is(lost in proptest::collection::btree_set(0usize..60, 0..20)) {
            let expected = numbers(0..1200);
            let kept = expected.iter().enumerate().filter(|(index, _)| index % 20 != 3 || !lost.contains(&(index / 20)));
            let found: Vec<f64> = kept.map(|(_, value)| *value).collect();
            let counts = compared(&expected, &found, false, compare);
            prop_assert_eq!(counts, ReadingCounts { missing: lost.len() as u64, ..ReadingCounts::default() });
        }

        #[test]
        fn whatever_is_found_adds_up(
            expected in proptest::collection::vec(0u32..5, 0..60),
            found in proptest::collection::vec(0u32..5, 0..60),
        ) {
            let as_floats = |values: &[u32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
            for how in [compare, compare_unordered] {
                let counts = compared(&as_floats(&expected), &as_floats(&found), false, how);
                prop_assert_eq!(expected.len() as u64 - counts.missing, found.len() as u64 - counts.extra);
                prop_assert!(expected != found || counts == ReadingCounts::default());
            }
        }
    }
}
