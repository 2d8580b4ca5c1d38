//! Tests with real databases.

use std::fs;

use rivulet_core::reading::Reading;
use rivulet_pipeline::ComponentConfig;
use tempfile::TempDir;

use super::*;
use crate::catalog::read;

fn opened(folder: &TempDir, path: &str) -> Result<Box<dyn Sink>> {
    let settings = read(
        &ComponentConfig::parse(&format!("sqlite = {{ path = {path:?} }}")).unwrap(),
        &[],
    )
    .unwrap();
    settings.open(SinkContext::new(folder.path(), "keep", Vec::new()))
}

/// The sink itself, so that tests can use its connection.
fn sink(folder: &TempDir) -> SqliteSink {
    let path = folder.path().join("a.db");
    SqliteSink {
        connection: Some(connect(&path).unwrap()),
        path,
        rows: Vec::new(),
        bytes: 0,
    }
}

fn write(sink: &mut dyn Sink, partition: i32, offset: i64, reading: &Reading<'_>) {
    let delivery = Delivery {
        topic: "t",
        partition,
        offset,
        timestamp: offset,
        key: None,
        readings: std::slice::from_ref(reading),
    };
    sink.write(&delivery).unwrap();
}

fn take(sink: &mut dyn Sink, offsets: std::ops::Range<i64>) {
    for offset in offsets {
        write(
            sink,
            3,
            offset,
            &Reading {
                sensor: "a".into(),
                seq: 7,
                time: offset,
                value: 0.5,
                unit: None,
            },
        );
    }
}

fn store(sink: &mut dyn Sink, offsets: std::ops::Range<i64>) {
    take(sink, offsets);
    sink.flush().unwrap();
}

