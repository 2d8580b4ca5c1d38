//! Two processes of one name, and one that only seems to be two.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::{Kafka, Pipeline, Process, Scenario, Signal, stop_all, wait};

const FLOW: &str = "{ simulated = { sensors = 10, rate = 200 } }";
const NOISE: &str = "{ convert = { from = \"celsius\", to = \"fahrenheit\" } }";

#[test]
fn a_process_ends_when_another_takes_its_name() {
    let pipeline =
        Pipeline::new().producer("thermometers", FLOW, "celsius").operator("convert", "celsius", NOISE, "fahrenheit");
    let scenario = Scenario::new(pipeline);
    let mut producer = scenario.start("thermometers");
    let mut old = scenario.start("convert");
    scenario.grows("fahrenheit", 100);
    let mut new = scenario.start("convert");
    let said = old.fails();
    assert!(said.contains("taken this one's place") && said.contains("--instance"), "{said}");
    scenario.grows("fahrenheit", 100);
    producer.stop();
    new.stop();
    scenario.drain("convert");
    scenario.verify();
}

/// It found another's commit where its own was to be, took it for its own, and sent the next readings
/// a second time.
#[test]
fn a_producer_that_wakes_when_another_has_its_name_repeats_nothing() {
    let scenario = Scenario::new(Pipeline::new().producer("thermometers", FLOW, "celsius"));
    let mut old = scenario.start("thermometers");
    scenario.grows("celsius", 100);
    old.signal(Signal::Stop);
    let mut new = scenario.start("thermometers");
    scenario.grows("celsius", 100);
    old.signal(Signal::Continue);
    let said = old.fails();
    assert!(said.contains("taken this one's place") && said.contains("--instance"), "{said}");
    scenario.grows("celsius", 100);
    new.stop();
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    for record in scenario.read("celsius", 0) {
        let value = record.value.unwrap_or_default();
        let reading: serde_json::Value = serde_json::from_slice(&value).expect("it is JSON");
        let expected = next.entry(reading["sensor"].to_string()).or_default();
        assert_eq!(reading["seq"], *expected, "{reading}");
        *expected += 1;
    }
}

/// librdkafka forgets its member's id when a session ends and fences itself with its next heartbeat.
#[test]
fn a_process_whose_session_ended_while_it_waited_for_a_broker_does_not_end() {
    let mut kafka = Kafka::start(&[]);
    let pipeline = Pipeline::new()
        .settings("[kafka]\n\"session.timeout.ms\" = 2000\n\"heartbeat.interval.ms\" = 100")
        .producer("thermometers", FLOW, "celsius")
        .operator("convert", "celsius", NOISE, "fahrenheit");
    let scenario = Scenario::on(kafka.brokers(), pipeline);
    scenario.create_topics();
    let mut running: Vec<Process> = ["thermometers", "convert"].iter().map(|stage| scenario.start(stage)).collect();
    for _ in 0..3 {
        scenario.grows("fahrenheit", 100);
        kafka.kill();
        // Longer than the session.
        let ended =
            wait::until(Duration::from_secs(3), || (!running.iter_mut().all(Process::is_running)).then_some(()));
        assert!(ended.is_none(), "a process has ended while the broker was away");
        kafka.run();
    }
    scenario.grows("fahrenheit", 100);
    stop_all(&mut running);
    scenario.drain("convert");
    scenario.verify();
}
