//! Sinks, and sources that read a file: whatever dies, each reading is there exactly once.

use std::cell::OnceCell;
use std::path::Path;
use std::time::Instant;

use rivulet_tests::{Kafka, PipelineBuilder, Process, Scenario, wait};
use rusqlite::Connection;
use serde_json::Value;

/// More readings than the test needs.
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

/// A reading with its topic, partition and offset.
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
    /// From the JSON of a reading. `place` is `None` if topic, partition and offset are in the
    /// JSON.
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

impl Row {
    fn from_database(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
        Ok(Row {
            topic: row.get(0)?,
            partition: row.get(1)?,
            offset: row.get(2)?,
            sensor: row.get(3)?,
            seq: row.get(4)?,
            time: row.get(5)?,
            value: row.get(6)?,
        })
    }
}

/// The readings in the topic.
fn sent(scenario: &Scenario) -> Vec<Row> {
    let topic = scenario.name("temperatures");
    let mut rows = Vec::new();
    for record in scenario.read("temperatures", 1) {
        let json = serde_json::from_slice(record.value.as_deref().unwrap()).unwrap();
        let place = (topic.clone(), i64::from(record.partition), record.offset);
        rows.push(Row::of(&json, Some(place)));
    }
    rows
}

/// The readings that the sink has stored, in the topic's order.
fn stored(scenario: &Scenario) -> Vec<Row> {
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
        rows.query_map([], Row::from_database)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    };
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
    rows
}

/// How many rows a database has. 0 if it does not exist.
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

/// Stops the producer, drains the sink, and compares.
fn assert_each_reading_once(scenario: &Scenario, producer: &mut Process) -> usize {
    producer.stop();
    scenario.drain("keep");
    let (sent, stored) = (sent(scenario), stored(scenario));
    for (sent, stored) in sent.iter().zip(&stored) {
        assert_eq!(sent, stored);
    }
    assert_eq!(sent.len(), stored.len());
    stored.len()
}

/// `size` grows while the sink stores readings, by about `step` at a time.
fn has_each_reading_once_when_killed(sink: &str, step: i64, size: impl Fn(&Scenario) -> i64) {
    let scenario = Scenario::new(flow(sink));
    let mut producer = scenario.start("thermometers");
    let (start, mut repeated) = (Instant::now(), 0);
    for kill in (0..).take(KILLS) {
        let mut process = scenario.start("keep");
        let before = size(&scenario);
        let has_grown = || size(&scenario) > before + step * (kill % 7);
        if kill % 2 == 0 {
            // Soon after something was stored, at any point of its work.
            wait::until_true("the sink stores readings", has_grown);
        } else {
            // At once, when the offsets are not committed yet.
            let deadline = Instant::now() + wait::LONG;
            while !has_grown() {
                assert!(
                    Instant::now() < deadline,
                    "the sink stores nothing: {}",
                    process.err()
                );
                std::thread::yield_now();
            }
        }
        process.kill();
        repeated += usize::from(process.err().contains("skipped"));
    }
    let killed = start.elapsed();
    let count = assert_each_reading_once(&scenario, &mut producer);
    println!(
        "{sink}: {KILLS} kills in {killed:.1?}, {repeated} of them between storing and committing; \
         {count} readings, each stored once"
    );
}

#[test]
fn a_database_has_each_reading_once_when_its_sink_is_killed() {
    let open = OnceCell::new();
    has_each_reading_once_when_killed(SQLITE, 20, |scenario| {
        let path = scenario.path("readings.db");
        if !path.exists() {
            return 0;
        }
        let database = open.get_or_init(|| Connection::open(path).unwrap());
        // It fails while the sink has not created its tables.
        database
            .query_row("SELECT sum(next) FROM positions", [], |row| row.get(0))
            .unwrap_or(0)
    });
}

#[test]
fn a_file_has_each_reading_once_when_its_sink_is_killed() {
    has_each_reading_once_when_killed(FILE, 2000, |scenario| {
        bytes(&scenario.path("readings.jsonl"))
    });
}

