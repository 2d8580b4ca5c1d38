//! What an earlier version has written is read by this one.
//!
//! `recorded/` holds what version 0.1.0 at commit e5a3623 wrote: the records of a changelog, of a
//! dead-letter topic and of a source's changelog as `kcat -J` shows them, and a spool. The
//! operator's chain was `ewma` and `average`; one of its three sensors was forgotten at the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rivulet_core::checkpoint::Checkpoint;
use rivulet_core::dead_letter::{LedgerRecord, MigrationKind, Resolved};
use rivulet_core::key_state::numbers;
use rivulet_core::log::Header;
use rivulet_core::reading::Reading;
use rivulet_core::state::{State, StateMetadata};
use rivulet_core::unit::Unit;
use rivulet_operators::Chain;
use rivulet_pipeline::{Pipeline, StageKind, Text};
use rivulet_producer::clock::MonotonicTime;
use rivulet_producer::source_loop::PositionRecord;
use rivulet_producer::spool::record::{SpoolRecord, decode};
use rivulet_producer::spool::{Popped, Spool};
use serde_json::Value;

const PIPELINE: &str = r#"
[producer.hand]
source = { lines = { sensor = "hand" } }
spool = { path = "spool", size = "1 MB" }
to = "in"

[operator.smooth]
from = "in"
steps = [{ ewma = { alpha = 0.5 } }, { average = { window = 3 } }]
to = "out"
"#;

fn pipeline() -> Pipeline {
    let text = PIPELINE.to_owned();
    Pipeline::parse(Arc::new(Text {
        path: "recorded.toml".into(),
        text,
    }))
    .unwrap()
}

