//! Cleans up after a test process, however it ends.
//!
//! A test that fails cleans up as it unwinds, but an interrupted or killed one cannot. So a shell
//! reads from a pipe. When the pipe closes, the test process is gone: the shell kills its child
//! processes and removes its files.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use crate::clock;

const SCRIPT: &str = r#"
trap '' INT TERM HUP
watched=' '
while read -r verb pid; do
    case $verb in
        watch) watched="$watched$pid " ;;
        forget) watched="${watched%% $pid *} ${watched#* $pid }" ;;
    esac
done
for pid in $watched; do kill -s KILL "$pid"; done
# What was killed just now may still be closing its files.
tries=0
until rm -rf "$1" || [ "$tries" -gt 50 ]; do
    tries=$((tries + 1))
    sleep 0.1
done
"#;

struct Cleanup {
    folder: PathBuf,
    pipe: Mutex<ChildStdin>,
}

fn cleanup() -> &'static Cleanup {
    static CLEANUP: OnceLock<Cleanup> = OnceLock::new();
    CLEANUP.get_or_init(|| {
        let folder = tempfile::Builder::new()
            .prefix("rivulet-tests-")
            .tempdir()
            .expect("a temporary folder")
            .keep();
        #[expect(
            clippy::zombie_processes,
            reason = "it outlives this process: that is what it is for"
        )]
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "cleanup"])
            .arg(&folder)
            // Ctrl-C must not reach it.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("every system has a shell");
        let pipe = Mutex::new(shell.stdin.take().expect("it is piped"));
        Cleanup { folder, pipe }
    })
}

fn tell(verb: &str, pid: u32) {
    let mut pipe = cleanup()
        .pipe
        .lock()
        .expect("nothing panics while it holds this");
    writeln!(pipe, "{verb} {pid}").expect("the shell lives as long as the pipe is open");
}

/// Kills a child process if this process ends before it calls [`forget`].
pub fn watch(pid: u32) {
    tell("watch", pid);
}

/// The child was waited for, so its process id may be reused.
pub fn forget(pid: u32) {
    tell("forget", pid);
}

/// A new empty folder, removed when this process ends at the latest.
pub(crate) fn folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // Every test with a broker creates a folder first.
    clock::start();
    let folder = cleanup()
        .folder
        .join(format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir(&folder)
        .unwrap_or_else(|error| panic!("creating {}: {error}", folder.display()));
    folder
}

/// Removes a folder early, because the brokers' data adds up.
pub(crate) fn remove(folder: &Path) {
    // The shell removes the rest at the end.
    let _ = std::fs::remove_dir_all(folder);
}
