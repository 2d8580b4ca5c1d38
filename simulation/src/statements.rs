//! Statements about a log, which hold for the simulated cluster and for Kafka alike.
//!
//! The simulation is worth as much as its cluster is like Kafka. So each statement is a test of
//! both: `simulation/tests/statements.rs` and `tests/tests/statements.rs`.
#![allow(
    clippy::missing_panics_doc,
    reason = "a statement that does not hold is a failed test"
)]

use std::sync::Arc;
use std::time::Duration;

use rivulet_core::error::Error;
use rivulet_core::log::{
    ConsumerRecord, Event, Fault, Log, OffsetAndMetadata, ProducerRecord, Record, Rejection,
    TopicPartition, Watermarks,
};
use rivulet_pipeline::{Pipeline, Text};

/// The brokers of a log.
pub trait Broker {
    /// The log of a stage.
    type Log: Log;

    /// Tables for the pipeline file. Top-level settings must come first.
    fn settings(&self) -> String;

    /// A suffix for the names of one statement's topics and stages.
    fn suffix(&self) -> String;

    /// Creates the topics of a pipeline.
    fn make_topics(&self, pipeline: &Pipeline);

    /// Starts the only stage of a pipeline.
    ///
    /// # Errors
    /// If the stage does not start.
    fn open(&self, pipeline: &Pipeline, instance: &str) -> Result<Self::Log, Fault>;

    /// Writes a record outside of the log.
    fn write(&self, topic: &str, value: &str);

    /// The committed values of a topic in the order of its partitions, at least `at_least`.
    fn read(&self, topic: &str, at_least: usize) -> Vec<String>;

    /// Deletes the records of a topic's first partition below an offset.
    fn delete_records(&self, topic: &str, before: i64);

    /// Kills a process.
    fn kill(&self, log: Self::Log);
}

/// How often to poll for an event that must come, and how long each time.
const PATIENCE: u32 = 600;
const WAIT: Duration = Duration::from_millis(100);

/// The pipeline of one statement, with its topics.
struct Fixture {
    pipeline: Pipeline,
    input: String,
    output: String,
    changelog: String,
}

impl Fixture {
    fn new(broker: &impl Broker, guarantee: &str, partitions: u32) -> Self {
        Self::with(broker, guarantee, partitions, "")
    }

    /// A pipeline whose output topic has this config.
    fn with(broker: &impl Broker, guarantee: &str, partitions: u32, output: &str) -> Self {
        let suffix = broker.suffix();
        Self::of(
            broker,
            &suffix,
            guarantee,
            partitions,
            &format!(
                "[topic.in{suffix}]\nexternal = true\n[topic.out{suffix}]\nconfig = {{ {output} \
                 }}\n[operator.mean{suffix}]\n\
                 from = \"in{suffix}\"\nsteps = [{{ ewma = {{ alpha = 0.5 }} }}]\nto \
                 = \"out{suffix}\"\n"
            ),
        )
    }

    /// A pipeline with a source.
    fn of_source(broker: &impl Broker, guarantee: &str) -> Self {
        let suffix = broker.suffix();
        Self::of(
            broker,
            &suffix,
            guarantee,
            1,
            &format!(
                "[producer.source{suffix}]\nsource = {{ list = {{ values = [1] }} }}\nto \
                 = \"out{suffix}\"\n"
            ),
        )
    }

    fn of(
        broker: &impl Broker,
        suffix: &str,
        guarantee: &str,
        partitions: u32,
        tables: &str,
    ) -> Self {
        let settings = broker.settings();
        let text = format!(
            "guarantee = \"{guarantee}\"\n{settings}\n[defaults]\npartitions = \
             {partitions}\n{tables}"
        );
        let pipeline = Pipeline::parse(Arc::new(Text {
            path: "p.toml".into(),
            text,
        }));
        let pipeline = pipeline.unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        broker.make_topics(&pipeline);
        let (stage, name) = (&pipeline.stages[0], |topic: &str| {
            format!("{topic}{suffix}")
        });
        Fixture {
            input: name("in"),
            output: name("out"),
            changelog: stage.changelog(),
            pipeline,
        }
    }

