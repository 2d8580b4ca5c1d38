//! Lines over event time, with axes and a legend: [`LineChart`].

use std::ops::RangeInclusive;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use ratatui::widgets::canvas::{Canvas, Context, Line as Segment, Points};

use super::fit;
use crate::axis::{AxisTick, number_ticks, time_ticks_within};
use crate::live::TimedValue;
use crate::look;

/// Numbers beyond this are drawn at the edge, so that no difference is infinite.
const FAR: f64 = f64::MAX / 8.0;
/// How many rows of a chart are not for lines: the legend, the axis and its labels.
const AROUND: u16 = 3;

/// One line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartLine {
    /// Its name in the legend, as plain text. Without a name it is not in the legend.
    pub name: String,
    /// Its colour, also in the legend.
    pub colour: Color,
    /// What it is drawn with. Without colours the marker tells lines apart.
    pub marker: Marker,
    /// Lines of a higher layer are drawn over those of a lower one.
    pub layer: u8,
    /// Its values in the order of time, decimated for the screen; `None` is a gap. Those outside of
    /// the chart's times are left out.
    pub values: Vec<Option<TimedValue>>,
}

/// Lines over event time. Those of a higher layer, and later ones, are drawn over the others.
///
/// A line needs no more than two values for each column of the terminal:
/// [`ChartColumns`](crate::live::ChartColumns) has them. No size is too small for it.
///
/// ```
/// use ratatui::buffer::Buffer;
/// use ratatui::layout::Rect;
/// use ratatui::style::Color;
/// use ratatui::symbols::Marker;
/// use ratatui::widgets::Widget;
/// use rivulet::live::TimedValue;
/// use rivulet::terminal::{ChartLine, LineChart};
///
/// let values = [(0, 12.0), (60_000, 14.0)];
/// let line = ChartLine {
///     name: "seattle".to_owned(),
///     colour: Color::Reset,
///     marker: Marker::Braille,
///     layer: 0,
///     values: values.map(|(time, value)| Some(TimedValue { time, value })).into(),
/// };
/// let chart = LineChart { lines: &[line], times: 0..=60_000, bounds: None, unit: "°C" };
/// let area = Rect::new(0, 0, 40, 10);
/// let mut buffer = Buffer::empty(area);
/// chart.render(area, &mut buffer);
/// ```
#[derive(Debug, Clone)]
pub struct LineChart<'c> {
    /// The lines.
    pub lines: &'c [ChartLine],
    /// What the horizontal axis shows: event times in milliseconds since the epoch.
    pub times: RangeInclusive<i64>,
    /// What the vertical axis shows, with a label at either end; by default a little more than the
    /// values.
    pub bounds: Option<[f64; 2]>,
    /// The unit of the values, or nothing.
    pub unit: &'c str,
}

impl Widget for LineChart<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let area = area.intersection(*buffer.area());
        if area.is_empty() {
            return;
        }
        let height = area.height.saturating_sub(AROUND);
        let values = self.bounds.unwrap_or_else(|| self.values());
        let ticks = self.ticks(values, height);
        let labels = ticks.iter().map(|tick| fit::width(&tick.label)).max();
        let margin = u16::try_from(labels.unwrap_or_default()).unwrap_or(u16::MAX);
        let left = margin.saturating_add(1);
        let plot = Rect {
            x: area.x.saturating_add(left),
            y: area.y + 1,
            width: area.width.saturating_sub(left),
            height,
        };
        self.legend(area, buffer);
        if plot.is_empty() {
            return;
        }
        self.lines(plot, values, buffer);
        values_axis(&ticks, values, plot, margin, buffer);
        let (start, end) = (*self.times.start(), *self.times.end());
        let times = time_ticks_within(start, end, plot.width.into(), 3);
        times_axis(&times, &self.times, plot, buffer);
    }
}

