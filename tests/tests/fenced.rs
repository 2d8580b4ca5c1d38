//! Two processes of one name, and one that only seems to be two.

use std::collections::BTreeMap;
use std::time::Duration;

use tests::{Kafka, PipelineBuilder, Process, Scenario, Signal, stop_all, wait};

const FLOW: &str = "{ simulated = { sensors = 10, rate = 200 } }";
const NOISE: &str = "{ convert = { from = \"celsius\", to = \"fahrenheit\" } }";

/// The exit code of a process whose place another has taken.
const REPLACED: i32 = 76;

#[test]
fn a_process_ends_when_another_takes_its_name() {
    let pipeline = PipelineBuilder::new()
        .producer("thermometers", FLOW, "celsius")
        .operator("convert", "celsius", NOISE, "fahrenheit");
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

/// It found another's commit where its own was to be, took it for its own, and sent the next
/// readings a second time.
#[test]
fn a_producer_that_wakes_when_another_has_its_name_repeats_nothing() {
    let scenario = Scenario::new(PipelineBuilder::new().producer("thermometers", FLOW, "celsius"));
    let mut old = scenario.start("thermometers");
    scenario.grows("celsius", 100);
    old.signal(Signal::Stop);
    let mut new = scenario.start("thermometers");
    scenario.grows("celsius", 100);
    old.signal(Signal::Continue);
    assert_eq!(old.ends_within(wait::LONG), REPLACED, "{}", old.err());
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

/// How many rows the file has that two processes replay, and how many of them a second.
const ROWS: u32 = 2922;
const RATE: u32 = 300;
/// How many of them a commit holds at most.
const INTERVAL: usize = 100;

/// Two processes of one source on two hosts replay a file: what arrives, and what the first one
/// said.
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
    assert_eq!(first.ends_within(wait::LONG), REPLACED, "{}", first.err());
    second.succeeds();
    let told = format!(
        "{}@rpi1 has taken this one's place",
        scenario.name("replay")
    );
    assert!(
        first.err().contains(&told) && !first.err().contains("--instance"),
        "{}",
        first.err()
    );
    (scenario.values("rows", ROWS as usize), first.err())
}

/// Nothing fenced it, and without a word 2,883 of 2,922 readings were in the topic twice.
#[test]
fn a_source_that_runs_on_two_hosts_sends_each_reading_once() {
    let (found, said) = replay_on_two_hosts("exactly-once");
    assert_eq!(
        found,
        (0..ROWS).map(f64::from).collect::<Vec<_>>(),
        "{said}"
    );
}

#[test]
fn a_source_that_runs_on_two_hosts_repeats_no_more_than_one_interval_at_least_once() {
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
        "{} are there twice: {said}",
        sent - found.len()
    );
}

/// librdkafka forgets its member's id when a session ends and fences itself with its next
/// heartbeat.
#[test]
fn a_process_whose_session_ended_while_it_waited_for_a_broker_does_not_end() {
    let mut kafka = Kafka::start(&[]);
    let pipeline = PipelineBuilder::new()
        .settings("[kafka]\n\"session.timeout.ms\" = 2000\n\"heartbeat.interval.ms\" = 100")
        .producer("thermometers", FLOW, "celsius")
        .operator("convert", "celsius", NOISE, "fahrenheit");
    let scenario = Scenario::on(kafka.brokers(), pipeline);
    scenario.create_topics();
    let mut running: Vec<Process> = ["thermometers", "convert"]
        .iter()
        .map(|stage| scenario.start(stage))
        .collect();
    for _ in 0..3 {
        scenario.grows("fahrenheit", 100);
        kafka.kill();
        // Longer than the session.
        let ended = wait::until(Duration::from_secs(3), || {
            (!running.iter_mut().all(Process::is_running)).then_some(())
        });
        assert!(
            ended.is_none(),
            "a process has ended while the broker was away"
        );
        kafka.run();
    }
    scenario.grows("fahrenheit", 100);
    stop_all(&mut running);
    scenario.drain("convert");
    scenario.verify();
}
