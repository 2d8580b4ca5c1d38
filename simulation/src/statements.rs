//! Statements about a log that hold of the simulated one and of Kafka alike.
//!
//! What the simulation finds is worth as much as its cluster is like Kafka. So each of these is a
//! test of both: `simulation/tests/statements.rs` and `tests/tests/statements.rs`.
#![allow(
    clippy::missing_panics_doc,
    reason = "a statement that does not hold is a failed test"
)]

use std::sync::Arc;
use std::time::Duration;

use stream::error::Error;
use stream::log::{
    ConsumerRecord, Event, Fault, Log, OffsetAndMetadata, ProducerRecord, Record, Rejection,
    TopicPartition, Watermarks,
};
use stream::pipeline::{Pipeline, Text};

/// What stands behind a log.
pub trait Broker {
    /// The log of a stage.
    type Log: Log;

    /// Tables of the pipeline file that it needs; the first of them may be a guarantee.
    fn settings(&self) -> String;

    /// What makes the names of one statement its own.
    fn ending(&self) -> String;

    /// Makes the topics of a pipeline.
    fn make_topics(&self, pipeline: &Pipeline);

    /// Starts the only stage of a pipeline.
    ///
    /// # Errors
    /// As a stage's start.
    fn open(&self, pipeline: &Pipeline, instance: &str) -> Result<Self::Log, Fault>;

    /// Writes a record from outside.
    fn write(&self, topic: &str, value: &str);

    /// The committed values of a topic in the order of its partitions, at least so many.
    fn read(&self, topic: &str, at_least: usize) -> Vec<String>;

    /// Deletes the records of a topic's first partition that come before an offset, as retention
    /// does.
    fn delete_records(&self, topic: &str, before: i64);

    /// Ends a process without a word to anybody.
    fn kill(&self, log: Self::Log);
}

/// How often a log is polled for something that must come, for a tenth of a second each time.
const PATIENCE: u32 = 600;
const WAIT: Duration = Duration::from_millis(100);

/// The pipeline of one statement, with its topics.
struct Place {
    pipeline: Pipeline,
    input: String,
    output: String,
    changelog: String,
}

impl Place {
    fn new(broker: &impl Broker, guarantee: &str, partitions: u32) -> Self {
        Self::with(broker, guarantee, partitions, "")
    }

    /// One whose output has these settings.
    fn with(broker: &impl Broker, guarantee: &str, partitions: u32, output: &str) -> Self {
        let ending = broker.ending();
        Self::of(
            broker,
            &ending,
            guarantee,
            partitions,
            &format!(
                "[topic.in{ending}]\nexternal = true\n[topic.out{ending}]\nconfig = {{ {output} \
                 }}\n[operator.mean{ending}]\n\
                 from = \"in{ending}\"\nsteps = [{{ ewma = {{ alpha = 0.5 }} }}]\nto \
                 = \"out{ending}\"\n"
            ),
        )
    }

    /// One of a source.
    fn of_source(broker: &impl Broker, guarantee: &str) -> Self {
        let ending = broker.ending();
        Self::of(
            broker,
            &ending,
            guarantee,
            1,
            &format!(
                "[producer.source{ending}]\nsource = {{ list = {{ values = [1] }} }}\nto \
                 = \"out{ending}\"\n"
            ),
        )
    }

    fn of(
        broker: &impl Broker,
        ending: &str,
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
        let pipeline = pipeline.unwrap_or_else(|mistakes| panic!("{mistakes}"));
        broker.make_topics(&pipeline);
        let (stage, name) = (&pipeline.stages[0], |topic: &str| {
            format!("{topic}{ending}")
        });
        Place {
            input: name("in"),
            output: name("out"),
            changelog: stage.changelog(),
            pipeline,
        }
    }

    fn open<B: Broker>(&self, broker: &B, instance: &str) -> B::Log {
        sure(broker.open(&self.pipeline, instance))
    }
}

fn sure<T>(result: Result<T, Fault>) -> T {
    result.unwrap_or_else(|fault| panic!("{fault:?}"))
}

fn send(log: &impl Log, topic: &str, value: &str) {
    keep(log, topic, "", Some(value));
}

/// Sends a record with a key, as to a changelog; without a value it is a tombstone.
fn keep(log: &impl Log, topic: &str, key: &str, value: Option<&str>) {
    let outgoing = ProducerRecord {
        topic,
        partition: Some(0),
        timestamp: None,
        key: Some(key.as_bytes()),
        value: value.map(str::as_bytes),
        headers: &[],
    };
    sure(log.send(&outgoing));
}

