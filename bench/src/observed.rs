//! Observes a process from outside: [`Observed`].

use std::time::Duration;

/// The unit of CPU time in `/proc`, independent of the kernel's tick rate: `USER_HZ`.
const TICKS_PER_SECOND: f64 = 100.0;

/// Why the kernel does not say it.
type Unreadable = Box<dyn std::error::Error + Send + Sync>;

/// A process that is observed, by its id.
pub(crate) struct Observed {
    pub(crate) id: u32,
}

impl Observed {
    /// The CPU time of the process with all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration, Unreadable> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id))?;
        // The name, in parentheses, may have spaces; the fields after it have none. See proc(5).
        let fields: Vec<&str> = stat
            .rsplit(") ")
            .next()
            .unwrap_or_default()
            .split(' ')
            .collect();
        let ticks = fields.get(11..13).ok_or("a short /proc/PID/stat")?;
        let ticks = ticks
            .iter()
            .map(|ticks| ticks.parse::<f64>())
            .sum::<Result<f64, _>>()?;
        Ok(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
    }

    /// The peak memory of the process so far, in megabytes.
    pub(crate) fn peak_memory(&self) -> Result<f64, Unreadable> {
        self.memory("VmHWM:")
    }

    /// The memory of the process now, in megabytes.
    #[allow(dead_code, reason = "not all programs of this package ask")]
    pub(crate) fn memory_now(&self) -> Result<f64, Unreadable> {
        self.memory("VmRSS:")
    }

    fn memory(&self, field: &str) -> Result<f64, Unreadable> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .ok_or("the process has ended")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024.0 / 1e6)
    }
}
