//! Mapped messages with several values: each record counts as a whole.

use super::*;

const PIPELINE: &str = r#"
[defaults]
partitions = 1
[topic.in]
external = true
format.json.sensor = "id"
format.json.seq = "n"
format.json.time = "n"
format.json.values = { x = "x", y = "y" }
format.json.unit = "/u"
format.json.missing = "skip"
[operator.smooth]
from = "in"
steps = [
    { ewma = { alpha = 0.5, emit-seed = true } },
    { convert = { from = "celsius", to = "kelvin" } },
]
to = "out"
"#;

fn message(n: u64, x: &str, unit: &str) -> String {
    format!(r#"{{"id":"a","n":{n},"x":{x},"y":"{n}","u":"{unit}"}}"#)
}

/// The output for these values of `x` and `y`, each with its sequence number.
fn written(x: &[(u64, f64)], y: &[(u64, f64)]) -> Vec<String> {
    let line = |name: &str, (seq, value): &(u64, f64)| {
        let value = value + 273.15;
        format!(
            r#"{{"sensor":"a/{name}","seq":{seq},"time":{seq},"value":{value},"unit":"kelvin"}}"#
        )
    };
    let x = x.iter().map(|reading| line("x", reading));
    x.chain(y.iter().map(|reading| line("y", reading)))
        .collect()
}

fn report(input: &[String], output: Vec<String>, dead_letters: usize) -> String {
    let mut table = Table::default()
        .with("in", vec![input.to_vec()])
        .with("out", vec![output])
        .with(
            "smooth-dead-letters",
            vec![vec!["x".to_owned(); dead_letters]],
        );
    verdict(&verified(PIPELINE, &mut table))
}

#[test]
fn no_reading_of_a_dead_letter_is_in_a_state() {
    let input = [
        message(2, "10", "celsius"),
        // One dead letter with two readings, and a record that is skipped.
        message(100, "100", "bar"),
        "{}".to_owned(),
        message(4, "20", "celsius"),
        // Without `x`.
        message(6, "\"\"", "celsius"),
    ];
    let x = [(2, 10.0), (4, 15.0)];
    let y = [(2, 2.0), (4, 3.0), (6, 4.5)];
    let clean = report(&input, written(&x, &y), 1);
    assert!(
        clean.contains("5 readings in 1 topics: 0 missing, 0 extra, 0 wrong"),
        "{clean}"
    );
    let with_dead_letter = [(2, 10.0), (4, 37.5)];
    let wrong = report(&input, written(&with_dead_letter, &y), 1);
    assert!(wrong.contains("1 wrong"), "{wrong}");
    let missing = report(&input, written(&x, &y), 0);
    assert!(missing.contains("1 missing"), "{missing}");
    let extra = report(&input, written(&x, &y), 2);
    assert!(extra.contains("1 extra"), "{extra}");
}

#[test]
fn offsets_that_are_not_in_a_row_are_no_missing_numbers() {
    let pipeline = r#"
[producer.p]
source = { records = { path = "messages.jsonl" } }
to = "in"
[topic.in]
partitions = 1
format.json.sensor = "id"
format.json.value = "x"
format.json.when = { field = "x" }
[operator.smooth]
from = "in"
steps = [{ threshold = { above = 0 } }]
to = "out"
"#;
    let is_noted = |pipeline: &str| {
        let lines = [
            r#"{"id":"a","x":-1,"n":1}"#,
            r#"{"id":"a"}"#,
            r#"{"id":"a","x":-1,"n":3}"#,
        ];
        let mut table = Table::default().with("in", vec![lines.map(str::to_owned).to_vec()]);
        let notes = verified(pipeline, &mut table).notes.concat();
        notes.contains("1 sequence numbers are missing")
    };
    assert!(!is_noted(pipeline));
    let numbered = "format.json.seq = \"n\"\nformat.json.value";
    assert!(is_noted(&pipeline.replace("format.json.value", numbered)));
}
