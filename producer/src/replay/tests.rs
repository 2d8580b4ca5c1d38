//! Files that are whole, damaged, appended to and changed.

use std::fs::OpenOptions;
use std::io::Write;

use proptest::prelude::*;
use rivulet_core::unit::Unit;
use tempfile::TempDir;

use super::*;
use crate::line_reader::LONGEST;
use crate::testing::{Observed, all, folder, open_in, rejects, take};

const A: &str = "file = { path = \"a.csv\" }";

fn values(seen: &[Observed]) -> Vec<(&str, u64, i64, f64)> {
    seen.iter()
        .filter_map(|seen| match seen {
            Observed::Reading(got) => Some((got.sensor.as_str(), got.seq, got.time, got.value)),
            Observed::Record(_) | Observed::Bad { .. } => None,
        })
        .collect()
}

#[test]
fn lines_end_in_lf_or_cr_lf_and_blank_lines_are_skipped() {
    let folder = folder(
        "a.csv",
        "\u{feff}sensor,time,value\r\na,1,10\r\n\r\na,2,11\n\nb,3,12\n\n",
    );
    let found = all(&mut *open_in(folder.path(), A).unwrap());
    assert_eq!(
        values(&found),
        [("a", 0, 1, 10.0), ("a", 1, 2, 11.0), ("b", 0, 3, 12.0)]
    );
}

#[test]
fn a_bad_row_is_yielded_with_its_bytes_and_its_line() {
    let text = [
        &b"sensor,time,value\na,1,10\na,2\na,3,abc\na,noon,1\n\xff,4,1\n\"a,5,1\na,6,11\n"[..],
        &vec![b'x'; LONGEST * 3],
        b"\na,7,12\n",
    ]
    .concat();
    let folder = folder("a.csv", text);
    let found = all(&mut *open_in(folder.path(), A).unwrap());
    assert_eq!(
        values(&found),
        [("a", 0, 1, 10.0), ("a", 1, 6, 11.0), ("a", 2, 7, 12.0)]
    );
    for (bytes, line, reason) in [
        (&b"a,2"[..], 3, "missing-cell"),
        (b"a,3,abc", 4, "not-a-number"),
        (b"a,noon,1", 5, "bad-time"),
        (b"\xff,4,1", 6, "not-utf-8"),
        (b"\"a,5,1", 7, "missing-cell"),
        (&vec![b'x'; LONGEST], 9, "too-long"),
    ] {
        let bad = Observed::Bad {
            bytes: bytes.into(),
            place: format!("a.csv line {line}"),
            reason,
        };
        assert!(found.contains(&bad), "{line}");
    }
    assert_eq!(found.len(), 9);
}

#[test]
fn rows_in_json_get_new_sequence_numbers() {
    let json = [
        r#"{"sensor":"a","seq":70,"time":5,"value":1,"unit":"kelvin"}"#,
        r#"{"sensor":"a","time":6,"value":2}"#,
        "[]\n",
    ];
    let folder = folder("a.jsonl", json.join("\n"));
    let found = all(&mut *open_in(folder.path(), "file = { path = \"a.jsonl\" }").unwrap());
    assert_eq!(values(&found), [("a", 0, 5, 1.0), ("a", 1, 6, 2.0)]);
    let [
        Observed::Reading(kelvin),
        Observed::Reading(celsius),
        Observed::Bad { .. },
    ] = &found[..]
    else {
        panic!("{found:?}")
    };
    assert_eq!(
        (kelvin.unit, celsius.unit),
        (Some(Unit::Kelvin), Some(Unit::Celsius))
    );
}

