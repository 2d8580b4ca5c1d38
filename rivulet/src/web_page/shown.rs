//! What the page shows, as JSON: numbers have no more digits than people read.

use rivulet_core::unit::Unit;
use rivulet_sinks::catalog::compare::SensorFigures;
use serde::Serialize;
use serde_json::{Value, json};

use super::PageAbout;
use super::splice::rounded;
use crate::groups::LagReport;
use crate::live::{Live, PipelineFigures, StageFigures};
use crate::look;

/// How many sensors a page of the table has.
pub(super) const ROWS: usize = 200;

/// What stays as it is while the program runs.
pub(super) fn about(about: &PageAbout, live: &Live) -> Value {
    let readings = live.readings();
    let topics: Vec<Value> = readings
        .topics()
        .iter()
        .map(|topic| {
            let name = topic.side.map(look::name_of_side);
            let side = topic.side.map(look::class_of_side);
            json!({ "topic": topic.name, "name": name, "side": side })
        })
        .collect();
    json!({
        "title": about.title,
        "brokers": about.brokers,
        "stages": about.has_stages,
        "topics": topics,
        "compares": readings.is_comparing(),
    })
}

/// The stages and topics, as they are drawn.
pub(super) fn graph(figures: &PipelineFigures) -> Value {
    let stages = figures.stages.iter().map(|stage| {
        json!({
            "stage": stage.stage, "kind": stage.kind, "does": stage.does,
            "from": stage.from, "to": stage.to,
        })
    });
    stages.collect()
}

/// What is known of a stage now.
#[derive(Serialize)]
struct ShownStage<'s> {
    state: &'static str,
    sentence: &'s str,
    nodes: &'s [String],
    rate_in: Option<f64>,
    rate_out: Option<f64>,
    is_estimate: bool,
    lag: Option<LagReport>,
    partitions: Vec<(&'s str, i32, LagReport)>,
    p50: Option<f64>,
    p99: Option<f64>,
    commits: Option<f64>,
    memory: Option<f64>,
    shares_process: bool,
}

/// What is known of a stage now.
pub(super) fn stage(figures: &StageFigures) -> String {
    let partitions = figures.partitions.iter();
    let shown = ShownStage {
        state: figures.state.name(),
        sentence: &figures.sentence,
        nodes: &figures.nodes,
        rate_in: figures.rate_in.map(rounded),
        rate_out: figures.rate_out.map(rounded),
        is_estimate: figures.is_estimate,
        lag: figures.lag,
        partitions: partitions
            .map(|of| (of.topic.as_str(), of.partition, of.lag))
            .collect(),
        p50: figures.p50.map(rounded),
        p99: figures.p99.map(rounded),
        commits: figures.commits.map(rounded),
        memory: figures.memory.map(rounded),
        shares_process: figures.shares_process,
    };
    // It has no keys but text, so it can always be written.
    serde_json::to_string(&shown).unwrap_or_else(|_| "null".into())
}

/// What whoever looks should know.
pub(super) fn status(live: &Live, figures: &PipelineFigures) -> Value {
    let reading_error = live.reading_error();
    let readings = live.readings();
    json!({
        "looked": figures.time > 0,
        "error": figures.error,
        "notes": figures.notes,
        "reading_error": reading_error,
        "invalid": readings.invalid(),
        "left_out": readings.left_out(),
        "not_compared": readings.not_compared(),
    })
}

/// The figures of the comparison of one sensor.
pub(super) fn comparison(figures: &SensorFigures) -> Value {
    let differences = [
        Some(figures.ewma_to_average),
        figures.ewma_to_input,
        figures.average_to_input,
    ];
    let means = differences.map(|of| of.map(|of| rounded(of.mean)));
    let apart = differences.map(|of| of.map(|of| rounded(of.root_mean_square)));
    let series = [figures.ewma, figures.average];
    json!({
        "joined": figures.joined,
        "unit": figures.unit.as_ref().map(Unit::symbol),
        "mean": means,
        "rms": apart,
        "lag": series.map(|series| series.lag),
        "smoothness": series.map(|series| series.smoothness.map(rounded)),
    })
}

/// A page of the table of all sensors.
pub(super) fn table(live: &Live, page: usize) -> Value {
    let readings = live.readings();
    let pages = readings.sensor_count().div_ceil(ROWS).max(1);
    let page = page.min(pages - 1);
    let sensors = readings.sensors().skip(page * ROWS).take(ROWS);
    let figures = sensors.filter_map(|sensor| Some((sensor, readings.figures(sensor)?)));
    let rows: Vec<Value> = figures
        .map(|(sensor, figures)| json!([sensor, comparison(&figures)]))
        .collect();
    json!({ "page": page, "pages": pages, "rows": rows })
}
