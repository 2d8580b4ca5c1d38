//! Sensors with a trend, a season and noise.

use std::f64::consts::{E, PI};

use proptest::prelude::*;
use rivulet_core::reading::LONGEST_SENSOR;

use super::*;
use crate::testing::{Got, diagnostic, open, readings, rejects};

/// A source without waits.
fn seasonal(settings: &str) -> Box<dyn Source> {
    open(&format!("seasonal = {{ delay-ms = 0, {settings} }}"))
}

/// What does not depend on the clock.
fn timeless(readings: &[Got]) -> Vec<(&str, u64, f64)> {
    let readings = readings.iter();
    readings
        .map(|got| (got.sensor.as_str(), got.seq, got.value))
        .collect()
}

/// The values of one sensor.
fn values(settings: &str, count: usize) -> Vec<f64> {
    let readings = readings(&mut *seasonal(settings), count).into_iter();
    readings.map(|got| got.value).collect()
}

/// A value without noise, by another way than the source: it counts the steps of a season one by
/// one, and compares whole numbers.
fn naive((baseline, slope, period, amplitude, phase): (f64, f64, u32, f64, i32), step: u32) -> f64 {
    let mut left = i64::from(step) + i64::from(phase);
    while left < 0 {
        left += i64::from(period);
    }
    while left >= i64::from(period) {
        left -= i64::from(period);
    }
    let angle = 2.0 * PI * left as f64 / f64::from(period);
    let season = if 5 * left < 2 * i64::from(period) {
        1.0 - 2.0 * (angle / 2.0).sin().powi(2)
    } else {
        1.0 / E.powf(3.0 * left as f64 / f64::from(period))
    };
    let trend = baseline + slope * f64::from(step);
    trend + amplitude * season
}

#[test]
fn the_default_sensors_are_the_eight() {
    let found = readings(&mut *open("seasonal = { seed = 7 }"), 8);
    let names: Vec<_> = found.iter().map(|got| got.sensor.as_str()).collect();
    let expected = (0..8).map(|number| format!("sensor{number}"));
    assert_eq!(names, expected.collect::<Vec<_>>());
    assert!(found.iter().all(|got| got.unit == Some(Unit::Celsius)));

    let table = [
        ((10.0, 0.1, 100, 40.0, 0), 5.0),
        ((10.0, 0.2, 50, 30.0, 0), 4.0),
        ((20.0, -0.1, 100, 50.0, 20), 6.0),
        ((10.0, 0.1, 100, 40.0, 0), 0.0),
        ((30.0, -0.1, 100, 40.0, 0), 5.0),
        ((40.0, 0.0, 200, 10.0, 0), 4.0),
        ((0.0, 0.3, 100, 20.0, 50), 6.0),
        ((-10.0, 0.1, 100, 40.0, 0), 9.0),
    ];
    let found = readings(&mut *seasonal("events = 400"), 4000);
    assert_eq!(found.len(), 8 * 400);
    for (index, (sensor, noise)) in table.into_iter().enumerate() {
        let of_sensor = found.iter().skip(index).step_by(8);
        let residuals = (0..).zip(of_sensor).map(|(step, got)| {
            assert_eq!(got.seq, u64::from(step));
            got.value - naive(sensor, step)
        });
        let squares = residuals.map(|residual| residual * residual).sum::<f64>();
        let deviation = (squares / 400.0).sqrt();
        assert!(
            (deviation - noise).abs() <= 0.15 * noise + 1e-9,
            "sensor{index} has noise of {deviation} instead of {noise}"
        );
    }
}

#[test]
fn the_season_is_a_cosine_that_becomes_an_exponential() {
    let found = readings(&mut *seasonal("events = 41"), 8 * 41);
    let sensor3 = |step: usize| found[8 * step + 3].value;
    assert_eq!(sensor3(0), 50.0);
    let below = 10.0 + 3.9 + 40.0 * (2.0 * PI * 0.39).cos();
    assert!((sensor3(39) - below).abs() < 1e-9, "{}", sensor3(39));
    let above = 10.0 + 4.0 + 40.0 * (-1.2_f64).exp();
    assert!((sensor3(40) - above).abs() < 1e-9, "{}", sensor3(40));
}

#[test]
fn a_sensor_has_default_settings() {
    let found = values("sensors = { a = { noise = 0 } }", 9);
    for (step, value) in (0..).zip(found) {
        let expected = naive((0.0, 0.0, 20, 20.0, 0), step);
        assert!((value - expected).abs() < 1e-9, "step {step}: {value}");
    }
    let noise = values("sensors = { a = {} }", 1)[0] - 20.0;
    let alone = values("sensors = { a = { amplitude = 0, noise = 1 } }", 1)[0];
    assert!((noise - alone).abs() < 1e-12, "{noise} {alone}");
}

#[test]
fn readings_are_in_the_order_of_the_table() {
    let settings = "unit = \"hPa\", start-step = 5, events = 2, sensors = { z = {}, a10 = {}, \
                    a2 = { noise = 0 } }";
    let found = readings(&mut *seasonal(settings), 99);
    let plain: Vec<_> = found
        .iter()
        .map(|got| (got.sensor.as_str(), got.seq, got.unit))
        .collect();
    let unit = Some("hPa".parse().unwrap());
    let of_step = |step| ["z", "a10", "a2"].map(|sensor| (sensor, step, unit));
    assert_eq!(plain, [of_step(5), of_step(6)].concat());
}

