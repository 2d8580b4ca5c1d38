//! The means of experiments that several sensors measure together.

use rivulet_tests::chain::EXPERIMENT;
use rivulet_tests::records::{self, Record};
use rivulet_tests::{PipelineBuilder, Scenario, wait};
use serde_json::{Value, json};

const EXPERIMENTS: [&str; 2] = [
    "2b93c1de-79a4-4f1c-9a5e-0d6a43b7a001",
    "77aa0f35-3b1f-4bd0-8f5c-1c2f2f6be002",
];
const SENSORS: usize = 3;
const MEASUREMENTS: usize = 40;
/// The measurement of which one sensor's reading is sent before the stages are killed.
const SPLIT: usize = 25;
/// The time of the first measurement, in seconds since the epoch.
const START: f64 = 1_696_686_798.25;

/// A record with an Avro object container file that holds one datum of these fields.
fn record(name: &str, schema_name: &str, fields: &[(&str, &str, Vec<u8>)]) -> Record {
    let types = fields
        .iter()
        .map(|(name, kind, _)| json!({ "name": name, "type": kind }));
    let schema = json!({
        "type": "record",
        "name": schema_name,
        "fields": types.collect::<Vec<_>>(),
    });
    let datum: Vec<u8> = fields
        .iter()
        .flat_map(|(_, _, bytes)| bytes)
        .copied()
        .collect();
    let sync = [7; 16];
    let mut file = b"Obj\x01".to_vec();
    // A map of one entry, and its end.
    file.extend(long(1));
    file.extend(text("avro.schema"));
    file.extend(text(&schema.to_string()));
    file.extend(long(0));
    file.extend(sync);
    // A block of one datum.
    file.extend(long(1));
    file.extend(long(datum.len()));
    file.extend(datum);
    file.extend(sync);
    Record::of(file).with_header("record_name", name)
}

fn long(number: usize) -> Vec<u8> {
    let mut rest = number * 2;
    let mut bytes = Vec::new();
    while rest > 127 {
        bytes.push(u8::try_from(rest % 128 + 128).expect("it is below 256"));
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).expect("it is below 128"));
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [long(text.len()), text.as_bytes().to_vec()].concat()
}

/// An event in the life cycle of an experiment.
fn event(name: &str, schema_name: &str, experiment: &str) -> Record {
    let fields = [
        ("experiment", "string", text(experiment)),
        ("timestamp", "double", START.to_le_bytes().to_vec()),
    ];
    record(name, schema_name, &fields).key(experiment)
}

/// What a sensor of the experiment at `index` measures.
fn measured(index: usize, measurement: usize, sensor: usize) -> Record {
    let experiment = EXPERIMENTS[index];
    let time = START + measurement as f64;
    let degrees = (100 * index + measurement) as f32 + sensor as f32 / 2.0;
    let fields = [
        ("experiment", "string", text(experiment)),
        ("sensor", "string", text(&format!("sensor-{sensor}"))),
        ("measurement_id", "string", text(&measurement.to_string())),
        ("timestamp", "double", time.to_le_bytes().to_vec()),
        ("temperature", "float", degrees.to_le_bytes().to_vec()),
        ("measurement_hash", "string", text("unknown")),
    ];
    let name = "sensor_temperature_measured";
    record(name, name, &fields).key(experiment)
}

/// The readings of these places in the order of the measurements: `SENSORS` for each.
fn readings(places: std::ops::Range<usize>) -> Vec<Record> {
    places
        .flat_map(|place| [0, 1].map(|index| measured(index, place / SENSORS, place % SENSORS)))
        .collect()
}

/// The time and the mean of each of the first measurements of an experiment.
fn means(index: usize, count: usize) -> Vec<(i64, f64)> {
    let first = 1_696_686_798_250;
    let mean = |measurement: usize| (100 * index + measurement) as f64 + 0.5;
    (0_i64..)
        .zip(0..count)
        .map(|(seconds, measurement)| (first + 1000 * seconds, mean(measurement)))
        .collect()
}

/// The time and the value of each reading of an experiment in a topic.
fn found(scenario: &Scenario, topic: &str, index: usize, at_least: usize) -> Vec<(i64, f64)> {
    let records = scenario.read(topic, at_least);
    let values = records.iter().map(|record| {
        let value = record.value.as_deref().unwrap_or_default();
        serde_json::from_slice::<Value>(value).expect("it is JSON")
    });
    values
        .filter(|reading| reading["sensor"] == EXPERIMENTS[index])
        .map(|reading| {
            let time = reading["time"].as_i64().expect("a time");
            (time, reading["value"].as_f64().expect("a value"))
        })
        .collect()
}

#[test]
fn means_of_experiments_survive_a_kill_in_a_measurement() {
    let pipeline = PipelineBuilder::new()
        .settings("[defaults]\npartitions = 2")
        .topic(
            "experiment",
            &format!("external = true\npartitions = 2\n{EXPERIMENT}"),
        )
        .operator(
            "counted",
            "experiment",
            "{ mean-of = { sensors = 3 } }",
            "means",
        )
        .operator("timed", "experiment", "\"mean-of\"", "earlier_means");
    let scenario = Scenario::new(pipeline);
    let produce = |records: &[Record]| {
        records::produce(scenario.brokers(), &scenario.name("experiment"), records);
    };
    let stages = ["counted", "timed"];
    let has_read_all = |stage: &str| {
        wait::until_true(&format!("{stage} has read everything"), || {
            scenario.committed(stage, "experiment") == scenario.written("experiment")
        });
    };

    let started = EXPERIMENTS
        .map(|experiment| event("stabilization_started", "stabilization_started", experiment));
    produce(&started);
    produce(&readings(0..SPLIT * SENSORS + 1));
    for stage in stages {
        let mut process = scenario.start(stage);
        has_read_all(stage);
        process.kill();
    }
    assert_eq!(found(&scenario, "means", 0, 2 * SPLIT), means(0, SPLIT));

    let mut running = stages.map(|stage| scenario.start(stage));
    let last = readings(SPLIT * SENSORS + 1..MEASUREMENTS * SENSORS);
    let (before, after) = last.split_at(last.len() / 2);
    produce(before);
    produce(&EXPERIMENTS.map(|name| event("experiment_started", "experiment_started", name)));
    produce(after);
    // As it is in the wild: a schema of another name.
    produce(&EXPERIMENTS.map(|name| event("experiment_terminated", "experiment_started", name)));
    for (stage, process) in stages.iter().zip(&mut running) {
        has_read_all(stage);
        process.stop();
        assert!(process.err().contains("skipped=4"), "{}", process.report());
    }
    for index in [0, 1] {
        let all = found(&scenario, "means", index, 2 * MEASUREMENTS);
        assert_eq!(all, means(index, MEASUREMENTS));
        // The last measurement waits for a next one.
        let earlier = 2 * (MEASUREMENTS - 1);
        let all = found(&scenario, "earlier_means", index, earlier);
        assert_eq!(all, means(index, MEASUREMENTS - 1));
    }
    scenario.verify();
}
