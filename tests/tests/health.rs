//! What a process says of itself: metrics, readiness, and what systemd hears.

use std::io::Read;
use std::process::Command;
use std::time::Duration;

use rivulet_tests::chain::CONVERT;
use rivulet_tests::{
    Disk, Endpoint, PipelineBuilder, Process, Scenario, ServiceManager, Signal, wait,
};

const STEADY: &str = "{ simulated = { sensors = 10, rate = 200 } }";
/// It ends within a second.
const FEW: &str = "{ simulated = { sensors = 10, readings = 50, rate = 1000 } }";
const EWMA: &str = "{ ewma = { alpha = 0.5 } }";

#[test]
fn the_metrics_of_a_chain_are_what_kafka_has() {
    let pipeline = PipelineBuilder::new()
        .settings("[defaults]\npartitions = 2")
        .producer("thermometers", FEW, "celsius")
        .operator("ewma", "celsius", EWMA, "smooth")
        .sink("out", "smooth", "{ file = { path = \"out.csv\" } }");
    let scenario = Scenario::new(pipeline);
    let observed = |stage| Endpoint::start(stage, &mut scenario.stage(stage, "a"), 30);
    let (mut ewma, ewma_at) = observed("ewma");
    let (mut out, out_at) = observed("out");
    let mut source = scenario.start("thermometers");
    source.succeeds();
    let written = |stage: &str| format!("rivulet_records_written_total{{stage=\"{stage}\"}}");
    let (in_kafka, out_stage) = (scenario.name("ewma"), scenario.name("out"));
    // The first reading of each sensor is the EWMA's start.
    wait::until_true("all results are in the file", || {
        out_at.value(&written(&out_stage)) == Some(490.0)
    });
    let of_partition = |metric: &str, stage: &str, topic: &str, partition: usize| {
        let topic = scenario.name(topic);
        format!("{metric}{{stage=\"{stage}\",topic=\"{topic}\",partition=\"{partition}\"}}")
    };
    let mut records = [0.0; 2];
    for record in scenario.read("celsius", 500) {
        records[usize::try_from(record.partition).unwrap()] += 1.0;
    }
    for (partition, expected) in records.into_iter().enumerate() {
        let processed = "rivulet_records_processed_total";
        let processed = of_partition(processed, &in_kafka, "celsius", partition);
        // Its results are visible a moment before its commit is answered.
        wait::until_true("all records are counted", || {
            ewma_at.value(&processed) == Some(expected)
        });
        let lag = of_partition("rivulet_lag_records", &in_kafka, "celsius", partition);
        // Transaction markers at the end are no lag.
        wait::until_true("nothing is left", || ewma_at.value(&lag) == Some(0.0));
    }
    let of_ewma = |metric: &str| ewma_at.value(&format!("{metric}{{stage=\"{in_kafka}\"}}"));
    assert_eq!(of_ewma("rivulet_state_sensors"), Some(10.0));
    assert_eq!(of_ewma("rivulet_end_to_end_seconds_count"), Some(500.0));
    assert_eq!(
        of_ewma("rivulet_commits_total"),
        of_ewma("rivulet_commit_seconds_count")
    );
    let ready = ewma_at.until_ready(true);
    assert!(
        ready.starts_with(&format!(
            "{in_kafka}: ready: running, 2 partitions, lag 0, "
        )),
        "{ready}"
    );
    for metrics in [ewma_at.metrics(), out_at.metrics()] {
        is_well_formed(&metrics);
    }
    ewma.stop();
    out.stop();
}

/// Prometheus' own tool has nothing to say against the metrics.
fn is_well_formed(metrics: &str) {
    use std::io::Write;
    use std::process::Stdio;

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/prometheus");
    let mut promtool = Command::new(script)
        .args(["tool", "check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the script is there");
    let mut input = promtool.stdin.take().expect("it is piped");
    input.write_all(metrics.as_bytes()).expect("it reads");
    drop(input);
    let output = promtool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.is_empty(),
        "{said}\n{metrics}"
    );
}

