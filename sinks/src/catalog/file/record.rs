//! The position record: what of a file counts.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stream::error::Error;

use crate::place;
use crate::positions::SinkOffsets;
use crate::sink::Failure;

/// How long the file was, and how far each partition was kept, at the last flush.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CommittedLength {
    /// In bytes.
    pub(super) length: u64,
    pub(super) positions: SinkOffsets,
}

impl CommittedLength {
    /// Where the record of a file is.
    pub(super) fn path(of: &Path) -> PathBuf {
        beside(of, ".position")
    }

    /// Reads the record of a file; nothing if there is none.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub(super) fn read(of: &Path) -> Result<Option<CommittedLength>, Failure> {
        let path = CommittedLength::path(of);
        let doing = || format!("reading {}", path.display());
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(place::failure(doing(), &error)),
        };
        let help = "delete it: the positions are then recovered from the file's lines";
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Error::new(doing(), error).help(help).into())
    }

    /// Replaces the record of a file. After a power cut the old or the new one is there, whole;
    /// once this returns, the new one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(&self, of: &Path) -> Result<(), Failure> {
        let path = CommittedLength::path(of);
        let new = beside(of, ".position.new");
        let write = || -> io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            // A new name is safe only with its folder.
            File::open(place::folder(of))?.sync_all()
        };
        write().map_err(|error| place::failure(format!("writing {}", path.display()), &error))
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}
