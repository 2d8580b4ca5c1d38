//! Everything that can fail does, in an order that a seed decides, and nothing is lost, doubled,
//! wrong or out of order.

use tests::{Chaos, Kind};

#[test]
fn nothing_is_lost_or_doubled_whatever_fails() {
    Chaos::start("exactly-once", Kind::ALL, 60)
        .run(&[], ": 0 missing, 0 extra, 0 wrong, 0 out of order");
}
