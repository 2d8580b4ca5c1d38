//! Tests with real files.

use std::fs;

use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;
use rivulet_formats::catalog::json;
use rivulet_pipeline::ComponentConfig;
use tempfile::TempDir;

use super::*;
use crate::catalog::read;

mod errors;

fn opened(folder: &TempDir, settings: &str) -> Result<Box<dyn Sink>> {
    let settings = read(&ComponentConfig::parse(settings).unwrap(), &[]).unwrap();
    settings.open(SinkContext::new(folder.path(), "keep", Vec::new()))
}

fn reading(sensor: &str, time: i64, value: f64, unit: Option<Unit>) -> Reading<'_> {
    Reading {
        sensor: sensor.into(),
        seq: 7,
        time,
        value,
        unit,
    }
}

fn write(sink: &mut dyn Sink, offset: i64, reading: &Reading<'_>) {
    let delivery = Delivery {
        topic: "t",
        partition: 3,
        offset,
        timestamp: offset,
        key: None,
        readings: std::slice::from_ref(reading),
    };
    sink.write(&delivery).unwrap();
}

const CSV: &str = r#"file = { path = "a.csv" }"#;
const HEADER: &str = "topic,partition,offset,sensor,seq,time,value,unit\n";

#[test]
fn a_csv_file_has_one_header_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let mut sink = opened(&folder, CSV).unwrap();
    write(
        &mut *sink,
        41,
        &reading("seattle", 1_325_376_000_000, 54.05, Some(Unit::Fahrenheit)),
    );
    sink.flush().unwrap();
    let first = format!("{HEADER}t,3,41,seattle,7,2012-01-01T00:00:00Z,54.05,fahrenheit\n");
    assert_eq!(
        fs::read_to_string(folder.path().join("a.csv")).unwrap(),
        first,
        "flush makes it visible"
    );
    drop(sink);
    let mut sink = opened(&folder, CSV).unwrap();
    write(&mut *sink, 42, &reading("", -1, 1e300, None));
    sink.flush().unwrap();
    let second = format!("{first}t,3,42,,7,1969-12-31T23:59:59.999Z,1e+300,\n");
    assert_eq!(
        fs::read_to_string(folder.path().join("a.csv")).unwrap(),
        second
    );
}

#[test]
fn json_lines_can_be_read_as_readings() {
    let folder = TempDir::new().unwrap();
    let settings = r#"file = { path = "a.jsonl" }"#;
    let readings = [1.5, -3.0].map(|value| reading("a\nb", 5, value, Some(Unit::Kelvin)));
    for (offset, reading) in readings.iter().enumerate() {
        let mut sink = opened(&folder, settings).unwrap();
        write(&mut *sink, i64::try_from(offset).unwrap(), reading);
        sink.flush().unwrap();
    }
    let text = fs::read_to_string(folder.path().join("a.jsonl")).unwrap();
    assert!(
        text.starts_with(
            r#"{"topic":"t","partition":3,"offset":0,"sensor":"a\nb","seq":7,"time":5,"#
        ),
        "{text}"
    );
    let read: Vec<Reading<'_>> = text
        .lines()
        .map(|line| json::parse(line.as_bytes()).unwrap())
        .collect();
    assert_eq!(read, readings);
}

/// Writes and flushes rows of these offsets.
fn store(sink: &mut dyn Sink, offsets: std::ops::Range<i64>) {
    for offset in offsets {
        write(sink, offset, &reading("a", offset, 0.5, None));
    }
    sink.flush().unwrap();
}

/// The offsets of the file's rows.
fn offsets(folder: &TempDir) -> Vec<i64> {
    let text = fs::read_to_string(folder.path().join("a.csv")).unwrap();
    let rows = text.strip_prefix(HEADER).unwrap().lines();
    rows.map(|row| {
        row.strip_prefix("t,3,")
            .unwrap()
            .split_once(',')
            .unwrap()
            .0
            .parse()
            .unwrap()
    })
    .collect()
}

fn append(folder: &TempDir, text: &str) {
    use std::io::Write;
    fs::OpenOptions::new()
        .append(true)
        .open(folder.path().join("a.csv"))
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
}

