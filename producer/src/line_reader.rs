//! The line reader: bytes in, lines out. It holds at most one line and one block in memory.

use std::io::{self, Read};
use std::ops::Range;

use rivulet_core::reading::InvalidReading;

/// The longest line in bytes. A longer line is truncated.
pub const LONGEST: usize = 64 * 1024;

/// How many bytes to read at once.
pub const BLOCK: usize = 64 * 1024;

/// Splits a stream of bytes into lines that end in LF or CR LF. The last line needs no line end,
/// unless [`only_ended`](Self::only_ended) is set.
///
/// [`advance`](Self::advance) never waits: it finds the next line in what [`fill`](Self::fill) has
/// read.
#[derive(Debug, Default)]
pub struct LineReader {
    buffer: Vec<u8>,
    /// The current line in `buffer`.
    line: Range<usize>,
    /// Where the next line starts in `buffer`.
    next: usize,
    /// `buffer` has no line end between `next` and here.
    searched: usize,
    /// How many bytes of the next line are dropped because it is too long.
    dropped: u64,
    length: u64,
    number: u64,
    byte: u64,
    ended: bool,
    only_ended: bool,
}

impl LineReader {
    /// A reader for the rest of a stream after `byte` bytes with `number` lines.
    #[must_use]
    pub fn after(byte: u64, number: u64) -> Self {
        LineReader {
            number,
            byte,
            ..Self::default()
        }
    }

    /// Skips a last line without a line end: somebody may still be writing it.
    #[must_use]
    pub fn only_ended(self, only_ended: bool) -> Self {
        LineReader { only_ended, ..self }
    }

    /// The size of the skipped last line in bytes, once the end is reached.
    #[must_use]
    pub fn rest(&self) -> u64 {
        (self.buffer.len() - self.next) as u64 + self.dropped
    }

    /// Reads one block. A read of 0 bytes is the end.
    ///
    /// # Errors
    /// If the read fails.
    pub fn fill(&mut self, from: &mut impl Read) -> io::Result<()> {
        self.buffer.drain(..self.next);
        self.searched -= self.next;
        (self.line, self.next) = (0..0, 0);
        let start = self.buffer.len();
        self.buffer.resize(start + BLOCK, 0);
        let read = read_some(from, &mut self.buffer[start..]);
        self.buffer.truncate(start + read.as_ref().unwrap_or(&0));
        self.ended = read? == 0;
        Ok(())
    }

    /// Goes to the next line. Returns `false` if it is not completely read yet.
    pub fn advance(&mut self) -> bool {
        let unsearched = &self.buffer[self.searched..];
        let length = self.buffer.len();
        let (end, next) = match unsearched.iter().position(|byte| *byte == b'\n') {
            Some(at) => (self.searched + at, self.searched + at + 1),
            None if self.ended && !self.only_ended && (self.next < length || self.dropped > 0) => {
                (length, length)
            }
            None => {
                self.buffer.truncate(self.next + LONGEST);
                self.searched = self.buffer.len();
                self.dropped += (length - self.searched) as u64;
                return false;
            }
        };
        self.length = self.dropped + (end - self.next) as u64;
        self.byte += self.length + (next - end) as u64;
        self.number = self.number.saturating_add(1);
        self.line = self.next..end.min(self.next + LONGEST);
        if self.buffer[self.line.clone()].ends_with(b"\r") {
            self.line.end -= 1;
        }
        (self.next, self.searched, self.dropped) = (next, next, 0);
        true
    }

    /// The current line without its line end, truncated to [`LONGEST`] bytes.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        &self.buffer[self.line.clone()]
    }

    /// The current line if it is not truncated.
    ///
    /// # Errors
    /// If it is too long.
    pub fn whole(&self) -> Result<&[u8], InvalidReading> {
        if self.length > LONGEST as u64 {
            let detail = format!(
                "the line has {} bytes and is truncated to {LONGEST}",
                self.length
            );
            return Err(InvalidReading::new("too-long", detail));
        }
        Ok(self.line())
    }

    /// Whether the current line consists of white space.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.line().trim_ascii().is_empty()
    }

    /// The number of the current line, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How many bytes there are up to and including the line end of the current line.
    #[must_use]
    pub fn byte(&self) -> u64 {
        self.byte
    }

    /// Whether the end was read. [`advance`](Self::advance) may still find lines.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }
}

