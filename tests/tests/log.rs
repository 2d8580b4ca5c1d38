//! Properties of the log on Kafka that need a proxy between the two.
//!
//! A copy of a commit that arrives after its repetition was answered must not affect the next
//! transaction of the same stage. librdkafka repeats a request when its connection breaks. The
//! first copy may still be on its way, in a buffer of a kernel or a router, and does not say which
//! transaction it belongs to. <https://jepsen.io/analyses/bufstream-0.1.0> found this in the
//! protocol.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rivulet_core::log::{
    Event, Fault, Log, OffsetAndMetadata, ProducerRecord, Record as _, TopicPartition,
};
use rivulet_core::shutdown::Shutdown;
use rivulet_kafka::KafkaLog;
use rivulet_node::log_config;
use rivulet_pipeline::{Pipeline, Text};
use rivulet_tests::chain::CONVERT;
use rivulet_tests::records::{self, Record};
use rivulet_tests::{Api, PipelineBuilder, Proxied, Scenario, wait};

const FIRST: TopicPartition = TopicPartition {
    topic: 0,
    partition: 0,
};

const CHANGELOG: &str = "copy-changelog";
/// `max.poll.interval.ms`. It cannot be shorter than the session timeout.
const POLL_INTERVAL: u64 = 6000;
/// How long an abandoned transaction stays open, in milliseconds.
const TRANSACTION_TIMEOUT: u64 = 9000;

/// The log of a stage that reads `in` and writes `out`, through the proxy.
struct Stage {
    broker: Proxied,
    log: KafkaLog,
}

impl Stage {
    fn start() -> Self {
        let broker = Proxied::start();
        for topic in pipeline(&broker).topics.keys() {
            records::create_topic(&broker.direct_brokers(), topic, 1);
        }
        let mut stage = Stage {
            log: open(&broker, "a"),
            broker,
        };
        stage.polls(|event| matches!(event, Event::Assigned(_)));
        ok(stage.log.assign(&[(FIRST, 0)]));
        stage
    }

