//! Avro at both ends, by plain clients: with a schema registry, and as files.

use std::fs::File;
use std::process::{Command, Stdio};

use rivulet_tests::chain::{assert_close, smoothed};
use rivulet_tests::records::Record;
use rivulet_tests::{
    Answer, Endpoint, Kafka, PipelineBuilder, Process, Scenario, SchemaRegistry, Signal, programs,
    wait,
};
use serde_json::{Value, json};

/// What a network of sensors sends.
const SENSOR: &str = r#"{"type":"record","name":"sensor","namespace":"lab","fields":[
    {"name":"timestamp","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"id","type":"string"},
    {"name":"value","type":"double"}]}"#;
/// Where the parts of a reading are.
const MAPPING: &str = r#"sensor = "id", time = { field = "timestamp" }, value = "value""#;
const ROUNDS: usize = 3;
const BATCH: usize = 150;

/// The value of a sensor's reading.
fn value(n: usize) -> f64 {
    15.0 + (n % 40) as f64 / 4.0
}

/// A chain of two stages whose topics all have this format.
fn chain(format: &str) -> Scenario {
    let format = format!("partitions = 2\nformat = {format}");
    let pipeline = PipelineBuilder::new()
        .topic("sensors", &format!("external = true\n{format}"))
        .topic("warm", &format)
        .topic("smooth", &format)
        .operator("above", "sensors", "{ threshold = { above = 17 } }", "warm")
        .operator(
            "smoothing",
            "warm",
            "{ ewma = { alpha = 0.5, emit-seed = true } }",
            "smooth",
        );
    let scenario = Scenario::on(Kafka::shared(), pipeline);
    scenario.write("sensor.avsc", SENSOR);
    scenario.create_topics();
    scenario
}

/// A plain client: `produce` or `consume`, and a kind.
fn client(scenario: &Scenario, act: [&str; 2], topic: &str, registry: Option<&str>) -> Command {
    let mut command = Command::new(programs::target().join("clients/bin/python3"));
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/registry/client.py"))
        .args(act)
        .args([scenario.brokers(), &scenario.name(topic)])
        .arg(scenario.path("sensor.avsc"))
        .args(registry);
    command
}

/// Kills both stages while readings flow, verifies, and compares what a plain client reads.
fn survives_kills(scenario: &Scenario, kind: &str, registry: Option<&str>) {
    scenario.survives_kills(&["above", "smoothing"], "smooth", ROUNDS, |round| {
        let numbers = round * BATCH..(round + 1) * BATCH;
        let lines: Vec<String> = numbers
            .flat_map(|n| (0..3).map(move |sensor| (n, format!("sensor{sensor}"))))
            .map(|(n, id)| {
                let record = json!({ "id": id, "timestamp": 1000 * n, "value": value(n) });
                format!("{id} {record}\n")
            })
            .collect();
        scenario.write("lines", lines.concat());
        let mut produce = client(scenario, ["produce", kind], "sensors", registry);
        let lines = File::open(scenario.path("lines")).expect("it was just written");
        Process::start("the producer", produce.stdin(lines)).succeeds();
    });

    let mut consume = client(scenario, ["consume", kind], "smooth", registry);
    let mut consumer = Process::start("the consumer", consume.stdin(Stdio::null()));
    consumer.succeeds();
    let found: Vec<Value> = consumer
        .out()
        .lines()
        .map(|line| serde_json::from_str(line).expect("a record"))
        .filter(|record: &Value| record["id"] == "sensor1")
        .collect();
    let warm = || (0..ROUNDS * BATCH).filter(|n| value(*n) > 17.0);
    let times: Vec<u64> = found
        .iter()
        .filter_map(|record| record["timestamp"].as_u64())
        .collect();
    assert_eq!(times, warm().map(|n| 1000 * n as u64).collect::<Vec<_>>());
    let values = found.iter().filter_map(|record| record["value"].as_f64());
    assert_close(&values.collect::<Vec<_>>(), &smoothed(warm().map(value)));
}

#[test]
fn avro_of_a_registry_survives_kills_and_verifies() {
    let registry = SchemaRegistry::start();
    let url = registry.url();
    let format = format!(
        "{{ avro = {{ registry = \"{url}\", schema-file = \"sensor.avsc\", \
         subject-name-strategy = \"record\", {MAPPING} }} }}"
    );
    // Apicurio refuses the first registration of a subject to all programs but one.
    let _ = registry.register("lab.sensor", SENSOR);
    let scenario = chain(&format);
    survives_kills(&scenario, "registry", Some(&url));
}

