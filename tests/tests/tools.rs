//! The tools on the laptop: what a deployment learns from a file, who runs which stage, what is
//! left to read, and the live comparison.

use rivulet_core::exit;
use rivulet_tests::chain::{CELSIUS, OPERATORS, chained, source};
use rivulet_tests::records::{self, Record};
use rivulet_tests::{Cluster, PipelineBuilder, Process, Scenario, stop_all};
use serde_json::Value;

mod compared;

/// The worked example, before any stage has run.
fn worked_example() -> Scenario {
    Scenario::new(chained(PipelineBuilder::new().producer(
        "thermometer",
        &source(),
        "temperatures_celsius",
    )))
}

/// The columns of a stage in the output of `rivulet groups`.
fn line(shown: &str, stage: &str) -> Vec<String> {
    let found = shown
        .lines()
        .find(|line| line.split_whitespace().next() == Some(stage));
    let line = found.unwrap_or_else(|| panic!("{stage} is missing in:\n{shown}"));
    line.split_whitespace().map(str::to_owned).collect()
}

/// The output of `rivulet check --json`.
fn manifest(scenario: &Scenario) -> Value {
    let mut check = scenario.rivulet(&["check", "--json"]);
    check.succeeds();
    serde_json::from_str(&check.out()).expect("it is JSON")
}

