//! The pipeline at a terminal: `rivulet top`, typed at and read as a person does.

use std::process::Command;
use std::time::{Duration, Instant};

use rivulet_tests::chain::{add_comparison, chained, source};
use rivulet_tests::programs;
use rivulet_tests::records::{self, Record};
use rivulet_tests::{
    Endpoint, Kafka, PipelineBuilder, Process, Pty, Scenario, Signal, free_port, wait,
};
use serde_json::json;

/// The sizes that people have: a small one, and a whole screen.
const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (200, 60);

/// The key Esc.
const ESC: &str = "\x1b";

/// Waits until all these words are on the screen.
fn sees(pty: &Pty, words: &[&str]) -> String {
    pty.shows(&format!("{words:?}"), |screen| {
        words.iter().all(|word| screen.contains(word))
    })
}

/// Ends it with a key: the terminal is the shell's again.
fn ends(mut pty: Pty, key: &str) {
    pty.keys(key);
    assert_eq!(pty.ends(), 0, "{}", pty.screen());
    wait::until_true("the terminal is as before", || !pty.is_full_screen());
}

/// The worked example with readings of two sensors, processed, with a sink that compares and never
/// runs.
fn compared() -> Scenario {
    let file = "{ file = { path = \"readings.csv\", value = \"celsius\" } }";
    let pipeline = PipelineBuilder::new().producer("thermometer", file, "temperatures_celsius");
    let scenario = Scenario::new(chained(pipeline));
    add_comparison(&scenario, true, "");
    let rows = ["hall", "attic"]
        .into_iter()
        .enumerate()
        .flat_map(|(above, sensor)| {
            let values = rivulet_tests::chain::CELSIUS.into_iter();
            values.enumerate().map(move |(second, value)| {
                let value = value + above as f64;
                format!("{sensor},2024-01-01T00:00:{second:02}Z,{value}\n")
            })
        });
    let rows: String = rows.collect();
    scenario.write("readings.csv", format!("sensor,time,celsius\n{rows}"));
    scenario.start("thermometer").succeeds();
    let broken = Record::of("nobody reads this").key("hall");
    records::produce(
        scenario.brokers(),
        &scenario.in_kafka("temperatures_celsius"),
        &[broken],
    );
    for stage in rivulet_tests::chain::OPERATORS {
        scenario.drain(stage);
    }
    scenario
}

/// The words of a line that has this one.
fn words(text: &str, name: &str) -> Vec<String> {
    let line = text.lines().find(|line| line.contains(name));
    let line = line.unwrap_or_else(|| panic!("no line has {name}:\n{text}"));
    let (_, rest) = line.split_once(name).unwrap_or_default();
    let words = rest.split_whitespace();
    // Numbers have no thin spaces in between here, because they are small.
    words.map(|word| word.replace('−', "-")).collect()
}