/// The values were also computed in another language from the published algorithms.
#[test]
fn the_first_noise_never_changes() {
    let flat = "{ amplitude = 0 }";
    let found = values(&format!("sensors = {{ a = {flat}, b = {flat} }}"), 4);
    let expected = [
        0.479_943_846_075_828,
        0.859_951_593_983_327_5,
        1.306_987_427_345_326_4,
        -1.385_091_602_762_260_6,
    ];
    for (found, expected) in found.into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-14, "{found} {expected}");
    }
}

#[test]
fn noise_is_normal_and_differs_by_sensor_and_seed() {
    fn draws(seed: u64, sensor: usize) -> Vec<f64> {
        let flat = "{ amplitude = 0 }";
        let settings =
            format!("events = 10000, seed = {seed}, sensors = {{ a = {flat}, b = {flat} }}");
        let values = values(&settings, 20_000).into_iter();
        values.skip(sensor).step_by(2).collect()
    }
    let one = draws(1, 0);
    let count = one.len() as f64;
    assert_eq!(count, 10_000.0);
    let mean = one.iter().sum::<f64>() / count;
    assert!(mean.abs() < 0.03, "the mean is {mean}");
    let variance = one.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / count;
    assert!((variance - 1.0).abs() < 0.05, "the variance is {variance}");
    let far = one.iter().filter(|draw| draw.abs() > 1.96).count();
    assert!((430..570).contains(&far), "{far} of 10000 are beyond 1.96");
    for other in [draws(1, 1), draws(2, 0)] {
        let products = one.iter().zip(&other).map(|(a, b)| a * b);
        let correlation = products.sum::<f64>() / count;
        assert!(correlation.abs() < 0.04, "they correlate: {correlation}");
    }
    assert_eq!(one, draws(1, 0));
}

#[test]
fn a_step_has_one_time_and_the_delay_is_between_steps() {
    let before = now();
    let mut source = open("seasonal = { delay-ms = 86400000, events = 2 }");
    let first = readings(&mut *source, 8);
    let time = first[0].time;
    assert!((before..=now()).contains(&time));
    assert!(first.iter().all(|got| got.time == time && got.seq == 0));
    let start = Instant::now();
    let wait = Duration::from_millis(5);
    assert!(matches!(source.next(wait).unwrap(), Next::NotYet));
    assert!((wait..Duration::from_secs(20)).contains(&start.elapsed()));

    let mut again = open("seasonal = { delay-ms = 86400000, events = 2 }");
    again.resume(&source.position()).unwrap();
    let second = readings(&mut *again, 8);
    assert!(second.len() == 8 && second.iter().all(|got| got.seq == 1));
    assert!(matches!(again.next(Duration::ZERO).unwrap(), Next::End));
    assert!(matches!(again.next(Duration::ZERO).unwrap(), Next::End));

    let mut source = open("seasonal = { delay-ms = 1, events = 3 }");
    assert_eq!(readings(&mut *source, 99).len(), 24);
}

#[test]
fn the_rest_of_a_step_has_the_time_of_its_beginning() {
    let mut source = seasonal("sensors = { a = {}, b = {}, c = {} }");
    source
        .resume(&json!({ "sensors": 3, "sensor": 1, "step": 4, "time": 1_704_067_200_000_i64 }))
        .unwrap();
    let found = readings(&mut *source, 3);
    let plain: Vec<_> = found
        .iter()
        .map(|got| (got.sensor.as_str(), got.seq))
        .collect();
    assert_eq!(plain, [("b", 4), ("c", 4), ("a", 5)]);
    let is_old = |got: &Got| got.time == 1_704_067_200_000;
    assert!(is_old(&found[0]) && is_old(&found[1]) && !is_old(&found[2]));
}

#[test]
fn the_last_word_is_the_step_to_resume_from() {
    let settings = "events = 3, sensors = { a = {}, b = {} }";
    let mut source = seasonal(settings);
    let hint = |source: &dyn Source| source.resume_hint().unwrap();
    assert_eq!(hint(&*source), "resume with start-step = 0");
    readings(&mut *source, 3);
    assert_eq!(
        hint(&*source),
        "resume with start-step = 1; 1 of the 2 readings of that step are sent"
    );
    let begun = readings(&mut *source, 1);
    assert_eq!(hint(&*source), "resume with start-step = 2");
    let rest = readings(&mut *source, 9);
    assert_eq!(hint(&*source), "resume with start-step = 3");

    let again = readings(&mut *seasonal(&format!("{settings}, start-step = 1")), 4);
    let found = [timeless(&begun), timeless(&rest)].concat();
    assert_eq!(timeless(&again)[1..], found);
}

