//! Plain clients of other libraries read what `produce` sends, and are read by `consume`.

use std::fs::File;
use std::process::{Command, Stdio};

use rivulet_tests::records;
use rivulet_tests::{Kafka, PipelineBuilder, Process, Scenario, programs};

const COUNT: usize = 200;

/// Lines KEY VALUE, with five keys.
fn lines() -> Vec<String> {
    (0..COUNT)
        .map(|number| format!("k{} {{\"n\":{number}}}", number % 5))
        .collect()
}

/// A plain client: `produce` or `consume`.
fn client(library: &str, act: &str, scenario: &Scenario, topic: &str) -> Command {
    if library == "kcat" {
        let mut command = Command::new("kcat");
        command.args(["-q", "-b", scenario.brokers(), "-t", topic]);
        match act {
            "produce" => command.args(["-P", "-K", " ", "-H", "from=kcat"]),
            _ => command
                .args(["-C", "-e", "-f", "%k %h %s\n", "-X"])
                .arg("isolation.level=read_committed"),
        };
        return command;
    }
    let mut command = Command::new(programs::target().join("clients/bin/python3"));
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/registry/plain.py"))
        .args([act, library, scenario.brokers(), topic]);
    command
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn other_libraries_read_and_write_the_same_records() {
    let scenario = Scenario::on(Kafka::shared(), PipelineBuilder::new());
    scenario.write("lines", lines().join("\n") + "\n");
    let values: Vec<String> = lines()
        .iter()
        .filter_map(|line| Some(line.split_once(' ')?.1.to_owned() + "\n"))
        .collect();
    scenario.write("values", values.concat());
    let input = || File::open(scenario.path("lines")).expect("it was just written");

    for library in ["kcat", "confluent", "kafka-python"] {
        // What it writes.
        let topic = scenario.name(&format!("from-{library}"));
        records::create_topic(scenario.brokers(), &topic, 3);
        let mut produce = client(library, "produce", &scenario, &topic);
        Process::start(format!("{library} produces"), produce.stdin(input())).succeeds();
        let mut consume = scenario.tool(&["consume", &topic, "--until-end"]);
        consume.succeeds();
        let header = format!("  from={library}  ");
        let read = consume.out();
        let read = read.lines().map(|line| {
            let (before, value) = line.split_once(&header).expect("the header is shown");
            let key = before.split(' ').next().expect("the key is shown");
            format!("{key} {value}")
        });
        assert_eq!(sorted(read.collect()), sorted(lines()), "{library}");

        // What it reads: only the second transaction.
        let topic = scenario.name(&format!("to-{library}"));
        records::create_topic(scenario.brokers(), &topic, 3);
        for abort in ["1", "0"] {
            let options = [
                "produce",
                &topic,
                "values",
                "--key-field",
                "n",
                "--header",
                "from=x",
            ];
            let transaction = ["--transaction", "1000", "--abort", abort];
            scenario
                .tool(&[&options[..], &transaction].concat())
                .succeeds();
        }
        let mut consume = client(library, "consume", &scenario, &topic);
        let mut consume =
            Process::start(format!("{library} consumes"), consume.stdin(Stdio::null()));
        consume.succeeds();
        let read = consume.out();
        let read = read.lines().map(|line| line.replace("from=x", "x"));
        let expected = (0..COUNT).map(|number| format!("{number} x {{\"n\":{number}}}"));
        assert_eq!(
            sorted(read.collect()),
            sorted(expected.collect()),
            "{library}"
        );
    }
}
