//! Standard input that a stop can interrupt.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use rivulet_core::error::{Error, Result};
use rivulet_core::shutdown::Shutdown;

/// How many blocks to read ahead at most.
const AHEAD: usize = 4;
/// How many bytes a block has at most.
const BLOCK: usize = 64 * 1024;
/// How long it takes at most until a stop is seen.
const TICK: Duration = Duration::from_millis(20);

/// Bytes that a thread of their own reads, because a read may never return. A read ends with an
/// error once the process was asked to stop.
#[derive(Debug)]
pub(super) struct StandardInput {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: Vec<u8>,
    /// How much of the block has been read.
    read: usize,
    shutdown: Shutdown,
}

impl StandardInput {
    /// Starts to read ahead.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub(super) fn new(from: impl Read + Send + 'static, shutdown: &Shutdown) -> Result<Self> {
        let (to, blocks) = sync_channel(AHEAD);
        thread::Builder::new()
            .name("input".into())
            .spawn(move || read_ahead(from, &to))
            .map_err(|error| Error::caused_by("starting to read standard input", error))?;
        Ok(StandardInput {
            blocks,
            block: Vec::new(),
            read: 0,
            shutdown: shutdown.clone(),
        })
    }
}

/// Sends block after block until the end, or until the receiver is gone.
fn read_ahead(mut from: impl Read, to: &SyncSender<io::Result<Vec<u8>>>) {
    let mut block = vec![0; BLOCK];
    loop {
        let read = match from.read(&mut block) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read.map(|read| block[..read].to_vec()),
        };
        let is_last = read.as_ref().map_or(true, Vec::is_empty);
        if to.send(read).is_err() || is_last {
            return;
        }
    }
}

impl Read for StandardInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.block.len() {
            match self.blocks.recv_timeout(TICK) {
                Ok(block) => (self.block, self.read) = (block?, 0),
                Err(RecvTimeoutError::Timeout) => {}
                // The thread has ended.
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
            if self.shutdown.is_stopping() {
                return Err(io::Error::other("asked to stop"));
            }
        }
        let read = (&self.block[self.read..]).read(buffer)?;
        self.read += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::pipe;
    use std::time::Instant;

    use super::*;

    #[test]
    fn it_is_read_to_its_end() {
        let text: Vec<u8> = (0..=250).cycle().take(300_000).collect();
        let mut input = StandardInput::new(io::Cursor::new(text.clone()), &Shutdown::new());
        let mut read = Vec::new();
        input.as_mut().unwrap().read_to_end(&mut read).unwrap();
        assert_eq!(read, text);
    }

    #[test]
    fn a_stop_ends_a_read_that_would_wait_for_ever() {
        // Nobody writes, and nobody closes the other end.
        let (reader, _writer) = pipe().unwrap();
        let shutdown = Shutdown::new();
        let mut input = StandardInput::new(reader, &shutdown).unwrap();
        shutdown.stop();
        let begun = Instant::now();
        assert!(input.read(&mut [0; 9]).is_err());
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
