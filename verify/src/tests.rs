//! Whole pipelines, verified on topics in memory.

mod dead_letters;
mod deleted;
mod mapped;
mod migrations;
mod order;
mod table;

use std::fmt::Write;
use std::sync::Arc;

use rivulet_core::dead_letter::{DeadLetter, MigrationKind, Resolved};
use rivulet_pipeline::Text;

use self::table::Table;
use super::*;

fn verified(pipeline: &str, table: &mut Table) -> Report {
    let text = Arc::new(Text {
        path: "p.toml".into(),
        text: pipeline.into(),
    });
    let pipeline = Pipeline::parse(text).unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    let verification = Verification::new(&pipeline, Options::default(), &NoRegistry);
    for name in verification.topics() {
        table.topics.entry(name).or_insert_with(|| vec![Vec::new()]);
    }
    verification.run(table).unwrap()
}

fn verdict(report: &Report) -> String {
    report.to_string().lines().last().unwrap().to_owned()
}

fn json(sensor: &str, unit: &str, readings: &[(u64, f64)]) -> Vec<String> {
    let mut lines = Vec::new();
    for (seq, value) in readings {
        let time = seq * 1000;
        lines.push(format!(
            r#"{{"sensor":"{sensor}","seq":{seq},"time":{time},"value":{value},"unit":"{unit}"}}"#
        ));
    }
    lines
}

