//! The clock: what time it is, and whether that can be believed.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use stream::pipeline::ClockPolicy;

use crate::unique::unique;

/// 2025 began, in milliseconds since the epoch: a clock that is further back was never set.
const FLOOR: i64 = 1_735_689_600_000;

/// Tells one start of the machine from the others.
pub type BootId = [u8; 16];

/// When something was, on a clock that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonotonicTime {
    /// Between which start of the machine and the next.
    pub boot: BootId,
    /// Milliseconds since that start.
    pub since: i64,
}

/// A machine's clocks.
pub trait Clock: Send + Sync {
    /// The wall clock, in milliseconds since the epoch.
    fn wall(&self) -> i64;

    /// Milliseconds since the machine's start, whatever is done to the wall clock.
    fn monotonic(&self) -> i64;

    /// This start of the machine.
    fn boot(&self) -> BootId;

    /// What is known of the wall clock.
    fn trust(&self) -> Trust;
}

/// How far a machine's wall clock can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A service has set it.
    Set,
    /// No service has set it, and it may not have gone on while the machine was off.
    Unset,
    /// Nobody says anything against it.
    Unknown,
}

/// The clocks of this machine.
#[derive(Debug)]
pub struct SystemClock {
    boot: BootId,
}

impl SystemClock {
    /// Looks which start of the machine this is.
    #[must_use]
    pub fn new() -> Self {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let id = id.and_then(|id| u128::from_str_radix(&id.trim().replace('-', ""), 16).ok());
        // Where the machine does not tell, each process counts as a start of its own.
        SystemClock {
            boot: id.map_or_else(unique, u128::to_be_bytes),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> i64 {
        // A clock before 1970 is one that was never set.
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> i64 {
        use rustix::time::{ClockId, clock_gettime};
        // A laptop's goes on while it sleeps.
        #[cfg(target_os = "linux")]
        let now = clock_gettime(ClockId::Boottime);
        #[cfg(not(target_os = "linux"))]
        let now = clock_gettime(ClockId::Monotonic);
        now.tv_sec * 1000 + now.tv_nsec / 1_000_000
    }

    fn boot(&self) -> BootId {
        self.boot
    }

    fn trust(&self) -> Trust {
        let kernel = kernel_clock::is_synchronised();
        // systemd-timesyncd: its folder is there while it runs, the file once it has set the clock.
        let folder = Path::new("/run/systemd/timesync");
        let service = folder
            .exists()
            .then(|| folder.join("synchronized").exists());
        weigh(kernel, service, || {
            keeps_time_while_off(Path::new("/sys/class/rtc/rtc0"), self.wall())
        })
    }
}

/// What the kernel and systemd-timesyncd come to, where each says something. The kernel is asked
/// first: it knows whatever service keeps the clock. Where it knows of none, a clock that went on
/// while the machine was off is still right.
fn weigh(kernel: Option<bool>, service: Option<bool>, goes_on: impl FnOnce() -> bool) -> Trust {
    match (kernel, service) {
        (Some(true), _) | (_, Some(true)) => Trust::Set,
        (Some(false), None) if goes_on() => Trust::Unknown,
        (_, Some(false)) | (Some(false), None) => Trust::Unset,
        (None, None) => Trust::Unknown,
    }
}

/// Whether the wall clock began with one that has a battery, or with a host's: PCs and their
/// virtual machines have it. A Pi 5 has a clock too, but maybe no battery: then that says another
/// time.
fn keeps_time_while_off(clock: &Path, wall: i64) -> bool {
    const NEAR: u64 = 60;
    let since_epoch = fs::read_to_string(clock.join("since_epoch")).ok();
    let seconds = since_epoch.and_then(|seconds| seconds.trim().parse::<i64>().ok());
    match seconds {
        Some(seconds) => seconds.abs_diff(wall / 1000) <= NEAR,
        None => cfg!(target_arch = "x86_64"),
    }
}

/// Decides whether the clock is set.
///
/// It is not while it says a time before 2025, or while no service has set it on a machine that has
/// no battery for it: such a machine starts with the time at which it was switched off. Once a
/// service has set it, it stays so, because a clock that is corrected later was not wrong by much.
/// What nobody has vouched for is asked for again each time.
#[derive(Clone)]
pub struct TrustedClock {
    clock: Arc<dyn Clock>,
    policy: ClockPolicy,
    set: bool,
    told: bool,
}

impl TrustedClock {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, policy: ClockPolicy) -> Self {
        TrustedClock {
            clock,
            policy,
            set: policy == ClockPolicy::Trust,
            told: false,
        }
    }

    /// What becomes of readings from before the clock was set.
    #[must_use]
    pub fn policy(&self) -> ClockPolicy {
        self.policy
    }

    /// Whether the clock is right.
    pub fn is_set(&mut self) -> bool {
        if self.set {
            return true;
        }
        if self.clock.wall() < FLOOR {
            return false;
        }
        let trust = self.clock.trust();
        self.set = trust == Trust::Set;
        trust != Trust::Unset
    }

    /// What a reading that was measured just now is stamped with: the time, or when that is not
    /// known, the moment.
    ///
    /// # Errors
    /// The moment.
    pub fn stamp(&mut self) -> Result<i64, MonotonicTime> {
        if self.is_set() {
            return Ok(self.clock.wall());
        }
        if !self.told {
            self.told = true;
            let fate = if self.policy == ClockPolicy::Repair {
                "wait until it is"
            } else {
                "become dead letters"
            };
            tracing::warn!(
                "the clock is not set: readings {fate}\n  help: see with `timedatectl` whether a \
                 service for the time (systemd-timesyncd, chrony, ntpsec) runs and reaches a \
                 server; clock = \"trust\" takes the clock as it is"
            );
        }
        Err(MonotonicTime {
            boot: self.clock.boot(),
            since: self.clock.monotonic(),
        })
    }

    /// What to add to the milliseconds since this start of the machine to get the time, once the
    /// clock is set.
    pub fn epoch_offset(&mut self) -> Option<i64> {
        self.is_set()
            .then(|| self.clock.wall() - self.clock.monotonic())
    }

    /// This start of the machine.
    #[must_use]
    pub fn boot(&self) -> BootId {
        self.clock.boot()
    }
}

impl fmt::Debug for TrustedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sense")
            .field("policy", &self.policy)
            .field("set", &self.set)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Clocks that the test sets.
    #[derive(Debug)]
    pub struct Hands {
        pub wall: i64,
        pub monotonic: i64,
        pub boot: u8,
        pub awaits: bool,
    }

    /// A noon in 2026.
    pub const NOON: i64 = 1_790_000_000_000;

    impl Hands {
        /// Just started, with the time of its last shutdown.
        pub fn unset() -> Arc<Mutex<Hands>> {
            Arc::new(Mutex::new(Hands {
                wall: NOON - 86_400_000,
                monotonic: 1000,
                boot: 1,
                awaits: true,
            }))
        }

        pub fn set() -> Arc<Mutex<Hands>> {
            Arc::new(Mutex::new(Hands {
                wall: NOON,
                monotonic: 1000,
                boot: 1,
                awaits: false,
            }))
        }
    }

    /// Time goes by.
    pub fn pass(hands: &Mutex<Hands>, ms: i64) {
        let mut hands = hands.lock().unwrap();
        hands.wall += ms;
        hands.monotonic += ms;
    }

    /// A service sets the clock.
    pub fn set(hands: &Mutex<Hands>, wall: i64) {
        let mut hands = hands.lock().unwrap();
        hands.wall = wall;
        hands.awaits = false;
    }

    impl Clock for Mutex<Hands> {
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
            if self.lock().unwrap().awaits {
                Trust::Unset
            } else {
                Trust::Set
            }
        }
    }

