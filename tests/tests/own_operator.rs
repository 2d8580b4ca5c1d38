//! An operator from a crate of its own: `examples/own-operator`.

use rivulet_core::exit;
use rivulet_tests::{Kafka, PipelineBuilder, Process, Scenario};

const EWMA: &str = "{ ewma = { alpha = 0.5 } }";
const MEDIAN: &str = "{ median = { window = 3 } }";
const CONVERT: &str = "{ convert = { from = \"celsius\", to = \"fahrenheit\" } }";
const READINGS: usize = 2000;

fn start(scenario: &Scenario, stage: &str) -> Process {
    let name = scenario.name(stage);
    scenario.program("own-operator", &[&name, "--instance", "a"])
}

#[test]
fn it_runs_beside_built_in_ones_and_keeps_its_state() {
    let pipeline = PipelineBuilder::new()
        .settings("[defaults]\npartitions = 4")
        .producer(
            "thermometers",
            "{ simulated = { sensors = 10, readings = 200, rate = 200 } }",
            "celsius",
        )
        .operator("median", "celsius", MEDIAN, "medians")
        .operator("convert", "medians", CONVERT, "fahrenheit")
        .operator("ewma", "celsius", EWMA, "smooth");
    let scenario = Scenario::on(Kafka::shared(), pipeline);
    scenario
        .program("own-rivulet", &["topics", "create"])
        .succeeds();

    let mut producer = scenario.start("thermometers");
    let stages = ["median", "convert", "ewma"];
    let mut running = stages.map(|stage| start(&scenario, stage));
    for _ in 0..3 {
        scenario.grows("medians", 50);
        running[0].kill();
        running[0] = start(&scenario, "median");
    }
    producer.succeeds();
    for (stage, process) in stages.iter().zip(&mut running) {
        process.stop();
        let name = scenario.name(stage);
        scenario
            .program("own-operator", &[&name, "--instance", "a", "--drain"])
            .succeeds();
    }

    // Each sensor's first two readings only fill its window: the state was there after each kill.
    let medians = scenario.values("medians", READINGS - 2 * 10);
    assert_eq!(medians.len(), READINGS - 2 * 10);
    let mut shown = scenario.program("own-rivulet", &["state", "show", &scenario.name("median")]);
    shown.succeeds();
    shown.says(&["median(window=3)", "10 sensors"]);

    let mut verify = scenario.program("own-rivulet", &["verify"]);
    let error = verify.fails_with(exit::UNVERIFIABLE);
    assert!(
        error.contains("not everything could be verified"),
        "{error}"
    );
    verify.says(&[
        "what `median` does is not known here",
        "0 missing, 0 extra, 0 wrong",
    ]);
}

#[test]
fn a_program_without_it_names_those_that_it_has() {
    let scenario = Scenario::on(
        Kafka::shared(),
        PipelineBuilder::new()
            .topic("in", "external = true")
            .operator("median", "in", MEDIAN, "out"),
    );
    let error = scenario.rivulet(&["check"]).fails();
    assert!(error.contains("there is no operator `median`"), "{error}");
    let mut check = scenario.program("own-rivulet", &["check"]);
    check.succeeds();
    let mut catalog = scenario.program("own-rivulet", &["catalog", "median"]);
    catalog.succeeds();
    catalog.says(&["### median", "- `window`, required, a whole number"]);
}
