//! The file with its record of length and offsets.

use std::fs::{self, TryLockError};
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};

use rivulet_core::error::{Error, Kind};

use super::OutputFormat;
use super::record::CommittedLength;
use super::recover::recover;
use crate::offsets::SinkOffsets;
use crate::sink::Failure;
use crate::storage;

/// An open file with exactly the length in its record.
#[derive(Debug)]
pub(super) struct OutputFile {
    path: PathBuf,
    file: fs::File,
    length: u64,
    /// The offsets after the lines in the file and those that wait to be appended.
    pub(super) offsets: SinkOffsets,
}

impl OutputFile {
    /// Opens the file, creates it if it does not exist, and truncates it to what was committed.
    /// Does not create its folder.
    pub(super) fn open(path: &Path, format: OutputFormat) -> Result<OutputFile, Failure> {
        storage::check(path)?;
        let failed = |doing: &'static str| {
            move |error| storage::failure(format!("{doing} {}", path.display()), &error)
        };
        let file = fs::OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)
            .map_err(failed("opening"))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => failed("locking")(error),
            TryLockError::WouldBlock => {
                let error = Error::new(
                    format!("opening {}", path.display()),
                    "another process stores readings in it",
                )
                .of_kind(Kind::Conflict);
                error
                    .help("give each sink and each instance on a machine its own file")
                    .into()
            }
        })?;
        let length = file.metadata().map_err(failed("reading"))?.len();
        check_beginning(path, &file, format.beginning()).map_err(failed("reading"))??;
        let found = CommittedLength::read(path)?;
        let record = match &found {
            Some(record) if record.length <= length => record.clone(),
            // The file was moved away. A new one continues at its offsets.
            Some(record) if length <= format.beginning().len() as u64 => CommittedLength {
                length: 0,
                ..record.clone()
            },
            Some(record) => return Err(shorter(path, length, record.length).into()),
            None => match recover(BufReader::new(&file), format).map_err(failed("reading"))? {
                Ok(record) => record,
                Err(line) => {
                    let cause = format!("line {line} was not written by this sink");
                    return Err(foreign(path, &cause).into());
                }
            },
        };
        let mut output = OutputFile {
            path: path.to_owned(),
            file,
            length: record.length,
            offsets: record.offsets.clone(),
        };
        if record.length < length {
            output
                .file
                .set_len(record.length)
                .map_err(failed("writing"))?;
            tracing::info!(
                file = %path.display(),
                bytes = length - record.length,
                "truncated readings that were not committed: they come again"
            );
        }
        if record.length == 0 && format == OutputFormat::Csv {
            output.append(format.beginning())?;
        } else if found.as_ref() != Some(&record) {
            output.append(b"")?;
        }
        Ok(output)
    }

    /// From now on every write fails for lack of space.
    #[cfg(test)]
    pub(super) fn fill_disk(&mut self) {
        let full = fs::OpenOptions::new().append(true).open("/dev/full");
        self.file = full.expect("Linux has it");
    }

    /// Appends complete lines, syncs them, and then updates the record. The record never includes
    /// lines that may not be on disk. After an error the file must be opened again.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), Failure> {
        let written = self
            .file
            .write_all(lines)
            .and_then(|()| self.file.sync_data());
        written.map_err(|error| {
            storage::failure(format!("writing {}", self.path.display()), &error)
        })?;
        self.length += lines.len() as u64;
        CommittedLength {
            length: self.length,
            offsets: self.offsets.clone(),
        }
        .write(&self.path)
    }
}

/// Checks that a file, which may be shorter, begins as this sink's files do.
fn check_beginning(
    path: &Path,
    mut file: &fs::File,
    beginning: &[u8],
) -> io::Result<Result<(), Error>> {
    let mut found = Vec::new();
    file.take(beginning.len() as u64).read_to_end(&mut found)?;
    file.rewind()?;
    if beginning.starts_with(&found) {
        return Ok(Ok(()));
    }
    Ok(Err(foreign(
        path,
        &format!(
            "it does not begin with {}",
            String::from_utf8_lossy(beginning).trim_end()
        ),
    )))
}

fn foreign(path: &Path, cause: &str) -> Error {
    Error::new(format!("appending to {}", path.display()), cause)
        .of_kind(Kind::Conflict)
        .help("something else wrote it: give another file, or move this one away")
}

fn shorter(path: &Path, length: u64, recorded: u64) -> Error {
    let record = CommittedLength::path(path);
    let cause = format!(
        "it has {length} bytes, and {recorded} according to {}: something was removed from it",
        record.display()
    );
    Error::new(format!("appending to {}", path.display()), cause)
        .of_kind(Kind::Corrupt)
        .help(
            "move it away to begin a new file at the recorded offsets, or delete the record to \
         continue after the lines that are left",
        )
}
