//! Simulated sensors.

use proptest::prelude::*;

use super::*;
use crate::testing::{Got, diagnostic, open, readings, rejects};

/// The values were also computed in another language from the published algorithm.
#[test]
fn the_first_readings_never_change() {
    let found: Vec<f64> = readings(&mut *open("simulated = { daily-amplitude = 0 }"), 3)
        .iter()
        .map(|got| got.value)
        .collect();
    assert_eq!(
        found,
        [
            13.277_298_855_533_102,
            10.601_520_666_811_938,
            10.557_745_098_350_804
        ]
    );
}

#[test]
fn without_noise_and_spread_the_daily_curve_is_left() {
    let mut source = open(
        "simulated = { sensors = 1, readings = 5, base = 10, daily-amplitude = 4, noise = 0, \
         spread = 0, step-ms = 21600000, start = \"2024-02-28T00:00:00Z\" }",
    );
    assert_eq!(source.progress(), Some(Progress { done: 0, total: 5 }));
    let found = readings(&mut *source, 9);
    for (got, expected) in found.iter().zip([10.0, 14.0, 10.0, 6.0, 10.0]) {
        assert!((got.value - expected).abs() < 1e-12, "{got:?}");
        assert_eq!(
            (got.sensor.as_str(), got.unit),
            ("sensor0", Some(Unit::Celsius))
        );
    }
    assert_eq!(found[4].time - found[0].time, i64::from(DAY_MS));
    assert_eq!(source.progress(), Some(Progress { done: 5, total: 5 }));
    assert!(readings(&mut *source, 9).is_empty());
}

#[test]
fn noise_is_uniform_and_differs_by_sensor_and_seed() {
    fn draws(seed: u64, sensor: usize) -> Vec<f64> {
        let config = format!(
            "simulated = {{ sensors = 2, base = 0, spread = 0, daily-amplitude = 0, noise = 1, \
             seed = {seed} }}"
        );
        let readings = readings(&mut *open(&config), 20_000);
        let of_sensor = readings.iter().skip(sensor).step_by(2);
        of_sensor.map(|got| got.value).collect()
    }
    let one = draws(1, 0);
    assert!(one.iter().all(|draw| (-1.0..1.0).contains(draw)));
    let mean = one.iter().sum::<f64>() / one.len() as f64;
    assert!(mean.abs() < 0.03, "the mean is {mean}");
    let below = one.iter().filter(|draw| **draw < -0.8).count();
    assert!(
        (900..1_100).contains(&below),
        "{below} of 10000 are in the lowest tenth"
    );
    for other in [draws(1, 1), draws(2, 0)] {
        assert!(one.iter().zip(&other).filter(|(a, b)| a == b).count() < 3);
    }
}

#[test]
fn an_invalid_setting_is_explained() {
    for (settings, expected) in [
        ("sensors = 0", "a whole number from 1 to 100000"),
        ("readings = 0", "a whole number from 1"),
        ("step-ms = -1", "a whole number from 1"),
        ("noise = nan", "not a temperature"),
        ("base = 1e300", "not a temperature"),
        ("start = \"today\"", "write it like 2024-01-01T00:00:00Z"),
        ("start = 2024-01-01T00:00:00Z", "a time in quotes"),
        ("amplitude = 1", "unknown field"),
    ] {
        let diagnostic = diagnostic(&format!("simulated = {{ {settings} }}"));
        assert!(diagnostic.contains(expected), "{settings}: {diagnostic}");
    }
}

#[test]
fn it_does_not_resume_with_another_number_of_sensors() {
    let mut source = open("simulated = { sensors = 3 }");
    source
        .resume(&open("simulated = { sensors = 3 }").position())
        .unwrap();
    rejects(
        &mut *source,
        &open("simulated = { sensors = 4 }").position(),
        "there were 4 sensors, and now there are 3",
    );
}

proptest! {
    #[test]
    fn it_resumes_at_any_position(
        sensors in 1..5_usize, count in 1..9_usize, stop in 0..40_usize,
    ) {
        let config = format!("simulated = {{ sensors = {sensors}, readings = {count} }}");
        let whole: Vec<Got> = readings(&mut *open(&config), 99);
        prop_assert_eq!(whole.len(), sensors * count);
        let mut first = open(&config);
        let mut found = readings(&mut *first, stop);
        let mut second = open(&config);
        second.resume(&first.position()).unwrap();
        found.extend(readings(&mut *second, 99));
        prop_assert_eq!(found, whole);
    }
}
