//! `rivulet dlq`: dead letters are listed, shown, replayed exactly once, and dropped.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use rivulet_core::exit;
use rivulet_tests::chain::CONVERT;
use rivulet_tests::records::{self, Record};
use rivulet_tests::{PipelineBuilder, Scenario};

fn scenario(partitions: u32) -> Scenario {
    let input = format!("external = true\npartitions = {partitions}");
    Scenario::new(
        PipelineBuilder::new()
            .topic("in", &input)
            .operator("convert", "in", CONVERT, "out"),
    )
}

fn reading(seq: usize, unit: &str) -> Record {
    let value = format!(r#"{{"sensor":"a","seq":{seq},"time":0,"value":{seq},"unit":"{unit}"}}"#);
    Record::of(value).key("a").with_header("n", seq.to_string())
}

/// The output of `rivulet dlq` with these arguments.
fn dlq(scenario: &Scenario, arguments: &[&str]) -> String {
    let mut command = scenario.rivulet(&[&["dlq"], arguments].concat());
    command.succeeds();
    command.out()
}

/// How many dead letters are open, replayed and dropped, by reason.
fn counts(scenario: &Scenario) -> BTreeMap<String, [u64; 3]> {
    let listed: serde_json::Value =
        serde_json::from_str(&dlq(scenario, &["ls", "--json"])).expect("it is JSON");
    let groups = listed.as_array().expect("it is a list").iter();
    let count =
        |group: &serde_json::Value, name: &str| group[name].as_u64().expect("it is a count");
    groups
        .map(|group| {
            let reason = group["reason"].as_str().expect("it is a word").to_owned();
            (
                reason,
                ["open", "replayed", "dropped"].map(|name| count(group, name)),
            )
        })
        .collect()
}

/// How often each record occurs, by key, value and headers.
fn times(records: &[Record]) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for Record {
        key,
        value,
        headers,
        ..
    } in records
    {
        *times
            .entry(format!("{key:?} {value:?} {headers:?}"))
            .or_default() += 1;
    }
    times
}

#[test]
fn dead_letters_are_listed_shown_replayed_and_dropped() {
    let scenario = scenario(1);
    let (topic, dead_letters) = (scenario.name("in"), scenario.dead_letters("convert"));
    let convert = scenario.name("convert");
    assert_eq!(dlq(&scenario, &["ls"]), "no dead letters\n");
    assert_eq!(dlq(&scenario, &["replay", "--yes"]), "nothing to replay\n");

    let tombstone = Record {
        key: Some(b"gone".to_vec()),
        ..Record::default()
    };
    let sent = [
        reading(0, "celsius"),
        reading(1, "kelvin"),
        Record::of("abc"),
        reading(2, "kelvin"),
        tombstone,
    ];
    records::produce(scenario.brokers(), &topic, &sent);
    scenario.drain("convert");
    let foreign = Record::of(b"\xff\xfe".to_vec())
        .with_header("rivulet.topic", "in")
        .with_header("rivulet.offset", "x");
    records::produce(scenario.brokers(), &dead_letters, &[foreign]);
    let open = |count| [count, 0, 0];
    let expected = [
        ("foreign", open(1)),
        ("no-value", open(1)),
        ("not-json", open(1)),
        ("wrong-unit", open(2)),
    ];
    assert_eq!(
        counts(&scenario),
        expected
            .map(|(reason, counts)| (reason.to_owned(), counts))
            .into()
    );
    let listed = dlq(&scenario, &["ls", &convert, "--since", "1h"]);
    assert!(
        listed.contains("the reading is in kelvin") && listed.contains("5 open"),
        "{listed}"
    );
    assert_eq!(
        dlq(&scenario, &["ls", "--until", "1h"]),
        "no dead letters\n"
    );

    let shown = dlq(&scenario, &["show", "--reason", "not-json"]);
    for words in [
        &format!("from     {topic} [0] at offset 2"),
        "reason   not-json",
        "value    abc",
        "key      (none)",
    ] {
        assert!(shown.contains(words), "{words} in {shown}");
    }
    let shown = dlq(&scenario, &["show", "--reason", "foreign"]);
    assert!(
        shown.contains("foreign  no stage wrote it") && shown.contains("value    0xfffe"),
        "{shown}"
    );

    let error = scenario.rivulet(&["dlq", "replay"]).fails();
    assert!(
        error.contains("nothing was replayed: there is no terminal") && error.contains("--yes"),
        "{error}"
    );
    let planned = dlq(
        &scenario,
        &["replay", &convert, "--reason", "wrong-unit", "--dry-run"],
    );
    assert!(
        planned.contains(&format!("replay  2 dead letters of {convert} to {topic}")),
        "{planned}"
    );
    assert_eq!(
        scenario.read("in", 0).len(),
        sent.len(),
        "a dry run sends nothing"
    );

    let said = dlq(
        &scenario,
        &["replay", &convert, "--reason", "wrong-unit", "--yes"],
    );
    assert!(said.ends_with("replayed 2\n"), "{said}");
    let input = scenario.read("in", sent.len() + 2);
    let expected = times(&[sent[1].clone(), sent[3].clone()]);
    assert_eq!(
        times(&input[sent.len()..]),
        expected,
        "exactly the originals"
    );
    assert_eq!(counts(&scenario)["wrong-unit"], [0, 2, 0]);
    assert_eq!(
        dlq(&scenario, &["replay", "--reason", "wrong-unit", "--yes"]),
        "nothing to replay\n"
    );

    let said = dlq(&scenario, &["drop", "--yes", "--offset", "1..90"]);
    assert!(said.contains("dropped 3"), "{said}");
    let expected = [
        ("foreign", [0, 0, 1]),
        ("no-value", [0, 0, 1]),
        ("not-json", [0, 0, 1]),
        ("wrong-unit", [0, 2, 0]),
    ];
    assert_eq!(
        counts(&scenario),
        expected
            .map(|(reason, counts)| (reason.to_owned(), counts))
            .into()
    );
    assert!(dlq(&scenario, &["ls"]).contains("\nno dead letters are open\n"));
    assert_eq!(dlq(&scenario, &["show"]), "");
    assert!(dlq(&scenario, &["show", "--handled", "--offset", "0"]).contains(", replayed\n"));

    // The replayed records are invalid again, as they should be.
    scenario.drain("convert");
    assert_eq!(counts(&scenario)["wrong-unit"], [2, 2, 0]);
    let shown = dlq(&scenario, &["show", "--handled", "--reason", "wrong-unit"]);
    let entered: Vec<&str> = shown
        .lines()
        .filter(|line| line.starts_with("  entered"))
        .collect();
    assert_eq!(
        (entered.len(), &entered[..2]),
        (4, &entered[2..]),
        "the timestamps are those of the originals"
    );
    scenario.verify();
}

