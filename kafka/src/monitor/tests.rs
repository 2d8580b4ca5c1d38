//! Tests of the monitor alone: what is reported to it, and what it then says.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;

use super::watch::{FORGOTTEN_AFTER, Reminding};
use super::*;

fn monitor() -> ClientMonitor {
    let (trust, metrics) = (Trust::default(), Arc::default());
    ClientMonitor::new(
        "ewma",
        "rpi0:9092",
        trust,
        |_| false,
        Shutdown::new(),
        metrics,
    )
}

fn ago(time: Duration) -> Instant {
    Instant::now()
        .checked_sub(time)
        .expect("this machine has been up for longer")
}

#[test]
fn a_commit_is_stuck_only_while_brokers_answer() {
    let monitor = monitor();
    assert!(!monitor.is_commit_stuck(|_| true), "there is no commit");
    monitor.committing(true);
    assert!(!monitor.is_commit_stuck(|_| true), "it has just begun");
    monitor.lock().committing_since = Some(ago(STUCK_COMMIT + PROBE_INTERVAL));
    assert!(!monitor.is_commit_stuck(|_| false), "Kafka is unreachable");
    assert!(monitor.is_commit_stuck(|_| true));
    let is_stuck = monitor.is_commit_stuck(|monitor| {
        monitor.committing(false);
        true
    });
    assert!(!is_stuck, "it has ended meanwhile");
}

#[test]
fn clients_are_reminded_while_others_get_answers() {
    let monitor = monitor();
    let now = Reminding::new;
    assert!(
        !monitor.must_be_reminded(&mut now(), |_| true),
        "it does not wait"
    );
    let waiting = monitor.waiting();
    assert!(
        !monitor.must_be_reminded(&mut now(), |_| true),
        "it has just begun"
    );
    let long = Some(ago(FORGOTTEN_AFTER + PROBE_INTERVAL));
    monitor.lock().waiting_since = long;
    assert!(
        !monitor.must_be_reminded(&mut now(), |_| false),
        "no broker answers"
    );
    let mut reminding = now();
    assert!(monitor.must_be_reminded(&mut reminding, |_| true));
    assert!(
        !monitor.must_be_reminded(&mut reminding, |_| true),
        "it was just reminded"
    );
    drop(waiting);
    assert!(
        !monitor.must_be_reminded(&mut now(), |_| true),
        "it has what it waited for"
    );
    monitor.lock().unreachable_since = long;
    assert!(monitor.must_be_reminded(&mut now(), |_| true));
}

#[test]
fn a_member_is_fenced_by_itself_for_a_session_after_it_rejoined() {
    let session = Duration::from_secs(45);
    let monitor = monitor();
    assert!(
        monitor.may_be_fenced_by_itself(session),
        "it has not joined yet"
    );
    monitor.lock().membership.partitions_assigned();
    assert!(
        !monitor.may_be_fenced_by_itself(session),
        "another process has fenced it"
    );
    monitor.lock().membership.session_ended();
    assert!(
        monitor.may_be_fenced_by_itself(session),
        "it is not a member"
    );
    monitor.lock().membership.partitions_assigned();
    assert!(
        monitor.may_be_fenced_by_itself(session),
        "an old heartbeat may be in flight"
    );
    monitor.lock().membership = Membership::Member {
        rejoined: Some(ago(session + PROBE_INTERVAL)),
    };
    assert!(
        !monitor.may_be_fenced_by_itself(session),
        "no old heartbeat is in flight"
    );
}

#[test]
fn only_an_established_connection_can_repeat_a_request() {
    fn may_repeat(monitor: &ClientMonitor, facility: &str, message: &str) -> bool {
        let producer = monitor.for_producer();
        producer.log(RDKafkaLogLevel::Info, facility, message);
        assert_eq!(producer.event_count(), 1);
        producer.may_have_repeated()
    }
    let monitor = monitor();
    let thread = "[thrd:rpi0:9092/0]: rpi0:9092/0:";
    for broken in [
        "Disconnected (after 2031ms in state UP)",
        "Disconnected (after 31ms in state AUTH_REQ)",
        "Receive failed: Connection reset by peer (after 31ms in state UP)",
        "TxnCoordinator: rpi0:9092: Disconnected (after 2031ms in state UP)",
    ] {
        let message = format!("{thread} {broken}");
        assert!(may_repeat(&monitor, "FAIL", &message), "{broken}");
    }
    let timeout = format!("{thread} Timed out EndTxnRequest in flight (after 10015ms, timeout #0)");
    assert!(may_repeat(&monitor, "REQTMOUT", &timeout));
    for never in [
        "Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)",
        "Failed to resolve 'rpi0:9092': Name or service not known (after 3ms in state CONNECT)",
        "Connection setup timed out in state CONNECT (after 30029ms in state CONNECT)",
    ] {
        let message = format!("{thread} {never}");
        assert!(!may_repeat(&monitor, "FAIL", &message), "{never}");
    }
    assert!(!may_repeat(&monitor, "GETPID", "Failed to acquire PID"));
    assert!(
        !monitor.may_have_repeated() && !monitor.for_producer().may_have_repeated(),
        "other producers did not"
    );
}

#[test]
fn a_single_late_answer_does_not_count_as_unreachable() {
    let monitor = monitor();
    monitor.broker_unreachable("timed out");
    assert!(!monitor.is_unreachable());
    monitor.lock().failing_since = Some(ago(UNREACHABLE_AFTER));
    monitor.broker_unreachable("timed out");
    assert!(monitor.is_unreachable());
    monitor.broker_reachable();
    assert!(!monitor.is_unreachable());
    monitor.broker_unreachable("timed out");
    assert!(
        !monitor.is_unreachable(),
        "failures before the answer do not count"
    );
}

#[test]
fn a_broker_that_refuses_while_others_answer_is_named() {
    let warned = |unreachable: bool, reason: &str| {
        let monitor = monitor();
        monitor.lock().unreachable_since = unreachable.then(Instant::now);
        reason.clone_into(&mut monitor.lock().last_failure);
        monitor.broker_reachable();
        let is_clear = monitor.lock().errors_logged.is_clear();
        !is_clear
    };
    let refused = "ssl://rpi1:9093/1: SSL handshake failed: certificate verify failed (after 5ms)";
    assert!(warned(false, refused));
    assert!(!warned(true, refused), "the reason is past");
    let stopped = "ssl://rpi1:9093/1: Disconnected: closed by peer (after 5ms in state UP)";
    assert!(!warned(false, stopped));
}
