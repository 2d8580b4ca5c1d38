//! kcat at both ends: plain numbers in, plain numbers out.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use rivulet_tests::chain::{AVERAGE, CELSIUS, EWMA, assert_close, chained};
use rivulet_tests::{PipelineBuilder, Process, Scenario, stop_all, wait};

#[test]
fn kcat_at_both_ends_sees_the_known_results() {
    let pipeline = PipelineBuilder::new()
        .settings("[defaults]\nformat = \"number\"")
        .topic(
            "temperatures_celsius",
            "format = \"number\"\nunit = \"celsius\"\nexternal = true",
        );
    let pipeline = chained(pipeline)
        .sink(
            "out-ewma",
            "temperatures_ewma",
            "{ console = { show = \"value\" } }",
        )
        .sink(
            "out-average",
            "temperatures_moving_average",
            "{ console = { show = \"value\" } }",
        );
    let scenario = Scenario::new(pipeline);
    let lines: Vec<String> = CELSIUS.iter().map(ToString::to_string).collect();
    let (first, second) = lines.split_at(6);

    kcat_produces(&scenario, "temperatures_celsius", first);
    let mut stages: Vec<Process> = ["average", "threshold", "ewma", "convert"]
        .iter()
        .map(|stage| scenario.start(stage))
        .collect();
    kcat_produces(&scenario, "temperatures_celsius", second);
    assert_eq!(
        scenario.read("temperatures_ewma", EWMA.len()).len(),
        EWMA.len()
    );
    assert_eq!(
        scenario
            .read("temperatures_moving_average", AVERAGE.len())
            .len(),
        AVERAGE.len()
    );
    let sinks = ["out-ewma", "out-average"].map(|sink| scenario.start(sink));
    for (sink, expected) in sinks.iter().zip([&EWMA[..], &AVERAGE]) {
        wait::until_true("a sink shows every value", || {
            numbers(&sink.out()).len() == expected.len()
        });
        assert_close(&numbers(&sink.out()), expected);
    }
    stages.extend(sinks);
    stop_all(&mut stages);

    assert_close(&kcat_consumes(&scenario, "temperatures_ewma"), &EWMA);
    assert_close(
        &kcat_consumes(&scenario, "temperatures_moving_average"),
        &AVERAGE,
    );
}

#[test]
fn a_header_name_that_is_not_utf_8_stops_nothing() {
    let scenario = Scenario::new(chained(
        PipelineBuilder::new().topic("temperatures_celsius", "external = true"),
    ));
    let mut convert = scenario.start("convert");
    let mut command = kcat(&scenario, "temperatures_celsius", "-P");
    command.arg("-H").arg(OsStr::from_bytes(b"\xff=1"));
    scenario.write("lines", "rubbish\n");
    let lines = File::open(scenario.path("lines")).expect("it was just written");
    Process::start(KCAT, command.stdin(lines)).succeeds();
    convert.says(&["dead letter 1", "not-json"]);
    convert.stop();
    let mut ls = scenario.rivulet(&["dlq", "show"]);
    ls.succeeds();
    ls.says(&["rubbish", "\u{fffd}"]);
}

const KCAT: &str = "kcat (which `make test` installs)";

pub(crate) fn kcat_produces(scenario: &Scenario, topic: &str, lines: &[String]) {
    scenario.write("lines", lines.join("\n") + "\n");
    let lines = File::open(scenario.path("lines")).expect("it was just written");
    let mut command = kcat(scenario, topic, "-P");
    // A key and a tab may come before the value.
    Process::start(KCAT, command.args(["-K", "\t"]).stdin(lines)).succeeds();
}

/// The values in a topic, a line each.
pub(crate) fn kcat_reads(scenario: &Scenario, topic: &str) -> String {
    let mut kcat = Process::start(KCAT, kcat(scenario, topic, "-C").stdin(Stdio::null()));
    kcat.succeeds();
    kcat.out()
}

fn kcat_consumes(scenario: &Scenario, topic: &str) -> Vec<f64> {
    numbers(&kcat_reads(scenario, topic))
}

/// The command of kcat. As a consumer it reads from the beginning to the end.
fn kcat(scenario: &Scenario, topic: &str, mode: &str) -> Command {
    let mut command = Command::new("kcat");
    command.args([mode, "-b", scenario.brokers(), "-t", &scenario.name(topic)]);
    if mode == "-C" {
        command.args([
            "-o",
            "beginning",
            "-e",
            "-q",
            "-X",
            "isolation.level=read_committed",
        ]);
    }
    command
}

/// The lines that are numbers. A sink prints a title first.
fn numbers(text: &str) -> Vec<f64> {
    text.lines().filter_map(|line| line.parse().ok()).collect()
}
