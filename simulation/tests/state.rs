//! A damaged state is an error, and never silently wrong.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use rivulet_core::metrics::Metrics;
use rivulet_core::processing::Processing;
use rivulet_core::shutdown::Shutdown;
use rivulet_pipeline::{Pipeline, StageKind, Text};
use rivulet_simulation::client::SimulatedLog;
use rivulet_simulation::cluster::Content;
use rivulet_simulation::faults::FaultKind;
use rivulet_simulation::plan::{self, chain};
use rivulet_simulation::schedule::make_topics;
use rivulet_simulation::world::{OtherProcesses, SimulatedProcess, World};

const CHANGELOG: &str = "mean-changelog";

fn pipeline(guarantee: &str) -> Pipeline {
    let text = format!(
        "guarantee = \"{guarantee}\"\n[defaults]\npartitions = 1\n[topic.in]\nexternal = \
         true\n[operator.mean]\nfrom = \"in\"\nsteps = [{{ ewma = {{ alpha = 0.5 }} }}]\nto \
         = \"out\"\n"
    );
    Pipeline::parse(Arc::new(Text {
        path: "p.toml".into(),
        text,
    }))
    .unwrap()
}

/// Writes four more readings of each of five sensors.
fn write_readings(world: &World) {
    for number in 0..20 {
        let (sensor, seq) = (format!("sensor{}", number % 5), number / 5);
        let value = format!(
            r#"{{"sensor":"{sensor}","seq":{seq},"time":0,"value":{number}.5,"unit":"kelvin"}}"#
        );
        let content = Content {
            key: Some(sensor.into_bytes()),
            value: Some(value.into_bytes()),
            headers: Vec::new(),
            timestamp: 0,
        };
        world
            .cluster()
            .produce(None, &("in".into(), 0), vec![content])
            .unwrap();
    }
}

fn drain(
    world: &Rc<World>,
    pipeline: &Pipeline,
    instance: &str,
) -> rivulet_core::error::Result<u64> {
    let stage = &pipeline.stages[0];
    let StageKind::Operator { steps } = &stage.kind else {
        unreachable!("it is an operator")
    };
    let processing = Processing::new(
        plan::processing_config(pipeline, stage),
        Box::new(chain(pipeline, stage, steps)),
        Arc::default(),
    );
    let shutdown = Shutdown::new();
    shutdown.drain();
    let log = SimulatedLog::open(
        world,
        &Rc::new(SimulatedProcess::default()),
        pipeline,
        stage,
        instance,
        &shutdown,
    )
    .unwrap();
    let metrics = Arc::new(Metrics::default());
    rivulet_core::stage::run(log, processing, pipeline.commit, &shutdown, &metrics)?;
    Ok(metrics.aborts.get())
}

/// Writes readings once, and has another instance process them.
struct Other {
    world: Rc<World>,
    pipeline: Pipeline,
    is_done: Cell<bool>,
}

impl OtherProcesses for Other {
    fn run(&self, _: u32) {
        if !self.is_done.replace(true) {
            write_readings(&self.world);
            drain(&self.world, &self.pipeline, "b").unwrap();
        }
    }

    fn change_processes(&self, _: FaultKind) -> bool {
        false
    }

    fn change_topics(&self, _: FaultKind) -> bool {
        false
    }
}

/// A world in which the stage has processed the first readings.
fn with_state(pipeline: &Pipeline) -> Rc<World> {
    let world = World::new(0, false);
    make_topics(&world, pipeline);
    write_readings(&world);
    drain(&world, pipeline, "a").unwrap();
    world.settle();
    world
}

/// The error of a stage after something happened to its changelog.
fn after(guarantee: &str, damage: impl Fn(&World)) -> Result<(), String> {
    let pipeline = pipeline(guarantee);
    let world = with_state(&pipeline);
    damage(&world);
    write_readings(&world);
    drain(&world, &pipeline, "a")
        .map(drop)
        .map_err(|error| error.to_string())
}

const GUARANTEES: [&str; 2] = ["exactly-once", "at-least-once"];

