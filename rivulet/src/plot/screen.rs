//! What is on the screen of `rivulet plot`: [`draw`], and the keys: [`PlotView`].

use std::ops::RangeInclusive;

use crossterm::event::KeyCode;
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};

use super::lines::{PlotLine, PlotLines};
use crate::live::{ChartColumns, event_times};
use crate::look;
use crate::terminal::{ChartLine, LineChart, ScreenEvent};

/// How much room is left above and below the values.
const MARGIN: f64 = 10.0;
/// Numbers beyond this are drawn at the edge, so that no difference is infinite.
const FAR: f64 = f64::MAX / 8.0;
/// How often event time can be halved.
const CLOSEST: u32 = 20;
/// What series are drawn with where there are no colours.
const MARKERS: [char; 8] = ['•', 'x', 'o', '+', '*', '#', '=', '@'];

const HELP: &str = "\
q, Esc   end
Space    pause, go on
+ -      less or more event time
1 … 8    hide or show a series
?        this help

x is event time, in UTC";

/// What somebody at the terminal has chosen.
#[derive(Debug, Default)]
pub(super) struct PlotView {
    /// How often event time is halved.
    zoom: u32,
    /// What was drawn when it was paused.
    paused: Option<PlotLines>,
    is_helping: bool,
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlotChange {
    End,
    Draw,
    Nothing,
}

impl PlotView {
    /// Does what a key asks for.
    pub(super) fn take(&mut self, event: ScreenEvent, lines: &mut PlotLines) -> PlotChange {
        let ScreenEvent::Key(key) = event else {
            return match event {
                ScreenEvent::Interrupt => PlotChange::End,
                _ => PlotChange::Draw,
            };
        };
        match key {
            KeyCode::Esc if self.is_helping => self.is_helping = false,
            KeyCode::Char('q') | KeyCode::Esc => return PlotChange::End,
            KeyCode::Char(' ') => {
                self.paused = match self.paused.take() {
                    Some(_) => None,
                    None => Some(lines.clone()),
                };
            }
            KeyCode::Char('+' | '=') => self.zoom = (self.zoom + 1).min(CLOSEST),
            KeyCode::Char('-') => self.zoom = self.zoom.saturating_sub(1),
            KeyCode::Char('?') => self.is_helping = !self.is_helping,
            KeyCode::Char(digit @ '1'..='8') => {
                let index = (digit as usize) - ('1' as usize);
                lines.toggle(index);
                if let Some(paused) = &mut self.paused {
                    paused.toggle(index);
                }
            }
            _ => return PlotChange::Nothing,
        }
        PlotChange::Draw
    }

    /// The range of event time that is drawn of these series.
    fn times(&self, shown: &[(usize, &PlotLine)]) -> Option<RangeInclusive<i64>> {
        let (first, last) = event_times(shown.iter().map(|(_, line)| &line.values))?;
        let span = last.saturating_sub(first) >> self.zoom;
        Some(last.saturating_sub(span)..=last)
    }
}

/// What else is said.
#[derive(Debug, Default)]
pub(super) struct PlotStatus {
    /// The first line: topics, group, partitions.
    pub(super) title: String,
    /// What is wrong right now.
    pub(super) problem: Option<String>,
}

/// Draws everything.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    lines: &PlotLines,
    view: &PlotView,
    status: &PlotStatus,
    has_colours: bool,
) {
    let lines = view.paused.as_ref().unwrap_or(lines);
    let area = frame.area();
    let mut notes = lines.notes();
    notes.extend(status.problem.clone());
    let legend = legend(lines, usize::from(area.width), has_colours);
    let height = |rows: usize| u16::try_from(rows).unwrap_or(u16::MAX).min(area.height / 3);
    let [title, chart, names, below] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(height(legend.len())),
        Constraint::Length(height(notes.len())),
    ])
    .areas(area);
    let paused = if view.paused.is_some() {
        " · paused"
    } else {
        ""
    };
    let text = format!("{}{paused}", status.title);
    frame.render_widget(Paragraph::new(text).bold(), title);
    frame.render_widget(Paragraph::new("? help").alignment(Alignment::Right), title);
    draw_chart(frame, chart, lines, view, has_colours);
    frame.render_widget(Paragraph::new(legend), names);
    let notes: Vec<Line<'_>> = notes.into_iter().map(Line::from).collect();
    frame.render_widget(Paragraph::new(notes), below);
    if view.is_helping {
        draw_help(frame, area);
    }
}

