//! A broker that falls silent, as when its machine loses power: no connection is closed, nothing
//! answers.

use std::time::{Duration, Instant};

use tests::chain::CONVERT;
use tests::{Cluster, PipelineBuilder, Scenario, wait};

/// How many readings there are of how many sensors, and how many a second: a few seconds of flow.
const READINGS: usize = 2000;
const SENSORS: usize = 10;
const RATE: usize = 500;
/// How soon all of them must be through. The others miss the broker after 9 s and its clients after
/// 10 s; mostly that is all, seldom one waits for what another has found out. By librdkafka's own
/// defaults a consumer waits for a minute.
const SOON: Duration = Duration::from_secs(55);

#[test]
fn what_a_silent_broker_led_flows_on_without_it() {
    let cluster = Cluster::start();
    let source = format!(
        "{{ simulated = {{ sensors = {SENSORS}, readings = {}, rate = {RATE} }} }}",
        READINGS / SENSORS
    );
    let pipeline = PipelineBuilder::new()
        // Each broker leads a part of each topic.
        .settings(&format!(
            "[defaults]\npartitions = 4\nreplication = {}",
            Cluster::NODES
        ))
        .producer("thermometers", &source, "temperatures_celsius")
        .operator(
            "convert",
            "temperatures_celsius",
            CONVERT,
            "temperatures_fahrenheit",
        )
        .sink(
            "out",
            "temperatures_fahrenheit",
            "{ console = { show = \"value\" } }",
        );
    let scenario = Scenario::on(cluster.brokers(), pipeline);
    scenario.create_topics();
    let mut out = scenario.start("out");
    let mut convert = scenario.start("convert");
    let mut thermometers = scenario.start("thermometers");
    // It writes a title too.
    let shown = || {
        out.out()
            .lines()
            .filter(|line| line.parse::<f64>().is_ok())
            .count()
    };
    wait::until_so("readings flow", || shown() > RATE);

    cluster.freeze(0);
    let start = Instant::now();
    let through = wait::until(SOON, || (shown() >= READINGS).then(|| start.elapsed()));
    cluster.thaw(0);
    let through =
        through.unwrap_or_else(|| panic!("{} of {READINGS} readings after {SOON:?}", shown()));
    println!(
        "all readings through {:.1} s after the broker fell silent",
        through.as_secs_f64()
    );

    thermometers.succeeds();
    convert.stop();
    out.stop();
    scenario.verify();
}
