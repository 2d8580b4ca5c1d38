//! The schema beside the programs that read the files.

use std::path::{Path, PathBuf};

use jsonschema::Validator;
use rivulet_pipeline::{Check, Pipeline, Text};
use serde_json::{Value, json};

use crate::Registry;

fn validator() -> Validator {
    let schema = Registry::default().schema().to_value();
    jsonschema::meta::validate(&schema).expect("it is a schema");
    jsonschema::draft7::new(&schema).expect("it is a schema of draft 7")
}

/// A text as JSON; a time becomes text, which no setting takes unquoted.
fn value(text: &str) -> Value {
    let table: toml::Table = toml::from_str(text).unwrap();
    serde_json::to_value(table).unwrap()
}

fn errors(validator: &Validator, text: &str) -> Vec<String> {
    validator
        .iter_errors(&value(text))
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// Every pipeline file of the repository.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = vec![root.join("tests/cluster/flow.toml")];
    for file in std::fs::read_dir(root.join("config")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            files.push(path);
        }
    }
    assert!(files.len() >= 4);
    files
}

#[test]
fn every_shipped_pipeline_is_valid() {
    let validator = validator();
    for path in files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let errors = errors(&validator, &text);
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
    }
}

/// Each entry of a catalog with its example, and a pipeline that has it.
fn entries() -> Vec<(&'static str, String)> {
    let mut entries = Vec::new();
    let registry = Registry::default();
    for entry in registry.producer.sources.entries() {
        let stage = format!(
            "[producer.a]\nto = \"t\"\nsource = {{ {} }}\n",
            entry.example
        );
        entries.push((entry.name, stage));
    }
    for entry in registry.operators.operators.entries() {
        let steps = format!("steps = [{{ {} }}]", entry.example);
        let stage = format!("[operator.a]\nfrom = \"t\"\nto = \"u\"\n{steps}\n");
        entries.push((entry.name, stage));
    }
    for entry in registry.sinks.sinks.entries() {
        let stage = format!("[sink.a]\nfrom = \"t\"\nsink = {{ {} }}\n", entry.example);
        entries.push((entry.name, stage));
    }
    for entry in registry.formats().entries() {
        let topic = format!("[topic.t]\nformat = {{ {} }}\n", entry.example);
        entries.push((entry.name, topic));
    }
    entries
}

#[test]
fn every_component_of_a_catalog_is_in_it() {
    let validator = validator();
    for (name, stage) in entries() {
        assert!(errors(&validator, &stage).is_empty(), "{stage}");
        // `name = { … }` with one more setting, and under no such name.
        let more = stage.replacen(
            &format!("{name} = {{"),
            &format!("{name} = {{ bogus = 1, "),
            1,
        );
        let other = stage.replacen(&format!("{name} = "), &format!("{name}x = "), 1);
        for wrong in [more.replace(", }", " }"), other] {
            assert!(
                wrong != stage && !errors(&validator, &wrong).is_empty(),
                "{wrong}"
            );
        }
    }
}

/// What stands at the top, in a step, in a source and in a sink.
fn stages(settings: &str, source: &str, step: &str, sink: &str) -> String {
    format!(
        "{settings}\n[producer.in]\nsource = {source}\nto = \"a\"\n[operator.work]\nfrom = \
         [\"a\"]\nsteps = [{step}]\nto = \"b\"\n[sink.out]\nfrom = \"b\"\nsink = {sink}\n"
    )
}

fn is_right(text: &str) -> bool {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/p.toml");
    let text = Text {
        path,
        text: text.to_owned(),
    };
    Pipeline::parse_with(text.into(), &Registry::default()).is_ok()
}

const LIST: &str = "{ list = { values = [1] } }";
const EWMA: &str = "{ ewma = { alpha = 0.5 } }";

