//! `rivulet produce`: records of a file or of a pipe reach any topic, with a plain client at the
//! other end.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

use rivulet_core::exit;
use rivulet_tests::records::{self, Record};
use rivulet_tests::{Kafka, PipelineBuilder, Process, Scenario, programs, wait};
use serde_json::json;

use crate::kcat::kcat_reads;

/// Topics on the shared broker, without a pipeline.
fn scenario(topics: &[&str]) -> Scenario {
    let scenario = Scenario::on(Kafka::shared(), PipelineBuilder::new());
    for topic in topics {
        records::create_topic(scenario.brokers(), &scenario.name(topic), 4);
    }
    scenario
}

/// Starts `rivulet produce`, without a pipeline file. Words that end with `@` are topics, or
/// several with commas.
fn produce(scenario: &Scenario, input: impl Into<Stdio>, arguments: &[&str]) -> Process {
    let topics = |names: &str| {
        let names = names.split(',').map(|name| scenario.name(name));
        names.collect::<Vec<_>>().join(",")
    };
    let named = arguments
        .iter()
        .map(|argument| match argument.strip_suffix('@') {
            Some(names) => topics(names),
            None => (*argument).to_owned(),
        });
    let mut command = Command::new(programs::program("rivulet"));
    command
        .arg("produce")
        .args(named)
        .args(["--brokers", scenario.brokers()])
        .current_dir(scenario.path(""))
        .stdin(input);
    programs::forget_settings(&mut command);
    Process::start(
        format!("rivulet produce {}", arguments.join(" ")),
        &mut command,
    )
}

fn values(records: &[Record]) -> Vec<String> {
    let value = |record: &Record| record.value.clone().unwrap_or_default();
    let text = |record| String::from_utf8(value(record)).expect("it is text");
    records.iter().map(text).collect()
}

fn keys(records: &[Record]) -> Vec<String> {
    let key = |record: &Record| record.key.clone().unwrap_or_default();
    let text = |record| String::from_utf8(key(record)).expect("it is text");
    records.iter().map(text).collect()
}

/// How often each occurs.
fn counts(texts: Vec<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for text in texts {
        *counts.entry(text).or_default() += 1;
    }
    counts
}

/// The lines 1 to `last`.
fn numbers(last: u32) -> String {
    let numbers = (1..=last).map(|number| number.to_string());
    numbers.collect::<Vec<_>>().join("\n")
}

#[test]
fn two_producers_send_an_array_of_a_thousand_twice() {
    let scenario = scenario(&["out"]);
    let element = |number| json!({ "number": number, "text": "[\"]" });
    let array: Vec<_> = (0..1000).map(element).collect();
    scenario.write(
        "a.json",
        serde_json::to_string_pretty(&array).expect("it is JSON"),
    );
    let mut sent = produce(
        &scenario,
        Stdio::null(),
        &[
            "out@",
            "a.json",
            "--producers",
            "2",
            "--header",
            "from=a test",
        ],
    );
    sent.succeeds();
    for words in [
        "producer0: sent 1000",
        "producer1: sent 1000",
        "\nsent 2000",
    ] {
        assert!(sent.err().contains(words), "{}", sent.report());
    }
    let found = scenario.read("out", 2000);
    let expected = ["producer0", "producer1"].map(|key| (key.to_owned(), 1000));
    assert_eq!(counts(keys(&found)), expected.into());
    assert!(found.iter().all(|record| record.header("from") == "a test"));
    let each = counts(values(&found));
    assert_eq!((each.len(), each.values().max()), (1000, Some(&2)));
    let first: serde_json::Value = serde_json::from_str(&values(&found)[0]).expect("it is JSON");
    assert_eq!(first["text"], "[\"]");
}

