//! The worked example gives its known results, with each stage in its own process: one operator a
//! stage or a whole branch in one, in both formats, with both guarantees.

use rivulet_tests::chain::{AVERAGE, EWMA, assert_close, chained, fused, source};
use rivulet_tests::{PipelineBuilder, Process, Scenario, stop_all};

#[test]
fn chained_json_exactly_once() {
    gives_the_known_results(chained, "json", "exactly-once");
}

#[test]
fn chained_json_at_least_once() {
    gives_the_known_results(chained, "json", "at-least-once");
}

#[test]
fn chained_number_exactly_once() {
    gives_the_known_results(chained, "number", "exactly-once");
}

#[test]
fn chained_number_at_least_once() {
    gives_the_known_results(chained, "number", "at-least-once");
}

#[test]
fn fused_json_exactly_once() {
    gives_the_known_results(fused, "json", "exactly-once");
}

#[test]
fn fused_json_at_least_once() {
    gives_the_known_results(fused, "json", "at-least-once");
}

#[test]
fn fused_number_exactly_once() {
    gives_the_known_results(fused, "number", "exactly-once");
}

#[test]
fn fused_number_at_least_once() {
    gives_the_known_results(fused, "number", "at-least-once");
}

fn gives_the_known_results(
    chain: fn(PipelineBuilder) -> PipelineBuilder,
    format: &str,
    guarantee: &'static str,
) {
    let mut pipeline =
        PipelineBuilder::new().settings(&format!("[defaults]\nformat = \"{format}\""));
    if format == "number" {
        pipeline = pipeline.topic(
            "temperatures_celsius",
            "format = \"number\"\nunit = \"celsius\"",
        );
    }
    let pipeline = chain(pipeline.producer("thermometer", &source(), "temperatures_celsius"));
    let operators = pipeline.stages("operator");
    let scenario = Scenario::new(pipeline).guarantee(guarantee);

    let mut stages: Vec<Process> = operators
        .iter()
        .map(|operator| scenario.start(operator))
        .collect();
    let mut producer = scenario.start("thermometer");
    producer.succeeds();
    producer.says(&["14"]);
    assert_close(&scenario.values("temperatures_ewma", EWMA.len()), &EWMA);
    assert_close(
        &scenario.values("temperatures_moving_average", AVERAGE.len()),
        &AVERAGE,
    );
    stop_all(&mut stages);

    // A result that a stage still held back would be there now.
    assert_close(&scenario.values("temperatures_ewma", EWMA.len()), &EWMA);
    assert_close(
        &scenario.values("temperatures_moving_average", AVERAGE.len()),
        &AVERAGE,
    );
    scenario.verify();
}
