//! The worked example: fourteen readings whose results are known.

use crate::{PipelineBuilder, Scenario};

/// The readings in °C.
pub const CELSIUS: [f64; 14] = [
    7., 6., 9., 14., 12., 17., 9., 13., 11., 12., 13., 16., 16., 19.,
];

/// Their exponentially weighted moving average in °F, of those above 50 °F, with α = 0.5. The
/// first reading only seeds it.
pub const EWMA: [f64; 9] = [
    55.4, 59.0, 57.2, 54.5, 54.05, 54.725, 57.7625, 59.28125, 62.740_625,
];

/// Their moving average over 3 readings in °F, of those above 50 °F.
pub const AVERAGE: [f64; 8] = [57.8, 57.2, 56.6, 53.6, 53.6, 56.6, 59.0, 62.6];

/// The stages that [`chained`] adds, one for each operator.
pub const OPERATORS: [&str; 4] = ["convert", "threshold", "ewma", "average"];

/// The step from °C to °F.
pub const CONVERT: &str = "{ convert = { from = \"celsius\", to = \"fahrenheit\" } }";
const THRESHOLD: &str = "{ threshold = { above = 50 } }";
const WEIGHTED: &str = "{ ewma = { alpha = 0.5 } }";
const SLIDING: &str = "{ average = { window = 3 } }";

/// How a topic is read that has the messages of experiments: the experiment is the sensor.
pub const EXPERIMENT: &str = r#"
format.avro-file.sensor = "/experiment"
format.avro-file.time = "/timestamp"
format.avro-file.time-format = "seconds"
format.avro-file.value = "temperature"
format.avro-file.unit = "celsius"
format.avro-file.when = { header = "record_name", is = "sensor_temperature_measured" }
"#;

/// A source of the [`CELSIUS`] readings.
#[must_use]
pub fn source() -> String {
    format!("{{ list = {{ values = {CELSIUS:?}, unit = \"celsius\" }} }}")
}

/// Adds the chain, with one stage for each operator.
#[must_use]
pub fn chained(pipeline: PipelineBuilder) -> PipelineBuilder {
    pipeline
        .operator(
            "convert",
            "temperatures_celsius",
            CONVERT,
            "temperatures_fahrenheit",
        )
        .operator(
            "threshold",
            "temperatures_fahrenheit",
            THRESHOLD,
            "temperatures_above_threshold",
        )
        .operator(
            "ewma",
            "temperatures_above_threshold",
            WEIGHTED,
            "temperatures_ewma",
        )
        .operator(
            "average",
            "temperatures_above_threshold",
            SLIDING,
            "temperatures_moving_average",
        )
}

/// Adds the chain, with one stage for each branch.
#[must_use]
pub fn fused(pipeline: PipelineBuilder) -> PipelineBuilder {
    let steps = |last: &str| format!("{CONVERT}, {THRESHOLD}, {last}");
    pipeline
        .operator(
            "ewma",
            "temperatures_celsius",
            &steps(WEIGHTED),
            "temperatures_ewma",
        )
        .operator(
            "average",
            "temperatures_celsius",
            &steps(SLIDING),
            "temperatures_moving_average",
        )
}

/// Adds a sink to the pipeline file that compares the branches of the chain, with these settings
/// and with the input of both branches if it is wanted. It need not run: tools look it up.
pub fn add_comparison(scenario: &Scenario, has_input: bool, settings: &str) {
    let mut topics = vec![
        ("ewma", "temperatures_ewma"),
        ("average", "temperatures_moving_average"),
    ];
    topics.extend(has_input.then_some(("input", "temperatures_above_threshold")));
    let topics: Vec<(&str, String)> = topics
        .into_iter()
        .map(|(setting, topic)| (setting, scenario.name(topic)))
        .collect();
    let from: Vec<&String> = topics.iter().map(|(_, topic)| topic).collect();
    let named = topics
        .iter()
        .map(|(setting, topic)| format!("{setting} = {topic:?}"));
    let mut named: Vec<String> = named.collect();
    named.extend((!settings.is_empty()).then(|| settings.to_owned()));
    let path = scenario.path("pipeline.toml");
    let file = std::fs::read_to_string(path).expect("the scenario has written it");
    let sink = format!(
        "[sink.{}]\nfrom = {from:?}\nsink = {{ compare = {{ {} }} }}\n",
        scenario.name("compare"),
        named.join(", ")
    );
    scenario.write("pipeline.toml", format!("{file}\n{sink}"));
}

/// The exponentially weighted moving average with α = 0.5, seeded and begun with the first value.
#[must_use]
pub fn smoothed(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let smooth = values.scan(None, |smooth, value| {
        *smooth = Some(smooth.map_or(value, |before| 0.5 * value + 0.5 * before));
        *smooth
    });
    smooth.collect()
}

/// Fails unless both are equal within a relative error of 1e-9.
pub fn assert_close(found: &[f64], expected: &[f64]) {
    let close = |(found, expected): (&f64, &f64)| (found - expected).abs() <= 1e-9 * expected.abs();
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(close),
        "found    {found:?}\nexpected {expected:?}"
    );
}
