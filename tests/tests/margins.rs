//! Topics that reject results, and inputs with missing records: no stage hangs, and nothing is
//! skipped or repeated without an error.

use std::time::SystemTime;

use rivulet_simulation::statements::irregular;
use rivulet_tests::chain::CONVERT;
use rivulet_tests::records::{self, Record};
use rivulet_tests::{Kafka, PipelineBuilder, Scenario};

const EWMA: &str = "{ ewma = { alpha = 0.5 } }";

fn reading(seq: u64) -> Record {
    Record::of(format!(
        r#"{{"sensor":"a","seq":{seq},"time":{seq},"value":10,"unit":"celsius"}}"#
    ))
    .key("a")
}

fn readings(seqs: std::ops::Range<u64>) -> Vec<Record> {
    seqs.map(reading).collect()
}

/// No reading, and no smaller if it is compressed.
fn rubbish(length: usize) -> Record {
    Record::of(irregular(length)).key("a")
}

/// A stage with an external input of one partition.
fn stage(steps: &str, more: &str) -> PipelineBuilder {
    let input = "external = true\npartitions = 1";
    PipelineBuilder::new()
        .topic("in", input)
        .operator("work", "in", steps, "out")
        .line(more)
}

/// The stage must end with an error that contains these words.
fn fails_with(scenario: &Scenario, words: &[&str]) {
    let said = scenario.start("work").fails();
    for word in words {
        assert!(said.contains(word), "`{word}` is missing in:\n{said}");
    }
}

/// A dead letter that is too large for its topic is truncated, and the stage goes on.
fn is_truncated(scenario: &Scenario, rubbish: &Record) {
    // Each record in its own batch, because the largest fills one.
    for record in [reading(0), rubbish.clone(), reading(1)] {
        records::produce(scenario.brokers(), &scenario.name("in"), &[record]);
    }
    let mut work = scenario.start("work");
    assert_eq!(scenario.values("out", 2), [50.0, 50.0]);
    let dead_letters = records::read(scenario.brokers(), &scenario.dead_letters("work"), 1);
    assert_eq!(dead_letters.len(), 1);
    assert_eq!(dead_letters[0].header("rivulet.offset"), "1");
    let length = rubbish.value.as_deref().map_or(0, <[u8]>::len).to_string();
    assert_eq!(dead_letters[0].header("rivulet.truncated"), length);
    assert!(
        dead_letters[0]
            .value
            .as_deref()
            .is_some_and(|kept| !kept.is_empty()),
        "its beginning is kept"
    );
    work.stop();
    work.says(&["dead_letters=1"]);
}

#[test]
fn a_dead_letter_is_truncated_to_the_limit_of_its_topic() {
    let scenario = Scenario::on(Kafka::shared(), stage(CONVERT, ""));
    // The pipeline file does not have this limit.
    let limit = [("max.message.bytes", "2000")];
    records::create_topic_with(scenario.brokers(), &scenario.dead_letters("work"), 1, limit);
    scenario.create_topics();
    is_truncated(&scenario, &rubbish(5000));
}

#[test]
fn a_dead_letter_is_truncated_to_the_limit_of_the_brokers() {
    let kafka = Kafka::start(&[("message.max.bytes", "100000")]);
    let scenario = Scenario::on(kafka.brokers(), stage(CONVERT, ""));
    scenario.create_topics();
    is_truncated(&scenario, &rubbish(99_800));
}

#[test]
fn a_timestamp_in_the_future_is_replaced() {
    let now = i64::try_from(
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_millis(),
    )
    .unwrap();
    for timestamp in [now + 2 * 3_600_000, 4_102_444_800_000] {
        let any = "external = true\npartitions = 1\nconfig = { \"message.timestamp.after.max.ms\" \
                   = 9223372036854775807 }";
        let pipeline = PipelineBuilder::new()
            .topic("in", any)
            .operator("work", "in", CONVERT, "out");
        let scenario = Scenario::new(pipeline.sink("show", "in", "\"console\""));
        let topic = scenario.name("in");
        records::produce(scenario.brokers(), &topic, &readings(0..3));
        records::produce_at(
            scenario.brokers(),
            &topic,
            &[reading(3), Record::of("rubbish").key("a")],
            timestamp,
        );
        records::produce(scenario.brokers(), &topic, &readings(4..6));
        let mut stages = [scenario.start("work"), scenario.start("show")];
        assert_eq!(scenario.values("out", 6).len(), 6);
        for stage in ["work", "show"] {
            assert_eq!(
                records::read(scenario.brokers(), &scenario.dead_letters(stage), 1).len(),
                1
            );
        }
        stages[0].says(&["get the current time", "message.timestamp.after.max.ms"]);
        rivulet_tests::stop_all(&mut stages);
    }
}

#[test]
fn a_topic_with_small_batches_gets_all_readings() {
    let pipeline = stage(CONVERT, "").topic("out", "config = { \"max.message.bytes\" = 20000 }");
    let scenario = Scenario::new(pipeline);
    records::produce(scenario.brokers(), &scenario.name("in"), &readings(0..2000));
    scenario.drain("work");
    assert_eq!(scenario.read("out", 2000).len(), 2000);
    assert!(records::read(scenario.brokers(), &scenario.dead_letters("work"), 0).is_empty());
}

