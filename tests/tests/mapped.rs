//! Messages of other programs at both ends, by a mapping.

use std::time::Duration;

use rivulet_tests::chain::{assert_close, smoothed};
use rivulet_tests::{PipelineBuilder, Scenario};
use serde_json::Value;

use crate::kcat::{kcat_produces, kcat_reads};

/// What a weather station sends, and what the chain writes.
const STATION: &str = r#"
format.json.sensor = "/device/id"
format.json.seq = "n"
format.json.time = "/ts"
format.json.time-format = "rfc3339"
format.json.values = { temperature = "/bme280/t", humidity = "/bme280/h" }
format.json.units = { temperature = "celsius", humidity = "%" }
format.json.when = { field = "type", is = "reading" }
format.json.missing = "skip"
"#;
const ROUNDS: usize = 3;
const BATCH: usize = 150;

/// A message of a station, with a key. The numbers are text; humidity is missing in some.
fn message(station: usize, n: usize) -> String {
    let degrees = 15.0 + (n % 40) as f64 / 4.0;
    let humidity = if n.is_multiple_of(7) {
        String::new()
    } else {
        format!("{}.5", 30 + n % 50)
    };
    let (minute, second) = (n / 60, n % 60);
    let message = serde_json::json!({
        "device": { "id": format!("bme-{station}") },
        "n": n.to_string(),
        "type": "reading",
        "ts": format!("2026-11-29T12:{minute:02}:{second:02}.250Z"),
        "bme280": { "t": format!("{degrees:.2}"), "h": humidity },
    });
    format!("bme-{station}\t{message}")
}

#[test]
fn mapped_messages_survive_kills_and_verify() {
    let topic = format!("external = true\npartitions = 2\n{STATION}");
    let pipeline = PipelineBuilder::new()
        .topic("greenhouse", &topic)
        .topic("warm", &format!("partitions = 2\n{STATION}"))
        .topic("smooth", &format!("partitions = 2\n{STATION}"))
        .operator(
            "above",
            "greenhouse",
            "{ threshold = { above = 17 } }",
            "warm",
        )
        .operator(
            "smoothing",
            "warm",
            "{ ewma = { alpha = 0.5, emit-seed = true } }",
            "smooth",
        );
    let scenario = Scenario::new(pipeline);
    scenario.survives_kills(&["above", "smoothing"], "smooth", ROUNDS, |round| {
        let numbers = round * BATCH..(round + 1) * BATCH;
        let mut lines: Vec<String> = numbers
            .flat_map(|n| (0..3).map(move |station| message(station, n)))
            .collect();
        // One that does not concern the chain, and one that is no JSON.
        lines.insert(7, "bme-0\t{\"type\":\"status\"}".to_owned());
        lines.insert(9, "bme-0\t{\"type\":".to_owned());
        kcat_produces(&scenario, "greenhouse", &lines);
    });

    let written = kcat_reads(&scenario, "smooth");
    let found: Vec<f64> = written
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("an object"))
        .filter(|message| message["device"]["id"] == "bme-1")
        .filter_map(|message| message["bme280"]["t"].as_f64())
        .collect();
    let warm = (0..ROUNDS * BATCH)
        .map(|n| 15.0 + (n % 40) as f64 / 4.0)
        .filter(|t| *t > 17.0);
    assert_close(&found, &smoothed(warm));
    let mut ls = scenario.rivulet(&["dlq", "ls"]);
    ls.succeeds();
    ls.says(&["above", "not-json", &ROUNDS.to_string()]);
}

#[test]
fn the_mapping_of_a_topic_is_guessed_and_tried() {
    let scenario = Scenario::new(
        PipelineBuilder::new()
            .topic("greenhouse", &format!("external = true\n{STATION}"))
            .sink("show", "greenhouse", "\"console\""),
    );
    let lines: Vec<String> = (1..6).map(|n| message(0, n)).collect();
    kcat_produces(&scenario, "greenhouse", &lines);
    let topic = scenario.name("greenhouse");
    let mut tried = scenario.rivulet(&["formats", "try", &topic, "--records", "3"]);
    assert_eq!(tried.ends_within(Duration::from_mins(1)), 0);
    tried.says(&["\"bme-0/temperature\" number 1 at 2026-11-29T12:00:01.25Z: 15.25 celsius"]);
    tried.says(&["3 records: 3 with 6 readings, 0 skipped, 0 dead letters"]);
    let mut guessed = scenario.rivulet(&["formats", "guess", &topic]);
    assert_eq!(guessed.ends_within(Duration::from_mins(1)), 0);
    guessed.says(&[
        "sensor = \"/device/id\"",
        "values.t = \"/bme280/t\"",
        "5 with 15 readings",
    ]);
}