/// What a poll saw, free of the log; records as offset and value.
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

/// Waits until partitions are given, and takes them over.
fn given(log: &mut impl Log) -> Vec<TopicPartition> {
    for _ in 0..PATIENCE {
        match sure(poll(log)) {
            Event::Assigned(partitions) => {
                let from = from_committed(log, &partitions);
                sure(log.assign(&from));
                return partitions;
            }
            Event::Revoked { .. } => sure(log.unassign()),
            Event::Record(_) | Event::Timeout => {}
        }
    }
    panic!("no partitions were given")
}

/// Where reading starts: at the committed offsets, or at the first record.
fn from_committed(log: &mut impl Log, partitions: &[TopicPartition]) -> Vec<(TopicPartition, i64)> {
    let committed = sure(log.committed(partitions));
    let next = |partition: &TopicPartition| {
        let committed = committed
            .iter()
            .find(|position| position.partition == *partition);
        (*partition, committed.map_or(0, |position| position.offset))
    };
    partitions.iter().map(next).collect()
}

/// Waits for the next record.
fn next(log: &impl Log) -> (i64, String) {
    for _ in 0..PATIENCE {
        if let Event::Record(record) = sure(poll(log)) {
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

/// What a restore gives: keys and values in their order. As a stage does, it takes the partitions
/// that it is given meanwhile, and begins again.
fn restored(log: &mut impl Log, place: &Place) -> Vec<(String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for _ in 0..PATIENCE {
        let mut found = Vec::new();
        match log.restore(&place.changelog, &[0], &mut |_, key, value| {
            found.push((text(key), value.map(text)))
        }) {
            Ok(()) => return found,
            Err(Fault::Abortable(_)) => {
                sure(log.abort());
                given(log);
            }
            Err(fault) => panic!("{fault:?}"),
        }
    }
    panic!("no restore came to its end")
}

fn entry(key: &str, value: &str) -> (String, Option<String>) {
    (key.to_owned(), Some(value.to_owned()))
}

fn assert_undo(result: &Result<(), Fault>) {
    assert!(
        matches!(result, Err(Fault::Abortable(Error { .. }))),
        "{result:?}"
    );
}

/// Nothing of a transaction can be seen before it is committed.
pub fn what_is_sent_is_visible_after_the_commit_and_not_before<B: Broker>(broker: &B) {
    let place = Place::new(broker, "exactly-once", 1);
    let mut log = place.open(broker, "a");
    send(&log, &place.output, "1");
    given(&mut log);
    assert!(broker.read(&place.output, 0).is_empty());
    sure(log.commit(&[]));
    assert_eq!(broker.read(&place.output, 1), ["1"]);
}

/// A transaction that is undone leaves nothing behind.
pub fn what_was_undone_is_never_seen<B: Broker>(broker: &B) {
    let place = Place::new(broker, "exactly-once", 1);
    let mut log = place.open(broker, "a");
    given(&mut log);
    send(&log, &place.output, "1");
    let _ = sure(poll(&log));
    sure(log.abort());
    send(&log, &place.output, "2");
    sure(log.commit(&[]));
    assert_eq!(broker.read(&place.output, 1), ["2"]);
}

/// Offsets are committed with the outputs and come back with what was noted.
pub fn offsets_come_back_with_their_notes<B: Broker>(broker: &B) {
    let place = Place::new(broker, "exactly-once", 1);
    let mut log = place.open(broker, "a");
    broker.write(&place.input, "1");
    given(&mut log);
    assert_eq!(sure(log.committed(&[FIRST])), []);
    assert_eq!(next(&log), (0, "1".into()));
    sure(log.commit(&[position(1, "2 sensors, digest 0000000000000007")]));
    assert_eq!(
        sure(log.committed(&[FIRST])),
        [position(1, "2 sensors, digest 0000000000000007")]
    );
}

/// After an undone transaction reading starts at the offset that was committed before it.
pub fn reading_goes_on_where_the_last_commit_was<B: Broker>(broker: &B) {
    let place = Place::new(broker, "exactly-once", 1);
    let mut log = place.open(broker, "a");
    for value in ["1", "2", "3"] {
        broker.write(&place.input, value);
    }
    let partitions = given(&mut log);
    assert_eq!(next(&log), (0, "1".into()));
    sure(log.commit(&[position(1, "")]));
    assert_eq!((next(&log).0, next(&log).0), (1, 2));
    sure(log.abort());
    assert!(
        matches!(sure(poll(&log)), Event::Timeout),
        "nothing is read before it is assigned"
    );
    let from = from_committed(&mut log, &partitions);
    sure(log.assign(&from));
    assert_eq!(next(&log), (1, "2".into()));
}

/// A second process of the same name ends what the first one was about to commit.
pub fn the_commit_of_a_fenced_process_fails<B: Broker>(broker: &B) {
    let place = Place::new(broker, "exactly-once", 1);
    broker.write(&place.input, "1");
    let mut first = place.open(broker, "a");
    given(&mut first);
    next(&first);
    send(&first, &place.output, "1");
    let mut second = place.open(broker, "a");
    assert_undo(&first.commit(&[position(1, "")]));
    given(&mut second);
    assert_eq!(sure(second.committed(&[FIRST])), []);
    assert!(broker.read(&place.output, 0).is_empty());
    broker.kill(first);
}

/// A process is told by a poll that another one has its name.
pub fn a_process_whose_name_was_taken_cannot_go_on<B: Broker>(broker: &B) {
    let place = Place::new(broker, "exactly-once", 1);
    let mut first = place.open(broker, "a");
    given(&mut first);
    let mut second = place.open(broker, "a");
    given(&mut second);
    let told = (0..PATIENCE).find_map(|_| poll(&first).err());
    assert!(matches!(told, Some(Fault::Fatal(_))), "{told:?}");
}

/// Who was held up for so long that its partitions went to another cannot commit what it did on
/// them.
pub fn the_commit_of_a_process_that_lost_its_partitions_fails<B: Broker>(broker: &B) {
    let place = Place::new(broker, "exactly-once", 1);
    broker.write(&place.input, "1");
    let mut first = place.open(broker, "a");
    given(&mut first);
    next(&first);
    send(&first, &place.output, "1");
    let mut second = place.open(broker, "b");
    // The first does not poll: the group waits for it and then goes on without it.
    while given(&mut second).is_empty() {}
    assert_undo(&first.commit(&[position(1, "")]));
    assert_eq!(sure(second.committed(&[FIRST])), []);
    broker.kill(first);
}

/// A restore gives the committed records in their order, and nothing that was undone.
pub fn a_restore_gives_what_was_committed_and_nothing_else<B: Broker>(broker: &B) {
    let place = Place::new(broker, "exactly-once", 1);
    let mut log = place.open(broker, "a");
    assert_eq!(restored(&mut log, &place), []);
    keep(&log, &place.changelog, "x", Some("1"));
    keep(&log, &place.changelog, "y", Some("1"));
    sure(log.commit(&[]));
    keep(&log, &place.changelog, "x", Some("2"));
    given(&mut log);
    sure(log.abort());
    keep(&log, &place.changelog, "y", None);
    sure(log.commit(&[]));
    assert_eq!(
        restored(&mut log, &place),
        [entry("x", "1"), entry("y", "1"), ("y".to_owned(), None)]
    );
}

/// What a dead process left open is ended by the start of its successor, and hides nothing from it.
pub fn a_successor_does_not_see_what_the_dead_left_open<B: Broker>(broker: &B) {
    let place = Place::new(broker, "exactly-once", 1);
    let mut first = place.open(broker, "a");
    given(&mut first);
    keep(&first, &place.changelog, "x", Some("1"));
    sure(first.commit(&[]));
    keep(&first, &place.changelog, "x", Some("2"));
    for _ in 0..5 {
        let _ = sure(poll(&first));
    }
    broker.kill(first);
    let mut second = place.open(broker, "a");
    assert_eq!(restored(&mut second, &place), [entry("x", "1")]);
    keep(&second, &place.changelog, "x", Some("3"));
    sure(second.commit(&[]));
    assert_eq!(
        restored(&mut second, &place),
        [entry("x", "1"), entry("x", "3")]
    );
}

/// A restore that meets an open transaction of another instance waits for its end: what stands
/// behind it counts.
pub fn a_restore_waits_for_open_transactions_below_the_end<B: Broker>(broker: &B) {
    let place = Place::new(broker, "exactly-once", 1);
    let (mut open, mut other) = (place.open(broker, "a"), place.open(broker, "b"));
    keep(&open, &place.changelog, "x", Some("1"));
    for _ in 0..5 {
        let _ = sure(poll(&open));
    }
    keep(&other, &place.changelog, "y", Some("2"));
    sure(other.commit(&[]));
    broker.kill(open);
    assert_eq!(restored(&mut other, &place), [entry("y", "2")]);
    open = place.open(broker, "a");
    assert_eq!(restored(&mut open, &place), [entry("y", "2")]);
}

/// The same instance name gets the same partitions without waiting for the end of a session.
pub fn the_successor_of_a_killed_process_gets_its_partitions_at_once<B: Broker>(broker: &B) {
    let place = Place::new(broker, "exactly-once", 2);
    let mut first = place.open(broker, "a");
    let before = given(&mut first);
    broker.kill(first);
    let mut second = place.open(broker, "a");
    let start = second.now();
    assert_eq!(given(&mut second), before);
    let took = second.now() - start;
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// Partitions go from one member to the other only after the first has let go of them.
pub fn partitions_are_taken_before_they_are_given_to_another<B: Broker>(broker: &B) {
    let place = Place::new(broker, "exactly-once", 2);
    let mut first = place.open(broker, "a");
    assert_eq!(given(&mut first).len(), 2);
    let mut second = place.open(broker, "b");
    let mut is_taken = false;
    let (mut of_first, mut of_second) = (Vec::new(), Vec::new());
    for _ in 0..PATIENCE {
        match sure(poll(&first)) {
            Event::Revoked { lost } => {
                assert!(!lost && of_second.is_empty());
                is_taken = true;
                sure(first.unassign());
            }
            Event::Assigned(partitions) => of_first = partitions,
            Event::Record(_) | Event::Timeout => {}
        }
        match sure(poll(&second)) {
            Event::Assigned(partitions) => of_second = partitions,
            Event::Revoked { .. } => {
                of_second.clear();
                sure(second.unassign());
            }
            Event::Record(_) | Event::Timeout => {}
        }
        if of_first.len() == 1 && of_second.len() == 1 {
            break;
        }
    }
    assert!(is_taken);
    assert!(
        of_first.len() == 1 && of_second.len() == 1 && of_first != of_second,
        "{of_first:?} {of_second:?}"
    );
}

/// The end is behind the last record, whether or not marks of transactions stand there.
pub fn the_end_is_where_nothing_is_left_to_read<B: Broker>(broker: &B) {
    let place = Place::new(broker, "exactly-once", 1);
    let mut log = place.open(broker, "a");
    given(&mut log);
    assert!(sure(log.at_end(&[(FIRST, None)])));
    keep(&log, &place.input, "x", Some("1"));
    sure(log.commit(&[]));
    assert_eq!(next(&log), (0, "1".into()));
    assert!(!sure(log.at_end(&[(FIRST, None)])));
    assert!(sure(log.at_end(&[(FIRST, Some(1))])));
    sure(log.commit(&[position(1, "")]));
    assert!(sure(log.at_end(&[(FIRST, None)])));
}

/// Key, headers and timestamp of a record arrive as they were sent.
pub fn a_record_arrives_as_it_was_sent<B: Broker>(broker: &B) {
    let place = Place::new(broker, "exactly-once", 1);
    let mut log = place.open(broker, "a");
    given(&mut log);
    let headers = vec![
        ("h".to_owned(), Some(b"1".to_vec())),
        ("none".to_owned(), None),
    ];
    let (key, value) = (Some(&b"k"[..]), Some(&b"v"[..]));
    sure(log.send(&ProducerRecord {
        topic: &place.input,
        partition: None,
        timestamp: Some(77),
        key,
        value,
        headers: &headers,
    }));
    sure(log.commit(&[]));
    for _ in 0..PATIENCE {
        if let Event::Record(record) = sure(log.poll(WAIT)) {
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

/// Without transactions, what is flushed is there, and stays when later work is undone.
pub fn at_least_once_what_is_flushed_is_visible_and_stays<B: Broker>(broker: &B) {
    let place = Place::new(broker, "at-least-once", 1);
    broker.write(&place.input, "1");
    let mut log = place.open(broker, "a");
    given(&mut log);
    next(&log);
    send(&log, &place.output, "1");
    sure(log.flush_unless_transactional());
    assert_eq!(broker.read(&place.output, 1), ["1"]);
    assert_eq!(sure(log.committed(&[FIRST])), [], "offsets come after that");
    sure(log.abort());
    assert_eq!(broker.read(&place.output, 1), ["1"]);
    sure(log.assign(&[(FIRST, 0)]));
    assert_eq!(next(&log), (0, "1".into()));
    sure(log.commit(&[position(1, "n")]));
    assert_eq!(sure(log.committed(&[FIRST])), [position(1, "n")]);
}

/// A second process of a source is its successor, whatever its instance is called.
pub fn the_last_of_two_processes_of_a_source_goes_on<B: Broker>(broker: &B) {
    let place = Place::of_source(broker, "exactly-once");
    let mut first = place.open(broker, "a");
    send(&first, &place.output, "1");
    let mut second = place.open(broker, "b");
    assert_undo(&first.commit(&[]));
    send(&second, &place.output, "2");
    sure(second.commit(&[]));
    assert_eq!(broker.read(&place.output, 1), ["2"]);
    broker.kill(first);
}

/// Records that were deleted before they were read are not skipped in silence.
pub fn what_was_deleted_is_not_skipped<B: Broker>(broker: &B) {
    let place = Place::new(broker, "exactly-once", 1);
    for value in ["1", "2", "3", "4"] {
        broker.write(&place.input, value);
    }
    let mut log = place.open(broker, "a");
    given(&mut log);
    assert_eq!(next(&log), (0, "1".into()));
    sure(log.commit(&[position(1, "")]));
    sure(log.abort());
    broker.delete_records(&place.input, 3);
    let watermarks = Watermarks {
        partition: 0,
        low: 3,
        high: 4,
        partition_count: 1,
    };
    assert_eq!(sure(log.watermarks(&place.input, &[0])), [watermarks]);
    sure(log.assign(&[(FIRST, 1)]));
    let told = (0..PATIENCE).find_map(|_| match poll(&log) {
        Ok(Event::Record(record)) => panic!("{record:?}"),
        Ok(_) => None,
        Err(fault) => Some(fault),
    });
    assert!(matches!(told, Some(Fault::Abortable(_))), "{told:?}");
    sure(log.abort());
    sure(log.assign(&[(FIRST, 3)]));
    assert_eq!(next(&log), (3, "4".into()));
}

/// Why a topic does not take a record is told apart, and nothing of the transaction is seen.
pub fn what_a_topic_does_not_take_is_told<B: Broker>(broker: &B) {
    let settings = "\"max.message.bytes\" = 2000, \"message.timestamp.after.max.ms\" = 3600000";
    let place = Place::with(broker, "exactly-once", 1, settings);
    let mut log = place.open(broker, "a");
    given(&mut log);
    // The year 2100.
    let ahead = Some(4_102_444_800_000);
    for (bytes, timestamp, why) in [
        (5000, None, Rejection::TooLarge),
        (5, ahead, Rejection::Timestamp),
    ] {
        send(&log, &place.output, "1");
        let value = "x".repeat(bytes);
        let (topic, value) = (&*place.output, Some(value.as_bytes()));
        sure(log.send(&ProducerRecord {
            topic,
            partition: Some(0),
            timestamp,
            key: None,
            value,
            headers: &[],
        }));
        let settled = log.flush();
        assert!(
            matches!(settled, Err(Fault::Rejected(told, _)) if told == why),
            "{settled:?}"
        );
        sure(log.abort());
    }
    send(&log, &place.output, "2");
    sure(log.commit(&[]));
    assert_eq!(broker.read(&place.output, 1), ["2"]);
}

/// Makes a test of each statement about what an expression gives: a
/// [`Broker`](crate::statements::Broker).
#[macro_export]
macro_rules! statements {
    ($broker:expr) => {
        $crate::statements! { $broker,
            what_is_sent_is_visible_after_the_commit_and_not_before
            what_was_undone_is_never_seen
            offsets_come_back_with_their_notes
            reading_goes_on_where_the_last_commit_was
            the_commit_of_a_fenced_process_fails
            a_process_whose_name_was_taken_cannot_go_on
            the_commit_of_a_process_that_lost_its_partitions_fails
            a_restore_gives_what_was_committed_and_nothing_else
            a_successor_does_not_see_what_the_dead_left_open
            a_restore_waits_for_open_transactions_below_the_end
            the_successor_of_a_killed_process_gets_its_partitions_at_once
            partitions_are_taken_before_they_are_given_to_another
            the_end_is_where_nothing_is_left_to_read
            a_record_arrives_as_it_was_sent
            at_least_once_what_is_flushed_is_visible_and_stays
            the_last_of_two_processes_of_a_source_goes_on
            what_was_deleted_is_not_skipped
            what_a_topic_does_not_take_is_told
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
