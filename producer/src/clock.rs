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
pub type Boot = [u8; 16];

/// When something was, on a clock that nobody sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Between which start of the machine and the next.
    pub boot: Boot,
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
    fn boot(&self) -> Boot;

    /// Whether a service is there to set the wall clock and has not done so yet.
    fn awaits_service(&self) -> bool;
}

/// The clocks of this machine.
#[derive(Debug)]
pub struct System {
    boot: Boot,
}

impl System {
    /// Looks which start of the machine this is.
    #[must_use]
    pub fn new() -> Self {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let id = id.and_then(|id| u128::from_str_radix(&id.trim().replace('-', ""), 16).ok());
        // Where the machine does not tell, each process counts as a start of its own.
        System { boot: id.map_or_else(unique, u128::to_be_bytes) }
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for System {
    fn wall(&self) -> i64 {
        // A clock before 1970 is one that was never set.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
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

    fn boot(&self) -> Boot {
        self.boot
    }

    fn awaits_service(&self) -> bool {
        // systemd-timesyncd: its folder is there while it runs, the file once it has set the clock.
        let folder = Path::new("/run/systemd/timesync");
        folder.exists() && !folder.join("synchronized").exists()
    }
}

/// Decides whether the clock is set.
///
/// It is not while it says a time before 2025, or while systemd-timesyncd runs and has not set it
/// yet: a machine without a battery starts with the time at which it was switched off. Once set it
/// stays so, because a clock that is corrected later was not wrong by much.
#[derive(Clone)]
pub struct Sense {
    clock: Arc<dyn Clock>,
    policy: ClockPolicy,
    set: bool,
    told: bool,
}

impl Sense {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, policy: ClockPolicy) -> Self {
        Sense { clock, policy, set: policy == ClockPolicy::Trust, told: false }
    }

    /// What becomes of readings from before the clock was set.
    #[must_use]
    pub fn policy(&self) -> ClockPolicy {
        self.policy
    }

    /// Whether the clock is right.
    pub fn is_set(&mut self) -> bool {
        if !self.set {
            self.set = self.clock.wall() >= FLOOR && !self.clock.awaits_service();
        }
        self.set
    }

    /// What a reading that was measured just now is stamped with: the time, or when that is not
    /// known, the moment.
    ///
    /// # Errors
    /// The moment.
    pub fn stamp(&mut self) -> Result<i64, Moment> {
        if self.is_set() {
            return Ok(self.clock.wall());
        }
        if !self.told {
            self.told = true;
            let fate = if self.policy == ClockPolicy::Repair { "wait until it is" } else { "become dead letters" };
            tracing::warn!("the clock is not set: readings {fate}; clock = \"trust\" takes it as it is");
        }
        Err(Moment { boot: self.clock.boot(), since: self.clock.monotonic() })
    }

    /// What to add to the milliseconds since this start of the machine to get the time, once the clock
    /// is set.
    pub fn anchor(&mut self) -> Option<i64> {
        self.is_set().then(|| self.clock.wall() - self.clock.monotonic())
    }

    /// This start of the machine.
    #[must_use]
    pub fn boot(&self) -> Boot {
        self.clock.boot()
    }
}

impl fmt::Debug for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sense").field("policy", &self.policy).field("set", &self.set).finish_non_exhaustive()
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
            Arc::new(Mutex::new(Hands { wall: NOON - 86_400_000, monotonic: 1000, boot: 1, awaits: true }))
        }

        pub fn set() -> Arc<Mutex<Hands>> {
            Arc::new(Mutex::new(Hands { wall: NOON, monotonic: 1000, boot: 1, awaits: false }))
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

        fn boot(&self) -> Boot {
            [self.lock().unwrap().boot; 16]
        }

        fn awaits_service(&self) -> bool {
            self.lock().unwrap().awaits
        }
    }

    #[test]
    fn a_clock_is_set_when_its_service_says_so_or_when_there_is_none() {
        let hands = Hands::unset();
        let mut sense = Sense::new(hands.clone(), ClockPolicy::Repair);
        assert_eq!(sense.stamp(), Err(Moment { boot: [1; 16], since: 1000 }));
        assert_eq!(sense.anchor(), None);
        pass(&hands, 500);
        set(&hands, NOON);
        assert_eq!((sense.stamp(), sense.anchor()), (Ok(NOON), Some(NOON - 1500)));
        hands.lock().unwrap().awaits = true;
        assert!(sense.is_set(), "once set it stays so");
    }

    #[test]
    fn nobody_measures_in_1970() {
        let hands = Hands::set();
        hands.lock().unwrap().wall = 77_000;
        assert!(Sense::new(hands.clone(), ClockPolicy::Repair).stamp().is_err());
        assert_eq!(Sense::new(hands, ClockPolicy::Trust).stamp(), Ok(77_000));
    }

    #[test]
    fn the_machine_has_clocks() {
        let system = System::new();
        let before = (system.wall(), system.monotonic());
        assert!(before.0 > FLOOR && before.1 > 0);
        assert!(system.monotonic() >= before.1);
        #[cfg(target_os = "linux")]
        assert_eq!(system.boot(), System::new().boot(), "two processes see the same start");
    }
}