#[track_caller]
fn assert_damaged(damage: impl Fn(&World) + Copy) {
    for guarantee in GUARANTEES {
        let error = after(guarantee, damage).unwrap_err();
        assert!(
            error.contains("restoring the state of partition 0 from mean-changelog"),
            "{guarantee}: {error}"
        );
        assert!(
            error.contains("was deleted, truncated or is not compacted"),
            "{guarantee}: {error}"
        );
    }
}

#[test]
fn a_complete_changelog_is_restored_compacted_or_not() {
    for guarantee in GUARANTEES {
        after(guarantee, |_| ()).unwrap();
        after(guarantee, |world| {
            let place = (CHANGELOG.to_owned(), 0);
            world.cluster().compact(&place, &mut world.chance());
        })
        .unwrap();
    }
}

#[test]
fn a_deleted_changelog_is_an_error() {
    assert_damaged(|world| world.cluster().create(CHANGELOG, 1, true));
}

#[test]
fn a_truncated_changelog_is_an_error() {
    assert_damaged(|world| world.cluster().lose(&(CHANGELOG.to_owned(), 0), 3));
}

#[test]
fn a_changelog_emptied_by_retention_is_an_error() {
    assert_damaged(|world| {
        let end = world.cluster().partition(CHANGELOG, 0).end();
        world.cluster().lose(&(CHANGELOG.to_owned(), 0), end);
    });
}

#[test]
fn a_state_that_changes_during_its_restore_is_restored_again() {
    let pipeline = pipeline("exactly-once");
    let world = with_state(&pipeline);
    let other = Other {
        world: world.clone(),
        pipeline: pipeline.clone(),
        is_done: Cell::new(false),
    };
    world.set_others(Some(Rc::new(other)));
    // It is paused between reading the offsets and the state, until another instance has gone on.
    world.script_steps([("asking for the end", 0, FaultKind::LostSession)]);
    assert_eq!(drain(&world, &pipeline, "a").unwrap(), 1);
    assert_eq!(
        world.cluster().group("mean").committed[&("in".into(), 0)].0,
        40
    );
}

/// The changelog's committed records.
fn changelog(world: &World) -> Vec<Content> {
    world
        .cluster()
        .partition(CHANGELOG, 0)
        .committed()
        .map(|record| record.content.clone())
        .collect()
}

/// Replaces the changelog by one with these records.
fn replace_changelog(world: &World, records: Vec<Content>) {
    world.cluster().create(CHANGELOG, 1, true);
    world
        .cluster()
        .produce(None, &(CHANGELOG.to_owned(), 0), records)
        .unwrap();
}

#[test]
fn an_older_changelog_is_not_mistaken_for_a_truncated_one() {
    let pipeline = pipeline("exactly-once");
    let world = with_state(&pipeline);
    let backup = changelog(&world);
    write_readings(&world);
    drain(&world, &pipeline, "a").unwrap();
    replace_changelog(&world, backup);
    let error = drain(&world, &pipeline, "a").unwrap_err().to_string();
    assert!(
        error.contains("it has 5 sensors where 5 were committed, but of other records"),
        "{error}"
    );
    replace_changelog(&world, Vec::new());
    let error = drain(&world, &pipeline, "a").unwrap_err().to_string();
    assert!(
        error.contains("it has 0 sensors where 5 were committed")
            && !error.contains("other records"),
        "{error}"
    );
}

#[test]
fn the_state_of_another_chain_matters_until_it_is_replaced() {
    after("exactly-once", |world| insert_foreign(world, false)).unwrap();
    let error = after("exactly-once", |world| insert_foreign(world, true)).unwrap_err();
    assert!(
        error.contains("state of another chain means something else"),
        "{error}"
    );
}

/// Inserts a record of another chain, at the beginning or the end of the changelog.
fn insert_foreign(world: &World, is_last: bool) {
    let mut records = changelog(world);
    let foreign = br#"{"chain":"median","offsets":{"in":3},"memories":[[1.0]]}"#.to_vec();
    let foreign = Content {
        value: Some(foreign),
        ..records[0].clone()
    };
    records.insert(if is_last { records.len() } else { 0 }, foreign);
    replace_changelog(world, records);
}
