//! The clock: how long each test takes.

use std::cell::OnceCell;
use std::fs::File;
use std::io::Write;
use std::time::Instant;

/// The environment variable for the file that gets a line for each test: seconds and name.
const TIMES: &str = "RIVULET_TEST_TIMES";

/// Writes the line of its test when it is dropped, which is when the thread of the test ends.
struct Clock {
    test: Option<String>,
    start: Instant,
}

impl Clock {
    fn new() -> Self {
        // The main thread and the threads that a test starts are not tests.
        let test = std::thread::current()
            .name()
            .filter(|name| name.contains("::"))
            .map(str::to_owned);
        Clock {
            test,
            start: Instant::now(),
        }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let (Some(test), Ok(file)) = (&self.test, std::env::var(TIMES)) else {
            return;
        };
        let line = format!("{:7.1} s  {test}\n", self.start.elapsed().as_secs_f64());
        // One write, because tests run in parallel. An error is ignored: the times are optional.
        let _ = File::options()
            .append(true)
            .open(file)
            .and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// Starts the clock of the test that runs on this thread, unless it runs already.
pub(crate) fn start() {
    thread_local!(static CLOCK: OnceCell<Clock> = const { OnceCell::new() });
    CLOCK.with(|clock| _ = clock.get_or_init(Clock::new));
}