fn draw_chart(
    frame: &mut Frame<'_>,
    area: Rect,
    lines: &PlotLines,
    view: &PlotView,
    has_colours: bool,
) {
    let shown: Vec<(usize, &PlotLine)> = lines.iter().filter(|(_, line)| !line.is_hidden).collect();
    let Some(times) = view.times(&shown) else {
        let why = match lines.iter().next() {
            Some(_) => "all series are hidden",
            None => "no readings yet",
        };
        frame.render_widget(Paragraph::new(why).alignment(Alignment::Center), area);
        return;
    };
    // A cell has two columns of dots.
    let columns = ChartColumns::new(&times, 2 * usize::from(area.width.max(1)));
    let curves = shown.iter().map(|(index, line)| ChartLine {
        // The names are below, with the last values.
        name: String::new(),
        colour: lines.colours(*index).at_terminal(has_colours),
        marker: if has_colours {
            Marker::Braille
        } else {
            Marker::Custom(MARKERS[*index])
        },
        layer: look::layer(lines.side(*index)),
        values: columns.of(&line.values, times.clone()),
    });
    let curves: Vec<ChartLine> = curves.collect();
    let values = || {
        let values = curves
            .iter()
            .flat_map(|curve| curve.values.iter().flatten());
        values.map(|value| value.value.clamp(-FAR, FAR))
    };
    let (lowest, highest) = (values().fold(FAR, f64::min), values().fold(-FAR, f64::max));
    let units: Vec<_> = shown.iter().map(|(_, line)| line.values.unit()).collect();
    let is_one = units.windows(2).all(|pair| pair[0] == pair[1]);
    let unit = units.first().copied().flatten().filter(|_| is_one);
    let chart = LineChart {
        lines: &curves,
        times,
        bounds: Some([lowest - MARGIN, highest + MARGIN]),
        unit: unit.as_ref().map_or("", |unit| unit.symbol()),
    };
    frame.render_widget(chart, area);
}

/// The names of all series with their last values, in as many columns as there is room for.
fn legend(lines: &PlotLines, width: usize, has_colours: bool) -> Vec<Line<'static>> {
    let entries: Vec<(usize, bool, String)> = lines
        .iter()
        .map(|(index, line)| {
            let last = line.values.values().back();
            let value = last.map_or("–".to_owned(), |last| look::number(last.value, 2));
            let unit = line.values.unit();
            let unit = unit.map_or(String::new(), |unit| format!(" {}", unit.symbol()));
            let hidden = if line.is_hidden { " (hidden)" } else { "" };
            let text = format!("{} {value}{unit}{hidden}", lines.name(line));
            (index, line.is_hidden, text)
        })
        .collect();
    let widest = entries.iter().map(|(.., text)| text.chars().count()).max();
    // The key and the marker stand before it, and space behind it.
    let cell = widest.unwrap_or_default() + 7;
    let columns = (width / cell).max(1);
    let rows = entries.chunks(columns).map(|row| {
        let spans = row.iter().flat_map(|(index, is_hidden, text)| {
            let colour = Style::default().fg(lines.colours(*index).at_terminal(has_colours));
            let style = if *is_hidden {
                Style::default().dim()
            } else {
                Style::default()
            };
            let padded = format!(" {text:width$}", width = cell - 4);
            let marker = if has_colours { '━' } else { MARKERS[*index] };
            [
                Span::styled(format!("{} {marker}", index + 1), colour),
                Span::styled(padded, style),
            ]
        });
        Line::from(spans.collect::<Vec<_>>())
    });
    rows.collect()
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let rows = u16::try_from(HELP.lines().count() + 2).unwrap_or(u16::MAX);
    let (width, height) = (40.min(area.width), rows.min(area.height));
    let middle = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, middle);
    let help = Paragraph::new(HELP)
        .wrap(Wrap { trim: false })
        .block(Block::bordered().title(" rivulet plot "));
    frame.render_widget(help, middle);
}

#[cfg(test)]
mod tests;
