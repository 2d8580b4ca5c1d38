//! Colours and weights of what is drawn, also without colours.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;

use super::state::TopState;
use crate::live::{StageCondition, StageFigures};
use crate::look::SeriesColours;

/// What a figure is that nobody knows.
pub(super) const UNKNOWN: &str = "–";

/// What stands out.
pub(super) const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
/// What stays in the background.
pub(super) const DIM: Style = Style::new().add_modifier(Modifier::DIM);
/// What is chosen.
pub(super) const CHOSEN: Style = Style::new().add_modifier(Modifier::REVERSED);

impl TopState {
    /// A style with a colour, if there are colours.
    fn coloured(&self, colour: Color) -> Style {
        if self.about.has_colours {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }

    /// The colour of a series.
    pub(super) fn series(&self, colours: SeriesColours) -> Color {
        colours.at_terminal(self.about.has_colours)
    }

    /// The style of an error.
    pub(super) fn error(&self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// The style of a state, beside its word.
    pub(super) fn of_state(&self, stage: &StageFigures) -> Style {
        let style = self.coloured(match stage.state {
            StageCondition::Ended => Color::Blue,
            StageCondition::Unknown => return DIM,
            StageCondition::Running => Color::Green,
            StageCondition::Starting => Color::Yellow,
            StageCondition::NotReady => Color::Magenta,
            StageCondition::Down => Color::Red,
        });
        match stage.state {
            StageCondition::Running => style,
            _ => style.add_modifier(Modifier::BOLD),
        }
    }
}

/// Writes lines into an area, as many as fit.
pub(super) fn lines<'l>(
    lines: impl IntoIterator<Item = Line<'l>>,
    area: Rect,
    buffer: &mut Buffer,
) {
    for (line, y) in lines.into_iter().zip(area.y..area.bottom()) {
        buffer.set_line(area.x, y, &line, area.width);
    }
}
