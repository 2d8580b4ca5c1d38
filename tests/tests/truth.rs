//! `rivulet truth`: the ground truth log of an experiment against topics.

use std::fmt::Display;

use rivulet_tests::records::{self, Record};
use rivulet_tests::{Kafka, PipelineBuilder, Process, Scenario};
use serde_json::Value;

const TEXT: &str = "experiment sensor measurement_id";

/// A scenario with the log of an experiment: two sensors, one measurement in each stage.
fn scenario() -> Scenario {
    let scenario = Scenario::on(Kafka::shared(), PipelineBuilder::new());
    let average = |id: &str, average: f32| {
        let sensor = |name: &str, value: f32| {
            line(
                id,
                format_args!(r#"{{"sensor":"{name}","temperature":{value}}}"#),
            )
        };
        let fields = format!(r#"{{"avg_temperature":{average}}}"#);
        line(id, fields) + &sensor("s1", average - 0.5) + &sensor("s2", average + 0.5)
    };
    let event = |id: &str, event: &str| line(id, format_args!(r#"{{"range_event":"{event}"}}"#));
    let stage = |name: &str| line("", format_args!(r#"{{"stage":"{name}"}}"#));
    let log = [
        stage("configuration"),
        stage("stabilization"),
        average("m1", 26.0),
        event("m1", "Stabilized"),
        stage("carry out"),
        average("m2", 27.5),
        event("m2", "OutOfRange"),
        stage("terminated"),
    ];
    scenario.write("truth.log", log.concat());
    scenario
}

fn line(measurement: &str, fields: impl Display) -> String {
    let measurement = match measurement {
        "" => String::new(),
        id => format!(r#",{{"measurement_id":"{id}","name":"measurement"}}"#),
    };
    let experiment = r#"{"experiment_id":"e1","name":"experiment"}"#;
    let spans = format!("{experiment}{measurement}");
    let time = "2026-11-29T12:00:00+02:00";
    format!(r#"{{"timestamp":"{time}","fields":{fields},"spans":[{spans}]}}"#) + "\n"
}

/// A message whose datum has these texts, then doubles and floats as they are.
fn message(record_name: &str, fields: &[(&str, &str)], texts: &[&str], rest: &[u8]) -> Record {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, of)| format!(r#"{{"name":"{name}","type":{of}}}"#))
        .collect();
    let schema = format!(
        r#"{{"type":"record","name":"event","fields":[{}]}}"#,
        fields.join(",")
    );
    let mut datum = Vec::new();
    for text in texts {
        push(&mut datum, text.as_bytes());
    }
    datum.extend_from_slice(rest);
    let mut file = b"Obj\x01\x02".to_vec();
    push(&mut file, b"avro.schema");
    push(&mut file, schema.as_bytes());
    file.extend_from_slice(&[&[0][..], &[7; 16], b"\x02"].concat());
    push(&mut file, &datum);
    file.extend_from_slice(&[7; 16]);
    Record::of(file)
        .key("e1")
        .with_header("record_name", record_name)
}

/// Appends bytes with their length, as Avro writes it.
fn push(to: &mut Vec<u8>, bytes: &[u8]) {
    let mut length = 2 * bytes.len();
    while length > 0x7f {
        to.push(0x80 | u8::try_from(length & 0x7f).expect("it has seven bits"));
        length >>= 7;
    }
    to.push(u8::try_from(length).expect("it has seven bits"));
    to.extend_from_slice(bytes);
}

fn configured() -> Record {
    let range = r#"{"type":"record","name":"range","fields":[
        {"name":"upper_threshold","type":"float"},{"name":"lower_threshold","type":"float"}]}"#;
    let sensors = r#"{"type":"array","items":"string"}"#;
    let fields = [
        ("experiment", "\"string\""),
        ("sensors", sensors),
        ("temperature_range", range),
    ];
    let rest = [
        &b"\x04\x04s1\x04s2\x00"[..],
        &26.5_f32.to_le_bytes(),
        &25.5_f32.to_le_bytes(),
    ];
    message("experiment_configured", &fields, &["e1"], &rest.concat())
}

fn started(record_name: &str) -> Record {
    let fields = [("experiment", "\"string\""), ("timestamp", "\"double\"")];
    message(record_name, &fields, &["e1"], &1.5_f64.to_le_bytes())
}

fn measured(measurement: &str, sensor: &str, value: f32) -> Record {
    let texts = TEXT.split(' ').map(|name| (name, "\"string\""));
    let rest = [
        ("measurement_hash", "\"string\""),
        ("timestamp", "\"double\""),
        ("temperature", "\"float\""),
    ];
    let fields: Vec<_> = texts.chain(rest).collect();
    let rest = [&1.5_f64.to_le_bytes()[..], &value.to_le_bytes()].concat();
    let texts = ["e1", sensor, measurement, "hash"];
    message("sensor_temperature_measured", &fields, &texts, &rest)
}

/// The messages of the experiment.
fn messages() -> Vec<Record> {
    vec![
        configured(),
        started("stabilization_started"),
        measured("m1", "s1", 25.5),
        measured("m1", "s2", 26.5),
        started("experiment_started"),
        measured("m2", "s1", 27.0),
        measured("m2", "s2", 28.0),
        started("experiment_terminated"),
    ]
}

fn verdict(process: &Process) -> String {
    process.out().lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_topic_is_compared_with_the_log() {
    let scenario = scenario();
    let topic = scenario.name("experiment");
    records::create_topic(scenario.brokers(), &topic, 3);
    records::produce(scenario.brokers(), &topic, &messages());
    let arguments = ["truth", "truth.log", "--compare", &topic];
    let mut clean = scenario.tool(&arguments);
    clean.succeeds();
    let with = format!("compared 2 measurements of 1 experiment with the topic {topic}: ");
    assert_eq!(verdict(&clean), format!("{with}no difference"));
    clean.says(&["e1          2             2                0      0        1 of 1      1 of 1"]);

    let more = [measured("m1", "s2", 26.5), Record::of("{}").key("e1")];
    records::produce(scenario.brokers(), &topic, &more);
    let mut differs = scenario.tool(&arguments);
    let error = differs.fails_with(1);
    assert!(error.contains("differs from the ground truth"), "{error}");
    differs.says(&[
        "doubled: experiment e1, measurement m1, sensor s2, partition ",
        " offset 8: its message is there twice",
        " offset 9: it has no header record_name",
    ]);
    let expected = format!("{with}2 differences (1 doubled, 1 undecodable)");
    assert_eq!(verdict(&differs), expected);

    let error = scenario
        .tool(&["truth", "truth.log", "--compare", "nowhere"])
        .fails_with(66);
    assert!(
        error.contains("reading nowhere: there is no such topic"),
        "{error}"
    );
}

#[test]
fn results_in_a_topic_are_compared_with_the_log() {
    let scenario = scenario();
    let topic = scenario.name("results");
    records::create_topic(scenario.brokers(), &topic, 1);
    let result = |text: &str| Record::of(text);
    let results = [
        result(r#"{"id":"m1","mean":26.001}"#),
        result(r#"{"id":"m2","mean":27.5}"#),
    ];
    records::produce(scenario.brokers(), &topic, &results);
    let fields = ["--field", "measurement=id", "--field", "average=/mean"];
    let topic = ["truth", "truth.log", "--results-topic", &topic];
    scenario.tool(&[&topic[..], &fields].concat()).succeeds();

    let require = ["--require", "averages,events", "--json"];
    let mut lacking = scenario.tool(&[&topic[..], &fields, &require].concat());
    lacking.fails_with(1);
    let report: Value = serde_json::from_str(&lacking.out()).expect("it is JSON");
    assert_eq!(report["counts"]["missing"], 2);
    assert_eq!(report["experiments"][0]["averages"]["right"], 2);
    assert_eq!(report["differences"][0]["measurement"], "m1");
}
