//! The file with its position record: what is kept, and how it gets there.

use std::fs::{self, TryLockError};
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};

use stream::error::Error;

use super::OutputFormat;
use super::record::CommittedLength;
use super::recover::recover;
use crate::place;
use crate::positions::SinkOffsets;
use crate::sink::Failure;

/// An open file that holds what its record says, and nothing else.
#[derive(Debug)]
pub(super) struct KeptFile {
    path: PathBuf,
    file: fs::File,
    length: u64,
    /// Behind what is in the file, and what waits to be appended.
    pub(super) positions: SinkOffsets,
}

impl KeptFile {
    /// Opens the file, which is made if it is not there (its folder is not), and cuts off what was
    /// not committed.
    ///
    /// # Errors
    /// If it cannot be opened, another process has it open, or something else wrote it.
    pub(super) fn open(path: &Path, format: OutputFormat) -> Result<KeptFile, Failure> {
        place::check(path)?;
        let failed = |doing: &'static str| {
            move |error| place::failure(format!("{doing} {}", path.display()), &error)
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
                    "another process keeps readings in it",
                );
                error
                    .help("let each sink and each instance on a machine have a file of its own")
                    .into()
            }
        })?;
        let length = file.metadata().map_err(failed("reading"))?.len();
        check_beginning(path, &file, format.beginning()).map_err(failed("reading"))??;
        let found = CommittedLength::read(path)?;
        let record = match &found {
            Some(record) if record.length <= length => record.clone(),
            // The file was moved away: a new one begins behind it.
            Some(record) if length <= format.beginning().len() as u64 => CommittedLength {
                length: 0,
                ..record.clone()
            },
            Some(record) => return Err(shorter(path, length, record.length).into()),
            None => match recover(BufReader::new(&file), format).map_err(failed("reading"))? {
                Ok(record) => record,
                Err(line) => {
                    return Err(
                        foreign(path, &format!("line {line} is not one of this sink's")).into(),
                    );
                }
            },
        };
        let mut kept = KeptFile {
            path: path.to_owned(),
            file,
            length: record.length,
            positions: record.positions.clone(),
        };
        if record.length < length {
            kept.file
                .set_len(record.length)
                .map_err(failed("writing"))?;
            let cut = length - record.length;
            tracing::info!(
                "cut {cut} bytes off the end of {}: they were not committed and come again",
                path.display()
            );
        }
        if record.length == 0 && format == OutputFormat::Csv {
            kept.append(format.beginning())?;
        } else if found.as_ref() != Some(&record) {
            kept.append(b"")?;
        }
        Ok(kept)
    }

    /// Appends whole lines and moves the record behind them. The lines are on the disk before the
    /// record is: it never speaks of what may not be there.
    ///
    /// # Errors
    /// If they cannot be written; then the file must be opened anew.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), Failure> {
        let written = self
            .file
            .write_all(lines)
            .and_then(|()| self.file.sync_data());
        written
            .map_err(|error| place::failure(format!("writing {}", self.path.display()), &error))?;
        self.length += lines.len() as u64;
        CommittedLength {
            length: self.length,
            positions: self.positions.clone(),
        }
        .write(&self.path)
    }
}

/// Whether a file begins as this sink begins one, as far as it goes.
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
        .help("something else wrote it: name another file, or move this one away")
}

fn shorter(path: &Path, length: u64, recorded: u64) -> Error {
    let record = CommittedLength::path(path);
    let cause = format!(
        "it has {length} bytes, and {} tells of {recorded}: something was taken out",
        record.display()
    );
    Error::new(format!("appending to {}", path.display()), cause).help(
        "move it away to begin a new one behind it; or delete the record to go on behind the lines \
         that are left",
    )
}
