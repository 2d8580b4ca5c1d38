//! The state of stages: shown, found damaged, kept under new settings, reset and forgotten.

use rivulet_core::exit;
use rivulet_tests::chain::{AVERAGE, CELSIUS, EWMA, OPERATORS, assert_close, chained, source};
use rivulet_tests::records::{self, Record};
use rivulet_tests::{PipelineBuilder, Scenario, wait};

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
fn after_a_reset_a_stage_starts_with_an_empty_state() {
    goes_on_after_a_reset("exactly-once");
}

#[test]
fn after_a_reset_a_stage_goes_on_at_least_once() {
    goes_on_after_a_reset("at-least-once");
}

fn goes_on_after_a_reset(guarantee: &'static str) {
    let scenario = smoothing().guarantee(guarantee);
    let smooth = scenario.name("smooth");
    process(&scenario, &["a", "b"], 0, 10.0);
    process(&scenario, &["a", "b"], 1, 20.0);
    let _ = state(&scenario, &["reset", &smooth, "--yes"]);
    let shown = state(&scenario, &["show", &smooth]);
    assert!(shown.contains("empty; complete: "), "{shown}");

    // The first reading of a sensor only seeds. Without its old state, `a` has no result for the
    // third.
    process(&scenario, &["a"], 2, 100.0);
    process(&scenario, &["a"], 3, 200.0);
    assert_close(&scenario.values("smooth", 3), &[15.0, 15.0, 150.0]);
    let shown = state(&scenario, &["show", &smooth]);
    assert!(
        shown.contains("1 sensor in 1 partition") && shown.contains("; complete: "),
        "{shown}"
    );
    let mut stage = scenario.start("smooth");
    stage.says(&["state restored", "sensors=1"]);
    stage.stop();
}

#[test]
fn a_reset_from_the_start_gives_the_same_results_again() {
    let scenario = worked_example();
    let mut once = scenario.values("temperatures_moving_average", AVERAGE.len());
    assert_close(&once, &AVERAGE);
    let average = scenario.name("average");
    let done = state(&scenario, &["reset", &average, "--from-start", "--yes"]);
    assert!(
        done.contains(&format!(
            "are written to {} again",
            scenario.name("temperatures_moving_average")
        )),
        "{done}"
    );
    scenario.drain("average");
    once.extend(AVERAGE);
    assert_close(
        &scenario.values("temperatures_moving_average", once.len()),
        &once,
    );
    let shown = state(&scenario, &["show", &average]);
    assert!(
        shown.contains("  60.8 60.8 66.2  ") && shown.contains("; complete: "),
        "{shown}"
    );
}

#[test]
fn a_producer_starts_from_the_beginning_after_a_reset() {
    let pipeline = PipelineBuilder::new().producer("thermometer", &source(), "cold");
    let scenario = Scenario::new(pipeline);
    let thermometer = scenario.name("thermometer");
    for _ in 0..2 {
        scenario.start("thermometer").succeeds();
    }
    assert_eq!(scenario.values("cold", CELSIUS.len()), CELSIUS);
    let done = state(&scenario, &["reset", &thermometer, "--yes"]);
    assert!(
        done.contains("position") && done.contains("writes its readings to"),
        "{done}"
    );
    let shown = state(&scenario, &["show", &thermometer]);
    assert!(shown.contains("empty"), "{shown}");
    scenario.start("thermometer").succeeds();
    assert_eq!(
        scenario.values("cold", 2 * CELSIUS.len()),
        [CELSIUS, CELSIUS].concat()
    );
}

