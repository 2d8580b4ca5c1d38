//! State that is reset.

use super::*;

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
