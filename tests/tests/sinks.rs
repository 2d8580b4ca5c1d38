//! Where readings leave, and where they enter from a file: whatever dies, each is there exactly
//! once.

use std::cell::OnceCell;
use std::path::Path;
use std::time::Instant;

use rusqlite::Connection;
use serde_json::Value;
use tests::{Kafka, PipelineBuilder, Process, Scenario, wait};

/// More than a test lets through.
const FLOW: &str = "{ simulated = { sensors = 10, readings = 10000000, rate = 1000 } }";
const SQLITE: &str = "{ sqlite = { path = \"readings.db\" } }";
const FILE: &str = "{ file = { path = \"readings.jsonl\" } }";
const KILLS: usize = 50;

fn flow(sink: &str) -> PipelineBuilder {
    PipelineBuilder::new()
        .settings("[defaults]\npartitions = 4")
        .producer("thermometers", FLOW, "temperatures")
        .sink("keep", "temperatures", sink)
}

/// A reading with its place, however it is kept.
#[derive(Debug, PartialEq, PartialOrd)]
struct Row {
    topic: String,
    partition: i64,
    offset: i64,
    sensor: String,
    seq: i64,
    time: i64,
    value: f64,
}

impl Row {
    /// From the JSON object of a reading, whose place is given or in the object too.
    fn of(json: &Value, place: Option<(String, i64, i64)>) -> Row {
        let number = |field: &str| json[field].as_i64().unwrap();
        let text = |field: &str| json[field].as_str().unwrap().to_owned();
        let (topic, partition, offset) =
            place.unwrap_or_else(|| (text("topic"), number("partition"), number("offset")));
        let value = json["value"].as_f64().unwrap();
        Row {
            topic,
            partition,
            offset,
            sensor: text("sensor"),
            seq: number("seq"),
            time: number("time"),
            value,
        }
    }
}

/// What the topic holds.
fn sent(scenario: &Scenario) -> Vec<Row> {
    let place = |record: &tests::records::Record| {
        (
            scenario.name("temperatures"),
            i64::from(record.partition),
            record.offset,
        )
    };
    let json = |record: &tests::records::Record| {
        serde_json::from_slice(record.value.as_deref().unwrap()).unwrap()
    };
    scenario
        .read("temperatures", 1)
        .iter()
        .map(|record| Row::of(&json(record), Some(place(record))))
        .collect()
}

/// What the sink has kept, in the topic's order.
fn kept(scenario: &Scenario) -> Vec<Row> {
    let file = scenario.path("readings.jsonl");
    let mut rows: Vec<Row> = if file.exists() {
        let text = std::fs::read_to_string(file).unwrap();
        text.lines()
            .map(|line| Row::of(&serde_json::from_str(line).unwrap(), None))
            .collect()
    } else {
        let database = Connection::open(scenario.path("readings.db")).unwrap();
        let mut rows = database
            .prepare("SELECT topic, partition, offset, sensor, seq, time, value FROM readings")
            .unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            Ok(Row {
                topic: row.get(0)?,
                partition: row.get(1)?,
                offset: row.get(2)?,
                sensor: row.get(3)?,
                seq: row.get(4)?,
                time: row.get(5)?,
                value: row.get(6)?,
            })
        };
        rows.query_map([], row)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
    rows
}

/// How many rows a database has; none if it is not there yet.
fn rows(path: &Path) -> i64 {
    let count =
        || Connection::open(path)?.query_row("SELECT count(*) FROM readings", [], |row| row.get(0));
    if path.exists() {
        count().unwrap_or(0)
    } else {
        0
    }
}

fn bytes(path: &Path) -> i64 {
    std::fs::metadata(path).map_or(0, |file| i64::try_from(file.len()).unwrap())
}

/// Ends the flow, lets the sink keep the rest, and compares.
fn holds_each_reading_once(scenario: &Scenario, producer: &mut Process) -> usize {
    producer.stop();
    scenario.drain("keep");
    let (sent, kept) = (sent(scenario), kept(scenario));
    for (sent, kept) in sent.iter().zip(&kept) {
        assert_eq!(sent, kept);
    }
    assert_eq!(sent.len(), kept.len());
    kept.len()
}