#[test]
fn nothing_is_reset_while_the_stage_runs_or_without_yes() {
    let scenario = smoothing();
    let smooth = scenario.name("smooth");
    process(&scenario, &["a"], 0, 1.0);
    let mut stage = scenario.start("smooth");
    scenario.has_members("smooth", 1);
    let error = scenario
        .rivulet(&["state", "reset", &smooth, "--yes"])
        .fails();
    assert!(
        error.contains(&format!("{smooth}@a")) && error.contains("stop the stage first"),
        "{error}"
    );
    stage.stop();

    wait::until_true("the group is empty", || {
        records::members(scenario.brokers(), &smooth).is_none()
    });
    let error = scenario.rivulet(&["state", "reset", &smooth]).fails();
    assert!(
        error.contains("no terminal") && error.contains("--yes"),
        "{error}"
    );
    let plan = state(&scenario, &["reset", &smooth, "--dry-run"]);
    assert!(
        plan.contains("1 sensor is forgotten") && plan.contains("nothing was changed"),
        "{plan}"
    );
    let shown = state(&scenario, &["show", &smooth]);
    assert!(
        shown.contains("1 sensor in 1 partition") && shown.contains("; complete: "),
        "{shown}"
    );
}

#[test]
fn a_running_producer_is_not_reset() {
    let source = "{ simulated = { sensors = 1, readings = 100000, rate = 100 } }";
    let scenario = Scenario::new(PipelineBuilder::new().producer("thermometers", source, "warm"));
    let mut producer = scenario.start("thermometers");
    scenario.grows("warm", 10);
    let error = scenario
        .rivulet(&["state", "reset", &scenario.name("thermometers"), "--yes"])
        .fails();
    assert!(error.contains("it is committing"), "{error}");
    producer.stop();
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

/// A stage that passes everything on, and two stages with state behind it.
fn passing() -> Scenario {
    let pipeline = PipelineBuilder::new()
        .settings("[defaults]\npartitions = 2")
        .topic("warm", "partitions = 2\nexternal = true");
    let pipeline = pipeline.operator(
        "pass",
        "warm",
        "{ threshold = { above = -1000 } }",
        "passed",
    );
    let pipeline = pipeline.operator("smooth", "passed", SMOOTH, "smooth");
    Scenario::new(pipeline.operator("mean", "passed", "{ average = { window = 3 } }", "mean"))
}

/// Writes readings of three sensors, numbered from `first`, and drains the stages.
fn pass(scenario: &Scenario, first: u64, values: &[f64]) {
    for (seq, value) in (first..).zip(values) {
        let readings = ["a", "b", "c"].map(|sensor| reading(sensor, seq, *value));
        records::produce(scenario.brokers(), &scenario.name("warm"), &readings);
    }
    for stage in ["pass", "smooth", "mean"] {
        scenario.drain(stage);
    }
}

/// The values of one sensor in a topic, once all three have `count`.
fn of_one(scenario: &Scenario, topic: &str, count: usize) -> Vec<f64> {
    let records = scenario.read(topic, 3 * count);
    let of_one = records
        .iter()
        .filter(|record| record.key.as_deref() == Some(&b"b"[..]));
    of_one.map(Record::number).collect()
}

#[test]
fn kept_state_goes_on_under_new_settings_and_verifies() {
    let scenario = passing();
    let [smooth, mean] = ["smooth", "mean"].map(|stage| scenario.name(stage));
    let _ = state(&scenario, &["check"]);
    pass(&scenario, 0, &[8.0, 16.0, 0.0]);
    let fits = state(&scenario, &["check"]);
    assert!(
        fits.contains("3 sensors, made by `ewma(alpha=0.5)`"),
        "{fits}"
    );

    change(&scenario, "alpha = 0.5", "alpha = 0.25");
    change(&scenario, "window = 3", "window = 5");
    let found = scenario.rivulet(&["state", "check"]).fails();
    for (stage, was, is) in [
        (&smooth, "ewma(alpha=0.5)", "ewma(alpha=0.25)"),
        (&mean, "average(window=3)", "average(window=5)"),
    ] {
        for words in [
            format!(
                "the state of {stage}: it was made by `{was}`, but the chain of the file is `{is}`"
            ),
            format!("rivulet state keep {stage}"),
            format!("rivulet state reset {stage}"),
        ] {
            assert!(found.contains(&words), "`{words}` is missing in:\n{found}");
        }
    }
    fails_with(
        &scenario,
        "smooth",
        &[&format!("rivulet state keep {smooth}")],
    );
    let error = scenario.rivulet(&["state", "keep", &smooth]).fails();
    assert!(
        error.contains("no terminal") && error.contains("--yes"),
        "{error}"
    );
    let plan = state(&scenario, &["keep", &smooth, "--dry-run"]);
    assert!(
        plan.contains("of 3 sensors, made by `ewma(alpha=0.5)`, is migrated to")
            && plan.contains("nothing was"),
        "{plan}"
    );
    for stage in [&smooth, &mean] {
        let done = state(&scenario, &["keep", stage, "--yes"]);
        assert!(done.contains("continues with its state"), "{done}");
    }
    let again = state(&scenario, &["keep", &smooth, "--yes"]);
    assert!(again.contains("nothing to do"), "{again}");
    let _ = state(&scenario, &["check", &smooth, &mean]);
    let shown = state(&scenario, &["show", &smooth]);
    assert!(
        shown.contains("made by `ewma(alpha=0.25)`; complete: "),
        "{shown}"
    );
    scenario.verify();

    pass(&scenario, 3, &[8.0, 8.0, 16.0]);
    assert_close(
        &of_one(&scenario, "smooth", 5),
        &[12.0, 6.0, 6.5, 6.875, 9.15625],
    );
    assert_close(&of_one(&scenario, "mean", 3), &[8.0, 8.0, 9.6]);
    scenario.verify();
    change(&scenario, "alpha = 0.25", "alpha = 0.4");
    let mut verify = scenario.rivulet(&["verify"]);
    let _ = verify.fails();
    verify.says(&[" 9 wrong,"]);
    change(&scenario, "alpha = 0.4", "alpha = 0.25");

    change(&scenario, "window = 5", "window = 3");
    let _ = state(&scenario, &["keep", &mean, "--yes"]);
    pass(&scenario, 6, &[0.0]);
    assert_close(&of_one(&scenario, "mean", 4), &[8.0, 8.0, 9.6, 8.0]);
    scenario.verify();
    let mut dead_letters = scenario.rivulet(&["dlq", "ls"]);
    dead_letters.succeeds();
    assert!(
        dead_letters.out().contains("no dead letters"),
        "{}",
        dead_letters.out()
    );
}

#[test]
fn results_before_and_after_a_reset_verify() {
    let scenario = passing();
    let [smooth, mean] = ["smooth", "mean"].map(|stage| scenario.name(stage));
    pass(&scenario, 0, &[8.0, 16.0, 0.0]);
    change(&scenario, "alpha = 0.5", "alpha = 0.25");
    for stage in [&smooth, &mean, &mean] {
        let _ = state(&scenario, &["reset", stage, "--yes"]);
    }
    pass(&scenario, 3, &[8.0, 16.0, 4.0]);
    assert_close(&of_one(&scenario, "smooth", 4), &[12.0, 6.0, 10.0, 8.5]);
    scenario.verify();

    let _ = state(&scenario, &["reset", &mean, "--from-start", "--yes"]);
    scenario.drain("mean");
    let mut verify = scenario.rivulet(&["verify"]);
    let error = verify.fails_with(exit::UNVERIFIABLE);
    assert!(
        error.contains("not everything could be verified: 1 topic"),
        "{error}"
    );
    verify.says(&["not verifiable: ", "its inputs were read again"]);
    scenario
        .rivulet(&["verify", "--allow-unverifiable"])
        .succeeds();
}

#[test]
fn the_state_of_other_operators_is_not_kept() {
    let scenario = smoothing();
    let smooth = scenario.name("smooth");
    process(&scenario, &["a"], 0, 1.0);
    change(
        &scenario,
        "[{ ewma",
        "[{ convert = { from = \"celsius\", to = \"kelvin\" } }, { ewma",
    );
    let reset = format!("or start with an empty state: rivulet state reset {smooth}");
    for command in ["keep", "check"] {
        let error = scenario.rivulet(&["state", command, &smooth]).fails();
        assert!(
            error.contains("these are not the same operators") && error.contains(&reset),
            "{error}"
        );
        assert!(!error.contains("state keep"), "{error}");
    }
    let shown = scenario.rivulet(&["state", "show", &smooth]).fails();
    assert!(shown.contains(&reset), "{shown}");
}

#[test]
fn the_state_of_a_running_stage_is_checked_but_not_kept() {
    let scenario = smoothing();
    let smooth = scenario.name("smooth");
    process(&scenario, &["a"], 0, 1.0);
    let mut stage = scenario.start("smooth");
    scenario.has_members("smooth", 1);
    let fits = state(&scenario, &["check", &smooth]);
    assert!(
        fits.contains("1 sensor, made by `ewma(alpha=0.5)`"),
        "{fits}"
    );
    change(&scenario, "alpha = 0.5", "alpha = 0.3");
    let error = scenario
        .rivulet(&["state", "keep", &smooth, "--yes"])
        .fails();
    assert!(
        error.contains(&format!("{smooth}@a")) && error.contains("stop the stage first"),
        "{error}"
    );
    assert_eq!(records::members(scenario.brokers(), &smooth), Some(1));
    stage.stop();
    let nobody = scenario.rivulet(&["state", "check", "smoth"]).fails();
    assert!(nobody.contains("smoth"), "{nobody}");
    records::delete_topic(scenario.brokers(), &scenario.changelog("smooth"));
    let missing = state(&scenario, &["check", &smooth]);
    assert!(missing.contains("there is no changelog"), "{missing}");
}

#[test]
fn forgotten_sensors_start_again_and_the_others_go_on() {
    let scenario = smoothing();
    let smooth = scenario.name("smooth");
    let day = 86_400_000;
    process(&scenario, &["a", "b", "c"], 0, 10.0);
    process(&scenario, &["a", "b"], 1, 20.0);
    process(&scenario, &["b"], 40 * day, 30.0);

    let plan = state(
        &scenario,
        &["forget", &smooth, "--sensor", "a", "c", "--dry-run"],
    );
    assert!(
        plan.contains("of 2 sensors is forgotten, that of 1 sensor is kept"),
        "{plan}"
    );
    assert!(plan.contains("nothing was changed"), "{plan}");
    let error = scenario
        .rivulet(&["state", "forget", &smooth, "--sensor", "d", "--yes"])
        .fails();
    assert!(error.contains("it has no state of a sensor `d`"), "{error}");
    let error = scenario
        .rivulet(&["state", "forget", &smooth, "--sensor", "a"])
        .fails();
    assert!(
        error.contains("no terminal") && error.contains("--yes"),
        "{error}"
    );
    let mut neither = scenario.rivulet(&["state", "forget", &smooth]);
    assert_eq!(neither.ends_within(wait::LONG), 2, "a usage error");

    let done = state(
        &scenario,
        &["forget", &smooth, "--sensor", "a", "c", "--yes"],
    );
    assert!(
        done.contains(&format!("done: {smooth} continues without them")),
        "{done}"
    );
    let shown = state(&scenario, &["show", &smooth]);
    assert!(
        shown.contains("1 sensor in 1 partition") && shown.contains("; complete: "),
        "{shown}"
    );
    scenario.verify();

    process(&scenario, &["a", "b"], 41 * day, 50.0);
    process(&scenario, &["a"], 42 * day, 70.0);
    // 15 twice, 22.5 and 36.25 of b. The average of a starts again at 50.
    assert_close(
        &scenario.values("smooth", 5),
        &[15.0, 15.0, 22.5, 36.25, 60.0],
    );
    scenario.verify();
    let mut dead_letters = scenario.rivulet(&["dlq", "ls"]);
    dead_letters.succeeds();
    assert!(
        dead_letters.out().contains("no dead letters"),
        "{}",
        dead_letters.out()
    );

    let mut stage = scenario.start("smooth");
    scenario.has_members("smooth", 1);
    let error = scenario
        .rivulet(&["state", "forget", &smooth, "--sensor", "a", "--yes"])
        .fails();
    assert!(error.contains("stop the stage first"), "{error}");
    stage.stop();
}
