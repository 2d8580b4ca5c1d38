//! Means of measurements, with and without their number of sensors.

use proptest::prelude::*;
use rivulet_core::operator::{Operator, emitted};
use rivulet_pipeline::ComponentConfig;

use super::*;

const BY_TWO: &str = "mean-of = { sensors = 2 }";
const BY_ANY: &str = "mean-of = {}";

fn mean_of(step: &str) -> MeanOf {
    let step = ComponentConfig::parse(step).unwrap();
    step.settings::<MeanOf>().unwrap()
}

fn reading(seq: u64, time: i64, value: f64) -> Reading<'static> {
    Reading {
        sensor: "experiment".into(),
        seq,
        time,
        value,
        unit: Some(Unit::Celsius),
    }
}

/// Sequence number, time and value of what is emitted for readings with these times and values.
fn run(step: &str, readings: &[(i64, f64)]) -> Vec<(u64, i64, f64)> {
    let mean_of = mean_of(step);
    let mut states = mean_of.new_states();
    let readings = (0..).zip(readings);
    readings
        .flat_map(|(seq, (time, value))| {
            emitted(&mean_of, reading(seq, *time, *value), &mut states).unwrap()
        })
        .map(|reading| (reading.seq, reading.time, reading.value))
        .collect()
}

#[test]
fn a_mean_is_emitted_with_the_last_of_its_sensors() {
    let readings = [(1000, 20.0), (1000, 21.0), (2000, 30.0), (2000, 31.0)];
    assert_eq!(run(BY_TWO, &readings), [(1, 1000, 20.5), (3, 2000, 30.5)]);
}

#[test]
fn without_a_number_of_sensors_the_next_measurement_completes() {
    let readings = [(1000, 20.0), (1000, 21.0), (1000, 25.0), (2000, 30.0)];
    assert_eq!(run(BY_ANY, &readings), [(2, 1000, 22.0)]);
}

#[test]
fn an_incomplete_measurement_ends_where_the_next_begins() {
    let readings = [(1000, 20.0), (2000, 30.0), (2000, 31.0)];
    assert_eq!(run(BY_TWO, &readings), [(0, 1000, 20.0), (2, 2000, 30.5)]);
}

#[test]
fn a_repeated_reading_of_a_complete_measurement_has_no_effect() {
    let readings = [(1000, 20.0), (1000, 22.0), (1000, 90.0), (2000, 1.0)];
    assert_eq!(run(BY_TWO, &readings), [(1, 1000, 21.0)]);
}

#[test]
fn an_earlier_time_begins_a_measurement_too() {
    let readings = [(2000, 20.0), (1000, 5.0), (1000, 7.0), (2000, 8.0)];
    assert_eq!(run(BY_TWO, &readings), [(0, 2000, 20.0), (2, 1000, 6.0)]);
}

#[test]
fn one_sensor_makes_a_measurement_alone() {
    let readings = [(1000, 20.0), (1000, 21.0), (2000, 22.0)];
    assert_eq!(
        run("mean-of = { sensors = 1 }", &readings),
        [(0, 1000, 20.0), (2, 2000, 22.0)]
    );
}

#[test]
fn a_mean_has_the_unit_of_its_own_readings() {
    let mean_of = mean_of(BY_ANY);
    let mut states = mean_of.new_states();
    let humidity = Reading {
        unit: Some("% of saturation, in the air".parse().unwrap()),
        ..reading(0, 1000, 40.0)
    };
    let unknown = Reading {
        unit: None,
        ..reading(2, 3000, 7.0)
    };
    let mut units = Vec::new();
    for reading in [
        humidity.clone(),
        reading(1, 2000, 20.0),
        unknown,
        reading(3, 4000, 9.0),
    ] {
        let emitted = emitted(&mean_of, reading, &mut states).unwrap();
        units.extend(emitted.iter().map(|reading| reading.unit));
    }
    assert_eq!(units, [humidity.unit, Some(Unit::Celsius), None]);
}

#[test]
fn a_reading_that_overflows_the_sum_is_not_in_the_mean() {
    let mean_of = mean_of(BY_TWO);
    let mut states = mean_of.new_states();
    for (value, expected) in [
        (f64::MAX, Ok(None)),
        (f64::MAX, Err("not-finite")),
        (0.0, Ok(Some(f64::MAX / 2.0))),
    ] {
        let found = emitted(&mean_of, reading(0, 0, value), &mut states);
        let found = found.map(|emitted| emitted.first().map(|reading| reading.value));
        assert_eq!(found.map_err(|invalid| invalid.reason), expected);
    }
}

#[test]
fn an_error_shows_how_many_sensors_there_can_be() {
    for sensors in ["0", "-1", "100001"] {
        let step = ComponentConfig::parse(&format!("mean-of = {{ sensors = {sensors} }}")).unwrap();
        let error = format!("{:?}", step.settings::<MeanOf>());
        assert!(error.contains("from 1 to 100000"), "{error}");
    }
}