    fn open<B: Broker>(&self, broker: &B, instance: &str) -> B::Log {
        ok(broker.open(&self.pipeline, instance))
    }
}

fn ok<T>(result: Result<T, Fault>) -> T {
    result.unwrap_or_else(|fault| panic!("{fault:?}"))
}

fn send(log: &impl Log, topic: &str, value: &str) {
    send_keyed(log, topic, "", Some(value));
}

/// Sends a record with a key. Without a value it is a tombstone.
fn send_keyed(log: &impl Log, topic: &str, key: &str, value: Option<&str>) {
    let outgoing = ProducerRecord {
        topic,
        partition: Some(0),
        timestamp: None,
        key: Some(key.as_bytes()),
        value: value.map(str::as_bytes),
        headers: &[],
    };
    ok(log.send(&outgoing));
}

/// Polls once. Records become offset and value, so that the log is free again.
fn poll(log: &impl Log) -> Result<Event<(i64, String)>, Fault> {
    Ok(match log.poll(WAIT)? {
        Event::Record(record) => {
            let ConsumerRecord { offset, value, .. } = record.fields();
            Event::Record((
                offset,
                String::from_utf8_lossy(value.unwrap_or_default()).into_owned(),
            ))
        }
        Event::Assigned(partitions) => Event::Assigned(partitions),
        Event::Revoked { lost } => Event::Revoked { lost },
        Event::Timeout => Event::Timeout,
    })
}

/// Waits for an assignment, and starts to read it.
fn await_assignment(log: &mut impl Log) -> Vec<TopicPartition> {
    for _ in 0..PATIENCE {
        match ok(poll(log)) {
            Event::Assigned(partitions) => {
                let from = from_committed(log, &partitions);
                ok(log.assign(&from));
                return partitions;
            }
            Event::Revoked { .. } => ok(log.unassign()),
            Event::Record(_) | Event::Timeout => {}
        }
    }
    panic!("no partitions were assigned")
}

/// The committed offsets, or 0.
fn from_committed(log: &mut impl Log, partitions: &[TopicPartition]) -> Vec<(TopicPartition, i64)> {
    let committed = ok(log.committed(partitions));
    let mut from = Vec::new();
    for partition in partitions {
        let mut committed = committed.iter();
        let committed = committed.find(|committed| committed.partition == *partition);
        from.push((
            *partition,
            committed.map_or(0, |committed| committed.offset),
        ));
    }
    from
}

/// Waits for the next record.
fn next(log: &impl Log) -> (i64, String) {
    for _ in 0..PATIENCE {
        if let Event::Record(record) = ok(poll(log)) {
            return record;
        }
    }
    panic!("no record came")
}

const FIRST: TopicPartition = TopicPartition {
    topic: 0,
    partition: 0,
};

fn position(offset: i64, metadata: &str) -> OffsetAndMetadata {
    OffsetAndMetadata {
        partition: FIRST,
        offset,
        metadata: metadata.to_owned(),
    }
}

/// The restored keys and values, in order. Like a stage, it accepts a new assignment during the
/// restore, and then starts over.
fn restored(log: &mut impl Log, fixture: &Fixture) -> Vec<(String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for _ in 0..PATIENCE {
        let mut found = Vec::new();
        match log.restore(&fixture.changelog, &[0], &mut |_, key, value| {
            found.push((text(key), value.map(text)));
        }) {
            Ok(()) => return found,
            Err(Fault::Abortable(_)) => {
                ok(log.abort());
                await_assignment(log);
            }
            Err(fault) => panic!("{fault:?}"),
        }
    }
    panic!("no restore ended")
}

fn entry(key: &str, value: &str) -> (String, Option<String>) {
    (key.to_owned(), Some(value.to_owned()))
}

