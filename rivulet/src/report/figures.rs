//! The comparison of all sensors, as a table and as CSV.

use maud::{Markup, html};
use rivulet_core::error::{Error, Result};
use rivulet_core::text::plain;
use rivulet_sinks::catalog::compare::{DifferenceFigures, SensorFigures, SeriesFigures};

use crate::live::{LiveReadings, TimeSeries};
use crate::look;

/// The columns of the CSV file.
const HEAD: [&str; 24] = [
    "sensor",
    "unit",
    "joined",
    "input_mean",
    "input_last",
    "ewma_mean",
    "ewma_last",
    "ewma_lag_steps",
    "ewma_smoothness",
    "average_mean",
    "average_last",
    "average_lag_steps",
    "average_smoothness",
    "ewma_average_mean",
    "ewma_average_last",
    "ewma_average_mean_absolute",
    "ewma_average_rms",
    "ewma_input_mean",
    "ewma_input_mean_absolute",
    "ewma_input_rms",
    "average_input_mean",
    "average_input_mean_absolute",
    "average_input_rms",
    "input_readings",
];

/// The comparison as CSV, a line for each sensor, with every number in full.
pub(super) fn csv(readings: &LiveReadings) -> Result<Vec<u8>> {
    let failed = |error: csv::Error| Error::caused_by("writing the comparison as CSV", error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEAD).map_err(failed)?;
    for sensor in readings.sensors() {
        if let Some(figures) = readings.figures(sensor) {
            let inputs = readings.series(sensor).first().map(TimeSeries::count);
            writer
                .write_record(record(sensor, &figures, inputs.unwrap_or_default()))
                .map_err(failed)?;
        }
    }
    writer
        .into_inner()
        .map_err(|error| Error::new("writing the comparison as CSV", error))
}

fn record(sensor: &str, figures: &SensorFigures, inputs: u64) -> Vec<String> {
    let some = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    let series = |series: &SeriesFigures| {
        vec![
            series.mean.to_string(),
            series.last.to_string(),
            series.lag.map(|lag| lag.to_string()).unwrap_or_default(),
            some(series.smoothness),
        ]
    };
    let to_input = |difference: Option<DifferenceFigures>| {
        let figures = difference.map(|found| [found.mean, found.absolute, found.root_mean_square]);
        figures.map_or(vec![String::new(); 3], |figures| {
            figures.map(|number| number.to_string()).to_vec()
        })
    };
    let between = figures.ewma_to_average;
    let mut record = vec![
        // A spreadsheet must not take a name for a formula.
        if sensor.starts_with(['=', '+', '-', '@', '\t', '\r']) {
            format!("'{sensor}")
        } else {
            sensor.to_owned()
        },
        figures
            .unit
            .map(|unit| unit.to_string())
            .unwrap_or_default(),
        figures.joined.to_string(),
        some(figures.input.map(|input| input.mean)),
        some(figures.input.map(|input| input.last)),
    ];
    record.extend(series(&figures.ewma));
    record.extend(series(&figures.average));
    let between = [
        between.mean,
        between.last,
        between.absolute,
        between.root_mean_square,
    ];
    record.extend(between.map(|number| number.to_string()));
    record.extend(to_input(figures.ewma_to_input));
    record.extend(to_input(figures.average_to_input));
    record.push(inputs.to_string());
    record
}

/// The comparison of the sensors as a table, at most `most` of them.
pub(super) fn table(readings: &LiveReadings, most: usize) -> Markup {
    let all = || {
        readings
            .sensors()
            .filter_map(|name| Some((name, readings.figures(name)?)))
    };
    let count = all().count();
    let number = |number: f64| look::number(number, 2);
    let lag = |lag: Option<usize>| lag.map_or("–".to_owned(), |lag| lag.to_string());
    let smooth =
        |share: Option<f64>| share.map_or("–".to_owned(), |share| look::number(share * 100.0, 0));
    html! {
        div.scroll {
            table.figures {
                thead {
                    tr {
                        th rowspan="2" scope="col" { "sensor" }
                        th rowspan="2" scope="col" { "joined" }
                        th colspan="2" scope="colgroup" { "EWMA − moving average" }
                        th.ewma colspan="4" scope="colgroup" { span { "EWMA" } }
                        th.average colspan="4" scope="colgroup" { span { "moving average" } }
                    }
                    tr {
                        th scope="col" { "mean" } th scope="col" { "rms" }
                        @for _ in 0..2 {
                            th scope="col" { "last" }
                            th scope="col" { "rms to input" }
                            th scope="col" { "lag, steps" }
                            th scope="col" { "smoothness, %" }
                        }
                    }
                }
                tbody {
                    @for (name, figures) in all().take(most) {
                        @let unit = figures.unit.map(|unit| unit.symbol().to_string());
                        tr {
                            th scope="row" {
                                @if name.is_empty() { "(all)" } @else { (plain(name)) }
                                @if let Some(unit) = unit { span.unit { " " (unit) } }
                            }
                            td { (look::number(figures.joined as f64, 0)) }
                            td { (number(figures.ewma_to_average.mean)) }
                            td { (number(figures.ewma_to_average.root_mean_square)) }
                            @for (series, to_input) in [
                                (figures.ewma, figures.ewma_to_input),
                                (figures.average, figures.average_to_input),
                            ] {
                                td { (number(series.last)) }
                                @let rms = to_input.map(|to| number(to.root_mean_square));
                                td { (rms.unwrap_or_else(|| "–".to_owned())) }
                                td { (lag(series.lag)) }
                                td { (smooth(series.smoothness)) }
                            }
                        }
                    }
                }
            }
        }
        @if count > most {
            p.quiet {
                "The first " (most) " of " (look::number(count as f64, 0))
                " sensors. The CSV file has all."
            }
        }
    }
}
