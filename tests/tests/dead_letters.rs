//! Bad records between good ones: the good ones are processed, and the bad ones become dead letters
//! with a reason.

use rivulet_tests::chain::{CONVERT, assert_close};
use rivulet_tests::records::{self, Record};
use rivulet_tests::{PipelineBuilder, Scenario, stop_all};

fn reading(number: usize, unit: &str) -> Record {
    let value =
        format!(r#"{{"sensor":"a","seq":{number},"time":0,"value":{number},"unit":"{unit}"}}"#);
    Record::of(value).key("a")
}

#[test]
fn an_invalid_json_reading_becomes_an_unchanged_dead_letter() {
    let bad: Vec<Record> = [
        &b""[..],
        b"\"\"",
        b"null",
        b"\"abc\"",
        b"NaN",
        b"1e999",
        br#"{"sensor":"a","seq":1,"time":0,"value":NaN,"unit":"celsius"}"#,
        br#"{"sensor":"a","seq":1,"time":0,"value":1e999,"unit":"celsius"}"#,
        br#"{"sensor":"a","seq":1,"time":0,"unit":"celsius"}"#,
        br#"{"sensor":{"name":{"first":"a"}},"seq":1,"time":0,"value":[[1]],"unit":"celsius"}"#,
        br#"{"sensor":"a","seq":1,"time":0,"value":12.5,"unit":"celsius""#,
        br#"{"sensor":"a","seq":1,"time":0,"value":12.5,"unit":"kelvin"}"#,
        b"\xff\xfe\xfd",
    ]
    .into_iter()
    .map(|value| {
        Record::of(value)
            .key("a key")
            .with_header("origin", "a test")
            .with_header("raw", b"\xff\0")
    })
    .chain([
        Record {
            key: Some(b"a tombstone".to_vec()),
            ..Record::default()
        },
        Record::of("no key"),
    ])
    .collect();
    let scenario = Scenario::new(
        PipelineBuilder::new()
            .topic("in", "external = true")
            .operator("convert", "in", CONVERT, "out"),
    );
    // A good record before each bad one, and one after the last.
    let mut sent: Vec<Record> = bad
        .iter()
        .enumerate()
        .flat_map(|(seq, bad)| [reading(seq, "celsius"), bad.clone()])
        .collect();
    sent.push(reading(bad.len(), "celsius"));
    records::produce(scenario.brokers(), &scenario.name("in"), &sent);

    let mut convert = scenario.start("convert");
    let values = scenario.values("out", bad.len() + 1);
    let expected: Vec<f64> = (0..=bad.len()).map(|seq| seq as f64 * 1.8 + 32.0).collect();
    assert_close(&values, &expected);
    let dead_letters = records::read(
        scenario.brokers(),
        &scenario.dead_letters("convert"),
        bad.len(),
    );
    assert_eq!(dead_letters.len(), bad.len());
    for (index, (dead_letter, original)) in dead_letters.iter().zip(&bad).enumerate() {
        assert_eq!(
            (&dead_letter.key, &dead_letter.value),
            (&original.key, &original.value)
        );
        assert_eq!(
            dead_letter.headers[..original.headers.len()],
            original.headers
        );
        assert_eq!(dead_letter.header("rivulet.topic"), scenario.name("in"));
        assert_eq!(dead_letter.header("rivulet.partition"), "0");
        assert_eq!(
            dead_letter.header("rivulet.offset"),
            (2 * index + 1).to_string()
        );
        assert_eq!(
            dead_letter.header("rivulet.stage"),
            scenario.name("convert")
        );
        assert!(
            !dead_letter.header("rivulet.reason").is_empty()
                && !dead_letter.header("rivulet.error").is_empty()
        );
    }
    let reason = |index: usize| dead_letters[index].header("rivulet.reason");
    assert_eq!(reason(0), "empty");
    assert_eq!(reason(1), "not-json");
    assert_eq!(reason(bad.len() - 2), "no-value");
    assert!(
        dead_letters[8].header("rivulet.error").contains("unit"),
        "{}",
        dead_letters[8].header("rivulet.error")
    );
    convert.stop();
}

#[test]
fn an_invalid_number_becomes_an_unchanged_dead_letter() {
    let pipeline = PipelineBuilder::new()
        .settings("[defaults]\nformat = \"number\"")
        .topic(
            "in",
            "format = \"number\"\nunit = \"celsius\"\nexternal = true",
        )
        .operator("convert", "in", CONVERT, "out");
    let scenario = Scenario::new(pipeline);
    let values = [
        "10", "", "null", "20", "\"abc\"", "NaN", "1e999", "[1]", "1 2", "30",
    ];
    records::produce(
        scenario.brokers(),
        &scenario.name("in"),
        &values.map(Record::of),
    );

    let mut convert = scenario.start("convert");
    assert_eq!(scenario.values("out", 3), [50.0, 68.0, 86.0]);
    let dead_letters = records::read(scenario.brokers(), &scenario.dead_letters("convert"), 7);
    let kept: Vec<String> = dead_letters
        .into_iter()
        .map(|dead_letter| dead_letter.value.unwrap_or_default())
        .map(|value| String::from_utf8(value).unwrap_or_default())
        .collect();
    assert_eq!(kept, ["", "null", "\"abc\"", "NaN", "1e999", "[1]", "1 2"]);
    convert.stop();
}

#[test]
fn ten_megabytes_of_rubbish_fit_into_a_dead_letter() {
    let limit = "external = true\nconfig = { \"max.message.bytes\" = 12000000 }";
    let scenario = Scenario::new(
        PipelineBuilder::new()
            .topic("in", limit)
            .operator("convert", "in", CONVERT, "out"),
    );
    let good = Record::of(r#"{"sensor":"a","seq":0,"time":0,"value":10,"unit":"celsius"}"#);
    let rubbish = Record::of(vec![b'x'; 10_000_000]).key("a");
    records::produce(
        scenario.brokers(),
        &scenario.name("in"),
        &[good.clone(), rubbish.clone(), good],
    );

    let mut convert = scenario.start("convert");
    assert_eq!(scenario.values("out", 2), [50.0, 50.0]);
    let dead_letters = records::read(scenario.brokers(), &scenario.dead_letters("convert"), 1);
    assert_eq!(dead_letters.len(), 1);
    assert_eq!(dead_letters[0].header("rivulet.offset"), "1");
    assert!(
        dead_letters[0].key == rubbish.key && dead_letters[0].value == rubbish.value,
        "the dead letter differs from the record"
    );
    convert.stop();
}

#[test]
fn a_record_is_kept_even_if_its_error_quotes_all_of_it() {
    let scenario = Scenario::new(
        PipelineBuilder::new()
            .topic("in", "external = true")
            .operator("convert", "in", CONVERT, "out"),
    );
    let bad = Record::of(format!(
        r#"{{"sensor":"a","seq":"{}","time":0,"value":10,"unit":"celsius"}}"#,
        "x".repeat(600_000)
    ))
    .key("a");
    records::produce(
        scenario.brokers(),
        &scenario.name("in"),
        &[reading(10, "celsius"), bad.clone(), reading(10, "celsius")],
    );

    let mut convert = scenario.start("convert");
    assert_eq!(scenario.values("out", 2), [50.0, 50.0]);
    let dead_letters = records::read(scenario.brokers(), &scenario.dead_letters("convert"), 1);
    assert_eq!(dead_letters.len(), 1);
    assert!(
        dead_letters[0].key == bad.key && dead_letters[0].value == bad.value,
        "the dead letter differs from the record"
    );
    assert!(
        dead_letters[0]
            .header("rivulet.error")
            .contains("invalid type: string \"xxx")
    );
    convert.stop();
}

#[test]
fn bad_rows_of_a_file_are_reported_with_their_line_numbers() {
    let pipeline = PipelineBuilder::new()
        .producer(
            "replay",
            "{ file = { path = \"readings.csv\", value = \"celsius\" } }",
            "in",
        )
        .operator("convert", "in", CONVERT, "out");
    let scenario = Scenario::new(pipeline);
    let rows = [
        "sensor,time,celsius",
        "a,2012-01-01T00:00:00Z,10",
        "a,2012-01-02T00:00:00Z,",
        "a,2012-01-03T00:00:00Z,warm",
    ];
    scenario.write(
        "readings.csv",
        rows.join("\n") + "\na,2012-01-04T00:00:00Z,20\n",
    );

    let mut stages = [scenario.start("convert")];
    let mut replay = scenario.start("replay");
    replay.succeeds();
    replay.says(&["line 3", "line 4"]);
    assert_eq!(scenario.values("out", 2), [50.0, 68.0]);
    let dead_letters = records::read(scenario.brokers(), &scenario.dead_letters("replay"), 2);
    for (dead_letter, row) in dead_letters.iter().zip(&rows[2..]) {
        assert_eq!(
            String::from_utf8_lossy(dead_letter.value.as_deref().unwrap_or_default()).trim_end(),
            *row
        );
        assert!(
            dead_letter.header("rivulet.topic").contains("readings.csv"),
            "{dead_letter:?}"
        );
        assert_eq!(dead_letter.header("rivulet.stage"), scenario.name("replay"));
    }
    assert_eq!(dead_letters.len(), 2);
    stop_all(&mut stages);
}

/// Without this, the broker rejected the batch for ever, and nothing was delivered.
#[test]
fn a_row_too_large_for_its_topic_is_a_dead_letter() {
    let pipeline = PipelineBuilder::new()
        .settings("[defaults]\npartitions = 1")
        .topic("rows", "config = { \"max.message.bytes\" = 60000 }")
        .producer("replay", "{ file = { path = \"rows.csv\" } }", "rows");
    let scenario = Scenario::new(pipeline);
    let name = "n".repeat(62_000);
    scenario.write(
        "rows.csv",
        format!("sensor,time,value\na,1,1\na,2,2\n{name},3,3\na,4,4\n"),
    );
    scenario.start("replay").succeeds();
    assert_eq!(scenario.values("rows", 3), [1.0, 2.0, 4.0]);
    let dead_letters = records::read(scenario.brokers(), &scenario.dead_letters("replay"), 1);
    assert_eq!(dead_letters[0].header("rivulet.reason"), "too-large");
    assert!(
        dead_letters[0]
            .header("rivulet.topic")
            .starts_with("sensor nnn"),
        "{dead_letters:?}"
    );
}