#[test]
fn it_says_what_the_program_says() {
    let validator = validator();
    let top = |settings: &str| stages(settings, LIST, EWMA, "\"console\"");
    let source = |source: &str| stages("", source, EWMA, "\"console\"");
    let step = |step: &str| stages("", LIST, step, "\"console\"");
    let sink = |sink: &str| stages("", LIST, EWMA, sink);
    let right = [
        top(""),
        top("guarantee = \"at-least-once\""),
        top("prefix = \"team7-\""),
        top("prefix = \"\""),
        top("[limits]\nmemory = \"64mib\""),
        top("[kafka]\nbrokers = \"a:1\"\n\"linger.ms\" = 5\n\"ssl.key\" = true"),
        top("[commit]\nrecords = 1\nleast-interval-ms = 0\ntime-percent = 100"),
        top("[topic.a]\nformat = \"number\"\nunit = \"kelvin\"\nconfig = { \"retention.ms\" = 1 }"),
        source("{ simulated = { step-ms = 1, start = \"2024-01-01T00:00:00Z\", base = -3 } }"),
        source("{ file = { path = \"a.csv\", repeat = \"forever\", delimiter = \";\" } }"),
        source("{ file = { path = \"a.csv\", repeat = 2, rate = 0.5 } }"),
        source("\"simulated\""),
        source("{ seasonal = { sensors = { a = { slope = -1 }, b = {} }, delay-ms = 0 } }"),
        source("{ seasonal = { events = \"forever\", start-step = 41, unit = \"hPa\" } }"),
        source("\"thermal\"\nspool = { path = \"s\", size = \"2 MB\" }\nclock = \"trust\""),
        step("\"noise\", { threshold = { at-least = 5 } }, { ewma = { alpha = 1 } }"),
        step(EWMA).replace("to = \"b\"", "to = \"b\"\nstate-ttl = \"2h 30m\""),
        sink("{ console = { show = \"json\" } }\non-gap = \"dead-letter\""),
    ];
    for text in right {
        assert!(is_right(&text), "{text}");
        let errors = errors(&validator, &text);
        assert!(errors.is_empty(), "{text}: {errors:#?}");
    }
    let wrong = [
        top("guarantee = \"twice\""),
        top("prefix = \"team 7\""),
        top("[kafka]\nprefix = \"team7-\""),
        top("[limits]\nmemory = \"64 parsecs\""),
        top("[limits]\nmemory = 64"),
        top("[kafka]\n\"isolation.level\" = \"read_uncommitted\""),
        top("[kafka]\n\"linger.ms\" = [5]"),
        top("[commit]\nrecords = 0"),
        top("[commit]\nrecord = 1"),
        top("[commit]\ntime-percent = 0"),
        top("[defaults]\npartitions = 0"),
        top("[topic.\"a b\"]\nexternal = true"),
        top("[topic.a]\nunit = \"\""),
        top("[topic.a]\nformat = \"jsn\""),
        top("[topic.a]\nformat = { json = { depth = 3 } }"),
        top("[snk.a]\nfrom = \"a\""),
        source("{ simulated = { step-ms = 0 } }"),
        source("{ seasonal = { sensors = {} } }"),
        source("{ seasonal = { sensors = { \"a b\" = {} } } }"),
        source("{ seasonal = { sensors = { a = { period = 0 } } } }"),
        source("{ seasonal = { sensors = { a = { noise = -1 } } } }"),
        source("{ seasonal = { events = 0 } }"),
        source("{ list = { values = [] } }"),
        source("{ list = { values = [1], rate = 0 } }"),
        source("{ file = { path = \"a.csv\", repeat = \"twice\" } }"),
        source("\"list\""),
        source("\"thermal\"\nspool = { size = \"2 MB\" }"),
        source("\"thermal\"\nclock = \"set\""),
        step("{ ewma = { alpha = 0 } }"),
        step("{ ewma = { alpha = \"1\" } }"),
        step("{ ewma = { alpha = 1 }, noise = {} }"),
        step("{ threshold = {} }"),
        step("{ threshold = { above = 1, below = 2 } }"),
        step("{ median = {} }"),
        step(""),
        sink("{ console = { show = \"all\" } }"),
        sink("{ console = \"all\" }"),
        sink("3"),
        top("").replace("to = \"b\"", ""),
        top("").replace("to = \"b\"", "to = 1"),
    ];
    for text in wrong {
        assert!(!is_right(&text), "{text}");
        assert!(!errors(&validator, &text).is_empty(), "{text}");
    }
}

/// The settings of a schema that nobody explains.
fn unexplained(schema: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        for (name, setting) in properties {
            let of_a_table = setting.get("type") == Some(&json!("object"));
            if setting.get("description").is_none() && !of_a_table {
                found.push(format!("{path}.{name}"));
            }
        }
    }
    match schema {
        Value::Object(object) => {
            for (key, inner) in object {
                unexplained(inner, &format!("{path}.{key}"), found);
            }
        }
        Value::Array(array) => {
            for inner in array {
                unexplained(inner, path, found);
            }
        }
        _ => {}
    }
}

#[test]
fn every_setting_is_explained() {
    let mut found = Vec::new();
    unexplained(Registry::default().schema().as_value(), "", &mut found);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn nothing_in_it_is_of_rust_or_json_alone() {
    let text = Registry::default().schema().to_value().to_string();
    assert!(text.contains("\"additionalProperties\":false"));
    for words in ["\"null\"", "```", "[`", "int64", "::", "{\"not\":{}}"] {
        assert!(!text.contains(words), "{words}");
    }
}
