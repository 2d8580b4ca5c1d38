//! `rivulet tap`: what a stage read beside what it made of it.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::SystemTime;

use rivulet_tests::records::{self, Record};
use rivulet_tests::{Kafka, PipelineBuilder, Process, Scenario, wait};
use serde_json::{Value, json};

/// °C to °F, and only what is above 50 °F.
const WARM: &str = "{ convert = { from = \"celsius\", to = \"fahrenheit\" } }, \
                    { threshold = { above = 50 } }";

/// The timestamp of the first record: some minutes ago. Retention would delete much older ones.
static START: LazyLock<i64> = LazyLock::new(|| {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("the clock is set").as_millis();
    i64::try_from(now).expect("it is small") - 600_000
});

fn scenario() -> Scenario {
    let topic = "external = true\npartitions = 3\nunit = \"celsius\"";
    let pipeline = PipelineBuilder::new().topic("cold", topic);
    Scenario::new(pipeline.operator("warm", "cold", WARM, "hot"))
}

/// The value of a reading in °C. Half of them are dropped.
fn celsius(number: usize) -> f64 {
    (number % 20) as f64 + 0.5
}

/// A reading of one of three sensors.
fn reading(number: usize) -> Record {
    let (sensor, seq) = (format!("s{}", number % 3), number / 3);
    let value = json!({
        "sensor": sensor, "seq": seq, "time": 1000 * seq, "value": celsius(number),
        "unit": "celsius",
    });
    Record::of(value.to_string()).key(sensor)
}

/// What the stage makes of a record: a value, nothing, or a dead letter.
fn expected(number: usize) -> (&'static str, Option<f64>) {
    let fahrenheit = celsius(number) * 9.0 / 5.0 + 32.0;
    match number {
        bad if bad % 17 == 5 => ("dead-letter", None),
        _ if fahrenheit > 50.0 => ("written", Some(fahrenheit)),
        _ => ("dropped", None),
    }
}

/// Records, some of which are no readings.
fn produce(scenario: &Scenario, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let record = match expected(number) {
            ("dead-letter", _) => Record::of(format!("{{ {number}\u{1b}[2J")).key("bad"),
            _ => reading(number),
        };
        // The order of the records is that of their timestamps.
        let timestamp = *START + 7 * i64::try_from(number).expect("it is small");
        records::produce_at(
            scenario.brokers(),
            &scenario.name("cold"),
            &[record],
            timestamp,
        );
    }
}

