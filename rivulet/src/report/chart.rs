//! A chart of a sensor as SVG: [`chart`].

use std::fmt::Write;
use std::ops::RangeInclusive;

use maud::{Markup, PreEscaped, html};

use crate::axis::{number_ticks, time_ticks};
use crate::live::{ChartColumns, LiveTopic, TimeSeries, TimedValue, common_unit};
use crate::look;

/// The size of a chart, in its own units, and the room around what is drawn.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 30.0;

/// Half of the width of a label below the chart.
const LABEL: f64 = 40.0;

/// How many columns there are for values: more than a printer shows.
const COLUMNS: usize = 900;

/// How many readings are drawn from close by.
const CLOSE: usize = 60;

/// The values of a chart, in its own units.
struct Scale {
    times: RangeInclusive<i64>,
    low: f64,
    high: f64,
}

impl Scale {
    /// A scale for the values with these event times. `None` if there are none.
    fn of(series: &[TimeSeries], times: &RangeInclusive<i64>) -> Option<Self> {
        let values = || {
            series
                .iter()
                .flat_map(|series| series.within(times.clone()))
        };
        let start = values().map(|value| value.time).min()?;
        let end = values().map(|value| value.time).max()?;
        let low = values()
            .map(|value| value.value)
            .fold(f64::INFINITY, f64::min);
        let high = values()
            .map(|value| value.value)
            .fold(f64::NEG_INFINITY, f64::max);
        let room = f64::max((high - low) * 0.06, 1e-9 * low.abs().max(1.0));
        Some(Scale {
            times: start..=end,
            low: low - room,
            high: high + room,
        })
    }

    fn x(&self, time: i64) -> f64 {
        let (start, end) = (*self.times.start(), *self.times.end());
        let span = end.saturating_sub(start).max(1) as f64;
        LEFT + (WIDTH - LEFT - RIGHT) * (time.saturating_sub(start) as f64 / span)
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share
    }
}

/// A line of a chart: its number, its topic and its values.
type Line<'s> = (usize, (&'s LiveTopic, &'s TimeSeries));

/// What a series is in a chart: the class that has its colour, and its name.
pub(super) fn series_class(topic: &LiveTopic, index: usize) -> String {
    match topic.side {
        Some(side) => look::class_of_side(side).to_owned(),
        None => format!("other{}", index % look::OTHERS.len()),
    }
}

/// The name of a series, as people see it.
pub(super) fn series_name(topic: &LiveTopic) -> String {
    let name = topic.side.map(look::name_of_side);
    name.map_or_else(|| topic.name.clone(), str::to_owned)
}

/// The charts of a sensor: all readings, and if there are many the last ones, where the lines can
/// be told apart.
pub(super) fn charts(sensor: &str, topics: &[LiveTopic], series: &[TimeSeries]) -> Markup {
    let longest = series
        .iter()
        .map(TimeSeries::values)
        .max_by_key(|values| values.len());
    let last = longest.filter(|values| values.len() > 2 * CLOSE);
    let last = last.and_then(|values| values.get(values.len() - CLOSE));
    html! {
        (chart(sensor, topics, series, i64::MIN..=i64::MAX))
        @if let Some(last) = last {
            p.quiet { "The last " (CLOSE) " readings" }
            (chart(sensor, topics, series, last.time..=i64::MAX))
        }
    }
}

