//! Under `at-least-once` kills repeat readings, and nothing is lost, wrong or out of order.

use tests::{Chaos, Kind};

#[test]
fn nothing_is_lost_at_least_once() {
    Chaos::start("at-least-once", Kind::KILLS, 25)
        .run(&["verify", "--allow-duplicates"], "0 missing, 0 extra, 0 wrong, 0 out of order");
}