#[test]
fn top_shows_stages_readings_and_what_is_compared() {
    let scenario = compared();
    let mut convert = scenario.start("convert");
    scenario.has_members("convert", 1);
    let mut top = scenario.at_terminal(&["top"], SMALL);
    let screen = sees(
        &top,
        &[
            "thermometer",
            "└─convert",
            "├─ewma",
            "running",
            "down",
            "sensor attic (1 of 2)",
            "EWMA",
            "moving average",
            "°F",
            "to 2024-01-01 00:00:13 UTC",
            "8 joined",
            "No process is asked",
        ],
    );
    assert!(top.has_colours() && top.is_full_screen(), "{screen}");

    top.keys("n");
    let screen = sees(&top, &["sensor hall (2 of 2)", "8 joined", "62.7406"]);
    let mut compare = scenario.rivulet(&["compare", "--once"]);
    compare.succeeds();
    let printed = compare.out();
    let (_, of_hall) = printed
        .split_once("hall: ")
        .expect("the sensor is compared");
    let cells = |name: &str| words(of_hall, name);
    let (ewma, average) = (cells("ewma  "), cells("average  "));
    assert_eq!(
        words(&screen, "last   "),
        [&*ewma[1], &*average[1]],
        "{screen}{printed}"
    );
    assert_eq!(
        words(&screen, "mean   "),
        [&*ewma[0], &*average[0]],
        "{screen}{printed}"
    );
    let (to_ewma, to_average) = (cells("ewma - input"), cells("average - input"));
    assert_eq!(
        words(&screen, "mean − input"),
        [&*to_ewma[0], &*to_average[0]],
        "{screen}{printed}"
    );
    assert_eq!(
        words(&screen, "rms to input"),
        [&*to_ewma[3], &*to_average[3]],
        "{screen}{printed}"
    );
    assert_eq!(
        words(&screen, "lag in steps"),
        [&*ewma[2], &*average[2]],
        "{screen}{printed}"
    );
    let between = cells("ewma - average");
    assert_eq!(
        words(&screen, "EWMA − average, mean"),
        [&*between[0]],
        "{screen}{printed}"
    );

    top.keys("/att\r");
    sees(&top, &["sensor attic (1 of 2)", "q end"]);
    top.keys("?");
    sees(&top, &["search a sensor", "Ctrl-C"]);
    top.keys(ESC);
    sees(&top, &["sensor attic"]);
    top.keys("j\r");
    sees(
        &top,
        &[
            "convert",
            "operator",
            "partition",
            "1 not-json",
            "nobody reads this",
            "at offset",
        ],
    );
    top.keys("q");
    sees(&top, &["sensor attic"]);
    top.resize(LARGE.0, LARGE.1);
    sees(&top, &["commits/s", "last minute", "memory", "smoothness"]);
    ends(top, "q");
    convert.stop();
}

#[test]
fn without_colours_top_has_none_and_a_signal_ends_it() {
    let scenario = compared();
    let mut top = scenario.at_terminal_with(&["top"], LARGE, &[("NO_COLOR", "1")]);
    let screen = sees(&top, &["•• input", "⠒⠒ EWMA", "xx moving average", "down"]);
    assert!(!top.has_colours(), "{screen}");
    top.resize(50, 10);
    sees(&top, &["This terminal has 50 × 10"]);
    top.resize(SMALL.0, SMALL.1);
    sees(&top, &["sensor attic"]);
    top.signal(Signal::Terminate);
    ends(top, "");
    let top = scenario.at_terminal(&["top", "--sensor", "hall"], SMALL);
    sees(&top, &["sensor hall (2 of 2)"]);
    ends(top, "\x03");
}

/// The metrics of a stage at a port that stays the same.
fn observed(command: &mut Command, stage: &str, port: u16) -> Process {
    command.args(["--metrics", &port.to_string()]);
    let process = Process::start(stage, command);
    let _ = Endpoint::of(&process);
    process
}

#[test]
fn a_stage_that_is_killed_is_down_until_it_is_back() {
    let simulated = "{ simulated = { sensors = 3, readings = 100000, rate = 50 } }";
    let smooth = "{ ewma = { alpha = 0.5 } }";
    let scenario = Scenario::new(
        PipelineBuilder::new()
            .producer("thermometers", simulated, "warm")
            .operator("smooth", "warm", smooth, "smooth")
            .sink("shown", "smooth", "{ file = { path = \"readings.csv\" } }"),
    );
    let stages = ["thermometers", "smooth", "shown"];
    let ports = stages.map(|_| free_port());
    let start = |index: usize| {
        let stage = stages[index];
        observed(&mut scenario.stage(stage, "a"), stage, ports[index])
    };
    let mut running = [0, 1, 2].map(start);
    let targets = [0, 1, 2].map(|index: usize| {
        let labels = json!({"stage": scenario.name(stages[index]), "node": format!("rpi{index}")});
        json!({"targets": [format!("127.0.0.1:{}", ports[index])], "labels": labels})
    });
    scenario.write("targets.json", json!(targets).to_string());
    scenario.grows("smooth", 20);
    let mut top = scenario.at_terminal(&["top", "--targets", "targets.json"], LARGE);
    let state_is = |state: &'static str| {
        move |screen: &str| {
            let row = screen.lines().find(|line| line.contains("└─smooth"));
            row.is_some_and(|row| row.contains(&format!("  {state}  ")))
        }
    };
    top.shows("that it runs", state_is("running"));
    let screen = top.shows("its figures", |screen| {
        let row = screen
            .lines()
            .find(|line| line.contains("└─smooth"))
            .unwrap_or_default();
        row.contains(" MB") && row.contains("rpi1") && row.contains('▆') && !row.contains("–")
    });
    assert!(!screen.contains("No process is asked"), "{screen}");

    running[1].kill();
    let killed = Instant::now();
    top.shows("that it is down", state_is("down"));
    eprintln!("seen down after {:?}", killed.elapsed());
    running[1] = start(1);
    top.shows("that it is back", state_is("running"));

    top.keys(" ");
    sees(&top, &["PAUSED"]);
    // Once another screen is there, this one has long been drawn.
    let other = scenario.at_terminal(&["top", "--targets", "targets.json"], SMALL);
    other.shows("that all run", |screen| {
        screen.matches("running").count() >= 3
    });
    let before = top.screen();
    running[2].kill();
    other.shows("that a sink is down", |screen| screen.contains("down"));
    assert_eq!(top.screen(), before);
    top.keys(" ");
    top.shows("that a sink is down", |screen| {
        screen.contains("down") && !screen.contains("PAUSED")
    });
    ends(other, "q");
    ends(top, "q");
}

