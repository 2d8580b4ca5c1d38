//! The state of stages: shown, found damaged, kept under new settings, reset and forgotten.

use rivulet_core::exit;
use rivulet_tests::chain::{AVERAGE, CELSIUS, EWMA, OPERATORS, assert_close, chained, source};
use rivulet_tests::records::{self, Record};
use rivulet_tests::{PipelineBuilder, Scenario, wait};

mod keep;
mod reset;

const SMOOTH: &str = "{ ewma = { alpha = 0.5 } }";

/// The worked example, with all stages drained.
fn worked_example() -> Scenario {
    let pipeline =
        PipelineBuilder::new().producer("thermometer", &source(), "temperatures_celsius");
    let scenario = Scenario::new(chained(pipeline));
    scenario.start("thermometer").succeeds();
    for stage in OPERATORS {
        scenario.drain(stage);
    }
    scenario
}

/// One stage with an EWMA, whose readings the test writes.
fn smoothing() -> Scenario {
    let pipeline = PipelineBuilder::new().topic("warm", "partitions = 1\nexternal = true");
    Scenario::new(pipeline.operator("smooth", "warm", SMOOTH, "smooth"))
}

/// Writes one reading of each sensor, and drains the stage.
fn process(scenario: &Scenario, sensors: &[&str], seq: u64, value: f64) {
    let readings = sensors.iter().map(|sensor| reading(sensor, seq, value));
    let readings: Vec<Record> = readings.collect();
    records::produce(scenario.brokers(), &scenario.name("warm"), &readings);
    scenario.drain("smooth");
}

fn reading(sensor: &str, seq: u64, value: f64) -> Record {
    let json = format!(
        r#"{{"sensor":"{sensor}","seq":{seq},"time":{seq},"value":{value},"unit":"celsius"}}"#
    );
    Record::of(json).key(sensor)
}

/// Replaces text in the pipeline file.
fn change(scenario: &Scenario, from: &str, to: &str) {
    let file =
        std::fs::read_to_string(scenario.path("pipeline.toml")).expect("the scenario wrote it");
    assert!(file.contains(from), "there is no `{from}` in:\n{file}");
    scenario.write("pipeline.toml", file.replace(from, to));
}

/// The output of `rivulet state` with these arguments.
fn state(scenario: &Scenario, arguments: &[&str]) -> String {
    let mut rivulet = scenario.rivulet(&[&["state"], arguments].concat());
    rivulet.succeeds();
    rivulet.out()
}

/// The stage does not start, and `rivulet state show` says why.
fn fails_with(scenario: &Scenario, stage: &str, words: &[&str]) {
    let remedy = format!("rivulet state reset {}", scenario.name(stage));
    let error = scenario.start(stage).fails();
    for word in words.iter().chain([&remedy.as_str()]) {
        assert!(error.contains(word), "`{word}` is missing in:\n{error}");
    }
    let mut show = scenario.rivulet(&["state", "show", &scenario.name(stage)]);
    let error = show.fails();
    assert!(error.contains(&remedy), "{error}");
}

#[test]
fn the_known_state_is_shown() {
    let scenario = worked_example();
    let [ewma, average, thermometer] =
        ["ewma", "average", "thermometer"].map(|stage| scenario.name(stage));
    let shown = state(&scenario, &["show", &ewma]);
    for words in [
        " ewma(alpha=0.5) ",
        "  62.7406  ",
        "1 sensor in 1 partition, made by `ewma(alpha=0.5)`; complete: ",
    ] {
        assert!(shown.contains(words), "`{words}` is missing in:\n{shown}");
    }
    let shown = state(&scenario, &["show", &average]);
    assert!(shown.contains("  60.8 60.8 66.2  "), "{shown}");

    let json: serde_json::Value =
        serde_json::from_str(&state(&scenario, &["show", &ewma, "--json"])).unwrap();
    let found = json["sensors"][0]["memories"][0][0]
        .as_f64()
        .expect("the EWMA is a number");
    assert_close(&[found], &EWMA[EWMA.len() - 1..]);
    let sensor = json["sensors"][0]["sensor"]
        .as_str()
        .expect("a sensor has a name")
        .to_owned();
    let only = state(&scenario, &["show", &ewma, "--sensor", &sensor]);
    assert!(only.contains("62.7406"), "{only}");
    let error = scenario
        .rivulet(&["state", "show", &ewma, "--sensor", "nobody"])
        .fails();
    assert!(
        error.contains("sensor `nobody`") && error.contains(&sensor),
        "{error}"
    );

    let shown = state(&scenario, &["show", &thermometer]);
    assert!(
        shown.contains("position ") && shown.contains("commit "),
        "{shown}"
    );
    let overview = state(&scenario, &["show"]);
    for stage in [&ewma, &average] {
        let line = overview
            .lines()
            .find(|line| line.starts_with(stage.as_str()));
        assert!(
            line.is_some_and(
                |line| line.contains("1 sensor in 1 partition ") && line.contains(" complete ")
            ),
            "{overview}"
        );
    }
    assert!(overview.contains(&format!("{thermometer} ")), "{overview}");
    let error = scenario
        .rivulet(&["state", "show", &scenario.name("convert")])
        .fails();
    assert!(error.contains("keeps no state"), "{error}");
}

