//! The wait before undone work is tried again.

use std::time::{Duration, Instant};

use crate::log::Fault;
use crate::shutdown::Shutdown;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
/// How often a stop is looked for while waiting.
const LOOK: Duration = Duration::from_millis(50);

/// Waits longer after each failure: 50 ms, doubled up to 5 s.
#[derive(Debug)]
pub struct BackOff {
    next: Duration,
}

impl BackOff {
    /// No failure yet.
    #[must_use]
    pub fn new() -> Self {
        BackOff { next: FIRST }
    }

    /// Something succeeded: the next failure is a first one again.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }

    /// Waits.
    ///
    /// # Errors
    /// [`Fault::Stopped`] if it was asked to stop meanwhile.
    pub fn wait(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let until = Instant::now() + self.next;
        self.next = (self.next * 2).min(LONGEST);
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            shutdown.check()?;
            std::thread::sleep(left.min(LOOK));
        }
        Ok(())
    }
}

impl Default for BackOff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_to_a_limit_and_starts_again_after_a_success() {
        let (mut back_off, shutdown) = (BackOff::new(), Shutdown::new());
        shutdown.stop();
        for _ in 0..10 {
            assert!(matches!(back_off.wait(&shutdown), Err(Fault::Stopped)), "a stop ends the wait");
        }
        assert_eq!(back_off.next, LONGEST);
        back_off.reset();
        assert_eq!(back_off.next, FIRST);
    }
}
