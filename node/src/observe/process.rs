//! What the kernel knows of this process, for metrics: [`ProcessUse`].
//!
//! The names of the metrics are those that [clients of Prometheus have in common][names].
//!
//! [names]: https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics

use std::fs;
use std::sync::OnceLock;

use rustix::param::{clock_ticks_per_second, page_size};

/// Computed once: the time of the boot moves with the clock, and who watches takes another time for
/// another process.
static STARTED: OnceLock<Option<f64>> = OnceLock::new();

/// What this process uses. What the kernel does not tell is `None`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ProcessUse {
    /// Processor time in seconds, of all threads.
    pub(super) cpu_seconds: Option<f64>,
    /// When it started, in seconds since the epoch.
    pub(super) started: Option<f64>,
    /// Bytes of its address space.
    pub(super) virtual_bytes: Option<u64>,
    /// Bytes in memory.
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_files: Option<u64>,
    pub(super) most_files: Option<u64>,
    /// Bytes that this user may still write to the file system of the working folder, and its size.
    pub(super) disk: Option<(u64, u64)>,
}

impl ProcessUse {
    /// What it uses now.
    pub(super) fn now() -> Self {
        let read = |file: &str| fs::read_to_string(file).ok();
        let stat = read("/proc/self/stat");
        let stat: Vec<u64> = stat.as_deref().map(numbers).unwrap_or_default();
        let ticks = clock_ticks_per_second() as f64;
        // The numbers of the fields are those of `proc(5)`; the third is the first after the name.
        let field = |number: usize| stat.get(number - 3).copied();
        let started = || {
            let booted: u64 = after(&read("/proc/stat")?, "btime ")?;
            Some(booted as f64 + field(22)? as f64 / ticks)
        };
        let limits = read("/proc/self/limits");
        let disk = rustix::fs::statvfs(".").ok();
        ProcessUse {
            cpu_seconds: field(14)
                .zip(field(15))
                .map(|(user, system)| (user + system) as f64 / ticks),
            started: *STARTED.get_or_init(started),
            virtual_bytes: field(23),
            resident_bytes: field(24).map(|pages| pages * page_size() as u64),
            open_files: fs::read_dir("/proc/self/fd")
                .ok()
                // The look itself opens one.
                .map(|files| (files.count() as u64).saturating_sub(1)),
            most_files: limits.and_then(|text| after(&text, "Max open files ")),
            disk: disk.map(|disk| (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)),
        }
    }
}

/// The fields after the program's name, which may contain anything. Those that are no numbers
/// without a sign are 0.
fn numbers(stat: &str) -> Vec<u64> {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let fields = fields.split_whitespace();
    fields.map(|field| field.parse().unwrap_or(0)).collect()
}

/// The number behind these words at the beginning of a line.
fn after(text: &str, words: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(words))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let uses = ProcessUse::now();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let age = now.unwrap().as_secs_f64() - uses.started.unwrap();
        assert!((-2.0..3600.0).contains(&age), "{uses:?}");
        assert!(uses.cpu_seconds.unwrap() < 3600.0, "{uses:?}");
        assert!(uses.resident_bytes.unwrap() > 100_000, "{uses:?}");
        assert!(uses.virtual_bytes > uses.resident_bytes, "{uses:?}");
        assert!((3..1000).contains(&uses.open_files.unwrap()), "{uses:?}");
        assert!(uses.most_files > uses.open_files, "{uses:?}");
        let (available, size) = uses.disk.unwrap();
        assert!(available <= size && size > 0, "{uses:?}");
    }

    #[test]
    fn the_name_of_a_program_is_no_field() {
        let stat = "17 (a) 9 (b) S 1 17 -1 4";
        assert_eq!(numbers(stat), [0, 1, 17, 0, 4]);
        assert_eq!(after("a 1\nbtime 7\n", "btime "), Some(7));
    }
}
