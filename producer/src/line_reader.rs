//! The line reader: bytes in, lines out, and never more than a line and a block of them in memory.

use std::io::{self, Read};
use std::ops::Range;

use stream::reading::InvalidReading;

/// The longest line that is held, in bytes. Of a longer one only so much is kept.
pub const LONGEST: usize = 64 * 1024;

/// How much is read at once, in bytes.
pub const BLOCK: usize = 64 * 1024;

/// Cuts a stream of bytes into lines, which end in LF or CR LF; the last one needs no end, unless
/// only [ended](Self::only_ended) lines count.
///
/// Nothing waits in here: [`advance`](Self::advance) finds the next line in what was
/// [filled in](Self::fill).
#[derive(Debug, Default)]
pub struct LineReader {
    held: Vec<u8>,
    /// The current line in `held`.
    line: Range<usize>,
    /// Where the next line starts in `held`.
    next: usize,
    /// Up to where `held` has no end of the next line.
    searched: usize,
    /// How much of the next line is not held because it is too long.
    dropped: u64,
    length: u64,
    number: u64,
    byte: u64,
    ended: bool,
    only_ended: bool,
}

impl LineReader {
    /// A reader for what comes behind the first `byte` bytes, which are `number` lines.
    #[must_use]
    pub fn behind(byte: u64, number: u64) -> Self {
        LineReader {
            number,
            byte,
            ..Self::default()
        }
    }

    /// Passes over a last line without an end: it may be a part of one that is still being written.
    #[must_use]
    pub fn only_ended(self, only_ended: bool) -> Self {
        LineReader { only_ended, ..self }
    }

    /// How many bytes there are behind the last line that counts, once the end was reached.
    #[must_use]
    pub fn rest(&self) -> u64 {
        (self.held.len() - self.next) as u64 + self.dropped
    }

    /// Reads one block; reading nothing means that there is no more.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn fill(&mut self, from: &mut impl Read) -> io::Result<()> {
        self.held.drain(..self.next);
        self.searched -= self.next;
        (self.line, self.next) = (0..0, 0);
        let start = self.held.len();
        self.held.resize(start + BLOCK, 0);
        let read = read_some(from, &mut self.held[start..]);
        self.held.truncate(start + read.as_ref().unwrap_or(&0));
        self.ended = read? == 0;
        Ok(())
    }

    /// Goes to the next line; false if it has not been filled in to its end.
    pub fn advance(&mut self) -> bool {
        let unsearched = &self.held[self.searched..];
        let held = self.held.len();
        let (end, next) = match unsearched.iter().position(|byte| *byte == b'\n') {
            Some(at) => (self.searched + at, self.searched + at + 1),
            None if self.ended && !self.only_ended && (self.next < held || self.dropped > 0) => {
                (held, held)
            }
            None => {
                self.held.truncate(self.next + LONGEST);
                self.searched = self.held.len();
                self.dropped += (held - self.searched) as u64;
                return false;
            }
        };
        self.length = self.dropped + (end - self.next) as u64;
        self.byte += self.length + (next - end) as u64;
        self.number = self.number.saturating_add(1);
        self.line = self.next..end.min(self.next + LONGEST);
        if self.held[self.line.clone()].ends_with(b"\r") {
            self.line.end -= 1;
        }
        (self.next, self.searched, self.dropped) = (next, next, 0);
        true
    }

    /// The current line without its end; of a line that is too long, its beginning.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        &self.held[self.line.clone()]
    }

    /// The current line if all of it is held.
    ///
    /// # Errors
    /// If it is too long.
    pub fn whole(&self) -> Result<&[u8], InvalidReading> {
        if self.length > LONGEST as u64 {
            let detail = format!(
                "the line has {} bytes; {LONGEST} are the most, and all that is kept",
                self.length
            );
            return Err(InvalidReading::new("too-long", detail));
        }
        Ok(self.line())
    }

    /// Whether there is nothing but white space in the current line.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.line().trim_ascii().is_empty()
    }

    /// The current line's number, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How many bytes there are up to the end of the current line, its line break included.
    #[must_use]
    pub fn byte(&self) -> u64 {
        self.byte
    }

    /// Whether the end was reached; there may still be lines before it.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }
}

/// One read that a signal does not disturb.
///
/// # Errors
/// If nothing can be read.
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
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
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
            assert!(reader.held.len() <= LONGEST + BLOCK);
        }
    }

    #[test]
    fn either_line_end_will_do_and_the_last_needs_none() {
        let found = lines(&mut &b"a\r\nb\n\nc"[..]);
        let expected = [(1, "a"), (2, "b"), (3, ""), (4, "c")];
        assert_eq!(
            found,
            expected.map(|(number, line)| (number, line.as_bytes().to_owned(), true))
        );
        assert!(lines(&mut io::empty()).is_empty());
    }

    #[test]
    fn of_a_line_that_is_too_long_the_beginning_is_kept_and_the_rest_passed_over() {
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
        let mut reader = LineReader::behind(5, 2);
        reader.fill(&mut &text[10_000_000 - BLOCK / 2..]).unwrap();
        assert!(reader.advance() && reader.advance());
        assert_eq!(
            (reader.number(), reader.byte()),
            (4, 5 + (BLOCK / 2) as u64 + 3)
        );
    }

    #[test]
    fn a_last_line_without_an_end_may_not_count() {
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
        fn lines_are_those_of_the_whole_text_however_it_drips(text in "[ab\r\n]{0,60}", step in 1..10_usize) {
            let found: Vec<Vec<u8>> = lines(&mut Dripping(text.as_bytes(), step)).into_iter().map(|line| line.1).collect();
            let expected: Vec<Vec<u8>> = text
                .split_inclusive('\n')
                .map(|line| line.strip_suffix('\n').unwrap_or(line))
                .map(|line| line.strip_suffix('\r').unwrap_or(line).as_bytes().to_owned())
                .collect();
            prop_assert_eq!(found, expected);
        }
    }
}
