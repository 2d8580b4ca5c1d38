//! The record of the committed part of a file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use rivulet_core::error::{Error, Kind};
use serde::{Deserialize, Serialize};

use crate::offsets::SinkOffsets;
use crate::sink::Failure;
use crate::storage;

/// The length of the file and the offsets of its partitions at the last flush.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CommittedLength {
    /// In bytes.
    pub(super) length: u64,
    #[serde(rename = "positions")]
    pub(super) offsets: SinkOffsets,
}

impl CommittedLength {
    /// The path of a file's record.
    pub(super) fn path(of: &Path) -> PathBuf {
        with_suffix(of, ".position")
    }

    /// Reads the record of a file. `None` if it does not exist.
    pub(super) fn read(of: &Path) -> Result<Option<CommittedLength>, Failure> {
        let path = CommittedLength::path(of);
        let doing = || format!("reading {}", path.display());
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(storage::failure(doing(), &error)),
        };
        let help = "delete it: the offsets are then recovered from the file's lines";
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Error::caused_by(doing(), error)
                .of_kind(Kind::Corrupt)
                .help(help)
                .into()
        })
    }

    /// Replaces the record of a file. A power cut leaves the old or the new record complete.
    pub(super) fn write(&self, of: &Path) -> Result<(), Failure> {
        let path = CommittedLength::path(of);
        self.replace(of, &path)
            .map_err(|error| storage::failure(format!("writing {}", path.display()), &error))
    }

    fn replace(&self, of: &Path, path: &Path) -> io::Result<()> {
        let new = with_suffix(of, ".position.new");
        // One that is left from a power cut. A link of somebody else's is not followed.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        let mut file = File::create_new(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        // A new name is only safe once its folder is synced.
        File::open(storage::folder(of))?.sync_all()
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
