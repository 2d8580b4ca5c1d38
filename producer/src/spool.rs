//! The spool: a bounded queue on disk for readings on their way to Kafka.
//!
//! It is a folder of files, each a head and [records](record), named after the number of its first
//! record. Records are appended to the last file and files are deleted from the first on, so that
//! nothing is ever written twice. A file on which a write or a sync failed is cut back to what is
//! known to be good before anything else is written to it. What is sent has a number that counts up
//! by one; a gap in the numbers is what was lost.

mod disk;
pub mod record;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use stream::error::{Error, Result as OrError};
use stream::pipeline::{SpoolSettings, WhenFull};

use self::disk::{Appended, Disk, SystemDisk};
use self::record::{SpoolRecord, Torn};
use self::segment::{Segment, SpoolId};
use crate::clock::BootId;
use crate::unique::unique;

/// How much is read from a file at once, in bytes.
const CHUNK: u64 = 64 * 1024;
/// The largest file, in bytes; what is lost when the oldest have to go.
const LARGEST_FILE: u64 = 4_000_000;
/// How many files a full spool has at least.
const FILES: u64 = 16;
/// How much may wait in memory to be written, in bytes.
const LARGEST_BATCH: usize = 64 * 1024;

/// A bounded queue on disk.
#[derive(Debug)]
pub struct Spool {
    disk: Box<dyn Disk>,
    folder: PathBuf,
    size: u64,
    file_size: u64,
    when_full: WhenFull,
    id: SpoolId,
    /// Holds the folder for this process.
    _lock: File,
    /// In order; the last is written to. There is always one.
    files: VecDeque<Segment>,
    /// The last file, open; nothing after an error, when it must be [mended](segment::mend) first.
    last: Option<Box<dyn Appended>>,
    /// Records that are not written yet, and how many of them are counted.
    batch: Vec<u8>,
    counted: u64,
    /// The number of the next record.
    next: u64,
    /// The number of the first record that was appended since the spool was opened.
    opened_at: u64,
    segment: Option<SegmentReader>,
    /// The number of the next record to hand out.
    at: u64,
    lost: u64,
    position: Option<String>,
    anchors: BTreeMap<BootId, i64>,
}

/// A file that is read.
#[derive(Debug)]
struct SegmentReader {
    base: u64,
    file: File,
    /// How far it was read, in bytes.
    read: u64,
    /// What was read and where in it the next record begins.
    chunk: Vec<u8>,
    start: usize,
    /// The number of the next record in the file.
    number: u64,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Popped {
    /// The record with this number.
    Record(u64),
    /// So many readings are not there any more; the record behind them has this number.
    Lost(u64, u64),
}

impl Spool {
    /// Opens the spool in a folder, which is made if it is not there, and cuts off what a power cut
    /// left unfinished. `anew` forgets all that is in it.
    ///
    /// # Errors
    /// If the folder cannot be used, another process uses it, or there is something else in it.
    pub fn open(folder: &Path, settings: &SpoolSettings, anew: bool) -> OrError<Self> {
        Self::open_on(Box::new(SystemDisk), folder, settings, anew)
    }

