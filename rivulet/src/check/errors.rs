//! A pipeline file with several errors: each is shown, and nothing that only follows from another.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rivulet_pipeline::{Diagnostics, Pipeline, Text};

use crate::Registry;

fn checked(path: &Path, text: &str) -> Result<Pipeline, Diagnostics> {
    let text = Text {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    Pipeline::parse_with(Arc::new(text), &Registry::default())
}

/// The errors as `LINE:COLUMN: MESSAGE`, in the order that people see.
fn errors(text: &str) -> Vec<String> {
    let Err(diagnostics) = checked(Path::new("p.toml"), text) else {
        return Vec::new();
    };
    let shown = diagnostics.to_string();
    let lines: Vec<String> = shown
        .lines()
        .filter_map(|line| Some(line.strip_prefix("p.toml:")?.trim().to_owned()))
        .collect();
    assert_eq!(lines.len(), diagnostics.count(), "{shown}");
    lines
}

const NINE: &str = r#"guarantee = "exactly-twice"

[kafka]
brokers = "localhost:9092"
"isolation.level" = "read_uncommitted"

[commit]
record = 10

[limits]
memory = "64 parsecs"

[defaults]
partitions = 0

[producer.thermometer]
source = { list = { values = [] } }
to = "a"

[operator.smooth]
from = "a"
steps = [{ ewma = { alpha = 7 } }]
to = 3

[sink.out]
from = "b"
sink = "consle"
"#;

#[test]
fn nine_errors_of_nine_kinds_are_all_shown_in_order() {
    let expected = [
        "1:13: unknown variant `exactly-twice`, expected `exactly-once` or `at-least-once`",
        "5:21: `isolation.level` is not yours to set",
        "8:1: unknown field `record`, expected one of `least-interval-ms`, \
         `longest-interval-ms`, `time-percent`, `records`",
        "11:10: `64 parsecs` is not a size",
        "14:14: 0 is not a count from 1 to 10000",
        "17:30: the list is empty",
        "22:29: alpha cannot be 7",
        "23:6: expected a topic name or a list of topic names",
        "27:8: there is no sink `consle`",
    ];
    assert_eq!(errors(NINE), expected);
    let shown = checked(Path::new("p.toml"), NINE).unwrap_err().to_string();
    assert!(shown.ends_with("\n9 errors in p.toml"), "{shown}");
    assert!(
        shown.contains(
            "\n27 | sink = \"consle\"\n   |        ^^^^^^^^\n   = help: did you mean `console`?\n"
        ),
        "{shown}"
    );
}

#[test]
fn errors_of_one_table_are_all_shown() {
    let text = r#"
[topic.a]
external = true
[operator.smooth]
from = 1
steps = [{ ewma = { alpha = 7, emit-seed = 1, beta = 2 } }, { noise = { seed = -1 } }, "median"]
to = 2
on-gap = "skip"
state-ttl = "soon"
[sink.out]
from = ["a", "a"]
sink = { console = { title = 1, show = 2 } }
"#;
    let found: Vec<String> = errors(text)
        .iter()
        .map(|error| error.split(": ").next().unwrap_or_default().to_owned())
        .collect();
    let expected = [
        "5:8", "6:29", "6:44", "6:47", "6:80", "6:88", "7:6", "8:10", "9:13", "10:7", "12:30",
        "12:40",
    ];
    assert_eq!(found, expected, "{:#?}", errors(text));
}

#[test]
fn what_a_stage_lacks_is_shown_all_at_once() {
    let found = errors("[producer.a]\n[operator.b]\n[sink.c]\n");
    assert_eq!(
        found,
        [
            "1:1: missing field `source`",
            "1:1: missing field `to`",
            "2:1: missing field `from`",
            "2:1: missing field `steps`",
            "2:1: missing field `to`",
            "3:1: missing field `from`",
            "3:1: missing field `sink`",
        ]
    );
}

#[test]
fn a_misspelled_name_is_one_error() {
    let good = r#"
[defaults]
partitions = 1
[topic.readings]
format = "number"
unit = "celsius"
[producer.in]
source = { list = { values = [1] } }
to = "readings"
[operator.work]
from = "readings"
steps = [{ ewma = { alpha = 0.5 } }]
to = "smooth"
[sink.out]
from = "smooth"
sink = { console = { title = "a" } }
"#;
    assert_eq!(errors(good), [""; 0]);
    for (right, wrong, expected) in [
        (
            "[defaults]",
            "[default]",
            "2:2: unknown table or setting `default`",
        ),
        (
            "[producer.in]",
            "[prodcer.in]",
            "7:2: unknown table or setting `prodcer`",
        ),
        (
            "[topic.readings]",
            "[topic.reading]",
            "4:8: no stage reads or writes the topic `reading`",
        ),
        ("source = {", "souce = {", "8:1: unknown field `souce`"),
        ("values", "vales", "8:21: unknown field `vales`"),
        ("steps", "step", "12:1: unknown field `step`"),
        ("alpha", "alhpa", "12:21: unknown field `alhpa`"),
        (
            "to = \"smooth\"",
            "too = \"smooth\"",
            "13:1: unknown field `too`",
        ),
        (
            "from = \"smooth\"",
            "from = \"smoth\"",
            "14:7: `out` reads the topic `smoth`",
        ),
        (
            "from = \"readings\"",
            "from = \"reading\"",
            "10:11: `work` reads the topic `reading`",
        ),
        ("to = \"readings\"", "to = 7", "9:6: expected a topic name"),
        ("to = \"smooth\"", "to = []", "10:11: `work` writes nothing"),
        (
            "[producer.in]\n",
            "[producer]\nin = 3\n[producer.other]\n",
            "8:6: expected a table",
        ),
        (
            "unit = \"celsius\"",
            "unit = \"celsus\"",
            "6:8: `celsus` is nearly `celsius`",
        ),
        (
            "format = \"number\"",
            "format = \"numbr\"",
            "5:10: there is no format `numbr`",
        ),
    ] {
        let found = errors(&good.replace(right, wrong));
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{wrong}: {found:#?}"
        );
    }
}

/// A change of a pipeline file that makes it wrong: the table it is in, what stands there, and what
/// stands there instead. Those of which a file does not have the first are left out.
const MUTATIONS: &[(&str, &str, &str)] = &[
    (
        "top",
        "guarantee = \"exactly-once\"",
        "guarantee = \"once\"",
    ),
    ("kafka", "brokers = \"", "acks = 1\nbrokers = \""),
    ("kafka", "brokers = \"", "\"linger.ms\" = [1]\nbrokers = \""),
    ("commit", "records = 20000", "records = 0"),
    ("commit", "records = 20000", "recrods = 20000"),
    ("commit", "time-percent = 33", "time-percent = 0"),
    ("commit", "time-percent = 33", "time-percent = 101"),
    (
        "commit",
        "longest-interval-ms = 500",
        "longest-interval-ms = 10",
    ),
    (
        "commit",
        "longest-interval-ms = 500",
        "longest-interval-ms = \"500\"",
    ),
    ("limits", "memory = \"64 MB\"", "memory = \"64 parsecs\""),
    ("limits", "memory = \"64 MB\"", "memory = \"1 kB\""),
    ("defaults", "[defaults]", "[defaults]\nreplication = -1"),
    ("defaults", "[defaults]", "[defaults]\nunit = \"kelvin\""),
    ("topic", "unit = \"celsius\"", "unit = \"\""),
    (
        "topic",
        "unit = \"celsius\"",
        "unit = \"celsius\"\npartitions = 0",
    ),
    (
        "thermometer",
        "[producer.thermometer]",
        "[producer.thermometer]\nclock = \"set\"",
    ),
    (
        "thermometer",
        "[producer.thermometer]",
        "[producer.thermometer]\nform = \"a\"",
    ),
    (
        "thermometer",
        "[producer.thermometer]",
        "[producer.\"a b\"]",
    ),
    ("thermometer", "rate = 1", "rate = -1"),
    ("thermometer", "to = \"temperatures_celsius\"", "to = 1"),
    ("thermometer", "source = {", "source = { thermal = {}, "),
    ("ewma", "alpha = 0.5", "alpha = 0"),
    ("ewma", "alpha = 0.5", "alhpa = 0.5"),
    ("ewma", "{ ewma = { alpha = 0.5 } }", "\"ewma\""),
    ("ewma", "{ ewma = {", "{ emwa = {"),
    (
        "ewma",
        "to = \"temperatures_ewma\"",
        "to = [\"temperatures_ewma\", \"temperatures_ewma\"]",
    ),
    ("average", "window = 3", "window = \"3\""),
    (
        "average",
        "[operator.average]",
        "[operator.average]\nstate-ttl = \"soon\"",
    ),
    (
        "average",
        "[operator.average]",
        "[operator.average]\non-gap = 1",
    ),
    ("out-ewma", "title = \"EWMA\"", "title = 1"),
    (
        "out-ewma",
        "from = \"temperatures_ewma\"",
        "from = \"temperature_ewma\"",
    ),
    (
        "out-ewma",
        "from = \"temperatures_ewma\"",
        "from = \"temperatures ewma\"",
    ),
    ("out-average", "[sink.out-average]", "[sink.ewma]"),
    (
        "out-average",
        "{ console = { title = \"Moving",
        "{ consle = { title = \"Moving",
    ),
    ("end", "", "[sink.last]\nfrom = [\"temperatures_ewma\"]\n"),
    ("end", "", "[snk]\n"),
    ("end", "", "[nonsense]\nsmooth = 1\n"),
];

/// The errors of a text, without their lines, which other changes move.
fn kinds(path: &Path, text: &str) -> BTreeSet<String> {
    let Err(diagnostics) = checked(path, text) else {
        return BTreeSet::new();
    };
    diagnostics
        .iter()
        .map(|diagnostic| {
            let place = diagnostic.place().unwrap_or_default();
            format!("{} at `{}`", diagnostic, &text[place])
        })
        .collect()
}

fn mutated(text: &str, mutation: &(&str, &str, &str)) -> Option<String> {
    let (_, from, to) = mutation;
    if from.is_empty() {
        return Some(format!("{text}\n{to}"));
    }
    text.contains(from).then(|| text.replacen(from, to, 1))
}

#[test]
fn two_errors_in_different_tables_are_both_shown() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let mut used = BTreeSet::new();
    for file in ["chain.toml", "classwork.toml", "fused.toml"] {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        // Comments quote settings.
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        let alone: Vec<_> = MUTATIONS
            .iter()
            .filter_map(|mutation| Some((mutation, mutated(&text, mutation)?)))
            .map(|(mutation, text)| (mutation, kinds(&path, &text), text))
            .collect();
        for (first, errors, once) in &alone {
            assert!(!errors.is_empty(), "{file}: {first:?} is no error");
            used.insert(**first);
            for (second, others, _) in &alone {
                if first.0 == second.0 {
                    continue;
                }
                let twice = mutated(once, second).expect("it is in another table");
                let union: BTreeSet<String> = errors.union(others).cloned().collect();
                assert_eq!(
                    kinds(&path, &twice),
                    union,
                    "{file}: {first:?} and {second:?}"
                );
            }
        }
    }
    assert_eq!(used.len(), MUTATIONS.len(), "each is in some file");
}
