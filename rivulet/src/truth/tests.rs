//! Logs and results in files and topics.

use std::fmt::Display;

use rivulet_core::format::DecodeError;
use rivulet_core::topic_source::{FetchedRecord, TopicSource};
use rivulet_formats::avro::container::MAGIC;
use rivulet_formats::avro::writer::{push_bytes, push_long};
use rivulet_formats::schema_registry::SchemaRegistry;
use rivulet_verify::experiment::{ResultCheck, TruthOptions, TruthReport};

use super::*;

const SCHEMA: &str = r#"{"type":"record","name":"average","fields":[
    {"name":"measurement_id","type":"string"},{"name":"average","type":"float"}]}"#;

/// A line about a measurement, or about its experiment if that has no id.
fn line(day: u32, measurement: &str, fields: impl Display) -> String {
    let id = match measurement {
        "" => String::new(),
        id => format!(r#",{{"measurement_id":"{id}","name":"measurement"}}"#),
    };
    format!(
        r#"{{"timestamp":"2026-11-{day}T12:00:00+02","level":"INFO","fields":{fields},
        "spans":[{{"experiment_id":"e1","name":"experiment"}}{id}]}}"#
    )
    .replace('\n', "")
}

/// The log of an experiment with two averages and a range event, in two files.
fn logs(folder: &Path) -> Vec<PathBuf> {
    let first = [
        line(28, "", r#"{"stage":"configuration"}"#),
        line(28, "", r#"{"stage":"stabilization"}"#),
        line(28, "m1", r#"{"avg_temperature":21.5}"#),
    ];
    let second = [
        line(29, "m2", r#"{"avg_temperature":26}"#),
        line(29, "m2", r#"{"range_event":"Stabilized"}"#),
        line(29, "", r#"{"stage":"terminated"}"#),
    ];
    let paths = ["log.b", "log.a"].map(|name| folder.join(name));
    for (path, lines) in paths.iter().zip([first, second]) {
        std::fs::write(path, lines.join("\n")).unwrap();
    }
    paths.into()
}

fn truth() -> TruthLog {
    let folder = tempfile::tempdir().unwrap();
    read_logs(&logs(folder.path()), None, false, &mut |_| ()).unwrap()
}

/// A topic in memory.
struct Topic(Vec<Option<Vec<u8>>>);

impl TopicSource for Topic {
    fn partitions(&self, _: &str) -> Option<usize> {
        Some(1)
    }

    fn is_trimmed(&self, _: &str) -> bool {
        false
    }

    fn read(&mut self, _: &str, each: &mut dyn FnMut(&FetchedRecord<'_>)) -> Result<()> {
        for (value, offset) in self.0.iter().zip(0..) {
            each(&FetchedRecord {
                partition: 0,
                offset,
                timestamp: 0,
                key: None,
                value: value.as_deref(),
                headers: &[],
            });
        }
        Ok(())
    }
}

/// A registry with one schema.
#[derive(Debug)]
struct Registry;

impl SchemaRegistry for Registry {
    fn schema(&self, id: u32) -> std::result::Result<String, DecodeError> {
        let gone = || Error::new("asking", "nobody answers").of_kind(Kind::Unreachable);
        match id {
            1 => Ok(SCHEMA.to_owned()),
            _ => Err(DecodeError::Unavailable(gone())),
        }
    }

    fn id(&self, _: &str, _: &str, _: bool) -> Result<u32> {
        Ok(1)
    }

    fn latest(&self, _: &str) -> Result<(u32, String)> {
        Ok((1, SCHEMA.to_owned()))
    }
}

fn datum(id: &str, average: f32) -> Vec<u8> {
    let mut datum = Vec::new();
    push_bytes(&mut datum, id.as_bytes());
    datum.extend_from_slice(&average.to_le_bytes());
    datum
}

fn checked(values: Vec<Option<Vec<u8>>>) -> Result<TruthReport> {
    let (truth, fields) = (truth(), ResultFields::new(&[]));
    let mut check = ResultCheck::new(&truth, &[], TruthOptions::default());
    add_topic(
        &mut check,
        &fields,
        "t",
        &mut Topic(values),
        Some(Box::new(Registry)),
    )?;
    Ok(check.report("the topic t"))
}

#[test]
fn logs_are_read_in_the_order_of_their_first_lines() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = logs(folder.path());
    let shown = |paths: &[PathBuf]| {
        let log = read_logs(paths, None, false, &mut |_| ()).unwrap();
        log.listings().next().unwrap().to_string()
    };
    let expected = shown(&paths);
    let places = ["configuration", "\"m1\"", "Stabilized", "terminated"];
    let places = places.map(|part| expected.find(part).unwrap());
    assert!(places.is_sorted(), "{expected}");
    paths.reverse();
    assert_eq!(shown(&paths), expected);
}

#[test]
fn an_error_names_the_file_or_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let paths = logs(folder.path());
    let mut warnings = Vec::new();
    let since = Some("2026-12-01T00:00:00Z".parse().unwrap());
    let error = read_logs(&paths, since, false, &mut |_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Missing);
    assert!(
        error
            .to_string()
            .contains("since 2026-12-01T00:00:00Z\n  help: choose"),
        "{error}"
    );
    let error = read_logs(&[folder.path().join("no")], None, false, &mut |_| ()).unwrap_err();
    assert_eq!(error.kind(), Kind::Missing);
    let error = read_logs(&[folder.path().to_owned()], None, false, &mut |_| ()).unwrap_err();
    assert!(error.to_string().contains("is a directory"), "{error}");
    let text = std::fs::read_to_string(&paths[1]).unwrap();
    std::fs::write(&paths[1], &text[..text.len() - 3]).unwrap();
    let mut warn = |warning: &str| warnings.push(warning.to_owned());
    read_logs(&paths, None, false, &mut warn).unwrap();
    assert!(
        warnings[0].contains("log.a:3: the last line is cut off"),
        "{warnings:?}"
    );
}

#[test]
fn the_lines_of_a_file_are_results() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    let lines = [
        r#"{"measurement_id":"m1","average":21.503}"#,
        "",
        r#"{"event_type":"avg_temperature","value":{"measurement_id":"m2","average":"26.0"}}"#,
        r#"{"measurement_id":"m2","event":"STABILIZED"}"#,
        r#"{"event_type":"new_stage","value":"terminated"}"#,
        r#"{"measurement_id":"m2","average":true}"#,
        "[]",
        "m2: 26",
    ];
    std::fs::write(&path, lines.join("\r\n")).unwrap();
    let (truth, fields) = (truth(), ResultFields::new(&[]));
    let mut check = ResultCheck::new(&truth, &[], TruthOptions::default());
    add_file(&mut check, &fields, &path).unwrap();
    let report = check.report("results");
    let name = path.display();
    let differences: Vec<String> = report.differences.iter().map(ToString::to_string).collect();
    let expected = [
        format!("undecodable: {name}:6: /average is no number"),
        format!("undecodable: {name}:7: it is no JSON object"),
        format!("undecodable: {name}:8: it is not JSON: expected value at line 1 column 1"),
    ];
    assert_eq!(differences, expected);
    let shown = TruthTable(&report).to_string();
    let expected = "\
experiment  measurements  averages: right  wrong  missing  Stabilized  OutOfRange
e1          2             2                0      0        1 of 1      0 of 0
note: results with neither an average nor a range event: 1
";
    assert!(shown.starts_with(expected), "{shown}");
    let last =
        "compared 2 measurements of 1 experiment with results: 3 differences (3 undecodable)";
    assert_eq!(shown.lines().last(), Some(last));
}

#[test]
fn the_records_of_a_topic_are_results() {
    let mut file = MAGIC.to_vec();
    push_long(&mut file, 1);
    push_bytes(&mut file, b"avro.schema");
    push_bytes(&mut file, SCHEMA.as_bytes());
    push_long(&mut file, 0);
    file.extend_from_slice(&[7; 16]);
    push_long(&mut file, 2);
    push_bytes(&mut file, &[datum("m1", 21.5), datum("m1", 21.5)].concat());
    file.extend_from_slice(&[7; 16]);
    let registered = [b"\0\0\0\0\x01", &datum("m2", 26.5)[..]].concat();
    let json = br#"{"measurement_id":"m2","event":"OutOfRange"}"#.to_vec();
    let report = checked(vec![
        Some(file),
        None,
        Some(registered),
        Some(json),
        Some(vec![0xff]),
    ]);
    let report = report.unwrap();
    let shown = TruthTable(&report).to_string();
    let expected = "\
experiment  measurements  averages: right  wrong  missing  Stabilized  OutOfRange
e1          2             1                1      0        0 of 1      0 of 0, 1 extra
note: results with neither an average nor a range event: 1
doubled: experiment e1, measurement m1, partition 0 offset 0: its average is there twice
wrong value: experiment e1, measurement m2, partition 0 offset 2: expected the average 26, \
found 26.5
wrong range event: experiment e1, measurement m2, partition 0 offset 3: expected Stabilized, \
found OutOfRange
undecodable: partition 0 offset 4: it is neither JSON nor Avro
compared 2 measurements of 1 experiment with the topic t: 4 differences (1 doubled, \
1 wrong value, 1 wrong range event, 1 undecodable)
";
    assert_eq!(shown, expected);
}

#[test]
fn differences_that_are_not_shown_are_counted() {
    let truth = truth();
    let options = TruthOptions {
        show: 1,
        ..TruthOptions::default()
    };
    let mut check = ResultCheck::new(&truth, &[], options);
    add_lines_of(&mut check, "no\n\u{1b}[2J\n");
    let shown = TruthTable(&check.report("\u{1b}[2J")).to_string();
    assert!(
        shown.contains("\n2 more; --show COUNT shows as many as you say\n"),
        "{shown}"
    );
    assert!(!shown.contains('\u{1b}'), "{shown}");
}

fn add_lines_of(check: &mut ResultCheck<'_>, text: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    add_file(check, &ResultFields::new(&[]), file.path()).unwrap();
}

#[test]
fn a_registry_that_cannot_be_reached_is_an_error() {
    let error = checked(vec![Some(b"\0\0\0\0\x02".to_vec())]).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
}
