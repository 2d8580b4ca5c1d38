//! Statements about a log, which hold for the simulated cluster and for Kafka alike.
//!
//! The simulation is worth as much as its cluster is like Kafka. So each statement is a test of
//! both: `simulation/tests/statements.rs` and `tests/tests/statements.rs`.
#![allow(
    clippy::missing_panics_doc,
    reason = "a statement that does not hold is a failed test"
)]

use std::time::Duration;

use rivulet_core::log::{Event, Fault, Log, ProducerRecord, Record, Rejection, Watermarks};

pub use self::broker::Broker;
use self::fixture::{
    FIRST, Fixture, PATIENCE, WAIT, assert_abortable, await_assignment, from_committed, next, ok,
    poll, position, send, send_keyed,
};
pub use self::restores::{
    a_restart_aborts_the_transaction_of_the_dead_process, a_restore_returns_committed_records_only,
    a_restore_waits_for_open_transactions_below_the_end,
};
use crate::chance::Chance;

mod broker;
mod fixture;
mod restores;

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

/// Text that is so irregular that compression does not make it smaller.
#[must_use]
pub fn irregular(length: usize) -> String {
    let (mut chance, all) = (Chance::new(1), (b'!'..=b'~').collect::<Vec<_>>());
    let letters = (0..length).map(|_| char::from(chance.one_of(&all)));
    letters.collect()
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
        let value = irregular(bytes);
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