#[test]
fn random_keys_are_the_same_in_a_run_with_the_same_seed() {
    let scenario = scenario(&["first", "second", "third"]);
    scenario.write("lines", numbers(1000));
    let keyed = |topic: &str, seed: &[&str]| {
        let to = format!("{topic}@");
        let arguments = [&[&to, "lines", "--random-key", "1..5"], seed].concat();
        let mut sent = produce(&scenario, Stdio::null(), &arguments);
        sent.succeeds();
        let found = scenario.read(topic, 1000);
        let keys: BTreeMap<_, _> = values(&found).into_iter().zip(keys(&found)).collect();
        assert_eq!(keys.len(), 1000);
        (keys, sent.err())
    };
    let (first, said) = keyed("first", &[]);
    let five = counts(first.values().cloned().collect());
    assert_eq!(five.keys().collect::<Vec<_>>(), ["1", "2", "3", "4", "5"]);
    assert_eq!(five.values().sum::<usize>(), 1000);
    // The printed seed repeats the run.
    let seed = said.lines().find_map(|line| line.strip_prefix("seed "));
    let seed = seed.unwrap_or_else(|| panic!("no seed in {said}"));
    assert_eq!(keyed("second", &["--seed", seed]).0, first);
    let other = if seed == "7" { "8" } else { "7" };
    assert_ne!(keyed("third", &["--seed", other]).0, first);
}

#[test]
fn lines_of_a_pipe_go_to_one_partition_with_reports() {
    let scenario = scenario(&["out"]);
    scenario.write("lines", "21.5 °C\r\n\n22");
    let lines = File::open(scenario.path("lines")).expect("it was just written");
    let arguments = ["out@", "--partition", "3", "--count-keys", "--reports"];
    let mut sent = produce(&scenario, lines, &arguments);
    sent.succeeds();
    let topic = scenario.name("out");
    let lines = (0..3).map(|key| format!("{key}  {topic} [3] @{key}"));
    let expected = lines.collect::<Vec<_>>();
    assert_eq!(
        sent.out().lines().collect::<Vec<_>>(),
        expected,
        "{}",
        sent.report()
    );
    assert_eq!(sent.err(), format!("sent 3 records to {topic}\n"));
    let found = scenario.read("out", 3);
    assert_eq!(values(&found), ["21.5 °C", "", "22"]);
    assert!(found.iter().all(|record| record.partition == 3));
    assert_eq!(kcat_reads(&scenario, "out"), "21.5 °C\n\n22\n");
}

#[test]
fn a_transaction_over_two_topics_is_there_in_both_or_in_none() {
    let scenario = scenario(&["debits", "credits"]);
    scenario.write("lines", numbers(42));
    let transactions = ["--transaction", "4", "--abort", "0.5", "--seed", "3"];
    let arguments = [&["debits,credits@", "lines"][..], &transactions].concat();
    let mut sent = produce(&scenario, Stdio::null(), &arguments);
    sent.succeeds();
    // What the command says that it has committed. The last transaction has two records.
    let said = sent.out();
    assert_eq!(said.lines().count(), 11, "{}", sent.report());
    let mut expected: [Vec<String>; 2] = <_>::default();
    for (number, line) in (0..).zip(said.lines()) {
        let last = (4 * number + 4).min(42);
        let size = last - 4 * number;
        let begin = format!("transaction {}: ", number + 1);
        match line.strip_prefix(&begin) {
            Some(how) if how == format!("committed {size} records") => {
                for record in 4 * number + 1..=last {
                    expected[(record + 1) % 2].push(record.to_string());
                }
            }
            Some(how) => assert_eq!(how, format!("aborted {size} records")),
            None => panic!("{line:?} in {}", sent.report()),
        }
    }
    let [debits, credits] = expected;
    let committed = debits.len() + credits.len();
    assert!((1..42).contains(&committed), "{}", sent.report());
    let summary = format!("committed {committed} records in ");
    assert!(sent.err().contains(&summary), "{}", sent.report());
    for (topic, mut expected) in [("debits", debits), ("credits", credits)] {
        let mut found = values(&scenario.read(topic, expected.len()));
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{topic}");
    }
}

#[test]
fn a_stop_ends_the_transaction_that_is_held_open() {
    let scenario = scenario(&["out"]);
    scenario.write("lines", numbers(9));
    let arguments = ["out@", "lines", "--transaction", "4", "--hold", "1h"];
    let mut held = produce(
        &scenario,
        Stdio::null(),
        &[&arguments[..], &["--timeout", "9"]].concat(),
    );
    // An hour is more than the brokers allow.
    let error = held.fails_with(exit::USAGE);
    assert!(error.contains("transaction.max.timeout.ms"), "{error}");

    let arguments = ["out@", "lines", "--transaction", "4", "--hold", "10m"];
    let mut held = produce(&scenario, Stdio::null(), &arguments);
    let topic = scenario.name("out");
    wait::until_true("four uncommitted records are in the topic", || {
        let end = |partition| records::end(scenario.brokers(), &topic, partition);
        (0..4).map(end).sum::<i64>() >= 4
    });
    assert_eq!(scenario.written("out"), 0);
    held.stop();
    assert_eq!(
        held.out(),
        "transaction 1: committed 4 records\n",
        "{}",
        held.report()
    );
    assert_eq!(scenario.read("out", 4).len(), 4);
}