#[test]
fn avro_files_survive_kills_and_verify() {
    let format = format!("{{ avro-file = {{ schema-file = \"sensor.avsc\", {MAPPING} }} }}");
    survives_kills(&chain(&format), "file", None);
}

/// A stage between two topics of a registry with these settings.
fn failing(registry: &SchemaRegistry, settings: &str, files: &[(&str, &str)]) -> Scenario {
    let url = registry.url();
    let table = format!("registry = {{ url = \"{url}\" {settings} }}, {MAPPING}");
    let topic = format!("external = true\nformat = {{ avro = {{ {table} }} }}");
    let written = format!("schema-file = \"sensor.avsc\", subject = \"written\", {table}");
    let pipeline = PipelineBuilder::new()
        .topic("sensors", &topic)
        .topic("warm", &format!("format = {{ avro = {{ {written} }} }}"))
        .operator(
            "above",
            "sensors",
            "{ ewma = { alpha = 0.5, emit-seed = true } }",
            "warm",
        );
    let scenario = Scenario::on(Kafka::shared(), pipeline);
    scenario.write("sensor.avsc", SENSOR);
    for (name, content) in files {
        scenario.write(name, content);
    }
    scenario.create_topics();
    scenario
}

/// Sends readings with these values by a plain client.
fn send(scenario: &Scenario, registry: &SchemaRegistry, values: &[f64]) {
    let lines = values.iter().map(|value| {
        let record = json!({ "id": "s", "timestamp": 0, "value": value });
        format!("s {record}\n")
    });
    scenario.write("lines", lines.collect::<String>());
    let url = registry.url();
    let mut produce = client(scenario, ["produce", "registry"], "sensors", Some(&url));
    let lines = File::open(scenario.path("lines")).expect("it was just written");
    Process::start("the producer", produce.stdin(lines)).succeeds();
}

#[test]
fn a_registry_that_fails_is_waited_for() {
    let registry = SchemaRegistry::start();
    let scenario = failing(&registry, "", &[]);
    send(&scenario, &registry, &[1.0, 2.0]);
    for (answer, says) in [
        (
            Answer::Nothing,
            &["schema registry", "is the registry up"][..],
        ),
        (Answer::Status(401), &["401 Unauthorized", "`api-key-file`"]),
        (Answer::Status(404), &["404 Not Found", "/apis/ccompat/v7"]),
        (
            Answer::Status(415),
            &["415", "content-type = \"application/json\""],
        ),
        (Answer::Status(500), &["500", "log of the registry"]),
    ] {
        registry.answers(answer);
        let mut stage = scenario.start("above");
        stage.says(says);
        // Nothing is lost: the next start processes it.
        stage.signal(Signal::Terminate);
        stage.fails_with(75);
    }
    registry.answers(Answer::Registry);
    let mut command = scenario.stage("above", "a");
    let (mut stage, endpoint) = Endpoint::start("above", &mut command, 1);
    // What is known is known while it is away. A new schema is waited for, and is no dead letter.
    wait::until_true("the first readings arrive", || scenario.written("warm") > 2);
    let known = record(1, 3.0);
    let newer = SENSOR.replace("\"double\"", "\"float\"");
    let id = registry.register("newer", &newer);
    let unknown = [0, 0, 0, 0, 99, 1].to_vec();
    let mut float = [0, 0, 0, 0, id, 0, 2, b's'].to_vec();
    float.extend_from_slice(&4.0_f32.to_le_bytes());
    registry.answers(Answer::Nothing);
    let before = scenario.written("warm");
    produce(&scenario, &[known]);
    wait::until_true("a known schema is read", || {
        scenario.written("warm") > before
    });
    registry.answers(Answer::Status(500));
    let asked = registry.asked().len();
    produce(&scenario, &[float, unknown]);
    wait::until_true("it asks again", || registry.asked().len() > asked + 4);
    let unready = endpoint.until_ready(false);
    assert!(
        unready.contains("no commit for ") && unready.contains("schema registry"),
        "{unready}"
    );
    for line in ["transaction aborted, retrying", "sensors=1"] {
        assert_eq!(stage.err().matches(line).count(), 1, "{}", stage.err());
    }
    assert!(stage.err().contains(&format!("schema {id}")));
    registry.answers(Answer::Registry);
    stage.says(&["dead letter 1", "unknown-schema", "no schema 99"]);
    stage.stop();
    scenario.verify();
    let values = scenario.read("warm", 4);
    assert_eq!(values.len(), 4);
}

