//! The stage loop on a simulated cluster that fails on demand.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rivulet_core::key_state::KeyState;
use rivulet_core::keyed::Keyed;
use rivulet_core::metrics::Metrics;
use rivulet_core::operator::Emitter;
use rivulet_core::processing::{Processing, ProcessingConfig};
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::shutdown::Shutdown;
use rivulet_pipeline::{Pipeline, Text};
use rivulet_simulation::client::SimulatedLog;
use rivulet_simulation::cluster::Content;
use rivulet_simulation::faults::FaultKind;
use rivulet_simulation::plan;
use rivulet_simulation::schedule::make_topics;
use rivulet_simulation::world::{CommitOutcome, SimulatedProcess, World};

mod damaged;
mod limits;
mod several;

/// Adds up the values of each sensor: one reading too many or too few changes all later results.
struct Sum;

#[derive(Debug, Default)]
struct Total(f64);

impl KeyState for Total {
    fn numbers(&self) -> Cow<'_, [f64]> {
        vec![self.0].into()
    }
}

impl Keyed for Sum {
    type State = Total;

    fn process(
        &self,
        reading: Reading<'_>,
        Total(total): &mut Total,
        out: &mut Emitter<'_>,
    ) -> Result<(), InvalidReading> {
        *total += reading.value;
        out.emit(Reading {
            value: *total,
            ..reading
        })
    }

    fn numbers(&self) -> usize {
        1
    }

    fn restore(&self, numbers: &[f64]) -> Result<Total, String> {
        Ok(Total(numbers.iter().sum()))
    }

    fn describe(&self) -> String {
        "sum".into()
    }
}

fn pipeline() -> Pipeline {
    pipeline_with("")
}

/// The pipeline with more lines at the end.
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

/// The pipeline with an output limit that is too small for a pipeline file.
fn limited(mut pipeline: Pipeline, max_message_bytes: usize) -> Pipeline {
    let out = pipeline.topics.get_mut("out").unwrap();
    out.config
        .insert("max.message.bytes".into(), max_message_bytes.to_string());
    pipeline
}

fn parse(text: &str) -> Pipeline {
    Pipeline::parse(Arc::new(Text {
        path: "p.toml".into(),
        text: text.into(),
    }))
    .unwrap()
}

/// How many bytes of `max.message.bytes` are reserved for framing.
const FRAMING: usize = 200;

/// Numbers from 1 to 20, the eighth of which is invalid.
fn world() -> Rc<World> {
    let world = World::new(0, false);
    make_topics(&world, &pipeline());
    let contents = (1..=20).map(|number| match number {
        8 => content("abc".to_owned()),
        number => content(number.to_string()),
    });
    world
        .cluster()
        .produce(None, &("in".into(), 0), contents.collect())
        .unwrap();
    world
}

/// A record with this value.
fn content(value: String) -> Content {
    Content {
        key: None,
        value: Some(value.into_bytes()),
        headers: Vec::new(),
        timestamp: 0,
    }
}

/// Runs the stage to the end of its input.
fn drained(world: &Rc<World>) -> Metrics {
    let (metrics, result) = outcome(world);
    result.unwrap();
    metrics
}

fn outcome(world: &Rc<World>) -> (Metrics, rivulet_core::error::Result<()>) {
    outcome_of(world, &pipeline())
}

fn outcome_of(
    world: &Rc<World>,
    pipeline: &Pipeline,
) -> (Metrics, rivulet_core::error::Result<()>) {
    let config = plan::processing_config(pipeline, &pipeline.stages[0]);
    outcome_with(world, pipeline, config)
}

fn outcome_with(
    world: &Rc<World>,
    pipeline: &Pipeline,
    config: ProcessingConfig,
) -> (Metrics, rivulet_core::error::Result<()>) {
    let metrics = Arc::new(Metrics::default());
    let processing = Processing::new(config, Box::new(Sum), metrics.clone());
    let shutdown = Shutdown::new();
    shutdown.drain();
    let log = SimulatedLog::open(
        world,
        &Rc::new(SimulatedProcess::default()),
        pipeline,
        &pipeline.stages[0],
        "a",
        &shutdown,
    );
    let result = rivulet_core::stage::run(
        log.unwrap(),
        processing,
        pipeline.commit,
        &shutdown,
        &metrics,
    )
    .map(drop);
    (Arc::into_inner(metrics).unwrap(), result)
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

/// Compares the topics with the expected results.
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
fn records_are_processed_once_and_a_bad_one_is_a_dead_letter() {
    let world = world();
    let metrics = drained(&world);
    assert_exact(&world);
    assert_eq!(
        (
            metrics.read.get(),
            metrics.written.get(),
            metrics.dead.get()
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
fn a_failed_commit_is_repeated_from_the_state_of_the_last_one() {
    let world = world();
    world.script_commits([
        CommitOutcome::Answered,
        CommitOutcome::Lost,
        CommitOutcome::Lost,
    ]);
    let metrics = drained(&world);
    assert_exact(&world);
    assert_eq!(metrics.aborts.get(), 2);
}

#[test]
fn a_commit_with_a_lost_response_is_not_repeated() {
    let world = world();
    world.script_commits([
        CommitOutcome::AnswerLost,
        CommitOutcome::Answered,
        CommitOutcome::AnswerLost,
    ]);
    let metrics = drained(&world);
    assert_exact(&world);
    assert_eq!(metrics.aborts.get(), 2);
}

#[test]
fn a_commit_that_arrives_late_is_not_repeated() {
    let world = world();
    world.script_commits([
        CommitOutcome::Late,
        CommitOutcome::Answered,
        CommitOutcome::Late,
    ]);
    let metrics = drained(&world);
    assert_exact(&world);
    assert_eq!(metrics.aborts.get(), 2);
}

#[test]
fn partitions_are_revoked_only_after_a_commit() {
    let world = world();
    // Four records are committed after the first poll, and two more are processed.
    world.script_steps([
        ("poll", 7, FaultKind::Rebalance),
        ("poll", 12, FaultKind::Rebalance),
    ]);
    let metrics = drained(&world);
    assert_exact(&world);
    assert_eq!(
        (
            world.cluster().group("sum").generation(),
            metrics.aborts.get()
        ),
        (3, 0)
    );
}

#[test]
fn work_on_a_lost_partition_is_not_committed() {
    let world = world();
    world.script_steps([("poll", 7, FaultKind::ThrownOut)]);
    let metrics = drained(&world);
    assert_exact(&world);
    assert_eq!(
        (metrics.aborts.get(), metrics.read.get()),
        (1, 22),
        "two were read again"
    );
}

#[test]
fn offsets_older_than_the_state_are_an_error() {
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
fn expired_offsets_are_not_mistaken_for_a_first_start() {
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

#[test]
fn repeated_failures_back_off() {
    let world = world();
    world.script_commits([CommitOutcome::Lost; 5]);
    drained(&world);
    assert_exact(&world);
    // Back-off of 50, 100, 200, 400 and 800 ms, and the time for the work.
    let time = world.time();
    assert!(
        time > Duration::from_millis(1550) && time < Duration::from_secs(3),
        "{time:?}"
    );
}

#[test]
fn a_draining_stage_commits_its_last_records() {
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