#[test]
fn a_source_without_end_has_no_length() {
    assert_eq!(seasonal("events = \"forever\"").progress(), None);
    let mut source = seasonal("events = 2, start-step = 3");
    let progress = |done| Some(Progress { done, total: 16 });
    assert_eq!(source.progress(), progress(0));
    readings(&mut *source, 9);
    assert_eq!(source.progress(), progress(9));
    readings(&mut *source, 9);
    assert_eq!(source.progress(), progress(16));
    assert_eq!(readings(&mut *seasonal("seed = 1"), 9000).len(), 8000);
    assert_eq!(
        readings(&mut *seasonal("events = \"forever\""), 9000).len(),
        9000
    );
}

#[test]
fn an_invalid_setting_is_explained() {
    let long = "x".repeat(LONGEST_SENSOR + 1);
    let too_long = format!("sensors = {{ {long} = {{}} }}");
    for (settings, expected) in [
        ("sensors = {}", "there is no sensor"),
        ("sensors = { \"\" = {} }", "give one word"),
        ("sensors = { \"a b\" = {} }", "give one word"),
        (&*too_long, "at most 4096 bytes, and this one has 4097"),
        ("sensors = { a = { period = 0 } }", "from 1 to 1000000000"),
        ("sensors = { a = { period = -1 } }", "from 1 to 1000000000"),
        ("sensors = { a = { period = 0.5 } }", "floating point"),
        ("sensors = { a = { noise = -1 } }", "a number from 0"),
        ("sensors = { a = { noise = nan } }", "a number from 0"),
        ("sensors = { a = { slope = nan } }", "NaN is out of range"),
        (
            "sensors = { a = { baseline = inf } }",
            "inf is out of range",
        ),
        ("sensors = { a = { amplitude = 1e10 } }", "from -1000000000"),
        ("sensors = { a = { offset = 1 } }", "unknown field"),
        ("events = 0", "from 1 to 1000000000000, or \\\"forever"),
        ("events = \"twice\"", "a number or \\\"forever"),
        ("events = 1.5", "how many readings"),
        ("start-step = -1", "a whole number from 0"),
        ("delay-ms = -1", "a whole number from 0 to 86400000"),
        ("unit = \"\"", "a unit has a name"),
        ("steps = 1", "unknown field"),
    ] {
        let diagnostic = diagnostic(&format!("seasonal = {{ {settings} }}"));
        assert!(diagnostic.contains(expected), "{settings}: {diagnostic}");
    }
}

#[test]
fn every_error_of_the_sensors_is_shown() {
    let diagnostic =
        diagnostic("seasonal = { sensors = { a = { noise = -1, period = 0 }, \"\" = {} } }");
    for expected in ["standard deviation", "from 1 to", "give one word"] {
        assert!(diagnostic.contains(expected), "{expected}: {diagnostic}");
    }
}

#[test]
fn it_does_not_resume_with_other_sensors_or_a_later_start() {
    let mut source = seasonal("start-step = 5, sensors = { a = {}, b = {}, c = {} }");
    for (position, expected) in [
        (
            json!({ "sensors": 4, "sensor": 0, "step": 9 }),
            "there were 4 sensors, and now there are 3",
        ),
        (
            json!({ "sensors": 3, "sensor": 0, "step": 4 }),
            "step 4 comes next, and `start-step` is now 5",
        ),
        (json!({ "value": 1 }), "this kind of source"),
    ] {
        rejects(&mut *source, &position, expected);
    }
}

proptest! {
    #[test]
    fn without_noise_the_formula_is_left(
        baseline in -1e3..1e3_f64,
        slope in -10.0..10.0_f64,
        period in 1..300_u32,
        amplitude in -1e3..1e3_f64,
        phase in -500..500_i32,
        start in 0..2_000_u32,
    ) {
        let found = values(
            &format!(
                "start-step = {start}, sensors = {{ a = {{ baseline = {baseline:?}, slope = \
                 {slope:?}, period = {period}, amplitude = {amplitude:?}, phase = {phase}, \
                 noise = 0 }} }}"
            ),
            300,
        );
        for (step, found) in (start..).zip(found) {
            let expected = naive((baseline, slope, period, amplitude, phase), step);
            prop_assert!((found - expected).abs() < 1e-6, "step {}: {} {}", step, found, expected);
        }
    }

    #[test]
    fn it_resumes_at_any_position(
        sensors in 1..5_usize, events in 1..9_usize, start in 0..1_000_u64, stop in 0..40_usize,
    ) {
        let table: Vec<String> = (0..sensors).map(|number| format!("s{number} = {{}}")).collect();
        let table = table.join(", ");
        let settings = format!(
            "start-step = {start}, events = {events}, sensors = {{ {table} }}"
        );
        let whole = readings(&mut *seasonal(&settings), 99);
        prop_assert_eq!(whole.len(), sensors * events);
        let mut first = seasonal(&settings);
        let mut found = readings(&mut *first, stop);
        let mut second = seasonal(&settings);
        second.resume(&first.position()).unwrap();
        found.extend(readings(&mut *second, 99));
        prop_assert_eq!(timeless(&found), timeless(&whole));
        for step in found.chunks(sensors) {
            prop_assert!(step.iter().all(|got| got.time == step[0].time));
        }
    }
}
