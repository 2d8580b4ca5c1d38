//! Under `at-least-once` kills cause repeated readings, and none is lost.

use rivulet_tests::{Chaos, Kind};

/// A repeated reading counts twice in the averages behind it, so their values differ, and the first
/// result may come earlier.
#[test]
fn nothing_is_lost_at_least_once() {
    Chaos::start("at-least-once", Kind::KILLS, 20).run(&["--allow-duplicates"], ": 0 missing");
}