#[test]
fn top_says_that_no_broker_answers_and_ends_at_once() {
    let pipeline = PipelineBuilder::new().producer("thermometer", &source(), "warm");
    let scenario = Scenario::on(format!("127.0.0.1:{}", free_port()), pipeline.clone());
    let mut top = scenario.at_terminal(&["top"], SMALL);
    sees(&top, &["asking 127.0.0.1:"]);
    top.shows("what to do", |screen| {
        let text: Vec<&str> = screen.split_whitespace().collect();
        let text = text.join(" ");
        text.contains("waiting for readings on warm") && text.contains("is Kafka running there?")
    });
    top.resize(LARGE.0, LARGE.1);
    let asked = Instant::now();
    ends(top, "q");
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );

    let scenario = Scenario::on(Kafka::shared(), pipeline);
    let mut top = scenario.rivulet(&["top"]);
    let error = top.fails();
    assert!(error.contains("this is no terminal"), "{error}");
}

#[test]
fn the_demo_shows_the_screen_and_then_the_verdict() {
    let simulated = "{ simulated = { sensors = 2, readings = 400, rate = 80 } }";
    let pipeline = PipelineBuilder::new().producer("thermometer", simulated, "warm");
    let pipeline = pipeline.operator("smooth", "warm", "{ ewma = { alpha = 0.5 } }", "smooth");
    let pipeline = pipeline.sink("shown", "smooth", "\"console\"");
    let scenario = Scenario::on("", pipeline.clone());
    // Without brokers of its own it starts one.
    let demo = || {
        let mut command = Command::new(programs::program("rivulet"));
        programs::forget_settings(&mut command);
        let file = scenario.path("pipeline.toml");
        command.args(["demo", "--pipeline"]).arg(file);
        Pty::start("rivulet demo", &command, LARGE)
    };
    let mut shown = demo();
    sees(
        &shown,
        &[
            "rivulet demo",
            "└─smooth",
            "running",
            " MB*",
            "sensor ",
            "q end",
        ],
    );
    assert!(shown.is_full_screen());
    assert_eq!(shown.ends(), 0, "{}", shown.screen());
    let screen = sees(
        &shown,
        &[
            "0 missing, 0 extra, 0 wrong",
            "Running on an embedded broker",
        ],
    );
    assert!(
        !shown.is_full_screen() && !screen.contains("q end"),
        "{screen}"
    );

    let mut left = demo();
    sees(&left, &["└─smooth", "running", "q end"]);
    left.keys("q");
    assert_eq!(left.ends(), 1, "{}", left.screen());
    sees(&left, &["stopped before all records were processed"]);
    assert!(!left.is_full_screen());

    let scenario = Scenario::on(Kafka::shared(), pipeline);
    let mut on_kafka = scenario.at_terminal(&["demo"], SMALL);
    sees(
        &on_kafka,
        &["rivulet demo", "└─smooth", "running", "steady"],
    );
    assert_eq!(on_kafka.ends(), 0, "{}", on_kafka.screen());
    sees(&on_kafka, &["0 missing, 0 extra, 0 wrong"]);
}
