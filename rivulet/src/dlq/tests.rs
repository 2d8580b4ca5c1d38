//! Ledgers of topics in memory, and what is shown of them.

use std::sync::Arc;

use stream::dead_letter::{DeadLetter, Header, Migration, MigrationKind, Resolution};
use stream::pipeline::Text;

use super::*;
use crate::read::{FetchedRecord, TopicSource};

const PIPELINE: &str = r#"
    [producer.replay]
    source = { file = { path = "readings.csv" } }
    to = "in"
    [operator.convert]
    from  = "in"
    steps = [{ convert = { from = "celsius", to = "fahrenheit" } }]
    to    = "out"
    [sink.raw]
    from = "in"
    sink = "console"
"#;

fn pipeline() -> Pipeline {
    Pipeline::parse(Arc::new(Text {
        path: "p.toml".into(),
        text: PIPELINE.into(),
    }))
    .unwrap()
}

/// One dead-letter topic in memory: the partition and headers of each record; the time of each is
/// its offset in seconds.
#[derive(Default)]
struct Table {
    records: Vec<(i32, Vec<Header>)>,
}

impl Table {
    fn letter(
        mut self,
        topic: &str,
        place: Option<(i32, i64)>,
        reason: &str,
        truncated: Option<u64>,
    ) -> Self {
        let error = "why\nindeed";
        let letter = DeadLetter {
            original: &[],
            topic,
            place,
            stage: "convert",
            reason,
            error,
            truncated,
        };
        self.records.push((0, letter.headers()));
        self
    }

    fn mark(mut self, partition: i32, resolved: Resolved, letters: &str) -> Self {
        self.records.push((
            partition,
            Resolution {
                resolved,
                letters: letters.parse().unwrap(),
            }
            .headers(),
        ));
        self
    }

    fn foreign(mut self) -> Self {
        self.records.push((
            0,
            vec![("rivulet.reason".to_owned(), Some(b"\xff".to_vec()))],
        ));
        self
    }

    fn ledger<'p>(&mut self, pipeline: &'p Pipeline) -> Ledger<'p> {
        Ledger::read(pipeline, pipeline.stage("convert").unwrap(), self).unwrap()
    }
}

impl TopicSource for Table {
    fn partitions(&self, topic: &str) -> Option<usize> {
        (topic == "convert-dead-letters").then_some(2)
    }

    fn is_trimmed(&self, _: &str) -> bool {
        false
    }