fn assert_abortable(result: &Result<(), Fault>) {
    assert!(
        matches!(result, Err(Fault::Abortable(Error { .. }))),
        "{result:?}"
    );
}

/// Nothing of a transaction is visible before its commit.
pub fn records_are_visible_only_after_the_commit<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "exactly-once", 1);
    let mut log = fixture.open(broker, "a");
    send(&log, &fixture.output, "1");
    await_assignment(&mut log);
    assert!(broker.read(&fixture.output, 0).is_empty());
    ok(log.commit(&[]));
    assert_eq!(broker.read(&fixture.output, 1), ["1"]);
}

/// Nothing of an aborted transaction is ever visible.
pub fn aborted_records_are_never_visible<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "exactly-once", 1);
    let mut log = fixture.open(broker, "a");
    await_assignment(&mut log);
    send(&log, &fixture.output, "1");
    let _ = ok(poll(&log));
    ok(log.abort());
    send(&log, &fixture.output, "2");
    ok(log.commit(&[]));
    assert_eq!(broker.read(&fixture.output, 1), ["2"]);
}

/// Offsets are committed with the results, and come back with their metadata.
pub fn committed_offsets_come_back_with_their_metadata<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "exactly-once", 1);
    let mut log = fixture.open(broker, "a");
    broker.write(&fixture.input, "1");
    await_assignment(&mut log);
    assert_eq!(ok(log.committed(&[FIRST])), []);
    assert_eq!(next(&log), (0, "1".into()));
    ok(log.commit(&[position(1, "2 sensors, digest 0000000000000007")]));
    assert_eq!(
        ok(log.committed(&[FIRST])),
        [position(1, "2 sensors, digest 0000000000000007")]
    );
}

/// After an abort, reading resumes at the last committed offset.
pub fn reading_resumes_at_the_committed_offset<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "exactly-once", 1);
    let mut log = fixture.open(broker, "a");
    for value in ["1", "2", "3"] {
        broker.write(&fixture.input, value);
    }
    let partitions = await_assignment(&mut log);
    assert_eq!(next(&log), (0, "1".into()));
    ok(log.commit(&[position(1, "")]));
    assert_eq!((next(&log).0, next(&log).0), (1, 2));
    ok(log.abort());
    assert!(
        matches!(ok(poll(&log)), Event::Timeout),
        "it reads before `assign`"
    );
    let from = from_committed(&mut log, &partitions);
    ok(log.assign(&from));
    assert_eq!(next(&log), (1, "2".into()));
}

/// A second process with the same name fences the first, whose commit then fails.
pub fn the_commit_of_a_fenced_process_fails<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "exactly-once", 1);
    broker.write(&fixture.input, "1");
    let mut first = fixture.open(broker, "a");
    await_assignment(&mut first);
    next(&first);
    send(&first, &fixture.output, "1");
    let mut second = fixture.open(broker, "a");
    assert_abortable(&first.commit(&[position(1, "")]));
    await_assignment(&mut second);
    assert_eq!(ok(second.committed(&[FIRST])), []);
    assert!(broker.read(&fixture.output, 0).is_empty());
    broker.kill(first);
}

/// A second process with the same `group.instance.id` fences the first.
pub fn a_replaced_member_is_fenced_at_its_next_poll<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "exactly-once", 1);
    let mut first = fixture.open(broker, "a");
    await_assignment(&mut first);
    let mut second = fixture.open(broker, "a");
    await_assignment(&mut second);
    let fault = (0..PATIENCE).find_map(|_| poll(&first).err());
    assert!(matches!(fault, Some(Fault::Fatal(_))), "{fault:?}");
}

