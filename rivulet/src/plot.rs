//! The sensors of any topics, drawn live: `rivulet plot`.
//!
//! It reads alone, or as a member of a consumer group. A member draws the sensors of the partitions
//! that it is assigned, and commits what it has drawn.

mod lines;
mod screen;
mod source;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::format::{DecodeError, Format};
use rivulet_core::listen_address::ListenAddress;
use rivulet_core::shutdown::Shutdown;
use rivulet_core::text::plain;
use rivulet_kafka::{Connection, OwnedRecord, ReadFrom};
use rivulet_node::cli::BoxError;
use rivulet_sinks::catalog::compare::Side;

use self::lines::PlotLines;
use self::screen::{PlotChange, PlotStatus, PlotView};
use self::source::{PlotEvent, PlotSource};
use crate::live::{self, Live, LiveTopic, LiveTopics};
use crate::print;
use crate::terminal::{self, FullScreen, has_colours};
use crate::web_page::{PageAbout, PipelinePage, random_token};

/// The time between two pictures.
const EVERY: Duration = Duration::from_millis(500);
/// How long records are read until keys are looked for.
const READING: Duration = Duration::from_millis(40);
/// How long to wait for a record.
const WAIT: Duration = Duration::from_millis(20);
/// The time between two tries to decode a record that needs a schema.
const AGAIN: Duration = Duration::from_secs(1);

/// A topic that is drawn.
pub struct PlotTopic {
    /// Its name as it was given.
    pub name: String,
    /// Its name in Kafka.
    pub in_kafka: String,
    /// How its records carry readings.
    pub format: Box<dyn Format>,
    /// What it is in the comparison of the pipeline, so that it has the colour of that.
    pub side: Option<Side>,
}

/// What is drawn.
pub struct PlotSettings {
    /// The topics.
    pub topics: Vec<PlotTopic>,
    /// Only these sensors; the first that come if there are none.
    pub sensors: Vec<String>,
    /// Where reading starts.
    pub from: ReadFrom,
    /// The consumer group to join.
    pub group: Option<String>,
}

/// Draws on a page at this address instead of the terminal, until a signal ends the process.
///
/// # Errors
/// If it cannot listen there, or a group is asked for: everybody who looks at a page sees the same.
pub fn page(
    connection: &Connection,
    settings: PlotSettings,
    brokers: &str,
    address: ListenAddress,
) -> Result<(), BoxError> {
    if settings.group.is_some() {
        return Err(
            Error::new("drawing on a page", "a page reads all partitions")
                .of_kind(Kind::Usage)
                .help("leave --group out, or leave --page out to draw at the terminal")
                .into(),
        );
    }
    let (mut topics, mut formats, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for topic in settings.topics {
        names.push(topic.name.clone());
        topics.push(LiveTopic {
            name: topic.name,
            in_kafka: topic.in_kafka,
            side: topic.side,
        });
        formats.push(topic.format);
    }
    let live = Arc::new(Live::new(LiveTopics {
        topics,
        formats,
        comparison: None,
    }));
    let about = PageAbout {
        name: "the page of the plot",
        title: names.join(", "),
        brokers: brokers.to_owned(),
        has_stages: false,
        option: "--page",
    };
    live::watch_topics(connection, &live, settings.from, || {
        let page = PipelinePage::start(&about, live.clone(), address, random_token()?)?;
        if !settings.sensors.is_empty() {
            print::aside(format_args!(
                "{} shows them",
                page.url_of(&settings.sensors)
            ));
        }
        loop {
            // Until a signal ends the process.
            thread::park();
        }
    })
}

/// Draws at the terminal until somebody ends it.
///
/// # Errors
/// If there is no terminal, the brokers are unreachable, or a topic does not exist.
pub fn run(
    connection: &Connection,
    settings: PlotSettings,
    shutdown: &Shutdown,
) -> Result<(), BoxError> {
    if !terminal::is_there() {
        return Err(Error::new("drawing a plot", "this is no terminal")
            .of_kind(Kind::Usage)
            .help(
                "draw on a page with --page PORT, or print the records with `rivulet consume`; \
                 over ssh, `ssh -t` makes a terminal",
            )
            .into());
    }
    let (mut names, mut in_kafka, mut formats) = (Vec::new(), Vec::new(), Vec::new());
    let sides = settings.topics.iter().map(|topic| topic.side).collect();
    for topic in settings.topics {
        names.push(topic.name);
        in_kafka.push(topic.in_kafka);
        formats.push(topic.format);
    }
    let group = settings.group.as_deref();
    let mut plotter = Plotter {
        source: PlotSource::new(connection, in_kafka, settings.from, group)?,
        formats,
        title: plain(&names.join(", ")).into_owned(),
        lines: PlotLines::new(names, sides, settings.sensors),
        held: None,
    };
    // It is given back before the group is left, which takes a moment.
    let mut screen = FullScreen::take("rivulet plot")?;
    plotter.draw_until_ended(&mut screen, shutdown)
}

struct Plotter<'c> {
    source: PlotSource<'c>,
    /// By topic.
    formats: Vec<Box<dyn Format>>,
    title: String,
    lines: PlotLines,
    /// A record that cannot be decoded yet, why, and when it was tried last.
    held: Option<(OwnedRecord, String, Instant)>,
}