/// A line for each topic that has readings of the sensor with these event times.
fn chart(
    sensor: &str,
    topics: &[LiveTopic],
    series: &[TimeSeries],
    times: RangeInclusive<i64>,
) -> Markup {
    let Some(scale) = Scale::of(series, &times) else {
        return html! { p.quiet { "There are no readings." } };
    };
    let columns = ChartColumns::new(&scale.times, COLUMNS);
    let values = number_ticks(scale.low, scale.high, 8);
    let times = time_ticks(*scale.times.start(), *scale.times.end(), 8);
    let unit = common_unit(series);
    let all = topics.iter().zip(series).enumerate();
    let lines: Vec<Line<'_>> = all.filter(|(_, (_, series))| series.count() > 0).collect();
    html! {
        figure.chart {
            p.legend {
                @for (index, (topic, series)) in &lines {
                    span.(series_class(topic, *index)) {
                        (series_name(topic))
                        // With several units each name has its own.
                        @if let (None, Some(unit)) = (&unit, series.unit()) {
                            " " (unit.symbol())
                        }
                    }
                }
                @if let Some(unit) = &unit { span.unit { "in " (unit.symbol()) } }
            }
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img"
                aria-label={ "Readings of " (sensor) " over event time" } {
                g.grid {
                    @for value in &values {
                        @let y = scale.y(value.at);
                        line x1=(LEFT) x2=(WIDTH - RIGHT) y1=(short(y)) y2=(short(y)) {}
                        text.value x=(LEFT - 8.0) y=(short(y + 4.0)) {
                            (value.label)
                        }
                    }
                    @for time in &times {
                        @let x = scale.x(time.at);
                        line x1=(short(x)) x2=(short(x)) y1=(HEIGHT - BOTTOM)
                            y2=(HEIGHT - BOTTOM + 5.0) {}
                        @let is_last = x > WIDTH - RIGHT - LABEL;
                        text.time.last[is_last] x=(short(x)) y=(HEIGHT - 8.0) { (time.label) }
                    }
                }
                @for (index, (topic, series)) in from_below(&lines) {
                    @let drawn = columns.of(series, scale.times.clone());
                    path.(series_class(topic, *index)) d=(PreEscaped(path(&drawn, &scale))) {}
                }
            }
        }
    }
}

/// The lines in the order in which they are drawn: what matters most is above the others.
fn from_below<'l, 's>(lines: &'l [Line<'s>]) -> Vec<&'l Line<'s>> {
    let mut lines: Vec<&Line<'_>> = lines.iter().collect();
    lines.sort_by_key(|(_, (topic, _))| look::layer(topic.side));
    lines
}

/// The line through values, with gaps.
fn path(values: &[Option<TimedValue>], scale: &Scale) -> String {
    let mut path = String::new();
    let mut is_drawing = false;
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else {
            is_drawing = false;
            continue;
        };
        let (x, y) = (short(scale.x(value.time)), short(scale.y(value.value)));
        let command = if is_drawing { 'L' } else { 'M' };
        // Writing to text cannot fail.
        let _ = write!(path, "{command}{x} {y}");
        if !is_drawing && !matches!(values.get(index + 1), Some(Some(_))) {
            // A value alone is a dot.
            path.push_str("h.01");
        }
        is_drawing = true;
    }
    path
}

/// A tenth of a unit is less than anybody sees.
fn short(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: &[(i64, f64)]) -> TimeSeries {
        let mut series = TimeSeries::default();
        for (time, value) in values {
            let (time, value) = (*time, *value);
            series.push(TimedValue { time, value }, None, 100);
        }
        series
    }

    fn topic(name: &str) -> LiveTopic {
        LiveTopic {
            name: name.into(),
            in_kafka: name.into(),
            side: None,
        }
    }

    #[test]
    fn a_line_breaks_at_a_gap_and_a_value_alone_is_a_dot() {
        let series = series(&[
            (0, 0.0),
            (1, 10.0),
            (2, 5.0),
            (50, 7.0),
            (99, 7.0),
            (100, 7.0),
        ]);
        let drawn = charts("a", &[topic("warm")], &[series]).into_string();
        let path = drawn
            .split(" d=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap();
        assert_eq!(path.matches('M').count(), 3, "{path}");
        assert_eq!(path.matches("h.01").count(), 1, "{path}");
        assert!(path.starts_with("M56 "), "{path}");
    }

    #[test]
    fn names_are_text() {
        let drawn = charts("<b>\"", &[topic("<i>")], &[series(&[(0, 1.0)])]).into_string();
        assert!(
            drawn.contains("Readings of &lt;b&gt;&quot; over"),
            "{drawn}"
        );
        assert!(drawn.contains("&lt;i&gt;"), "{drawn}");
        assert!(charts("a", &[], &[]).into_string().contains("no readings"));
    }
}