#[test]
fn replayed_readings_of_a_corrected_pipeline_verify() {
    let scenario = scenario(1);
    let readings: Vec<Record> = (0..20).map(|seq| reading(seq, "kelvin")).collect();
    records::produce(scenario.brokers(), &scenario.name("in"), &readings);
    scenario.drain("convert");
    scenario.verify();
    let text = fs::read_to_string(scenario.path("pipeline.toml")).expect("the scenario wrote it");
    scenario.write("pipeline.toml", text.replace("celsius", "kelvin"));
    let found = scenario.rivulet(&["verify"]).fails();
    assert!(found.contains("do not hold what they must"), "{found}");
    assert!(dlq(&scenario, &["replay", "--yes"]).ends_with("replayed 20\n"));
    scenario.drain("convert");
    let values = scenario.values("out", 20);
    assert!(
        (values[0] - -459.67).abs() < 1e-9 && values.len() == 20,
        "{values:?}"
    );
    scenario.verify();
}

#[test]
fn a_replay_that_is_killed_often_sends_each_dead_letter_once() {
    const DEAD_LETTERS: usize = 5000;
    let scenario = scenario(4);
    let sent: Vec<Record> = (0..DEAD_LETTERS)
        .map(|n| {
            Record::of(format!("bad {n}"))
                .key(format!("key {}", n % 50))
                .with_header("n", n.to_string())
        })
        .collect();
    records::produce(scenario.brokers(), &scenario.name("in"), &sent);
    scenario.drain("convert");
    let (mut kills, start) = (0, Instant::now());
    loop {
        let before = scenario.written("in");
        let mut replay = scenario.rivulet(&["dlq", "replay", "--yes"]);
        // Killed at another point each time, sometimes within a transaction.
        while replay.is_running() && scenario.written("in") < before + 1 + 17 * kills {}
        if !replay.is_running() {
            replay.succeeds();
            break;
        }
        replay.kill();
        kills += 1;
        assert!(kills < 200, "it makes no progress");
    }
    println!("{kills} kills in {:.1?}", start.elapsed());
    assert!(kills >= 3, "only {kills} kills");
    let input = scenario.read("in", 2 * DEAD_LETTERS);
    assert_eq!(input.len(), 2 * DEAD_LETTERS);
    assert!(
        times(&input).values().all(|times| *times == 2),
        "every original exactly once more"
    );
    assert_eq!(counts(&scenario)["not-json"], [0, DEAD_LETTERS as u64, 0]);
    scenario.drain("convert");
    assert_eq!(
        counts(&scenario)["not-json"],
        [DEAD_LETTERS as u64, DEAD_LETTERS as u64, 0]
    );
    scenario.verify();
}

