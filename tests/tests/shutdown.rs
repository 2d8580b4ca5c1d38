//! Stages that are shut down, and brokers that are unreachable.

use std::io::Write;
use std::time::Duration;

use rivulet_tests::chain::{EWMA, OPERATORS, assert_close, chained, source};
use rivulet_tests::records;
use rivulet_tests::{Kafka, PipelineBuilder, Process, Scenario, Signal, stop_all, wait};

/// The exit code of a process with uncommitted readings.
const UNCOMMITTED: i32 = 75;

/// As fast as possible, and more readings than the test needs.
const FLOOD: &str = "{ simulated = { sensors = 10, readings = 10000000 } }";
const FLOW: &str = "{ simulated = { sensors = 10, readings = 10000000, rate = 1000 } }";

#[test]
fn sigterm_under_the_fastest_flow_commits_exactly_once() {
    ends_in_time_under_the_fastest_flow("exactly-once");
}

#[test]
fn sigterm_under_the_fastest_flow_commits_at_least_once() {
    ends_in_time_under_the_fastest_flow("at-least-once");
}

fn ends_in_time_under_the_fastest_flow(guarantee: &'static str) {
    let pipeline = PipelineBuilder::new()
        .settings("[defaults]\npartitions = 2")
        .producer("thermometers", FLOOD, "temperatures_celsius")
        .sink(
            "out-ewma",
            "temperatures_ewma",
            "{ file = { path = \"ewma.csv\" } }",
        );
    let scenario = Scenario::new(chained(pipeline)).guarantee(guarantee);
    let mut running: Vec<Process> = OPERATORS
        .iter()
        .map(|stage| scenario.start(stage))
        .collect();
    running.push(scenario.start("out-ewma"));
    running.push(scenario.start("thermometers"));
    scenario.grows("temperatures_ewma", 10_000);
    stop_all(&mut running);
    for stage in OPERATORS {
        scenario.drain(stage);
    }
    scenario.verify();
}

#[test]
fn a_producer_resumes_where_it_was_stopped() {
    let pipeline = PipelineBuilder::new()
        .settings("[defaults]\npartitions = 4")
        .producer(
            "thermometers",
            "{ simulated = { sensors = 10, readings = 300, rate = 1000 } }",
            "temperatures_celsius",
        );
    let scenario = Scenario::new(pipeline);
    for _ in 0..2 {
        let mut producer = scenario.start("thermometers");
        scenario.grows("temperatures_celsius", 500);
        producer.stop();
    }
    let mut producer = scenario.start("thermometers");
    producer.succeeds();
    assert_eq!(scenario.read("temperatures_celsius", 3000).len(), 3000);
    let mut again = scenario.start("thermometers");
    again.succeeds();
    assert_eq!(scenario.read("temperatures_celsius", 3000).len(), 3000);
}

#[test]
fn stages_wait_for_a_broker_that_is_down_at_their_start() {
    let mut kafka = Kafka::start(&[]);
    let pipeline =
        PipelineBuilder::new().producer("thermometer", &source(), "temperatures_celsius");
    let scenario = Scenario::on(kafka.brokers(), chained(pipeline));
    scenario.create_topics();
    kafka.kill();

    let mut running: Vec<Process> = OPERATORS
        .iter()
        .map(|stage| scenario.start(stage))
        .collect();
    let mut producer = scenario.start("thermometer");
    for process in running.iter_mut().chain([&mut producer]) {
        process.says(&[scenario.brokers(), "waiting"]);
    }
    // A stage that waits can be shut down.
    let mut asked = scenario.start_as("ewma", "b");
    asked.says(&["waiting"]);
    asked.stop();

    kafka.run();
    producer.succeeds();
    assert_close(&scenario.values("temperatures_ewma", EWMA.len()), &EWMA);
    stop_all(&mut running);
    for process in running.iter().chain([&producer]) {
        assert_eq!(
            process.err().matches("waiting").count(),
            1,
            "{}",
            process.err()
        );
        assert!(process.err().lines().count() < 12, "{}", process.err());
    }
}

