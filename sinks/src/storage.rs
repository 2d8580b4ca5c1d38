//! Files to store readings in: why one cannot be opened or written.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use rivulet_core::error::{Error, Kind};

use crate::sink::Failure;

/// The help for a file that cannot be written. The rest of the disk is read-only for the units of a
/// deployment.
pub(crate) const PERMISSION: &str = "the stage's user must be allowed to read and write it, and \
                                     its folder; on a node a stage writes under /var/lib/rivulet \
                                     only";
/// The help for a full disk.
pub(crate) const FULL: &str = "free some space; the stage waits and goes on by itself";
/// The help for an error that does not pass.
pub(crate) const BROKEN: &str =
    "check the disk, then start the stage again: it resumes at its last commit";

/// The folder that a file is in.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Checks that a file exists or can be created.
///
/// # Errors
/// If the path is not a file, or its folder does not exist.
pub(crate) fn check(path: &Path) -> Result<(), Error> {
    let doing = || format!("opening {}", path.display());
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(found) if found.is_dir() => {
            Err(Error::new(doing(), "it is a directory").help("give a file in it"))
        }
        Ok(_) => {
            Err(Error::new(doing(), "it is not a regular file")
                .help("to show readings, use `console`"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound && !folder(path).is_dir() => {
            let folder = folder(path).display();
            Err(Error::new(doing(), format!("there is no folder {folder}"))
                .of_kind(Kind::Missing)
                .help(format!("create it: mkdir -p {folder}")))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::caused_by(doing(), error).help(PERMISSION)),
    }
}

/// The failure for an error of a file.
pub(crate) fn failure(doing: String, error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Failure::Passing(
            Error::new(doing, error)
                .of_kind(error.kind().into())
                .help(FULL),
        ),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Failure::Lasting(
            Error::new(doing, error)
                .of_kind(error.kind().into())
                .help(PERMISSION),
        ),
        _ => Failure::Lasting(
            Error::new(doing, error)
                .of_kind(error.kind().into())
                .help(BROKEN),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_read_only_has_its_own_help() {
        for kind in [ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied] {
            let failure = failure("opening readings.csv".to_owned(), &kind.into());
            let shown = failure.to_string();
            assert!(shown.contains("under /var/lib/rivulet only"), "{shown}");
            let Failure::Lasting(error) = failure else {
                panic!("{shown} does not pass")
            };
            assert_eq!(error.kind(), Kind::Unauthorized);
        }
    }
}
