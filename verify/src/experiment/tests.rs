//! Whole experiments: their logs, compared with their topics.

mod mutations;
mod results;
pub(super) mod simulated;

use self::simulated::{Plan, Sent, Simulated, line, measured, measurement, started};
use super::*;

/// Three sensors: a ramp of two, and a walk that leaves the range twice.
fn plan() -> Plan {
    Plan {
        id: "e1",
        sensors: 3,
        lower: 20.0,
        width: 10.0,
        ramp: 2,
        walk: vec![0.1, 0.7, 0.2, -0.9, 0.7],
    }
}

/// What the lines say.
fn log(lines: &[String]) -> TruthLog {
    let mut reader = TruthLogReader::new().with_values();
    reader.read("log", lines.join("\n").as_bytes()).unwrap();
    assert_eq!(reader.warnings(), Vec::<String>::new());
    reader.finish(None)
}

fn compared(simulated: &mut Simulated) -> TruthReport {
    let log = log(&simulated.lines);
    compare_topic(log, "t", TruthOptions::default(), simulated).unwrap()
}

/// The kinds of the differences and how many there are of each.
fn kinds(report: &TruthReport) -> Vec<(TruthDifferenceKind, u64)> {
    report
        .counts
        .iter()
        .map(|(kind, count)| (*kind, *count))
        .collect()
}

/// The one difference that there is.
fn only(report: &TruthReport) -> String {
    let shown: Vec<String> = report.differences.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 1, "{shown:?}");
    shown[0].clone()
}

#[test]
fn a_whole_experiment_is_clean() {
    let report = compared(&mut Simulated::new(&plan()));
    assert_eq!(kinds(&report), []);
    let row = &report.experiments[0];
    let averages = AverageCounts {
        right: 7,
        ..AverageCounts::default()
    };
    assert_eq!((row.measurements, row.averages), (7, Some(averages)));
    let events = |expected| RangeEventCounts {
        expected,
        found: expected,
        ..RangeEventCounts::default()
    };
    assert_eq!(
        (row.stabilized, row.out_of_range),
        (Some(events(1)), Some(events(2)))
    );
    let verdict = "compared 7 measurements of 1 experiment with the topic t: no difference";
    assert_eq!(report.verdict(), verdict);
}

#[test]
fn an_experiment_that_was_not_sent_is_one_difference() {
    let mut simulated = Simulated::new(&plan());
    simulated.sent.clear();
    let report = compared(&mut simulated);
    assert_eq!(
        only(&report),
        "missing: experiment e1: nothing of it is in the topic t"
    );
    assert_eq!(report.experiments[0].averages.unwrap().missing, 7);
    assert_eq!(report.experiments[0].stabilized.unwrap().missing, 1);
}

#[test]
fn experiments_of_other_producers_are_counted() {
    let mut simulated = Simulated::new(&plan());
    let other = Plan { id: "e2", ..plan() };
    simulated.sent.extend(Simulated::new(&other).sent);
    simulated.sent.push(Sent {
        name: "chat",
        ..simulated.sent[0].clone()
    });
    let report = compared(&mut simulated);
    assert!(report.is_clean, "{:?}", report.differences);
    let notes = [
        "experiments that are only in the topic: 1",
        "messages about something else: 1",
    ];
    assert_eq!(report.notes, notes);
}

#[test]
fn what_a_killed_producer_did_not_commit_is_named() {
    let mut simulated = Simulated::new(&plan());
    // It had logged the last measurement, and committed its first message only.
    simulated.lines.pop();
    simulated.sent.truncate(simulated.sent.len() - 3);
    let report = compared(&mut simulated);
    assert_eq!(kinds(&report), [(TruthDifferenceKind::NotCommitted, 2)]);
    let shown = report.differences[0].to_string();
    assert!(
        shown.contains("measurement e1-m6, sensor s1: its message is not in the topic")
            && shown.contains("when it is started again"),
        "{shown}"
    );
    // A measurement before it is missing, whatever came after it.
    let at = simulated
        .sent
        .iter()
        .position(|sent| sent.of == Some((4, 0)))
        .unwrap();
    simulated.sent.drain(at..at + 3);
    let report = compared(&mut simulated);
    let expected = [
        (TruthDifferenceKind::Missing, 1),
        (TruthDifferenceKind::NotCommitted, 2),
    ];
    assert_eq!(kinds(&report), expected);
}