/// `size` grows as the sink keeps readings, by some `step` at a time.
fn is_exact_however_often_it_is_killed(sink: &str, step: i64, size: impl Fn(&Scenario) -> i64) {
    let scenario = Scenario::new(flow(sink));
    let mut producer = scenario.start("thermometers");
    let (start, mut again) = (Instant::now(), 0);
    for kill in (0..).take(KILLS) {
        let mut process = scenario.start("keep");
        let before = size(&scenario);
        let keeps = || size(&scenario) > before + step * (kill % 7);
        if kill % 2 == 0 {
            // Soon after something was kept, in any moment of its work.
            wait::until_so("the sink keeps readings", keeps);
        } else {
            // At once: where its offsets are not committed yet.
            let deadline = Instant::now() + wait::LONG;
            while !keeps() {
                assert!(
                    Instant::now() < deadline,
                    "the sink keeps nothing: {}",
                    process.err()
                );
                std::thread::yield_now();
            }
        }
        process.kill();
        again += usize::from(process.err().contains("skipped"));
    }
    let killed = start.elapsed();
    let count = holds_each_reading_once(&scenario, &mut producer);
    println!(
        "{sink}: {KILLS} kills in {killed:.1?}, {again} of them between keeping and committing; \
         {count} readings, each kept once"
    );
}

#[test]
fn a_database_holds_each_reading_once_however_often_the_sink_is_killed() {
    let open = OnceCell::new();
    is_exact_however_often_it_is_killed(SQLITE, 20, |scenario| {
        let path = scenario.path("readings.db");
        if !path.exists() {
            return 0;
        }
        let database = open.get_or_init(|| Connection::open(path).unwrap());
        // Nothing while the sink has not made its tables.
        database
            .query_row("SELECT sum(next) FROM positions", [], |row| row.get(0))
            .unwrap_or(0)
    });
}

#[test]
fn a_file_holds_each_reading_once_however_often_the_sink_is_killed() {
    is_exact_however_often_it_is_killed(FILE, 2000, |scenario| {
        bytes(&scenario.path("readings.jsonl"))
    });
}

#[test]
fn a_topic_holds_each_line_of_a_file_once_however_often_the_producer_is_killed() {
    // A producer that comes back mostly waits for Kafka to end what the dead one left open.
    const REPLAYS: usize = 5;
    let start = Instant::now();
    let records: usize = std::thread::scope(|scope| {
        let replays: Vec<_> = (0..REPLAYS)
            .map(|_| scope.spawn(|| replay_killed(KILLS / REPLAYS)))
            .collect();
        replays
            .into_iter()
            .map(|replay| replay.join().unwrap())
            .sum()
    });
    println!(
        "file replay: {KILLS} kills, {records} records, one for each line, in {:.1?}",
        start.elapsed()
    );
}

/// Replays a file whose reader is killed so many times; gives how many records there are.
fn replay_killed(times: usize) -> usize {
    const LINES: u32 = 5000;
    let source = "{ file = { path = \"lines.csv\", rate = 200 } }";
    let pipeline = PipelineBuilder::new()
        .settings("[defaults]\npartitions = 4")
        .producer("replay", source, "temperatures");
    let scenario = Scenario::new(pipeline);
    let line = |line: u32| format!("s{},2024-01-01T00:00:00Z,{line}\n", line % 7);
    scenario.write(
        "lines.csv",
        "sensor,time,value\n".to_owned() + &(0..LINES).map(line).collect::<String>(),
    );
    for kill in (0..).take(times) {
        let mut process = scenario.start("replay");
        scenario.grows("temperatures", 1 + 5 * (kill % 7));
        process.kill();
    }
    // The rest at once.
    let settings = std::fs::read_to_string(scenario.path("pipeline.toml")).unwrap();
    scenario.write("pipeline.toml", settings.replace(", rate = 200", ""));
    scenario.start("replay").succeeds();
    let mut values = scenario.values("temperatures", LINES as usize);
    values.sort_by(f64::total_cmp);
    assert_eq!(values, (0..LINES).map(f64::from).collect::<Vec<_>>());
    values.len()
}

