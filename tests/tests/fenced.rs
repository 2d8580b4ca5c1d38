//! Two processes with the same name, and one that seems to be two.

use std::collections::BTreeMap;
use std::time::Duration;

use rivulet_tests::{Kafka, PipelineBuilder, Process, Scenario, Signal, stop_all, wait};

const FLOW: &str = "{ simulated = { sensors = 10, rate = 200 } }";
const CONVERT: &str = "{ convert = { from = \"celsius\", to = \"fahrenheit\" } }";

/// The exit code of a process that another has replaced.
const FENCED: i32 = 76;

#[test]
fn a_process_ends_when_another_has_its_name() {
    let pipeline = PipelineBuilder::new()
        .producer("thermometers", FLOW, "celsius")
        .operator("convert", "celsius", CONVERT, "fahrenheit");
    let scenario = Scenario::new(pipeline);
    let mut producer = scenario.start("thermometers");
    let mut old = scenario.start("convert");
    scenario.grows("fahrenheit", 100);
    let mut new = scenario.start("convert");
    let said = old.fails();
    assert!(
        said.contains("taken this one's place") && said.contains("--instance"),
        "{said}"
    );
    scenario.grows("fahrenheit", 100);
    producer.stop();
    new.stop();
    scenario.drain("convert");
    scenario.verify();
}

/// It mistook the commit of the other process for its own, and sent the next readings twice.
#[test]
fn a_resumed_producer_that_was_replaced_repeats_nothing() {
    let scenario = Scenario::new(PipelineBuilder::new().producer("thermometers", FLOW, "celsius"));
    let mut old = scenario.start("thermometers");
    scenario.grows("celsius", 100);
    old.signal(Signal::Stop);
    let mut new = scenario.start("thermometers");
    scenario.grows("celsius", 100);
    old.signal(Signal::Continue);
    assert_eq!(old.ends_within(wait::LONG), FENCED, "{}", old.err());
    assert!(
        old.err().contains("@a has taken this one's place"),
        "{}",
        old.err()
    );
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

/// How many rows the replayed file has, and how many are sent a second.
const ROWS: u32 = 2922;
const RATE: u32 = 300;
/// The largest number of readings in a commit.
const INTERVAL: usize = 100;

/// Two processes of one source on two hosts replay a file. Returns the values that arrive, and what
/// the first process printed.
fn replay_on_two_hosts(guarantee: &'static str) -> (Vec<f64>, String) {
    let source = format!("{{ file = {{ path = \"rows.csv\", rate = {RATE} }} }}");
    let pipeline = PipelineBuilder::new()
        .settings(&format!(
            "[commit]\nrecords = {INTERVAL}\n[defaults]\npartitions = 1"
        ))
        .producer("replay", &source, "rows");
    let scenario = Scenario::new(pipeline).guarantee(guarantee);
    let rows = (0..ROWS)
        .map(|row| format!("a,{row},{row}\n"))
        .collect::<Vec<_>>()
        .concat();
    scenario.write("rows.csv", "sensor,time,value\n".to_owned() + &rows);
    let mut first = scenario.start_as("replay", "rpi0");
    scenario.grows("rows", 300);
    let mut second = scenario.start_as("replay", "rpi1");
    assert_eq!(first.ends_within(wait::LONG), FENCED, "{}", first.err());
    second.succeeds();
    let message = format!(
        "{}@rpi1 has taken this one's place",
        scenario.name("replay")
    );
    assert!(
        first.err().contains(&message) && !first.err().contains("--instance"),
        "{}",
        first.err()
    );
    (scenario.values("rows", ROWS as usize), first.err())
}

/// Nothing fenced it, and 2,883 of 2,922 readings were in the topic twice, without an error.
#[test]
fn a_source_on_two_hosts_sends_each_reading_once() {
    let (found, said) = replay_on_two_hosts("exactly-once");
    assert_eq!(
        found,
        (0..ROWS).map(f64::from).collect::<Vec<_>>(),
        "{said}"
    );
}

#[test]
fn a_source_on_two_hosts_repeats_at_most_one_commit_interval() {
    let (mut found, said) = replay_on_two_hosts("at-least-once");
    let sent = found.len();
    found.sort_by(f64::total_cmp);
    found.dedup();
    assert_eq!(
        found,
        (0..ROWS).map(f64::from).collect::<Vec<_>>(),
        "{said}"
    );
    assert!(
        sent - found.len() <= INTERVAL,
        "{} are duplicates: {said}",
        sent - found.len()
    );
}

/// librdkafka drops its member id when a session ends, and is fenced at its next heartbeat.
#[test]
fn a_process_survives_the_end_of_its_session() {
    let mut kafka = Kafka::start(&[]);
    let pipeline = PipelineBuilder::new()
        .settings("[kafka]\n\"session.timeout.ms\" = 2000\n\"heartbeat.interval.ms\" = 100")
        .producer("thermometers", FLOW, "celsius")
        .operator("convert", "celsius", CONVERT, "fahrenheit");
    let scenario = Scenario::on(kafka.brokers(), pipeline);
    scenario.create_topics();
    let mut running: Vec<Process> = ["thermometers", "convert"]
        .iter()
        .map(|stage| scenario.start(stage))
        .collect();
    for _ in 0..3 {
        scenario.grows("fahrenheit", 100);
        kafka.kill();
        // Longer than the session timeout.
        let ended = wait::until(Duration::from_secs(3), || {
            (!running.iter_mut().all(Process::is_running)).then_some(())
        });
        assert!(ended.is_none(), "a process ended while the broker was down");
        kafka.run();
    }
    scenario.grows("fahrenheit", 100);
    stop_all(&mut running);
    scenario.drain("convert");
    scenario.verify();
}