    #[test]
    fn a_clock_is_set_when_its_service_says_so_or_when_there_is_none() {
        let hands = Hands::unset();
        let mut sense = TrustedClock::new(hands.clone(), ClockPolicy::Repair);
        assert_eq!(
            sense.stamp(),
            Err(MonotonicTime {
                boot: [1; 16],
                since: 1000
            })
        );
        assert_eq!(sense.epoch_offset(), None);
        pass(&hands, 500);
        set(&hands, NOON);
        assert_eq!(
            (sense.stamp(), sense.epoch_offset()),
            (Ok(NOON), Some(NOON - 1500))
        );
        hands.lock().unwrap().awaits = true;
        assert!(sense.is_set(), "once set it stays so");
    }

    #[test]
    fn the_kernel_is_asked_and_a_service_that_has_not_begun_is_no_proof() {
        for (kernel, service, goes_on, trust) in [
            // chrony or ntpsec: the kernel knows, and there is no file.
            (Some(true), None, false, Trust::Set),
            (Some(false), None, false, Trust::Unset),
            // timesyncd.
            (Some(false), Some(true), false, Trust::Set),
            (Some(false), Some(false), true, Trust::Unset),
            // A PC without any service.
            (Some(false), None, true, Trust::Unknown),
            // A sandbox.
            (None, None, false, Trust::Unknown),
            (None, Some(false), false, Trust::Unset),
        ] {
            assert_eq!(
                weigh(kernel, service, || goes_on),
                trust,
                "{kernel:?} {service:?} {goes_on}"
            );
        }
    }

    #[test]
    fn a_clock_with_a_battery_says_the_same_as_the_wall_clock() {
        let rtc = tempfile::tempdir().unwrap();
        let near = |text: &str| {
            fs::write(rtc.path().join("since_epoch"), text).unwrap();
            keeps_time_while_off(rtc.path(), NOON)
        };
        assert!(near("1790000030\n"));
        assert!(!near("42\n"), "a Pi 5 without a battery");
    }

    /// A process that started before the service for the time took the clock for right, for all its
    /// life.
    #[test]
    fn what_nobody_vouched_for_is_asked_for_again() {
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
        let mut sense = TrustedClock::new(early.clone(), ClockPolicy::Repair);
        let mut is_set = |trust| {
            *early.0.lock().unwrap() = trust;
            sense.is_set()
        };
        assert!(
            is_set(Trust::Unknown)
                && !is_set(Trust::Unset)
                && is_set(Trust::Set)
                && is_set(Trust::Unset)
        );
    }

    #[test]
    fn nobody_measures_in_1970() {
        let hands = Hands::set();
        hands.lock().unwrap().wall = 77_000;
        assert!(
            TrustedClock::new(hands.clone(), ClockPolicy::Repair)
                .stamp()
                .is_err()
        );
        assert_eq!(
            TrustedClock::new(hands, ClockPolicy::Trust).stamp(),
            Ok(77_000)
        );
    }

    #[test]
    fn the_machine_has_clocks() {
        let system = SystemClock::new();
        let before = (system.wall(), system.monotonic());
        assert!(before.0 > FLOOR && before.1 > 0);
        assert!(system.monotonic() >= before.1);
        #[cfg(target_os = "linux")]
        assert_eq!(
            system.boot(),
            SystemClock::new().boot(),
            "two processes see the same start"
        );
    }
}