/// `hold` makes keeping impossible until `release`.
fn is_a_pause<H>(sink: &str, words: &[&str], hold: impl Fn(&Scenario) -> H, release: impl Fn(H)) {
    let scenario = Scenario::new(flow(sink));
    let mut producer = scenario.start("thermometers");
    let mut keep = scenario.start("keep");
    wait::until_so("readings are kept", || {
        bytes(&scenario.path("readings.jsonl")).max(rows(&scenario.path("readings.db"))) > 0
    });
    let held = hold(&scenario);
    keep.says(words);
    // Long enough for several tries.
    scenario.grows("temperatures", 4000);
    assert!(!keep.err().contains("again after"), "{}", keep.err());
    release(held);
    keep.says(&["storing readings again after"]);
    for once in [
        "transaction aborted, retrying",
        "goes on by itself",
        "storing readings again after",
    ] {
        assert_eq!(keep.err().matches(once).count(), 1, "{}", keep.err());
    }
    keep.stop();
    holds_each_reading_once(&scenario, &mut producer);
}

#[test]
fn a_locked_database_is_a_pause_that_is_told_once() {
    let lock = |scenario: &Scenario| {
        let other = Connection::open(scenario.path("readings.db")).unwrap();
        other.busy_timeout(wait::LONG).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    };
    is_a_pause(
        SQLITE,
        &["readings.db: database is locked", "help: another program"],
        lock,
        drop,
    );
}

#[test]
fn a_full_disk_is_a_pause_that_is_told_once() {
    // Whatever is written to /dev/full finds no space.
    let fill = |scenario: &Scenario| {
        let record = scenario.path("readings.jsonl.position.new");
        wait::until_so("the record's name is free for a moment", || {
            std::os::unix::fs::symlink("/dev/full", &record).is_ok()
        });
        record
    };
    is_a_pause(
        FILE,
        &["No space left on device", "help: free some space"],
        fill,
        |record| {
            std::fs::remove_file(record).unwrap();
        },
    );
}

/// The drill of `docs/store-then-commit.md`. The drill: killed between keeping and committing, for
/// certain. `rows` counts what the sink has kept.
fn does_not_keep_again_what_it_did_not_commit(sink: &str, rows: impl Fn(&Scenario) -> i64) {
    let mut kafka = Kafka::start(&[]);
    // Seldom enough to come between reading and committing. Readings in transactions would come as
    // seldom.
    let pipeline =
        flow(sink).settings("[commit]\nleast-interval-ms = 2000\nlongest-interval-ms = 2000");
    let scenario = Scenario::on(kafka.brokers(), pipeline).guarantee("at-least-once");
    scenario.create_topics();
    let mut producer = scenario.start("thermometers");
    let mut keep = scenario.start("keep");
    wait::until_so("a first commit", || {
        scenario.committed("keep", "temperatures") > 0
    });
    scenario.grows("temperatures", 500);

    kafka.kill();
    let before = rows(&scenario);
    wait::until_so("the sink stores what it has read", || {
        rows(&scenario) > before
    });
    keep.says(&["brokers unreachable", "waiting"]);
    let stored = rows(&scenario);
    keep.kill();

    kafka.run();
    let committed = scenario.committed("keep", "temperatures");
    assert!(committed < stored, "{committed} committed, {stored} stored");
    let mut keep = scenario.start("keep");
    keep.says(&[
        "skipped readings that are already stored",
        &format!("readings={}", stored - committed),
    ]);
    keep.stop();
    let count = holds_each_reading_once(&scenario, &mut producer);
    println!(
        "{sink}: {stored} readings stored, {committed} committed, {count} at the end, each once"
    );
}

#[test]
fn a_database_does_not_keep_again_what_was_not_committed() {
    does_not_keep_again_what_it_did_not_commit(SQLITE, |scenario| {
        rows(&scenario.path("readings.db"))
    });
}

#[test]
fn a_file_does_not_keep_again_what_was_not_committed() {
    does_not_keep_again_what_it_did_not_commit(FILE, |scenario| {
        // What the position record does not know of yet is none of the file's readings.
        let whole = || {
            let text = std::fs::read_to_string(scenario.path("readings.jsonl")).ok()?;
            let record = std::fs::read(scenario.path("readings.jsonl.position")).ok()?;
            let record: serde_json::Value = serde_json::from_slice(&record).ok()?;
            (record["length"].as_u64()? == text.len() as u64).then(|| text.lines().count())
        };
        let lines = wait::until(wait::LONG, whole).expect("the file is whole between two commits");
        i64::try_from(lines).unwrap()
    });
}