fn numbers(values: &[f64]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

const CELSIUS: [f64; 14] = truth::tests::CELSIUS;
const FAHRENHEIT: [f64; 14] = [
    44.6, 42.8, 48.2, 57.2, 53.6, 62.6, 48.2, 55.4, 51.8, 53.6, 55.4, 60.8, 60.8, 66.2,
];
const EWMA: [f64; 9] = [
    55.4, 59.0, 57.2, 54.5, 54.05, 54.725, 57.7625, 59.28125, 62.740_625,
];
const AVERAGE: [f64; 8] = [57.8, 57.2, 56.6, 53.6, 53.6, 56.6, 59.0, 62.6];

/// The values with the sequence numbers of the readings above the threshold, without the first
/// `skip`.
fn placed(values: &[f64], skip: usize) -> Vec<(u64, f64)> {
    let kept = (0..)
        .zip(FAHRENHEIT)
        .filter(|(_, value)| *value > 50.0)
        .map(|(seq, _)| seq);
    kept.skip(skip).zip(values.iter().copied()).collect()
}

fn chain(first: &str, defaults: &str) -> String {
    format!(
        r#"
        {defaults}
        {first}
        [operator.convert]
        from  = "celsius"
        steps = [{{ convert = {{ from = "celsius", to = "fahrenheit" }} }}]
        to    = "fahrenheit"
        [operator.threshold]
        from  = "fahrenheit"
        steps = [{{ threshold = {{ above = 50 }} }}]
        to    = "above"
        [operator.ewma]
        from  = "above"
        steps = [{{ ewma = {{ alpha = 0.5 }} }}]
        to    = "ewma"
        [operator.average]
        from  = "above"
        steps = [{{ average = {{ window = 3 }} }}]
        to    = "average"
        [sink.compare]
        from = ["ewma", "average"]
        sink = "compare"
    "#
    )
}

const PRODUCER: &str = "[producer.list]\nsource = \"list\"\nto = \"celsius\"";

fn worked_example() -> Table {
    let all: Vec<(u64, f64)> = (0..).zip(CELSIUS).collect();
    let converted: Vec<(u64, f64)> = (0..).zip(FAHRENHEIT).collect();
    let kept: Vec<f64> = FAHRENHEIT
        .into_iter()
        .filter(|value| *value > 50.0)
        .collect();
    Table::default()
        .with("celsius", vec![json("a", "celsius", &all)])
        .with("fahrenheit", vec![json("a", "fahrenheit", &converted)])
        .with("above", vec![json("a", "fahrenheit", &placed(&kept, 0))])
        .with("ewma", vec![json("a", "fahrenheit", &placed(&EWMA, 1))])
        .with(
            "average",
            vec![json("a", "fahrenheit", &placed(&AVERAGE, 2))],
        )
}

#[test]
fn the_worked_example_in_json_is_clean() {
    let report = verified(&chain(PRODUCER, ""), &mut worked_example());
    assert!(report.is_clean(), "{report}");
    assert_eq!(
        verdict(&report),
        "verified 41 readings in 4 topics: 0 missing, 0 extra, 0 wrong, 0 out of order"
    );
    assert!(report.notes.is_empty(), "{report}");
}

#[test]
fn the_worked_example_in_numbers_is_clean() {
    let kept: Vec<f64> = FAHRENHEIT
        .into_iter()
        .filter(|value| *value > 50.0)
        .collect();
    let mut table = Table::default()
        .with("celsius", vec![numbers(&CELSIUS)])
        .with("fahrenheit", vec![numbers(&FAHRENHEIT)])
        .with("above", vec![numbers(&kept)])
        .with("ewma", vec![numbers(&EWMA)])
        .with("average", vec![numbers(&AVERAGE)]);
    let pipeline = chain(
        "[topic.celsius]\nexternal = true",
        "[defaults]\nformat = \"number\"",
    );
    let report = verified(&pipeline, &mut table);
    assert_eq!(
        verdict(&report),
        "verified 41 readings in 4 topics: 0 missing, 0 extra, 0 wrong, 0 out of order"
    );
    table.topics.get_mut("ewma").unwrap()[0].remove(4);
    let report = verified(&pipeline, &mut table);
    assert_eq!(
        verdict(&report),
        "verified 41 readings in 4 topics: 1 missing, 0 extra, 0 wrong, 0 out of order"
    );
}

#[test]
fn a_wrong_stage_shows_only_in_its_own_topic() {
    let mut table = worked_example();
    let above = &mut table.topics.get_mut("above").unwrap()[0];
    above.remove(0);
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert_eq!(
        verdict(&report),
        "verified 41 readings in 4 topics: 1 missing, 0 extra, 0 wrong, 0 out of order"
    );
    assert_eq!(report.differences[0].topic, "above");
}

#[test]
fn an_empty_pipeline_is_clean_but_says_so() {
    let report = verified(&chain(PRODUCER, ""), &mut Table::default());
    assert!(report.is_clean());
    assert!(
        report.to_string().contains("nothing to compare"),
        "{report}"
    );
}

#[test]
fn numbers_without_a_unit_become_json_without_one() {
    let pipeline = "
        [topic.first]
        format = \"number\"
        external = true
        [operator.round]
        from  = \"first\"
        steps = [\"round\"]
        to    = \"rounded\"
    ";
    let mut table = Table::default()
        .with("first", vec![numbers(&[1.4, 2.6])])
        .with(
            "rounded",
            vec![vec![
                r#"{"sensor":"","seq":0,"time":1000,"value":1}"#.into(),
                r#"{"sensor":"","seq":1,"time":1000,"value":3}"#.into(),
            ]],
        );
    assert!(verified(pipeline, &mut table).is_clean());
    let pipeline = pipeline.replace("external", "unit = \"celsius\"\nexternal");
    let rounded = r#"{"sensor":"","seq":SEQ,"time":1000,"value":VALUE,"unit":"celsius"}"#;
    let line = |seq: &str, value: &str| rounded.replace("SEQ", seq).replace("VALUE", value);
    let mut table = Table::default()
        .with("first", vec![numbers(&[1.4, 2.6])])
        .with("rounded", vec![vec![line("0", "1"), line("1", "3")]]);
    let report = verified(&pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().expected == 2,
        "{report}"
    );
}

#[test]
fn missing_sequence_numbers_are_noted() {
    let mut table = worked_example();
    table.topics.get_mut("celsius").unwrap()[0].remove(0);
    let fahrenheit = &mut table.topics.get_mut("fahrenheit").unwrap()[0];
    fahrenheit.remove(0);
    assert!(
        verified(&chain(PRODUCER, ""), &mut table).notes.is_empty(),
        "the first number may be any"
    );
    table.topics.get_mut("celsius").unwrap()[0].remove(1);
    let report = verified(&chain(PRODUCER, ""), &mut table);
    assert!(
        report
            .to_string()
            .contains("1 sequence numbers are missing"),
        "{report}"
    );
}

#[test]
fn many_readings_are_compared_quickly_and_in_little_memory() {
    let pipeline = "[producer.p]\nsource = \"list\"\nto = \"a\"\n[operator.o]\nfrom = \"a\"\nsteps \
                    = [{ average = { window = 2 } }]\nto = \"b\"";
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for seq in 0..20_000u64 {
        let mut line = String::new();
        write!(
            line,
            r#"{{"sensor":"s{}","seq":{seq},"time":0,"value":{seq},"unit":"kelvin"}}"#,
            seq % 10
        )
        .unwrap();
        if seq >= 10 {
            second.push(line.replace(
                &format!(r#""value":{seq}"#),
                &format!(r#""value":{}"#, seq - 5),
            ));
        }
        first.push(line);
    }
    let mut table = Table::default()
        .with("a", vec![first])
        .with("b", vec![second]);
    let report = verified(pipeline, &mut table);
    assert!(
        report.is_clean() && report.total().found == 19_990,
        "{report}"
    );
    assert_eq!(std::mem::size_of::<stream::Entry>(), 56);
}

/// `middle` has a step that is not known here. `after` reads its output, `beside` does not.
const UNKNOWN: &str = r#"
[topic.a]
external = true
[operator.middle]
from = "a"
steps = [{ median = { window = 3 } }]
to = "b"
[operator.after]
from = "b"
steps = [{ threshold = { above = 2 } }]
to = "c"
[operator.beside]
from = "a"
steps = [{ threshold = { above = 2 } }]
to = "d"
"#;

#[test]
fn an_unknown_step_leaves_the_other_stages_verifiable() {
    let readings = |values: &[(u64, f64)]| vec![json("s", "percent", values)];
    let mut table = Table::default()
        .with("a", readings(&[(0, 1.0), (1, 3.0)]))
        .with("b", readings(&[(0, 1.5), (1, 2.5)]))
        .with("c", readings(&[(1, 2.5)]))
        .with("d", readings(&[(1, 3.0)]));
    let report = verified(UNKNOWN, &mut table);
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.unverified().as_deref(), Some("1 topic"), "{report}");
    assert!(report.to_string().contains("`median`"), "{report}");
    assert_eq!(report.total().expected, 2);

    // What the next stage made of it is verified.
    table.topics.insert("c".into(), vec![Vec::new()]);
    let report = verified(UNKNOWN, &mut table);
    assert!(!report.is_clean(), "{report}");
}

#[test]
fn an_unknown_format_is_not_verifiable() {
    let pipeline = "[topic.a]\nexternal = true\nformat = \"theirs\"\n\
                    [operator.keep]\nfrom = \"a\"\n\
                    steps = [{ threshold = { above = 2 } }]\nto = \"b\"\n";
    let mut table = Table::default().with("a", vec![vec!["1;2;3".into()]]);
    let report = verified(pipeline, &mut table);
    assert!(
        report.is_clean() && report.unverified().is_some(),
        "{report}"
    );
    assert!(report.to_string().contains("`theirs`"), "{report}");
}
