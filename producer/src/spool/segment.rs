//! One file of a spool: a head and then record after record.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{Appended, Disk};
use super::record::{self, SpoolRecord, Torn};

/// Names the format and its version.
const MAGIC: [u8; 8] = *b"rivspl\x00\x01";

/// The head: the magic, the spool's id, the number of the first counted record, and a CRC-32 of it
/// all.
pub(super) const HEAD: usize = 36;

/// A spool's own name, so that a position is not taken for one of another spool.
pub(super) type SpoolId = [u8; 16];

/// A file of a spool.
#[derive(Debug)]
pub(super) struct Segment {
    pub path: PathBuf,
    /// The number of its first counted record.
    pub base: u64,
    /// One more than the number of its last counted record that is on disk.
    pub end: u64,
    /// How much of it is good and on disk, in bytes.
    pub bytes: u64,
}

/// What is in a file.
pub(super) struct Scan {
    pub id: SpoolId,
    pub segment: Segment,
    /// What is wrong with the record behind the last good one, and how many bytes there are from it
    /// on.
    pub torn: Option<(Torn, u64)>,
}

/// The path of the file that begins with a record.
pub(super) fn path(folder: &Path, base: u64) -> PathBuf {
    folder.join(format!("{base:020}.spool"))
}

/// Makes a new file, which is on disk when this returns; gives it open at its end. After an error
/// there is none.
pub(super) fn create(
    disk: &dyn Disk,
    folder: &Path,
    id: SpoolId,
    base: u64,
) -> io::Result<(Segment, Box<dyn Appended>)> {
    let path = path(folder, base);
    let made = disk.create(&path).and_then(|mut file| {
        file.write(&head(id, base))?;
        file.sync()?;
        disk.sync_folder(folder)?;
        Ok(file)
    });
    match made {
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
            // An earlier attempt may have left it, too: no file of this number is in use.
            let _ = disk.remove(&path);
            Err(error)
        }
    }
}

/// Opens a file of which nobody knows what is behind the good part: that is cut off.
pub(super) fn mend(disk: &dyn Disk, segment: &Segment) -> io::Result<Box<dyn Appended>> {
    let mut file = disk.open(&segment.path)?;
    file.cut(segment.bytes)?;
    file.sync()?;
    Ok(file)
}

fn head(id: SpoolId, base: u64) -> Vec<u8> {
    let mut head = [&MAGIC[..], &id, &base.to_le_bytes()].concat();
    let sum = crc32fast::hash(&head);
    head.extend_from_slice(&sum.to_le_bytes());
    head
}

/// Reads a file, giving each record to `each`; nothing if even its head is not whole.
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
        let whole = crc32fast::hash(&found[..HEAD - 4]).to_le_bytes() == found[HEAD - 4..];
        return if whole {
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
    let mut torn = None;
    while !rest.is_empty() && torn.is_none() {
        match record::decode(rest) {
            Ok((record, size)) => {
                each(&record);
                segment.end += u64::from(record.is_counted());
                segment.bytes += size as u64;
                rest = &rest[size..];
            }
            Err(cause) => torn = Some((cause, rest.len() as u64)),
        }
    }
    Ok(Some(Scan { id, segment, torn }))
}
