//! A broker that names no brokers in its metadata: it has just started, or was away for longer than
//! its session with the controllers. librdkafka then forgets all brokers (its issue 5301).

use rivulet_tests::chain::CONVERT;
use rivulet_tests::{PipelineBuilder, Process, Proxied, Scenario, stop_all, wait};

const STAGES: [&str; 3] = ["thermometers", "convert", "out"];

#[test]
fn forgotten_brokers_are_found_again_exactly_once() {
    are_found_again("exactly-once");
}

#[test]
fn forgotten_brokers_are_found_again_at_least_once() {
    are_found_again("at-least-once");
}

fn are_found_again(guarantee: &'static str) {
    let broker = Proxied::start();
    let pipeline = PipelineBuilder::new()
        .producer(
            "thermometers",
            "{ simulated = { sensors = 10, rate = 100 } }",
            "celsius",
        )
        .operator("convert", "celsius", CONVERT, "fahrenheit")
        .sink("out", "fahrenheit", "{ file = { path = \"out.csv\" } }");
    let scenario = Scenario::on(broker.direct_brokers(), pipeline).guarantee(guarantee);
    scenario.create_topics();
    let mut running: Vec<Process> = STAGES
        .map(|stage| scenario.start_through(&broker.brokers(), stage))
        .into();
    let flows = || scenario.grows("fahrenheit", 200);
    flows();
    broker.hide_brokers(true);
    for stage in STAGES {
        let client = format!("{}@a", scenario.name(stage));
        wait::until_true(&format!("{client} asks for the brokers"), || {
            broker.has_misled(&client)
        });
    }
    broker.hide_brokers(false);
    flows();
    stop_all(&mut running);
    for stage in &STAGES[1..] {
        scenario.drain(stage);
    }
    scenario.verify();
}
