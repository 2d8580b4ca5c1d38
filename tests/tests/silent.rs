//! A broker falls silent, as when its machine loses power: its connections stay open, but it does
//! not respond.

use std::time::{Duration, Instant};

use rivulet_tests::chain::CONVERT;
use rivulet_tests::{Cluster, PipelineBuilder, Process, Scenario, wait};

/// How many readings of how many sensors, and how many a second: a few seconds of flow.
const READINGS: usize = 2000;
const SENSORS: usize = 10;
const RATE: usize = 500;
/// How soon all readings must have passed. The other brokers notice after 9 s, and the clients
/// after 10 s. Usually that is all, but sometimes one waits for what another has noticed. With
/// librdkafka's defaults a consumer waits for a minute.
const SOON: Duration = Duration::from_secs(55);

#[test]
fn readings_flow_on_when_a_broker_falls_silent() {
    let cluster = Cluster::start();
    let source = format!(
        "{{ simulated = {{ sensors = {SENSORS}, readings = {}, rate = {RATE} }} }}",
        READINGS / SENSORS
    );
    let pipeline = PipelineBuilder::new()
        // Each broker leads some partitions of each topic.
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
    wait::until_true("readings flow", || shown(&out) > RATE);

    cluster.freeze(0);
    let start = Instant::now();
    let through = wait::until(SOON, || (shown(&out) >= READINGS).then(|| start.elapsed()));
    cluster.thaw(0);
    let through =
        through.unwrap_or_else(|| panic!("{} of {READINGS} readings after {SOON:?}", shown(&out)));
    println!(
        "all readings processed {:.1} s after the broker fell silent",
        through.as_secs_f64()
    );

    thermometers.succeeds();
    convert.stop();
    out.stop();
    scenario.verify();
}

/// How many readings a console sink has shown. It prints a title, too.
fn shown(sink: &Process) -> usize {
    let out = sink.out();
    let readings = out.lines().filter(|line| line.parse::<f64>().is_ok());
    readings.count()
}
