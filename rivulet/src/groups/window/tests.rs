//! A window against what a person would compute on paper.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn key(partition: i32) -> InputPartition {
    ("t".into(), partition)
}

fn position(next: i64, end: i64) -> LagPosition {
    LagPosition {
        committed: Some(next),
        next,
        end,
        lag: GroupLag::Records(end - next),
    }
}

/// A window of looks at one partition: milliseconds, the next offset to read, and the end.
fn window(looks: &[(i64, i64, i64)]) -> LagWindow {
    let mut window = LagWindow::default();
    for (millis, next, end) in looks {
        let positions = BTreeMap::from([(key(0), position(*next, *end))]);
        window.push(Duration::from_millis(millis.unsigned_abs()), &positions);
    }
    window
}

fn shown(looks: &[(i64, i64, i64)]) -> Option<String> {
    window(looks).direction().map(|found| found.to_string())
}

#[test]
fn one_look_says_nothing_two_say_where_it_goes() {
    assert_eq!(shown(&[(0, 0, 100)]), None);
    let said = |now| shown(&[(0, 0, 100), (1000, now, 130)]).unwrap();
    assert_eq!(said(0), "grows 30/s");
    assert_eq!(said(30), "steady");
    assert_eq!(said(40), "drains in 9 s");
    assert_eq!(said(100), "steady");
}

#[test]
fn a_stage_that_keeps_up_is_steady_whatever_its_lag_is() {
    // It commits once a second, and the looks come at any moment in between.
    let lags = [10, 190, 60, 0, 150, 90, 199];
    let looks: Vec<(i64, i64, i64)> = (1..)
        .zip(lags)
        .map(|(second, lag)| (1000 * second, 200 * second - lag, 200 * second))
        .collect();
    for count in 2..=looks.len() {
        assert_eq!(shown(&looks[..count]).unwrap(), "steady", "{count}");
    }
}

#[test]
fn a_stage_that_stops_grows_and_drains_when_it_is_back() {
    let mut looks = vec![(0, 100, 100), (1000, 200, 200)];
    let mut said = Vec::new();
    for second in 2..20 {
        let (_, next, end) = looks[looks.len() - 1];
        let read = if second < 9 { 0 } else { 300 };
        looks.push((1000 * second, (next + read).min(end + 100), end + 100));
        said.push(shown(&looks).unwrap());
    }
    let mut words: Vec<&str> = said
        .iter()
        .filter_map(|said| said.split(' ').next())
        .collect();
    words.dedup();
    assert_eq!(words, ["steady", "grows", "drains", "steady"], "{said:?}");
    // Each is said as soon as it can be known.
    assert_eq!(said[2], "grows 80/s", "{said:?}");
    assert_eq!(said[7..9], ["drains in 3 s", "drains in 2 s"], "{said:?}");
}

#[test]
fn a_stage_at_its_limit_is_steady() {
    let lags = [
        50_000, 50_900, 49_700, 50_300, 49_400, 50_600, 50_200, 49_100, 50_700, 49_900, 50_400,
    ];
    let looks: Vec<(i64, i64, i64)> = (1..)
        .zip(lags)
        .map(|(second, lag)| (1000 * second, 1000 * second, 1000 * second + lag))
        .collect();
    assert_eq!(shown(&looks).unwrap(), "steady");
}

#[test]
fn counts_and_offsets_do_not_go_into_one_line() {
    let mut counted = position(0, 9_000);
    counted.lag = GroupLag::Records(4_500);
    let mut bound = position(0, 9_100);
    bound.lag = GroupLag::AtMost(9_100);
    let mut window = LagWindow::default();
    for (second, position) in (0..).zip([counted, bound]) {
        window.push(
            Duration::from_secs(second),
            &BTreeMap::from([(key(0), position)]),
        );
    }
    assert_eq!(window.direction(), Some(LagDirection::Grows(100.0)));
}

#[test]
fn a_new_partition_begins_a_new_window() {
    let mut window = window(&[(0, 0, 100), (1000, 0, 200)]);
    let positions = BTreeMap::from([(key(0), position(0, 300)), (key(1), position(0, 9000))]);
    window.push(Duration::from_secs(2), &positions);
    assert_eq!(window.direction(), None);
}

#[test]
fn times_have_few_digits() {
    let said = [1, 119, 120, 7199, 7200, 431_999, 432_000]
        .map(Duration::from_secs)
        .map(about);
    let expected = ["1 s", "119 s", "2 min", "120 min", "2 h", "120 h", "5 days"];
    assert_eq!(said, expected);
    assert_eq!(about(Duration::from_millis(400)), "1 s");
}

/// The slope by its other definition: the mean of the slopes between all pairs of points, each
/// weighted with the square of its time.
fn slope_of_pairs(points: &[(f64, f64)]) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (x, y) in points {
        for (other_x, other_y) in points {
            sum += (x - other_x) * (y - other_y);
            weights += (x - other_x) * (x - other_x);
        }
    }
    sum / weights
}

proptest! {
    #[test]
    fn a_slope_is_that_of_all_pairs(
        steps in vec((1_u32..20_000, -100_000_i32..100_000), 2..40),
    ) {
        let mut at = 0.0;
        let points: Vec<(f64, f64)> = steps
            .iter()
            .map(|(millis, lag)| {
                at += f64::from(*millis) / 1000.0;
                (at, f64::from(*lag))
            })
            .collect();
        let (found, expected) = (Line::through(&points).unwrap().slope, slope_of_pairs(&points));
        prop_assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0));
    }

    #[test]
    fn a_window_has_the_last_seconds_or_the_last_three(steps in vec(1_u64..4000, 1..60)) {
        let mut window = LagWindow::default();
        let mut times = Vec::new();
        let mut now = Duration::ZERO;
        for millis in steps {
            now += Duration::from_millis(millis);
            times.push(now);
            window.push(now, &BTreeMap::from([(key(0), position(0, 1))]));
            let count = times.len();
            let kept = times.iter().enumerate().filter(|(index, time)| {
                count - index <= LEAST || now <= **time + SPAN
            });
            let kept: Vec<Duration> = kept.map(|(_, time)| *time).collect();
            prop_assert_eq!(window.looks.iter().map(|look| look.at).collect::<Vec<_>>(), kept);
        }
    }

    #[test]
    fn a_constant_rate_is_found_exactly(
        (arrived, read) in (0_i64..5000, 0_i64..5000),
        partitions in 1..4_i32,
        looks in 2..12_i64,
    ) {
        const BACKLOG: i64 = 1_000_000;
        let mut window = LagWindow::default();
        for look in 0..looks {
            let position = position(look * read, BACKLOG + look * arrived);
            let positions = (0..partitions).map(|partition| (key(partition), position)).collect();
            window.push(Duration::from_secs(look.unsigned_abs()), &positions);
        }
        let one = (arrived - read) as f64;
        for (direction, rate) in [
            (window.direction_of(&key(0)), one),
            (window.direction(), one * f64::from(partitions)),
        ] {
            let direction = direction.unwrap();
            prop_assert!((direction.rate() - rate).abs() < 1e-6, "{:?} {}", direction, rate);
            if let LagDirection::Drains { left, .. } = direction {
                let lag = (BACKLOG + (looks - 1) * (arrived - read)) as f64;
                prop_assert!((left.as_secs_f64() * -one - lag).abs() < 1e-3);
            }
        }
    }
}
