use std::sync::Arc;

use rivulet_core::metrics::Metrics;
use rivulet_core::shutdown::Shutdown;

use super::*;
use crate::observe::testing::stage;

const LIMIT: Duration = Duration::from_secs(30);

/// A stage that runs, seen at times that a test sets.
struct Seen {
    stage: ObservedStage,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
    start: Instant,
}

impl Seen {
    /// The stage runs with one partition, and has read 100 records of 150.
    fn running() -> Self {
        let (stage, metrics, shutdown) = stage("convert");
        let partition = metrics.partition("celsius", 0);
        partition.set_assigned(true);
        partition.set_position(100);
        partition.set_end(150);
        metrics.health.enter(Activity::Restoring);
        metrics.health.enter(Activity::Running);
        Seen {
            stage,
            metrics,
            shutdown,
            start: Instant::now(),
        }
    }

    /// Looks at the stage so many seconds after its start.
    fn look(&mut self, seconds: u64) -> Readiness {
        let now = self.start + Duration::from_secs(seconds);
        self.stage.look(now);
        Readiness::of(&self.stage, LIMIT, now)
    }

    /// Its thread has moved meanwhile.
    fn moved(&self) {
        assert!(!self.shutdown.is_stopping());
    }

    fn committed(&self) {
        self.metrics.committed(Duration::from_millis(3), 1);
    }
}

#[test]
fn a_stage_is_ready_once_its_partitions_are_restored() {
    let (mut stage, metrics, _) = stage("convert");
    let mut look = || {
        stage.look(Instant::now());
        Readiness::of(&stage, LIMIT, Instant::now())
    };
    for (activity, sentence) in [
        (Activity::Connecting, "waiting for Kafka for 0 s"),
        (
            Activity::Joining,
            "waiting for 0 s for the group to assign partitions",
        ),
        (Activity::Restoring, "restoring for 0 s"),
    ] {
        metrics.health.enter(activity);
        let look = look();
        assert!(!look.is_ready && !look.is_hung);
        assert_eq!(look.sentence, sentence);
    }
    metrics.health.enter(Activity::Running);
    let ready = look();
    assert!(ready.is_ready, "{ready:?}");
    assert!(ready.sentence.starts_with("running, 0 partitions, lag 0"));
    metrics.health.assigned();
    assert!(!look().is_ready);
}

#[test]
fn a_stage_with_lag_that_commits_is_ready() {
    let mut seen = Seen::running();
    for seconds in 0..100 {
        seen.moved();
        if seconds % 20 == 0 {
            seen.committed();
        }
        let look = seen.look(seconds);
        assert!(look.is_ready, "{look:?}");
        assert!(look.sentence.starts_with("running, 1 partition, lag 50"));
    }
}

#[test]
fn lag_without_a_commit_is_a_stall_and_the_next_commit_ends_it() {
    let mut seen = Seen::running();
    seen.look(0);
    seen.moved();
    assert!(seen.look(29).is_ready);
    seen.moved();
    let stalled = seen.look(31);
    assert!(!stalled.is_ready && stalled.is_stalled && !stalled.is_hung);
    assert!(
        stalled.sentence.ends_with("; no commit for 31 s"),
        "{stalled:?}"
    );
    seen.committed();
    assert!(seen.look(32).is_ready);
}

#[test]
fn a_stage_with_nothing_to_do_is_ready_for_ever() {
    let mut seen = Seen::running();
    seen.metrics.set_drained(true);
    seen.metrics.partition("celsius", 0).fetched(150, 150);
    for seconds in [0, 100, 100_000] {
        seen.moved();
        assert!(seen.look(seconds).is_ready);
    }
    // The time before there was something to do does not count.
    seen.metrics.partition("celsius", 0).fetched(151, 150);
    seen.moved();
    assert!(seen.look(100_010).is_ready);
    seen.moved();
    assert!(!seen.look(100_041).is_ready);
}

#[test]
fn a_thread_that_does_not_move_hangs() {
    let mut seen = Seen::running();
    seen.moved();
    seen.look(0);
    seen.committed();
    assert!(!seen.look(29).is_hung);
    let hung = seen.look(30);
    assert!(hung.is_hung && !hung.is_ready);
    assert!(
        hung.sentence
            .starts_with("the stage's thread hangs: it has not moved for 30 s; running"),
        "{hung:?}"
    );
}

#[test]
fn brokers_that_are_away_make_it_unready_whatever_the_lag() {
    let mut seen = Seen::running();
    seen.metrics.set_drained(true);
    seen.metrics.partition("celsius", 0).fetched(150, 150);
    let report = || {
        seen.metrics
            .health
            .report(TroubleKind::Brokers, "brokers unreachable at rpi0:9092");
    };
    report();
    seen.moved();
    let look = seen.look(10);
    assert!(look.is_ready && !look.is_stalled, "{look:?}");
    assert!(
        look.sentence
            .contains("; brokers unreachable at rpi0:9092, for 9 s, since 20")
            || look
                .sentence
                .contains("; brokers unreachable at rpi0:9092, for 10 s, since 20"),
        "{look:?}"
    );
    seen.moved();
    assert!(!seen.look(31).is_ready);
    seen.metrics.health.solved(TroubleKind::Brokers);
    assert!(seen.look(32).is_ready);
}

#[test]
fn a_rollback_counts_only_with_something_to_do() {
    let mut seen = Seen::running();
    let full = "writing readings.db: No space left on device";
    for _ in 0..2 {
        seen.metrics.health.report(TroubleKind::Rollback, full);
    }
    seen.look(0);
    seen.moved();
    let stalled = seen.look(40);
    assert!(!stalled.is_ready);
    assert!(
        stalled.sentence.contains(&format!(
            "; no commit for 40 s; rolled back 2 times: {full}, for "
        )),
        "{stalled:?}"
    );
    seen.metrics.unassigned();
    seen.moved();
    assert!(seen.look(50).is_ready, "another member has the partition");
}

#[test]
fn a_producer_says_what_waits_and_whether_the_clock_is_set() {
    let (mut stage, metrics, _) = stage("thermometer");
    metrics.health.enter(Activity::Running);
    metrics.spool_readings.set(12);
    stage.look(Instant::now());
    stage.is_clock_set = Some(false);
    let look = Readiness::of(&stage, LIMIT, Instant::now());
    assert!(look.is_ready);
    assert!(look.sentence.starts_with("running, 12 in the spool"));
    assert!(
        look.sentence.ends_with("; the clock is not set"),
        "{look:?}"
    );
}

#[test]
fn what_stops_is_not_ready() {
    let mut seen = Seen::running();
    seen.metrics.health.enter(Activity::Stopping);
    assert!(!seen.look(0).is_ready);
    seen.metrics.health.enter(Activity::Stopped);
    let ended = seen.look(100);
    assert!(!ended.is_ready && !ended.is_hung);
    assert_eq!(ended.sentence.split(';').next(), Some("ended"));
}

#[test]
fn times_have_units_that_fit() {
    let seconds = [0, 119, 120, 7199, 7200];
    assert_eq!(
        seconds.map(|seconds| lasting(Duration::from_secs(seconds))),
        ["0 s", "119 s", "2 min", "119 min", "2 h"]
    );
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_796_040_184_400);
    assert_eq!(at(time), "2026-11-30T12:03:04Z");
}
