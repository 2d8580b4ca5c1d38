//! What must hold of the log on Kafka and can only be shown where something stands between the two.
//!
//! A commit of which a copy arrives after its repetition was answered must not touch the next
//! transaction of the same stage. librdkafka repeats a request whose connection breaks. The first
//! copy may still be under way, in the buffer of a kernel or of a router, and nothing in it tells
//! which transaction it belongs to. <https://jepsen.io/analyses/bufstream-0.1.0> found this in the
//! protocol.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use stream::kafka::KafkaLog;
use stream::log::{
    Event, Fault, Log, OffsetAndMetadata, ProducerRecord, Record as _, TopicPartition,
};
use stream::pipeline::{Pipeline, Text};
use stream::shutdown::Shutdown;
use tests::chain::CONVERT;
use tests::records::{self, Record};
use tests::{Api, PipelineBuilder, Proxied, Scenario, wait};

const FIRST: TopicPartition = TopicPartition {
    topic: 0,
    partition: 0,
};

const CHANGELOG: &str = "copy-changelog";
/// In milliseconds: how long a member may go without a poll. Less than a session is not possible.
const POLL_INTERVAL: u64 = 6000;
/// In milliseconds: how long a transaction stays open that nobody ends.
const OPEN: u64 = 9000;

/// The log of a stage that reads `in` and writes `out`, through the proxy.
struct Stage {
    broker: Proxied,
    log: KafkaLog,
}

impl Stage {
    fn start() -> Self {
        let broker = Proxied::start();
        for topic in pipeline(&broker).topics.keys() {
            records::create_topic(&broker.behind(), topic, 1);
        }
        let mut stage = Stage {
            log: open(&broker, "a"),
            broker,
        };
        stage.polls(|event| matches!(event, Event::Assigned(_)));
        sure(stage.log.assign(&[(FIRST, 0)]));
        stage
    }

    /// Polls until it sees this.
    fn polls(&mut self, is_it: impl Fn(&Event<i64>) -> bool) {
        wait::until_so("something comes", || {
            let event = match sure(self.log.poll(Duration::from_millis(10))) {
                Event::Record(record) => Event::Record(record.fields().offset),
                Event::Assigned(partitions) => Event::Assigned(partitions),
                Event::Revoked { lost } => Event::Revoked { lost },
                Event::Timeout => Event::Timeout,
            };
            is_it(&event)
        });
    }

    fn reads(&mut self, offset: i64) {
        self.polls(|event| matches!(event, Event::Record(found) if *found == offset));
    }

    fn sends(&self, value: &str) {
        let value = Some(value.as_bytes());
        let record = ProducerRecord {
            topic: "out",
            partition: Some(0),
            timestamp: None,
            key: None,
            value,
            headers: &[],
        };
        sure(self.log.send(&record));
    }

    fn commits(&mut self, offset: i64) {
        sure(self.log.commit(&[OffsetAndMetadata {
            partition: FIRST,
            offset,
            metadata: String::new(),
        }]));
    }

    /// The committed values of `out`.
    fn written(&self, at_least: usize) -> Vec<String> {
        let text = |record: Record| {
            String::from_utf8(record.value.unwrap_or_default()).expect("it was text")
        };
        records::read(&self.broker.behind(), "out", at_least)
            .into_iter()
            .map(text)
            .collect()
    }
}

fn pipeline(broker: &Proxied) -> Pipeline {
    let text = format!(
        "[kafka]\nbrokers = \"{}\"\n\"session.timeout.ms\" = 6000\n\"max.poll.interval.ms\" = \
         {POLL_INTERVAL}\n[topic.in]\nexternal = true\n[operator.copy]\nfrom = \"in\"\nsteps = \
         [\"round\"]\nto = \"out\"\n",
        broker.brokers()
    );
    let pipeline = Pipeline::parse(Arc::new(Text {
        path: "p.toml".into(),
        text,
    }));
    pipeline.unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn open(broker: &Proxied, instance: &str) -> KafkaLog {
    let pipeline = pipeline(broker);
    let topics: Vec<String> = pipeline.topics.keys().cloned().collect();
    sure(KafkaLog::open(
        &pipeline,
        &pipeline.stages[0],
        &topics,
        instance,
        &Shutdown::new(),
    ))
}

/// A producer that has begun a transaction in the changelog and leaves it open.
fn open_transaction(broker: &Proxied) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.behind())
        .set("transactional.id", "somebody else's")
        .set("transaction.timeout.ms", OPEN.to_string())
        .create()
        .expect("the settings are right");
    producer
        .init_transactions(wait::LONG)
        .expect("nobody else has the name");
    producer
        .begin_transaction()
        .expect("transactions are initialised");
    producer
        .send(BaseRecord::to(CHANGELOG).key("x").payload("1"))
        .expect("there is room");
    producer.flush(wait::LONG).expect("the broker answers");
    producer
}

fn sure<T>(result: Result<T, Fault>) -> T {
    result.unwrap_or_else(|fault| panic!("{fault:?}"))
}

#[test]
fn what_was_undone_is_not_committed_by_a_copy_of_the_commit_before() {
    let mut stage = Stage::start();
    stage.sends("1");
    stage.broker.hold(Api::EndTxn);
    stage.commits(1);
    assert!(
        stage.broker.holds(Api::EndTxn) && stage.broker.passed(Api::EndTxn) == 1,
        "it was repeated"
    );
    // Its mark is written, too.
    assert_eq!(stage.written(1), ["1"]);
    let before = records::end(&stage.broker.behind(), "out", 0);
    stage.sends("2");
    wait::until_so("the broker has it", || {
        records::end(&stage.broker.behind(), "out", 0) > before
    });
    stage.broker.let_go(Api::EndTxn);
    sure(stage.log.abort());
    assert_eq!(stage.written(1), ["1"], "the second was undone");
    sure(stage.log.assign(&[(FIRST, 0)]));
    stage.sends("3");
    stage.commits(3);
    assert_eq!(stage.written(2), ["1", "3"]);
}

