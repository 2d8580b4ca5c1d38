//! Records with several readings, with none, and such that cannot be decoded yet.

use std::sync::atomic::{AtomicU32, Ordering};

use rivulet_core::error::Error;
use rivulet_core::format::{DecodeError, Format, finite};
use rivulet_core::log::ConsumerRecord;
use rivulet_core::readings::Readings;

use super::*;

/// A word for each reading, such as `a=5`. "-" is no reading.
struct Words {
    /// How many more times a schema is missing.
    absences: AtomicU32,
}

impl Format for Words {
    fn decode<'a>(&self, record: &ConsumerRecord<'a>) -> Result<Readings<'a>, DecodeError> {
        let absences = self.absences.load(Ordering::Relaxed);
        if absences > 0 {
            self.absences.store(absences - 1, Ordering::Relaxed);
            let error = Error::new("asking for a schema", "the registry is away");
            return Err(DecodeError::Unavailable(error));
        }
        let text = str::from_utf8(record.value.unwrap_or_default()).unwrap();
        let words = text.split(' ').filter(|word| *word != "-");
        let reading = |word: &'a str| {
            let (sensor, value) = word.split_once('=')?;
            let reading = Reading {
                sensor: sensor.into(),
                seq: 0,
                time: 0,
                value: value.parse().ok()?,
                unit: None,
            };
            Some(reading)
        };
        let readings = words.map(|word| {
            reading(word).ok_or_else(|| InvalidReading::new("not-a-word", word.to_owned()))
        });
        Ok(readings.collect::<Result<_, _>>()?)
    }

    fn encode(&self, reading: &Reading<'_>, value: &mut Vec<u8>) -> Result<(), InvalidReading> {
        // A hundred or more cannot be written.
        let number = finite(reading.value)?;
        if number >= 100.0 {
            return Err(InvalidReading::new("too-much", number.to_string()));
        }
        value.extend(format!("{}={number}", reading.sensor).bytes());
        Ok(())
    }

    fn keyed(&self) -> bool {
        false
    }
}

/// Runs the stage on these records.
fn run(pipeline: &Pipeline, world: &Rc<World>, records: &[&str], absences: u32) -> Metrics {
    let contents = records.iter().map(|record| content((*record).to_owned()));
    let from = ("in".into(), 0);
    world
        .cluster()
        .produce(None, &from, contents.collect())
        .unwrap();
    let mut config = plan::processing_config(pipeline, &pipeline.stages[0]);
    let words = |absences| {
        Box::new(Words {
            absences: AtomicU32::new(absences),
        })
    };
    config.inputs[0].format = words(absences);
    config.outputs[0].format = words(0);
    let (metrics, result) = outcome_with(world, pipeline, config);
    result.unwrap();
    metrics
}

fn empty_world(pipeline: &Pipeline) -> Rc<World> {
    let world = World::new(0, false);
    make_topics(&world, pipeline);
    world
}

#[test]
fn all_readings_of_a_record_are_processed_in_order() {
    let (pipeline, world) = (pipeline(), empty_world(&pipeline()));
    let metrics = run(&pipeline, &world, &["a=1 b=2 a=3", "a=4", "b=5 b=6"], 0);
    let sums = ["a=1", "b=2", "a=4", "a=8", "b=7", "b=13"];
    assert_eq!(values(&world, "out"), sums);
    assert_eq!((metrics.read.get(), metrics.written.get()), (3, 6));
}

#[test]
fn a_record_is_a_dead_letter_as_a_whole() {
    let (pipeline, world) = (pipeline(), empty_world(&pipeline()));
    // The second cannot be decoded, and the results of the fourth and the fifth cannot be written.
    let records = [
        "a=1 b=1",
        "a=2 x",
        "b=2",
        "a=3 b=100 c=1",
        "c=50 c=60",
        "c=7 a=4 b=5",
    ];
    let metrics = run(&pipeline, &world, &records, 0);
    assert_eq!(
        values(&world, "out"),
        ["a=1", "b=1", "b=3", "c=7", "a=5", "b=8"],
        "no reading of a dead letter is in a sum"
    );
    let dead_letters = ["a=2 x", "a=3 b=100 c=1", "c=50 c=60"];
    assert_eq!(values(&world, "sum-dead-letters"), dead_letters);
    assert_eq!(metrics.dead.get(), 3);
}

#[test]
fn a_record_without_readings_is_skipped_and_counted() {
    let (pipeline, world) = (pipeline(), empty_world(&pipeline()));
    let metrics = run(&pipeline, &world, &["a=1", "-", "-", "a=2"], 0);
    assert_eq!(values(&world, "out"), ["a=1", "a=3"]);
    assert_eq!((metrics.read.get(), metrics.skipped.get()), (4, 2));
    assert_eq!(metrics.dead.get(), 0);
    let mut cluster = world.cluster();
    let committed = &cluster.group("sum").committed;
    assert_eq!(committed[&("in".into(), 0)].0, 4);
}

/// A crash between the writes of two states leaves one of them older.
#[test]
fn readings_that_the_state_contains_are_skipped_alone() {
    let mut pipeline = pipeline();
    pipeline.guarantee = rivulet_core::guarantee::Guarantee::AtLeastOnce;
    let world = empty_world(&pipeline);
    let state = r#"{"chain":"sum","offsets":{"in":0},"time":0,"memories":[[10.0]]}"#;
    let state = Content {
        key: Some(b"a".to_vec()),
        ..content(state.to_owned())
    };
    let changelog = ("sum-changelog".into(), 0);
    world
        .cluster()
        .produce(None, &changelog, vec![state])
        .unwrap();
    let committed = (0, String::new());
    let mut cluster = world.cluster();
    cluster
        .group("sum")
        .committed
        .insert(("in".into(), 0), committed);
    drop(cluster);
    let metrics = run(&pipeline, &world, &["a=10 b=2 c=3", "a=1 b=1"], 0);
    assert_eq!(values(&world, "out"), ["b=2", "c=3", "a=11", "b=3"]);
    assert_eq!(metrics.aborts.get(), 0);
}

#[test]
fn a_stage_waits_for_what_it_needs_to_decode() {
    let (pipeline, world) = (pipeline(), empty_world(&pipeline()));
    let metrics = run(&pipeline, &world, &["a=1", "a=2", "a=3"], 4);
    assert_eq!(values(&world, "out"), ["a=1", "a=3", "a=6"]);
    assert_eq!((metrics.aborts.get(), metrics.dead.get()), (4, 0));
    // Back-off of 50, 100, 200 and 400 ms.
    assert!(
        world.time() > Duration::from_millis(700),
        "{:?}",
        world.time()
    );
}
