//! A machine with a disk, a clock and a source, which restarts.

use rivulet_pipeline::{ComponentConfig, WhenFull};
use tempfile::TempDir;

use super::*;
use crate::catalog::lines::Lines;
use crate::clock::tests::{NOON, TestClock, pass, set};
use crate::testing::{Line, Observed, Piped, readings, take};

/// A machine with a disk, a clock and a source.
struct Machine {
    folder: TempDir,
    clock: Arc<Mutex<TestClock>>,
    policy: ClockPolicy,
    sync: Duration,
    pipe: Piped,
}

impl Machine {
    fn new(clock: Arc<Mutex<TestClock>>) -> Self {
        let (folder, pipe) = (tempfile::tempdir().unwrap(), Piped::default());
        Machine {
            folder,
            clock,
            policy: ClockPolicy::Repair,
            sync: Duration::ZERO,
            pipe,
        }
    }

    /// Starts the process. Its source counts from 0.
    fn open(&mut self) -> SpooledSource {
        self.open_with(WhenFull::DropOldest, false)
    }

    fn open_with(&mut self, when_full: WhenFull, from_start: bool) -> SpooledSource {
        self.pipe = Piped::default();
        let settings = SpoolSettings {
            path: "".into(),
            size: 1_000_000,
            when_full,
            sync: self.sync,
        };
        let clock = TrustedClock::new(self.clock.clone(), self.policy);
        SpooledSource::open(
            Box::new(self.pipe.clone()),
            self.folder.path(),
            &settings,
            clock,
            from_start,
            Arc::default(),
        )
        .unwrap()
    }
}

/// Waits until `count` records were pushed into the spool.
fn wait_until_pushed(spooled: &SpooledSource, count: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while spooled.shared.lock().spool.waiting() + spooled.next < count {
        assert!(Instant::now() < deadline, "records are missing");
        thread::yield_now();
    }
}

fn seqs(spooled: &mut SpooledSource, most: usize) -> Vec<u64> {
    readings(spooled, most).iter().map(|got| got.seq).collect()
}

