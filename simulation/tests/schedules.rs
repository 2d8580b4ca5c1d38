//! Schedules: a few of the many that `make simulate` runs.

use rivulet_simulation::schedule;

#[test]
fn nothing_is_lost_repeated_or_wrong_in_a_hundred_schedules() {
    for seed in 0..100 {
        assert_eq!(schedule::run(seed, false).failure, None, "seed {seed}");
    }
}

#[test]
fn a_seed_always_gives_the_same_schedule() {
    for seed in 1000..1020 {
        assert_eq!(
            schedule::run(seed, false),
            schedule::run(seed, false),
            "seed {seed}"
        );
    }
}