#[test]
fn concurrent_replays_send_each_dead_letter_once() {
    const DEAD_LETTERS: usize = 2000;
    let scenario = scenario(4);
    let sent: Vec<Record> = (0..DEAD_LETTERS)
        .map(|n| Record::of(format!("bad {n}")).key(n.to_string()))
        .collect();
    records::produce(scenario.brokers(), &scenario.name("in"), &sent);
    scenario.drain("convert");
    let mut replays = [0; 3].map(|_| scenario.rivulet(&["dlq", "replay", "--yes"]));
    let codes = replays
        .each_mut()
        .map(|replay| replay.ends_within(Duration::from_mins(1)));
    println!("{codes:?}");
    assert!(codes.contains(&0), "the last one must succeed");
    for (code, replay) in codes.iter().zip(&replays) {
        let said = replay.err();
        assert!(
            *code == 0 || said.contains("the last to start fences the others"),
            "{said}"
        );
    }
    let input = scenario.read("in", 2 * DEAD_LETTERS);
    assert_eq!(input.len(), 2 * DEAD_LETTERS);
    assert!(
        times(&input).values().all(|times| *times == 2),
        "every original exactly once more"
    );
    assert_eq!(counts(&scenario)["not-json"], [0, DEAD_LETTERS as u64, 0]);
}

#[test]
fn a_dead_letter_without_a_topic_is_skipped_and_can_be_dropped() {
    let source = "{ file = { path = \"readings.csv\", value = \"celsius\" } }";
    let scenario = Scenario::new(PipelineBuilder::new().producer("replay", source, "in"));
    scenario.write(
        "readings.csv",
        "sensor,time,celsius\na,2012-01-01T00:00:00Z,10\na,2012-01-02T00:00:00Z,warm\n",
    );
    scenario.start("replay").succeeds();
    let said = dlq(&scenario, &["replay", "--yes"]);
    assert!(
        said.contains("skip    1 dead letter")
            && said.contains("which is not a topic; it can be dropped"),
        "{said}"
    );
    assert!(said.ends_with("nothing to replay\n"), "{said}");
    assert!(dlq(&scenario, &["drop", "--yes"]).ends_with("dropped 1\n"));
    let kept = format!(
        "\nno dead letters are open\n{} keeps records for 7 d\n",
        scenario.dead_letters("replay")
    );
    assert!(dlq(&scenario, &["ls"]).ends_with(&kept));
}

#[test]
fn more_dead_letters_than_memory_are_an_error() {
    const FLOOD: usize = 100_000;
    let scenario = scenario(1);
    let dead_letters = scenario.dead_letters("convert");
    let sent = vec![Record::of("x"); FLOOD];
    records::produce(scenario.brokers(), &dead_letters, &sent);
    assert!(dlq(&scenario, &["ls"]).contains(&format!("{FLOOD} open")));
    let limit = ["dlq", "ls", "--memory-max", "16 MB"];
    let said = scenario.rivulet(&limit).fails_with(exit::TOO_LARGE);
    for words in [
        &format!("reading {dead_letters}: it takes more than the 16 MB of memory"),
        "--since",
        "--memory-max",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
}

#[test]
fn errors_are_reported_in_time() {
    let pipeline = PipelineBuilder::new()
        .topic("in", "external = true")
        .operator("convert", "in", CONVERT, "out");
    let unreachable = Scenario::on("127.0.0.1:1", pipeline.clone());
    let start = Instant::now();
    let said = unreachable.rivulet(&["dlq", "ls"]).fails();
    assert!(
        said.contains("asking 127.0.0.1:1 for the topics") && said.contains("--brokers"),
        "{said}"
    );
    assert!(start.elapsed() < Duration::from_secs(20));
    let said = unreachable.rivulet(&["dlq", "ls", "convrt"]).fails();
    assert!(said.contains("has no stage `convrt`"), "{said}");
    for (option, value, words) in [
        ("--since", "soon", "how long ago"),
        ("--offset", "9..7", "write 3, 7..9"),
    ] {
        let mut command = unreachable.rivulet(&["dlq", "ls", option, value]);
        assert_eq!(
            command.ends_within(Duration::from_secs(20)),
            2,
            "{value} is a usage error"
        );
        assert!(command.err().contains(words), "{}", command.err());
    }
    let without_topics = Scenario::on(rivulet_tests::Kafka::shared(), pipeline);
    let said = without_topics.rivulet(&["dlq", "ls"]).fails();
    assert!(
        said.contains("there is no such topic") && said.contains("rivulet topics create"),
        "{said}"
    );
}
