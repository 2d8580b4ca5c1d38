//! What the page shows of a sensor, against what a plain client computes from the topics.

use std::collections::BTreeMap;

use rivulet_tests::{Browser, Scenario, wait};
use serde_json::Value;

use super::{number, row};

/// The values of a sensor in a topic by their times.
fn series(scenario: &Scenario, topic: &str, sensor: &str) -> BTreeMap<i64, f64> {
    let records = scenario.read(topic, 1).into_iter();
    let readings = records.filter_map(|record| {
        let reading: Value = serde_json::from_slice(record.value.as_deref()?).ok()?;
        let is_of_sensor = reading["sensor"] == sensor;
        is_of_sensor.then_some((reading["time"].as_i64()?, reading["value"].as_f64()?))
    });
    readings.collect()
}

/// The mean difference of two series at the times of all three, and its root mean square.
fn apart(one: &[f64], other: &[f64]) -> (f64, f64) {
    let differences = one.iter().zip(other).map(|(one, other)| one - other);
    let count = one.len() as f64;
    let mean = differences.clone().sum::<f64>() / count;
    (
        mean,
        (differences.map(|of| of * of).sum::<f64>() / count).sqrt(),
    )
}

/// Waits until the page shows what the topics have.
pub(super) fn are_those_of_the_topics(scenario: &Scenario, browser: &Browser, sensor: &str) {
    let topics = [
        ("input", "temperatures_above_threshold"),
        ("EWMA", "temperatures_ewma"),
        ("moving average", "temperatures_moving_average"),
    ];
    let found = wait::until(wait::LONG, || {
        let all = topics.map(|(_, topic)| series(scenario, topic, sensor));
        let [input, ewma, average] = &all;
        let joined = input
            .keys()
            .filter(|time| ewma.contains_key(time) && average.contains_key(time));
        let joined: Vec<i64> = joined.copied().collect();
        let of = |series: &BTreeMap<i64, f64>| -> Vec<f64> {
            joined.iter().map(|time| series[time]).collect()
        };
        let [input, ewma, average] = [input, ewma, average].map(of);
        let cells = row(browser, "compared", sensor)?;
        let (mean, rms) = apart(&ewma, &average);
        let expected = [
            joined.len() as f64,
            mean,
            rms,
            apart(&ewma, &input).1,
            apart(&average, &input).1,
        ];
        let shown = cells[1..6].iter().map(|cell| number(cell));
        let are_same = shown
            .zip(expected)
            .all(|(shown, of)| (shown - of).abs() < 0.0006);
        (are_same && !joined.is_empty()).then_some(all)
    });
    let all = found.unwrap_or_else(|| {
        panic!("the page shows {:?}", row(browser, "compared", sensor));
    });
    let values = browser.run(
        "return [...document.querySelectorAll('#values tbody tr')]
             .map((row) => [...row.cells].map((cell) => cell.textContent))",
    );
    for (index, ((name, _), series)) in topics.iter().zip(&all).enumerate() {
        let cell = |at: usize| values[index][at].as_str().unwrap_or_default();
        let (_, last) = series.last_key_value().expect("it has values");
        assert_eq!((cell(0), cell(1)), (sensor, *name));
        assert!((number(cell(2)) - last).abs() < 0.006, "{values}: {last}");
        assert!(cell(2).ends_with("\u{2009}°F"), "{values}");
        assert_eq!(number(cell(4)), series.len() as f64, "{values}");
        let drawn = points(browser, index);
        // No extreme is hidden, and the line is broken in the nights.
        let most = |of: &mut dyn Iterator<Item = f64>| of.fold(f64::NEG_INFINITY, f64::max);
        let drawn_most = most(&mut drawn.iter().flatten().copied());
        assert!((drawn_most - most(&mut series.values().copied())).abs() < 0.001);
        assert!(
            drawn.iter().filter(|value| value.is_none()).count() >= 2,
            "{drawn:?}"
        );
    }
}

/// The values of a line of the chart; gaps have none.
fn points(browser: &Browser, line: usize) -> Vec<Option<f64>> {
    let list = browser.run(&format!(
        "const {{ data }} = document.getElementById('chart');
         return [...(data?.find((line) => line.legendgroup === '{line}')?.y ?? [])]"
    ));
    let list = list.as_array().cloned().unwrap_or_default();
    list.iter().map(Value::as_f64).collect()
}

/// A part of the time has all its points, and then everything is there again.
pub(super) fn are_finer_when_zoomed_in(browser: &Browser) {
    let all = points(browser, 0).len();
    let _ = browser.run(
        "const chart = document.getElementById('chart');
         const [from, to] = chart.layout.xaxis.range.map((time) => Date.parse(time + 'Z'));
         const part = [from + (to - from) * 0.4, from + (to - from) * 0.6];
         const text = (time) => new Date(time).toISOString().slice(0, -1);
         return Plotly.relayout(chart, { 'xaxis.range': part.map(text) }).then(() => 1)",
    );
    wait::until_true("a part is drawn", || {
        let drawn = points(browser, 0).len();
        browser.text("#whole") == "Zoom out" && (2..all).contains(&drawn)
    });
    browser.click("#whole");
    wait::until_true("all is drawn again", || points(browser, 0).len() == all);
}