/// The sequence number of a reading that comes at once.
fn now(spooled: &mut SpooledSource) -> Option<u64> {
    match spooled.next(Duration::from_millis(20)).unwrap() {
        Next::Reading(reading) => Some(reading.seq),
        Next::NotYet => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn readings_of_all_kinds_come_in_order() {
    let mut machine = Machine::new(TestClock::set());
    let mut spooled = machine.open();
    machine
        .pipe
        .put([Line::Measured, Line::Bad, Line::Timed(5), Line::Record]);
    machine.pipe.end();
    let seen = take(&mut spooled, 9);
    let Observed::Reading(first) = &seen[0] else {
        panic!("{seen:?}")
    };
    assert_eq!((first.sensor.as_str(), first.time), ("pipe", NOON));
    assert_eq!(
        seen[1],
        Observed::Bad {
            bytes: b"?".into(),
            place: "pipe".into(),
            reason: "bad"
        }
    );
    assert!(matches!(&seen[2], Observed::Reading(got) if (got.seq, got.time) == (2, 5)));
    let Observed::Record(record) = &seen[3] else {
        panic!("{seen:?}")
    };
    assert_eq!(
        (record.topic.as_deref(), record.value.as_deref()),
        (Some("warm"), Some(&b"\xff"[..]))
    );
    assert_eq!(seen.len(), 4);
}

#[test]
fn a_restart_resends_what_is_not_committed() {
    let mut machine = Machine::new(TestClock::set());
    let mut spooled = machine.open();
    machine.pipe.put([Line::Measured; 10]);
    assert_eq!(seqs(&mut spooled, 4), [0, 1, 2, 3]);
    let committed = spooled.position();
    spooled.committed();
    assert_eq!(seqs(&mut spooled, 3), [4, 5, 6]);
    wait_until_pushed(&spooled, 10);
    drop(spooled);

    // Kafka is unreachable, so the committed position is unknown. Readings are buffered
    // nevertheless.
    let spooled = machine.open();
    machine.pipe.put([Line::Measured; 2]);
    wait_until_pushed(&spooled, 12);
    drop(spooled);
    let mut spooled = machine.open();
    spooled.resume(&committed).unwrap();
    assert_eq!(seqs(&mut spooled, 8), [4, 5, 6, 7, 8, 9, 10, 11]);
    assert_eq!(now(&mut spooled), None);
}

#[test]
fn a_new_spool_waits_for_the_committed_position() {
    let mut machine = Machine::new(TestClock::set());
    let mut spooled = machine.open();
    // The stage had no spool before.
    spooled.resume(&json!(70)).unwrap();
    machine.pipe.put([Line::Measured]);
    assert_eq!(seqs(&mut spooled, 1), [70]);
    let position = spooled.position();
    drop(spooled);

    machine.folder = tempfile::tempdir().unwrap();
    let mut spooled = machine.open();
    spooled.resume(&position).unwrap();
    machine.pipe.put([Line::Measured]);
    assert_eq!(
        seqs(&mut spooled, 1),
        [71],
        "the old spool is lost, and the sensor continues its numbers"
    );
}

/// Regression: readings that this machine had sent were sent again, and each machine counted by
/// itself.
#[test]
fn a_stage_that_moves_there_and_back_sends_each_reading_once() {
    let settings = SpoolSettings {
        path: "".into(),
        size: 1_000_000,
        when_full: WhenFull::DropOldest,
        sync: Duration::ZERO,
    };
    let machines = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let config = ComponentConfig::parse("lines = { sensor = \"attic\" }").unwrap();
    let config: Lines = config.settings().unwrap();
    let (mut position, mut seqs, mut values): (Option<Value>, Vec<u64>, Vec<f64>) =
        (None, Vec::new(), Vec::new());
    let mut value = 0.0;
    // For each run: the machine, how many readings the source yields, and how many of those in
    // the spool are sent.
    for (machine, come, sent) in [
        (0, 4, 2),
        (1, 3, 3),
        (0, 2, 3),
        (1, 2, 1),
        (0, 1, 2),
        (1, 1, 2),
    ] {
        let lines = (0..come).map(|number| format!("{}\n", value + f64::from(number)));
        let text = lines.collect::<Vec<_>>().concat();
        value += f64::from(come);
        let source = Box::new(config.read_from(std::io::Cursor::new(text)).unwrap());
        let clock = TrustedClock::new(TestClock::set(), ClockPolicy::Repair);
        let folder = machines[machine].path();
        let mut spooled =
            SpooledSource::open(source, folder, &settings, clock, false, Arc::default()).unwrap();
        if let Some(position) = &position {
            spooled.resume(position).unwrap();
        }
        let found = readings(&mut spooled, sent);
        seqs.extend(found.iter().map(|got| got.seq));
        values.extend(found.iter().map(|got| got.value));
        position = Some(serde_json::from_str(&spooled.position().to_string()).unwrap());
        spooled.committed();
        // When the thread has ended, all readings are in the spool.
        while !matches!(spooled.shared.lock().state, State::Ended) {
            thread::yield_now();
        }
    }
    assert_eq!(seqs, (0..13).collect::<Vec<_>>());
    values.sort_by(f64::total_cmp);
    assert_eq!(values, (0..13).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn from_start_forgets_the_spool() {
    let mut machine = Machine::new(TestClock::set());
    let mut spooled = machine.open();
    machine.pipe.put([Line::Measured; 3]);
    assert_eq!(seqs(&mut spooled, 2), [0, 1]);
    drop(spooled);
    let mut spooled = machine.open_with(WhenFull::DropOldest, true);
    machine.pipe.put([Line::Measured]);
    assert_eq!(seqs(&mut spooled, 1), [0]);
}

#[test]
fn lost_readings_are_reported_in_a_dead_letter() {
    for when_full in [WhenFull::DropOldest, WhenFull::DropNewest] {
        let mut machine = Machine::new(TestClock::set());
        machine.sync = Duration::from_millis(50);
        let mut spooled = machine.open_with(when_full, false);
        assert_eq!(now(&mut spooled), None);
        machine
            .pipe
            .put(std::iter::repeat_n(Line::Measured, 40_000));
        wait_until_pushed(&spooled, 1);
        let deadline = Instant::now() + Duration::from_mins(1);
        while spooled.shared.lock().spool.dropped() == 0 {
            assert!(Instant::now() < deadline, "the spool should be full");
            thread::yield_now();
        }
        machine.pipe.end();
        let (mut sent, mut reported) = (0, 0);
        loop {
            match spooled.next(Duration::from_secs(20)).unwrap() {
                Next::Reading(_) => sent += 1,
                Next::Bad { invalid, .. } => {
                    assert_eq!(invalid.reason, "lost");
                    let (count, _) = invalid.detail.split_once(' ').unwrap();
                    reported += count.parse::<u64>().unwrap();
                }
                Next::End => break,
                other => panic!("{other:?}"),
            }
            spooled.committed();
        }
        let dropped = spooled.shared.lock().spool.dropped();
        assert_eq!(sent + dropped, 40_000, "{when_full:?}");
        // Readings dropped at the very end are only reported before the next reading.
        assert!(
            reported == dropped || when_full == WhenFull::DropNewest && reported < dropped,
            "{reported} of {dropped}"
        );
    }
}

#[test]
fn readings_wait_for_the_clock_across_a_restart() {
    let mut machine = Machine::new(TestClock::unset());
    let mut spooled = machine.open();
    assert_eq!(now(&mut spooled), None);
    machine.pipe.put([Line::Measured, Line::Timed(5)]);
    wait_until_pushed(&spooled, 2);
    assert_eq!(now(&mut spooled), None);
    assert_eq!(spooled.position()["next"], 0, "nothing is yielded");
    drop(spooled);
    pass(&machine.clock, 60_000);
    let mut spooled = machine.open();
    machine.pipe.put([Line::Measured]);
    wait_until_pushed(&spooled, 3);
    assert_eq!(now(&mut spooled), None);
    pass(&machine.clock, 30_000);
    set(&machine.clock, NOON);
    let first = readings(&mut spooled, 1);
    // The clock steps back after it was set.
    set(&machine.clock, NOON - 3_600_000);
    let found: Vec<_> = [first, readings(&mut spooled, 2)]
        .concat()
        .iter()
        .map(|got| (got.seq, got.time))
        .collect();
    assert_eq!(found, [(0, NOON - 90_000), (1, 5), (2, NOON - 30_000)]);
}

#[test]
fn after_a_power_cut_the_time_is_known_if_the_clock_was_set() {
    for was_set in [true, false] {
        let mut machine = Machine::new(TestClock::unset());
        let mut spooled = machine.open();
        assert_eq!(now(&mut spooled), None);
        machine.pipe.put([Line::Measured]);
        wait_until_pushed(&spooled, 1);
        if was_set {
            pass(&machine.clock, 1000);
            set(&machine.clock, NOON);
            machine.pipe.put([Line::Measured]);
            wait_until_pushed(&spooled, 2);
        }
        drop(spooled);
        *machine.clock.lock().unwrap() = TestClock {
            wall: NOON + 5000,
            monotonic: 10,
            boot: 2,
            is_unset: false,
        };
        let mut spooled = machine.open();
        machine.pipe.put([Line::Measured]);
        let seen = take(&mut spooled, if was_set { 3 } else { 2 });
        if was_set {
            assert!(
                matches!(&seen[0], Observed::Reading(got) if got.time == NOON - 1000),
                "{seen:?}"
            );
        } else {
            assert!(
                matches!(
                    &seen[0],
                    Observed::Bad {
                        reason: "clock-not-set",
                        ..
                    }
                ),
                "{seen:?}"
            );
        }
        assert!(matches!(seen.last(), Some(Observed::Reading(got)) if got.time == NOON + 5000));
    }
}

#[test]
fn the_policy_dead_letter_does_not_wait_for_the_clock() {
    let mut machine = Machine::new(TestClock::unset());
    machine.policy = ClockPolicy::DeadLetter;
    let mut spooled = machine.open();
    machine.pipe.put([Line::Measured, Line::Timed(5)]);
    let seen = take(&mut spooled, 2);
    assert!(
        matches!(
            &seen[0],
            Observed::Bad {
                reason: "clock-not-set",
                ..
            }
        ),
        "{seen:?}"
    );
    assert!(
        matches!(&seen[1], Observed::Reading(got) if got.time == 5),
        "{seen:?}"
    );
}

#[test]
fn a_spool_that_cannot_be_written_is_an_error() {
    let mut machine = Machine::new(TestClock::set());
    machine.sync = Duration::from_millis(50);
    let mut spooled = machine.open();
    assert_eq!(now(&mut spooled), None);
    // No new file can be created.
    std::fs::remove_dir_all(machine.folder.path()).unwrap();
    machine
        .pipe
        .put(std::iter::repeat_n(Line::Measured, 20_000));
    let deadline = Instant::now() + Duration::from_mins(1);
    let error = loop {
        match spooled.next(Duration::from_millis(100)) {
            Err(error) => break error.to_string(),
            Ok(_) => assert!(Instant::now() < deadline, "nothing fails"),
        }
    };
    assert!(
        error.contains("help: check whether the disk is full or broken"),
        "{error}"
    );
}
