//! Logs in several files, damaged ones, and what they show.

use super::*;
use crate::experiment::tests::simulated::line;

const ID: &str = "2b93a2e8-6c2e-4d5e-9e1a-0c8f5c3d7b11";

fn read(texts: &[&[u8]]) -> (TruthLog, Vec<String>) {
    let mut reader = TruthLogReader::new().with_values();
    for (text, number) in texts.iter().zip(1..) {
        reader.read(&format!("log.{number}"), *text).unwrap();
    }
    let warnings = reader.warnings();
    (reader.finish(None), warnings)
}

/// Real lines of a producer, of two experiments.
fn lines() -> Vec<String> {
    let stage = |stage: &str| line(ID, None, &format!(r#"{{"stage":"{stage}"}}"#));
    let part = |fields: &str| line(ID, Some("77aa"), fields);
    vec![
        stage("configuration"),
        stage("stabilization"),
        part(r#"{"avg_temperature":25.6}"#),
        part(r#"{"range_event":"Stabilized"}"#),
        part(r#"{"sensor":"s1","temperature":25.1}"#),
        part(r#"{"sensor":"s2","temperature":26.1}"#),
        stage("carryout"),
        line("0", None, r#"{"stage":"configuration"}"#),
    ]
}

#[test]
fn an_experiment_is_shown_with_a_banner() {
    let (log, warnings) = read(&[lines().join("\n").as_bytes()]);
    assert_eq!(warnings, Vec::<String>::new());
    let shown: Vec<String> = log.listings().map(|listing| listing.to_string()).collect();
    assert!(shown[0].contains("EXPERIMENT 0 "), "{}", shown[0]);
    let expected = r#"
*******************************************************
*                                                     *
*   EXPERIMENT 2b93a2e8-6c2e-4d5e-9e1a-0c8f5c3d7b11   *
*                                                     *
*******************************************************

[
  {
    "timestamp": "2023-10-07T15:53:18.160161+02:00",
    "event_type": "new_stage",
    "value": "configuration"
  },
  {
    "timestamp": "2023-10-07T15:53:18.160161+02:00",
    "event_type": "new_stage",
    "value": "stabilization"
  },
  {
    "timestamp": "2023-10-07T15:53:18.160161+02:00",
    "event_type": "avg_temperature",
    "value": {
      "measurement_id": "77aa",
      "average": 25.6
    }
  },
  {
    "timestamp": "2023-10-07T15:53:18.160161+02:00",
    "event_type": "range_event",
    "value": {
      "measurement_id": "77aa",
      "event": "Stabilized"
    }
  },
  {
    "timestamp": "2023-10-07T15:53:18.160161+02:00",
    "event_type": "new_stage",
    "value": "carry out"
  }
]
"#;
    assert_eq!(shown[1], expected);
}

#[test]
fn a_log_may_go_on_in_the_next_file() {
    let lines = lines();
    let (before, after) = lines.split_at(3);
    let (log, _) = read(&[
        before.join("\n").as_bytes(),
        after.join("\r\n\n").as_bytes(),
    ]);
    let measurement = &log.experiments[ID].measurements[0];
    assert_eq!((measurement.events.len(), measurement.values.len()), (1, 2));
}

#[test]
fn a_last_line_that_is_cut_off_is_a_warning() {
    let text = lines().join("\n");
    let cut = &text.as_bytes()[..text.len() - 9];
    let (log, warnings) = read(&[cut]);
    assert_eq!(log.len(), 1);
    assert!(
        warnings[0].starts_with("log.1:8: the last line is cut off: "),
        "{warnings:?}"
    );
    // A last line that is whole needs no line end.
    assert_eq!(read(&[text.as_bytes()]).1, Vec::<String>::new());
}

#[test]
fn other_lines_are_warnings_with_their_numbers() {
    let mut lines = lines();
    lines.insert(2, "thread 'main' panicked\u{1b}[2J".to_owned());
    lines.insert(4, line(ID, Some("77aa"), r#"{"range_event":"Melted"}"#));
    lines.push(line(ID, None, r#"{"message":"connected"}"#));
    lines.push("x".repeat(200_000));
    lines.push(line(ID, None, r#"{"stage":"terminated"}"#));
    let (log, warnings) = read(&[(lines.join("\n") + "\n").as_bytes()]);
    let expected = [
        "log.1:3: no line of a ground truth log: ",
        "log.1:5: no line of a ground truth log: there is no range event \"Melted\"",
        "log.1:12: no line of a ground truth log: it is longer than 65536 bytes",
    ];
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    for (warning, expected) in warnings.iter().zip(expected) {
        assert!(warning.starts_with(expected), "{warning}");
    }
    assert!(log.experiments[ID].is_terminated());
}

#[test]
fn many_warnings_are_counted() {
    let text = format!("{}\n{}", lines().join("\n"), "no\n".repeat(13));
    let (_, warnings) = read(&[text.as_bytes()]);
    assert_eq!(warnings.len(), 11);
    assert_eq!(warnings[10], "3 more lines like these");
}

#[test]
fn a_file_that_is_no_log_is_an_error() {
    for text in [&b"sensor,time\na,1\n"[..], b"\xff\xfe", b"{}", b"[1]"] {
        let error = TruthLogReader::new().read("some.csv", text).unwrap_err();
        assert_eq!(error.kind(), Kind::Corrupt);
        let error = error.to_string();
        let expected = "reading a ground truth log: some.csv:1: ";
        assert!(
            error.starts_with(expected) && error.contains("help: name the"),
            "{error}"
        );
    }
    assert_eq!(read(&[b""]).1, ["log.1: it is empty"]);
}

#[test]
fn a_bound_chooses_experiments_by_their_stages() {
    let later = |line: String| line.replace("2023-10-07T15:53:18.160161+02:00", "2023-10-07T16Z");
    let stage = |id: &str, stage: &str| line(id, None, &format!(r#"{{"stage":"{stage}"}}"#));
    let lines = [
        stage("early", "configuration"),
        stage("late", "configuration"),
        later(stage("late", "stabilization")).replace("T16Z", "T16:00:00Z"),
        later(line("early", Some("m"), r#"{"avg_temperature":1}"#)),
    ];
    let chosen = |since: &str| {
        let mut reader = TruthLogReader::new();
        reader.read("log", lines.join("\n").as_bytes()).unwrap();
        let log = reader.finish(Some(since.parse().unwrap()));
        log.experiments.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(chosen("2023-10-07T15:53:18.160161+02"), ["early", "late"]);
    assert_eq!(chosen("2023-10-07T15:53:18.160162+02"), ["late"]);
    assert_eq!(chosen("2023-10-07T16:00:00Z"), ["late"]);
    assert_eq!(chosen("2023-10-07T16:00:01Z"), Vec::<String>::new());
    let text = lines.join("\n");
    let first = TruthLogReader::first_time("log", text.as_bytes()).unwrap();
    assert_eq!(first, Some("2023-10-07T13:53:18.160161Z".parse().unwrap()));
    let none = TruthLogReader::first_time("log", &b"no\n"[..]).unwrap();
    assert_eq!(none, None);
}
