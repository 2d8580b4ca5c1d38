//! A clock that tests set.

use std::sync::Mutex;

use super::*;

/// Clocks that a test sets.
#[derive(Debug)]
pub struct TestClock {
    pub wall: i64,
    pub monotonic: i64,
    pub boot: u8,
    pub is_unset: bool,
}

/// A noon in 2026.
pub const NOON: i64 = 1_790_000_000_000;

impl TestClock {
    /// Just booted, with the time of the last shutdown.
    pub fn unset() -> Arc<Mutex<TestClock>> {
        Arc::new(Mutex::new(TestClock {
            wall: NOON - 86_400_000,
            monotonic: 1000,
            boot: 1,
            is_unset: true,
        }))
    }

    pub fn set() -> Arc<Mutex<TestClock>> {
        Arc::new(Mutex::new(TestClock {
            wall: NOON,
            monotonic: 1000,
            boot: 1,
            is_unset: false,
        }))
    }
}

/// Lets time pass.
pub fn pass(clock: &Mutex<TestClock>, ms: i64) {
    let mut clock = clock.lock().unwrap();
    clock.wall += ms;
    clock.monotonic += ms;
}

/// A service sets the clock.
pub fn set(clock: &Mutex<TestClock>, wall: i64) {
    let mut clock = clock.lock().unwrap();
    clock.wall = wall;
    clock.is_unset = false;
}

impl Clock for Mutex<TestClock> {
    fn wall(&self) -> i64 {
        self.lock().unwrap().wall
    }

    fn monotonic(&self) -> i64 {
        self.lock().unwrap().monotonic
    }

    fn boot(&self) -> BootId {
        [self.lock().unwrap().boot; 16]
    }

    fn trust(&self) -> Trust {
        if self.lock().unwrap().is_unset {
            Trust::Unset
        } else {
            Trust::Set
        }
    }
}

#[test]
fn a_clock_is_set_once_a_service_has_set_it() {
    let clock = TestClock::unset();
    let mut trusted = TrustedClock::new(clock.clone(), ClockPolicy::Repair);
    assert_eq!(
        trusted.timestamp(),
        Err(MonotonicTime {
            boot: [1; 16],
            since: 1000
        })
    );
    assert_eq!(trusted.epoch_offset(), None);
    pass(&clock, 500);
    set(&clock, NOON);
    assert_eq!(
        (trusted.timestamp(), trusted.epoch_offset()),
        (Ok(NOON), Some(NOON - 1500))
    );
    clock.lock().unwrap().is_unset = true;
    assert!(trusted.is_set(), "once set it stays set");
}

#[test]
fn the_kernel_timesyncd_and_the_battery_are_combined() {
    for (kernel, timesyncd, has_battery, trust) in [
        // chrony or ntpsec: the kernel knows, and timesyncd has no folder.
        (Some(true), None, false, Trust::Set),
        (Some(false), None, false, Trust::Unset),
        // systemd-timesyncd.
        (Some(false), Some(true), false, Trust::Set),
        (Some(false), Some(false), true, Trust::Unset),
        // A PC without any service.
        (Some(false), None, true, Trust::Unknown),
        // A sandbox.
        (None, None, false, Trust::Unknown),
        (None, Some(false), false, Trust::Unset),
    ] {
        assert_eq!(
            combine(kernel, timesyncd, || has_battery),
            trust,
            "{kernel:?} {timesyncd:?} {has_battery}"
        );
    }
}

#[test]
fn a_clock_with_a_battery_agrees_with_the_wall_clock() {
    let rtc = tempfile::tempdir().unwrap();
    // The second is a Pi 5 without a battery.
    for (since_epoch, expected) in [("1790000030\n", true), ("42\n", false)] {
        fs::write(rtc.path().join("since_epoch"), since_epoch).unwrap();
        assert_eq!(has_battery(rtc.path(), NOON), expected);
    }
}

/// Regression: a process that started before the NTP service trusted the clock for ever.
#[test]
fn an_unknown_clock_is_checked_again_each_time() {
    struct Early(Mutex<Trust>);
    impl Clock for Early {
        fn wall(&self) -> i64 {
            NOON
        }

        fn monotonic(&self) -> i64 {
            0
        }

        fn boot(&self) -> BootId {
            [0; 16]
        }

        fn trust(&self) -> Trust {
            *self.0.lock().unwrap()
        }
    }
    let early = Arc::new(Early(Mutex::new(Trust::Unknown)));
    let mut clock = TrustedClock::new(early.clone(), ClockPolicy::Repair);
    for (trust, expected) in [
        (Trust::Unknown, true),
        (Trust::Unset, false),
        (Trust::Set, true),
        (Trust::Unset, true),
    ] {
        *early.0.lock().unwrap() = trust;
        assert_eq!(clock.is_set(), expected, "{trust:?}");
    }
}

#[test]
fn a_clock_in_1970_is_not_set() {
    let clock = TestClock::set();
    clock.lock().unwrap().wall = 77_000;
    assert!(
        TrustedClock::new(clock.clone(), ClockPolicy::Repair)
            .timestamp()
            .is_err()
    );
    assert_eq!(
        TrustedClock::new(clock, ClockPolicy::Trust).timestamp(),
        Ok(77_000)
    );
}

#[test]
fn the_system_clock_reads_the_clocks_of_this_machine() {
    let system = SystemClock::new();
    let before = (system.wall(), system.monotonic());
    assert!(before.0 > EARLIEST && before.1 > 0);
    assert!(system.monotonic() >= before.1);
    #[cfg(target_os = "linux")]
    assert_eq!(
        system.boot(),
        SystemClock::new().boot(),
        "every process sees the same boot id"
    );
}
