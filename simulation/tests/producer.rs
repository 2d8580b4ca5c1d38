//! The source loop on a simulated cluster that fails on demand.

use std::io::Cursor;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rivulet_core::error::Result;
use rivulet_core::metrics::Metrics;
use rivulet_core::shutdown::Shutdown;
use rivulet_core::stage::Step;
use rivulet_pipeline::{ComponentConfig, Pipeline, StageKind, Text};
use rivulet_producer::catalog::lines::Lines;
use rivulet_producer::source::{Next, Source, SourceRecord};
use rivulet_producer::source_loop::SourceLoop;
use rivulet_simulation::client::SimulatedLog;
use rivulet_simulation::cluster::TopicConfig;
use rivulet_simulation::plan;
use rivulet_simulation::schedule::make_topics;
use rivulet_simulation::world::{CommitOutcome, SimulatedProcess, World};
use serde_json::Value;

fn pipeline(source: &str) -> Pipeline {
    // It commits after two records, and never because of time.
    let text = format!(
        "[commit]\nrecords = 2\nleast-interval-ms = 100000\nlongest-interval-ms = \
         100000\n[defaults]\npartitions = 1\n[producer.in]\nsource = {{ {source} }}\nto = \"out\"\n"
    );
    Pipeline::parse(Arc::new(Text {
        path: "p.toml".into(),
        text,
    }))
    .unwrap()
}

fn source_config(pipeline: &Pipeline) -> &ComponentConfig {
    let StageKind::Producer { source, .. } = &pipeline.stages[0].kind else {
        unreachable!("it is a producer")
    };
    source
}

fn start(
    world: &Rc<World>,
    pipeline: &Pipeline,
    source: Box<dyn Source>,
    metrics: &Arc<Metrics>,
) -> SourceLoop<SimulatedLog> {
    let mut source = unclaimed(world, pipeline, source, metrics, &Shutdown::new());
    source.resume(false).unwrap();
    source
}

