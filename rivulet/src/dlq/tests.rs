//! Dead-letter topics in memory, and what is shown of them.

use rivulet_core::dead_letter::{DeadLetter, Migration, MigrationKind, Resolution};
use rivulet_core::log::Header;

use super::*;
use crate::checked::tests::parse;
use crate::times::TimeBound;
use rivulet_core::topic_source::{FetchedRecord, TopicSource};

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

fn pipeline() -> CheckedPipeline<'static> {
    parse(PIPELINE).unwrap()
}

/// A dead-letter topic in memory: the partition and headers of each record. The timestamp of a
/// record is its offset in seconds.
#[derive(Default)]
struct Table {
    records: Vec<(i32, Vec<Header>)>,
    /// The first offset of the first partition.
    first: i64,
}

impl Table {
    fn dead_letter(
        mut self,
        topic: &str,
        place: Option<(i32, i64)>,
        reason: &str,
        truncated: Option<u64>,
    ) -> Self {
        let error = "why\nindeed";
        let dead_letter = DeadLetter {
            original: &[],
            topic,
            place,
            stage: "convert",
            reason,
            error,
            truncated,
        };
        self.records.push((0, dead_letter.headers()));
        self
    }

    fn resolution(mut self, partition: i32, resolved: Resolved, offsets: &str) -> Self {
        self.records.push((
            partition,
            Resolution {
                resolved,
                letters: offsets.parse().unwrap(),
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

    fn read_all<'p>(&mut self, pipeline: &'p CheckedPipeline<'p>) -> DeadLetterTopic<'p> {
        self.read_some(pipeline, &Selection::default())
    }

    fn read_some<'p>(
        &mut self,
        pipeline: &'p CheckedPipeline<'p>,
        selection: &Selection,
    ) -> DeadLetterTopic<'p> {
        let keeps = |id: Id, reason: &str, timestamp| selection.matches(id, reason, timestamp);
        let stage = pipeline.stage("convert").unwrap();
        DeadLetterTopic::read(pipeline, stage, &keeps, self).unwrap()
    }
}

impl TopicSource for Table {
    fn partitions(&self, topic: &str) -> Option<usize> {
        (topic == "convert-dead-letters").then_some(2)
    }

    fn is_trimmed(&self, _: &str) -> bool {
        self.first > 0
    }

    fn start(&self, _: &str, partition: i32) -> i64 {
        if partition == 0 { self.first } else { 0 }
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

/// Seven dead letters: at offsets 0 to 2 invalid values, at 3 to 6 those that cannot be replayed.
fn dead_letters() -> Table {
    Table::default()
        .dead_letter("in", Some((0, 40)), "not-json", None)
        .dead_letter("in", Some((0, 41)), "not-json", None)
        .dead_letter("in", Some((0, 42)), "wrong-unit", None)
        .dead_letter("in", Some((0, 43)), "not-json", Some(9_999_999))
        .dead_letter("readings.csv line 3", None, "not-json", None)
        .dead_letter("elsewhere", Some((0, 44)), "not-json", None)
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
fn dead_letters_are_counted_by_reason_and_resolution() {
    let pipeline = pipeline();
    let mut table = dead_letters()
        .resolution(0, Resolved::Replayed, "0..0,2")
        .resolution(0, Resolved::Dropped, "2,4");
    let listing = DlqListing::new(&[table.read_all(&pipeline)]);
    let expected = "\
stage    reason      open  replayed  dropped  first                 last                  sample
convert  foreign        1         0        0  1970-01-01T00:00:06Z  1970-01-01T00:00:06Z  its \
                    headers are not those of a dead letter
convert  not-json       3         1        1  1970-01-01T00:00:01Z  1970-01-01T00:00:05Z  \
                    why\\nindeed
convert  wrong-unit     0         1        0  -                     -                     -
4 open: `rivulet dlq show` shows them, `replay` sends the records again, `drop` closes them
";
    assert_eq!(listing.to_string(), expected);
    let json = serde_json::to_value(&listing).unwrap();
    assert_eq!(json[1]["reason"], "not-json");
    assert_eq!(json[1]["open"], 3);
    assert_eq!(json[2]["first"], serde_json::Value::Null);
}

#[test]
fn an_empty_listing_says_so() {
    let pipeline = pipeline();
    let listing = DlqListing::new(&[Table::default().read_all(&pipeline)]);
    assert_eq!(listing.to_string(), "no dead letters\n");
    assert_eq!(serde_json::to_string(&listing).unwrap(), "[]");
    let mut table = Table::default()
        .dead_letter("in", Some((0, 4)), "not-json", None)
        .resolution(0, Resolved::Dropped, "0");
    let listing = DlqListing::new(&[table.read_all(&pipeline)]);
    assert!(
        listing.to_string().ends_with("no dead letters are open\n"),
        "{listing}"
    );
}

#[test]
fn a_listing_says_how_long_dead_letters_are_kept() {
    const WEEK: i64 = 7 * 86_400_000;
    let pipeline = pipeline();
    let mut table = dead_letters();
    table.first = 5;
    let listing = |settings: &[(&str, &str)]| {
        let settings = settings.iter();
        let settings = settings.map(|(name, value)| (String::from(*name), String::from(*value)));
        let settings = [("convert-dead-letters".to_owned(), settings.collect())].into();
        let dlq = dead_letters().read_all(&pipeline);
        // In a day those of the first three seconds are a week old.
        let now = WEEK + 2000 - 86_400_000;
        let retention = DlqRetention::new(&dlq, &settings, &table, now);
        DlqListing::new(&[dlq]).with_retentions(vec![retention])
    };
    for (settings, millis, line) in [
        (
            &[("retention.ms", "604800000"), ("cleanup.policy", "delete")][..],
            Some(WEEK),
            "convert-dead-letters keeps records for 7 d; 5 offsets were deleted; 3 open may be \
             deleted within a day",
        ),
        (
            &[("retention.ms", "-1")],
            Some(-1),
            "convert-dead-letters keeps records for ever; 5 offsets were deleted",
        ),
        (
            &[],
            None,
            "how long convert-dead-letters keeps records is unknown; 5 offsets were deleted",
        ),
    ] {
        let listing = listing(settings);
        let shown = listing.to_string();
        assert_eq!(shown.lines().last(), Some(line));
        let groups = listing.groups.iter();
        for group in groups {
            assert_eq!((group.retention_ms, group.deleted_offsets), (millis, 5));
        }
    }
}

#[test]
fn a_resolution_holds_for_earlier_offsets_of_its_partition() {
    let pipeline = pipeline();
    let everything = format!("0..{}", i64::MAX);
    let mut table = Table::default()
        .dead_letter("in", Some((0, 40)), "not-json", None)
        .resolution(1, Resolved::Dropped, &everything)
        .dead_letter("in", Some((0, 41)), "not-json", None)
        .resolution(0, Resolved::Dropped, &everything)
        .dead_letter("in", Some((0, 42)), "not-json", None);
    let dlq = table.read_all(&pipeline);
    let open: Vec<i64> = dlq
        .entries
        .iter()
        .filter(|(_, entry)| entry.resolved.is_none())
        .map(|(id, _)| id.offset)
        .collect();
    assert_eq!(open, [4]);
}

#[test]
fn a_migration_is_not_a_dead_letter() {
    let pipeline = pipeline();
    let mut table = Table::default().dead_letter("in", Some((0, 40)), "not-json", None);
    let (chain, offsets, sensors) = (Some("ewma(alpha=0.5)".into()), [].into(), [].into());
    let migration = Migration {
        remedy: MigrationKind::Kept,
        chain,
        offsets,
        sensors,
    };
    table.records.push((0, migration.headers()));
    let dlqs = [table.read_all(&pipeline)];
    assert_eq!(Plan::new(&pipeline, Resolved::Dropped, &dlqs).count(), 1);
    let listing = DlqListing::new(&dlqs);
    assert!(
        listing.open() == 1 && !listing.to_string().contains("foreign"),
        "{listing}"
    );
}

#[test]
fn a_plan_says_what_is_replayed_where_and_what_is_skipped() {
    let pipeline = pipeline();
    let dlqs = [dead_letters()
        .resolution(0, Resolved::Dropped, "0")
        .read_all(&pipeline)];
    let plan = Plan::new(&pipeline, Resolved::Replayed, &dlqs);
    let expected = "\
replay  2 dead letters of convert to in
note    in is also read by raw: they process these records again
skip    1 dead letter of convert, [0] at 6: no stage wrote it; it can be dropped
skip    1 dead letter of convert, [0] at 3: it was too large and is truncated; it can be dropped
skip    1 dead letter of convert, [0] at 4: it comes from readings.csv line 3, which is not a \
                    topic; it can be dropped
skip    1 dead letter of convert, [0] at 5: it comes from elsewhere, which is not a topic of this \
                    pipeline; it can be dropped
";
    assert_eq!((plan.to_string().as_str(), plan.count()), (expected, 2));
    let plan = Plan::new(&pipeline, Resolved::Dropped, &dlqs);
    assert_eq!(plan.to_string(), "drop    6 dead letters of convert\n");
}

#[test]
fn a_gap_can_only_be_dropped() {
    let pipeline = pipeline();
    let dlqs = [Table::default()
        .dead_letter("in [0] offsets 100..150", None, "gap", None)
        .read_all(&pipeline)];
    let plan = Plan::new(&pipeline, Resolved::Replayed, &dlqs);
    let expected = "skip    1 dead letter of convert, [0] at 0: it stands for records that were \
                    deleted before they were read; it can be dropped\n";
    assert_eq!((plan.to_string().as_str(), plan.count()), (expected, 0));
    let plan = Plan::new(&pipeline, Resolved::Dropped, &dlqs);
    assert_eq!(plan.to_string(), "drop    1 dead letter of convert\n");
}

#[test]
fn a_selection_matches_if_all_its_conditions_do() {
    let pipeline = pipeline();
    let selected = |selection: Selection| {
        let dlq = dead_letters().read_some(&pipeline, &selection);
        let selected = dlq.entries.keys().map(|id| id.offset);
        selected.collect::<Vec<i64>>()
    };
    assert_eq!(selected(selection(Some("wrong-unit"), None)), [2]);
    assert_eq!(
        selected(selection(Some("not-json"), Some("1..3,6"))),
        [1, 3]
    );
    assert_eq!(selected(selection(Some("foreign"), None)), [6]);
    assert!(selected(selection(None, Some("90"))).is_empty());
    let times = Selection {
        since: Some(TimeBound(1000)),
        until: Some(TimeBound(3000)),
        ..Selection::default()
    };
    assert_eq!(selected(times), [1, 2]);
}
