//! Where the lags of stages go, as `rivulet groups` says it, also while brokers are away.

use rivulet_tests::chain::{OPERATORS, chained, source};
use rivulet_tests::{Endpoint, Kafka, PipelineBuilder, Process, Scenario, Signal, stop_all, wait};
use serde_json::{Value, json};

/// A producer that never ends, and an operator that commits each record by itself, so that what it
/// has missed takes a while. On a busy machine too it keeps up with this rate.
fn pipeline() -> PipelineBuilder {
    PipelineBuilder::new()
        .settings("[commit]\nrecords = 1\nleast-interval-ms = 10")
        .producer(
            "thermometers",
            "{ simulated = { sensors = 10, readings = 100000, rate = 30 } }",
            "warm",
        )
        .operator("smooth", "warm", "{ ewma = { alpha = 0.5 } }", "smooth")
}

/// The lines that a watch has printed so far, each a document.
fn lines(watch: &Process) -> Vec<Value> {
    let out = watch.out();
    let lines = out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// Waits for a line with this after the first `seen` ones, and returns how many there are then.
fn says(watch: &Process, seen: usize, what: &str, is: impl Fn(&Value) -> bool) -> usize {
    let found = wait::until(wait::LONG, || {
        let lines = lines(watch);
        let found = lines[seen..].iter().position(&is);
        found.map(|index| seen + index + 1)
    });
    found.unwrap_or_else(|| panic!("it should have said that it {what}: {}", watch.report()))
}

#[test]
fn a_lag_grows_while_its_stage_is_away_and_drains_afterwards() {
    let scenario = Scenario::new(pipeline());
    let observed = |stage| Endpoint::start(stage, &mut scenario.stage(stage, "a"), 30);
    let (mut producer, of_producer) = observed("thermometers");
    let (mut smooth, of_smooth) = observed("smooth");
    scenario.grows("smooth", 20);
    let target = |address: &str, stage: &str| {
        let labels = json!({"stage": scenario.name(stage), "node": "rpi0"});
        json!({"targets": [address], "labels": labels})
    };
    let targets = json!([
        target(of_smooth.address(), "smooth"),
        target(of_producer.address(), "thermometers"),
        target(of_producer.address(), "forgotten"),
    ]);
    scenario.write("targets.json", targets.to_string());
    let mut watch = scenario.rivulet(&[
        "groups",
        "--watch",
        "0.2",
        "--json",
        "--targets",
        "targets.json",
    ]);
    // The producer comes first, and has no group.
    let direction = |word| move |line: &Value| line["stages"][1]["direction"] == word;
    let readiness = |line: &Value, stage: usize, word: &str| {
        line["stages"][stage]["processes"][0]["readiness"] == word
    };
    let seen = says(&watch, 0, "is steady", direction("steady"));
    let seen = says(&watch, seen - 1, "is ready", |line| {
        readiness(line, 0, "ready") && readiness(line, 1, "ready")
    });
    let line = &lines(&watch)[seen - 1];
    assert!(line["stages"][0].get("lag").is_none(), "{line}");
    let note = line["notes"][0].as_str().unwrap_or_default();
    assert!(
        note.contains("forgotten") && note.contains("not in the pipeline"),
        "{line}"
    );

    smooth.stop();
    let seen = says(&watch, seen, "is not reachable", |line| {
        readiness(line, 0, "ready") && readiness(line, 1, "not reachable")
    });
    let seen = says(&watch, seen, "grows", direction("grows"));
    let seen = says(&watch, seen, "has a lag of 300", |line| {
        line["stages"][1]["lag"].as_i64() > Some(300)
    });
    let grown = &lines(&watch)[seen - 1]["stages"][1];
    let rate = grown["records_per_second"].as_f64().unwrap_or_default();
    assert!((1.0..200.0).contains(&rate), "{grown}");
    assert_eq!(grown["partitions"][0]["direction"], "grows");
    assert_eq!(
        (&grown["lag_is"], &grown["members"]),
        (&"exact".into(), &Value::Array(vec![]))
    );

    // On a busy machine the stage might not be faster than the producer.
    producer.stop();
    let mut smooth = scenario.start("smooth");
    let seen = says(&watch, seen, "drains", direction("drains"));
    let drains = &lines(&watch)[seen - 1]["stages"][1];
    assert!(drains["drains_in_seconds"].as_f64() > Some(0.0), "{drains}");
    assert_eq!(drains["members"][0]["instance"], "a");
    let seen = says(&watch, seen, "is steady", direction("steady"));
    says(&watch, seen, "has no lag", |line| {
        line["stages"][1]["lag"] == 0
    });

    watch.signal(Signal::Interrupt);
    watch.succeeds();
    smooth.stop();
}

#[test]
fn groups_waits_for_an_unreachable_cluster() {
    let mut kafka = Kafka::start(&[]);
    let pipeline =
        PipelineBuilder::new().producer("thermometer", &source(), "temperatures_celsius");
    let scenario = Scenario::on(kafka.brokers(), chained(pipeline));
    scenario.create_topics();
    scenario.start("thermometer").succeeds();
    let mut running: Vec<Process> = OPERATORS
        .iter()
        .map(|stage| {
            let options = [&scenario.name(stage), "--instance", "a", "--log", "json"];
            scenario.program("rivulet-operator", &options)
        })
        .collect();
    scenario.rivulet(&["groups", "--wait", "60"]).succeeds();
    let json = scenario.rivulet(&["groups", "--watch", "--json"]);
    let mut table = scenario.rivulet(&["groups", "--watch", "--partitions"]);
    let has_lag_0 = |line: &Value| line["stages"][0]["lag"] == 0;
    let seen = says(&json, 0, "sees a group", has_lag_0);
    table.says(&["stage", "committed", "direction"]);

    kafka.kill();
    let error = scenario.rivulet(&["groups"]).fails();
    assert!(
        error.contains(scenario.brokers()) && error.contains("is Kafka running there?"),
        "{error}"
    );
    table.says(&["is Kafka running there?", "watching goes on"]);
    let seen = says(&json, seen, "cannot reach the brokers", |line| {
        let error = line["error"].as_str().unwrap_or_default();
        error.contains(scenario.brokers()) && line["stages"][0].get("lag").is_none()
    });
    let stages = OPERATORS.map(|stage| scenario.name(stage)).join(",");
    let mut waiting = scenario.rivulet(&["groups", "--wait", "120", "--stages", &stages]);
    assert!(waiting.is_running());
    kafka.run();
    assert_eq!(waiting.ends_within(2 * wait::LONG), 0, "{}", waiting.err());
    says(&json, seen, "sees the group again", has_lag_0);
    for mut watch in [json, table] {
        let said = watch.err().matches("watching goes on").count();
        assert!(said <= 1, "{}", watch.err());
        watch.signal(Signal::Terminate);
        assert_eq!(watch.ends_within(wait::LONG), 0);
    }
    stop_all(&mut running);
    for (stage, process) in OPERATORS.iter().zip(&running) {
        log_is_json(process, &scenario.name(stage));
    }
}

/// Every line that a stage has logged is an object that names it, also those of Kafka's threads.
fn log_is_json(process: &Process, stage: &str) {
    let log = process.err();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        let named = (&line["stage"], &line["instance"]);
        assert_eq!(named, (&stage.into(), &"a".into()), "{line}");
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
    let says = |word: &str| {
        let mut messages = lines.iter().filter_map(|line| line["message"].as_str());
        messages.any(|message| message.contains(word))
    };
    assert!(
        says("stage started") && says("brokers unreachable") && says("stage stopped"),
        "{log}"
    );
    assert!(
        lines.last().is_some_and(|line| line["read"].is_u64()),
        "{log}"
    );
}
