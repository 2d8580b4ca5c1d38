//! Everything that can fail does, in the order of a seed, and no reading is lost, duplicated, wrong
//! or out of order.

use rivulet_tests::{Chaos, Kind};

#[test]
fn nothing_is_lost_or_duplicated_whatever_fails() {
    Chaos::start("exactly-once", Kind::ALL, 40)
        .run(&[], ": 0 missing, 0 extra, 0 wrong, 0 out of order");
}
