//! The spool: a bounded queue on disk for readings on their way to Kafka.
//!
//! A spool is a folder of segment files. Each has a header and [records](record), and is named
//! after the number of its first record. Records are appended to the last file, and the oldest file
//! is deleted first. Nothing is ever rewritten. After a failed write or sync the file is truncated
//! to the part that was synced before, and only then written to again. Records to send are numbered
//! consecutively; a gap in the numbers means lost records.

mod disk;
mod open;
mod reader;
pub mod record;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rivulet_core::error::{Error, Result as OrError};
use rivulet_pipeline::WhenFull;

use self::disk::{Appended, Disk};
use self::reader::SegmentReader;
use self::record::SpoolRecord;
use self::segment::{Segment, SpoolId};
use crate::clock::BootId;

/// How many bytes may wait in memory to be written.
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
    /// Locks the folder for this process.
    _lock: File,
    /// In order. The last is written to. There is always one.
    files: VecDeque<Segment>,
    /// The last file, open. `None` after an error: then it must be [mended](segment::mend) first.
    last: Option<Box<dyn Appended>>,
    /// Records that are not written yet.
    batch: Vec<u8>,
    /// How many records in `batch` are counted.
    counted: u64,
    /// The number of the next record to push.
    next_push: u64,
    /// The number of the first record that was pushed since the spool was opened.
    opened_at: u64,
    segment: Option<SegmentReader>,
    /// The number of the next record to pop.
    next_pop: u64,
    dropped: u64,
    position: Option<String>,
    epoch_offsets: BTreeMap<BootId, i64>,
}

/// What [`Spool::pop`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Popped {
    /// The record with this number.
    Record(u64),
    /// Lost records: how many, and the number of the record after them.
    Lost(u64, u64),
}

