//! The disk that a spool writes to. A trait, so that tests can let any call fail.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// What a spool writes to.
pub(super) trait Disk: Debug + Send {
    /// Creates a file for appending. The file must not exist.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Appended>>;

    /// Opens an existing file for appending.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Appended>>;

    /// Makes the names in a folder survive a power cut.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Deletes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A file that is appended to. After any error the content after the synced part is unknown: a
/// second sync may succeed although the data was never written.
pub(super) trait Appended: Debug + Send {
    /// Appends all bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Flushes everything that was written to the disk.
    fn sync(&mut self) -> io::Result<()>;

    /// Truncates the file to a length.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// The disk of this machine.
#[derive(Debug)]
pub(super) struct SystemDisk;

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Appended>> {
        Ok(Box::new(
            File::options().append(true).create_new(true).open(path)?,
        ))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Appended>> {
        Ok(Box::new(File::options().append(true).open(path)?))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

impl Appended for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}