    /// Polls until such an event comes.
    fn polls(&mut self, is_wanted: impl Fn(&Event<i64>) -> bool) {
        wait::until_true("the event comes", || {
            let event = match ok(self.log.poll(Duration::from_millis(10))) {
                Event::Record(record) => Event::Record(record.fields().offset),
                Event::Assigned(partitions) => Event::Assigned(partitions),
                Event::Revoked { lost } => Event::Revoked { lost },
                Event::Timeout => Event::Timeout,
            };
            is_wanted(&event)
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
        ok(self.log.send(&record));
    }

    fn commits(&mut self, offset: i64) {
        ok(self.log.commit(&[OffsetAndMetadata {
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
        records::read(&self.broker.direct_brokers(), "out", at_least)
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
    pipeline.unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
}

fn open(broker: &Proxied, instance: &str) -> KafkaLog {
    let pipeline = pipeline(broker);
    let config = log_config(&pipeline, &pipeline.stages[0], instance);
    ok(KafkaLog::open(&config, &Shutdown::new(), &Arc::default()))
}

/// A producer with an open transaction in the changelog.
fn producer_with_open_transaction(broker: &Proxied) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.direct_brokers())
        .set("transactional.id", "another producer")
        .set("transaction.timeout.ms", TRANSACTION_TIMEOUT.to_string())
        .create()
        .expect("the settings are right");
    producer
        .init_transactions(wait::LONG)
        .expect("no other producer has the id");
    producer
        .begin_transaction()
        .expect("transactions were initialised");
    producer
        .send(BaseRecord::to(CHANGELOG).key("x").payload("1"))
        .expect("the queue has space");
    producer.flush(wait::LONG).expect("the broker answers");
    producer
}

fn ok<T>(result: Result<T, Fault>) -> T {
    result.unwrap_or_else(|fault| panic!("{fault:?}"))
}

#[test]
fn a_late_copy_of_a_commit_does_not_commit_the_next_transaction() {
    let mut stage = Stage::start();
    stage.sends("1");
    stage.broker.hold(Api::EndTxn);
    stage.commits(1);
    assert!(
        stage.broker.holds(Api::EndTxn) && stage.broker.passed(Api::EndTxn) == 1,
        "the client repeats it"
    );
    // The transaction marker is written, too.
    assert_eq!(stage.written(1), ["1"]);
    let before = records::end(&stage.broker.direct_brokers(), "out", 0);
    stage.sends("2");
    wait::until_true("the broker has the record", || {
        records::end(&stage.broker.direct_brokers(), "out", 0) > before
    });
    stage.broker.release(Api::EndTxn);
    ok(stage.log.abort());
    assert_eq!(stage.written(1), ["1"], "the second transaction is aborted");
    ok(stage.log.assign(&[(FIRST, 0)]));
    stage.sends("3");
    stage.commits(3);
    assert_eq!(stage.written(2), ["1", "3"]);
}

#[test]
fn a_late_copy_of_offsets_does_not_move_them_back() {
    let mut stage = Stage::start();
    records::produce(
        &stage.broker.direct_brokers(),
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
    // The copy arrives after the offsets of the second transaction, and before its end.
    stage.broker.hold(Api::EndTxn);
    let Stage { broker, log } = &mut stage;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait::until_true("the end of the transaction is held back", || {
                broker.holds(Api::EndTxn)
            });
            broker.release(Api::TxnOffsetCommit);
        });
        ok(log.commit(&[OffsetAndMetadata {
            partition: FIRST,
            offset: 2,
            metadata: String::new(),
        }]));
    });
    assert_eq!(
        records::committed(&stage.broker.direct_brokers(), "copy", "in"),
        2
    );
    assert_eq!(stage.written(2), ["1", "2"]);
}

/// The group removed the member while it waited, and assigned its partitions to another. Then the
/// wait started over.
#[test]
fn a_restore_longer_than_the_poll_interval_keeps_partitions() {
    let mut stage = Stage::start();
    records::produce(&stage.broker.direct_brokers(), "in", &[Record::of("1")]);
    ok(stage.log.abort());
    let other = producer_with_open_transaction(&stage.broker);
    let start = Instant::now();
    ok(stage.log.restore(CHANGELOG, &[0], &mut |_, _, _| {
        panic!("nothing was committed")
    }));
    assert!(
        start.elapsed() > Duration::from_millis(POLL_INTERVAL),
        "{:?}",
        start.elapsed()
    );
    ok(stage.log.assign(&[(FIRST, 0)]));
    let event = wait::until(wait::LONG, || {
        match ok(stage.log.poll(Duration::from_millis(10))) {
            Event::Timeout => None,
            Event::Record(record) => Some(Ok(record.fields().offset)),
            Event::Assigned(_) => Some(Err("assigned")),
            Event::Revoked { .. } => Some(Err("revoked")),
        }
    });
    assert_eq!(event, Some(Ok(0)));
    stage.sends("1");
    stage.commits(1);
    drop(other);
}

/// The group could not rebalance until the transaction had ended.
#[test]
fn a_restore_ends_when_the_group_rebalances() {
    let mut stage = Stage::start();
    ok(stage.log.abort());
    let other = producer_with_open_transaction(&stage.broker);
    let start = Instant::now();
    let Stage { broker, log } = &mut stage;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let log = open(broker, "b");
            wait::until_true("it joins", || {
                !matches!(ok(log.poll(Duration::from_millis(10))), Event::Timeout)
            });
        });
        let restored = log.restore(CHANGELOG, &[0], &mut |_, _, _| ());
        assert!(matches!(restored, Err(Fault::Abortable(_))), "{restored:?}");
        assert!(
            start.elapsed() < Duration::from_millis(TRANSACTION_TIMEOUT / 2),
            "{:?}",
            start.elapsed()
        );
        ok(log.abort());
        wait::until_true("the partitions are revoked", || {
            matches!(
                ok(log.poll(Duration::from_millis(10))),
                Event::Revoked { lost: false }
            )
        });
        ok(log.unassign());
        // The other member may get no partitions.
        let _ = log.poll(Duration::from_millis(100));
        let released = Instant::now();
        while released.elapsed() < Duration::from_secs(1) {
            let _ = ok(log.poll(Duration::from_millis(10)));
        }
    });
    drop(other);
}

/// How many copies of commits arrive late.
const ROUNDS: usize = 5;

#[test]
fn a_stage_whose_commits_arrive_twice_sends_each_reading_once() {
    let broker = Proxied::start();
    let pipeline = PipelineBuilder::new()
        .producer(
            "thermometers",
            "{ simulated = { sensors = 10, rate = 500 } }",
            "celsius",
        )
        .operator("convert", "celsius", CONVERT, "fahrenheit");
    let scenario = Scenario::on(broker.direct_brokers(), pipeline);
    scenario.create_topics();
    let mut thermometers = scenario.start("thermometers");
    let mut convert = scenario.start_through(&broker.brokers(), "convert");
    for round in 0..ROUNDS {
        scenario.grows("fahrenheit", 100);
        let ended = broker.passed(Api::EndTxn);
        broker.hold(Api::EndTxn);
        wait::until_true("the commit is repeated", || {
            broker.holds(Api::EndTxn) && broker.passed(Api::EndTxn) > ended
        });
        let sent = broker.passed(Api::Produce);
        wait::until_true("the next transaction has records", || {
            broker.passed(Api::Produce) > sent
        });
        broker.release(Api::EndTxn);
        assert!(convert.is_running(), "round {round}");
    }
    scenario.grows("fahrenheit", 100);
    thermometers.stop();
    convert.stop();
    scenario.drain("convert");
    scenario.verify();
}
