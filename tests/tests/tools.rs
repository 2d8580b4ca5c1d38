//! The laptop's tools: what a deployment is told of a file, who runs what and what is left to read,
//! and the live comparison.

use serde_json::Value;
use tests::chain::{CELSIUS, OPERATORS, chained, source};
use tests::records::{self, Record};
use tests::{Cluster, Kafka, PipelineBuilder, Process, Scenario, stop_all, wait};

/// The worked example, with nothing processed yet.
fn worked_example() -> Scenario {
    Scenario::new(chained(PipelineBuilder::new().producer(
        "thermometer",
        &source(),
        "temperatures_celsius",
    )))
}

/// `--stages` with the operators of the chain.
fn operators(scenario: &Scenario) -> String {
    OPERATORS.map(|stage| scenario.name(stage)).join(",")
}

/// What `rivulet groups` says of a stage.
fn line(shown: &str, stage: &str) -> Vec<String> {
    let found = shown
        .lines()
        .find(|line| line.split_whitespace().next() == Some(stage));
    let line = found.unwrap_or_else(|| panic!("{stage} is missing in:\n{shown}"));
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_deployment_is_told_what_runs_and_what_has_changed() {
    let scenario = worked_example();
    let manifest = || -> Value {
        let mut check = scenario.rivulet(&["check", "--json"]);
        check.succeeds();
        serde_json::from_str(&check.out()).expect("it is JSON")
    };
    let before = manifest();
    assert_eq!(
        (&before["guarantee"], &before["brokers"]),
        (&"exactly-once".into(), &scenario.brokers().into())
    );
    let names = |manifest: &Value| -> Vec<String> {
        let stages = manifest["stages"].as_array().expect("it is a list");
        stages
            .iter()
            .map(|stage| stage["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let expected = ["thermometer"]
        .iter()
        .chain(&OPERATORS)
        .map(|stage| scenario.name(stage));
    assert_eq!(names(&before), expected.collect::<Vec<_>>());
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
    let after = manifest();
    let changed = (0..5).filter(|index| before["stages"][index] != after["stages"][index]);
    assert_eq!(changed.collect::<Vec<_>>(), [3]);

    scenario.write("pipeline.toml", file.replace("alpha = 0.5", "alpha = 3"));
    let refusal = scenario.rivulet(&["check", "--json"]).fails();
    assert!(refusal.contains("alpha cannot be 3"), "{refusal}");
}

#[test]
fn groups_are_at_rest_once_all_is_read_and_somebody_runs_each() {
    let scenario = worked_example();
    let [convert, ewma] = ["convert", "ewma"].map(|stage| scenario.name(stage));
    scenario.start("thermometer").succeeds();

    let mut groups = scenario.rivulet(&["groups"]);
    let refusal = groups.fails();
    assert!(
        refusal.contains(&format!(
            "{convert}: the group has no members; lag: 14 records"
        )),
        "{refusal}"
    );
    assert_eq!(
        line(&groups.out(), &convert),
        [&convert, "-", "-", "0/1", "14"]
    );
    assert!(!groups.out().contains("thermometer"), "{}", groups.out());

    // Somebody waits, and the stages come later.
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
    // At rest is at rest: the marks of transactions behind the last records are nothing to read.
    let mut again = scenario.rivulet(&["groups"]);
    again.succeeds();
    assert_eq!(again.out(), shown);

    stop_all(&mut running);
    let refusal = scenario.rivulet(&["groups", "--stages", &ewma]).fails();
    assert!(
        refusal.contains(&format!("{ewma}: the group has no members; lag: 0 records")),
        "{refusal}"
    );
    assert!(!refusal.contains(&convert), "{refusal}");
    let refusal = scenario.rivulet(&["groups", "--stages", "emwa"]).fails();
    assert!(refusal.contains("has no stage `emwa`"), "{refusal}");
}

#[test]
fn instances_share_the_partitions_and_records_without_a_stage_are_counted() {
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
fn who_keeps_up_is_well_while_readings_flow() {
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

    // One that is stopped is missed, and the other branch goes on.
    running.remove(2).stop();
    let refusal = scenario
        .rivulet(&["groups", "--lag", "any", "--wait", "2"])
        .fails();
    let ewma = scenario.name("ewma");
    assert!(
        refusal.contains("not all consumer groups keep up after 2 s") && refusal.contains(&ewma),
        "{refusal}"
    );
    assert!(
        !refusal.contains(&format!("{}:", scenario.name("average"))),
        "{refusal}"
    );
    stop_all(&mut running);
}

#[test]
fn a_cluster_that_is_away_for_a_moment_is_waited_for() {
    let mut kafka = Kafka::start(&[]);
    let pipeline =
        PipelineBuilder::new().producer("thermometer", &source(), "temperatures_celsius");
    let scenario = Scenario::on(kafka.brokers(), chained(pipeline));
    scenario.create_topics();
    scenario.start("thermometer").succeeds();
    let mut running: Vec<Process> = OPERATORS
        .iter()
        .map(|stage| scenario.start(stage))
        .collect();
    scenario.rivulet(&["groups", "--wait", "60"]).succeeds();

    kafka.kill();
    let refusal = scenario.rivulet(&["groups"]).fails();
    assert!(
        refusal.contains(scenario.brokers()) && refusal.contains("is Kafka running there?"),
        "{refusal}"
    );
    let mut waiting =
        scenario.rivulet(&["groups", "--wait", "120", "--stages", &operators(&scenario)]);
    assert!(waiting.is_running());
    kafka.run();
    assert_eq!(waiting.ends_within(2 * wait::LONG), 0, "{}", waiting.err());
    stop_all(&mut running);
}

#[test]
fn one_broker_of_three_is_not_missed() {
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

/// The chain, every stage drained, with a sink that compares and never runs.
fn compared(pipeline: PipelineBuilder, source: &str) -> Scenario {
    let scenario = Scenario::new(chained(pipeline.producer(
        "thermometer",
        source,
        "temperatures_celsius",
    )));
    let [ewma, average] =
        ["temperatures_ewma", "temperatures_moving_average"].map(|topic| scenario.name(topic));
    let file = std::fs::read_to_string(scenario.path("pipeline.toml"))
        .expect("the scenario has written it");
    let sink =
        format!("compare = {{ ewma = \"{ewma}\", average = \"{average}\", every-seconds = 1 }}");
    let name = scenario.name("compare");
    let sink = format!("[sink.{name}]\nfrom = [\"{ewma}\", \"{average}\"]\nsink = {{ {sink} }}\n");
    scenario.write("pipeline.toml", format!("{file}\n{sink}"));
    let rows = (0..)
        .zip(CELSIUS)
        .map(|(second, value)| format!("hall,2024-01-01T00:00:{second:02}Z,{value}\n"));
    scenario.write(
        "readings.csv",
        format!("sensor,time,celsius\n{}", rows.collect::<String>()),
    );
    scenario.start("thermometer").succeeds();
    for stage in OPERATORS {
        scenario.drain(stage);
    }
    scenario
}

/// The worked example, each reading at a time of its own, by which the branches are joined.
fn compared_example(settings: &str) -> Scenario {
    compared(
        PipelineBuilder::new().settings(settings),
        "{ file = { path = \"readings.csv\", value = \"celsius\" } }",
    )
}

/// What the known results of both branches come to.
const FIGURES: [&str; 4] = [
    ": 8 joined, in °F",
    "  ewma            57.4074  62.7406\n",
    "  average         57.1250  62.6000\n",
    "  ewma - average   0.2824   0.1406    0.8074  1.0469\n",
];

#[test]
fn the_known_results_of_both_branches_are_compared() {
    let scenario = compared_example("");
    let mut compare = scenario.rivulet(&["compare", "--once"]);
    compare.succeeds();
    compare.says(&FIGURES);
    assert!(compare.out().contains(&format!(
        "without a partner 1 in {}",
        scenario.name("temperatures_ewma")
    )));
    assert_eq!(compare.err(), "");

    let [ewma, average, input] = [
        "temperatures_ewma",
        "temperatures_moving_average",
        "temperatures_above_threshold",
    ]
    .map(|topic| scenario.name(topic));
    let mut compare = scenario.rivulet(&["compare", &ewma, &average, "--input", &input, "--once"]);
    compare.succeeds();
    compare.says(&[
        ": 8 joined, in °F, lag in steps",
        "  ewma - input     -0.9176  -3.4594    2.1551  2.4405\n",
    ]);

    let refusal = scenario
        .rivulet(&["compare", &ewma, "nowhere", "--once"])
        .fails();
    assert!(
        refusal.contains("no stage reads or writes the topic `nowhere`"),
        "{refusal}"
    );
    records::delete_topic(scenario.brokers(), &ewma);
    let refusal = scenario.rivulet(&["compare", "--once"]).fails();
    assert!(
        refusal.contains(&format!("reading {ewma}: there is no such topic")),
        "{refusal}"
    );
    assert!(refusal.contains("rivulet topics create"), "{refusal}");
}

#[test]
fn bare_numbers_are_compared_too() {
    let numbers = PipelineBuilder::new().settings("[defaults]\nformat = \"number\"");
    let numbers = numbers.topic(
        "temperatures_celsius",
        "format = \"number\"\nunit = \"celsius\"",
    );
    // A number's time is when it was sent.
    let scenario = compared(numbers, &source().replace("list = {", "list = { rate = 1,"));
    let mut compare = scenario.rivulet(&["compare", "--once"]);
    compare.succeeds();
    compare.says(&["(all): 8 joined", FIGURES[1], FIGURES[2], FIGURES[3]]);
}

#[test]
fn a_long_past_is_compared_whole() {
    let source = "{ simulated = { sensors = 2, readings = 30000, base = 30 } }";
    let scenario = compared(
        PipelineBuilder::new().settings("[defaults]\npartitions = 4"),
        source,
    );
    let mut compare = scenario.rivulet(&["compare", "--once"]);
    compare.succeeds();
    // Each sensor has far more readings than may wait for their partners.
    assert_eq!(
        compare.out().matches(": 29998 joined").count(),
        2,
        "{}",
        compare.out()
    );
    compare.says(&["dropped because more than 4096 were waiting 0"]);
}

#[test]
fn two_people_look_at_once_and_leave_nothing() {
    let scenario = compared_example("[defaults]\npartitions = 4");
    let mut looking = [
        scenario.rivulet(&["compare"]),
        scenario.rivulet(&["compare"]),
    ];
    let mut latest = scenario.rivulet(&["compare", "--latest"]);
    for compare in &mut looking {
        compare.says(&FIGURES);
    }
    // They go on: what comes now is seen by all, and by the last one nothing else.
    let mut seq = 0;
    wait::until_so("what comes is compared", || {
        let reading = format!(
            r#"{{"sensor":"new","seq":{seq},"time":{seq},"value":60,"unit":"fahrenheit"}}"#
        );
        for topic in ["temperatures_ewma", "temperatures_moving_average"] {
            records::produce(
                scenario.brokers(),
                &scenario.name(topic),
                &[Record::of(reading.as_str()).key("new")],
            );
        }
        seq += 1;
        looking
            .iter()
            .chain([&latest])
            .all(|compare| compare.out().contains("new: "))
    });
    stop_all(&mut looking);
    latest.stop();
    assert!(!latest.out().contains(FIGURES[0]), "{}", latest.out());
    for group in [scenario.name("compare"), "rivulet".to_owned()] {
        assert!(
            !records::has_group(scenario.brokers(), &group),
            "there is a group {group}"
        );
    }
}

/// One stage that smooths readings which the test writes.
fn smoothing(partitions: u32) -> Scenario {
    let pipeline = PipelineBuilder::new().topic(
        "warm",
        &format!("partitions = {partitions}\nexternal = true"),
    );
    Scenario::new(pipeline.operator("smooth", "warm", "{ ewma = { alpha = 0.5 } }", "smooth"))
}

/// Readings of one sensor, without keys.
fn readings(seqs: std::ops::Range<u64>) -> Vec<Record> {
    let json = |seq| {
        format!(
            r#"{{"sensor":"a","seq":{seq},"time":{seq},"value":{},"unit":"celsius"}}"#,
            (seq * seq) % 17
        )
    };
    seqs.map(|seq| Record::of(json(seq))).collect()
}

/// Changes the pipeline file.
fn change(scenario: &Scenario, from: &str, to: &str) {
    let file =
        std::fs::read_to_string(scenario.path("pipeline.toml")).expect("the scenario wrote it");
    assert!(file.contains(from), "there is no `{from}` in:\n{file}");
    scenario.write("pipeline.toml", file.replace(from, to));
}

#[test]
fn what_depends_on_no_order_is_not_verified_and_that_is_an_error() {
    let scenario = smoothing(4);
    for seq in 0..40 {
        // One by one they are spread over the partitions.
        records::produce(
            scenario.brokers(),
            &scenario.name("warm"),
            &readings(seq..seq + 1),
        );
    }
    scenario.drain("smooth");
    let mut verify = scenario.rivulet(&["verify"]);
    let refusal = verify.fails();
    assert!(
        refusal.contains("not everything could be verified: 1 topic"),
        "{refusal}"
    );
    assert!(refusal.contains("--allow-unverifiable"), "{refusal}");
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
fn what_came_of_deleted_records_is_told_apart_and_what_is_left_is_verified() {
    let scenario = smoothing(1);
    let warm = scenario.name("warm");
    records::produce(scenario.brokers(), &warm, &readings(0..200));
    scenario.drain("smooth");
    records::delete_records(scenario.brokers(), &warm, 0, 150);
    let mut verify = scenario.rivulet(&["verify"]);
    let refusal = verify.fails();
    assert!(
        refusal.contains("not everything could be verified: 150 records whose input was deleted"),
        "{refusal}"
    );
    verify.says(&[
        &format!("note: the first records of {warm} were deleted: [0] begins at offset 150"),
        "verified 49 readings in 1 topics: 0 missing, 0 extra, 0 wrong, 0 out of order; not \
         verifiable: 150 records",
    ]);
    scenario
        .rivulet(&["verify", "--allow-unverifiable"])
        .succeeds();

    // A result that is wrong is found all the same.
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
fn the_limits_of_the_cluster_are_shown_and_what_is_too_small_is_named() {
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
    let refusal = describe.fails();
    assert!(
        refusal.contains("the cluster differs from the file"),
        "{refusal}"
    );
    describe.says(&[
        "too small",
        &format!("warning: max.message.bytes of {smooth} is 100000, and the pipeline"),
    ]);
}