#[test]
fn a_stop_ends_a_command_that_waits_for_its_input() {
    let scenario = scenario(&["out"]);
    // Nobody writes, and nobody closes the other end.
    let (input, mut typing) = std::io::pipe().expect("a pipe");
    let mut waiting = produce(&scenario, input, &["out@", "--flush-every", "1"]);
    std::io::Write::write_all(&mut typing, b"a\nb").expect("it is read");
    assert_eq!(values(&scenario.read("out", 1)), ["a"]);
    waiting.stop();
    waiting.says(&["sent 1 record to "]);
    // A line without an end was not finished.
    assert_eq!(values(&scenario.read("out", 1)), ["a"]);
}

#[test]
fn a_missing_topic_and_a_broken_array_are_errors() {
    let scenario = scenario(&["out"]);
    let mut missing = produce(&scenario, Stdio::null(), &["none@", "nothing.json"]);
    let error = missing.fails_with(exit::MISSING);
    let remedy = format!("`rivulet topics create {}`", scenario.name("none"));
    assert!(error.contains(&remedy), "{error}");

    scenario.write("broken.json", "[{\"a\":1},\n{\"a\":2},\n{\"a\" 3}]");
    let arguments = ["out@", "broken.json", "--key-field", "/a"];
    let error = produce(&scenario, Stdio::null(), &arguments).fails_with(exit::CORRUPT);
    assert!(
        error.contains("broken.json: ") && error.contains("line 3 column 6"),
        "{error}"
    );
    assert!(error.contains("sent 2 records"), "{error}");
    let mut found = keys(&scenario.read("out", 2));
    found.sort();
    assert_eq!(found, ["1", "2"]);
}

#[test]
fn records_that_do_not_fit_the_topic_are_named_and_others_do() {
    let scenario = scenario(&[]);
    let settings = [("max.message.bytes", "20000")];
    records::create_topic_with(scenario.brokers(), &scenario.name("out"), 1, settings);
    // Many records together are larger than the topic takes at once.
    let line = "x".repeat(900);
    scenario.write(
        "lines",
        format!(
            "{}{}\n",
            format!("{line}\n").repeat(500),
            "y".repeat(19_990)
        ),
    );
    let error = produce(&scenario, Stdio::null(), &["out@", "lines"]).fails_with(exit::TOO_LARGE);
    assert!(
        error.contains("record 501 is too large: it has 19990 bytes"),
        "{error}"
    );
    assert!(
        error.contains("500 of ") && error.contains("max.message.bytes"),
        "{error}"
    );
    assert_eq!(scenario.read("out", 500).len(), 500);
}

#[test]
fn a_broker_that_comes_back_in_time_loses_and_doubles_nothing() {
    let mut kafka = Kafka::start(&[]);
    let scenario = Scenario::on(kafka.brokers(), PipelineBuilder::new());
    records::create_topic(scenario.brokers(), &scenario.name("out"), 4);
    scenario.write("lines", numbers(3000));
    let arguments = ["out@", "lines", "--rate", "500", "--producers", "2"];
    let mut sent = produce(&scenario, Stdio::null(), &arguments);
    wait::until_true("records arrive", || scenario.written("out") > 100);
    kafka.kill();
    kafka.run();
    assert_eq!(sent.ends_within(2 * wait::LONG), 0, "{}", sent.report());
    sent.says(&["sent 6000 records to "]);
    let each = counts(values(&scenario.read("out", 6000)));
    assert_eq!((each.len(), each.values().sum::<usize>()), (3000, 6000));

    kafka.kill();
    let arguments = ["out@", "lines", "--timeout", "2"];
    let mut lost = produce(&scenario, Stdio::null(), &arguments);
    let code = lost.ends_within(Duration::from_secs(30));
    assert_eq!(code, i32::from(exit::UNREACHABLE), "{}", lost.report());
}
