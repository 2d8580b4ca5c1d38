//! A file to keep readings in: why it cannot be opened, or no more be written.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use stream::error::Error;

use crate::sink::Failure;

/// What the person can do about a place that a stage may not use.
pub(crate) const MAY_NOT: &str =
    "the stage's user must be allowed to read and write it, and its folder";
/// What the person can do about a disk that is full, and what the stage does.
pub(crate) const FULL: &str = "free some space there; the stage waits and goes on by itself";
/// What the person can do where no waiting helps.
pub(crate) const BROKEN: &str =
    "check the disk, then start the stage again: it goes on at its last commit";

/// The folder that a file is in.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Looks whether a file is there, or could be made.
///
/// # Errors
/// If something else is there, or no folder for it.
pub(crate) fn check(path: &Path) -> Result<(), Error> {
    let doing = || format!("opening {}", path.display());
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(found) if found.is_dir() => {
            Err(Error::new(doing(), "it is a directory")
                .help("name a file in it to keep readings in"))
        }
        Ok(_) => {
            Err(Error::new(doing(), "it is no ordinary file")
                .help("to show readings, use `console`"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound && !folder(path).is_dir() => {
            let folder = folder(path).display();
            Err(Error::new(doing(), format!("there is no folder {folder}"))
                .help(format!("create it: mkdir -p {folder}")))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::new(doing(), error).help(MAY_NOT)),
    }
}

/// The failure to write a file.
pub(crate) fn failure(doing: String, error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Failure::Passing(Error::new(doing, error).help(FULL))
        }
        ErrorKind::PermissionDenied => Failure::Lasting(Error::new(doing, error).help(MAY_NOT)),
        _ => Failure::Lasting(Error::new(doing, error).help(BROKEN)),
    }
}
