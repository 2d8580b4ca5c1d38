//! One file of a spool: a header, then records.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Appended, Disk};
use super::record::{self, SpoolRecord, Torn};

/// The format and its version.
const MAGIC: [u8; 8] = *b"rivspl\x00\x01";

/// The size of the header in bytes: the magic, the spool's id, the number of the first counted
/// record, and a CRC-32 of these.
pub(super) const HEAD: usize = 36;

/// The id of a spool. A position names its spool, so that it is never used with another one.
pub(super) type SpoolId = [u8; 16];

/// A file of a spool.
#[derive(Debug)]
pub(super) struct Segment {
    pub path: PathBuf,
    /// The number of its first counted record.
    pub base: u64,
    /// One more than the number of its last counted record that is on disk.
    pub end: u64,
    /// The size of the synced part in bytes.
    pub bytes: u64,
}

/// The content of a file.
pub(super) struct Scan {
    pub id: SpoolId,
    pub segment: Segment,
    /// Why the record after the last complete one is not complete, and the size of the rest of the
    /// file in bytes.
    pub incomplete: Option<(Torn, u64)>,
}

/// The path of the file whose first record has the number `base`.
pub(super) fn path(folder: &Path, base: u64) -> PathBuf {
    folder.join(format!("{base:020}.spool"))
}

/// Creates a file and syncs it. After an error the file does not exist.
pub(super) fn create(
    disk: &dyn Disk,
    folder: &Path,
    id: SpoolId,
    base: u64,
) -> io::Result<(Segment, Box<dyn Appended>)> {
    let path = path(folder, base);
    let created = disk.create(&path).and_then(|mut file| {
        file.write(&head(id, base))?;
        file.sync()?;
        disk.sync_folder(folder)?;
        Ok(file)
    });
    match created {
        Ok(file) => Ok((
            Segment {
                path,
                base,
                end: base,
                bytes: HEAD as u64,
            },
            file,
        )),
        Err(error) => {
            // An earlier attempt may have left the file, too. No file of this number is in use.
            let _ = disk.remove(&path);
            Err(error)
        }
    }
}

/// Opens a file after an error and truncates it to its synced part.
pub(super) fn mend(disk: &dyn Disk, segment: &Segment) -> io::Result<Box<dyn Appended>> {
    let mut file = disk.open(&segment.path)?;
    file.truncate(segment.bytes)?;
    file.sync()?;
    Ok(file)
}

fn head(id: SpoolId, base: u64) -> Vec<u8> {
    let mut head = [&MAGIC[..], &id, &base.to_le_bytes()].concat();
    let sum = crc32fast::hash(&head);
    head.extend_from_slice(&sum.to_le_bytes());
    head
}

/// Reads a file and calls `each` with each record. `None` if the header is incomplete.
pub(super) fn scan(
    path: &Path,
    each: &mut dyn FnMut(&SpoolRecord<'_>),
) -> io::Result<Option<Scan>> {
    let content = fs::read(path)?;
    let Some((found, mut rest)) = content.split_at_checked(HEAD) else {
        return Ok(None);
    };
    let (Ok(id), Ok(base)) = (found[8..24].try_into(), found[24..32].try_into()) else {
        return Ok(None);
    };
    let base = u64::from_le_bytes(base);
    if found != head(id, base) {
        let is_valid = crc32fast::hash(&found[..HEAD - 4]).to_le_bytes() == found[HEAD - 4..];
        return if is_valid {
            Err(io::Error::other("it was written by another version"))
        } else {
            Ok(None)
        };
    }
    let mut segment = Segment {
        path: path.to_owned(),
        base,
        end: base,
        bytes: HEAD as u64,
    };
    let mut incomplete = None;
    while !rest.is_empty() && incomplete.is_none() {
        match record::decode(rest) {
            Ok((record, size)) => {
                each(&record);
                segment.end += u64::from(record.is_counted());
                segment.bytes += size as u64;
                rest = &rest[size..];
            }
            Err(cause) => incomplete = Some((cause, rest.len() as u64)),
        }
    }
    Ok(Some(Scan {
        id,
        segment,
        incomplete,
    }))
}
