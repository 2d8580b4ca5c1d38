//! What a report prints.

use super::*;

fn report(allow_duplicates: bool) -> Report {
    let counts = ReadingCounts {
        expected: 9,
        found: 9,
        wrong: 1,
        ..ReadingCounts::default()
    };
    let topic = |name: &str, outcome| TopicReport {
        topic: name.into(),
        outcome,
    };
    Report {
        topics: vec![
            topic(
                "celsius",
                TopicOutcome::Given {
                    readings: 14,
                    undecodable: 2,
                },
            ),
            topic("ewma", TopicOutcome::Compared(counts)),
            topic(
                "joined",
                TopicOutcome::NotVerifiable {
                    reason: "it keeps state".into(),
                },
            ),
            topic(
                "convert-dead-letters",
                TopicOutcome::DeadLetters(ReadingCounts {
                    expected: 2,
                    found: 2,
                    ..ReadingCounts::default()
                }),
            ),
        ],
        differences: vec![ReadingDifference {
            kind: DifferenceKind::Wrong,
            topic: "ewma".into(),
            reading: "sensor \"a\", seq 3".into(),
            place: Some((0, 4)),
            expected: Some("55.4 fahrenheit".into()),
            found: Some("55.5 fahrenheit".into()),
        }],
        notes: vec!["the tide is high".into()],
        allow_duplicates,
    }
}

#[test]
fn the_verdict_is_the_last_line() {
    let expected = "\
topic                 expected     found  missing  extra  wrong  out of order
celsius                  given        14, and 2 that are not readings
ewma                         9         9        0      0      1             0
joined                not verifiable: it keeps state
convert-dead-letters         2         2        0      0      -             -
note: the tide is high
wrong: ewma partition 0 offset 4, sensor \"a\", seq 3: expected 55.4 fahrenheit, found 55.5 \
                    fahrenheit
verified 9 readings in 1 topics: 0 missing, 0 extra, 1 wrong, 0 out of order; not verifiable: 1 \
                    topic
";
    assert_eq!(report(false).to_string(), expected);
    assert!(!report(false).is_clean());
    assert!(
        report(true)
            .to_string()
            .contains("0 out of order, 0 duplicates; not verifiable: 1 topic\n")
    );
}

#[test]
fn what_is_deleted_is_neither_missing_nor_extra() {
    let counts = ReadingCounts {
        expected: 9,
        found: 11,
        unverifiable: 2,
        deleted: 1,
        ..ReadingCounts::default()
    };
    let mut report = report(false);
    report.topics = vec![TopicReport {
        topic: "d".into(),
        outcome: TopicOutcome::Compared(counts),
    }];
    assert!(report.is_clean() && counts.is_clean());
    let shown = report.to_string();
    assert!(
        shown.contains(", 2 not verifiable: input deleted, 1 not verifiable: deleted here\n"),
        "{shown}"
    );
    let unverified = "2 records whose input was deleted, 1 reading that may have been deleted";
    assert_eq!(report.unverified().as_deref(), Some(unverified));
}

#[test]
fn a_missing_dead_letter_is_not_clean() {
    let counts = ReadingCounts {
        expected: 2,
        found: 1,
        missing: 1,
        ..ReadingCounts::default()
    };
    let mut report = report(false);
    report.topics = vec![TopicReport {
        topic: "d".into(),
        outcome: TopicOutcome::DeadLetters(counts),
    }];
    assert!(!report.is_clean());
    assert!(report.to_string().ends_with(
        "verified 0 readings in 0 topics: 1 missing, 0 extra, 0 wrong, 0 out of order\n"
    ));
}
