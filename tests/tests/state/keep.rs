//! State that is kept under new settings, or for some sensors forgotten.

use super::*;

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
