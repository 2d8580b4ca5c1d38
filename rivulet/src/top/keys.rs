//! The keys of the screen, and what they do: [`TopKey`].

use crossterm::event::KeyCode;

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TopKey {
    Up,
    Down,
    Next,
    Previous,
    Search,
    Closer,
    Farther,
    All,
    Pause,
    Order,
    Details,
    Help,
    Back,
    Quit,
}

/// What a key means.
pub(super) fn meant(code: KeyCode) -> Option<TopKey> {
    Some(match code {
        KeyCode::Up | KeyCode::Char('k') => TopKey::Up,
        KeyCode::Down | KeyCode::Char('j') => TopKey::Down,
        KeyCode::Right | KeyCode::Tab | KeyCode::Char('n') => TopKey::Next,
        KeyCode::Left | KeyCode::BackTab | KeyCode::Char('p') => TopKey::Previous,
        KeyCode::Char('/') => TopKey::Search,
        KeyCode::Char('+' | '=') => TopKey::Closer,
        KeyCode::Char('-') => TopKey::Farther,
        KeyCode::Char('0') => TopKey::All,
        KeyCode::Char(' ') => TopKey::Pause,
        KeyCode::Char('s') => TopKey::Order,
        KeyCode::Enter => TopKey::Details,
        KeyCode::Char('?') => TopKey::Help,
        KeyCode::Esc => TopKey::Back,
        KeyCode::Char('q') => TopKey::Quit,
        _ => return None,
    })
}

/// All keys, as the help shows them.
pub(super) const ALL: [(&str, &str); 12] = [
    ("↑ ↓  k j", "choose a stage"),
    ("← →  Tab  p n", "choose a sensor"),
    (
        "/",
        "search a sensor: type a part of its name, then Enter, or Esc for the one before",
    ),
    (
        "+ -",
        "show half of the event time, or twice as much, up to the latest reading",
    ),
    ("0", "show all event time"),
    ("space", "pause: nothing moves until you press it again"),
    (
        "s",
        "order the stages as the data flows, by lag, by rate or by state",
    ),
    (
        "Enter",
        "details of the chosen stage, with its partitions and its last dead letters",
    ),
    ("?", "this help"),
    ("Esc", "go back"),
    ("q", "go back, or end"),
    ("Ctrl-C", "end"),
];

/// The most important ones, the most important first.
pub(super) const IMPORTANT: [(&str, &str); 9] = [
    ("q", "end"),
    ("?", "help"),
    ("↑↓", "stage"),
    ("←→", "sensor"),
    ("Enter", "details"),
    ("+-", "zoom"),
    ("space", "pause"),
    ("/", "search"),
    ("s", "order"),
];
