//! The disk as a spool writes to it: a seam for tests, in which any call may fail.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// What a spool asks of a disk to write.
pub(super) trait Disk: Debug + Send {
    /// Makes a file that must not be there yet, to be appended to.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Appended>>;

    /// Opens a file that is there, to be appended to.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Appended>>;

    /// Makes the names in a folder outlast a power cut.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Deletes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A file that is appended to. After any error nobody knows what is behind the part that was synced
/// before; a second sync may well succeed without having written it.
pub(super) trait Appended: Debug + Send {
    /// Writes all of the bytes at the end.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Sees what was written to the disk.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to a length.
    fn cut(&mut self, length: u64) -> io::Result<()>;
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

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}