#[test]
fn a_topic_has_each_line_once_when_its_producer_is_killed() {
    // A restarted producer mostly waits for Kafka to abort the transaction of the dead one.
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

/// Replays a file and kills the producer `times` times. Returns how many records there are.
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
    // The rest as fast as possible.
    let settings = std::fs::read_to_string(scenario.path("pipeline.toml")).unwrap();
    scenario.write("pipeline.toml", settings.replace(", rate = 200", ""));
    scenario.start("replay").succeeds();
    let mut values = scenario.values("temperatures", LINES as usize);
    values.sort_by(f64::total_cmp);
    assert_eq!(values, (0..LINES).map(f64::from).collect::<Vec<_>>());
    values.len()
}

#[test]
fn a_locked_database_is_a_pause_that_is_logged_once() {
    let scenario = Scenario::new(flow(SQLITE));
    let mut producer = scenario.start("thermometers");
    let mut keep = scenario.start("keep");
    wait::until_true("readings are stored", || {
        rows(&scenario.path("readings.db")) > 0
    });
    let other = Connection::open(scenario.path("readings.db")).unwrap();
    other.busy_timeout(wait::LONG).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    keep.says(&["readings.db: database is locked", "help: another program"]);
    // Long enough for several tries.
    scenario.grows("temperatures", 4000);
    assert!(!keep.err().contains("again after"), "{}", keep.err());
    drop(other);
    keep.says(&["storing readings again after"]);
    for once in [
        "transaction aborted, retrying",
        "goes on by itself",
        "storing readings again after",
    ] {
        assert_eq!(keep.err().matches(once).count(), 1, "{}", keep.err());
    }
    keep.stop();
    assert_each_reading_once(&scenario, &mut producer);
}

/// The drill of `docs/store-then-commit.md`: killed between storing and committing, for certain.
/// `rows` counts what the sink has stored.
fn stores_uncommitted_readings_once(sink: &str, rows: impl Fn(&Scenario) -> i64) {
    let mut kafka = Kafka::start(&[]);
    // Rare commits leave time between reading and committing. With transactions, readings would
    // arrive as rarely.
    let pipeline =
        flow(sink).settings("[commit]\nleast-interval-ms = 2000\nlongest-interval-ms = 2000");
    let scenario = Scenario::on(kafka.brokers(), pipeline).guarantee("at-least-once");
    scenario.create_topics();
    let mut producer = scenario.start("thermometers");
    let mut keep = scenario.start("keep");
    wait::until_true("a first commit", || {
        scenario.committed("keep", "temperatures") > 0
    });
    scenario.grows("temperatures", 500);

    kafka.kill();
    let before = rows(&scenario);
    wait::until_true("the sink stores what it has read", || {
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
    let count = assert_each_reading_once(&scenario, &mut producer);
    println!(
        "{sink}: {stored} readings stored, {committed} committed, {count} at the end, each once"
    );
}

#[test]
fn a_database_stores_uncommitted_readings_only_once() {
    stores_uncommitted_readings_once(SQLITE, |scenario| rows(&scenario.path("readings.db")));
}

#[test]
fn a_file_stores_uncommitted_readings_only_once() {
    stores_uncommitted_readings_once(FILE, |scenario| {
        let lines = wait::until(wait::LONG, || lines_of_position(scenario));
        let lines = lines.expect("between two commits the position covers the file");
        i64::try_from(lines).unwrap()
    });
}

/// How many lines the file has. `None` if its position record does not cover them all yet.
fn lines_of_position(scenario: &Scenario) -> Option<usize> {
    let text = std::fs::read_to_string(scenario.path("readings.jsonl")).ok()?;
    let record = std::fs::read(scenario.path("readings.jsonl.position")).ok()?;
    let record: Value = serde_json::from_slice(&record).ok()?;
    (record["length"].as_u64()? == text.len() as u64).then(|| text.lines().count())
}
