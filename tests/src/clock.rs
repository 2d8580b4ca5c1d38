//! The clock: how long each test takes, for who wants to make them faster.

use std::cell::OnceCell;
use std::fs::File;
use std::io::Write;
use std::time::Instant;

/// The environment variable with the file that gets a line for each test: seconds and name.
const TIMES: &str = "RIVULET_TEST_TIMES";

/// Notes its test's name when it begins and writes the line when its thread ends, as that of each
/// test does.
struct Clock {
    test: Option<String>,
    start: Instant,
}

impl Clock {
    fn new() -> Self {
        // The main thread and those that a test starts are no tests.
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
        // One write: tests run side by side. Whoever lacks the line has the tests all the same.
        let _ = File::options()
            .append(true)
            .open(file)
            .and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// Starts the clock of the test whose thread this is, unless it runs already.
pub(crate) fn start() {
    thread_local!(static CLOCK: OnceCell<Clock> = const { OnceCell::new() });
    CLOCK.with(|clock| _ = clock.get_or_init(Clock::new));
}