#[test]
fn numbers_of_something_else_are_not_restored() {
    let mean_of = mean_of(BY_TWO);
    let mut states = mean_of.new_states();
    emitted(&mean_of, reading(7, 1000, 20.0), &mut states).unwrap();
    let numbers = states[0].numbers().into_owned();
    assert!(Keyed::restore(&mean_of, &numbers).is_ok());
    let error = Keyed::restore(&mean_of, &numbers[1..]).unwrap_err();
    assert!(error.starts_with("these are not the numbers"), "{error}");
    for (index, wrong) in [
        (0, 0.5),
        (1, 1.0 / 3.0),
        (0, 1e300),
        (2, -1.0),
        (4, -1.0),
        (4, 0.0),
        (4, 1.5),
        (6, 1e15),
        (7, 3.0),
    ] {
        let mut numbers = numbers.clone();
        numbers[index] = wrong;
        let restored = Keyed::restore(&mean_of, &numbers);
        assert!(restored.is_err(), "{index} is {wrong}: {restored:?}");
    }
}

#[test]
fn a_state_says_what_it_waits_for() {
    let mean_of = mean_of(BY_TWO);
    let mut states = mean_of.new_states();
    assert_eq!(states[0].describe(), "-");
    for expected in ["sum 20.5 of 1 at 1000", "complete at 1000"] {
        emitted(&mean_of, reading(0, 1000, 20.5), &mut states).unwrap();
        assert_eq!(states[0].describe(), expected);
    }
}

#[test]
fn a_measurement_goes_on_with_another_number_of_sensors() {
    let before = StepDescription::parse("mean-of(sensors=3)").unwrap();
    let old = mean_of("mean-of = { sensors = 3 }");
    let mut states = old.new_states();
    for value in [20.0, 21.0] {
        emitted(&old, reading(0, 1000, value), &mut states).unwrap();
    }
    let numbers = states[0].numbers().into_owned();
    for (step, next, expected) in [
        (BY_TWO, 1000, Some(23.0)),
        (BY_TWO, 2000, Some(20.5)),
        ("mean-of = { sensors = 4 }", 1000, None),
        (BY_ANY, 2000, Some(20.5)),
    ] {
        let now = mean_of(step);
        let state = Keyed::migrate(&now, &before, &numbers).unwrap();
        let found = emitted(&now, reading(1, next, 28.0), &mut [Box::new(state)]).unwrap();
        let found = found.first().map(|reading| reading.value);
        assert_eq!(found, expected, "{step} at {next}");
    }
    let single = mean_of("mean-of = { sensors = 1 }");
    let error = Keyed::migrate(&single, &before, &numbers).unwrap_err();
    assert!(error.contains("has 2 readings and waits"), "{error}");
}

/// Readings of few times, some of them at the ends of what there is.
fn any_readings() -> impl Strategy<Value = Vec<Reading<'static>>> {
    let time = prop_oneof![Just(i64::MIN), Just(i64::MAX), 1..4_i64, any::<i64>()];
    let seq = prop_oneof![Just(u64::MAX), 0..9_u64, any::<u64>()];
    let unit = prop_oneof![
        Just(None),
        Just(Some(Unit::Kelvin)),
        "[a-zä]{1,15}".prop_map(|name| name.parse().ok()),
    ];
    let reading = (seq, time, -1e3..1e3_f64, unit, 1..5_usize);
    let repeated = reading.prop_map(|(seq, time, value, unit, times)| {
        let reading = Reading {
            sensor: "a".into(),
            seq,
            time,
            value,
            unit,
        };
        vec![reading; times]
    });
    proptest::collection::vec(repeated, 0..20).prop_map(|readings| readings.concat())
}

proptest! {
    #[test]
    fn it_is_the_plain_mean_of_each_run_of_one_time(
        readings in any_readings(),
        sensors in proptest::option::of(1..5_usize),
    ) {
        let step = sensors.map_or(BY_ANY.to_owned(), |sensors| {
            format!("mean-of = {{ sensors = {sensors} }}")
        });
        let mean_of = mean_of(&step);
        let mut measurements: Vec<&[Reading<'_>]> =
            readings.chunk_by(|one, other| one.time == other.time).collect();
        for measurement in &mut measurements {
            let counted = sensors.unwrap_or(usize::MAX).min(measurement.len());
            *measurement = &measurement[..counted];
        }
        measurements.pop_if(|last| sensors.is_none_or(|sensors| last.len() < sensors));
        let expected = measurements.iter().map(|measurement| {
            let last = measurement.last().unwrap().clone();
            let sum: f64 = measurement.iter().map(|reading| reading.value).sum();
            Reading { value: sum / measurement.len() as f64, ..last }
        });

        let mut states = mean_of.new_states();
        let mut found = Vec::new();
        for reading in &readings {
            found.extend(emitted(&mean_of, reading.clone(), &mut states).unwrap());
            // The next reading may be processed by another process.
            let numbers = [states[0].numbers().into_owned()];
            states = Operator::restore(&mean_of, &numbers).unwrap();
        }
        prop_assert_eq!(found, expected.collect::<Vec<_>>());
    }
}
