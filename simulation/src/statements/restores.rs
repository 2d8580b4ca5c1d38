//! Statements about a restore of the changelog.

use rivulet_core::log::Log;

use super::broker::Broker;
use super::fixture::{Fixture, await_assignment, entry, ok, poll, restored, send_keyed};

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