#[test]
fn a_broker_that_goes_down_and_comes_back_is_only_a_pause() {
    let mut kafka = Kafka::start(&[]);
    let pipeline = PipelineBuilder::new()
        .settings("[defaults]\npartitions = 2")
        .producer("thermometers", FLOW, "temperatures_celsius")
        .sink(
            "out-ewma",
            "temperatures_ewma",
            "{ file = { path = \"ewma.csv\" } }",
        );
    let scenario = Scenario::on(kafka.brokers(), chained(pipeline));
    scenario.create_topics();
    let mut running: Vec<Process> = OPERATORS
        .iter()
        .map(|stage| scenario.start(stage))
        .collect();
    running.push(scenario.start("out-ewma"));
    running.push(scenario.start("thermometers"));

    scenario.grows("temperatures_ewma", 500);
    kafka.kill();
    for process in &mut running {
        process.says(&["waiting"]);
    }
    kafka.run();
    scenario.grows("temperatures_ewma", 500);
    kafka.hang(Duration::from_secs(3));
    scenario.grows("temperatures_ewma", 500);
    kafka.kill();
    kafka.run();
    scenario.grows("temperatures_ewma", 500);

    for process in &mut running {
        assert!(process.is_running());
    }
    stop_all(&mut running);
    for process in &running {
        assert!(process.err().lines().count() < 60, "{}", process.err());
    }
    for stage in OPERATORS {
        scenario.drain(stage);
    }
    scenario.verify();
}

/// It exited with code 0 after four seconds, and the readings that the spool had not synced were
/// lost.
#[test]
fn a_shutdown_without_kafka_syncs_the_spool() {
    for guarantee in ["exactly-once", "at-least-once"] {
        let mut kafka = Kafka::start(&[]);
        let source = "{ lines = { sensor = \"attic\" } }";
        let spool = "{ path = \"spool\", sync-ms = 60000 }";
        let pipeline = PipelineBuilder::new()
            .settings("[defaults]\npartitions = 1")
            .spooled_producer("attic", source, spool, "temperatures");
        let scenario = Scenario::on(kafka.brokers(), pipeline).guarantee(guarantee);
        scenario.create_topics();
        let (read, mut write) = std::io::pipe().unwrap();
        let mut producer = scenario.start_on("attic", read.try_clone().unwrap());
        // The first reading is synced at once, and sent.
        writeln!(write, "0").unwrap();
        wait::until_true("the reading arrives", || {
            scenario.written("temperatures") >= 1
        });
        // Without transactions it is sent again if its position is not committed: after the claim.
        wait::until_true("its position is committed", || {
            records::written(scenario.brokers(), &scenario.changelog("attic")) >= 2
        });
        kafka.kill();
        for number in 1..50 {
            writeln!(write, "{number}").unwrap();
        }
        // Nothing shows that the source has read them, because the disk is not written.
        let ended = wait::until(Duration::from_millis(500), || {
            (!producer.is_running()).then_some(())
        });
        assert!(ended.is_none(), "{}", producer.err());
        producer.signal(Signal::Terminate);
        let code = producer.ends_within(Duration::from_secs(5));
        assert!(
            matches!(code, 0 | UNCOMMITTED),
            "exit status {code}: {}",
            producer.err()
        );
        assert!(
            producer.err().contains("readings wait in the spool"),
            "{}",
            producer.err()
        );
        kafka.run();
        let mut producer = scenario.start_on("attic", read.try_clone().unwrap());
        let found = scenario.values("temperatures", 50);
        assert_eq!(
            found,
            (0..50).map(f64::from).collect::<Vec<_>>(),
            "{guarantee}"
        );
        producer.stop();
    }
}

/// It exited with code 0, as if everything were committed.
#[test]
fn a_producer_with_uncommitted_readings_says_so() {
    let mut kafka = Kafka::start(&[]);
    let pipeline = PipelineBuilder::new().producer("thermometers", FLOW, "celsius");
    let scenario = Scenario::on(kafka.brokers(), pipeline);
    scenario.create_topics();
    let mut producer = scenario.start("thermometers");
    scenario.grows("celsius", 200);
    kafka.kill();
    producer.says(&["waiting"]);
    producer.signal(Signal::Terminate);
    assert_eq!(
        producer.ends_within(Duration::from_secs(5)),
        UNCOMMITTED,
        "{}",
        producer.err()
    );
}
