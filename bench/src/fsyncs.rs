//! How often brokers ask the disk to keep what they wrote: [`FsyncCounter`].

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::outcome::Outcome;

/// Counts the fsyncs of processes that were started with its [environment](Self::environment).
pub(crate) struct FsyncCounter {
    folder: PathBuf,
    library: PathBuf,
}

impl FsyncCounter {
    /// Compiles the library that counts.
    pub(crate) fn new(folder: &Path) -> Outcome<Self> {
        let (source, library) = (folder.join("fsyncs.c"), folder.join("fsyncs.so"));
        std::fs::write(&source, include_str!("fsyncs.c"))?;
        let compiled = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status()?;
        if !compiled.success() {
            return Err("the library that counts fsyncs cannot be compiled".into());
        }
        Ok(FsyncCounter {
            folder: folder.to_owned(),
            library,
        })
    }

    /// The environment of a process that is counted.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("RIVULET_BENCH_FSYNCS", self.folder.display().to_string()),
        ]
    }

    /// The count of a process so far.
    pub(crate) fn count(&self, id: u32) -> Outcome<u64> {
        let bytes = std::fs::read(self.folder.join(id.to_string()))?;
        let bytes = bytes.try_into().map_err(|_| "a count has eight bytes")?;
        Ok(u64::from_ne_bytes(bytes))
    }
}