impl Plotter<'_> {
    fn draw_until_ended(
        &mut self,
        screen: &mut FullScreen,
        shutdown: &Shutdown,
    ) -> Result<(), BoxError> {
        let mut view = PlotView::default();
        let mut due = Instant::now();
        while !shutdown.is_stopping() {
            self.read()?;
            let wait = self.held.as_ref().map_or(Duration::ZERO, |_| WAIT);
            while let Some(event) = screen.next(wait)? {
                match view.take(event, &mut self.lines) {
                    PlotChange::End => return Ok(()),
                    PlotChange::Draw => due = Instant::now(),
                    PlotChange::Nothing => (),
                }
            }
            if Instant::now() >= due {
                let status = self.status();
                let colours = has_colours();
                screen.terminal.draw(|frame| {
                    screen::draw(frame, &self.lines, &view, &status, colours);
                })?;
                due = Instant::now() + EVERY;
            }
        }
        Ok(())
    }

    /// Reads for a moment.
    fn read(&mut self) -> Result<()> {
        let held = self.held.take_if(|(.., tried)| tried.elapsed() > AGAIN);
        if let Some((record, ..)) = held {
            self.add(record)?;
        }
        let begun = Instant::now();
        while self.held.is_none() && begun.elapsed() < READING {
            match self.source.next(WAIT)? {
                PlotEvent::Record(record) => self.add(record)?,
                PlotEvent::Assigned(places) => self.lines.keep(&places),
                PlotEvent::Nothing => return Ok(()),
            }
        }
        Ok(())
    }

    fn add(&mut self, record: OwnedRecord) -> Result<()> {
        let fields = record.fields();
        let (place, offset) = (fields.partition(), fields.offset);
        match self.formats[fields.topic].decode(&fields) {
            Ok(readings) => {
                for reading in readings.as_slice() {
                    self.lines.add(place, reading);
                }
            }
            Err(DecodeError::Invalid(why)) => {
                self.lines.add_invalid(place, offset, &why.to_string());
            }
            Err(DecodeError::Unavailable(error)) => {
                self.held = Some((record, error.into_parts().0, Instant::now()));
                return Ok(());
            }
        }
        self.source.done(place, offset)
    }

    fn status(&self) -> PlotStatus {
        let title = match self.source.membership() {
            Some(membership) => format!("{} · {membership}", self.title),
            None => self.title.clone(),
        };
        let held = self.held.as_ref().map(|(_, why, _)| why.as_str());
        let problem = held.or(self.source.outage());
        PlotStatus {
            title: plain(&title).into_owned(),
            problem: problem.map(|why| format!("waiting: {}", plain(why))),
        }
    }
}
