//! Experiments: the load that a course's consumers get, and the truth about it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rivulet_tests::chain::EXPERIMENT;
use rivulet_tests::records::{self, Record};
use rivulet_tests::{Kafka, PipelineBuilder, Process, Scenario, programs, wait};
use serde_json::{Value, json};

const KEY: &str = "0123456789abcdefghijklmnopqrstuv";

/// The files of the ground truth log in the scenario's folder.
fn logs(scenario: &Scenario) -> Vec<PathBuf> {
    let files = fs::read_dir(scenario.path("")).expect("the folder is there");
    let files = files.map(|file| file.expect("it is a file").path());
    let mut logs: Vec<PathBuf> = files
        .filter(|path| path.to_string_lossy().contains("producer.json.log."))
        .collect();
    logs.sort();
    logs
}

/// Runs `rivulet truth` on the scenario's log.
fn truth(scenario: &Scenario, arguments: &[&str]) -> Process {
    let logs = logs(scenario);
    let logs = logs.iter().map(|log| log.to_str().expect("it is text"));
    let arguments: Vec<&str> = ["truth"]
        .into_iter()
        .chain(logs)
        .chain(arguments.iter().copied())
        .collect();
    scenario.tool(&arguments)
}

/// The load of some experiments, as a file in the scenario's folder.
fn load(scenario: &Scenario, experiments: &[Value]) {
    scenario.write("load.json", json!(experiments).to_string());
    scenario.write("secret-key", KEY);
}

#[test]
fn an_experiment_that_is_killed_is_what_its_log_says() {
    let source = "{ experiment = { secret-key-file = \"secret-key\", config-file = \"load.json\", \
                  truth-log = \"producer.json.log\" } }";
    let pipeline = PipelineBuilder::new()
        .topic("events", &format!("partitions = 3\n{EXPERIMENT}"))
        .topic("means", "partitions = 3")
        .producer("measuring", source, "events")
        .operator(
            "means-of",
            "events",
            "{ mean-of = { sensors = 3 } }",
            "means",
        );
    let scenario = Scenario::new(pipeline);
    let one = json!({
        "start_time": 0, "researcher": "ada", "num_sensors": 3, "sample_rate": 25,
        "stabilization_samples": 10, "carry_out_samples": 150, "start_temperature": 10,
    });
    let mut other = one.clone();
    other["start_time"] = json!(1);
    load(&scenario, &[one, other]);
    scenario.create_topics();
    let operator = scenario.start("means-of");
    for _ in 0..2 {
        let mut producer = scenario.start("measuring");
        scenario.grows("events", 90);
        producer.kill();
    }
    let mut producer = scenario.start("measuring");
    assert_eq!(producer.ends_within(Duration::from_mins(1)), 0);
    let events = scenario.read("events", 2 * (160 * 3 + 4));
    assert_eq!(events.len(), 2 * (160 * 3 + 4));
    assert_eq!(scenario.read("means", 2 * 160).len(), 2 * 160);
    drop(operator);
    scenario.verify();
    truth(&scenario, &["--compare", &scenario.name("events")]).succeeds();

    let mut shown = truth(&scenario, &[]);
    shown.succeeds();
    let stages = shown.out().matches("\"new_stage\"").count();
    assert_eq!(stages, 2 * 4, "{}", shown.out());

    // What nobody has measured.
    let again = events
        .iter()
        .rfind(|event| event.header("record_name") == "sensor_temperature_measured");
    records::produce(
        scenario.brokers(),
        &scenario.name("events"),
        &[again.expect("there are many").clone()],
    );
    let mut compared = truth(&scenario, &["--compare", &scenario.name("events")]);
    compared.fails_with(1);
    compared.says(&["doubled"]);
}

/// Starts `rivulet experiment` without a pipeline file.
fn experiment(scenario: &Scenario, arguments: &[&str]) -> Process {
    let mut command = Command::new(programs::program("rivulet"));
    command
        .args([
            "experiment",
            "--secret-key",
            KEY,
            "--brokers",
            scenario.brokers(),
        ])
        .args(["--topic", &scenario.name("events")])
        .args(arguments)
        .current_dir(scenario.path(""));
    programs::forget_settings(&mut command);
    Process::start(
        format!("rivulet experiment {}", arguments.join(" ")),
        &mut command,
    )
}

#[test]
fn three_producers_at_once_are_decoded_by_one_consumer() {
    let scenario = Scenario::on(Kafka::shared(), PipelineBuilder::new());
    let events = scenario.name("events");
    records::create_topic(scenario.brokers(), &events, 4);
    let producers = ["2", "3", "5"].map(|sensors| {
        let options = ["--sample-rate", "20", "--num-sensors", sensors, "--serve=0"];
        experiment(&scenario, &options)
    });
    for mut producer in producers {
        producer.succeeds();
        producer.says(&["messages sent; late: p50"]);
        producer.says(&["http://127.0.0.1:"]);
    }
    let mut consumer = scenario.tool(&["consume", &events, "--until-end"]);
    consumer.succeeds();
    let shown = consumer.out();
    let with = |words: &str| shown.lines().filter(|line| line.contains(words)).count();
    assert_eq!(with("record_name"), 22 * (2 + 3 + 5) + 3 * 4, "{shown}");
    assert_eq!(with("sensor_temperature_measured"), 22 * (2 + 3 + 5));
    for name in [
        "experiment_configured",
        "experiment_started",
        "experiment_terminated",
    ] {
        assert_eq!(with(name), 3, "{name}");
    }
}

#[test]
fn an_experiment_that_is_stopped_delivers_what_it_has_sent() {
    let scenario = Scenario::on(Kafka::shared(), PipelineBuilder::new());
    let events = scenario.name("events");
    records::create_topic(scenario.brokers(), &events, 1);
    let options = [
        "--sample-rate",
        "10",
        "--carry-out-samples",
        "100000",
        "--truth-log",
    ];
    let mut producer = experiment(&scenario, &options);
    wait::until_true("it measures", || {
        records::written(scenario.brokers(), &events) > 30
    });
    producer.stop();
    let written = records::written(scenario.brokers(), &events);
    producer.says(&[&format!("{written} of 200008 messages sent")]);
    // The log is the truth, and the end of the experiment is in neither.
    truth(&scenario, &["--compare", &events]).succeeds();
    let silent = Record::of("not a container").with_header("record_name", "experiment_started");
    records::produce(scenario.brokers(), &events, &[silent.key("e")]);
    let mut compared = truth(&scenario, &["--compare", &events]);
    compared.fails_with(1);
    compared.says(&["undecodable", &format!("offset {written}")]);
}