/// A process that was paused until another got its partitions cannot commit what it did with them.
pub fn a_commit_fails_after_the_partitions_were_lost<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "exactly-once", 1);
    broker.write(&fixture.input, "1");
    let mut first = fixture.open(broker, "a");
    await_assignment(&mut first);
    next(&first);
    send(&first, &fixture.output, "1");
    let mut second = fixture.open(broker, "b");
    // The first does not poll. The group waits for it, and then rebalances without it.
    while await_assignment(&mut second).is_empty() {}
    assert_abortable(&first.commit(&[position(1, "")]));
    assert_eq!(ok(second.committed(&[FIRST])), []);
    broker.kill(first);
}

/// A restore returns the committed records in order, and no aborted ones.
pub fn a_restore_returns_committed_records_only<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "exactly-once", 1);
    let mut log = fixture.open(broker, "a");
    assert_eq!(restored(&mut log, &fixture), []);
    send_keyed(&log, &fixture.changelog, "x", Some("1"));
    send_keyed(&log, &fixture.changelog, "y", Some("1"));
    ok(log.commit(&[]));
    send_keyed(&log, &fixture.changelog, "x", Some("2"));
    await_assignment(&mut log);
    ok(log.abort());
    send_keyed(&log, &fixture.changelog, "y", None);
    ok(log.commit(&[]));
    assert_eq!(
        restored(&mut log, &fixture),
        [entry("x", "1"), entry("y", "1"), ("y".to_owned(), None)]
    );
}

/// When a process restarts, the transaction that it left open is aborted.
pub fn a_restart_aborts_the_transaction_of_the_dead_process<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "exactly-once", 1);
    let mut first = fixture.open(broker, "a");
    await_assignment(&mut first);
    send_keyed(&first, &fixture.changelog, "x", Some("1"));
    ok(first.commit(&[]));
    send_keyed(&first, &fixture.changelog, "x", Some("2"));
    for _ in 0..5 {
        let _ = ok(poll(&first));
    }
    broker.kill(first);
    let mut second = fixture.open(broker, "a");
    assert_eq!(restored(&mut second, &fixture), [entry("x", "1")]);
    send_keyed(&second, &fixture.changelog, "x", Some("3"));
    ok(second.commit(&[]));
    assert_eq!(
        restored(&mut second, &fixture),
        [entry("x", "1"), entry("x", "3")]
    );
}

/// A restore waits until the transaction of another instance has ended, and returns the records
/// behind it.
pub fn a_restore_waits_for_open_transactions_below_the_end<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "exactly-once", 1);
    let (mut open, mut other) = (fixture.open(broker, "a"), fixture.open(broker, "b"));
    send_keyed(&open, &fixture.changelog, "x", Some("1"));
    for _ in 0..5 {
        let _ = ok(poll(&open));
    }
    send_keyed(&other, &fixture.changelog, "y", Some("2"));
    ok(other.commit(&[]));
    broker.kill(open);
    assert_eq!(restored(&mut other, &fixture), [entry("y", "2")]);
    open = fixture.open(broker, "a");
    assert_eq!(restored(&mut open, &fixture), [entry("y", "2")]);
}

/// A restarted process gets its partitions back before its old session ends.
pub fn a_restarted_static_member_keeps_its_partitions<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "exactly-once", 2);
    let mut first = fixture.open(broker, "a");
    let before = await_assignment(&mut first);
    broker.kill(first);
    let mut second = fixture.open(broker, "a");
    let start = second.now();
    assert_eq!(await_assignment(&mut second), before);
    let took = second.now() - start;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// A partition is assigned to a member only after the previous one has given it back.
