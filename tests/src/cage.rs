//! A hard limit on a process's memory, which the kernel enforces.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A control group with a memory limit. The kernel kills a process that exceeds it. The group is
/// removed on drop, if its process has ended.
#[derive(Debug)]
pub struct MemoryLimit {
    folder: PathBuf,
    files: &'static Files,
}

/// The names of the same things in the two versions of control groups.
#[derive(Debug)]
struct Files {
    root: &'static str,
    limit: &'static str,
    peak: &'static str,
}

const VERSIONS: [Files; 2] = [
    Files {
        root: "/sys/fs/cgroup",
        limit: "memory.max",
        peak: "memory.peak",
    },
    Files {
        root: "/sys/fs/cgroup/memory",
        limit: "memory.limit_in_bytes",
        peak: "memory.max_usage_in_bytes",
    },
];

impl MemoryLimit {
    /// A limit of `bytes`. `None` if this user cannot create control groups.
    #[must_use]
    pub fn new(bytes: u64) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        VERSIONS.iter().find_map(|files| {
            let name = format!(
                "rivulet-tests-{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            );
            let limit = MemoryLimit {
                folder: Path::new(files.root).join(name),
                files,
            };
            std::fs::create_dir(&limit.folder).ok()?;
            // The kernel creates this file if its control groups can limit memory.
            let mut file = File::options()
                .write(true)
                .open(limit.folder.join(files.limit))
                .ok()?;
            file.write_all(bytes.to_string().as_bytes()).ok()?;
            Some(limit)
        })
    }

    /// The peak memory of the process in bytes, including the files that it has read.
    #[must_use]
    pub fn peak(&self) -> u64 {
        let peak = std::fs::read_to_string(self.folder.join(self.files.peak)).unwrap_or_default();
        peak.trim().parse().unwrap_or_default()
    }

    /// The same command, limited from its first instruction.
    pub(crate) fn command(&self, inner: &Command) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(self.folder.join("cgroup.procs"));
        command.arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = inner.get_current_dir() {
            command.current_dir(folder);
        }
        command
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        // This fails while the process runs. The process is killed a moment later.
        let _ = std::fs::remove_dir(&self.folder);
    }
}
