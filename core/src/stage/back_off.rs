//! Back-off: the wait before a retry.

use std::time::Duration;

use crate::log::{Fault, Log};
use crate::shutdown::Shutdown;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);
/// How often the shutdown is checked during a wait.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Waits longer after each failure: 50 ms, doubled up to 5 s.
#[derive(Debug)]
pub struct BackOff {
    next: Duration,
}

impl BackOff {
    /// A back-off that starts with the first wait.
    #[must_use]
    pub fn new() -> Self {
        BackOff { next: FIRST }
    }

    /// Starts again with the first wait, after a success.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }

    fn after_failure(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        wait
    }

    /// Waits after a failure.
    ///
    /// # Errors
    /// [`Fault::Shutdown`] if the stage is asked to stop while it waits.
    pub fn wait(&mut self, log: &impl Log, shutdown: &Shutdown) -> Result<(), Fault> {
        let until = log.now() + self.after_failure();
        loop {
            shutdown.check()?;
            match until.checked_duration_since(log.now()) {
                None | Some(Duration::ZERO) => return Ok(()),
                Some(left) => log.sleep(left.min(CHECK_INTERVAL)),
            }
        }
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
        let mut back_off = BackOff::new();
        let waits: Vec<u128> = (0..9)
            .map(|_| back_off.after_failure().as_millis())
            .collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        back_off.reset();
        assert_eq!(back_off.after_failure(), FIRST);
    }
}
