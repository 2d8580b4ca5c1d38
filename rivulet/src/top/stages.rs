//! The table of the stages.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use rivulet_core::text::plain;

use super::paint::{self, BOLD, CHOSEN, UNKNOWN};
use super::snapshot::TopSnapshot;
use super::state::TopState;
use super::tree::{self, StageRow};
use crate::live::StageFigures;
use crate::look;
use crate::terminal::fit;

/// How many columns the rates of the last minute take at least, and at most.
const MINUTE: [usize; 2] = [8, 60];
/// How many columns the names of stages and of nodes take at most, if there is not much room.
const NAME: usize = 24;
const NODE: usize = 18;

/// What is said of memory that several stages share.
const SHARED: &str = "* its process runs other stages too: this is the memory of all";

/// What a column shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Stage,
    Node,
    State,
    RateIn,
    RateOut,
    Lag,
    Direction,
    P50,
    P99,
    Commits,
    Memory,
    Minute,
}

/// All columns, as they stand.
const COLUMNS: [Shown; 12] = [
    Shown::Stage,
    Shown::Node,
    Shown::State,
    Shown::RateIn,
    Shown::RateOut,
    Shown::Lag,
    Shown::Direction,
    Shown::P50,
    Shown::P99,
    Shown::Commits,
    Shown::Memory,
    Shown::Minute,
];

/// The columns that a narrow screen has no room for, the first one first.
const DROPPED: [Shown; 8] = [
    Shown::Minute,
    Shown::Memory,
    Shown::Commits,
    Shown::Node,
    Shown::P50,
    Shown::P99,
    Shown::RateIn,
    Shown::Direction,
];

impl Shown {
    fn head(self, state: &TopState) -> &'static str {
        match self {
            Shown::Stage => state.order.name(),
            Shown::Node => "node",
            Shown::State => "state",
            Shown::RateIn => "in/s",
            Shown::RateOut => "out/s",
            Shown::Lag => "lag",
            Shown::Direction => "",
            Shown::P50 => "p50",
            Shown::P99 => "p99",
            Shown::Commits => "commits/s",
            Shown::Memory => "memory",
            Shown::Minute => "last minute",
        }
    }

    fn cell(self, row: &StageRow<'_>) -> String {
        let stage = row.stage;
        let is_sink = stage.to.is_empty();
        let time = |time: Option<f64>| time.map_or_else(unknown, look::seconds);
        match self {
            Shown::Stage => row.label.clone(),
            Shown::Node => plain(&stage.nodes.join(", ")).into_owned(),
            Shown::State => stage.state.name().to_owned(),
            Shown::RateIn => rate(stage.rate_in, stage.is_estimate),
            Shown::RateOut if is_sink => String::new(),
            Shown::RateOut => rate(stage.rate_out, stage.is_estimate),
            Shown::Lag | Shown::Direction if stage.from.is_empty() => String::new(),
            Shown::Lag => lag(stage),
            Shown::Direction => {
                let direction = stage.lag.and_then(|lag| lag.direction);
                direction.map_or_else(String::new, |direction| direction.to_string())
            }
            Shown::P50 => time(stage.p50),
            Shown::P99 => time(stage.p99),
            Shown::Commits => rate(stage.commits, false),
            Shown::Memory => memory(stage),
            Shown::Minute => String::new(),
        }
    }

    fn is_number(self) -> bool {
        !matches!(
            self,
            Shown::Stage | Shown::Node | Shown::State | Shown::Direction | Shown::Minute
        )
    }
}

fn unknown() -> String {
    UNKNOWN.to_owned()
}

/// A rate, with `~` if it is an estimate.
pub(super) fn rate(rate: Option<f64>, is_estimate: bool) -> String {
    rate.map_or_else(unknown, |rate| {
        let about = if is_estimate { "~" } else { "" };
        format!("{about}{}", look::number(rate, usize::from(rate < 10.0)))
    })
}

fn lag(stage: &StageFigures) -> String {
    stage.lag.map_or_else(unknown, |lag| look::lag(lag.lag))
}

/// The memory, with a mark if other stages have a part of it.
pub(super) fn memory(stage: &StageFigures) -> String {
    let mark = if stage.shares_process { "*" } else { "" };
    stage
        .memory
        .map_or_else(unknown, |bytes| format!("{}{mark}", look::megabytes(bytes)))
}

/// Rates as bars, the latest at the right. The highest one leaves room to the row above.
fn bars(history: &[f64], columns: usize) -> String {
    const BARS: [char; 6] = ['▁', '▂', '▃', '▄', '▅', '▆'];
    let shown = &history[history.len().saturating_sub(columns)..];
    let highest = shown.iter().copied().fold(0.0, f64::max);
    let bar = |rate: &f64| {
        let share = if highest > 0.0 { rate / highest } else { 0.0 };
        let bar = BARS
            .iter()
            .zip(0_u8..)
            .find(|(_, level)| share * 5.0 < f64::from(*level) + 0.5);
        bar.map_or('▆', |(bar, _)| *bar)
    };
    shown.iter().map(bar).collect()
}