/// The objects that were printed.
fn objects(process: &Process) -> Vec<Value> {
    let out = process.out();
    let lines = out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Runs `rivulet tap` to its end.
fn tapped(scenario: &Scenario, stage: &str, arguments: &[&str]) -> Process {
    let stage = scenario.name(stage);
    let mut tap = scenario.rivulet(&[&["tap", &stage], arguments].concat());
    tap.succeeds();
    tap
}

/// The number of a record, from its timestamp.
fn number(object: &Value) -> usize {
    let timestamp = object["input"]["timestamp"].as_i64().unwrap_or_default();
    usize::try_from((timestamp - *START) / 7).expect("it is small")
}

#[test]
fn the_last_records_have_the_outcomes_of_the_stage() {
    let scenario = scenario();
    let all = 120;
    produce(&scenario, 0..all);
    scenario.drain("warm");
    let tap = tapped(&scenario, "warm", &["--last", "50", "--json"]);
    let found = objects(&tap);
    let numbers: Vec<usize> = found.iter().map(number).collect();
    assert_eq!(numbers, (all - 50..all).collect::<Vec<_>>());
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for object in &found {
        let (outcome, value) = expected(number(object));
        assert_eq!(object["outcome"], outcome, "{object}");
        *counts.entry(outcome).or_default() += 1;
        assert_eq!(object["outputs"][0]["value"].as_f64(), value, "{object}");
        let outputs = object["outputs"].as_array().map_or(0, Vec::len);
        assert_eq!(outputs, usize::from(value.is_some()), "{object}");
        if let Some(reading) = object["input"]["readings"].get(0) {
            assert_eq!(reading["value"], celsius(number(object)));
        }
        let reason = &object["dead_letter"]["reason"];
        assert_eq!(*reason == "not-json", outcome == "dead-letter", "{object}");
    }
    let says = format!(
        "50 records: {} written, {} dropped, {} dead letters",
        counts["written"], counts["dropped"], counts["dead-letter"]
    );
    assert!(tap.err().contains(&says), "{}", tap.err());

    // All there are, for people.
    let tap = tapped(&scenario, "warm", &["-n", "1000"]);
    let out = tap.out();
    assert_eq!(out.lines().count(), all);
    for number in 0..all {
        let line = out.lines().nth(number).unwrap_or_default();
        match expected(number) {
            ("written", Some(value)) => {
                let values = format!(
                    "{} °C → {} °F",
                    celsius(number),
                    (value * 10.0).round() / 10.0
                );
                assert!(line.contains(&values), "{line}: {values}");
            }
            ("dropped", _) => assert!(line.ends_with(" °C → dropped"), "{line}"),
            _ => assert!(line.contains("→ dead letter not-json: "), "{line}"),
        }
    }
    assert!(!out.contains('\u{1b}'), "{out}");

    // Those of one sensor, however far back.
    let tap = tapped(&scenario, "warm", &["-n", "9", "--sensor", "s1", "--json"]);
    let found: Vec<usize> = objects(&tap).iter().map(number).collect();
    let of_sensor = (0..all).filter(|number| number % 3 == 1 && number % 17 != 5);
    let of_sensor: Vec<usize> = of_sensor.collect();
    assert_eq!(found, of_sensor[of_sensor.len() - 9..]);
}

#[test]
fn what_a_stage_has_not_read_is_pending() {
    let scenario = scenario();
    produce(&scenario, 0..30);
    scenario.drain("warm");
    produce(&scenario, 30..40);
    let tap = tapped(&scenario, "warm", &["--last", "20", "--json"]);
    let found = objects(&tap);
    assert_eq!(found.len(), 20);
    for object in &found {
        let number = number(object);
        let outcome = if number < 30 {
            expected(number).0
        } else {
            "pending"
        };
        assert_eq!(object["outcome"], outcome, "{object}");
    }
    let tap = tapped(&scenario, "warm", &["--last", "4"]);
    assert_eq!(tap.out().matches("→ not yet read").count(), 4);
    assert!(
        tap.err().contains("4 records: 4 not yet read"),
        "{}",
        tap.err()
    );

    // It goes on with them once the stage does, and with new ones.
    let stage = scenario.name("warm");
    let mut tap = scenario.rivulet(&["tap", &stage, "-n", "10", "--follow", "--json"]);
    tap.says(&["10 records not yet read by", "is it running?"]);
    assert_eq!(tap.out(), "");
    let mut warm = scenario.start("warm");
    let shown = |count| wait::until_true("records are shown", || objects(&tap).len() == count);
    shown(10);
    produce(&scenario, 40..60);
    shown(30);
    let mut found = objects(&tap);
    found.sort_by_key(number);
    let outcomes: Vec<Value> = found.iter().map(|one| one["outcome"].clone()).collect();
    let all: Vec<Value> = (30..60).map(|number| expected(number).0.into()).collect();
    assert_eq!(outcomes, all);
    warm.stop();
    tap.stop();
}

#[test]
fn new_records_appear_while_the_stage_runs() {
    let scenario = scenario();
    produce(&scenario, 0..10);
    let mut warm = scenario.start("warm");
    scenario.has_members("warm", 1);
    let stage = scenario.name("warm");
    let mut tap = scenario.rivulet(&["tap", &stage]);
    tap.says(&["new records from now on"]);
    produce(&scenario, 10..40);
    wait::until_true("all lines", || tap.out().lines().count() == 30);
    let out = tap.out();
    let written = (10..40).filter(|number| expected(*number).0 == "written");
    assert_eq!(out.matches(" °F").count(), written.count(), "{out}");
    assert_eq!(out.matches("dead letter").count(), 2, "{out}");
    warm.stop();
    tap.stop();
}

#[test]
fn several_topics_and_an_average_are_shown_as_they_are() {
    let external = "external = true\npartitions = 2";
    let pipeline = PipelineBuilder::new()
        .topic("cold", external)
        .topic("warm", external)
        .operator("smooth", "cold", "{ average = { window = 3 } }", "smoothed");
    let scenario = Scenario::on(Kafka::shared(), pipeline);
    let text = std::fs::read_to_string(scenario.path("pipeline.toml")).expect("it is there");
    let name = |name: &str| format!("\"{}\"", scenario.name(name));
    let text = text
        .replace(
            &format!("from = {}", name("cold")),
            &format!("from = [{}, {}]", name("cold"), name("warm")),
        )
        .replace(
            &format!("to = {}", name("smoothed")),
            &format!("to = [{}, {}]", name("smoothed"), name("copy")),
        );
    scenario.write("pipeline.toml", text);
    scenario.create_topics();
    let values = [7.0, 6.0, 9.0, 14.0, 12.0];
    for (topic, sensor) in [("cold", "a"), ("warm", "b")] {
        let records = values.iter().zip(0..).map(|(value, seq)| {
            let reading = json!({ "sensor": sensor, "seq": seq, "time": seq, "value": value });
            Record::of(reading.to_string()).key(sensor)
        });
        let records: Vec<Record> = records.collect();
        records::produce(scenario.brokers(), &scenario.name(topic), &records);
    }
    scenario.drain("smooth");
    let tap = tapped(&scenario, "smooth", &["-n", "10", "--json"]);
    let found = objects(&tap);
    assert_eq!(found.len(), 10);
    for (topic, sensor) in [("cold", "a"), ("warm", "b")] {
        let topic = scenario.name(topic);
        let of_topic = found.iter().filter(|one| one["input"]["topic"] == topic);
        for (index, object) in of_topic.enumerate() {
            assert_eq!(object["input"]["readings"][0]["sensor"], sensor);
            let outputs = object["outputs"].as_array().expect("a list");
            if index < 2 {
                assert_eq!((&object["outcome"], outputs.len()), (&"dropped".into(), 0));
                continue;
            }
            let mean = values[index - 2..=index].iter().sum::<f64>() / 3.0;
            for (output, to) in outputs.iter().zip(["smoothed", "copy"]) {
                assert_eq!(output["topic"], scenario.name(to));
                let value = output["value"].as_f64().unwrap_or_default();
                assert!((value - mean).abs() < 1e-9, "{object}");
            }
            assert_eq!(outputs.len(), 2);
        }
    }
    let tap = tapped(&scenario, "smooth", &["-n", "10"]);
    let both = format!(
        "9 → 7.3333 ({}, {})",
        scenario.name("smoothed"),
        scenario.name("copy")
    );
    assert_eq!(tap.out().matches(&both).count(), 2, "{}", tap.out());
    assert_eq!(tap.out().matches(" → dropped").count(), 4, "{}", tap.out());
}

#[test]
fn bare_numbers_and_what_is_not_there_are_told() {
    let topic = "format = \"number\"\nunit = \"celsius\"\nexternal = true";
    let pipeline = PipelineBuilder::new()
        .settings("[defaults]\nformat = \"number\"")
        .topic("cold", topic)
        .operator("warm", "cold", WARM, "hot")
        .sink("out", "hot", "\"console\"");
    let scenario = Scenario::new(pipeline);
    for (timestamp, value) in (*START..).zip(["5", "20", "abc", "30"]) {
        let records = [Record::of(value)];
        records::produce_at(
            scenario.brokers(),
            &scenario.name("cold"),
            &records,
            timestamp,
        );
    }
    scenario.drain("warm");
    let tap = tapped(&scenario, "warm", &["-n", "4"]);
    let made: Vec<String> = tap
        .out()
        .lines()
        .filter_map(|line| Some(line.split_once(" → ")?.1.to_owned()))
        .collect();
    assert_eq!((made[0].as_str(), made[1].as_str()), ("dropped", "68"));
    assert!(
        made[2].starts_with("dead letter not-a-number: "),
        "{made:?}"
    );
    assert_eq!(made[3], "86");

    let fails = |stage: &str| scenario.rivulet(&["tap", stage]).fails();
    let error = fails(&scenario.name("out"));
    assert!(
        error.contains("is a sink") && error.contains("rivulet consume"),
        "{error}"
    );
    let error = fails("wrm");
    assert!(error.contains("has no stage `wrm`"), "{error}");
    records::delete_topic(scenario.brokers(), &scenario.name("hot"));
    let error = fails(&scenario.name("warm"));
    assert!(error.contains("there is no such topic"), "{error}");
}

#[test]
fn brokers_that_go_away_are_said_once_and_waited_for() {
    let mut kafka = Kafka::start(&[]);
    let topic = "external = true\npartitions = 3\nunit = \"celsius\"";
    let pipeline = PipelineBuilder::new().topic("cold", topic);
    let scenario = Scenario::on(
        kafka.brokers(),
        pipeline.operator("warm", "cold", WARM, "hot"),
    );
    scenario.create_topics();
    let mut warm = scenario.start("warm");
    scenario.has_members("warm", 1);
    let mut tap = scenario.rivulet(&["tap", &scenario.name("warm")]);
    tap.says(&["new records from now on"]);
    kafka.kill();
    tap.says(&["tapping goes on"]);
    kafka.run();
    produce(&scenario, 0..20);
    wait::until_true("all lines", || tap.out().lines().count() == 20);
    assert_eq!(
        tap.err().matches("tapping goes on").count(),
        1,
        "{}",
        tap.err()
    );
    warm.stop();
    tap.stop();
}
