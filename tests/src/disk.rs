//! A disk of its own for a process: [`Disk`].

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Process;

/// A small disk that only one process and its children see, and that is full at first.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

/// What makes it full.
const FILLER: &str = "filler";

impl Disk {
    /// A disk at this folder, which is made.
    #[must_use]
    pub fn full(folder: &Path) -> Self {
        std::fs::create_dir(folder).expect("the folder is new");
        Disk {
            folder: folder.to_owned(),
        }
    }

    /// The command with the disk, and in its folder.
    #[must_use]
    pub fn command(&self, command: &Command) -> Command {
        let script = format!(
            "mount -t tmpfs -o size=256k tmpfs \"$0\" && cd \"$0\" || exit; \
             dd if=/dev/zero of={FILLER} bs=4k 2>/dev/null; exec \"$@\""
        );
        let mut inside = Command::new("unshare");
        inside
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .arg(&self.folder)
            .arg(command.get_program())
            .args(command.get_args());
        inside
    }

    /// Makes room on the disk of a process.
    pub fn make_room(&self, process: &Process) {
        let inside = Path::new("/proc")
            .join(process.id().to_string())
            .join("root");
        let folder = self.folder.strip_prefix("/").expect("it is absolute");
        std::fs::remove_file(inside.join(folder).join(FILLER))
            .expect("the disk of the process can be reached");
    }
}
