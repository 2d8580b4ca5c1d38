//! A full screen at the terminal: [`FullScreen`].

mod chart;
pub(crate) mod fit;

use std::io::{self, IsTerminal, Stdout};
use std::panic;
use std::time::Duration;

use crossterm::cursor::Show;
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::style::Color;
use rivulet_core::error::{Error, Kind, Result};

pub use self::chart::{ChartLine, LineChart};
use crate::look::SeriesColours;

/// How long to wait for a key at least: without any time, crossterm does not even look.
const SHORTEST: Duration = Duration::from_millis(1);

/// The whole terminal, until this is dropped. Then, and after a panic, it is as it was before.
pub struct FullScreen {
    /// What draws on it.
    pub terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl FullScreen {
    /// Takes the terminal. `name` is the command, for the error.
    ///
    /// # Errors
    /// If standard output is no terminal.
    pub fn take(name: &str) -> Result<Self> {
        let doing = || format!("showing {name}");
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(Error::new(doing(), "this is no terminal")
                .of_kind(Kind::Usage)
                .help("over ssh, `ssh -t` makes one"));
        }
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
        enable_raw_mode().map_err(|error| Error::caused_by(doing(), error))?;
        let taken = execute!(io::stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(io::stdout())));
        let terminal = taken.map_err(|error| {
            restore();
            Error::caused_by(doing(), error)
        })?;
        Ok(FullScreen { terminal })
    }

    /// The next key that is pressed, or a change of the size; `None` if there is neither in time.
    ///
    /// # Errors
    /// If the terminal is gone.
    pub fn next(&self, wait: Duration) -> io::Result<Option<ScreenEvent>> {
        if !event::poll(wait.max(SHORTEST))? {
            return Ok(None);
        }
        Ok(match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => Some(of_key(key)),
            Event::Resize(..) => Some(ScreenEvent::Resized),
            _ => None,
        })
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        restore();
    }
}

/// What somebody at the terminal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScreenEvent {
    /// Presses a key.
    Key(KeyCode),
    /// Presses Ctrl-C.
    Interrupt,
    /// Changes the size of the terminal.
    Resized,
}

fn of_key(key: KeyEvent) -> ScreenEvent {
    // In raw mode the terminal makes no signal of it.
    if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
        return ScreenEvent::Interrupt;
    }
    ScreenEvent::Key(key.code)
}

/// Gives the terminal back.
pub(crate) fn restore() {
    // If the terminal is gone, nobody sees it.
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
}

/// Whether there is a terminal that a full screen can be drawn on.
pub(crate) fn is_there() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !is_dumb && io::stdout().is_terminal() && io::stdin().is_terminal()
}

/// Whether colours are wanted: <https://no-color.org>.
#[must_use]
pub fn has_colours() -> bool {
    let is_set = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !is_set && !is_dumb
}

impl SeriesColours {
    /// Its colour at a terminal that [has colours](has_colours) or not.
    #[must_use]
    pub fn at_terminal(self, has_colours: bool) -> Color {
        if has_colours {
            Color::Indexed(self.terminal)
        } else {
            Color::Reset
        }
    }
}