impl LineChart<'_> {
    /// The unit, and the name of each line.
    fn legend(&self, area: Rect, buffer: &mut Buffer) {
        let mut shown = Line::default();
        if !self.unit.is_empty() {
            shown.push_span(format!("{}  ", self.unit));
        }
        for line in self.lines.iter().filter(|line| !line.name.is_empty()) {
            let style = Style::new().fg(line.colour);
            shown.push_span(Span::styled(sample(line.marker), style));
            shown.push_span(Span::styled(format!(" {}  ", line.name), style));
        }
        buffer.set_line(area.x, area.y, &shown, area.width);
    }

    /// The values that the vertical axis shows: a little more than there are.
    fn values(&self) -> [f64; 2] {
        let drawn = self
            .lines
            .iter()
            .flat_map(|line| line.values.iter().flatten());
        let drawn = drawn.filter(|value| self.times.contains(&value.time));
        let drawn = drawn.map(|value| value.value.clamp(-FAR, FAR));
        let around = |[low, high]: [f64; 2], value: f64| [low.min(value), high.max(value)];
        let [low, high] = drawn.fold([f64::INFINITY, f64::NEG_INFINITY], around);
        if low > high {
            return [0.0, 1.0];
        }
        let span = high - low;
        // A constant has room around it that is large enough for its last digits.
        let room = if span > 1e-9 * low.abs().max(high.abs()) {
            span * 0.04
        } else {
            (low.abs() * 1e-3).max(0.5)
        };
        [low - room, high + room]
    }

    /// The ticks of the vertical axis.
    fn ticks(&self, [low, high]: [f64; 2], height: u16) -> Vec<AxisTick<f64>> {
        let round = number_ticks(low, high, usize::from(height / 2));
        if self.bounds.is_none() {
            return round;
        }
        let end = |at| AxisTick {
            at,
            label: look::number(at, 1),
        };
        // Two labels have a row between them.
        let room = 2.0 * (high / f64::from(height.max(1)) - low / f64::from(height.max(1)));
        let inside = round
            .into_iter()
            .filter(|tick| tick.at - low > room && high - tick.at > room);
        [end(low)]
            .into_iter()
            .chain(inside)
            .chain([end(high)])
            .collect()
    }

    fn lines(&self, plot: Rect, [low, high]: [f64; 2], buffer: &mut Buffer) {
        let start = *self.times.start() as f64;
        let span = (*self.times.end() as f64 - start).max(1.0);
        // The canvas gets shares of itself: with large numbers its own rounding goes outside, and
        // then it draws for ever.
        let share = |part: f64, of: f64| (part / of).clamp(0.0, 1.0);
        let paint = |context: &mut Context<'_>| {
            let mut lines: Vec<&ChartLine> = self.lines.iter().collect();
            lines.sort_by_key(|line| line.layer);
            for line in lines {
                context.marker(line.marker);
                let points = line.values.iter().map(|value| {
                    let value = value.filter(|value| self.times.contains(&value.time))?;
                    let x = share(value.time as f64 - start, span);
                    let y = share(value.value.clamp(-FAR, FAR) - low, high - low);
                    Some((x, y))
                });
                draw(points, line.colour, context);
            }
        };
        Canvas::default()
            .x_bounds([0.0, 1.0])
            .y_bounds([0.0, 1.0])
            .paint(paint)
            .render(plot, buffer);
    }
}

/// Draws the line through points, interrupted at gaps.
fn draw(points: impl Iterator<Item = Option<(f64, f64)>>, color: Color, context: &mut Context<'_>) {
    let mut last = None;
    for point in points {
        if let Some((x, y)) = point {
            match last {
                Some((x1, y1)) => context.draw(&Segment::new(x1, y1, x, y, color)),
                // It may be alone between two gaps.
                None => context.draw(&Points {
                    coords: &[(x, y)],
                    color,
                }),
            }
        }
        last = point;
    }
}

/// What stands for a line in the legend.
fn sample(marker: Marker) -> String {
    match marker {
        Marker::Dot => "••".to_owned(),
        Marker::Block => "██".to_owned(),
        Marker::Custom(character) => [character; 2].iter().collect(),
        _ => "⠒⠒".to_owned(),
    }
}

/// The cell that is nearest to a share of so many cells.
fn cell(share: f64, cells: u16) -> u16 {
    let last = cells.saturating_sub(1);
    let at = share * f64::from(last);
    (0..last)
        .find(|cell| at < f64::from(*cell) + 0.5)
        .unwrap_or(last)
}

fn values_axis(
    ticks: &[AxisTick<f64>],
    [low, high]: [f64; 2],
    plot: Rect,
    margin: u16,
    buffer: &mut Buffer,
) {
    let x = plot.x - 1;
    for y in plot.y..plot.bottom() {
        buffer.set_string(x, y, "│", Style::new());
    }
    for tick in ticks {
        let y = plot.y + cell((high - tick.at) / (high - low), plot.height);
        let label = fit::right(&tick.label, margin.into());
        buffer.set_string(x - margin, y, format!("{label}┤"), Style::new());
    }
}

fn times_axis(
    ticks: &[AxisTick<i64>],
    times: &RangeInclusive<i64>,
    plot: Rect,
    buffer: &mut Buffer,
) {
    let (start, y) = (*times.start() as f64, plot.bottom());
    let span = (*times.end() as f64 - start).max(1.0);
    if !buffer.area().contains((plot.x, y + 1).into()) {
        return;
    }
    let line = "─".repeat(plot.width.into());
    buffer.set_string(plot.x - 1, y, format!("└{line}"), Style::new());
    let mut free = 0;
    for tick in ticks {
        let column = cell((tick.at as f64 - start) / span, plot.width);
        buffer.set_string(plot.x + column, y, "┬", Style::new());
        let width = u16::try_from(fit::width(&tick.label)).unwrap_or(u16::MAX);
        // The label is below its tick, or as near as there is room.
        let column = column.saturating_sub(width / 2);
        let column = column.min(plot.width.saturating_sub(width));
        if width <= plot.width && column >= free {
            free = column + width + 1;
            buffer.set_string(plot.x + column, y + 1, &tick.label, Style::new());
        }
    }
}

#[cfg(test)]
mod tests;
