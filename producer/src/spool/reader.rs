//! Reads a segment file, record by record.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::record::Torn;
use super::segment::Segment;
use super::{record, segment};

/// How many bytes to read from a file at once.
const CHUNK: u64 = 64 * 1024;

/// A reader of one segment file.
#[derive(Debug)]
pub(super) struct SegmentReader {
    pub(super) base: u64,
    file: File,
    /// How many bytes of the file were read.
    read: u64,
    /// Bytes that were read.
    chunk: Vec<u8>,
    /// Where in `chunk` the next record begins.
    start: usize,
    /// The number of the next record in the file.
    number: u64,
}

impl SegmentReader {
    pub(super) fn open(segment: &Segment) -> io::Result<Self> {
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

    /// The next counted record in the file's first `limit` bytes, with its number. `None` if it is
    /// incomplete or damaged.
    pub(super) fn advance(&mut self, limit: u64) -> io::Result<Option<(u64, &[u8])>> {
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