pub fn partitions_are_revoked_before_they_are_reassigned<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "exactly-once", 2);
    let mut first = fixture.open(broker, "a");
    assert_eq!(await_assignment(&mut first).len(), 2);
    let mut second = fixture.open(broker, "b");
    let mut is_revoked = false;
    let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
    for _ in 0..PATIENCE {
        match ok(poll(&first)) {
            Event::Revoked { lost } => {
                assert!(!lost && of_second.is_empty());
                is_revoked = true;
                ok(first.unassign());
            }
            Event::Assigned(partitions) => of_first = partitions,
            Event::Record(_) | Event::Timeout => {}
        }
        match ok(poll(&second)) {
            Event::Assigned(partitions) => of_second = partitions,
            Event::Revoked { .. } => {
                of_second.clear();
                ok(second.unassign());
            }
            Event::Record(_) | Event::Timeout => {}
        }
        if of_first.len() == 1 && of_second.len() == 1 {
            break;
        }
    }
    assert!(is_revoked);
    assert!(
        of_first.len() == 1 && of_second.len() == 1 && of_first != of_second,
        "{of_first:?} {of_second:?}"
    );
}

/// The end is behind the last record, with or without transaction markers behind it.
pub fn the_end_is_where_nothing_is_left_to_read<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "exactly-once", 1);
    let mut log = fixture.open(broker, "a");
    await_assignment(&mut log);
    assert!(ok(log.at_end(&[(FIRST, None)])));
    send_keyed(&log, &fixture.input, "x", Some("1"));
    ok(log.commit(&[]));
    assert_eq!(next(&log), (0, "1".into()));
    assert!(!ok(log.at_end(&[(FIRST, None)])));
    assert!(ok(log.at_end(&[(FIRST, Some(1))])));
    ok(log.commit(&[position(1, "")]));
    assert!(ok(log.at_end(&[(FIRST, None)])));
}

/// Key, headers and timestamp of a record arrive unchanged.
pub fn a_record_arrives_as_it_was_sent<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "exactly-once", 1);
    let mut log = fixture.open(broker, "a");
    await_assignment(&mut log);
    let headers = vec![
        ("h".to_owned(), Some(b"1".to_vec())),
        ("none".to_owned(), None),
    ];
    let (key, value) = (Some(&b"k"[..]), Some(&b"v"[..]));
    ok(log.send(&ProducerRecord {
        topic: &fixture.input,
        partition: None,
        timestamp: Some(77),
        key,
        value,
        headers: &headers,
    }));
    ok(log.commit(&[]));
    for _ in 0..PATIENCE {
        if let Event::Record(record) = ok(log.poll(WAIT)) {
            let incoming = record.fields();
            assert_eq!(
                (incoming.key, incoming.value, incoming.timestamp),
                (key, value, 77)
            );
            assert_eq!(record.headers(), headers);
            return;
        }
    }
    panic!("no record came")
}

/// Without transactions, flushed records stay visible when later work is aborted.
pub fn at_least_once_flushed_records_stay_after_an_abort<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "at-least-once", 1);
    broker.write(&fixture.input, "1");
    let mut log = fixture.open(broker, "a");
    await_assignment(&mut log);
    next(&log);
    send(&log, &fixture.output, "1");
    ok(log.flush_unless_transactional());
    assert_eq!(broker.read(&fixture.output, 1), ["1"]);
    assert_eq!(
        ok(log.committed(&[FIRST])),
        [],
        "no offset is committed yet"
    );
    ok(log.abort());
    assert_eq!(broker.read(&fixture.output, 1), ["1"]);
    ok(log.assign(&[(FIRST, 0)]));
    assert_eq!(next(&log), (0, "1".into()));
    ok(log.commit(&[position(1, "n")]));
    assert_eq!(ok(log.committed(&[FIRST])), [position(1, "n")]);
}

/// A second process of a source fences the first, even with another instance name.
pub fn a_newer_process_of_a_source_fences_the_older_one<B: Broker>(broker: &B) {
    let fixture = Fixture::of_source(broker, "exactly-once");
    let mut first = fixture.open(broker, "a");
    send(&first, &fixture.output, "1");
    let mut second = fixture.open(broker, "b");
    assert_abortable(&first.commit(&[]));
    send(&second, &fixture.output, "2");
    ok(second.commit(&[]));
    assert_eq!(broker.read(&fixture.output, 1), ["2"]);
    broker.kill(first);
}

