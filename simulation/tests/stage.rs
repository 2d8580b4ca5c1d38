//! The stage loop on a simulated cluster that fails on demand.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use simulation::client::SimulatedLog;
use simulation::cluster::Content;
use simulation::faults::FaultKind;
use simulation::schedule::make_topics;
use simulation::world::{Being, Fate, World};
use stream::counters::Counters;
use stream::operator::{Flow, KeyState, Operator};
use stream::pipeline::{Pipeline, Text};
use stream::processing::Processing;
use stream::reading::{InvalidReading, Reading};
use stream::shutdown::Shutdown;

/// Adds up the values of each sensor, so that a reading too many or too few shows in all that
/// follow.
struct Sum;

impl Operator for Sum {
    fn apply(
        &self,
        reading: &mut Reading<'_>,
        states: &mut [KeyState],
    ) -> Result<Flow, InvalidReading> {
        let sum = states[0].first().copied().unwrap_or_default() + reading.value;
        states[0] = vec![sum];
        reading.value = sum;
        Ok(Flow::Pass)
    }

    fn states(&self) -> usize {
        1
    }

    fn describe(&self) -> String {
        "sum".into()
    }
}

fn pipeline() -> Pipeline {
    pipeline_with("")
}

/// The pipeline with more lines at its end.
fn pipeline_with(lines: &str) -> Pipeline {
    let text = r#"
        [commit]
        records = 4
        least-interval-ms = 0
        longest-interval-ms = 0
        [defaults]
        format = "number"
        partitions = 1
        [topic.in]
        external = true
        [operator.sum]
        from = "in"
        steps = ["sum"]
        to = "out"
    "#;
    parse(&format!("{text}{lines}"))
}

/// The pipeline whose output takes so few bytes as no file may say.
fn limited(mut pipeline: Pipeline, largest: usize) -> Pipeline {
    let out = pipeline.topics.get_mut("out").unwrap();
    out.config
        .insert("max.message.bytes".into(), largest.to_string());
    pipeline
}

fn parse(text: &str) -> Pipeline {
    Pipeline::parse(Arc::new(Text {
        path: "p.toml".into(),
        text: text.into(),
    }))
    .unwrap()
}

/// What of a topic's largest message is left to framing, in bytes.
const ROOM: usize = 200;

/// Twenty numbers, one of them spoilt.
fn world() -> Rc<World> {
    let world = World::new(0, false);
    make_topics(&world, &pipeline());
    let value = |number: u32| {
        if number == 8 {
            "abc".to_owned()
        } else {
            number.to_string()
        }
    };
    let content = |number| Content {
        key: None,
        value: Some(value(number).into_bytes()),
        headers: Vec::new(),
        timestamp: 0,
    };
    world
        .cluster()
        .produce(None, &("in".into(), 0), (1..=20).map(content).collect())
        .unwrap();
    world
}

/// Runs the stage to the end of its input.
fn drained(world: &Rc<World>) -> Counters {
    let (counters, result) = outcome(world);
    result.unwrap();
    counters
}

fn outcome(world: &Rc<World>) -> (Counters, stream::error::Result<()>) {
    outcome_of(world, &pipeline())
}

fn outcome_of(world: &Rc<World>, pipeline: &Pipeline) -> (Counters, stream::error::Result<()>) {
    let counters = Arc::new(Counters::default());
    let work = Processing::new(
        pipeline,
        &pipeline.stages[0],
        Box::new(Sum),
        counters.clone(),
    );
    let shutdown = Shutdown::new();
    shutdown.drain();
    let log = SimulatedLog::open(
        world,
        &Rc::new(Being::default()),
        pipeline,
        &pipeline.stages[0],
        "a",
        &shutdown,
    );
    let result =
        stream::stage::run(log.unwrap(), work, pipeline.commit, &shutdown, &counters).map(drop);
    (Arc::into_inner(counters).unwrap(), result)
}

fn values(world: &World, topic: &str) -> Vec<String> {
    world.settle();
    let cluster = world.cluster();
    let value = |value: &Option<Vec<u8>>| String::from_utf8(value.clone().unwrap()).unwrap();
    cluster
        .partition(topic, 0)
        .committed()
        .map(|record| value(&record.content.value))
        .collect()
}

/// What must be there, computed plainly.
fn assert_exact(world: &World) {
    let sums: Vec<String> = (1..=20)
        .filter(|number| *number != 8)
        .scan(0, |sum, number| {
            *sum += number;
            Some(format!("{sum}.0"))
        })
        .collect();
    assert_eq!(values(world, "out"), sums);
    assert_eq!(values(world, "sum-dead-letters"), ["abc"]);
    assert_eq!(
        world.cluster().group("sum").committed[&("in".into(), 0)].0,
        20
    );
}

