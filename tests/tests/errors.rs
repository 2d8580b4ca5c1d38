//! Errors of users and of the environment: each message says what is wrong, where, and what to do.

use rivulet_tests::{Kafka, PipelineBuilder, Scenario, wait};

/// No process listens there.
const UNREACHABLE: &str = "127.0.0.1:1";
const EWMA: &str = "{ ewma = { alpha = 0.5 } }";

fn lines() -> PipelineBuilder {
    PipelineBuilder::new().producer("lines", "\"lines\"", "in")
}

/// An error in the file: `rivulet check` and the stage report it in the same words, without a
/// broker.
fn fails_with(pipeline: PipelineBuilder, words: &[&str]) {
    let stage = pipeline.stages("operator").pop();
    let scenario = Scenario::on(UNREACHABLE, pipeline);
    let mut errors = vec![scenario.check("pipeline.toml").fails()];
    if let Some(stage) = stage {
        errors.push(scenario.start(&stage).fails());
    }
    for error in errors {
        for word in ["pipeline.toml:"].iter().chain(words) {
            assert!(error.contains(word), "`{word}` is missing in:\n{error}");
        }
    }
}

fn steps_fail_with(steps: &str, words: &[&str]) {
    fails_with(lines().operator("work", "in", steps, "out"), words);
}

#[test]
fn an_unknown_field() {
    fails_with(
        lines().topic("in", "partition = 4"),
        &["unknown field `partition`"],
    );
    steps_fail_with("{ ewma = { alhpa = 0.5 } }", &["unknown field `alhpa`"]);
}

#[test]
fn an_unknown_operator() {
    steps_fail_with(
        "{ emwa = { alpha = 0.5 } }",
        &["there is no operator `emwa`", "did you mean `ewma`?"],
    );
}

#[test]
fn a_wrong_type() {
    fails_with(
        lines().settings("[defaults]\npartitions = \"four\""),
        &["partitions = \"four\""],
    );
    steps_fail_with("{ ewma = { alpha = \"half\" } }", &["alpha = \"half\""]);
}

#[test]
fn an_alpha_out_of_range() {
    for alpha in ["0", "1.5", "nan", "-0.1"] {
        steps_fail_with(
            &format!("{{ ewma = {{ alpha = {alpha} }} }}"),
            &["alpha", "0", "1"],
        );
    }
}

#[test]
fn a_window_of_nothing() {
    steps_fail_with("{ average = { window = 0 } }", &["window", "1"]);
}

#[test]
fn the_same_topic_in_and_out() {
    fails_with(
        lines().operator("work", "in", EWMA, "in"),
        &["reads and writes the same topic `in"],
    );
}

#[test]
fn two_stages_of_one_name() {
    fails_with(
        lines().sink("lines", "in", "\"console\""),
        &["two stages are named `lines"],
    );
}

#[test]
fn an_unknown_stage() {
    let scenario = Scenario::on(UNREACHABLE, lines().operator("ewma", "in", EWMA, "out"));
    let error = scenario
        .program("rivulet-operator", &["no-such-stage"])
        .fails();
    assert!(
        error.contains("has no stage `no-such-stage`") && error.contains("help: "),
        "{error}"
    );
    let error = scenario
        .program("rivulet-operator", &[&scenario.name("lines")])
        .fails();
    assert!(error.contains("rivulet-producer"), "{error}");
}

#[test]
fn a_pipeline_file_that_is_not_there() {
    let scenario = Scenario::on(UNREACHABLE, lines());
    let error = scenario.check("missing.toml").fails();
    assert!(
        error.contains("missing.toml: cannot be read: No such file"),
        "{error}"
    );
}

#[test]
fn a_source_file_that_is_not_there_or_is_a_folder() {
    for (path, why) in [("missing.csv", "No such file"), ("/", "directory")] {
        let source = format!("{{ file = {{ path = \"{path}\", format = \"csv\" }} }}");
        let scenario = Scenario::new(PipelineBuilder::new().producer("replay", &source, "in"));
        let error = scenario.start("replay").fails();
        assert!(error.contains(path) && error.contains(why), "{error}");
    }
}

#[test]
fn a_folder_that_a_sink_cannot_write_in() {
    for (path, why) in [
        ("missing/out.csv", "there is no folder"),
        ("pipeline.toml/out.csv", "Not a directory"),
    ] {
        let sink = format!("{{ file = {{ path = \"{path}\" }} }}");
        let scenario = Scenario::new(lines().sink("keep", "in", &sink));
        let error = scenario.start("keep").fails();
        assert!(error.contains(path) && error.contains(why), "{error}");
    }
}

