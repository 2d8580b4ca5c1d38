//! Where everything is on the screen: [`draw`].

use jiff::Timestamp;
use jiff::tz::TimeZone;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Paragraph, Widget, Wrap};
use rivulet_core::text::plain;

use super::paint::{self, BOLD, CHOSEN, DIM};
use super::snapshot::TopSnapshot;
use super::state::{TopState, View};
use super::{comparison, details, help, keys, messages, readings, stages};
use crate::terminal::fit;

/// The smallest terminal that has room.
const LEAST: (u16, u16) = (60, 16);
/// The narrowest chart beside the figures of the comparison.
const CHART: usize = 34;

/// Draws the screen.
pub(super) fn draw(frame: &mut Frame<'_>, state: &TopState, snapshot: &TopSnapshot) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let (width, height) = LEAST;
        let said = format!(
            "This terminal has {} × {} characters. It needs {width} × {height}.",
            area.width, area.height
        );
        Paragraph::new(said)
            .wrap(Wrap { trim: true })
            .render(area, buffer);
        return;
    }
    let [top, body, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    let width = usize::from(area.width);
    paint::lines([title(state, snapshot, width)], top, buffer);
    match state.view {
        View::Pipeline => pipeline(state, snapshot, body, buffer),
        View::Details(start) => {
            scrolled(details::lines(state, snapshot, width), start, body, buffer);
        }
        View::Help(start) => scrolled(help::lines(state, snapshot), start, body, buffer),
    }
    let keys = match (&state.search, state.view) {
        (Some((text, _)), _) => messages::search(text, snapshot, width),
        (None, View::Pipeline) => keys_line(&keys::IMPORTANT, width),
        (None, _) => keys_line(
            &[("Esc", "back"), ("↑↓", "scroll"), ("space", "pause")],
            width,
        ),
    };
    paint::lines([keys], bottom, buffer);
}

/// Lines from one of them on. Those that are too long are wrapped.
fn scrolled(lines: Vec<Line<'static>>, start: u16, area: Rect, buffer: &mut Buffer) {
    let last = u16::try_from(lines.len())
        .unwrap_or(u16::MAX)
        .saturating_sub(1);
    let text = Paragraph::new(Text::from(lines)).wrap(Wrap { trim: false });
    text.scroll((start.min(last), 0)).render(area, buffer);
}

/// The command and the pipeline, and at the right whether it is paused, and the time.
fn title(state: &TopState, snapshot: &TopSnapshot, width: usize) -> Line<'static> {
    let about = &state.about;
    let time = Timestamp::from_millisecond(snapshot.figures.time).ok();
    let time = time.filter(|_| snapshot.figures.time > 0).map(|time| {
        let time = time.to_zoned(TimeZone::UTC);
        format!(" {} UTC", time.strftime("%H:%M:%S"))
    });
    let time = time.unwrap_or_default();
    let paused = if state.is_paused { " PAUSED " } else { "" };
    let others = fit::width(&about.title) + fit::width(&time) + fit::width(paused);
    let room = width.saturating_sub(others);
    let (path, brokers) = (plain(&about.pipeline), plain(&about.brokers));
    let page = about
        .page
        .as_deref()
        .map_or_else(String::new, |page| format!("{page}  "));
    let mut pipeline = format!("  {page}{path}  {brokers}");
    if fit::width(&pipeline) > room {
        // The name of the file says more than its folders.
        let (_, file) = path.rsplit_once('/').unwrap_or(("", &path));
        pipeline = format!("  {page}{file}  {brokers}");
    }
    Line::from_iter([
        Span::styled(about.title.clone(), BOLD),
        Span::raw(fit::left(&pipeline, room)),
        Span::styled(paused, CHOSEN.patch(BOLD)),
        Span::raw(time),
    ])
}

/// As many keys as there is room for.
fn keys_line(keys: &[(&str, &str)], width: usize) -> Line<'static> {
    let mut line = Line::default();
    for (key, does) in keys {
        let text = format!(" {does}   ");
        if line.width() + fit::width(key) + fit::width(&text) > width {
            break;
        }
        line.push_span(Span::styled((*key).to_owned(), BOLD));
        line.push_span(Span::styled(text, DIM));
    }
    line
}

/// The messages, the stages, and the readings with their comparison.
fn pipeline(state: &TopState, snapshot: &TopSnapshot, area: Rect, buffer: &mut Buffer) {
    let all = messages::all(state, snapshot);
    // Without readings there is room for all of them below.
    let is_empty = snapshot.sensors.is_empty();
    let room = if is_empty {
        0
    } else {
        usize::from(area.height / 12).clamp(1, 3)
    };
    let said = messages::lines(&all, room, area.width.into());
    let messages = u16::try_from(said.len()).unwrap_or(1);
    let left = area.height.saturating_sub(messages);
    // Two more for what is below the table.
    let table = (stages::height(snapshot) + 2).min((left / 2).max(5));
    let [messages, table, lower] = Layout::vertical([
        Constraint::Length(messages),
        Constraint::Length(table),
        Constraint::Fill(1),
    ])
    .areas(area);
    paint::lines(said, messages, buffer);
    stages::draw(state, snapshot, table, buffer);
    let [head, lower] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(lower);
    if is_empty {
        let waiting = Line::styled(readings::waiting(snapshot), BOLD);
        let said = all
            .into_iter()
            .map(|(style, text)| Line::styled(text, style));
        let text: Text<'_> = std::iter::once(waiting).chain(said).collect();
        let area = head.union(lower);
        Paragraph::new(text)
            .wrap(Wrap { trim: true })
            .render(area, buffer);
        return;
    }
    paint::lines(
        [readings::title(state, snapshot, head.width.into())],
        head,
        buffer,
    );
    let figures = snapshot
        .comparison
        .as_ref()
        .filter(|figures| figures.joined > 0);
    let figures = figures.map_or_else(Vec::new, |figures| comparison::lines(figures, state));
    let needed = figures.iter().map(Line::width).max().unwrap_or_default();
    let (width, height) = (usize::from(lower.width), usize::from(lower.height));
    let (chart, beside) = if figures.is_empty() {
        (lower, Rect::ZERO)
    } else if needed + 2 + CHART <= width {
        let needed = u16::try_from(needed).unwrap_or(u16::MAX);
        let [chart, _, beside] = Layout::horizontal([
            Constraint::Fill(1),
            Constraint::Length(2),
            Constraint::Length(needed),
        ])
        .areas(lower);
        (chart, beside)
    } else if height >= figures.len() + 8 {
        let rows = u16::try_from(figures.len()).unwrap_or(u16::MAX);
        let parts = [Constraint::Fill(1), Constraint::Length(rows)];
        let [chart, below] = Layout::vertical(parts).areas(lower);
        (chart, below)
    } else {
        (lower, Rect::ZERO)
    };
    readings::draw(state, snapshot, chart, buffer);
    paint::lines(figures, beside, buffer);
}