#[test]
fn everything_is_processed_once_and_a_bad_record_is_a_dead_letter() {
    let world = world();
    let counters = drained(&world);
    assert_exact(&world);
    assert_eq!(
        (
            counters.read.get(),
            counters.written.get(),
            counters.dead.get()
        ),
        (20, 19, 1)
    );
    let state = r#"{"chain":"sum","offsets":{"in":19},"time":0,"memories":[[202.0]]}"#;
    let changelog = values(&world, "sum-changelog");
    assert_eq!(
        changelog[changelog.len() - 2..],
        [state, r#"{"offsets":{"in":20}}"#]
    );
}

#[test]
fn a_commit_that_fails_is_done_again_with_the_state_of_the_commit_before() {
    let world = world();
    world.script_commits([Fate::Answered, Fate::Lost, Fate::Lost]);
    let counters = drained(&world);
    assert_exact(&world);
    assert_eq!(counters.aborts.get(), 2);
}

#[test]
fn a_commit_whose_answer_is_lost_is_not_done_again() {
    let world = world();
    world.script_commits([Fate::AnswerLost, Fate::Answered, Fate::AnswerLost]);
    let counters = drained(&world);
    assert_exact(&world);
    assert_eq!(counters.aborts.get(), 2);
}

#[test]
fn a_commit_that_arrives_late_is_not_done_twice() {
    let world = world();
    world.script_commits([Fate::Late, Fate::Answered, Fate::Late]);
    let counters = drained(&world);
    assert_exact(&world);
    assert_eq!(counters.aborts.get(), 2);
}

#[test]
fn partitions_are_given_up_only_after_a_commit() {
    let world = world();
    // Four records are committed behind the first poll, and two more are worked on.
    world.script_steps([
        ("poll", 7, FaultKind::Rebalance),
        ("poll", 12, FaultKind::Rebalance),
    ]);
    let counters = drained(&world);
    assert_exact(&world);
    assert_eq!(
        (
            world.cluster().group("sum").generation(),
            counters.aborts.get()
        ),
        (3, 0)
    );
}

#[test]
fn what_was_done_on_a_lost_partition_is_not_committed() {
    let world = world();
    world.script_steps([("poll", 7, FaultKind::ThrownOut)]);
    let counters = drained(&world);
    assert_exact(&world);
    assert_eq!(
        (counters.aborts.get(), counters.read.get()),
        (1, 22),
        "two were read again"
    );
}

#[test]
fn offsets_that_were_moved_back_behind_the_state_are_refused() {
    let world = world();
    drained(&world);
    world.settle();
    world
        .cluster()
        .group("sum")
        .committed
        .get_mut(&("in".to_owned(), 0))
        .unwrap()
        .0 = 15;
    let error = outcome(&world).1.unwrap_err().to_string();
    assert!(
        error.contains("the offsets were moved back") && error.contains("rivulet state reset sum"),
        "{error}"
    );
    assert_eq!(values(&world, "out").len(), 19, "nothing was added");
}

#[test]
fn offsets_that_kafka_has_forgotten_are_told_from_a_first_start() {
    let world = world();
    drained(&world);
    world.settle();
    world.cluster().group("sum").committed.clear();
    let error = outcome(&world).1.unwrap_err().to_string();
    assert!(
        error.contains("no offset is committed any more") && error.contains("offset 20"),
        "{error}"
    );
    assert!(error.contains("rivulet state resume sum"), "{error}");
    assert_eq!(values(&world, "out").len(), 19, "nothing was added");
}

/// The offsets of the input from which on there are records.
fn delete_below(world: &World, offset: i64) {
    world.cluster().delete_records(&("in".into(), 0), offset);
}

#[test]
fn records_that_are_gone_before_they_were_read_are_never_skipped_in_silence() {
    for (settings, goes_on) in [("", false), ("on-gap = \"dead-letter\"\n", true)] {
        let world = world();
        drained(&world);
        world.settle();
        let content = Content {
            key: None,
            value: Some(b"1".to_vec()),
            headers: Vec::new(),
            timestamp: 0,
        };
        world
            .cluster()
            .produce(None, &("in".into(), 0), vec![content; 20])
            .unwrap();
        delete_below(&world, 30);
        let pipeline = pipeline_with(settings);
        let result = outcome_of(&world, &pipeline).1;
        let letters = values_of_letters(&world);
        if goes_on {
            result.unwrap();
            assert_eq!(letters.last().unwrap(), "in [0] offsets 20..30");
            assert_eq!(values(&world, "out").len(), 29);
        } else {
            let error = result.unwrap_err().to_string();
            assert!(
                error.contains("20..30") && error.contains("on-gap = \"dead-letter\""),
                "{error}"
            );
            assert_eq!((letters.len(), values(&world, "out").len()), (1, 19));
        }
    }
}

/// Where the dead letters are from.
fn values_of_letters(world: &World) -> Vec<String> {
    world.settle();
    let cluster = world.cluster();
    let from = |record: &simulation::cluster::Stored| {
        let topic = record
            .content
            .headers
            .iter()
            .find(|(name, _)| name == "rivulet.topic")
            .unwrap();
        String::from_utf8(topic.1.clone().unwrap()).unwrap()
    };
    cluster
        .partition("sum-dead-letters", 0)
        .committed()
        .map(from)
        .collect()
}

#[test]
fn a_topic_that_was_made_anew_is_told() {
    let world = world();
    drained(&world);
    world.settle();
    world.cluster().create("in", 1, false);
    let error = outcome(&world).1.unwrap_err().to_string();
    assert!(
        error.contains("created again") && error.contains("--from-start"),
        "{error}"
    );
}

#[test]
fn more_partitions_than_the_state_was_written_for_are_told() {
    let world = world();
    drained(&world);
    world.settle();
    for topic in ["in", "sum-changelog"] {
        let mut cluster = world.cluster();
        cluster
            .topics
            .get_mut(topic)
            .unwrap()
            .partitions
            .push(simulation::cluster::Partition::default());
    }
    let error = outcome(&world).1.unwrap_err().to_string();
    assert!(
        error.contains("had 1 partitions") && error.contains("has 2 now"),
        "{error}"
    );
}

#[test]
fn a_result_that_its_topic_does_not_take_is_a_dead_letter() {
    let world = world();
    // Four characters: sums below 100.
    let pipeline = limited(pipeline(), ROOM + 4);
    let (counters, result) = outcome_of(&world, &pipeline);
    result.unwrap();
    let sums = values(&world, "out");
    assert_eq!(
        (
            sums.first().map(String::as_str),
            sums.last().map(String::as_str)
        ),
        (Some("1.0"), Some("97.0"))
    );
    assert_eq!(
        values(&world, "sum-dead-letters"),
        ["abc", "15", "16", "17", "18", "19", "20"]
    );
    assert_eq!(counters.dead.get(), 7);
}

#[test]
fn the_key_counts_for_what_a_topic_takes() {
    let sensor = "a sensor with a long name";
    let value = format!(r#"{{"sensor":"{sensor}","seq":0,"time":0,"value":1.5,"unit":"kelvin"}}"#);
    let content = Content {
        key: None,
        value: Some(value.into_bytes()),
        headers: Vec::new(),
        timestamp: 0,
    };
    let json = "[topic.in]\nexternal = true\n[operator.sum]\nfrom = \"in\"\nsteps = [\"sum\"]\nto \
                = \"out\"\n";
    let run = |largest: usize| {
        let pipeline = limited(
            parse(&format!("[defaults]\npartitions = 1\n{json}")),
            largest,
        );
        let world = World::new(0, false);
        make_topics(&world, &pipeline);
        world
            .cluster()
            .produce(None, &("in".into(), 0), vec![content.clone()])
            .unwrap();
        outcome_of(&world, &pipeline).1.unwrap();
        values(&world, "out")
    };
    let size = run(10_000)[0].len();
    assert_eq!(run(ROOM + size + sensor.len()).len(), 1);
    assert_eq!(run(ROOM + size + sensor.len() - 1).len(), 0);
}

#[test]
fn what_fails_again_and_again_is_tried_more_and_more_rarely() {
    let world = world();
    world.script_commits([Fate::Lost; 5]);
    drained(&world);
    assert_exact(&world);
    // 50, 100, 200, 400 and 800 ms of waiting, and what the work takes.
    let time = world.time();
    assert!(
        time > Duration::from_millis(1550) && time < Duration::from_secs(3),
        "{time:?}"
    );
}

#[test]
fn a_stage_that_drains_commits_its_last_records_however_long_that_takes() {
    let world = world();
    let mut pipeline = pipeline();
    (
        pipeline.commit.least_interval,
        pipeline.commit.longest_interval,
    ) = (Duration::from_secs(10), Duration::from_secs(20));
    pipeline.commit.records = 1000;
    outcome_of(&world, &pipeline).1.unwrap();
    assert_exact(&world);
}
