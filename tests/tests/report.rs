//! What `rivulet report` writes: a page for people, and a table for a spreadsheet.

use std::fs;

use jiff::Timestamp;
use rivulet_tests::chain::{
    AVERAGE, CELSIUS, EWMA, OPERATORS, add_comparison, assert_close, chained,
};
use rivulet_tests::{Browser, PipelineBuilder, Scenario};
use serde_json::json;

/// A spreadsheet that takes this name for a formula runs it, and a page asks for the image.
const HOSTILE: &str = r#"=1+1<img src=//example.org onerror=alert(1)>"&amp;"#;

/// The chain with a sink that compares, which never runs. Nothing was read yet.
fn scenario() -> Scenario {
    let source = "{ file = { path = \"readings.csv\", value = \"celsius\" } }";
    let pipeline = PipelineBuilder::new().producer("thermometer", source, "temperatures_celsius");
    let scenario = Scenario::new(chained(pipeline));
    add_comparison(&scenario, true, "");
    scenario
}

/// Runs these stages on the first readings of the example, for two sensors.
fn run(scenario: &Scenario, readings: usize, stages: &[&str]) {
    let mut text = "sensor,time,celsius\n".to_owned();
    for (second, value) in CELSIUS[..readings].iter().enumerate() {
        for sensor in ["hall", HOSTILE] {
            let sensor = sensor.replace('"', "\"\"");
            let line = format!("\"{sensor}\",2024-01-01T00:00:{second:02}Z,{value}\n");
            text.push_str(&line);
        }
    }
    scenario.write("readings.csv", text);
    scenario.start("thermometer").succeeds();
    for stage in stages {
        scenario.drain(stage);
    }
}

/// The line of a sensor in a CSV file, by the names of the columns.
fn line(text: &str, sensor: &str) -> Vec<(String, String)> {
    let mut lines = text.lines();
    let head = lines
        .next()
        .unwrap_or_default()
        .split(',')
        .map(str::to_owned);
    let line = lines.find(|line| line.starts_with(&format!("{sensor},")));
    let line = line.unwrap_or_else(|| panic!("no {sensor} in {text}"));
    head.zip(line.split(',').map(str::to_owned)).collect()
}

fn numbers(line: &[(String, String)], columns: &[&str]) -> Vec<f64> {
    let number = |column: &&str| {
        let found = line.iter().find(|(name, _)| name == column);
        let (_, text) = found.unwrap_or_else(|| panic!("no column {column} in {line:?}"));
        text.parse().unwrap_or(f64::NAN)
    };
    columns.iter().map(number).collect()
}

#[test]
fn a_report_is_one_file_with_the_comparison_and_the_verdict() {
    let scenario = scenario();
    run(&scenario, CELSIUS.len(), &OPERATORS);
    scenario
        .rivulet(&["report", "--csv", "report.csv"])
        .succeeds();

    // The naive figures over the points that both branches and the input have.
    let csv = fs::read_to_string(scenario.path("report.csv")).expect("it was written");
    let (ewma, average) = (&EWMA[1..], &AVERAGE[..]);
    let input: Vec<f64> = CELSIUS.iter().map(|celsius| celsius * 1.8 + 32.0).collect();
    let input: Vec<f64> = input
        .into_iter()
        .filter(|value| *value > 50.0)
        .skip(2)
        .collect();
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let rms = |one: &[f64], other: &[f64]| {
        let squares = one.iter().zip(other).map(|(x, y)| (x - y) * (x - y));
        (squares.sum::<f64>() / one.len() as f64).sqrt()
    };
    let smoothness = |of: &[f64]| 1.0 - rms(&of[1..], of) / rms(&input[1..], &input);
    let expected = [
        8.0,
        mean(ewma),
        mean(average),
        mean(&input),
        mean(ewma) - mean(average),
        rms(ewma, average),
        rms(ewma, &input),
        rms(average, &input),
        smoothness(ewma),
        smoothness(average),
        10.0,
    ];
    let columns = [
        "joined",
        "ewma_mean",
        "average_mean",
        "input_mean",
        "ewma_average_mean",
        "ewma_average_rms",
        "ewma_input_rms",
        "average_input_rms",
        "ewma_smoothness",
        "average_smoothness",
        "input_readings",
    ];
    let found = numbers(&line(&csv, "hall"), &columns);
    assert_close(&found, &expected);
    assert!(csv.contains("\n\"'=1+1<img"), "{csv}");

    let page = fs::read_to_string(scenario.path("report.html")).expect("it was written");
    for outside in ["<script", "<link", "src=\"", "href=\"", "url(", "@import"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let browser = Browser::start();
    browser.emulate(1100, 900, false);
    browser.open(&format!(
        "file://{}",
        scenario.path("report.html").display()
    ));
    let verdict = browser.text(".verdict");
    assert!(
        verdict.contains("✔ Verified") && verdict.contains("0 missing"),
        "{verdict}"
    );
    let row = browser.text("table.figures tbody tr:nth-child(2)");
    let words: Vec<&str> = row.split_whitespace().collect();
    let shown =
        [mean(ewma) - mean(average), rms(ewma, average)].map(|number| format!("{number:.2}"));
    assert_eq!(words[..5], ["hall", "°F", "8", &shown[0], &shown[1]]);
    let heads = browser.run("return [...document.querySelectorAll('h3')].map((e) => e.innerText)");
    assert_eq!(heads, json!([HOSTILE, "hall"]));
    assert_eq!(
        browser.run("return document.querySelectorAll('img').length"),
        0
    );
    assert_eq!(
        browser.run("return document.querySelectorAll('svg path').length"),
        6
    );
    assert_eq!(browser.console_errors(), Vec::<String>::new());
    browser.screenshot("report");
    for (width, is_dark) in [(390, false), (1100, true)] {
        browser.emulate(width, 900, is_dark);
        let fits = browser.run("return document.body.scrollWidth <= innerWidth");
        assert_eq!(fits, true, "{width}");
        browser.screenshot(&format!("report-{width}-{is_dark}"));
    }
}

#[test]
fn a_report_has_only_the_time_that_was_asked_for() {
    let scenario = scenario();
    run(&scenario, 9, &OPERATORS[..2]);
    let mut report = scenario.rivulet(&["report", "--no-verify", "--csv", "first.csv"]);
    report.succeeds();
    let page = fs::read_to_string(scenario.path("report.html")).expect("it was written");
    assert!(page.contains("Not verified"), "{page}");
    let between = Timestamp::now().to_string();
    run(&scenario, CELSIUS.len(), &OPERATORS[..2]);
    let inputs = |name: &str| {
        let csv = fs::read_to_string(scenario.path(name)).expect("it was written");
        numbers(&line(&csv, "hall"), &["input_readings"])[0]
    };
    let options = [
        "report",
        "--no-verify",
        "--from",
        &between,
        "--csv",
        "second.csv",
    ];
    scenario.rivulet(&options).succeeds();
    let options = [
        "report",
        "--no-verify",
        "--to",
        &between,
        "--csv",
        "again.csv",
    ];
    scenario.rivulet(&options).succeeds();
    assert_eq!([inputs("first.csv"), inputs("again.csv")], [5.0, 5.0]);
    assert_eq!(inputs("second.csv"), 5.0);

    let nowhere = ["report", "--no-verify", "--output", "nowhere/report.html"];
    let error = scenario.rivulet(&nowhere).fails();
    assert!(error.contains("writing nowhere/report.html"), "{error}");
    assert!(error.contains("name another file with --output"), "{error}");
}