#[test]
fn a_sink_on_a_full_disk_says_so_until_there_is_room() {
    let pipeline = PipelineBuilder::new()
        .producer("thermometers", STEADY, "celsius")
        .sink(
            "keep",
            "celsius",
            "{ file = { path = \"disk/readings.jsonl\" } }",
        );
    let scenario = Scenario::new(pipeline);
    let disk = Disk::full(&scenario.path("disk"));
    let mut source = scenario.start("thermometers");
    let mut command = disk.command(&scenario.stage("keep", "a"));
    let (mut sink, endpoint) = Endpoint::start("keep", &mut command, 2);
    let _ = endpoint.until_ready(true);
    let unready = endpoint.until_ready(false);
    assert!(
        unready.contains(": not ready: ")
            && unready.contains("no commit for ")
            && unready.contains("No space left on device"),
        "{unready}"
    );
    let stage = scenario.name("keep");
    let trouble = |kind: &str| {
        endpoint.value(&format!(
            "rivulet_trouble{{stage=\"{stage}\",trouble=\"{kind}\"}}"
        ))
    };
    assert_eq!(
        (trouble("rollback"), trouble("stalled")),
        (Some(1.0), Some(1.0))
    );
    let rollbacks = format!("rivulet_rollbacks_total{{stage=\"{stage}\",cause=\"too-large\"}}");
    assert!(
        endpoint.value(&rollbacks) >= Some(2.0),
        "{}",
        endpoint.metrics()
    );
    // What lasts is still live: a restart would not help.
    assert_eq!(endpoint.get("livez").map(|(status, _)| status), Some(200));
    disk.make_room(&sink);
    let ready = endpoint.until_ready(true);
    assert!(!ready.contains("No space"), "{ready}");
    source.stop();
    sink.stop();
}

/// A console sink hangs in its write once nobody reads what it prints. The hang is told, systemd's
/// watchdog hears nothing, and the restart that follows loses nothing.
#[test]
fn a_stage_that_hangs_is_told_and_started_again() {
    let pipeline = PipelineBuilder::new()
        .producer("thermometers", STEADY, "celsius")
        .sink("show", "celsius", "\"console\"");
    let scenario = Scenario::new(pipeline);
    let mut source = scenario.start("thermometers");
    let mut manager = ServiceManager::new();
    let (mut reader, writer) = std::io::pipe().expect("there are file descriptors left");
    let mut command = scenario.stage("show", "a");
    manager.manage(&mut command);
    command.args(["--metrics", "0", "--stalled-after", "2"]);
    let mut sink = Process::start_onto("show", &mut command, writer);
    drop(command);
    let endpoint = Endpoint::of(&sink);
    assert!(manager.hears_within(wait::LONG, "READY=1"));
    assert!(manager.hears_within(wait::LONG, "STATUS=running, "));
    assert!(manager.hears_within(wait::LONG, "WATCHDOG=1"));
    // The pipe fills up.
    let unready = endpoint.until_ready(false);
    assert!(
        unready.contains(": not ready: the stage's thread hangs: it has not moved for "),
        "{unready}"
    );
    assert_eq!(endpoint.get("livez").map(|(status, _)| status), Some(503));
    manager.heard();
    assert!(!manager.hears_within(Duration::from_secs(3), "WATCHDOG=1"));
    assert!(manager.hears_within(wait::LONG, "STATUS=not ready: the stage's thread hangs"));
    // What systemd does then.
    sink.signal(Signal::Kill);
    let mut shown = String::new();
    reader.read_to_string(&mut shown).expect("it prints text");
    assert!(shown.lines().count() > 100, "{shown}");
    drop(sink);
    let mut again = scenario.start("show");
    let stage = scenario.name("celsius");
    source.stop();
    let all = scenario.read("celsius", 1).len();
    let end = format!("all {all} readings of {stage} are shown");
    wait::until_true(&end, || {
        shown.lines().count() + again.out().lines().count() >= all
    });
    again.stop();
}

#[test]
fn systemd_hears_of_the_restore_and_of_the_stop() {
    let pipeline = PipelineBuilder::new()
        .producer("thermometers", STEADY, "celsius")
        .operator("convert", "celsius", CONVERT, "fahrenheit");
    let scenario = Scenario::on("127.0.0.1:9", pipeline);
    let mut manager = ServiceManager::new();
    let mut command = scenario.stage("convert", "a");
    manager.manage(&mut command);
    let mut waiting = Process::start("convert", &mut command);
    // Kafka is away: the start takes as long as it takes, as long as the stage moves.
    assert!(manager.hears_within(wait::LONG, "EXTEND_TIMEOUT_USEC=60000000"));
    assert!(manager.hears_within(wait::LONG, "STATUS=not ready: waiting for Kafka for "));
    assert!(manager.hears_within(wait::LONG, "EXTEND_TIMEOUT_USEC=60000000"));
    assert!(manager.hears_within(wait::LONG, "EXTEND_TIMEOUT_USEC=60000000"));
    waiting.signal(Signal::Terminate);
    assert!(manager.hears_within(wait::LONG, "STOPPING=1"));
    assert!(!manager.heard().contains(&"READY=1".to_owned()));
    assert_eq!(waiting.ends_within(wait::LONG), 0);
}