/// Reads once, and again if a signal interrupts.
///
/// # Errors
/// If the read fails.
pub fn read_some(from: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(to) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a few bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
            let most = self.1.min(to.len());
            self.0.read(&mut to[..most])
        }
    }

    fn lines(from: &mut impl Read) -> Vec<(u64, Vec<u8>, bool)> {
        let mut reader = LineReader::default();
        let mut lines = Vec::new();
        loop {
            while reader.advance() {
                lines.push((
                    reader.number(),
                    reader.line().to_owned(),
                    reader.whole().is_ok(),
                ));
            }
            if reader.has_ended() {
                return lines;
            }
            reader.fill(from).unwrap();
            assert!(reader.buffer.len() <= LONGEST + BLOCK);
        }
    }

    #[test]
    fn lines_end_in_lf_or_cr_lf_and_the_last_needs_no_end() {
        let found = lines(&mut &b"a\r\nb\n\nc"[..]);
        let expected = [(1, "a"), (2, "b"), (3, ""), (4, "c")];
        assert_eq!(
            found,
            expected.map(|(number, line)| (number, line.as_bytes().to_owned(), true))
        );
        assert!(lines(&mut io::empty()).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_truncated() {
        let text = [
            vec![b'x'; 10_000_000],
            b"\n7\n".to_vec(),
            vec![b'y'; LONGEST + 1],
        ]
        .concat();
        let found = lines(&mut &text[..]);
        assert_eq!(found[0], (1, vec![b'x'; LONGEST], false));
        assert_eq!(found[1], (2, b"7".to_vec(), true));
        assert_eq!(found[2], (3, vec![b'y'; LONGEST], false));
        let mut reader = LineReader::after(5, 2);
        reader.fill(&mut &text[10_000_000 - BLOCK / 2..]).unwrap();
        assert!(reader.advance() && reader.advance());
        assert_eq!(
            (reader.number(), reader.byte()),
            (4, 5 + (BLOCK / 2) as u64 + 3)
        );
    }

    #[test]
    fn a_last_line_without_an_end_can_be_skipped() {
        for (text, count, rest) in [
            ("a\nb\n2.", 2, 2),
            ("a\r\n", 1, 0),
            ("a", 0, 1),
            ("a\n\r", 1, 1),
            ("", 0, 0),
        ] {
            let mut reader = LineReader::default().only_ended(true);
            let mut from = text.as_bytes();
            while !reader.has_ended() {
                reader.fill(&mut from).unwrap();
                while reader.advance() {}
            }
            assert_eq!((reader.number(), reader.rest()), (count, rest), "{text:?}");
            assert_eq!(reader.byte() + rest, text.len() as u64);
        }
        let long = vec![b'x'; 3 * LONGEST];
        let (mut reader, mut from) = (LineReader::default().only_ended(true), &long[..]);
        while !reader.has_ended() {
            reader.fill(&mut from).unwrap();
            assert!(!reader.advance());
        }
        assert_eq!(reader.rest(), long.len() as u64);
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_many_bytes_a_read_returns(
            text in "[ab\r\n]{0,60}",
            step in 1..10_usize,
        ) {
            let found = lines(&mut Slow(text.as_bytes(), step));
            let found: Vec<Vec<u8>> = found.into_iter().map(|line| line.1).collect();
            let expected: Vec<Vec<u8>> = text
                .split_inclusive('\n')
                .map(|line| line.strip_suffix('\n').unwrap_or(line))
                .map(|line| line.strip_suffix('\r').unwrap_or(line).as_bytes().to_owned())
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