/// The limit is lower than the file says: batches become smaller until the topic accepts them.
#[test]
fn a_topic_with_smaller_batches_than_in_the_file_is_written() {
    let scenario = Scenario::on(Kafka::shared(), stage(CONVERT, ""));
    records::create_topic_with(
        scenario.brokers(),
        &scenario.name("out"),
        1,
        [("max.message.bytes", "3000")],
    );
    scenario.create_topics();
    records::produce(scenario.brokers(), &scenario.name("in"), &readings(0..500));
    scenario.drain("work");
    assert_eq!(scenario.read("out", 500).len(), 500);
    assert!(records::read(scenario.brokers(), &scenario.dead_letters("work"), 0).is_empty());
}

/// Ten records are processed, and the first 60 of a hundred are deleted.
fn with_gap(steps: &str, more: &str) -> Scenario {
    let scenario = Scenario::new(stage(steps, more));
    let topic = scenario.name("in");
    records::produce(scenario.brokers(), &topic, &readings(0..10));
    scenario.drain("work");
    records::produce(scenario.brokers(), &topic, &readings(10..100));
    records::delete_records(scenario.brokers(), &topic, 0, 60);
    scenario
}

fn skips_the_gap(scenario: &Scenario) {
    scenario.drain("work");
    let dead_letters = records::read(scenario.brokers(), &scenario.dead_letters("work"), 1);
    assert_eq!(dead_letters.len(), 1);
    assert_eq!(dead_letters[0].header("rivulet.reason"), "gap");
    assert_eq!(
        dead_letters[0].header("rivulet.topic"),
        format!("{} [0] offsets 10..60", scenario.name("in"))
    );
    let mut verify = scenario.rivulet(&["verify", "--allow-unverifiable"]);
    verify.succeeds();
    verify.says(&[
        "0 missing, 0 extra, 0 wrong, 0 out of order",
        "offsets 10..60",
    ]);
}

#[test]
fn a_gap_stops_a_stage_with_state_or_is_a_dead_letter() {
    fails_with(
        &with_gap(EWMA, ""),
        &[
            "the records 10..60 were deleted",
            "on-gap = \"dead-letter\"",
        ],
    );
    skips_the_gap(&with_gap(EWMA, "on-gap = \"dead-letter\""));
}

#[test]
fn a_gap_is_a_dead_letter_of_a_stage_without_state_or_stops_it() {
    fails_with(
        &with_gap(CONVERT, "on-gap = \"stop\""),
        &["the records 10..60 were deleted"],
    );
    skips_the_gap(&with_gap(CONVERT, ""));
}

/// Deleting the group has the same effect as `offsets.retention.minutes` without a member.
#[test]
fn a_stage_with_expired_offsets_stops_and_can_be_resumed() {
    for steps in [CONVERT, EWMA] {
        let scenario = Scenario::new(stage(steps, ""));
        let (topic, work) = (scenario.name("in"), scenario.name("work"));
        records::produce(scenario.brokers(), &topic, &readings(0..20));
        scenario.drain("work");
        let before = scenario.read("out", 19).len();
        records::delete_group(scenario.brokers(), &work);
        records::produce(scenario.brokers(), &topic, &readings(20..25));
        fails_with(
            &scenario,
            &[
                "no offset is committed any more",
                "offsets.retention.minutes",
                "rivulet state resume",
            ],
        );
        assert_eq!(scenario.read("out", 0).len(), before, "nothing is repeated");
        scenario
            .rivulet(&["state", "resume", &work, "--yes"])
            .succeeds();
        scenario.drain("work");
        assert_eq!(scenario.read("out", before + 5).len(), before + 5);
        scenario.verify();
    }
}

#[test]
fn a_topic_that_was_created_again_is_an_error() {
    let scenario = Scenario::new(stage(EWMA, ""));
    let topic = scenario.name("in");
    records::produce(scenario.brokers(), &topic, &readings(0..20));
    scenario.drain("work");
    records::delete_topic(scenario.brokers(), &topic);
    records::create_topic(scenario.brokers(), &topic, 1);
    records::produce(scenario.brokers(), &topic, &readings(0..3));
    fails_with(&scenario, &[&topic, "rivulet state reset"]);
    scenario
        .rivulet(&[
            "state",
            "reset",
            &scenario.name("work"),
            "--from-start",
            "--yes",
        ])
        .succeeds();
    scenario.drain("work");
    assert_eq!(
        scenario.read("out", 21).len(),
        21,
        "19 of the old topic, 2 of the new one"
    );
}

#[test]
fn partitions_added_under_a_stage_with_state_are_an_error() {
    let scenario = Scenario::new(stage(EWMA, ""));
    let topic = scenario.name("in");
    records::produce(scenario.brokers(), &topic, &readings(0..5));
    scenario.drain("work");
    for topic in [&topic, &scenario.changelog("work")] {
        records::add_partitions(scenario.brokers(), topic, 2);
    }
    fails_with(
        &scenario,
        &[
            "had 1 partitions when the state was written and has 2 now",
            "rivulet state reset",
        ],
    );
}
