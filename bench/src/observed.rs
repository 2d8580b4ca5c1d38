//! Observes a process from outside: [`Observed`].

use std::error::Error;
use std::time::Duration;

/// The unit of CPU time in `/proc`, independent of the kernel's tick rate: `USER_HZ`.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that is observed, by its id.
pub(crate) struct Observed {
    pub(crate) id: u32,
}

impl Observed {
    /// The CPU time of the process with all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration, Box<dyn Error>> {
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
    pub(crate) fn peak_memory(&self) -> Result<f64, Box<dyn Error>> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .ok_or("no VmHWM")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024.0 / 1e6)
    }
}
