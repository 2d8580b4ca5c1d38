//! A cage: a hard limit on a process's memory, kept by the kernel.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A control group with a limit on memory; what passes it is killed. It is removed when it goes out
/// of scope, once its process has ended.
#[derive(Debug)]
pub struct Cage {
    folder: PathBuf,
    files: &'static Files,
}

/// What the two versions of control groups call the same things.
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

impl Cage {
    /// A cage with room for so many bytes; nothing where this user cannot make one.
    #[must_use]
    pub fn new(bytes: u64) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        VERSIONS.iter().find_map(|files| {
            let name = format!(
                "rivulet-tests-{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            );
            let cage = Cage {
                folder: Path::new(files.root).join(name),
                files,
            };
            std::fs::create_dir(&cage.folder).ok()?;
            // The kernel makes this file, if it has control groups there that limit memory.
            let mut limit = File::options()
                .write(true)
                .open(cage.folder.join(files.limit))
                .ok()?;
            limit.write_all(bytes.to_string().as_bytes()).ok()?;
            Some(cage)
        })
    }

    /// The most that its process has held, in bytes, files that it read among it.
    #[must_use]
    pub fn peak(&self) -> u64 {
        let peak = std::fs::read_to_string(self.folder.join(self.files.peak)).unwrap_or_default();
        peak.trim().parse().unwrap_or_default()
    }

    /// The same command, in the cage from its first instruction.
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

impl Drop for Cage {
    fn drop(&mut self) {
        // A group with a process in it stays; the process is killed by its own guard, a moment too
        // late.
        let _ = std::fs::remove_dir(&self.folder);
    }
}
