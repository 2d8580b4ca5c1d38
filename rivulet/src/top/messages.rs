//! What the screen says in words: what it waits for, and what does not work.

use ratatui::style::Style;
use ratatui::text::Line;
use rivulet_core::text::plain;

use super::paint::{BOLD, DIM};
use super::readings;
use super::snapshot::TopSnapshot;
use super::state::{self, TopState};
use crate::terminal::fit;

/// What there is to say, what matters most first.
pub(super) fn all(state: &TopState, snapshot: &TopSnapshot) -> Vec<(Style, String)> {
    let mut said = Vec::new();
    if snapshot.figures.time == 0 {
        let brokers = plain(&state.about.brokers).into_owned();
        said.push((BOLD, format!("asking {brokers} …")));
    }
    let errors = [&snapshot.figures.error, &snapshot.reading_error];
    let mut errors: Vec<String> = errors
        .into_iter()
        .flatten()
        .map(|error| one_line(error))
        .collect();
    // Both are often the same.
    errors.dedup();
    said.extend(errors.into_iter().map(|error| (state.error(), error)));
    if let Some(sensor) = &state.sensor
        && !snapshot.sensors.is_empty()
        && snapshot.sensors.binary_search(sensor).is_err()
    {
        let name = readings::name(sensor);
        said.push((BOLD, format!("no reading of the sensor {name} yet")));
    }
    let notes = snapshot.figures.notes.iter().chain(&snapshot.left_out);
    said.extend(notes.map(|note| (DIM, one_line(note))));
    said
}

/// An error with its help, on one line.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(plain).collect::<Vec<_>>().join("; ")
}

/// As many as there is room for, a line each.
pub(super) fn lines(said: &[(Style, String)], room: usize, width: usize) -> Vec<Line<'static>> {
    let shown = said
        .iter()
        .take(room)
        .enumerate()
        .map(|(index, (style, text))| {
            let left = said.len() - room.min(said.len());
            let more = if index + 1 == room && left > 0 {
                format!(" (and {left} more: ?)")
            } else {
                String::new()
            };
            let text = fit::shortened(text, width.saturating_sub(fit::width(&more)));
            Line::styled(text + &more, *style)
        });
    shown.collect()
}

/// What is typed to search a sensor, and what it finds.
pub(super) fn search(text: &str, snapshot: &TopSnapshot, width: usize) -> Line<'static> {
    let found: Vec<&str> = state::found(text, &snapshot.sensors).collect();
    let names: Vec<String> = found
        .iter()
        .take(20)
        .map(|name| readings::name(name))
        .collect();
    let line = match found.len() {
        0 => format!("search: {}▏  no such sensor", plain(text)),
        count => format!(
            "search: {}▏  {count} found: {}",
            plain(text),
            names.join(", ")
        ),
    };
    Line::styled(fit::shortened(&line, width), BOLD)
}
