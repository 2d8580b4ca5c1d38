//! Streams with one difference each, compared.

use proptest::prelude::*;

use super::super::report::ReadingCounts;
use super::*;
use crate::truth::tests::{CELSIUS, stream};

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
            shown.starts_with("wrong: t partition 0 offset 4, sensor \"a\", seq 4: expected 12 c"),
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
    let mut comparison = Comparison::new(&expected, BTreeSet::new(), TopicDiff::new("t", false));
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
    let mut comparison = Comparison::new(&expected, BTreeSet::new(), TopicDiff::new("t", false));
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
    let mut comparison = Comparison::new(&expected, BTreeSet::new(), TopicDiff::new("t", false));
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
