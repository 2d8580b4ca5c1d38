//! The readings of the chosen sensor, as lines over one another.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use rivulet_core::text::plain;
use rivulet_sinks::catalog::compare::Side;

use super::paint::BOLD;
use super::snapshot::TopSnapshot;
use super::state::TopState;
use crate::live::{ChartColumns, common_unit};
use crate::terminal::{ChartLine, LineChart, fit};
use crate::{look, text};

/// What lines are drawn with if there are no colours.
const MARKERS: [Marker; 6] = [
    Marker::Dot,
    Marker::Braille,
    Marker::Custom('x'),
    Marker::Block,
    Marker::Custom('o'),
    Marker::Custom('+'),
];

/// The name of a sensor, as plain text. Readings of a format without sensors have none.
pub(super) fn name(sensor: &str) -> String {
    if sensor.is_empty() {
        "(all)".to_owned()
    } else {
        plain(sensor).into_owned()
    }
}

/// The line above the chart: which sensor it is, and how much of its time is shown.
pub(super) fn title(state: &TopState, snapshot: &TopSnapshot, width: usize) -> Line<'static> {
    let (Some(sensor), Some(index)) = (snapshot.sensor_name(), snapshot.sensor) else {
        return Line::styled("no sensor yet", BOLD);
    };
    let count = snapshot.sensors.len();
    let which = format!(" ({} of {count})", index + 1);
    let time = snapshot.times().map_or_else(String::new, |times| {
        let (first, last) = state.times(times);
        let (shown, all) = (last.saturating_sub(first), times.1.saturating_sub(times.0));
        let until = text::time(last).replace('T', " ").replace('Z', " UTC");
        if shown < all {
            format!("   last {} of {} to {until}", about(shown), about(all))
        } else {
            format!("   {} to {until}", about(all))
        }
    });
    let room = width.saturating_sub(fit::width(&which) + fit::width(&time) + 7);
    let sensor = fit::shortened(&name(sensor), room);
    Line::from_iter([
        Span::raw("sensor "),
        Span::styled(sensor, BOLD),
        Span::raw(which),
        Span::raw(time),
    ])
}

/// A time in its largest unit.
fn about(millis: i64) -> String {
    let units = [
        (31_557_600_000.0, "years"),
        (86_400_000.0, "days"),
        (3_600_000.0, "h"),
        (60_000.0, "min"),
        (1000.0, "s"),
    ];
    let millis = millis as f64;
    let unit = units.into_iter().find(|(length, _)| millis >= 2.0 * length);
    let (length, name) = unit.unwrap_or((1.0, "ms"));
    format!(
        "{} {name}",
        look::number(millis / length, usize::from(millis / length < 10.0))
    )
}

/// Draws the chart.
pub(super) fn draw(state: &TopState, snapshot: &TopSnapshot, area: Rect, buffer: &mut Buffer) {
    let Some((first, last)) = snapshot.times().map(|times| state.times(times)) else {
        return;
    };
    let most = 2 * usize::from(area.width);
    let columns = ChartColumns::new(&(first..=last), most);
    let unit = common_unit(&snapshot.series);
    let mut lines = Vec::new();
    for (index, (topic, series)) in snapshot.topics.iter().zip(&snapshot.series).enumerate() {
        let (name, colours) = match topic.side {
            Some(side) => (look::name_of_side(side).to_owned(), look::of_side(side)),
            None => (
                fit::shortened(&plain(&topic.name), 30),
                look::OTHERS[index % look::OTHERS.len()],
            ),
        };
        // With several units each name has its own.
        let own = series.unit().filter(|_| unit.is_none());
        let own = own.map_or_else(String::new, |unit| format!(" {}", plain(unit.symbol())));
        lines.push(ChartLine {
            name: name + &own,
            colour: state.series(colours),
            marker: marker(state, topic.side, index),
            layer: look::layer(topic.side),
            values: columns.of(series, first..=last),
        });
    }
    let unit = unit.map(|unit| plain(unit.symbol()).into_owned());
    let chart = LineChart {
        lines: &lines,
        times: first..=last,
        bounds: None,
        unit: unit.as_deref().unwrap_or_default(),
    };
    chart.render(area, buffer);
}

fn marker(state: &TopState, side: Option<Side>, index: usize) -> Marker {
    if state.series(look::INPUT) != Color::Reset {
        return Marker::Braille;
    }
    match side {
        Some(Side::Input) => MARKERS[0],
        Some(Side::Ewma) => MARKERS[1],
        Some(Side::Average) => MARKERS[2],
        None => MARKERS[index % MARKERS.len()],
    }
}

/// What is said while there are no readings.
pub(super) fn waiting(snapshot: &TopSnapshot) -> String {
    let topics = snapshot.topics.iter().map(|topic| plain(&topic.name));
    let names: Vec<_> = topics.collect();
    format!("waiting for readings on {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_its_largest_unit() {
        let shown = [0, 1500, 5000, 90_000, 7_200_000, 126_230_400_000].map(about);
        assert_eq!(
            shown,
            [
                "0.0 ms",
                "1\u{2009}500 ms",
                "5.0 s",
                "90 s",
                "2.0 h",
                "4.0 years"
            ]
        );
    }
}