#[test]
fn a_stage_that_was_not_committed_is_named() {
    let mut simulated = Simulated::new(&Plan {
        walk: Vec::new(),
        ..plan()
    });
    simulated.lines.pop();
    simulated.sent.truncate(simulated.sent.len() - 2);
    let report = compared(&mut simulated);
    assert_eq!(kinds(&report), [(TruthDifferenceKind::NotCommitted, 1)]);
    assert!(only(&report).contains("experiment_started is not in the topic"));
}

#[test]
fn a_log_without_values_is_compared_by_averages() {
    let mut simulated = Simulated::new(&plan());
    simulated.lines.retain(|line| !line.contains("sensor"));
    assert_eq!(kinds(&compared(&mut simulated)), []);
    let mut lacking = simulated.clone();
    let at = lacking
        .sent
        .iter()
        .position(|sent| sent.of == Some((3, 1)))
        .unwrap();
    lacking.sent.remove(at);
    let shown = only(&compared(&mut lacking));
    assert!(
        shown.starts_with("missing: experiment e1, measurement e1-m3, sensor s1"),
        "{shown}"
    );
    simulated.sent[at].value = measured("e1", ["s1", "e1-m3"], 99.0);
    let shown = only(&compared(&mut simulated));
    assert!(
        shown.starts_with("wrong value: experiment e1, measurement e1-m3"),
        "{shown}"
    );
}

#[test]
fn messages_of_one_measurement_share_time_and_hash() {
    let mut simulated = Simulated::new(&plan());
    let at = simulated
        .sent
        .iter()
        .position(|sent| sent.of == Some((3, 1)))
        .unwrap();
    let value = simulated.sent[at].value.clone();
    let time = value
        .windows(8)
        .rposition(|bytes| bytes == 1.5_f64.to_le_bytes())
        .unwrap();
    simulated.sent[at].value[time..time + 8].copy_from_slice(&2.5_f64.to_le_bytes());
    let shown = only(&compared(&mut simulated));
    assert!(
        shown.contains("timestamp 2.5 differs from the first message"),
        "{shown}"
    );
    simulated.sent[at].value.clone_from(&value);
    let hash = value
        .windows(4)
        .rposition(|bytes| bytes == b"hash")
        .unwrap();
    simulated.sent[at].value[hash] = b'H';
    let shown = only(&compared(&mut simulated));
    assert!(
        shown.contains("measurement_hash differs from the first message"),
        "{shown}"
    );
}

#[test]
fn the_stages_of_the_log_must_be_those_of_an_experiment() {
    let mut simulated = Simulated::new(&plan());
    simulated
        .lines
        .retain(|line| !line.contains("\"stabilization\""));
    let report = compared(&mut simulated);
    let shown: Vec<String> = report.differences.iter().map(ToString::to_string).collect();
    let expected = "wrong life cycle: experiment e1: in the log its stages are configuration, \
                    carry out, terminated";
    assert_eq!(shown[0], expected);
    assert!(
        shown[1].starts_with("extra: experiment e1: stabilization_started is"),
        "{shown:?}"
    );
}

#[test]
fn partitions_have_no_common_order() {
    let mut simulated = Simulated::new(&plan());
    let at = simulated
        .sent
        .iter()
        .position(|sent| sent.of == Some((3, 0)))
        .unwrap();
    for sent in &mut simulated.sent[at..] {
        sent.partition = 1;
    }
    simulated.sent.rotate_left(at);
    let shown = only(&compared(&mut simulated));
    let expected = "out of order: experiment e1: its messages are in several partitions, so they \
                    have no order";
    assert_eq!(shown, expected);
}