/// How many rows the table needs for its heading and all stages.
pub(super) fn height(snapshot: &TopSnapshot) -> u16 {
    u16::try_from(snapshot.figures.stages.len() + 1).unwrap_or(u16::MAX)
}

/// The columns that have room, each with its width and its cells.
struct Columns {
    shown: Vec<(Shown, usize, Vec<String>)>,
}

impl Columns {
    fn new(rows: &[StageRow<'_>], state: &TopState, width: usize) -> Self {
        let columns = COLUMNS.map(|shown| {
            let cells: Vec<String> = rows.iter().map(|row| shown.cell(row)).collect();
            let widest = cells.iter().map(|cell| fit::width(cell)).max();
            let least = fit::width(shown.head(state));
            let needed = widest.unwrap_or_default().max(least);
            let needed = match shown {
                Shown::Stage if width < 120 => needed.min(NAME.max(least)),
                Shown::Node => needed.min(NODE),
                Shown::Minute => needed.max(MINUTE[0]),
                _ => needed,
            };
            (shown, needed, cells)
        });
        let mut shown = Vec::from(columns);
        let sum = |shown: &[(Shown, usize, Vec<String>)]| {
            // Two columns are between two cells.
            shown
                .iter()
                .map(|(_, width, _)| width + 2)
                .sum::<usize>()
                .saturating_sub(2)
        };
        for dropped in DROPPED {
            if sum(&shown) > width {
                shown.retain(|(column, ..)| *column != dropped);
            }
        }
        let left = width.saturating_sub(sum(&shown));
        let missing = sum(&shown).saturating_sub(width);
        for (column, width, _) in &mut shown {
            match column {
                Shown::Minute => *width = (*width + left).min(MINUTE[1]),
                Shown::Stage => *width = width.saturating_sub(missing),
                _ => (),
            }
        }
        Columns { shown }
    }

    fn head(&self, state: &TopState) -> Line<'static> {
        let heads = self.shown.iter().map(|(shown, width, _)| {
            let head = shown.head(state);
            if shown.is_number() {
                fit::right(head, *width)
            } else {
                fit::left(head, *width)
            }
        });
        Line::styled(heads.collect::<Vec<_>>().join("  "), BOLD)
    }

    fn row(&self, index: usize, row: &StageRow<'_>, state: &TopState) -> Line<'static> {
        let mut line = Line::default();
        for (number, (shown, width, cells)) in self.shown.iter().enumerate() {
            let text = match shown {
                Shown::Minute => fit::right(&bars(&row.stage.history, *width), *width),
                _ if shown.is_number() => fit::right(&cells[index], *width),
                _ => fit::left(&cells[index], *width),
            };
            let style = match shown {
                Shown::State => state.of_state(row.stage),
                Shown::Minute => paint::DIM,
                _ => Style::new(),
            };
            if number > 0 {
                line.push_span("  ");
            }
            line.push_span(Span::styled(text, style));
        }
        line
    }

    fn has(&self, shown: Shown) -> bool {
        self.shown.iter().any(|(column, ..)| *column == shown)
    }
}

/// Draws the stages, below them what the mark at the memory means, and what the chosen one says.
pub(super) fn draw(state: &TopState, snapshot: &TopSnapshot, area: Rect, buffer: &mut Buffer) {
    let rows = tree::rows(&snapshot.figures.stages, state.order);
    let columns = Columns::new(&rows, state, area.width.into());
    let is_shared = rows.iter().any(|row| row.stage.shares_process);
    let mut below: Vec<Line<'_>> = Vec::new();
    if columns.has(Shown::Memory) && is_shared {
        below.push(Line::styled(SHARED, paint::DIM));
    }
    let chosen = rows
        .iter()
        .position(|row| Some(&row.stage.stage) == snapshot.stage.as_ref());
    below.extend(chosen.map(|index| said(rows[index].stage, state, area.width)));
    let room = usize::from(area.height)
        .saturating_sub(below.len() + 1)
        .max(1);
    // The chosen one stays on the screen.
    let start = chosen.map_or(0, |index| (index + 1).saturating_sub(room));
    let shown = rows.iter().enumerate().skip(start).take(room);
    let drawn = shown.map(|(index, row)| {
        let line = columns.row(index, row, state);
        if Some(index) == chosen {
            line.patch_style(CHOSEN)
        } else {
            line
        }
    });
    let head = std::iter::once(columns.head(state));
    paint::lines(head.chain(drawn).chain(below), area, buffer);
}

/// What the chosen stage says of itself.
fn said<'l>(stage: &StageFigures, state: &TopState, width: u16) -> Line<'l> {
    let name = plain(&stage.stage).into_owned();
    let sentence = if stage.sentence.is_empty() {
        format!(": {}, {}", stage.kind, stage.does)
    } else {
        format!(": {}", plain(&stage.sentence))
    };
    let name = fit::shortened(&name, usize::from(width) / 2);
    let left = usize::from(width).saturating_sub(fit::width(&name));
    Line::from_iter([
        Span::styled(name, BOLD),
        Span::styled(fit::shortened(&sentence, left), state.of_state(stage)),
    ])
}
