//! Under `at-least-once` kills repeat readings, and none is lost.

use tests::{Chaos, Kind};

/// A reading that a stage repeats counts twice in the averages behind it, so their values, and the
/// first that they yield, are others.
#[test]
fn nothing_is_lost_at_least_once() {
    Chaos::start("at-least-once", Kind::KILLS, 25).run(&["--allow-duplicates"], ": 0 missing");
}