#[test]
fn the_state_of_a_running_stage_is_not_reported_as_damaged() {
    let pipeline = PipelineBuilder::new()
        .settings("[defaults]\npartitions = 4")
        .producer(
            "thermometers",
            "{ simulated = { sensors = 10, readings = 100000, rate = 2000 } }",
            "warm",
        );
    let scenario = Scenario::new(pipeline.operator("smooth", "warm", SMOOTH, "smooth"));
    let mut running = [scenario.start("thermometers"), scenario.start("smooth")];
    for _ in 0..5 {
        scenario.grows("smooth", 100);
        let _ = state(&scenario, &["show", &scenario.name("smooth")]);
    }
    rivulet_tests::stop_all(&mut running);
    scenario.drain("smooth");
    let shown = state(&scenario, &["show", &scenario.name("smooth")]);
    assert!(
        shown.contains("10 sensors in ") && shown.contains("; complete: "),
        "{shown}"
    );
}

#[test]
fn a_changelog_that_was_created_again_is_an_error() {
    let scenario = smoothing();
    process(&scenario, &["a", "b"], 0, 1.0);
    records::delete_topic(scenario.brokers(), &scenario.changelog("smooth"));
    let missing = scenario.start("smooth").fails();
    assert!(
        missing.contains("looking for the topic") && missing.contains("rivulet topics create"),
        "{missing}"
    );
    scenario.create_topics();
    fails_with(
        &scenario,
        "smooth",
        &["0 sensors where 2 were committed", "was deleted"],
    );

    let done = state(&scenario, &["reset", &scenario.name("smooth"), "--yes"]);
    assert!(done.contains("starts with an empty state"), "{done}");
    process(&scenario, &["a"], 1, 2.0);
}

#[test]
fn a_changelog_that_lost_records_without_compaction_is_an_error() {
    let scenario = smoothing();
    let changelog = scenario.changelog("smooth");
    process(&scenario, &["a"], 0, 1.0);
    records::delete_topic(scenario.brokers(), &changelog);
    records::create_topic(scenario.brokers(), &changelog, 1);
    fails_with(
        &scenario,
        "smooth",
        &["is not compacted", "rivulet topics describe"],
    );
    let mut describe = scenario.rivulet(&["topics", "describe"]);
    let _ = describe.fails();
    let differs = describe.out();
    assert!(
        differs.contains("cleanup.policy") && differs.contains("differs"),
        "{differs}"
    );
}

#[test]
fn a_changelog_with_fewer_partitions_than_the_input_is_an_error() {
    let pipeline = PipelineBuilder::new().topic("warm", "partitions = 2\nexternal = true");
    let scenario = Scenario::new(pipeline.operator("smooth", "warm", SMOOTH, "smooth"));
    records::delete_topic(scenario.brokers(), &scenario.changelog("smooth"));
    records::create_topic(scenario.brokers(), &scenario.changelog("smooth"), 1);
    let error = scenario.start("smooth").fails();
    for words in [
        "it has no partition 1",
        "as many partitions as the stage's input",
        "rivulet topics describe",
    ] {
        assert!(error.contains(words), "`{words}` is missing in:\n{error}");
    }
}

#[test]
fn a_truncated_changelog_is_an_error_if_state_is_missing() {
    let scenario = smoothing();
    let changelog = scenario.changelog("smooth");
    // Kafka does not delete records of a compacted topic on request.
    records::delete_topic(scenario.brokers(), &changelog);
    records::create_topic(scenario.brokers(), &changelog, 1);
    process(&scenario, &["a", "b"], 0, 1.0);
    let first_round = records::written(scenario.brokers(), &changelog);
    process(&scenario, &["a", "b"], 1, 3.0);
    records::delete_records(scenario.brokers(), &changelog, 0, first_round);
    process(&scenario, &["a", "b"], 2, 5.0);
    assert_close(&scenario.values("smooth", 4), &[2.0, 2.0, 3.5, 3.5]);
    let shown = state(&scenario, &["show", &scenario.name("smooth")]);
    assert!(
        shown.contains("2 sensors in 1 partition") && shown.contains("; complete: "),
        "{shown}"
    );

    process(&scenario, &["a"], 3, 7.0);
    let end = records::written(scenario.brokers(), &changelog);
    // The state of `a` is followed by a checkpoint and a transaction marker, and then by those of
    // the stage's end.
    records::delete_records(scenario.brokers(), &changelog, 0, end - 5);
    fails_with(
        &scenario,
        "smooth",
        &["1 sensors where 2 were committed", "truncated"],
    );
}

#[test]
fn the_state_of_another_chain_is_an_error() {
    let scenario = smoothing();
    process(&scenario, &["a"], 0, 1.0);
    change(&scenario, "alpha = 0.5", "alpha = 0.3");
    let keep = format!("rivulet state keep {}", scenario.name("smooth"));
    fails_with(
        &scenario,
        "smooth",
        &[
            "made by `ewma(alpha=0.5)`, but the stage now is `ewma(alpha=0.3)`",
            &keep,
        ],
    );
    let mut show = scenario.rivulet(&["state", "show", &scenario.name("smooth")]);
    let _ = show.fails();
    let shown = show.out();
    assert!(
        shown.contains("made by `ewma(alpha=0.5)`, but the stage in the file is `ewma(alpha=0.3)`"),
        "{shown}"
    );
    let _ = state(&scenario, &["reset", &scenario.name("smooth"), "--yes"]);
    process(&scenario, &["a"], 1, 2.0);
}