#[test]
fn the_setting_unit_overrides_the_column() {
    let folder = folder(
        "a.csv",
        "sensor,time,value,unit\na,1,10,fahrenheit\na,2,11,°F\n",
    );
    let kelvin = "file = { path = \"a.csv\", unit = \"kelvin\" }";
    for (config, expected) in [
        (A, [Some(Unit::Fahrenheit), Some("°F".parse().unwrap())]),
        (kelvin, [Some(Unit::Kelvin); 2]),
    ] {
        let seen = all(&mut *open_in(folder.path(), config).unwrap());
        let units = seen.iter().map(|seen| match seen {
            Observed::Reading(got) => got.unit,
            Observed::Record(_) | Observed::Bad { .. } => None,
        });
        assert_eq!(units.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_repeated_file_has_the_same_times_and_new_numbers() {
    let folder = folder("a.csv", "sensor,time,value\na,1,10\na,2,11\n");
    let mut source = open_in(folder.path(), "file = { path = \"a.csv\", repeat = 2 }").unwrap();
    let found = take(&mut *source, 3);
    assert_eq!(source.progress(), Some(Progress { done: 3, total: 4 }));
    assert_eq!(
        values(&found),
        [("a", 0, 1, 10.0), ("a", 1, 2, 11.0), ("a", 2, 1, 10.0)]
    );
    assert_eq!(values(&all(&mut *source)), [("a", 3, 2, 11.0)]);
    let mut endless = open_in(
        folder.path(),
        "file = { path = \"a.csv\", repeat = \"forever\" }",
    )
    .unwrap();
    assert_eq!(
        values(&take(&mut *endless, 101)).last(),
        Some(&("a", 100, 1, 10.0))
    );
    assert_eq!(endless.progress(), None);
}

#[test]
fn a_file_without_rows_ends_even_if_repeated_forever() {
    for (name, text) in [
        ("a.csv", "sensor,time,value\n"),
        ("a.json", ""),
        ("a.json", "\n \n"),
    ] {
        let folder = folder(name, text);
        let config = format!("file = {{ path = \"{name}\", repeat = \"forever\" }}");
        assert!(all(&mut *open_in(folder.path(), &config).unwrap()).is_empty());
    }
}

#[test]
fn appended_rows_are_read_after_a_restart() {
    let folder = folder("a.csv", "sensor,time,value\na,1,10\n");
    let mut source = open_in(folder.path(), A).unwrap();
    assert_eq!(take(&mut *source, 9).len(), 1);
    let mut file = OpenOptions::new()
        .append(true)
        .open(folder.path().join("a.csv"))
        .unwrap();
    file.write_all(b"a,2,11\n").unwrap();
    let mut again = open_in(folder.path(), A).unwrap();
    again.resume(&source.position()).unwrap();
    assert_eq!(values(&all(&mut *again)), [("a", 1, 2, 11.0)]);
}

#[test]
fn a_file_that_has_changed_is_an_error_with_help() {
    const CHANGED: &str = "has changed before line 3";
    let text = "sensor,time,value\na,1,10\na,2,11\n";
    let position = {
        let folder = folder("a.csv", text);
        let mut source = open_in(folder.path(), A).unwrap();
        take(&mut *source, 9);
        source.position()
    };
    for (now, expected) in [
        ("sensor,time,value\na,1,10\n", "became shorter"),
        ("sensor,time,value\na,1,10\na,2,12\n", CHANGED),
        ("sensor,time,value\na,1,1\na,2,111\na,3,1\n", CHANGED),
        ("value,time,sensor\n1,1,ab\n1,2,abc\n1,3,a\n", CHANGED),
    ] {
        let folder = folder("a.csv", now);
        let mut source = open_in(folder.path(), A).unwrap();
        rejects(&mut *source, &position, expected);
    }
    let half = folder("a.csv", text.trim_end());
    let config = "file = { path = \"a.csv\", last-line = \"take\" }";
    let mut source = open_in(half.path(), config).unwrap();
    assert_eq!(take(&mut *source, 9).len(), 2);
    fs::write(
        half.path().join("a.csv"),
        "sensor,time,value\na,1,10\na,2,11.5\n",
    )
    .unwrap();
    open_in(half.path(), config)
        .unwrap()
        .resume(&source.position())
        .unwrap_err();
}

/// Regression: 1.0 was sent for 12.5, and the next start failed because the file had changed.
#[test]
fn an_incomplete_last_row_is_left_for_the_next_start() {
    let folder = folder("a.csv", "sensor,time,value\na,1,10\na,2,1");
    let mut source = open_in(folder.path(), A).unwrap();
    assert_eq!(source.progress(), Some(Progress { done: 0, total: 1 }));
    assert_eq!(values(&all(&mut *source)), [("a", 0, 1, 10.0)]);
    let mut again = open_in(folder.path(), A).unwrap();
    again.resume(&source.position()).unwrap();
    assert!(all(&mut *again).is_empty(), "it is still incomplete");
    append(&folder, "2.5\na,3,");
    let mut again = open_in(folder.path(), A).unwrap();
    again.resume(&source.position()).unwrap();
    assert_eq!(values(&all(&mut *again)), [("a", 1, 2, 12.5)]);
    let config = "file = { path = \"a.csv\", last-line = \"take\" }";
    append(&folder, "7");
    assert_eq!(
        values(&all(&mut *open_in(folder.path(), config).unwrap())).len(),
        3
    );
}

fn append(folder: &TempDir, text: &str) {
    let mut file = OpenOptions::new()
        .append(true)
        .open(folder.path().join("a.csv"))
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// The sequence number and value of each reading in a CSV file, or the reason why it is
/// invalid.
fn rows(text: &[u8]) -> Vec<String> {
    let header = b"sensor,time,value\n";
    let folder = folder("a.csv", [&header[..], text].concat());
    let seen = all(&mut *open_in(folder.path(), A).unwrap());
    let rows = seen.iter().map(|seen| match seen {
        Observed::Reading(got) => format!("{} {}", got.seq, got.value),
        Observed::Record(record) => panic!("{record:?}"),
        Observed::Bad { reason, .. } => (*reason).to_owned(),
    });
    rows.collect()
}

/// What loggers, spreadsheets and power cuts leave in a file.
#[test]
fn real_files_are_read_as_far_as_possible() {
    // Zeros where the disk lost power before it wrote, at the end and in the middle.
    assert_eq!(rows(b"a,1,10\n\0\0\0\0\0\0"), ["0 10"]);
    assert_eq!(
        rows(b"a,1,10\na,2\0\0\0\0\0\0a,3,11\na,4,12\n"),
        ["0 10", "zero-bytes", "1 12"]
    );
    assert_eq!(
        rows(b"a,1,10\n\0\0a,3,11\na,4,12\n"),
        ["0 10", "zero-bytes", "1 12"]
    );
    // Half a character, and half a line to which the logger appended after the power cut.
    assert_eq!(rows(b"a,1,10\n\xc3"), ["0 10"]);
    assert_eq!(rows(b"\xc3,1,10\na,2,11\n"), ["not-utf-8", "0 11"]);
    assert_eq!(rows(b"a,1,1a,2,11\na,3,12\n"), ["extra-cell", "0 12"]);
    // Blank lines, and line ends of Windows.
    assert_eq!(rows(b"a,1,10\r\n\r\n \r\na,2,11\r\n\r\n"), ["0 10", "1 11"]);
    assert_eq!(
        rows(b"a,1,10\r"),
        Vec::<String>::new(),
        "only half of a line end"
    );
    // Concatenated files have several headers.
    assert_eq!(
        rows(b"a,1,10\nsensor,time,value\na,2,11\n"),
        ["0 10", "bad-time", "1 11"]
    );
}

#[test]
fn an_unsupported_encoding_is_an_error_with_help() {
    let text = "sensor,time,value\na,1,10\n";
    let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for bytes in [
        [b"\xff\xfe", &le[..]].concat(),
        [b"\xfe\xff", &be[..]].concat(),
        le,
        be,
    ] {
        let folder = folder("a.csv", bytes);
        let error = open_in(folder.path(), A)
            .err()
            .expect("UTF-16 should not be read")
            .to_string();
        assert!(
            error.contains("it is in UTF-16") && error.contains("iconv -f utf-16 -t utf-8"),
            "{error}"
        );
    }
}

#[test]
fn semicolons_and_decimal_commas_are_settings() {
    let folder = folder("a.csv", "sensor;time;value\na;1;12,5\n");
    let error = open_in(folder.path(), A)
        .err()
        .expect("there is no such column")
        .to_string();
    assert!(error.contains("delimiter = \";\""), "{error}");
    let config = "file = { path = \"a.csv\", delimiter = \";\", decimal-comma = true }";
    assert_eq!(
        values(&all(&mut *open_in(folder.path(), config).unwrap())),
        [("a", 0, 1, 12.5)]
    );
}

#[test]
fn a_file_that_becomes_shorter_while_read_is_an_error() {
    let folder = folder("a.csv", "sensor,time,value\na,1,10\na,2,11\n");
    let mut source = open_in(folder.path(), A).unwrap();
    take(&mut *source, 2);
    // As logrotate does with `copytruncate`.
    fs::write(folder.path().join("a.csv"), "").unwrap();
    let error = source.next(Duration::ZERO).unwrap_err().to_string();
    assert!(error.contains("became shorter"), "{error}");
}

#[test]
fn the_largest_counts_in_a_position_do_not_overflow() {
    let folder = folder("a.csv", "sensor,time,value\na,1,10\na,2,11\n");
    let config = "file = { path = \"a.csv\", repeat = \"forever\" }";
    let mut source = open_in(folder.path(), config).unwrap();
    take(&mut *source, 1);
    let mut position = source.position();
    for count in ["round", "row", "line"] {
        position[count] = u64::MAX.into();
    }
    source.resume(&position).unwrap();
    assert_eq!(
        values(&take(&mut *source, 2)),
        [("a", 1, 2, 11.0), ("a", 2, 1, 10.0)]
    );
}

proptest! {
    #[test]
    fn it_resumes_at_any_position(
        rows in prop::collection::vec(
            "[ab],[1-9],[1-9]|a,1|\"b\",noon,é||[ab],7,x{100}", 0..12,
        ),
        repeat in 1..4_u64,
        stop in 0..40_usize,
        end in "\n|\r\n",
        last in "\n?",
        take_last: bool,
    ) {
        let text = format!("sensor,time,value{end}{}{last}", rows.join(&end));
        let folder = folder("a.csv", text);
        let last_line = if take_last { "take" } else { "leave" };
        let config = format!(
            "file = {{ path = \"a.csv\", repeat = {repeat}, last-line = \"{last_line}\" }}"
        );
        let whole = all(&mut *open_in(folder.path(), &config).unwrap());
        let counted = if take_last || !last.is_empty() {
            &rows[..]
        } else {
            &rows[..rows.len().saturating_sub(1)]
        };
        let count = counted.iter().filter(|row| !row.is_empty()).count() as u64;
        prop_assert_eq!(whole.len() as u64, count * repeat);
        let mut first = open_in(folder.path(), &config).unwrap();
        let mut found = take(&mut *first, stop);
        let mut second = open_in(folder.path(), &config).unwrap();
        let position = first.position().to_string();
        second.resume(&serde_json::from_str(&position).unwrap()).unwrap();
        prop_assert_eq!(second.progress(), first.progress());
        found.extend(all(&mut *second));
        prop_assert_eq!(found, whole);
    }
}
