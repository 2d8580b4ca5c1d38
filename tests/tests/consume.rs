//! `rivulet consume`: any topic, without a pipeline file.

use std::process::{Command, Stdio};

use rivulet_tests::records::{self, Record};
use rivulet_tests::{Kafka, PipelineBuilder, Process, Scenario, programs, wait};
use serde_json::{Value, json};

/// A topic on the shared broker, and no pipeline.
struct Topic {
    scenario: Scenario,
    name: String,
}

impl Topic {
    fn new(partitions: i32) -> Self {
        let scenario = Scenario::on(Kafka::shared(), PipelineBuilder::new());
        let name = scenario.name("readings");
        records::create_topic(scenario.brokers(), &name, partitions);
        Topic { scenario, name }
    }

    fn produce(&self, records: &[Record]) {
        records::produce(self.scenario.brokers(), &self.name, records);
    }

    /// Starts `rivulet consume` on the topic. A group and a file get names of their own.
    fn consume(&self, arguments: &[&str]) -> Process {
        let mut all = vec!["consume", &self.name];
        all.extend(arguments);
        self.scenario.tool(&all)
    }

    /// Runs `rivulet consume` to its end.
    fn consumed(&self, arguments: &[&str]) -> Process {
        let mut process = self.consume(&[arguments, &["--until-end"]].concat());
        process.succeeds();
        process
    }
}

/// Records with the keys k0 to k4 in turn.
fn keyed(count: usize) -> Vec<Record> {
    (0..count)
        .map(|number| Record::of(number.to_string()).key(format!("k{}", number % 5)))
        .collect()
}

fn lines(process: &Process) -> Vec<String> {
    process.out().lines().map(str::to_owned).collect()
}

#[test]
fn every_part_of_a_record_is_shown() {
    let topic = Topic::new(1);
    topic.produce(&[
        Record::of("20.5 °C")
            .key("hall")
            .with_header("unit", "c")
            .with_header("record_name", "measured"),
        Record::of(&b"\xff\0"[..]),
        Record::default().key("hall"),
    ]);
    let shown = topic.consumed(&[]);
    let place = |offset: usize| format!("  {} [0] @{offset}  ", topic.name);
    let found = lines(&shown);
    assert!(
        found[0].starts_with(&format!("hall{}", place(0))),
        "{found:?}"
    );
    assert!(
        found[0].ends_with("Z  record_name=measured unit=c  20.5 °C"),
        "{found:?}"
    );
    assert!(found[1].starts_with(&format!("-{}", place(1))), "{found:?}");
    assert!(
        found[1].ends_with("Z  0xff00") && found[2].ends_with("(tombstone)"),
        "{found:?}"
    );
    assert!(shown.err().ends_with("\n3 records\n"), "{}", shown.err());

    let shown = topic.consumed(&["--json", "--key", "hall"]);
    let objects: Vec<Value> = lines(&shown)
        .iter()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect();
    assert_eq!(objects.len(), 2);
    assert_eq!(
        (&objects[0]["value"], &objects[1]["value"]),
        (&json!("20.5 °C"), &Value::Null)
    );
    assert_eq!(
        objects[0]["headers"][1],
        json!({ "name": "record_name", "value": "measured" })
    );
    assert!(shown.err().ends_with("2 of 3 records\n"), "{}", shown.err());

    let shown = topic.consumed(&["--key", "attic"]);
    assert!(
        shown
            .err()
            .ends_with("nothing with this key among 3 records\n"),
        "{}",
        shown.err()
    );
}

#[test]
fn it_starts_and_ends_where_it_is_told() {
    let topic = Topic::new(2);
    let records = |numbers: std::ops::Range<usize>| -> Vec<Record> {
        numbers
            .map(|number| Record::of(number.to_string()).key("a"))
            .collect()
    };
    records::produce_at(
        topic.scenario.brokers(),
        &topic.name,
        &records(0..30),
        1_000_000,
    );
    records::produce_at(
        topic.scenario.brokers(),
        &topic.name,
        &records(30..50),
        2_000_000,
    );
    let of_key =
        |options: &[&str]| lines(&topic.consumed(&[options, &["--key", "a"]].concat())).len();
    assert_eq!(of_key(&[]), 50);
    assert_eq!(of_key(&["--from", "latest"]), 0);
    assert_eq!(of_key(&["--from", "1970-01-01T00:20:00Z"]), 20);
    assert_eq!(of_key(&["--limit", "7"]), 7);
    let partitions = ["0", "1"].map(|number| of_key(&["--partition", number, "--from", "45"]));
    assert!(
        partitions.contains(&5) && partitions.contains(&0),
        "{partitions:?}"
    );

    let mut live = topic.consume(&["--from", "latest"]);
    live.says(&["assigned"]);
    // It may not have looked up the end yet: what is produced until it shows something is shown
    // from some record on.
    wait::until_true("a new record is shown", || {
        topic.produce(&records(50..51));
        lines(&live).iter().any(|line| line.ends_with("  50"))
    });
    live.stop();
    assert!(!live.out().contains("  49\n"), "{}", live.out());

    let missing = topic
        .scenario
        .tool(&["consume", "no-such-topic"])
        .fails_with(66);
    assert!(missing.contains("there is no such topic"), "{missing}");
    assert!(
        missing.contains("rivulet topics create no-such-topic"),
        "{missing}"
    );
}