/// The offsets of the stored rows, as another program sees them.
fn offsets(folder: &TempDir) -> Vec<i64> {
    let other = Connection::open(folder.path().join("a.db")).unwrap();
    let mut rows = other
        .prepare("SELECT offset FROM readings ORDER BY offset")
        .unwrap();
    rows.query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

#[test]
fn the_readings_of_a_record_are_stored_together_and_once() {
    let folder = TempDir::new().unwrap();
    let mut sink = sink(&folder);
    let reading = |sensor: &str| Reading {
        sensor: sensor.to_owned().into(),
        seq: 7,
        time: 0,
        value: 0.5,
        unit: None,
    };
    // Two of one sensor, as a message with several measurements has.
    let readings = ["a/warm", "a/damp", "a/damp"].map(reading);
    for _ in 0..2 {
        for offset in 0..2 {
            sink.write(&Delivery {
                topic: "t",
                partition: 0,
                offset,
                timestamp: 0,
                key: None,
                readings: &readings,
            })
            .unwrap();
        }
        sink.flush().unwrap();
    }
    assert_eq!(offsets(&folder), [0, 0, 0, 1, 1, 1]);
}

/// A commit may hold thousands of records of a megabyte.
#[test]
fn a_large_commit_is_written_early_and_is_there_once() {
    let folder = TempDir::new().unwrap();
    let mut sink = sink(&folder);
    let name = "n".repeat(LARGEST_BATCH / 10);
    let reading = Reading {
        sensor: name.into(),
        seq: 7,
        time: 0,
        value: 0.5,
        unit: None,
    };
    for _ in 0..2 {
        (0..25).for_each(|offset| write(&mut sink, 3, offset, &reading));
        assert!(sink.rows.len() < 10, "{} rows are held", sink.rows.len());
        sink.rollback();
    }
    (0..25).for_each(|offset| write(&mut sink, 3, offset, &reading));
    sink.flush().unwrap();
    assert_eq!(offsets(&folder), (0..25).collect::<Vec<_>>());
}

#[test]
fn a_reading_is_read_back_as_it_was() {
    let folder = TempDir::new().unwrap();
    let mut sink = opened(&folder, "a.db").unwrap();
    let reading = Reading {
        sensor: "s'ão\n".into(),
        seq: 7,
        time: -5,
        value: 0.1 + 0.2,
        unit: Some(Unit::Celsius),
    };
    write(&mut *sink, 3, 41, &reading);
    let delivery = Delivery {
        topic: "u",
        partition: 0,
        offset: 0,
        timestamp: -1,
        key: None,
        readings: &[Reading {
            unit: None,
            seq: u64::MAX,
            ..reading.clone()
        }],
    };
    sink.write(&delivery).unwrap();
    sink.flush().unwrap();
    let other = Connection::open(folder.path().join("a.db")).unwrap();
    let (record, reading) = row(&other, "SELECT * FROM readings WHERE topic = 't'");
    assert_eq!(record, ("t".to_owned(), 3, 41, Some(41)));
    let unit = Some("celsius".to_owned());
    assert_eq!(reading, ("s'ão\n".to_owned(), 7, -5, 0.1 + 0.2, unit));
    let (record, reading) = row(&other, "SELECT * FROM readings WHERE topic = 'u'");
    assert_eq!((record.3, reading.1, reading.4), (None, -1, None));
}

/// Topic, partition, offset and timestamp of a row.
type RowRecord = (String, i32, i64, Option<i64>);
/// Sensor, sequence number, time, value and unit of a row.
type RowReading = (String, i64, i64, f64, Option<String>);

fn row(connection: &Connection, query: &str) -> (RowRecord, RowReading) {
    let row = connection.query_row(query, [], |row| {
        let record = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let reading = (
            row.get(4)?,
            row.get(5)?,
            row.get(6)?,
            row.get(7)?,
            row.get(8)?,
        );
        Ok((record, reading))
    });
    row.unwrap()
}

#[test]
fn readings_that_come_again_after_a_crash_are_there_once() {
    let folder = TempDir::new().unwrap();
    let mut first = opened(&folder, "a.db").unwrap();
    store(&mut *first, 0..5);
    take(&mut *first, 5..6);
    drop(first);
    store(&mut *opened(&folder, "a.db").unwrap(), 2..7);
    assert_eq!(offsets(&folder), [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn deleted_rows_do_not_come_back() {
    let folder = TempDir::new().unwrap();
    let mut sink = opened(&folder, "a.db").unwrap();
    store(&mut *sink, 0..5);
    Connection::open(folder.path().join("a.db"))
        .unwrap()
        .execute("DELETE FROM readings", [])
        .unwrap();
    store(&mut *sink, 3..6);
    assert_eq!(offsets(&folder), [5]);
}

#[test]
fn a_rollback_drops_only_what_is_not_flushed() {
    let folder = TempDir::new().unwrap();
    let mut sink = sink(&folder);
    store(&mut sink, 0..2);
    take(&mut sink, 2..9);
    sink.rollback();
    sink.flush().unwrap();
    assert_eq!(offsets(&folder), [0, 1]);
    store(&mut sink, 1..4);
    assert_eq!(offsets(&folder), [0, 1, 2, 3]);
}

#[test]
fn two_instances_share_a_database() {
    let folder = TempDir::new().unwrap();
    let (mut one, mut two) = (sink(&folder), sink(&folder));
    store(&mut one, 0..3);
    // The partition is assigned to the other instance, which resumes at the last commit, and then
    // to the first one again.
    store(&mut two, 1..6);
    store(&mut one, 5..8);
    assert_eq!(offsets(&folder), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_flush_to_a_full_disk_stores_nothing_and_a_later_one_all() {
    let folder = TempDir::new().unwrap();
    let mut sink = sink(&folder);
    store(&mut sink, 0..2);
    let pages = "PRAGMA max_page_count = 5";
    sink.connection
        .as_ref()
        .unwrap()
        .query_row(pages, [], |_| Ok(()))
        .unwrap();
    take(&mut sink, 2..5000);
    let failure = sink.flush().unwrap_err();
    assert!(matches!(&failure, Failure::Passing(_)), "{failure}");
    assert!(
        failure
            .to_string()
            .contains("a.db: database or disk is full\n  help: free some space"),
        "{failure}"
    );
    sink.rollback();
    assert_eq!(offsets(&folder), [0, 1]);
    store(&mut sink, 0..5000);
    assert_eq!(offsets(&folder), (0..5000).collect::<Vec<_>>());
}

#[test]
fn a_locked_database_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let mut sink = sink(&folder);
    store(&mut sink, 0..2);
    let other = Connection::open(folder.path().join("a.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..2 {
        take(&mut sink, 2..4);
        let failure = sink.flush().unwrap_err();
        assert!(matches!(&failure, Failure::Passing(_)), "{failure}");
        assert!(
            failure
                .to_string()
                .contains("a.db: database is locked\n  help: another program"),
            "{failure}"
        );
        sink.rollback();
    }
    other.execute_batch("COMMIT").unwrap();
    store(&mut sink, 2..4);
    assert_eq!(offsets(&folder), [0, 1, 2, 3]);
}

#[test]
fn a_database_that_is_locked_at_start_is_waited_for() {
    let folder = TempDir::new().unwrap();
    let other = Connection::open(folder.path().join("a.db")).unwrap();
    other
        .execute_batch("BEGIN EXCLUSIVE; CREATE TABLE not_yet (a)")
        .unwrap();
    let mut sink = opened(&folder, "a.db").unwrap();
    take(&mut *sink, 0..2);
    let failure = sink.flush().unwrap_err();
    assert!(matches!(&failure, Failure::Passing(_)), "{failure}");
    other.execute_batch("ROLLBACK").unwrap();
    sink.rollback();
    store(&mut *sink, 0..2);
    assert_eq!(offsets(&folder), [0, 1]);
}

#[test]
fn a_database_that_cannot_be_opened_is_an_error_with_help() {
    let folder = TempDir::new().unwrap();
    fs::write(
        folder.path().join("text.db"),
        "sensor,time,celsius\n".repeat(100),
    )
    .unwrap();
    let other = Connection::open(folder.path().join("other.db")).unwrap();
    other.execute_batch("CREATE TABLE readings (a)").unwrap();
    let newer = folder.path().join("newer.db");
    drop(connect(&newer).unwrap());
    Connection::open(newer)
        .unwrap()
        .pragma_update(None, "user_version", 1000)
        .unwrap();
    for (path, cause, help) in [
        (
            "no/such/a.db",
            "a.db: there is no folder ",
            "create it: mkdir -p ",
        ),
        (
            "/dev/null",
            "opening /dev/null: it is not a regular file",
            "console",
        ),
        (".", "it is a directory", "give a file in it"),
        (
            "text.db",
            "text.db: file is not a database",
            "give another file, or move this one away",
        ),
        (
            "other.db",
            "other.db: it is a database of another program",
            "give another file",
        ),
        (
            "newer.db",
            "newer.db: its version is 1000",
            "a newer rivulet-sink wrote it",
        ),
    ] {
        let error = opened(&folder, path).err().unwrap().to_string();
        assert!(error.contains(cause), "{error}");
        assert!(
            error
                .split_once("\n  help: ")
                .is_some_and(|(_, found)| found.contains(help)),
            "{error}"
        );
    }
    assert!(
        !folder.path().join("no").exists(),
        "the sink does not create folders"
    );
}
