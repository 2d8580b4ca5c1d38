//! Draws curves over event time: [`draw`].

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType};
use rivulet_core::unit::Unit;

use crate::live::TimedValue;
use crate::look;

/// A day in milliseconds.
const DAY: i64 = 86_400_000;

/// A series as it is drawn.
pub(super) struct PlotCurve {
    pub(super) colour: Color,
    /// What it is drawn with where there are no colours.
    pub(super) marker: char,
    /// In the order of time. `None` is a gap.
    pub(super) points: Vec<Option<TimedValue>>,
}

/// What the axes show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PlotScale {
    /// The first and the last event time, in milliseconds since the epoch.
    pub(super) times: (i64, i64),
    /// The lowest and the highest value.
    pub(super) values: (f64, f64),
    /// The unit of all curves, if they have the same.
    pub(super) unit: Option<Unit>,
}

/// Draws curves.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    curves: &[PlotCurve],
    scale: &PlotScale,
    has_colours: bool,
) {
    let (first, last) = scale.times;
    let (lowest, highest) = scale.values;
    let span = last.saturating_sub(first);
    // Both axes go from 0 to 1: bounds may be so far apart that no float has their distance.
    let height = (highest / 2.0 - lowest / 2.0).max(f64::MIN_POSITIVE);
    let up = |value: f64| (value / 2.0 - lowest / 2.0) / height;
    let along = |time: i64| time.saturating_sub(first) as f64 / span.max(1) as f64;
    let mut parts: Vec<(&PlotCurve, Vec<(f64, f64)>)> = Vec::new();
    for curve in curves {
        for part in curve.points.split(Option::is_none) {
            let points = part.iter().flatten();
            let points = points.map(|point| (along(point.time), up(point.value)));
            parts.push((curve, points.collect()));
        }
    }
    let datasets = parts.iter().map(|(curve, points)| {
        let marker = if has_colours {
            Marker::Braille
        } else {
            Marker::Custom(curve.marker)
        };
        Dataset::default()
            .marker(marker)
            .graph_type(GraphType::Line)
            .style(Style::default().fg(curve.colour))
            .data(points)
    });
    let middle = lowest / 2.0 + highest / 2.0;
    let mut values = [lowest, middle, highest].map(|value| look::number(value, 1));
    if let Some(unit) = scale.unit {
        values[2] = format!("{} {}", values[2], unit.symbol());
    }
    let y = Axis::default().bounds([0.0, 1.0]).labels(values);
    let middle = first + span / 2;
    let times = if area.width < 60 {
        vec![first, last]
    } else {
        vec![first, middle, last]
    };
    let times = times.into_iter().map(|time| label(time, span));
    let x = Axis::default()
        .bounds([0.0, 1.0])
        .labels(times.collect::<Vec<_>>());
    let chart = Chart::new(datasets.collect())
        .x_axis(x)
        .y_axis(y)
        .legend_position(None);
    frame.render_widget(chart, area);
}

/// An event time in UTC, as far as it matters in a span.
fn label(time: i64, span: i64) -> String {
    let format = match span {
        ..10_000 => "%H:%M:%S%.3f",
        10_000..DAY => "%H:%M:%S",
        _ => "%Y-%m-%d %H:%M",
    };
    Timestamp::from_millisecond(time).map_or_else(
        |_| time.to_string(),
        |time| time.strftime(format).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_as_exact_as_its_chart() {
        let time = 1_325_376_000_250;
        let shown = [5000, 60_000, 3 * DAY].map(|span| label(time, span));
        assert_eq!(shown, ["00:00:00.250", "00:00:00", "2012-01-01 00:00"]);
        assert_eq!(label(i64::MAX, 0), i64::MAX.to_string());
    }
}