/// How many partitions each member had at the end, and how many records it read.
fn shares(process: &Process) -> Vec<(usize, u64)> {
    let err = process.err();
    (1..=2)
        .map(|number| {
            let of = |start: &str| {
                let start = format!("member {number}: {start}");
                err.lines()
                    .filter_map(|line| line.strip_prefix(&start))
                    .next_back()
            };
            let partitions = of("assigned").expect("it is assigned partitions");
            let partitions = partitions
                .split_once('[')
                .map_or(0, |(_, list)| list.split(' ').count());
            let records = of("")
                .and_then(|line| line.split(' ').next())
                .expect("it is counted");
            (partitions, records.parse().expect("a number"))
        })
        .collect()
}

#[test]
fn members_share_the_partitions_and_groups_get_everything() {
    let topic = Topic::new(16);
    topic.produce(
        &(0..1000)
            .map(|number: usize| Record::of("x").key(number.to_string()))
            .collect::<Vec<_>>(),
    );
    for group in ["first", "second"] {
        let group = topic.scenario.name(group);
        let members = ["--group", &group, "--members", "2", "--quiet"];
        let shared = topic.consumed(&members);
        let [(8, one), (8, other)] = shares(&shared)[..] else {
            panic!("each has 8 of 16 partitions: {}", shared.err())
        };
        assert_eq!(one + other, 1000);
        assert!(one > 300 && other > 300, "both read: {one}, {other}");
        assert!(
            shared.err().ends_with("\n1000 records\n"),
            "{}",
            shared.err()
        );
        assert_eq!(shared.out(), "");
        // The group has read everything.
        let again = topic.consumed(&["--group", &group]);
        assert!(again.err().ends_with("no records\n"), "{}", again.err());
    }
    // What is not committed is read again.
    let group = topic.scenario.name("never");
    for _ in 0..2 {
        let read = topic.consumed(&["--group", &group, "--commit", "never", "--quiet"]);
        assert!(read.err().ends_with("\n1000 records\n"), "{}", read.err());
    }
}

/// How many records are in a database.
fn stored(topic: &Topic, file: &str) -> i64 {
    let path = topic.scenario.path(file);
    let Ok(database) = rusqlite::Connection::open(path) else {
        return 0;
    };
    let count = database.query_row("SELECT count(*) FROM records", [], |row| row.get(0));
    count.unwrap_or_default()
}

#[test]
fn a_kill_before_the_commit_stores_twice_only_without_offsets() {
    for (option, expected) in [("--store", 1), ("--commit-after-store", 2)] {
        let topic = Topic::new(1);
        topic.produce(&[Record::of("20.5")]);
        let group = topic.scenario.name("drill");
        let mut options = vec!["--group", &group, "--store", "a.db"];
        if option != "--store" {
            options.push(option);
        }
        let mut killed = topic.consume(&[&options[..], &["--store-delay", "10m"]].concat());
        wait::until_true("the record is stored", || stored(&topic, "a.db") == 1);
        killed.kill();
        let mut again = topic.consume(&options);
        wait::until_true("the offset is committed", || {
            records::committed(topic.scenario.brokers(), &group, &topic.name) == 1
                || (option == "--store" && again.err().contains("assigned"))
        });
        topic.produce(&[Record::of("21.5")]);
        wait::until_true("the next record is stored", || {
            stored(&topic, "a.db") > expected
        });
        again.stop();
        assert_eq!(
            stored(&topic, "a.db"),
            expected + 1,
            "{option}: {}",
            again.report()
        );
    }
}

#[test]
fn a_closed_pipe_ends_it_without_an_error() {
    let topic = Topic::new(1);
    topic.produce(&keyed(20_000));
    let brokers = topic.scenario.brokers();
    for arguments in [
        &["consume", &topic.name, "--brokers", brokers][..],
        &["completions", "bash"],
        &["catalog"],
        &["check", "--schema"],
        &["man"],
    ] {
        let mut child = Command::new(programs::program("rivulet"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it was built");
        drop(child.stdout.take());
        let ended = child.wait_with_output().expect("it is a child process");
        let err = String::from_utf8_lossy(&ended.stderr);
        assert!(
            ended.status.success(),
            "{arguments:?}: {} {err}",
            ended.status
        );
        assert!(
            !err.contains("panicked") && !err.contains("error"),
            "{arguments:?}: {err}"
        );
    }
}
