//! What somebody at the screen has chosen: [`TopState`].

use crossterm::event::KeyCode;

use super::keys::{self, TopKey};
use super::snapshot::TopSnapshot;
use super::tree::{self, StageOrder};
use crate::live::{PipelineFigures, StageFigures};

/// The shortest time that a chart shows, in milliseconds.
const SHORTEST: i64 = 10;

/// What stays the same while the screen is shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct TopAbout {
    /// The command.
    pub(crate) title: String,
    /// The pipeline file.
    pub(crate) pipeline: String,
    /// The brokers.
    pub(crate) brokers: String,
    /// Where a page shows the same.
    pub(crate) page: Option<String>,
    /// Whether there are colours.
    pub(crate) has_colours: bool,
}

/// What somebody at the screen has chosen.
#[derive(Debug, Clone, Default)]
pub(crate) struct TopState {
    pub(super) about: TopAbout,
    pub(super) view: View,
    /// The name of a stage. `None` is the first one.
    stage: Option<String>,
    /// The name of a sensor. `None` is the first one.
    pub(super) sensor: Option<String>,
    /// How often the time that is shown is halved.
    halvings: u32,
    pub(super) order: StageOrder,
    pub(super) is_paused: bool,
    /// What is typed to search a sensor, and the sensor before.
    pub(super) search: Option<(String, Option<String>)>,
}

/// What covers the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum View {
    /// The pipeline.
    #[default]
    Pipeline,
    /// The chosen stage, from this line on.
    Details(u16),
    /// All keys, from this line on.
    Help(u16),
}

impl TopState {
    /// The pipeline with this sensor.
    pub(crate) fn new(about: TopAbout, sensor: Option<String>) -> Self {
        TopState {
            about,
            sensor,
            ..TopState::default()
        }
    }

    /// The stage that is chosen.
    pub(super) fn stage<'f>(&self, figures: &'f PipelineFigures) -> Option<&'f StageFigures> {
        let mut stages = figures.stages.iter();
        let chosen = stages.find(|stage| Some(&stage.stage) == self.stage.as_ref());
        let rows = || tree::rows(&figures.stages, self.order);
        chosen.or_else(|| rows().first().map(|row| row.stage))
    }

    /// Its name.
    pub(super) fn stage_name(&self, figures: &PipelineFigures) -> Option<String> {
        self.stage(figures).map(|stage| stage.stage.clone())
    }

    /// The event times that the chart shows.
    pub(super) fn times(&self, (first, last): (i64, i64)) -> (i64, i64) {
        let span = last.saturating_sub(first);
        let span = span >> self.halvings.min(62);
        (last.saturating_sub(span), last)
    }

    /// Does what a key says. Returns whether that ends the screen.
    pub(super) fn press(&mut self, code: KeyCode, snapshot: &TopSnapshot) -> bool {
        if self.search.is_some() {
            self.search(code, snapshot);
            return false;
        }
        let Some(key) = keys::meant(code) else {
            return false;
        };
        match (key, &mut self.view) {
            (TopKey::Quit, View::Pipeline) => return true,
            (TopKey::Quit | TopKey::Back, _)
            | (TopKey::Help, View::Help(_))
            | (TopKey::Details, View::Details(_)) => self.view = View::Pipeline,
            (TopKey::Help, _) => self.view = View::Help(0),
            (TopKey::Pause, _) => self.is_paused = !self.is_paused,
            (TopKey::Down, View::Details(line) | View::Help(line)) => {
                *line = line.saturating_add(1);
            }
            (TopKey::Up, View::Details(line) | View::Help(line)) => *line = line.saturating_sub(1),
            (_, View::Help(_)) => (),
            (TopKey::Down, View::Pipeline) => self.step(1, snapshot),
            (TopKey::Up, View::Pipeline) => self.step(-1, snapshot),
            (TopKey::Details, View::Pipeline) => self.view = View::Details(0),
            (TopKey::Next, _) => self.turn(1, snapshot),
            (TopKey::Previous, _) => self.turn(-1, snapshot),
            (TopKey::Search, _) => {
                self.view = View::Pipeline;
                self.search = Some((String::new(), self.sensor.clone()));
            }
            (TopKey::Closer, _) => self.zoom(snapshot),
            (TopKey::Farther, _) => self.halvings = self.halvings.saturating_sub(1),
            (TopKey::All, _) => self.halvings = 0,
            (TopKey::Order, _) => self.order = self.order.next(),
        }
        false
    }

    /// Chooses another stage.
    fn step(&mut self, by: isize, snapshot: &TopSnapshot) {
        let rows = tree::rows(&snapshot.figures.stages, self.order);
        let chosen = self.stage(&snapshot.figures);
        let at = rows.iter().position(|row| Some(row.stage) == chosen);
        let next = at.unwrap_or_default().saturating_add_signed(by);
        let row = rows.get(next.min(rows.len().saturating_sub(1)));
        self.stage = row.map(|row| row.stage.stage.clone());
    }

    /// Chooses another sensor; after the last one comes the first one.
    fn turn(&mut self, by: isize, snapshot: &TopSnapshot) {
        let count = snapshot.sensors.len();
        if count > 0 {
            let at = snapshot.sensor.unwrap_or_default();
            // One back is as many forward as there are others.
            let next = (at + count).saturating_add_signed(by) % count;
            self.sensor = snapshot.sensors.get(next).cloned();
        }
    }

    fn zoom(&mut self, snapshot: &TopSnapshot) {
        let shown = snapshot.times().map(|times| self.times(times));
        if shown.is_some_and(|(first, last)| last.saturating_sub(first) >= 2 * SHORTEST) {
            self.halvings += 1;
        }
    }

    /// A key while a sensor is searched.
    fn search(&mut self, code: KeyCode, snapshot: &TopSnapshot) {
        let Some((text, before)) = &mut self.search else {
            return;
        };
        match code {
            KeyCode::Esc => {
                self.sensor = before.clone();
                self.search = None;
                return;
            }
            KeyCode::Enter => {
                self.search = None;
                return;
            }
            KeyCode::Backspace => drop(text.pop()),
            KeyCode::Char(character) => text.push(character),
            _ => return,
        }
        if let Some(found) = found(text, &snapshot.sensors).next() {
            self.sensor = Some(found.to_owned());
        }
    }
}

/// The sensors that a search finds: first those that begin with the text.
pub(super) fn found<'s>(text: &str, sensors: &'s [String]) -> impl Iterator<Item = &'s str> {
    let text = text.to_lowercase();
    let with = move |begins: bool| {
        let text = text.clone();
        sensors.iter().map(String::as_str).filter(move |name| {
            let name = name.to_lowercase();
            name.starts_with(&text) == begins && name.contains(&text)
        })
    };
    with(true).chain(with(false))
}