#[test]
fn offsets_are_not_set_back_by_a_copy_of_those_before() {
    let mut stage = Stage::start();
    records::produce(
        &stage.broker.behind(),
        "in",
        &[Record::of("1"), Record::of("2")],
    );
    stage.reads(0);
    stage.sends("1");
    stage.broker.hold(Api::TxnOffsetCommit);
    stage.commits(1);
    assert!(
        stage.broker.holds(Api::TxnOffsetCommit) && stage.broker.passed(Api::TxnOffsetCommit) == 1
    );
    stage.reads(1);
    stage.sends("2");
    // The copy arrives behind the offsets of the second transaction and before its end.
    stage.broker.hold(Api::EndTxn);
    let Stage { broker, log } = &mut stage;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait::until_so("the end of the transaction is held back", || {
                broker.holds(Api::EndTxn)
            });
            broker.let_go(Api::TxnOffsetCommit);
        });
        sure(log.commit(&[OffsetAndMetadata {
            partition: FIRST,
            offset: 2,
            metadata: String::new(),
        }]));
    });
    assert_eq!(records::committed(&stage.broker.behind(), "copy", "in"), 2);
    assert_eq!(stage.written(2), ["1", "2"]);
}

/// The group took it for dead while it waited, gave its partitions to another, and the wait began
/// anew.
#[test]
fn a_member_that_waits_for_longer_than_it_may_be_silent_keeps_its_partitions() {
    let mut stage = Stage::start();
    records::produce(&stage.broker.behind(), "in", &[Record::of("1")]);
    sure(stage.log.abort());
    let other = open_transaction(&stage.broker);
    let start = Instant::now();
    sure(stage.log.restore(CHANGELOG, &[0], &mut |_, _, _| {
        panic!("nothing was committed")
    }));
    assert!(
        start.elapsed() > Duration::from_millis(POLL_INTERVAL),
        "{:?}",
        start.elapsed()
    );
    sure(stage.log.assign(&[(FIRST, 0)]));
    let event = wait::until(wait::LONG, || {
        match sure(stage.log.poll(Duration::from_millis(10))) {
            Event::Timeout => None,
            Event::Record(record) => Some(Ok(record.fields().offset)),
            Event::Assigned(_) => Some(Err("given")),
            Event::Revoked { .. } => Some(Err("taken")),
        }
    });
    assert_eq!(event, Some(Ok(0)));
    stage.sends("1");
    stage.commits(1);
    drop(other);
}

/// It held the group up until the transaction ended.
#[test]
fn a_member_that_waits_lets_go_of_its_partitions_when_another_joins() {
    let mut stage = Stage::start();
    sure(stage.log.abort());
    let other = open_transaction(&stage.broker);
    let start = Instant::now();
    let Stage { broker, log } = &mut stage;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let log = open(broker, "b");
            wait::until_so("it joins", || {
                !matches!(sure(log.poll(Duration::from_millis(10))), Event::Timeout)
            });
        });
        let restored = log.restore(CHANGELOG, &[0], &mut |_, _, _| ());
        assert!(matches!(restored, Err(Fault::Abortable(_))), "{restored:?}");
        assert!(
            start.elapsed() < Duration::from_millis(OPEN / 2),
            "{:?}",
            start.elapsed()
        );
        sure(log.abort());
        wait::until_so("the partitions are taken", || {
            matches!(
                sure(log.poll(Duration::from_millis(10))),
                Event::Revoked { lost: false }
            )
        });
        sure(log.unassign());
        // The other may get nothing, which is an answer too.
        let _ = log.poll(Duration::from_millis(100));
        let released = Instant::now();
        while released.elapsed() < Duration::from_secs(1) {
            let _ = sure(log.poll(Duration::from_millis(10)));
        }
    });
    drop(other);
}

/// How often a copy of a commit comes late.
const ROUNDS: usize = 5;

#[test]
fn a_stage_whose_commits_come_twice_sends_each_reading_once() {
    let broker = Proxied::start();
    let pipeline = PipelineBuilder::new()
        .producer(
            "thermometers",
            "{ simulated = { sensors = 10, rate = 500 } }",
            "celsius",
        )
        .operator("convert", "celsius", CONVERT, "fahrenheit");
    let scenario = Scenario::on(broker.behind(), pipeline);
    scenario.create_topics();
    let mut thermometers = scenario.start("thermometers");
    let mut convert = scenario.start_through(&broker.brokers(), "convert");
    for round in 0..ROUNDS {
        scenario.grows("fahrenheit", 100);
        let ended = broker.passed(Api::EndTxn);
        broker.hold(Api::EndTxn);
        wait::until_so("the commit is repeated", || {
            broker.holds(Api::EndTxn) && broker.passed(Api::EndTxn) > ended
        });
        let sent = broker.passed(Api::Produce);
        wait::until_so("the next transaction has records", || {
            broker.passed(Api::Produce) > sent
        });
        broker.let_go(Api::EndTxn);
        assert!(convert.is_running(), "round {round}");
    }
    scenario.grows("fahrenheit", 100);
    thermometers.stop();
    convert.stop();
    scenario.drain("convert");
    scenario.verify();
}