#[test]
fn check_json_shows_what_runs_and_what_has_changed() {
    let scenario = worked_example();
    let before = manifest(&scenario);
    assert_eq!(
        (&before["guarantee"], &before["brokers"]),
        (&"exactly-once".into(), &scenario.brokers().into())
    );
    let stages = before["stages"].as_array().expect("it is a list");
    let names = stages
        .iter()
        .map(|stage| stage["name"].as_str().unwrap_or_default());
    let expected = ["thermometer"]
        .iter()
        .chain(&OPERATORS)
        .map(|stage| scenario.name(stage));
    assert_eq!(names.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    assert_eq!(before["stages"][3]["state"], true);
    assert_eq!(
        before["stages"][3]["from"],
        serde_json::json!([scenario.name("temperatures_above_threshold")])
    );

    let file = std::fs::read_to_string(scenario.path("pipeline.toml"))
        .expect("the scenario has written it");
    scenario.write(
        "pipeline.toml",
        format!("# smoother\n{}", file.replace("alpha = 0.5", "alpha = 0.3")),
    );
    let after = manifest(&scenario);
    let changed = (0..5).filter(|index| before["stages"][index] != after["stages"][index]);
    assert_eq!(changed.collect::<Vec<_>>(), [3]);

    scenario.write("pipeline.toml", file.replace("alpha = 0.5", "alpha = 3"));
    let error = scenario.rivulet(&["check", "--json"]).fails();
    assert!(error.contains("alpha cannot be 3"), "{error}");
}

#[test]
fn groups_succeeds_when_all_stages_run_and_have_no_lag() {
    let scenario = worked_example();
    let [convert, ewma] = ["convert", "ewma"].map(|stage| scenario.name(stage));
    scenario.start("thermometer").succeeds();

    let mut groups = scenario.rivulet(&["groups"]);
    let error = groups.fails();
    assert!(
        error.contains(&format!(
            "{convert}: the group has no members; lag: 14 records"
        )),
        "{error}"
    );
    assert_eq!(
        line(&groups.out(), &convert),
        [&convert, "-", "-", "0/1", "14"]
    );
    assert!(!groups.out().contains("thermometer"), "{}", groups.out());

    // The command waits, and the stages start later.
    let mut waiting = scenario.rivulet(&["groups", "--wait", "60"]);
    let mut running: Vec<Process> = OPERATORS
        .iter()
        .map(|stage| scenario.start(stage))
        .collect();
    waiting.succeeds();
    let shown = waiting.out();
    for stage in OPERATORS {
        let stage = scenario.name(stage);
        assert_eq!(
            line(&shown, &stage),
            [&stage, "Stable", "a@127.0.0.1", "1/1", "0"]
        );
    }
    // Transaction markers behind the last records do not count as lag.
    let mut again = scenario.rivulet(&["groups"]);
    again.succeeds();
    assert_eq!(again.out(), shown);

    stop_all(&mut running);
    let error = scenario.rivulet(&["groups", "--stages", &ewma]).fails();
    assert!(
        error.contains(&format!("{ewma}: the group has no members; lag: 0 records")),
        "{error}"
    );
    assert!(!error.contains(&convert), "{error}");
    let error = scenario.rivulet(&["groups", "--stages", "emwa"]).fails();
    assert!(error.contains("has no stage `emwa`"), "{error}");
}

#[test]
fn groups_shows_the_instances_of_a_stage_and_its_lag() {
    let pipeline = PipelineBuilder::new().topic("warm", "partitions = 4\nexternal = true");
    let scenario =
        Scenario::new(pipeline.operator("smooth", "warm", "{ ewma = { alpha = 0.5 } }", "smooth"));
    let smooth = scenario.name("smooth");
    let readings: Vec<Record> = (0..40)
        .map(|seq| {
            let sensor = format!("s{}", seq % 10);
            let json = format!(
                r#"{{"sensor":"{sensor}","seq":{seq},"time":{seq},"value":1,"unit":"celsius"}}"#
            );
            Record::of(json).key(sensor)
        })
        .collect();
    records::produce(scenario.brokers(), &scenario.name("warm"), &readings);
    let mut groups = scenario.rivulet(&["groups"]);
    let _ = groups.fails();
    assert_eq!(
        line(&groups.out(), &smooth),
        [&smooth, "-", "-", "0/4", "40"]
    );

    let _running = [
        scenario.start_as("smooth", "a"),
        scenario.start_as("smooth", "b"),
    ];
    scenario.has_members("smooth", 2);
    let mut groups = scenario.rivulet(&["groups", "--wait", "60"]);
    groups.succeeds();
    let line = line(&groups.out(), &smooth);
    assert_eq!(
        (line[1].as_str(), &line[4..]),
        ("Stable", &["4/4".to_owned(), "0".to_owned()][..]),
        "{line:?}"
    );
    assert!(
        line[2..4].concat().contains("a@127.0.0.1") && line[2..4].concat().contains("b@127.0.0.1"),
        "{line:?}"
    );
}

#[test]
fn groups_finds_stages_that_do_not_keep_up() {
    let pipeline = PipelineBuilder::new().producer(
        "thermometers",
        "{ simulated = { sensors = 10, readings = 1000000, rate = 200 } }",
        "temperatures_celsius",
    );
    let scenario = Scenario::new(chained(pipeline));
    let mut running: Vec<Process> = OPERATORS
        .iter()
        .map(|stage| scenario.start(stage))
        .collect();
    running.push(scenario.start("thermometers"));
    scenario.grows("temperatures_ewma", 100);
    scenario
        .rivulet(&["groups", "--lag", "any", "--wait", "60"])
        .succeeds();

    // The stopped stage is reported, and the other branch is not.
    running.remove(2).stop();
    let error = scenario
        .rivulet(&["groups", "--lag", "any", "--wait", "2"])
        .fails();
    let ewma = scenario.name("ewma");
    assert!(
        error.contains("not all consumer groups keep up after 2 s") && error.contains(&ewma),
        "{error}"
    );
    assert!(
        !error.contains(&format!("{}:", scenario.name("average"))),
        "{error}"
    );
    stop_all(&mut running);
}

#[test]
fn groups_and_compare_work_with_two_of_three_brokers() {
    let mut cluster = Cluster::start();
    let pipeline =
        PipelineBuilder::new().settings(&format!("[defaults]\nreplication = {}", Cluster::NODES));
    let pipeline = pipeline.producer("thermometer", &source(), "temperatures_celsius");
    let scenario = Scenario::on(cluster.brokers(), chained(pipeline));
    scenario.create_topics();
    scenario.start("thermometer").succeeds();
    let _running: Vec<Process> = OPERATORS
        .iter()
        .map(|stage| scenario.start(stage))
        .collect();
    scenario.rivulet(&["groups", "--wait", "60"]).succeeds();
    cluster.kill(1);
    scenario.rivulet(&["groups", "--wait", "60"]).succeeds();
    let mut compare = scenario.rivulet(&[
        "compare",
        &scenario.name("temperatures_ewma"),
        &scenario.name("temperatures_moving_average"),
        "--once",
    ]);
    compare.succeeds();
    compare.says(&[": 8 joined"]);
}

/// One stage with an EWMA, whose readings the test writes.
fn smoothing(partitions: u32) -> Scenario {
    let pipeline = PipelineBuilder::new().topic(
        "warm",
        &format!("partitions = {partitions}\nexternal = true"),
    );
    Scenario::new(pipeline.operator("smooth", "warm", "{ ewma = { alpha = 0.5 } }", "smooth"))
}

/// Readings of one sensor, without keys.
fn readings(seqs: std::ops::Range<u64>) -> Vec<Record> {
    let mut readings = Vec::new();
    for seq in seqs {
        let value = (seq * seq) % 17;
        readings.push(Record::of(format!(
            r#"{{"sensor":"a","seq":{seq},"time":{seq},"value":{value},"unit":"celsius"}}"#
        )));
    }
    readings
}

/// Replaces text in the pipeline file.
fn change(scenario: &Scenario, from: &str, to: &str) {
    let file =
        std::fs::read_to_string(scenario.path("pipeline.toml")).expect("the scenario wrote it");
    assert!(file.contains(from), "there is no `{from}` in:\n{file}");
    scenario.write("pipeline.toml", file.replace(from, to));
}

#[test]
fn results_that_depend_on_an_unknown_order_are_not_verifiable() {
    let scenario = smoothing(4);
    for seq in 0..40 {
        // Sent one by one, they go to different partitions.
        records::produce(
            scenario.brokers(),
            &scenario.name("warm"),
            &readings(seq..seq + 1),
        );
    }
    scenario.drain("smooth");
    let mut verify = scenario.rivulet(&["verify"]);
    let error = verify.fails_with(exit::UNVERIFIABLE);
    assert!(
        error.contains("not everything could be verified: 1 topic"),
        "{error}"
    );
    assert!(error.contains("--allow-unverifiable"), "{error}");
    verify.says(&[
        "it keeps state, and the order of the readings of sensor \"a\"",
        &format!(
            "such as \"a\", are in several partitions of {}",
            scenario.name("warm")
        ),
        "use the sensor as the key of the records",
    ]);
    assert!(
        !verify.out().contains("there was nothing to compare"),
        "{}",
        verify.out()
    );
    scenario
        .rivulet(&["verify", "--allow-unverifiable"])
        .succeeds();
}

#[test]
fn results_of_deleted_records_are_not_verifiable_others_are() {
    let scenario = smoothing(1);
    let warm = scenario.name("warm");
    records::produce(scenario.brokers(), &warm, &readings(0..200));
    scenario.drain("smooth");
    records::delete_records(scenario.brokers(), &warm, 0, 150);
    let mut verify = scenario.rivulet(&["verify"]);
    let error = verify.fails_with(exit::UNVERIFIABLE);
    assert!(
        error.contains("not everything could be verified: 150 records whose input was deleted"),
        "{error}"
    );
    verify.says(&[
        &format!("note: the first records of {warm} were deleted: [0] begins at offset 150"),
        "verified 49 readings in 1 topics: 0 missing, 0 extra, 0 wrong, 0 out of order; not \
         verifiable: 150 records",
    ]);
    scenario
        .rivulet(&["verify", "--allow-unverifiable"])
        .succeeds();

    // A wrong result is still found.
    let wrong = r#"{"sensor":"a","seq":200,"time":200,"value":7000,"unit":"celsius"}"#;
    records::produce(scenario.brokers(), &warm, &readings(200..201));
    records::produce(
        scenario.brokers(),
        &scenario.name("smooth"),
        &[Record::of(wrong).key("a")],
    );
    let mut verify = scenario.rivulet(&["verify", "--allow-unverifiable"]);
    let _ = verify.fails();
    verify.says(&[" 1 wrong, "]);
}

#[test]
fn topics_describe_shows_limits_and_names_those_too_small() {
    let pipeline = PipelineBuilder::new().topic(
        "warm",
        "external = true\nconfig = { \"retention.ms\" = -1 }",
    );
    let pipeline = pipeline.topic("smooth", "config = { \"max.message.bytes\" = 100000 }");
    let scenario =
        Scenario::new(pipeline.operator("smooth", "warm", "{ ewma = { alpha = 0.5 } }", "smooth"));
    let [warm, smooth] = ["warm", "smooth"].map(|topic| scenario.name(topic));
    let mut describe = scenario.rivulet(&["topics", "describe"]);
    describe.succeeds();
    describe.says(&[
        "message.timestamp.after.max.ms",
        &format!(
            "warning: {warm} keeps records for ever, but the brokers keep the committed offsets"
        ),
        "Set offsets.retention.minutes of the brokers to 2147483647",
    ]);
    change(&scenario, "config = { \"max.message.bytes\" = 100000 }", "");
    let mut describe = scenario.rivulet(&["topics", "describe"]);
    let error = describe.fails();
    assert!(
        error.contains("the cluster differs from the file"),
        "{error}"
    );
    describe.says(&[
        "too small",
        &format!("warning: max.message.bytes of {smooth} is 100000, and the pipeline"),
    ]);
}