#[test]
fn a_sensor_that_was_not_configured_is_named() {
    let mut simulated = Simulated::new(&plan());
    let names = ["s0".to_owned(), "s1".to_owned()];
    simulated.sent[0].value = simulated::configured("e1", &names, 20.0, 30.0);
    let shown = only(&compared(&mut simulated));
    assert_eq!(
        shown,
        "extra: experiment e1, sensor s2: experiment_configured does not name it"
    );
}

#[test]
fn only_the_first_differences_are_kept() {
    let mut simulated = Simulated::new(&plan());
    for sent in &mut simulated.sent {
        sent.key = "\u{1b}[2J".to_owned();
    }
    let report = compared(&mut simulated);
    assert_eq!(kinds(&report), [(TruthDifferenceKind::WrongKey, 25)]);
    assert_eq!(report.differences.len(), 10);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["counts"]["wrong-key"], 25);
    let difference = serde_json::json!({
        "kind": "wrong-key", "experiment": "e1", "measurement": null, "sensor": null,
        "place": { "partition": 0, "offset": 0 },
        "why": "the key of the record is not its experiment",
    });
    assert_eq!(json["differences"][0], difference);
}

#[test]
fn an_undecodable_record_has_a_place_and_a_reason() {
    for (value, why) in [
        (b"Obj\x01".to_vec(), "no Avro file: it ends too early"),
        (b"{}".to_vec(), "no Avro file: it ends too early"),
        (
            started("e1", "x", f64::NAN),
            "its field timestamp is no finite number",
        ),
    ] {
        let mut simulated = Simulated::new(&plan());
        simulated.sent[1].value = value;
        let report = compared(&mut simulated);
        let expected = [
            (TruthDifferenceKind::Missing, 1),
            (TruthDifferenceKind::Undecodable, 1),
        ];
        assert_eq!(kinds(&report), expected);
        let shown = report.differences[0].to_string();
        let expected = format!("undecodable: experiment e1, partition 0 offset 1: {why}");
        assert_eq!(shown, expected);
    }
    let mut simulated = Simulated::new(&plan());
    simulated.sent[2].value = started("e1", "x", 1.0);
    let report = compared(&mut simulated);
    assert!(
        report.differences[0]
            .to_string()
            .ends_with("it has no field measurement_id")
    );
}

#[test]
fn experiments_that_were_left_out_are_no_difference() {
    let mut simulated = Simulated::new(&plan());
    let later = Simulated::new(&Plan { id: "e2", ..plan() });
    let lines = later
        .lines
        .iter()
        .map(|line| line.replace("2023-10-07", "2023-10-08"));
    simulated.lines.extend(lines);
    simulated.sent.extend(later.sent);
    let mut reader = TruthLogReader::new().with_values();
    reader
        .read("log", simulated.lines.join("\n").as_bytes())
        .unwrap();
    let log = reader.finish(Some("2023-10-08T00:00:00+02:00".parse().unwrap()));
    assert_eq!(log.len(), 1);
    let report = compare_topic(log, "t", TruthOptions::default(), &mut simulated).unwrap();
    assert!(report.is_clean && report.experiments[0].experiment == "e2");
    assert_eq!(
        report.notes,
        ["experiments of the log that were left out: 1"]
    );
}

#[test]
fn a_measurement_that_was_measured_again_is_one() {
    let mut simulated = Simulated::new(&plan());
    // The last two measurements of the ramp and the beginning of the next stage, once more.
    let lines = simulated.lines.clone();
    let is = |line: &String, what: &str| line.contains(what);
    let from = lines.iter().position(|line| is(line, "e1-m1")).unwrap();
    let to = lines.iter().position(|line| is(line, "carry out")).unwrap();
    let again = lines[from..=to].to_vec();
    let rest = simulated.lines.split_off(to + 1);
    simulated.lines.extend(again);
    simulated.lines.extend(rest);
    simulated
        .lines
        .insert(to + 1, line("e1", None, r#"{"stage":"stabilization"}"#));
    assert_eq!(kinds(&compared(&mut simulated)), []);
    let listing = |lines: &[String]| log(lines).listings().next().unwrap().to_string();
    assert_eq!(listing(&simulated.lines), listing(&lines));
    assert_eq!(measurement(&plan(), 1), "e1-m1");
}