fn unclaimed(
    world: &Rc<World>,
    pipeline: &Pipeline,
    source: Box<dyn Source>,
    metrics: &Arc<Metrics>,
    shutdown: &Shutdown,
) -> SourceLoop<SimulatedLog> {
    let stage = &pipeline.stages[0];
    let log = SimulatedLog::open(
        world,
        &Rc::new(SimulatedProcess::default()),
        pipeline,
        stage,
        "a",
        shutdown,
    )
    .unwrap();
    SourceLoop::new(
        log,
        source,
        pipeline,
        stage,
        plan::outputs(pipeline, stage),
        shutdown.clone(),
        metrics.clone(),
    )
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

/// A JSON reading, which moves no position, or an invalid line.
fn line(number: u64) -> String {
    if number == 3 {
        return "three degrees or so".to_owned();
    }
    format!("{{\"sensor\":\"a\",\"seq\":{number},\"time\":0,\"value\":1.0,\"unit\":\"kelvin\"}}")
}

/// Asserts that seven lines arrive once, with a commit after every second and these outcomes.
fn assert_exact(commits: impl IntoIterator<Item = CommitOutcome>) {
    let text: String = (0..7).map(|number| line(number) + "\n").collect();
    let pipeline = pipeline("lines = {}");
    let lines: Lines = source_config(&pipeline).settings().unwrap();
    let world = World::new(0, false);
    make_topics(&world, &pipeline);
    world.script_commits(commits);
    let metrics = Arc::default();
    let source = Box::new(lines.read_from(Cursor::new(text)).unwrap());
    let mut source = start(&world, &pipeline, source, &metrics);
    while source.step(&mut |_| ()).unwrap() == Step::Continue {}
    assert_eq!(metrics.written.get(), 6);
    let readings: Vec<String> = (0..7).filter(|number| *number != 3).map(line).collect();
    assert_eq!(
        (values(&world, "out"), values(&world, "in-dead-letters")),
        (readings, vec![line(3)])
    );
}

#[test]
fn readings_of_a_failed_commit_are_sent_again() {
    assert_exact([
        CommitOutcome::Answered,
        CommitOutcome::Lost,
        CommitOutcome::Lost,
    ]);
}

#[test]
fn a_commit_with_a_lost_response_is_not_repeated() {
    assert_exact([
        CommitOutcome::AnswerLost,
        CommitOutcome::Answered,
        CommitOutcome::AnswerLost,
    ]);
}

#[test]
fn readings_without_a_position_are_not_mistaken_for_committed() {
    assert_exact([
        CommitOutcome::Lost,
        CommitOutcome::AnswerLost,
        CommitOutcome::Lost,
    ]);
}

/// The pipeline file does not have this policy, only the brokers.
#[test]
fn a_rejected_reading_is_a_dead_letter_and_the_others_arrive() {
    let text: String = (0..7).map(|number| line(number) + "\n").collect();
    let pipeline = pipeline("lines = {}");
    let lines: Lines = source_config(&pipeline).settings().unwrap();
    let world = World::new(0, false);
    make_topics(&world, &pipeline);
    for topic in ["out", "in-dead-letters"] {
        world.cluster().set_topic_config(
            topic,
            TopicConfig {
                forbidden_text: Some("\"seq\":5,"),
                ..TopicConfig::default()
            },
        );
    }
    let metrics = Arc::default();
    let source = Box::new(lines.read_from(Cursor::new(text)).unwrap());
    let mut source = start(&world, &pipeline, source, &metrics);
    while source.step(&mut |_| ()).unwrap() == Step::Continue {}
    let readings: Vec<String> = (0..7)
        .filter(|number| ![3, 5].contains(number))
        .map(line)
        .collect();
    assert_eq!(values(&world, "out"), readings);
    // The dead-letter topic rejects the value too, so the dead letter has none.
    assert_eq!(values(&world, "in-dead-letters"), [line(3), String::new()]);
    assert_eq!((metrics.written.get(), metrics.dead.get()), (5, 2));
}

#[test]
fn a_replaced_process_recognises_commits_that_are_not_its_own() {
    let pipeline = pipeline("list = { values = [1, 2, 3, 4, 5, 6, 7] }");
    let world = World::new(0, false);
    make_topics(&world, &pipeline);
    let metrics = Arc::default();
    let source = || plan::source(&pipeline, source_config(&pipeline));
    let mut first = start(&world, &pipeline, source(), &metrics);
    first.step(&mut |_| ()).unwrap();
    let mut second = start(&world, &pipeline, source(), &metrics);
    for _ in 0..5 {
        second.step(&mut |_| ()).unwrap();
    }
    let error = (0..4)
        .find_map(|_| first.step(&mut |_| ()).err())
        .expect("the first process ends")
        .to_string();
    assert!(error.contains("taken this one's place"), "{error}");
    // The first has fenced the second before it ended. The second goes on, as after any fault.
    while second.step(&mut |_| ()).unwrap() == Step::Continue {}
    let seqs: Vec<u64> = values(&world, "out")
        .iter()
        .map(|value| {
            serde_json::from_str::<serde_json::Value>(value).unwrap()["seq"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(seqs, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn the_step_to_resume_from_has_no_uncommitted_reading_before_it() {
    let pipeline = pipeline("seasonal = { sensors = { a = {}, b = {}, c = {} }, delay-ms = 0 }");
    let world = World::new(0, false);
    make_topics(&world, &pipeline);
    let open = |shutdown: &Shutdown| {
        let source = plan::source(&pipeline, source_config(&pipeline));
        unclaimed(&world, &pipeline, source, &Arc::default(), shutdown)
    };
    let shutdown = Shutdown::new();
    let mut source = open(&shutdown);
    assert_eq!(source.resume_hint(), None, "its position is not known yet");
    source.resume(false).unwrap();
    for _ in 0..4 {
        assert_eq!(source.step(&mut |_| ()).unwrap(), Step::Continue);
        assert_eq!(source.resume_hint(), None, "a reading is not committed");
    }
    shutdown.stop();
    assert_eq!(source.step(&mut |_| ()).unwrap(), Step::Done);
    let hint = "resume with start-step = 1; 1 of the 3 readings of that step are sent";
    assert_eq!(source.resume_hint().as_deref(), Some(hint));

    let mut again = open(&Shutdown::new());
    again.resume(false).unwrap();
    assert_eq!(again.resume_hint().as_deref(), Some(hint));
    while again.step(&mut |_| ()).unwrap() == Step::Continue {}
    assert_eq!(
        again.resume_hint().as_deref(),
        Some("resume with start-step = 1000")
    );
    let found = values(&world, "out");
    let parse = |value: &String| serde_json::from_str::<Value>(value).unwrap();
    let found: Vec<Value> = found.iter().map(parse).collect();
    assert_eq!(found.len(), 3000);
    for (index, reading) in found.iter().enumerate() {
        assert_eq!(reading["sensor"], ["a", "b", "c"][index % 3]);
        assert_eq!(reading["seq"], index / 3);
        assert_eq!(reading["time"], found[index / 3 * 3]["time"]);
    }
}

/// Yields whole records, by number.
struct Whole {
    next: u64,
    records: Vec<SourceRecord<'static>>,
}

impl Source for Whole {
    fn next(&mut self, _: Duration) -> Result<Next<'_>> {
        let index = usize::try_from(self.next).unwrap();
        Ok(match self.records.get(index) {
            Some(record) => {
                self.next += 1;
                Next::Record(record.clone())
            }
            None => Next::End,
        })
    }

    fn position(&self) -> Value {
        self.next.into()
    }

    fn resume(&mut self, position: &Value) -> Result<()> {
        self.next = position.as_u64().unwrap();
        Ok(())
    }
}

fn whole(topic: Option<&'static str>, value: Option<&str>) -> SourceRecord<'static> {
    SourceRecord {
        topic: topic.map(Into::into),
        key: Some(b"k"[..].into()),
        value: value.map(|value| value.as_bytes().to_vec().into()),
        headers: vec![("h".to_owned(), Some(b"1".to_vec()))],
    }
}

/// Sends these records to the topics `out` and `other`, with a failed commit. Returns the values in
/// both topics, and in the dead-letter topic.
fn sent(records: &[SourceRecord<'static>], forbidden_text: Option<&'static str>) -> [String; 3] {
    let text = pipeline("list = { values = [1] }").text.text.clone();
    let pipeline = Pipeline::parse(Arc::new(Text {
        path: "p.toml".into(),
        text: text.replace("to = \"out\"", "to = [\"out\", \"other\"]"),
    }))
    .unwrap();
    let world = World::new(0, false);
    make_topics(&world, &pipeline);
    world.cluster().set_topic_config(
        "other",
        TopicConfig {
            forbidden_text,
            ..TopicConfig::default()
        },
    );
    world.script_commits([CommitOutcome::Lost, CommitOutcome::AnswerLost]);
    let source = Box::new(Whole {
        next: 0,
        records: records.to_vec(),
    });
    let mut source = start(&world, &pipeline, source, &Arc::default());
    while source.step(&mut |_| ()).unwrap() == Step::Continue {}
    world.settle();
    let headers = vec![("h".to_owned(), Some(b"1".to_vec()))];
    for topic in ["out", "other"] {
        for record in world.cluster().partition(topic, 0).committed() {
            assert_eq!(record.content.key.as_deref(), Some(&b"k"[..]));
            assert_eq!(record.content.headers, headers);
        }
    }
    ["out", "other", "in-dead-letters"].map(|topic| {
        let cluster = world.cluster();
        let records = cluster.partition(topic, 0).committed();
        let values: Vec<String> = records
            .map(|record| match &record.content.value {
                Some(value) => String::from_utf8(value.clone()).unwrap(),
                None => "none".to_owned(),
            })
            .collect();
        values.join(",")
    })
}

#[test]
fn whole_records_go_to_their_topics_as_they_are() {
    let records = [
        whole(Some("other"), Some("1")),
        whole(None, Some("2")),
        whole(Some("out"), None),
        whole(Some("out"), Some("4")),
    ];
    assert_eq!(sent(&records, None), ["2,none,4", "1,2", ""]);
}

#[test]
fn a_whole_record_that_cannot_be_sent_is_a_dead_letter() {
    let large = "x".repeat(2_000_000);
    let records = [
        whole(Some("elsewhere"), Some("1")),
        whole(None, Some("two")),
        whole(None, Some(&large)),
        whole(Some("out"), Some("4")),
    ];
    let [out, other, dead] = sent(&records, Some("two"));
    // A record goes to all its topics or to none.
    assert_eq!((&out[..], &other[..]), ("4", ""));
    let dead: Vec<&str> = dead.split(',').collect();
    assert_eq!(dead[..2], ["1", "two"]);
    assert!(dead.len() == 3 && large.starts_with(dead[2]), "it is cut");
}
