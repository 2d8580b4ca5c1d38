//! The guard: clears up behind a test process, however it ends.
//!
//! A test that fails clears up as it unwinds, but one that is interrupted or killed cannot. So a
//! small shell holds the other end of a pipe: when the pipe closes, the test process is gone, and
//! the shell ends what it left running and removes what it left lying about.

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

struct Guard {
    folder: PathBuf,
    pipe: Mutex<ChildStdin>,
}

fn guard() -> &'static Guard {
    static GUARD: OnceLock<Guard> = OnceLock::new();
    GUARD.get_or_init(|| {
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
            .args(["-c", SCRIPT, "guard"])
            .arg(&folder)
            // Out of reach of the Ctrl-C that ends the tests.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("every system has a shell");
        let pipe = Mutex::new(shell.stdin.take().expect("it was asked for"));
        Guard { folder, pipe }
    })
}

fn tell(verb: &str, pid: u32) {
    let mut pipe = guard()
        .pipe
        .lock()
        .expect("nothing panics while it holds this");
    writeln!(pipe, "{verb} {pid}").expect("the guard lives as long as the pipe is open");
}

/// Has a child process killed if this process ends before it [`forget`]s the child.
pub(crate) fn watch(pid: u32) {
    tell("watch", pid);
}

/// The child has been waited for: its id may soon be somebody else's.
pub(crate) fn forget(pid: u32) {
    tell("forget", pid);
}

/// A new empty folder, removed at the latest when this process ends.
pub(crate) fn folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // What every test with a broker begins with.
    clock::start();
    let folder = guard()
        .folder
        .join(format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir(&folder)
        .unwrap_or_else(|error| panic!("creating {}: {error}", folder.display()));
    folder
}

/// Removes a folder before the process ends, because brokers' data adds up.
pub(crate) fn remove(folder: &Path) {
    // What cannot be removed now, the guard removes at the end.
    let _ = std::fs::remove_dir_all(folder);
}
