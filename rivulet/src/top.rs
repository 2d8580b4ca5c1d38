//! A pipeline at the terminal, as it is right now: `rivulet top`, and what `rivulet demo` shows.
//!
//! [`TopState`] is what somebody has chosen. A [`TopSnapshot`] is taken for each frame, so that no
//! lock is held while it is drawn. What draws is a function of both.

mod comparison;
mod details;
mod help;
mod keys;
mod layout;
mod messages;
mod paint;
mod readings;
mod snapshot;
mod stages;
mod state;
#[cfg(test)]
mod tests;
mod tree;

use std::io;
use std::time::{Duration, Instant};

use self::snapshot::TopSnapshot;
pub(crate) use self::state::{TopAbout, TopState};
use crate::live::Live;
use crate::terminal::{FullScreen, ScreenEvent};

/// How often the screen is drawn.
const FRAME: Duration = Duration::from_millis(250);
/// How often it is asked whether to go on.
const TICK: Duration = Duration::from_millis(50);

/// Shows what `live` has seen, until somebody wants to leave, or `goes_on` says no. Returns whether
/// somebody wanted to leave.
///
/// # Errors
/// If the terminal is gone.
pub(crate) fn show(
    screen: &mut FullScreen,
    live: &Live,
    mut state: TopState,
    goes_on: &mut dyn FnMut() -> bool,
) -> io::Result<bool> {
    let mut snapshot = TopSnapshot::default();
    let mut due = Instant::now();
    while goes_on() {
        if due <= Instant::now() {
            let (is_paused, sensor) = (state.is_paused, state.sensor.as_ref());
            snapshot.look(live, is_paused, sensor, &|figures| {
                state.stage_name(figures)
            });
            let draw = |frame: &mut ratatui::Frame<'_>| layout::draw(frame, &state, &snapshot);
            screen.terminal.draw(draw)?;
            due = Instant::now() + FRAME;
        }
        let wait = TICK.min(due.saturating_duration_since(Instant::now()));
        match screen.next(wait)? {
            None => continue,
            Some(ScreenEvent::Interrupt) => return Ok(true),
            Some(ScreenEvent::Key(key)) => {
                if state.press(key, &snapshot) {
                    return Ok(true);
                }
            }
            Some(ScreenEvent::Resized) => (),
        }
        due = Instant::now();
    }
    Ok(false)
}