#[test]
fn a_source_asks_again_and_logs_it_once() {
    let registry = SchemaRegistry::start();
    let format = format!(
        "{{ avro = {{ registry = \"{}\", schema-file = \"sensor.avsc\", {MAPPING} }} }}",
        registry.url()
    );
    let pipeline = PipelineBuilder::new()
        .topic("sensors", &format!("format = {format}"))
        .producer("list", "{ list = { values = [1, 2, 3] } }", "sensors");
    let scenario = Scenario::on(Kafka::shared(), pipeline);
    scenario.write("sensor.avsc", SENSOR);
    scenario.create_topics();
    registry.answers(Answer::Status(500));
    let mut list = scenario.start("list");
    wait::until_true("it asks again", || registry.asked().len() > 4);
    let warnings = list.err().matches("claiming the source again").count();
    assert_eq!(warnings, 1, "{}", list.err());
    registry.answers(Answer::Registry);
    list.succeeds();
    assert_eq!(scenario.read("sensors", 3).len(), 3);
}

#[test]
fn a_registry_is_asked_with_credentials_over_tls() {
    let registry = SchemaRegistry::start();
    let settings = ", user = \"chain\", password-file = \"password\"";
    let scenario = failing(&registry, settings, &[("password", "secret\n")]);
    registry.answers(Answer::Status(401));
    let mut stage = scenario.start("above");
    stage.says(&["401 Unauthorized"]);
    let last = || registry.asked().pop().unwrap_or_default().to_lowercase();
    let asked = last();
    // chain:secret
    assert!(
        asked.contains("authorization: basic y2hhaw46c2vjcmv0"),
        "{asked}"
    );
    assert!(!stage.err().contains("secret"), "{}", stage.err());
    stage.kill();

    let scenario = failing(
        &registry,
        ", api-key-file = \"key\"",
        &[("key", "Bearer 7\n")],
    );
    let mut stage = scenario.start("above");
    stage.says(&["401 Unauthorized"]);
    let asked = last();
    assert!(asked.contains("authorization: bearer 7"), "{asked}");
    stage.kill();

    let folder = tempfile::tempdir().expect("a folder is made");
    let registry = SchemaRegistry::with_tls(folder.path());
    let id = registry.register("sensors-value", SENSOR);
    let scenario = failing(&registry, "", &[]);
    produce(&scenario, &[record(id, 1.0)]);
    let mut stage = scenario.start("above");
    stage.says(&["certificate verify failed"]);
    stage.kill();
    let ca = std::fs::read_to_string(folder.path().join("ca.pem")).expect("it was made");
    for (settings, says) in [
        (", ca-file = \"ca.pem\"", None),
        (
            ", tls-verify = false",
            Some("is not checked (tls-verify = false)"),
        ),
    ] {
        let scenario = failing(&registry, settings, &[("ca.pem", &ca)]);
        produce(&scenario, &[record(id, 1.0)]);
        let mut stage = scenario.start("above");
        wait::until_true("the reading arrives", || scenario.written("warm") > 0);
        assert_eq!(stage.err().contains("is not checked"), says.is_some());
        stage.stop();
        scenario.verify();
    }
}

/// A record with the schema of this id.
fn record(id: u8, value: f64) -> Vec<u8> {
    // The time is 0, and the name has one byte.
    let mut record = vec![0, 0, 0, 0, id, 0, 2, b's'];
    record.extend_from_slice(&value.to_le_bytes());
    record
}

fn produce(scenario: &Scenario, values: &[Vec<u8>]) {
    let records = values
        .iter()
        .map(|value| Record::of(value.clone()).key("s"));
    let records: Vec<Record> = records.collect();
    rivulet_tests::records::produce(scenario.brokers(), &scenario.name("sensors"), &records);
}

#[test]
fn a_schema_that_the_registry_refuses_is_waited_for() {
    let registry = SchemaRegistry::start();
    let scenario = failing(&registry, "", &[]);
    let _ = registry.register("written", &SENSOR.replace("\"double\"", "\"string\""));
    let backward = r#"{"compatibility":"BACKWARD"}"#;
    let set = registry.request("PUT", "/config/written", backward);
    assert!(set.contains("BACKWARD"), "{set}");
    send(&scenario, &registry, &[1.0]);
    let mut stage = scenario.start("above");
    stage.says(&["409 Conflict", "the subject's compatibility"]);
    let set = registry.request("PUT", "/config/written", r#"{"compatibility":"NONE"}"#);
    assert!(set.contains("NONE"), "{set}");
    wait::until_true("the reading arrives", || scenario.written("warm") > 0);
    stage.stop();
    scenario.verify();
}