#[test]
fn a_stage_waits_for_a_broker_whose_name_does_not_resolve() {
    waits_for_broker("no-such-host.invalid:9092", "resolve");
}

#[test]
fn a_stage_waits_for_a_port_that_refuses_connections() {
    waits_for_broker(UNREACHABLE, "refused");
}

/// A stage waits, because nodes start in any order. A command prints an error.
fn waits_for_broker(brokers: &str, why: &str) {
    let scenario = Scenario::on(brokers, lines().operator("ewma", "in", EWMA, "out"));
    let mut ewma = scenario.start("ewma");
    ewma.says(&[brokers, why, "waiting", "--brokers"]);
    let error = scenario.rivulet(&["topics", "list"]).fails();
    for word in [brokers, why, "help: "] {
        assert!(error.contains(word), "`{word}` is missing in:\n{error}");
    }
    assert!(ewma.is_running());
    assert!(ewma.err().lines().count() < 12, "{}", ewma.err());
    ewma.stop();
}

#[test]
fn a_topic_that_does_not_exist() {
    let scenario = Scenario::on(Kafka::shared(), lines().operator("ewma", "in", EWMA, "out"));
    let error = scenario.start("ewma").fails();
    for word in [&scenario.name("in"), "rivulet topics create"] {
        assert!(error.contains(word), "`{word}` is missing in:\n{error}");
    }
}

#[test]
fn a_transaction_log_with_more_copies_than_brokers() {
    let kafka = Kafka::start(&[("transaction.state.log.replication.factor", "3")]);
    let scenario = Scenario::on(kafka.brokers(), lines().operator("ewma", "in", EWMA, "out"));
    scenario.create_topics();
    let mut ewma = scenario.start("ewma");
    ewma.says(&[
        "transaction.state.log.replication.factor",
        "1 broker",
        "help: ",
    ]);
    wait::until_true("the stage waits", || ewma.is_running());
    ewma.stop();
}

#[test]
fn a_certificate_file_that_is_wrong() {
    for file in ["missing.pem", "rubbish.pem"] {
        let tls =
            format!("[kafka]\n\"security.protocol\" = \"ssl\"\n\"ssl.ca.location\" = \"{file}\"");
        let scenario = Scenario::on(
            UNREACHABLE,
            lines().operator("ewma", "in", EWMA, "out").settings(&tls),
        );
        scenario.write("rubbish.pem", "no certificate");
        let error = scenario.start("ewma").fails();
        assert!(
            error.contains(file) && error.contains("ssl.ca.location"),
            "{error}"
        );
    }
}

#[test]
fn a_command_config_that_is_wrong() {
    let scenario = Scenario::on(UNREACHABLE, lines().operator("ewma", "in", EWMA, "out"));
    scenario.write(
        "client.properties",
        "ssl.truststore.location=/x.jks\nsasl.pasword=open-sesame\nopen-sesame\n",
    );
    let stage = scenario.name("ewma");
    let config = ["--command-config", "client.properties"];
    for (program, arguments) in [
        ("rivulet", &["topics", "list"][..]),
        ("rivulet-operator", &[&stage]),
    ] {
        let error = scenario
            .program(program, &[arguments, &config].concat())
            .fails();
        for words in [
            "client.properties: line 1: `ssl.truststore.location`",
            "ssl.ca.location",
            "line 2: `sasl.pasword`",
            "did you mean `sasl.password`?",
            "line 3 is not key=value",
        ] {
            assert!(error.contains(words), "`{words}` is missing in:\n{error}");
        }
        assert!(!error.contains("open-sesame"), "{error}");
    }
}

#[test]
fn an_error_that_ends_a_stage_is_json_if_its_log_is() {
    let scenario = Scenario::on(UNREACHABLE, lines().operator("work", "in", EWMA, "out"));
    let work = scenario.name("wrok");
    let error = scenario
        .program(
            "rivulet-operator",
            &[&work, "--instance", "a", "--log", "json"],
        )
        .fails();
    let line: serde_json::Value = serde_json::from_str(&error).expect("it is one line of JSON");
    assert_eq!(
        (
            &line["level"],
            &line["stage"],
            &line["instance"],
            &line["exit_code"]
        ),
        (&"ERROR".into(), &work.into(), &"a".into(), &1.into()),
    );
    let message = line["message"].as_str().unwrap_or_default();
    assert!(message.contains("has no stage"), "{line}");
}