    fn read(&mut self, _: &str, each: &mut dyn FnMut(&FetchedRecord<'_>)) -> Result<()> {
        for (offset, (partition, headers)) in (0..).zip(&self.records) {
            let (partition, timestamp) = (*partition, offset * 1000);
            each(&FetchedRecord {
                partition,
                offset,
                timestamp,
                key: None,
                value: Some(b"1"),
                headers,
            });
        }
        Ok(())
    }
}

/// Seven letters: at 0 to 2 of three kinds of bad values, at 3 to 6 those that cannot be sent back.
fn letters() -> Table {
    Table::default()
        .letter("in", Some((0, 40)), "not-json", None)
        .letter("in", Some((0, 41)), "not-json", None)
        .letter("in", Some((0, 42)), "wrong-unit", None)
        .letter("in", Some((0, 43)), "not-json", Some(9_999_999))
        .letter("readings.csv line 3", None, "not-json", None)
        .letter("elsewhere", Some((0, 44)), "not-json", None)
        .foreign()
}

fn selection(reason: Option<&str>, offsets: Option<&str>) -> Selection {
    let offsets = offsets.map(|offsets| offsets.parse().unwrap());
    Selection {
        reason: reason.map(String::from),
        offsets,
        ..Selection::default()
    }
}

#[test]
fn letters_are_counted_by_reason_and_those_handled_apart() {
    let pipeline = pipeline();
    let mut table =
        letters()
            .mark(0, Resolved::Replayed, "0..0,2")
            .mark(0, Resolved::Dropped, "2,4");
    let listing = DlqListing::new(&[table.ledger(&pipeline)], &Selection::default());
    let expected = "\
stage    reason      open  replayed  dropped  first                 last                  sample
convert  foreign        1         0        0  1970-01-01T00:00:06Z  1970-01-01T00:00:06Z  its \
                    headers are not those of a dead letter
convert  not-json       3         1        1  1970-01-01T00:00:01Z  1970-01-01T00:00:05Z  why\\nindeed
convert  wrong-unit     0         1        0  -                     -                     -
4 open: `rivulet dlq show` shows them, `replay` sends them back, `drop` is done with them
";
    assert_eq!(listing.to_string(), expected);
    let json = serde_json::to_value(&listing).unwrap();
    assert_eq!(json[1]["reason"], "not-json");
    assert_eq!(json[1]["open"], 3);
    assert_eq!(json[2]["first"], serde_json::Value::Null);
}

#[test]
fn nothing_to_show_is_said() {
    let pipeline = pipeline();
    let listing = DlqListing::new(&[Table::default().ledger(&pipeline)], &Selection::default());
    assert_eq!(listing.to_string(), "no dead letters\n");
    assert_eq!(serde_json::to_string(&listing).unwrap(), "[]");
    let mut table = Table::default()
        .letter("in", Some((0, 4)), "not-json", None)
        .mark(0, Resolved::Dropped, "0");
    let listing = DlqListing::new(&[table.ledger(&pipeline)], &Selection::default());
    assert!(
        listing.to_string().ends_with("nothing is open\n"),
        "{listing}"
    );
}

#[test]
fn a_mark_holds_for_letters_before_it_in_its_partition_only() {
    let pipeline = pipeline();
    let everything = format!("0..{}", i64::MAX);
    let mut table = Table::default()
        .letter("in", Some((0, 40)), "not-json", None)
        .mark(1, Resolved::Dropped, &everything)
        .letter("in", Some((0, 41)), "not-json", None)
        .mark(0, Resolved::Dropped, &everything)
        .letter("in", Some((0, 42)), "not-json", None);
    let ledger = table.ledger(&pipeline);
    let open: Vec<i64> = ledger
        .letters
        .iter()
        .filter(|(_, filed)| filed.resolved.is_none())
        .map(|(id, _)| id.offset)
        .collect();
    assert_eq!(open, [4]);
}

#[test]
fn a_change_of_settings_is_no_letter() {
    let pipeline = pipeline();
    let mut table = Table::default().letter("in", Some((0, 40)), "not-json", None);
    let (chain, offsets, sensors) = (Some("ewma(alpha=0.5)".into()), [].into(), [].into());
    let change = Migration {
        remedy: MigrationKind::Kept,
        chain,
        offsets,
        sensors,
    };
    table.records.push((0, change.headers()));
    let ledgers = [table.ledger(&pipeline)];
    assert_eq!(
        Plan::new(
            &pipeline,
            Resolved::Dropped,
            &ledgers,
            &Selection::default()
        )
        .count(),
        1
    );
    let listing = DlqListing::new(&ledgers, &Selection::default());
    assert!(
        listing.open() == 1 && !listing.to_string().contains("foreign"),
        "{listing}"
    );
}

#[test]
fn a_plan_says_what_goes_where_and_what_cannot() {
    let pipeline = pipeline();
    let ledgers = [letters().mark(0, Resolved::Dropped, "0").ledger(&pipeline)];
    let plan = Plan::new(
        &pipeline,
        Resolved::Replayed,
        &ledgers,
        &Selection::default(),
    );
    let expected = "replay  2 letters of convert to in
note    in is also read by raw: they get \
                    these records again
skip    1 letter of convert, [0] at 6: no stage wrote it; \
                    `drop` takes it
skip    1 letter of convert, [0] at 3: it was too large to be \
                    kept whole; `drop` takes it
skip    1 letter of convert, [0] at 4: it comes \
                    from readings.csv line 3, which is no topic; `drop` takes it
skip    1 letter \
                    of convert, [0] at 5: it comes from elsewhere, which is no topic of this \
                    pipeline; `drop` takes it
";
    assert_eq!((plan.to_string().as_str(), plan.count()), (expected, 2));
    let plan = Plan::new(
        &pipeline,
        Resolved::Dropped,
        &ledgers,
        &Selection::default(),
    );
    assert_eq!(plan.to_string(), "drop    6 letters of convert\n");
}

#[test]
fn a_gap_can_only_be_dropped() {
    let pipeline = pipeline();
    let ledgers = [Table::default()
        .letter("in [0] offsets 100..150", None, "gap", None)
        .ledger(&pipeline)];
    let plan = Plan::new(
        &pipeline,
        Resolved::Replayed,
        &ledgers,
        &Selection::default(),
    );
    let expected = "skip    1 letter of convert, [0] at 0: it tells of records that were deleted \
                    before they were read; `drop` takes it\n";
    assert_eq!((plan.to_string().as_str(), plan.count()), (expected, 0));
    let plan = Plan::new(
        &pipeline,
        Resolved::Dropped,
        &ledgers,
        &Selection::default(),
    );
    assert_eq!(plan.to_string(), "drop    1 letter of convert\n");
}

#[test]
fn a_selection_takes_what_all_of_it_holds_for() {
    let pipeline = pipeline();
    let ledger = letters().ledger(&pipeline);
    let taken = |selection: Selection| {
        ledger
            .selected(&selection)
            .map(|(id, _)| id.offset)
            .collect::<Vec<i64>>()
    };
    assert_eq!(taken(selection(Some("wrong-unit"), None)), [2]);
    assert_eq!(taken(selection(Some("not-json"), Some("1..3,6"))), [1, 3]);
    assert_eq!(taken(selection(Some("foreign"), None)), [6]);
    assert!(taken(selection(None, Some("90"))).is_empty());
    let times = Selection {
        since: Some(TimeBound(1000)),
        until: Some(TimeBound(3000)),
        ..Selection::default()
    };
    assert_eq!(taken(times), [1, 2]);
}
