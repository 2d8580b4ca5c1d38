//! Mistakes and misfortunes: each gets a message that says what is wrong, where, and what to do.

use tests::{Kafka, PipelineBuilder, Scenario, wait};

/// Nobody listens there.
const REFUSED: &str = "127.0.0.1:1";
const EWMA: &str = "{ ewma = { alpha = 0.5 } }";

fn lines() -> PipelineBuilder {
    PipelineBuilder::new().producer("lines", "\"lines\"", "in")
}

/// A mistake in the file: `rivulet check` and the stage itself refuse it with the same words,
/// without asking a broker.
fn is_refused(pipeline: PipelineBuilder, words: &[&str]) {
    let stage = pipeline.stages("operator").pop();
    let scenario = Scenario::on(REFUSED, pipeline);
    let mut refusals = vec![scenario.check("pipeline.toml").fails()];
    if let Some(stage) = stage {
        refusals.push(scenario.start(&stage).fails());
    }
    for refusal in refusals {
        for word in ["pipeline.toml:"].iter().chain(words) {
            assert!(refusal.contains(word), "`{word}` is missing in:\n{refusal}");
        }
    }
}

fn steps_are_refused(steps: &str, words: &[&str]) {
    is_refused(lines().operator("work", "in", steps, "out"), words);
}

#[test]
fn an_unknown_field() {
    is_refused(
        lines().topic("in", "partition = 4"),
        &["unknown field `partition`"],
    );
    steps_are_refused("{ ewma = { alhpa = 0.5 } }", &["unknown field `alhpa`"]);
}

#[test]
fn an_unknown_operator() {
    steps_are_refused(
        "{ emwa = { alpha = 0.5 } }",
        &["there is no operator `emwa`", "did you mean `ewma`?"],
    );
}

#[test]
fn a_wrong_type() {
    is_refused(
        lines().settings("[defaults]\npartitions = \"four\""),
        &["partitions = \"four\""],
    );
    steps_are_refused("{ ewma = { alpha = \"half\" } }", &["alpha = \"half\""]);
}

#[test]
fn an_alpha_that_is_no_weight() {
    for alpha in ["0", "1.5", "nan", "-0.1"] {
        steps_are_refused(
            &format!("{{ ewma = {{ alpha = {alpha} }} }}"),
            &["alpha", "0", "1"],
        );
    }
}

#[test]
fn a_window_of_nothing() {
    steps_are_refused("{ average = { window = 0 } }", &["window", "1"]);
}

#[test]
fn the_same_topic_in_and_out() {
    is_refused(
        lines().operator("work", "in", EWMA, "in"),
        &["reads and writes the same topic `in"],
    );
}

#[test]
fn two_stages_of_one_name() {
    is_refused(
        lines().sink("lines", "in", "\"console\""),
        &["two stages are named `lines"],
    );
}

#[test]
fn an_unknown_stage() {
    let scenario = Scenario::on(REFUSED, lines().operator("ewma", "in", EWMA, "out"));
    let refusal = scenario
        .program("rivulet-operator", &["no-such-stage"])
        .fails();
    assert!(
        refusal.contains("has no stage `no-such-stage`") && refusal.contains("help: "),
        "{refusal}"
    );
    let refusal = scenario
        .program("rivulet-operator", &[&scenario.name("lines")])
        .fails();
    assert!(refusal.contains("rivulet-producer"), "{refusal}");
}

#[test]
fn a_pipeline_file_that_is_not_there() {
    let scenario = Scenario::on(REFUSED, lines());
    let refusal = scenario.check("missing.toml").fails();
    assert!(
        refusal.contains("missing.toml: cannot be read: No such file"),
        "{refusal}"
    );
}

#[test]
fn a_source_file_that_is_not_there_or_is_a_folder() {
    for (path, why) in [("missing.csv", "No such file"), ("/", "directory")] {
        let source = format!("{{ file = {{ path = \"{path}\", format = \"csv\" }} }}");
        let scenario = Scenario::new(PipelineBuilder::new().producer("replay", &source, "in"));
        let refusal = scenario.start("replay").fails();
        assert!(refusal.contains(path) && refusal.contains(why), "{refusal}");
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
        let refusal = scenario.start("keep").fails();
        assert!(refusal.contains(path) && refusal.contains(why), "{refusal}");
    }
}

#[test]
fn a_broker_whose_name_does_not_resolve_is_told_and_waited_for() {
    broker_is_waited_for("no-such-host.invalid:9092", "resolve");
}

#[test]
fn a_port_that_refuses_is_told_and_waited_for() {
    broker_is_waited_for(REFUSED, "refused");
}

/// A stage waits, because nodes start in any order; a person at a terminal is told.
fn broker_is_waited_for(brokers: &str, why: &str) {
    let scenario = Scenario::on(brokers, lines().operator("ewma", "in", EWMA, "out"));
    let mut ewma = scenario.start("ewma");
    ewma.says(&[brokers, why, "waiting", "--brokers"]);
    let refusal = scenario.rivulet(&["topics", "list"]).fails();
    for word in [brokers, why, "help: "] {
        assert!(refusal.contains(word), "`{word}` is missing in:\n{refusal}");
    }
    assert!(ewma.is_running());
    assert!(ewma.err().lines().count() < 12, "{}", ewma.err());
    ewma.stop();
}

#[test]
fn a_topic_that_does_not_exist() {
    let scenario = Scenario::on(Kafka::shared(), lines().operator("ewma", "in", EWMA, "out"));
    let refusal = scenario.start("ewma").fails();
    for word in [&scenario.name("in"), "rivulet topics create"] {
        assert!(refusal.contains(word), "`{word}` is missing in:\n{refusal}");
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
    wait::until_so("it waits", || ewma.is_running());
    ewma.stop();
}

#[test]
fn a_certificate_file_that_is_wrong() {
    for file in ["missing.pem", "rubbish.pem"] {
        let tls =
            format!("[kafka]\n\"security.protocol\" = \"ssl\"\n\"ssl.ca.location\" = \"{file}\"");
        let scenario = Scenario::on(
            REFUSED,
            lines().operator("ewma", "in", EWMA, "out").settings(&tls),
        );
        scenario.write("rubbish.pem", "no certificate");
        let refusal = scenario.start("ewma").fails();
        assert!(
            refusal.contains(file) && refusal.contains("ssl.ca.location"),
            "{refusal}"
        );
    }
}