#[test]
fn readings_that_come_again_after_a_crash_are_there_once() {
    let folder = TempDir::new().unwrap();
    let mut sink = opened(&folder, CSV).unwrap();
    store(&mut *sink, 0..5);
    // Killed between the flush and the commit of the offsets, with one more reading.
    write(&mut *sink, 5, &reading("a", 5, 0.5, None));
    drop(sink);
    let mut sink = opened(&folder, CSV).unwrap();
    store(&mut *sink, 2..7);
    assert_eq!(offsets(&folder), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn bytes_after_the_recorded_length_are_truncated() {
    let folder = TempDir::new().unwrap();
    store(&mut *opened(&folder, CSV).unwrap(), 0..2);
    let stored = fs::read(folder.path().join("a.csv")).unwrap();
    let row = "t,3,2,a,7,1970-01-01T00:00:00.002Z,0.5,\n";
    for tail in [
        "t,3,2,a,7,19",
        row,
        "t,3,2,\"a\n",
        "\0\0\0\0\n",
        &format!("\0\0\0{row}"),
    ] {
        append(&folder, tail);
        drop(opened(&folder, CSV).unwrap());
        assert_eq!(fs::read(folder.path().join("a.csv")).unwrap(), stored);
    }
    store(&mut *opened(&folder, CSV).unwrap(), 0..4);
    assert_eq!(offsets(&folder), [0, 1, 2, 3]);
}

#[test]
fn a_rollback_drops_only_what_is_not_flushed() {
    let folder = TempDir::new().unwrap();
    let mut sink = opened(&folder, CSV).unwrap();
    store(&mut *sink, 0..2);
    write(&mut *sink, 2, &reading("dropped", 0, 0.5, None));
    sink.rollback();
    sink.flush().unwrap();
    assert_eq!(offsets(&folder), [0, 1]);
    store(&mut *sink, 1..4);
    assert_eq!(offsets(&folder), [0, 1, 2, 3]);
    assert!(
        !fs::read_to_string(folder.path().join("a.csv"))
            .unwrap()
            .contains("dropped")
    );
}

/// A commit may hold thousands of records of a megabyte.
#[test]
fn a_large_commit_is_written_early_and_is_there_once() {
    let folder = TempDir::new().unwrap();
    let mut sink = opened(&folder, CSV).unwrap();
    let name = "n".repeat(LARGEST_BATCH / 10);
    (0..25).for_each(|offset| write(&mut *sink, offset, &reading(&name, offset, 0.5, None)));
    let length = fs::metadata(folder.path().join("a.csv")).unwrap().len();
    assert!(
        length >= 2 * LARGEST_BATCH as u64,
        "{length} bytes are written before the flush"
    );
    sink.rollback();
    (0..25).for_each(|offset| write(&mut *sink, offset, &reading(&name, offset, 0.5, None)));
    sink.flush().unwrap();
    assert_eq!(offsets(&folder), (0..25).collect::<Vec<_>>());
}

/// Regression: the flush succeeded, and offsets of lines that were never written were committed.
#[test]
fn a_flush_without_an_open_file_is_an_error() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.csv");
    let lines = b"t,3,0,a,7,1970-01-01T00:00:00Z,0.5,\n".to_vec();
    let mut sink = FileSink {
        path,
        format: OutputFormat::Csv,
        file: None,
        lines,
        skipped: 0,
    };
    assert!(matches!(sink.flush(), Err(Failure::Passing(_))));
    sink.rollback();
    sink.flush().unwrap();
    store(&mut sink, 0..2);
    assert_eq!(offsets(&folder), [0, 1]);
}

#[test]
fn a_file_without_a_record_keeps_its_complete_lines() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.csv");
    let row = |offset| format!("t,3,{offset},\"a\n,\"\"\",7,1970-01-01T00:00:00Z,0.5,\n");
    let rows: String = (0..300).map(row).collect();
    let long = format!("t,3,300,{}", "x".repeat(10_000));
    for (before, after) in [
        (
            format!("{HEADER}{rows}{}", &row(300)[..12]),
            format!("{HEADER}{rows}"),
        ),
        (format!("{HEADER}{rows}{long}"), format!("{HEADER}{rows}")),
        (format!("{HEADER}{rows}"), format!("{HEADER}{rows}")),
        (HEADER[..9].to_owned(), HEADER.to_owned()),
        (HEADER.trim_end().to_owned(), HEADER.to_owned()),
        (String::new(), HEADER.to_owned()),
    ] {
        fs::write(&path, &before).unwrap();
        let _ = fs::remove_file(folder.path().join("a.csv.position"));
        let mut sink = opened(&folder, CSV).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), after);
        if after.len() > HEADER.len() {
            store(&mut *sink, 290..302);
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(text.matches("t,3,299,").count(), 1);
            assert!(
                text.contains("\nt,3,300,a,")
                    && text.ends_with("\nt,3,301,a,7,1970-01-01T00:00:00.301Z,0.5,\n")
            );
        }
    }
}

#[test]
fn a_new_file_continues_after_one_that_was_moved_away() {
    let folder = TempDir::new().unwrap();
    store(&mut *opened(&folder, CSV).unwrap(), 0..5);
    fs::rename(folder.path().join("a.csv"), folder.path().join("old.csv")).unwrap();
    // A second start before any reading changes nothing.
    drop(opened(&folder, CSV).unwrap());
    store(&mut *opened(&folder, CSV).unwrap(), 3..7);
    assert_eq!(offsets(&folder), [5, 6]);
}

#[test]
fn a_file_that_is_shorter_than_its_record_is_an_error() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a.csv");
    store(&mut *opened(&folder, CSV).unwrap(), 0..5);
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, whole.replacen("t,3,2,", "", 1)).unwrap();
    let error = opened(&folder, CSV).err().unwrap().to_string();
    assert!(
        error.contains("something was removed from it") && error.contains("help: move it away"),
        "{error}"
    );

    // The help text helps.
    fs::write(
        &path,
        whole.split_inclusive('\n').take(3).collect::<String>(),
    )
    .unwrap();
    fs::remove_file(folder.path().join("a.csv.position")).unwrap();
    store(&mut *opened(&folder, CSV).unwrap(), 0..4);
    assert_eq!(offsets(&folder), [0, 1, 2, 3]);

    fs::write(folder.path().join("a.csv.position"), "{\"length\":").unwrap();
    let error = opened(&folder, CSV).err().unwrap().to_string();
    assert!(
        error.contains("a.csv.position: ") && error.contains("help: delete it"),
        "{error}"
    );
}