impl Spool {
    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The spool's unique id.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.id))
    }

    /// The source's last position in the spool, in JSON.
    #[must_use]
    pub fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    /// The epoch offset of a boot. `None` if the clock was never set during that boot.
    #[must_use]
    pub fn epoch_offset(&self, boot: &BootId) -> Option<i64> {
        self.epoch_offsets.get(boot).copied()
    }

    /// How many records wait to be popped, including those that are not written yet.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.files
            .iter()
            .map(|file| file.end.saturating_sub(self.next_pop.max(file.base)))
            .sum::<u64>()
            + self.counted
    }

    /// How many records were dropped since the spool was opened because it was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether there are records that are not on disk.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Appends a record. It can be popped after [`sync`](Self::sync). If the spool is full, the
    /// oldest file or this record is dropped.
    ///
    /// # Errors
    /// If the disk fails. Then the spool does not have the record, and it can be pushed again.
    pub fn push(&mut self, record: &SpoolRecord<'_>) -> OrError<()> {
        self.write(record)
            .map_err(|error| self.failed("writing", error))
    }

    /// Writes and syncs all records that were pushed, and the source's position after them.
    ///
    /// # Errors
    /// If the disk fails. Then the spool holds the records in memory, and can be synced again.
    pub fn sync(&mut self, position: Option<String>) -> OrError<()> {
        if position.is_some() && position != self.position {
            self.position = position;
            self.push_position();
        }
        self.flush().map_err(|error| self.failed("writing", error))
    }

    /// Copies the next record to `to`, in the order of the pushes. `None` if no further record is
    /// on disk.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn pop(&mut self, to: &mut Vec<u8>) -> OrError<Option<Popped>> {
        self.read(to).map_err(|error| {
            // An unknown part of the file is in memory.
            self.segment = None;
            self.failed("reading", error)
        })
    }

    /// Continues with the record `number`: all records before it are committed in Kafka. Returns
    /// the number of the next record, which is lower if the spool has lost its end.
    pub fn seek(&mut self, number: u64) -> u64 {
        if number > self.opened_at {
            // Records that were pushed since the spool was opened cannot have been sent.
            tracing::warn!(
                spool = %self.folder.display(),
                end = self.opened_at,
                sent = number,
                "spool ends before the last record that was sent: the disk lost synced records"
            );
        }
        self.next_pop = number.min(self.opened_at);
        self.segment = None;
        self.committed(self.next_pop);
        self.next_pop
    }

    /// All records before `number` are committed in Kafka. Files with nothing else are deleted.
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
        Error::caused_by(
            format!("{doing} the spool {}", self.folder.display()),
            error,
        )
        .help("check whether the disk is full or broken; the spool never exceeds its `size`")
    }

    /// The size of the spool in bytes, including what is not written yet.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum::<u64>() + self.batch.len() as u64
    }

    fn end(&mut self) -> &mut Segment {
        self.files.back_mut().expect("there is always one")
    }

    fn push_position(&mut self) {
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
            self.epoch_offsets.insert(*boot, *offset);
        }
        if record.is_counted() {
            if !self.free_space(bytes.len())? {
                self.next_push += 1;
                self.count_dropped(1);
                return Ok(());
            }
            let has_gap = self.has_gap();
            let (file_size, batch) = (self.file_size, self.batch.len() as u64);
            let last = self.end();
            if has_gap || (last.end > last.base && last.bytes + batch >= file_size) {
                self.begin_file()?;
            }
            self.counted += 1;
            self.next_push += 1;
        }
        self.batch.append(&mut bytes);
        Ok(())
    }

    /// Whether records were dropped after the last one in the spool.
    fn has_gap(&mut self) -> bool {
        let (counted, next) = (self.counted, self.next_push);
        self.end().end + counted < next
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        // If anything fails, `last` stays `None` and the next call mends the file first.
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

    /// Begins a new file. It starts with the position, because the files before it may be deleted.
    fn begin_file(&mut self) -> io::Result<()> {
        self.flush()?;
        let (segment, file) = segment::create(&*self.disk, &self.folder, self.id, self.next_push)?;
        self.files.push_back(segment);
        self.last = Some(file);
        self.push_position();
        Ok(())
    }

    /// Frees space for a record of `size` bytes. Returns `false` if it does not fit.
    fn free_space(&mut self, size: usize) -> io::Result<bool> {
        // The position is written at the start of each file and after each batch. It may grow by
        // the size of a batch.
        let positions = 2
            * (self.position.as_ref().map_or(0, String::len) + self.batch.len() + size)
            + segment::HEAD;
        let needed = (size + positions) as u64;
        while self.bytes() + needed > self.size {
            if self.when_full == WhenFull::DropNewest || !self.drop_oldest()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Deletes the first file. Returns `false` if the spool is empty.
    fn drop_oldest(&mut self) -> io::Result<bool> {
        if self.files.len() == 1 {
            if self.next_push == self.files[0].base {
                return Ok(false);
            }
            self.begin_file()?;
        }
        match self.disk.remove(&self.files[0].path) {
            // An earlier attempt has deleted it, although it returned an error.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        let Some(oldest) = self.files.pop_front() else {
            return Ok(false);
        };
        self.count_dropped(oldest.end.saturating_sub(self.next_pop.max(oldest.base)));
        Ok(true)
    }

    /// Counts dropped records. Logs the first ones, and then each time the count has doubled.
    fn count_dropped(&mut self, count: u64) {
        let before = self.dropped.checked_ilog2();
        self.dropped += count;
        if self.dropped.checked_ilog2() != before {
            let which = if self.when_full == WhenFull::DropOldest {
                "oldest"
            } else {
                "newest"
            };
            tracing::warn!(
                spool = %self.folder.display(),
                size = self.size,
                dropped = self.dropped,
                "spool is full: dropping the {which} readings"
            );
        }
    }

    fn read(&mut self, to: &mut Vec<u8>) -> io::Result<Option<Popped>> {
        loop {
            let next = self.next_pop;
            let Some(index) = self.files.iter().position(|file| file.end > next) else {
                return Ok(None);
            };
            let file = &self.files[index];
            if file.base > next {
                self.next_pop = file.base;
                return Ok(Some(Popped::Lost(file.base - next, file.base)));
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
                Some((number, record)) if number == next => {
                    to.clear();
                    to.extend_from_slice(record);
                    self.next_pop += 1;
                    return Ok(Some(Popped::Record(number)));
                }
                // Sent before.
                Some(_) => {}
                None => {
                    tracing::warn!(
                        file = %file.path.display(),
                        readings = file.end - next,
                        "spool file is damaged: the rest of its readings is lost"
                    );
                    if index + 1 == self.files.len() {
                        self.begin_file()?;
                    }
                    self.files[index].end = next;
                }
            }
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // The disk has failed, and that error was returned. Do not write to a file that is not
        // mended.
        if self.last.is_none() {
            return;
        }
        // A new file records the numbers of records that were dropped at the end.
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