    fn open_on(
        disk: Box<dyn Disk>,
        folder: &Path,
        settings: &SpoolSettings,
        anew: bool,
    ) -> OrError<Self> {
        let failed = |error: io::Error| {
            Error::new(format!("opening the spool {}", folder.display()), error).help(
                "let this user read and write the folder, or give another with `spool = { path = … \
                 }`",
            )
        };
        fs::create_dir_all(folder)
            .and_then(|()| sync_parent(folder))
            .map_err(failed)?;
        let lock = File::options()
            .create(true)
            .append(true)
            .open(folder.join("lock"))
            .map_err(failed)?;
        lock.try_lock().map_err(|error| {
            Error::new(format!("opening the spool {}", folder.display()), error)
                .help("another process uses it: stop that, or give each stage a folder of its own")
        })?;
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            found.push(entry.map_err(failed)?.path());
        }
        found.retain(|path| path.extension().is_some_and(|ending| ending == "spool"));
        found.sort_unstable();
        if anew && !found.is_empty() {
            tracing::warn!(
                "forgetting the spool {} and all that is in it",
                folder.display()
            );
            for path in found.drain(..) {
                fs::remove_file(path).map_err(failed)?;
            }
        }
        let (mut position, mut anchors) = (None, BTreeMap::new());
        let mut note = |record: &SpoolRecord<'_>| match record {
            SpoolRecord::Position(json) => position = Some((*json).to_owned()),
            SpoolRecord::Anchor { boot, offset } => _ = anchors.insert(*boot, *offset),
            SpoolRecord::Reading(..) | SpoolRecord::Bad { .. } => {}
        };
        let (mut files, mut id): (VecDeque<Segment>, Option<SpoolId>) = (VecDeque::new(), None);
        for (index, path) in found.iter().enumerate() {
            let is_last = index + 1 == found.len();
            let Some(scan) = segment::scan(path, &mut note).map_err(failed)? else {
                remove_headless(path).map_err(failed)?;
                continue;
            };
            if *id.get_or_insert(scan.id) != scan.id {
                return Err(Error::new(
                    format!("opening the spool {}", folder.display()),
                    "there are files of two spools",
                )
                .help("take away those that do not belong there"));
            }
            if let Some((cause, bytes)) = scan.torn {
                let Segment { base, end, .. } = scan.segment;
                tracing::warn!(
                    "{}: cut off {bytes} bytes behind its first {} records: the next one was not \
                     written to its end ({cause})",
                    path.display(),
                    end - base
                );
                if is_last {
                    let file = File::options().write(true).open(path).map_err(failed)?;
                    file.set_len(scan.segment.bytes)
                        .and_then(|()| file.sync_all())
                        .map_err(failed)?;
                }
            }
            files.push_back(scan.segment);
        }
        let id = id.unwrap_or_else(unique);
        let last = match files.back() {
            Some(segment) => {
                let mut file = disk.open(&segment.path).map_err(failed)?;
                // A process that was killed may have written what it had no time to see to the
                // disk.
                file.sync().map_err(failed)?;
                file
            }
            None => {
                let (segment, file) = segment::create(&*disk, folder, id, 0).map_err(failed)?;
                files.push_back(segment);
                file
            }
        };
        let next = files.back().map_or(0, |segment| segment.end);
        Ok(Spool {
            disk,
            folder: folder.to_owned(),
            size: settings.size,
            file_size: (settings.size / FILES).min(LARGEST_FILE),
            when_full: settings.when_full,
            id,
            _lock: lock,
            files,
            last: Some(last),
            batch: Vec::new(),
            counted: 0,
            next,
            opened_at: next,
            segment: None,
            // Until it is known what was sent, nothing was.
            at: 0,
            lost: 0,
            position,
            anchors,
        })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A name that no other spool has.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.id))
    }

    /// The last position of the source that was noted, in JSON.
    #[must_use]
    pub fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    /// What was noted for a start of the machine.
    #[must_use]
    pub fn anchor(&self, boot: &BootId) -> Option<i64> {
        self.anchors.get(boot).copied()
    }

    /// How many records wait to be taken, those not yet written among them.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.files
            .iter()
            .map(|file| file.end.saturating_sub(self.at.max(file.base)))
            .sum::<u64>()
            + self.counted
    }

    /// How many records were lost since it was opened because it was full.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether there are records that are not on disk.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Appends a record. It can be taken once it is on disk: after [`sync`](Self::sync). If there
    /// is no room, the oldest make some, or it is left out.
    ///
    /// # Errors
    /// If the disk does not take it: then the spool does not have it, and it can be pushed again.
    pub fn push(&mut self, record: &SpoolRecord<'_>) -> OrError<()> {
        self.write(record)
            .map_err(|error| self.failed("writing", error))
    }

    /// Writes what was pushed to the disk, for good, with the source's position behind it.
    ///
    /// # Errors
    /// If the disk does not take it: then the spool holds it in memory, and it can be synced again.
    pub fn sync(&mut self, position: Option<String>) -> OrError<()> {
        if position.is_some() && position != self.position {
            self.position = position;
            self.note_position();
        }
        self.flush().map_err(|error| self.failed("writing", error))
    }

    /// The next record in the order in which they were pushed, in `to`, if one is on disk.
    ///
    /// # Errors
    /// If the disk does not give it.
    pub fn take(&mut self, to: &mut Vec<u8>) -> OrError<Option<Popped>> {
        self.read(to).map_err(|error| {
            // Nobody knows how much of a read that failed is in memory.
            self.segment = None;
            self.failed("reading", error)
        })
    }

    /// All records before this number are elsewhere: they are forgotten. Gives the number at which
    /// taking goes on, which is that unless there are not so many.
    pub fn go_on_at(&mut self, number: u64) -> u64 {
        if number > self.opened_at {
            // What came since cannot have been sent.
            tracing::warn!(
                "the spool {} ends at {} although {number} were sent: the disk did not keep what \
                 it had confirmed",
                self.folder.display(),
                self.opened_at
            );
        }
        self.at = number.min(self.opened_at);
        self.segment = None;
        self.committed(self.at);
        self.at
    }

    /// All records before this number are elsewhere and never asked for again.
    pub fn committed(&mut self, number: u64) {
        while self.files.len() > 1 && self.files[0].end <= number {
            if let Err(error) = self.disk.remove(&self.files[0].path) {
                tracing::warn!("deleting {}: {error}", self.files[0].path.display());
                return;
            }
            self.files.pop_front();
        }
    }

    fn failed(&self, doing: &str, error: io::Error) -> Error {
        Error::new(
            format!("{doing} the spool {}", self.folder.display()),
            error,
        )
        .help("look whether the disk is full or broken; the spool takes no more than its `size`")
    }

    /// What is on disk and what is about to be, in bytes.
    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum::<u64>() + self.batch.len() as u64
    }

    fn end(&mut self) -> &mut Segment {
        self.files.back_mut().expect("there is always one")
    }

    fn note_position(&mut self) {
        if let Some(json) = &self.position {
            record::encode(&SpoolRecord::Position(json), &mut self.batch);
        }
    }

    fn write(&mut self, record: &SpoolRecord<'_>) -> io::Result<()> {
        if self.batch.len() >= LARGEST_BATCH {
            self.flush()?;
        }
        let mut bytes = Vec::new();
        record::encode(record, &mut bytes);
        if let SpoolRecord::Anchor { boot, offset } = record {
            self.anchors.insert(*boot, *offset);
        }
        if record.is_counted() {
            if !self.make_room(bytes.len())? {
                self.next += 1;
                self.lose(1);
                return Ok(());
            }
            let behind_a_gap = self.has_gap();
            let (file_size, batch) = (self.file_size, self.batch.len() as u64);
            let last = self.end();
            if behind_a_gap || (last.end > last.base && last.bytes + batch >= file_size) {
                self.begin_file()?;
            }
            self.counted += 1;
            self.next += 1;
        }
        self.batch.append(&mut bytes);
        Ok(())
    }

    /// Whether records were left out since the last one.
    fn has_gap(&mut self) -> bool {
        let (counted, next) = (self.counted, self.next);
        self.end().end + counted < next
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        // Whatever fails, the file is mended before it is written to again.
        let mut last = match self.last.take() {
            Some(last) => last,
            None => segment::mend(&*self.disk, self.files.back().expect("there is always one"))?,
        };
        last.write(&self.batch)?;
        last.sync()?;
        self.last = Some(last);
        let (bytes, counted) = (self.batch.len() as u64, self.counted);
        let last = self.end();
        last.bytes += bytes;
        last.end += counted;
        self.counted = 0;
        self.batch.clear();
        Ok(())
    }

    /// Goes on in a new file, which begins with what has to be known if it is the only one.
    fn begin_file(&mut self) -> io::Result<()> {
        self.flush()?;
        let (segment, file) = segment::create(&*self.disk, &self.folder, self.id, self.next)?;
        self.files.push_back(segment);
        self.last = Some(file);
        self.note_position();
        Ok(())
    }

    /// Sees to it that a record of this size fits in; false if it cannot.
    fn make_room(&mut self, size: usize) -> io::Result<bool> {
        // The position is noted at the head of each file and behind each batch, and may grow by
        // what is in a batch.
        let notes = 2 * (self.position.as_ref().map_or(0, String::len) + self.batch.len() + size)
            + segment::HEAD;
        let needed = (size + notes) as u64;
        while self.bytes() + needed > self.size {
            if self.when_full == WhenFull::DropNewest || !self.drop_oldest()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Deletes the first file; false if there is nothing in it.
    fn drop_oldest(&mut self) -> io::Result<bool> {
        if self.files.len() == 1 {
            if self.next == self.files[0].base {
                return Ok(false);
            }
            self.begin_file()?;
        }
        match self.disk.remove(&self.files[0].path) {
            // It went in spite of an error.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        let Some(oldest) = self.files.pop_front() else {
            return Ok(false);
        };
        self.lose(oldest.end.saturating_sub(self.at.max(oldest.base)));
        Ok(true)
    }

    /// Counts what is lost; told at once, and then whenever it has doubled.
    fn lose(&mut self, count: u64) {
        let before = self.lost.checked_ilog2();
        self.lost += count;
        if self.lost.checked_ilog2() != before {
            let which = if self.when_full == WhenFull::DropOldest {
                "the oldest"
            } else {
                "the newest"
            };
            let (folder, lost, size) = (self.folder.display(), self.lost, self.size);
            tracing::warn!(
                "the spool {folder} is full at {size} bytes: {lost} readings were lost so far, \
                 {which}"
            );
        }
    }

    fn read(&mut self, to: &mut Vec<u8>) -> io::Result<Option<Popped>> {
        loop {
            let at = self.at;
            let Some(index) = self.files.iter().position(|file| file.end > at) else {
                return Ok(None);
            };
            let file = &self.files[index];
            if file.base > at {
                self.at = file.base;
                return Ok(Some(Popped::Lost(file.base - at, file.base)));
            }
            if self
                .segment
                .as_ref()
                .is_none_or(|segment| segment.base != file.base)
            {
                self.segment = Some(SegmentReader::open(file)?);
            }
            let Some(segment) = &mut self.segment else {
                return Ok(None);
            };
            match segment.advance(file.bytes)? {
                Some((number, record)) if number == at => {
                    to.clear();
                    to.extend_from_slice(record);
                    self.at += 1;
                    return Ok(Some(Popped::Record(number)));
                }
                // Sent before.
                Some(_) => {}
                None => {
                    tracing::warn!(
                        "{}: damaged: its last {} readings are lost",
                        file.path.display(),
                        file.end - at
                    );
                    if index + 1 == self.files.len() {
                        self.begin_file()?;
                    }
                    self.files[index].end = at;
                }
            }
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // The disk has failed, which was told, and what is not on it may not be written now.
        if self.last.is_none() {
            return;
        }
        // So that what was left out at the end is still known to be missing.
        let closed = if self.has_gap() {
            self.begin_file()
        } else {
            self.flush()
        };
        if let Err(error) = closed {
            tracing::error!("{}", self.failed("closing", error));
        }
    }
}

impl SegmentReader {
    fn open(segment: &Segment) -> io::Result<Self> {
        let mut file = File::open(&segment.path)?;
        let read = file.seek(SeekFrom::Start(segment::HEAD as u64))?;
        let (base, number) = (segment.base, segment.base);
        Ok(SegmentReader {
            base,
            file,
            read,
            chunk: Vec::new(),
            start: 0,
            number,
        })
    }

    /// The next counted record of the file's first `limit` bytes, with its number; nothing if it is
    /// not whole.
    fn advance(&mut self, limit: u64) -> io::Result<Option<(u64, &[u8])>> {
        loop {
            match record::decode(&self.chunk[self.start..]) {
                Ok((record, size)) => {
                    let (start, counted) = (self.start, record.is_counted());
                    self.start += size;
                    if counted {
                        self.number += 1;
                        return Ok(Some((self.number - 1, &self.chunk[start..self.start])));
                    }
                }
                Err(Torn::Short) if self.read < limit => {
                    self.chunk.drain(..self.start);
                    self.start = 0;
                    let read = (&self.file)
                        .take((limit - self.read).min(CHUNK))
                        .read_to_end(&mut self.chunk)?;
                    if read == 0 {
                        return Ok(None);
                    }
                    self.read += read as u64;
                }
                Err(_) => return Ok(None),
            }
        }
    }
}

/// Makes a new folder outlast a power cut.
fn sync_parent(folder: &Path) -> io::Result<()> {
    match folder.parent() {
        Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Deletes a file that was being made when the power was cut: nothing was written to it yet.
fn remove_headless(path: &Path) -> io::Result<()> {
    let bytes = fs::metadata(path)?.len();
    tracing::warn!(
        "{}: deleted, {bytes} bytes: not even its beginning is whole",
        path.display()
    );
    fs::remove_file(path)
}
