//! Waiting for something to come true: never a fixed sleep, always a deadline.

use std::time::{Duration, Instant};

/// Long enough for anything that is going to happen at all, on a busy machine.
pub const LONG: Duration = Duration::from_mins(1);

/// Asks again and again until there is an answer; after `limit` nothing.
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

/// Asks again and again until it is so; fails after [`LONG`], saying what it waited for.
pub fn until_so(what: &str, mut ask: impl FnMut() -> bool) {
    let so = until(LONG, || ask().then_some(()));
    assert!(so.is_some(), "waited {LONG:?} in vain: {what}");
}
