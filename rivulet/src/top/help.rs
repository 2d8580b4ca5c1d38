//! The help: all keys, what the columns mean, and all that there is to say in full.

use ratatui::text::{Line, Span};

use super::keys;
use super::messages;
use super::paint::BOLD;
use super::snapshot::TopSnapshot;
use super::state::TopState;
use crate::terminal::fit;

/// What the figures mean.
const MEANINGS: [(&str, &str); 5] = [
    (
        "in/s, out/s",
        "records a second; ~ is an estimate by offsets",
    ),
    (
        "lag",
        "records that are there and not processed yet, and where that goes",
    ),
    (
        "p50, p99",
        "time from the entry into the pipeline to the commit of the results",
    ),
    ("last minute", "the rate out, or in for a sink"),
    (
        "smoothness",
        "how much smoother than the input: 0 % is as rough, 100 % is constant",
    ),
];

/// The help, line by line.
pub(super) fn lines(state: &TopState, snapshot: &TopSnapshot) -> Vec<Line<'static>> {
    let entry = |(name, meaning): (&str, &str)| {
        Line::from_iter([
            Span::styled(fit::left(name, 15), BOLD),
            Span::raw(meaning.to_owned()),
        ])
    };
    let mut lines = vec![Line::styled("Keys", BOLD)];
    lines.extend(keys::ALL.map(entry));
    lines.push(Line::default());
    lines.push(Line::styled("Figures", BOLD));
    lines.extend(MEANINGS.map(entry));
    let said = messages::all(state, snapshot);
    if !said.is_empty() {
        lines.push(Line::default());
        lines.push(Line::styled("Notes", BOLD));
        lines.extend(
            said.into_iter()
                .map(|(style, text)| Line::styled(text, style)),
        );
    }
    lines
}
