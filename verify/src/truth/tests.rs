//! The worked example, and streams that have no order.

use rivulet_core::unit::Unit;

use super::*;
use crate::steps::Step;
use crate::stream::{Entry, Series};

pub(crate) const CELSIUS: [f64; 14] = [
    7.0, 6.0, 9.0, 14.0, 12.0, 17.0, 9.0, 13.0, 11.0, 12.0, 13.0, 16.0, 16.0, 19.0,
];

const CONVERT: Step = Step::Convert {
    from: Unit::Celsius,
    to: Unit::Fahrenheit,
};
const EWMA: Step = Step::Ewma {
    alpha: 0.5,
    emit_seed: false,
};
const AVERAGE: Step = Step::Average { window: 3 };

/// A stream of one sensor in degrees Celsius, numbered from 0.
pub(crate) fn stream(sensors: &mut Sensors, sensor: &str, values: &[f64]) -> Stream {
    let entries = (0..).zip(values).map(|(seq, &value)| Entry {
        seq,
        time: 0,
        value,
        unit: Some(Unit::Celsius),
    });
    let series = Series {
        entries: entries.collect(),
        ..Series::default()
    };
    Stream {
        series: [(sensors.id(sensor), series)].into(),
        ..Stream::new()
    }
}

fn process(
    steps: &[Step],
    inputs: &[(&str, &Stream)],
    sensors: &Sensors,
) -> Result<Output, String> {
    super::process(
        &StageHistory::new(steps.to_vec(), Vec::new()),
        inputs,
        &Stream::new(),
        sensors,
    )
}

fn values(output: &Result<Output, String>) -> Vec<f64> {
    let stream = &output.as_ref().unwrap().stream;
    stream
        .series
        .values()
        .flat_map(|series| series.entries.iter().map(|entry| entry.value))
        .collect()
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= 1e-9 * expected.abs(),
            "{found} is not {expected}"
        );
    }
}

#[test]
fn the_results_are_those_of_the_worked_example() {
    let mut sensors = Sensors::default();
    let input = stream(&mut sensors, "", &CELSIUS);
    let kept = process(&[CONVERT, Step::Above(50.0)], &[("c", &input)], &sensors);
    assert_close(
        &values(&kept),
        &[57.2, 53.6, 62.6, 55.4, 51.8, 53.6, 55.4, 60.8, 60.8, 66.2],
    );
    let kept = kept.unwrap().stream;
    let ewma = process(&[EWMA], &[("kept", &kept)], &sensors);
    assert_close(
        &values(&ewma),
        &[
            55.4, 59.0, 57.2, 54.5, 54.05, 54.725, 57.7625, 59.28125, 62.740_625,
        ],
    );
    let average = process(&[AVERAGE], &[("kept", &kept)], &sensors);
    assert_close(
        &values(&average),
        &[57.8, 57.2, 56.6, 53.6, 53.6, 56.6, 59.0, 62.6],
    );
    let fused = process(
        &[CONVERT, Step::Above(50.0), EWMA],
        &[("c", &input)],
        &sensors,
    );
    assert_eq!(fused, ewma, "one stage or several: the same results");
}

#[test]
fn sensors_do_not_mix() {
    let mut sensors = Sensors::default();
    let mut input = stream(&mut sensors, "a", &[1.0, 3.0]);
    input.join(stream(&mut sensors, "b", &[10.0, 30.0]));
    let output = process(&[EWMA], &[("c", &input)], &sensors);
    assert_close(&values(&output), &[2.0, 20.0]);
    let (a, b) = (
        stream(&mut sensors, "a", &[1.0, 3.0]),
        stream(&mut sensors, "b", &[10.0, 30.0]),
    );
    assert_eq!(
        process(&[EWMA], &[("c", &a), ("d", &b)], &sensors),
        output,
        "nor do those of two topics"
    );
}

#[test]
fn state_over_an_undefined_order_is_not_verifiable() {
    let mut sensors = Sensors::default();
    let input = stream(&mut sensors, "a", &[1.0, 3.0]);
    let two = [("c", &input), ("d", &input)];
    let reason = process(&[EWMA], &two, &sensors).unwrap_err();
    assert!(
        reason.contains("sensor \"a\" between its inputs"),
        "{reason}"
    );
    let joined = process(&[CONVERT], &two, &sensors).unwrap().stream;
    assert_eq!(
        (joined.len(), joined.series[&0].order),
        (4, Order::Undefined)
    );
    let reason = process(&[AVERAGE], &[("joined", &joined)], &sensors).unwrap_err();
    assert!(reason.contains("in `joined` is not defined"), "{reason}");
}

#[test]
fn bare_numbers_in_several_partitions_have_no_order() {
    let mut sensors = Sensors::default();
    let input = stream(&mut sensors, "a", &[1.0, 3.0]);
    let one = input.clone().into_numbers(1, None, &mut sensors);
    let several = input.clone().into_numbers(2, None, &mut sensors);
    let empty = sensors.id("");
    assert_eq!(
        (one.series[&empty].order, several.series[&empty].order),
        (Order::Defined, Order::Undefined)
    );
    let reason = process(
        &[Step::Noise {
            amplitude: 1.0,
            seed: 1,
        }],
        &[("n", &one)],
        &sensors,
    )
    .unwrap_err();
    assert!(reason.contains("offsets"), "{reason}");
    let reason = process(&[Step::MeanOf { sensors: None }], &[("n", &one)], &sensors).unwrap_err();
    assert!(reason.contains("depend on times"), "{reason}");
}

#[test]
fn a_reading_in_another_unit_is_a_dead_letter() {
    let mut sensors = Sensors::default();
    let input = stream(&mut sensors, "a", &[1.0, 3.0]);
    let output = process(
        &[Step::Convert {
            from: Unit::Kelvin,
            to: Unit::Celsius,
        }],
        &[("c", &input)],
        &sensors,
    );
    let output = output.unwrap();
    assert_eq!((output.stream.len(), output.counts.dead_letters), (0, 2));
}

#[test]
fn a_dead_letter_leaves_the_state_as_it_was() {
    let mut sensors = Sensors::default();
    let mut input = stream(&mut sensors, "a", &[10.0, 100.0, 20.0]);
    let series = input.series.values_mut().next().unwrap();
    series.entries[1].unit = Some(Unit::Kelvin);
    let smooth = Step::Ewma {
        alpha: 0.5,
        emit_seed: true,
    };
    let output = process(&[smooth, CONVERT], &[("in", &input)], &sensors);
    assert_close(&values(&output), &[50.0, 59.0]);
    assert_eq!(output.unwrap().counts.dead_letters, 1);
}