/// The records of a file as `kcat -J` has shown them.
fn records(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/recorded")
        .join(name);
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn state(pipeline: &Pipeline) -> State {
    let StageKind::Operator { steps } = &pipeline.stages[1].kind else {
        panic!("it is the second")
    };
    let chain = Chain::build(steps).unwrap();
    State::new(Arc::new(chain), vec!["in".to_owned()], 1 << 20, None)
}

fn metadata(text: &str) -> StateMetadata {
    text.parse().unwrap()
}

#[test]
fn a_changelog_gives_the_state_that_the_offsets_name() {
    let pipeline = pipeline();
    let mut state = state(&pipeline);
    let mut checkpoints = BTreeMap::new();
    for record in records("changelog.jsonl") {
        let partition = i32::try_from(record["partition"].as_i64().unwrap()).unwrap();
        // The byte 0xff, which is no text, stands as U+00FF.
        let key = record["key"].as_str().unwrap();
        let key = match key.strip_prefix('\u{ff}') {
            Some(rest) => [b"\xff", rest.as_bytes()].concat(),
            None => key.as_bytes().to_vec(),
        };
        let value = record["payload"].as_str().map(str::as_bytes);
        if value.is_none() {
            let noted = metadata("2 sensors, digest 828879c6825cf456, of 2 partitions");
            assert_eq!(
                state.digest(0, partition),
                noted.digest,
                "before a sensor is forgotten"
            );
        }
        match Checkpoint::read(&key, value) {
            Some(checkpoint) => _ = checkpoints.insert(partition, checkpoint.offsets),
            None => state.restore(partition, &key, value).unwrap(),
        }
    }
    let noted = metadata("1 sensors, digest a3bad493f25e1bc4, of 2 partitions");
    assert_eq!(
        (state.digest(0, 0), noted.partitions),
        (noted.digest, Some(2))
    );
    let noted = metadata("1 sensors, digest 0ea806b04564224d, of 2 partitions");
    assert_eq!(state.digest(0, 1), noted.digest);
    let offsets = |next| BTreeMap::from([("in".to_owned(), next)]);
    assert_eq!(
        checkpoints,
        BTreeMap::from([(0, offsets(3)), (1, offsets(2))])
    );
    let kettle = state.apply(0, 0, 1, "kettle", 0).unwrap().unwrap();
    assert_eq!(numbers(kettle), [vec![3.0], vec![]]);
}

#[test]
fn dead_letters_resolutions_and_migrations_are_told_apart() {
    let found: Vec<String> = records("dead-letters.jsonl")
        .iter()
        .map(described)
        .collect();
    assert_eq!(
        found,
        [
            "smooth: not-json in Some((0, 2)) with 1 header of its own",
            "Forgotten Some(\"ewma(alpha=0.5) → average(window=3)\") {\"attic\"} 3 2",
            "hand: not-a-number standard input line 4 None with 0 header of its own",
            "Dropped 0",
        ]
    );
}

fn described(record: &Value) -> String {
    let parts = record["headers"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let headers: Vec<Header> = parts
        .chunks(2)
        .map(|pair| (text(&pair[0]), Some(text(&pair[1]).into_bytes())))
        .collect();
    match LedgerRecord::read(&headers) {
        LedgerRecord::DeadLetter(letter) => {
            let own = letter.original.len();
            let (stage, reason, topic) = (letter.stage, letter.reason, letter.topic);
            format!(
                "{stage}: {reason} {topic} {:?} with {own} header of its own",
                letter.place
            )
        }
        LedgerRecord::Resolution(resolution) => {
            assert_eq!(resolution.resolved, Resolved::Dropped);
            format!("{:?} {}", resolution.resolved, resolution.letters)
        }
        LedgerRecord::Migration(migration) => {
            assert_eq!(migration.remedy, MigrationKind::Forgotten);
            let offset = |partition| migration.offsets[&("in".to_owned(), partition)];
            let (kind, chain, sensors) = (migration.remedy, &migration.chain, &migration.sensors);
            format!("{kind:?} {chain:?} {sensors:?} {} {}", offset(0), offset(1))
        }
        LedgerRecord::Foreign => "foreign".to_owned(),
    }
}

#[test]
fn a_source_goes_on_at_its_recorded_position() {
    let all = records("positions.jsonl");
    let last = all.last().unwrap();
    assert_eq!(last["key"], "position");
    let record: PositionRecord = serde_json::from_str(last["payload"].as_str().unwrap()).unwrap();
    assert_eq!(record.commit, 3);
    assert_eq!(record.position["source"]["next"]["kettle"], 1);
}

#[test]
fn a_spool_gives_its_readings_again() {
    let pipeline = pipeline();
    let StageKind::Producer {
        spool: Some(settings),
        ..
    } = &pipeline.stages[0].kind
    else {
        panic!("it has a spool")
    };
    let folder = tempfile::tempdir().unwrap();
    let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/spool");
    for file in std::fs::read_dir(recorded).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let mut spool = Spool::open(folder.path(), settings, false).unwrap();
    assert_eq!(spool.position(), Some("{\"next\":{\"hall\":2}}"));
    let boot = *b"0123456789abcdef";
    assert_eq!(spool.epoch_offset(&boot), Some(1_325_376_000_000));
    let mut bytes = Vec::new();
    let mut found = Vec::new();
    while let Some(popped) = spool.pop(&mut bytes).unwrap() {
        assert!(matches!(popped, Popped::Record(_)), "{popped:?}");
        let (record, _) = decode(&bytes).unwrap();
        if record.is_counted() {
            found.push(format!("{record:?}"));
        }
    }
    let reading = |sensor: &'static str, seq, time, value, unit| Reading {
        sensor: sensor.into(),
        seq,
        time,
        value,
        unit,
    };
    let hall = |seq, time, value, unit| {
        SpoolRecord::Reading(reading("hall", seq, time, value, Some(unit)), None)
    };
    let early = MonotonicTime { boot, since: 1234 };
    let bad = SpoolRecord::Bad {
        reason: "not-a-number",
        detail: "\"x\" is not a number",
        place: "standard input line 2",
        bytes: b"x",
    };
    let expected = [
        hall(0, 1_325_376_000_000, 12.8, Unit::Celsius),
        bad,
        SpoolRecord::Reading(reading("größe", 7, 0, -4.5, None), Some(early)),
        hall(1, 1_325_376_060_000, 0.1, Unit::Kelvin),
    ];
    assert_eq!(found, expected.map(|record| format!("{record:?}")));
}