/// Records that were deleted before they were read are not skipped without an error.
pub fn deleted_records_are_not_skipped<B: Broker>(broker: &B) {
    let fixture = Fixture::new(broker, "exactly-once", 1);
    for value in ["1", "2", "3", "4"] {
        broker.write(&fixture.input, value);
    }
    let mut log = fixture.open(broker, "a");
    await_assignment(&mut log);
    assert_eq!(next(&log), (0, "1".into()));
    ok(log.commit(&[position(1, "")]));
    ok(log.abort());
    broker.delete_records(&fixture.input, 3);
    let watermarks = Watermarks {
        partition: 0,
        low: 3,
        high: 4,
        partition_count: 1,
    };
    assert_eq!(ok(log.watermarks(&fixture.input, &[0])), [watermarks]);
    ok(log.assign(&[(FIRST, 1)]));
    let fault = (0..PATIENCE).find_map(|_| match poll(&log) {
        Ok(Event::Record(record)) => panic!("{record:?}"),
        Ok(_) => None,
        Err(fault) => Some(fault),
    });
    assert!(matches!(fault, Some(Fault::Abortable(_))), "{fault:?}");
    ok(log.abort());
    ok(log.assign(&[(FIRST, 3)]));
    assert_eq!(next(&log), (3, "4".into()));
}

/// A rejection says what is wrong with the record, and nothing of the transaction is visible.
pub fn a_rejected_record_is_reported_with_its_reason<B: Broker>(broker: &B) {
    let settings = "\"max.message.bytes\" = 2000, \"message.timestamp.after.max.ms\" = 3600000";
    let fixture = Fixture::with(broker, "exactly-once", 1, settings);
    let mut log = fixture.open(broker, "a");
    await_assignment(&mut log);
    // The year 2100.
    let ahead = Some(4_102_444_800_000);
    for (bytes, timestamp, rejection) in [
        (5000, None, Rejection::TooLarge),
        (5, ahead, Rejection::Timestamp),
    ] {
        send(&log, &fixture.output, "1");
        let value = "x".repeat(bytes);
        let (topic, value) = (&*fixture.output, Some(value.as_bytes()));
        ok(log.send(&ProducerRecord {
            topic,
            partition: Some(0),
            timestamp,
            key: None,
            value,
            headers: &[],
        }));
        let flushed = log.flush();
        assert!(
            matches!(flushed, Err(Fault::Rejected(found, _)) if found == rejection),
            "{flushed:?}"
        );
        ok(log.abort());
    }
    send(&log, &fixture.output, "2");
    ok(log.commit(&[]));
    assert_eq!(broker.read(&fixture.output, 1), ["2"]);
}

/// Makes a test of each statement, about the [`Broker`](crate::statements::Broker) that the
/// expression returns.
#[macro_export]
macro_rules! statements {
    ($broker:expr) => {
        $crate::statements! { $broker,
            records_are_visible_only_after_the_commit
            aborted_records_are_never_visible
            committed_offsets_come_back_with_their_metadata
            reading_resumes_at_the_committed_offset
            the_commit_of_a_fenced_process_fails
            a_replaced_member_is_fenced_at_its_next_poll
            a_commit_fails_after_the_partitions_were_lost
            a_restore_returns_committed_records_only
            a_restart_aborts_the_transaction_of_the_dead_process
            a_restore_waits_for_open_transactions_below_the_end
            a_restarted_static_member_keeps_its_partitions
            partitions_are_revoked_before_they_are_reassigned
            the_end_is_where_nothing_is_left_to_read
            a_record_arrives_as_it_was_sent
            at_least_once_flushed_records_stay_after_an_abort
            a_newer_process_of_a_source_fences_the_older_one
            deleted_records_are_not_skipped
            a_rejected_record_is_reported_with_its_reason
        }
    };
    ($broker:expr, $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::statements::$name(&$broker);
            }
        )*
    };
}
