//! The clock: the time, and whether it can be trusted.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rivulet_core::stamps;
use rivulet_pipeline::ClockPolicy;

use crate::unique::unique;

/// 2025-01-01T00:00:00Z in milliseconds since the epoch. A clock before that was never set.
const EARLIEST: i64 = 1_735_689_600_000;

/// Identifies one boot of the machine.
pub type BootId = [u8; 16];

/// A time on the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MonotonicTime {
    /// The boot during which it was read.
    pub boot: BootId,
    /// Milliseconds since that boot.
    pub since: i64,
}

/// A machine's clocks.
pub trait Clock: Send + Sync {
    /// The wall clock in milliseconds since the epoch.
    fn wall(&self) -> i64;

    /// The monotonic clock in milliseconds since the boot. Setting the wall clock does not change
    /// it.
    fn monotonic(&self) -> i64;

    /// The id of the current boot.
    fn boot(&self) -> BootId;

    /// Whether the wall clock is set.
    fn trust(&self) -> Trust;
}

/// Whether a machine's wall clock is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// A service has set it.
    Set,
    /// No service has set it, and it may have stopped while the machine was off.
    Unset,
    /// Nothing says that it is wrong.
    Unknown,
}

/// The clocks of this machine.
#[derive(Debug)]
pub struct SystemClock {
    boot: BootId,
}

impl SystemClock {
    /// Reads the boot id. Where the system has none, each process counts as a boot of its own.
    #[must_use]
    pub fn new() -> Self {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let id = id.and_then(|id| u128::from_str_radix(&id.trim().replace('-', ""), 16).ok());
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
        stamps::now()
    }

    fn monotonic(&self) -> i64 {
        use rustix::time::{ClockId, clock_gettime};
        // Unlike `Monotonic` it goes on while a laptop sleeps.
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
        let kernel = rivulet_kernel_clock::is_synchronised();
        // systemd-timesyncd: the folder exists while it runs, the file once it has set the clock.
        let folder = Path::new("/run/systemd/timesync");
        let service = folder
            .exists()
            .then(|| folder.join("synchronized").exists());
        combine(kernel, service, || {
            has_battery(Path::new("/sys/class/rtc/rtc0"), self.wall())
        })
    }
}

/// Combines what the kernel and systemd-timesyncd say; `None` if one says nothing. The kernel knows
/// of all services, also of chrony and ntpsec. Without a service, a clock with a battery is right
/// nevertheless.
fn combine(
    kernel: Option<bool>,
    timesyncd: Option<bool>,
    has_battery: impl FnOnce() -> bool,
) -> Trust {
    match (kernel, timesyncd) {
        (Some(true), _) | (_, Some(true)) => Trust::Set,
        (Some(false), None) if has_battery() => Trust::Unknown,
        (_, Some(false)) | (Some(false), None) => Trust::Unset,
        (None, None) => Trust::Unknown,
    }
}

/// Whether the hardware clock ran while the machine was off. PCs have a battery for it, and virtual
/// machines have their host's clock. A Pi 5 has a hardware clock too, but often no battery: then it
/// shows another time than the wall clock.
fn has_battery(clock: &Path, wall: i64) -> bool {
    /// In seconds.
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
/// A clock is not set while it shows a time before 2025. Nor is it set on a machine without a
/// battery for its clock until a service sets it: such a machine boots with the time at which it
/// was switched off. A clock that a service has set counts as set from then on, because later
/// corrections are small. [`Trust::Unknown`] counts as set, and is checked again each time.
#[derive(Clone)]
pub struct TrustedClock {
    clock: Arc<dyn Clock>,
    policy: ClockPolicy,
    is_set: bool,
    has_warned: bool,
}

impl TrustedClock {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, policy: ClockPolicy) -> Self {
        TrustedClock {
            clock,
            policy,
            is_set: policy == ClockPolicy::Trust,
            has_warned: false,
        }
    }

    /// What to do with readings from before the clock was set.
    #[must_use]
    pub fn policy(&self) -> ClockPolicy {
        self.policy
    }

    /// Whether the clock is set.
    pub fn is_set(&mut self) -> bool {
        if self.is_set {
            return true;
        }
        if self.clock.wall() < EARLIEST {
            return false;
        }
        let trust = self.clock.trust();
        self.is_set = trust == Trust::Set;
        trust != Trust::Unset
    }

    /// The timestamp of a reading that was measured just now.
    ///
    /// # Errors
    /// If the clock is not set: the monotonic time instead.
    pub fn timestamp(&mut self) -> Result<i64, MonotonicTime> {
        if self.is_set() {
            return Ok(self.clock.wall());
        }
        if !self.has_warned {
            self.has_warned = true;
            let consequence = if self.policy == ClockPolicy::Repair {
                "wait until it is"
            } else {
                "become dead letters"
            };
            tracing::warn!(
                "clock is not set: readings {consequence}\n  help: check with `timedatectl` \
                 whether an NTP service (systemd-timesyncd, chrony, ntpsec) runs and reaches a \
                 server; clock = \"trust\" uses the clock as it is"
            );
        }
        Err(MonotonicTime {
            boot: self.clock.boot(),
            since: self.clock.monotonic(),
        })
    }

    /// The epoch offset: what to add to a monotonic time of this boot to get a timestamp. `None`
    /// while the clock is not set.
    pub fn epoch_offset(&mut self) -> Option<i64> {
        self.is_set()
            .then(|| self.clock.wall() - self.clock.monotonic())
    }

    /// The id of the current boot.
    #[must_use]
    pub fn boot(&self) -> BootId {
        self.clock.boot()
    }
}

impl fmt::Debug for TrustedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedClock")
            .field("policy", &self.policy)
            .field("is_set", &self.is_set)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
