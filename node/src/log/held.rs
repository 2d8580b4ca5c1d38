//! Log lines that wait while something else has the terminal: [`HeldLog`].

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many bytes are held. Later lines are left out, because the first ones explain them.
const MOST: usize = 32 * 1024;

/// The lines, while they are held.
static HELD: Mutex<Option<Held>> = Mutex::new(None);

#[derive(Debug, Default)]
struct Held {
    lines: Vec<u8>,
    left_out: u64,
}

/// Until this is dropped, log lines are held. Then they are written.
#[derive(Debug)]
pub struct HeldLog(());

impl HeldLog {
    /// From now on log lines are held.
    #[must_use]
    pub fn new() -> Self {
        held().get_or_insert_default();
        HeldLog(())
    }
}

impl Default for HeldLog {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for HeldLog {
    fn drop(&mut self) {
        let Some(Held { lines, left_out }) = held().take() else {
            return;
        };
        // If nobody can read them, what they are about goes on.
        let mut stderr = io::stderr().lock();
        let _ = stderr.write_all(&lines);
        if left_out > 0 {
            let _ = writeln!(stderr, "{left_out} log lines were left out");
        }
    }
}

fn held() -> MutexGuard<'static, Option<Held>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard error, for log lines.
pub(super) struct LogOutput;

impl LogOutput {
    pub(super) fn new() -> Self {
        LogOutput
    }
}

impl Write for LogOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = held();
        let Some(held) = &mut *held else {
            return io::stderr().write(bytes);
        };
        if held.left_out == 0 && held.lines.len() + bytes.len() <= MOST {
            held.lines.extend_from_slice(bytes);
        } else {
            held.left_out += 1;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_and_a_flood_of_them_is_counted() {
        let log = HeldLog::new();
        let line = [b'\n'; 1000];
        for _ in 0..40 {
            LogOutput::new().write_all(&line).unwrap();
        }
        let (length, left_out) = {
            let held = held();
            let held = held.as_ref().unwrap();
            (held.lines.len(), held.left_out)
        };
        assert_eq!((length, left_out), (32_000, 8));
        // Nobody wants to see them.
        *held() = None;
        drop(log);
        assert!(held().is_none());
    }
}
