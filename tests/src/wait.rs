//! Waiting for a condition, with a deadline instead of a fixed sleep.

use std::time::{Duration, Instant};

/// Long enough for anything that happens at all, on a busy machine.
pub const LONG: Duration = Duration::from_mins(1);

/// Calls `ask` until it returns something. `None` after `limit`.
pub fn until<T>(limit: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until `ask` returns true. Fails after [`LONG`], with `what` in the message.
pub fn until_true(what: &str, mut ask: impl FnMut() -> bool) {
    let so = until(LONG, || ask().then_some(()));
    assert!(so.is_some(), "after {LONG:?} still waiting: {what}");
}
