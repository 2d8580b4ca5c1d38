//! The figures of the comparison of the chosen sensor.

use ratatui::text::{Line, Span};
use rivulet_sinks::catalog::compare::{DifferenceFigures, SensorFigures, SeriesFigures, Side};

use super::paint::{BOLD, UNKNOWN};
use super::state::TopState;
use crate::look;
use crate::terminal::fit;

/// How many digits after the point figures have, as in the table of `rivulet compare`.
const DIGITS: usize = 4;
/// Numbers of this size or larger are written with an exponent, as there.
const LARGE: f64 = 1e9;

/// A figure of the comparison.
fn figure(number: f64) -> String {
    if number.abs() < LARGE || !number.is_finite() {
        look::number(number, DIGITS)
    } else {
        format!("{number:.DIGITS$e}").replacen('-', "−", 1)
    }
}

/// The figures, right-aligned below the names of the two averages.
pub(super) fn lines(figures: &SensorFigures, state: &TopState) -> Vec<Line<'static>> {
    let mut rows = vec![
        both("last", figures, |series| Some(figure(series.last))),
        both("mean", figures, |series| Some(figure(series.mean))),
    ];
    if let (Some(ewma), Some(average)) = (&figures.ewma_to_input, &figures.average_to_input) {
        let differences = |label, figure: fn(&DifferenceFigures) -> String| {
            (label, [figure(ewma), figure(average)])
        };
        rows.push(differences("mean − input", |difference| {
            figure(difference.mean)
        }));
        rows.push(differences("rms to input", |difference| {
            figure(difference.root_mean_square)
        }));
        rows.push(both("lag in steps", figures, |series| {
            series.lag.map(|steps| steps.to_string())
        }));
        rows.push(both("smoothness", figures, |series| {
            let smoothness = series.smoothness?;
            Some(format!("{} %", look::number(smoothness * 100.0, 1)))
        }));
    }
    let names = [Side::Ewma, Side::Average].map(look::name_of_side);
    let cells = |column: usize| {
        rows.iter()
            .map(move |(_, cells)| fit::width(&cells[column]))
    };
    let widths = [0, 1].map(|column| {
        let widest = cells(column).max().unwrap_or_default();
        widest.max(fit::width(names[column]))
    });
    let joined = format!("{} joined", look::number(figures.joined as f64, 0));
    let label = rows.iter().map(|(label, _)| fit::width(label)).max();
    let label = label.unwrap_or_default().max(fit::width(&joined));
    let mut head = Line::raw(fit::left(&joined, label));
    for ((side, name), width) in [Side::Ewma, Side::Average]
        .into_iter()
        .zip(names)
        .zip(widths)
    {
        let style = BOLD.fg(state.series(look::of_side(side)));
        head.push_span(Span::raw("  "));
        head.push_span(Span::styled(fit::right(name, width), style));
    }
    let mut lines = vec![head];
    lines.extend(rows.into_iter().map(|(name, [ewma, average])| {
        let [ewma, average] = [
            fit::right(&ewma, widths[0]),
            fit::right(&average, widths[1]),
        ];
        Line::raw(format!("{}  {ewma}  {average}", fit::left(name, label)))
    }));
    let difference = &figures.ewma_to_average;
    let width = label + 2 + widths[0];
    for (name, number) in [
        ("EWMA − average, mean", difference.mean),
        ("rms", difference.root_mean_square),
    ] {
        let (name, number) = (fit::right(name, width), figure(number));
        lines.push(Line::raw(format!(
            "{name}  {}",
            fit::right(&number, widths[1])
        )));
    }
    lines
}

/// A row with a figure of each of the two averages.
fn both(
    label: &'static str,
    figures: &SensorFigures,
    cell: impl Fn(&SeriesFigures) -> Option<String>,
) -> (&'static str, [String; 2]) {
    let cells = [&figures.ewma, &figures.average].map(cell);
    (
        label,
        cells.map(|cell| cell.unwrap_or_else(|| UNKNOWN.to_owned())),
    )
}
