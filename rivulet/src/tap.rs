//! What an operator stage read beside what it made of it: `rivulet tap`.
//!
//! An output keeps the timestamp of its input, and the sensor, the sequence number and the time of
//! a reading: that is how they are found. A dead letter names its input. A record is called dropped
//! only once the stage's committed offset is behind it, and everything that was written until then
//! has been read.

mod json;
mod line;
mod matcher;
mod reader;
mod records;
mod topics;

use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::error::{Error, Kind};
use rivulet_core::topic_source::ReadProgress;
use rivulet_node::cli::BoxError;

use self::line::TapLines;
use self::reader::{Clients, TapReader};
use self::topics::TapTopics;
use crate::text::plural;
use crate::{CheckedPipeline, print};

/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// The time between two tries to reach the brokers.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a transaction may hide what a stage has written.
const HIDDEN: Duration = Duration::from_secs(15);
/// How long records wait until that is said.
const LONG: Duration = Duration::from_secs(5);

/// What is shown.
#[derive(Debug, Clone, Default)]
pub struct TapSettings {
    /// The last so many records of the inputs; `None` for new ones only.
    pub last: Option<u32>,
    /// Go on after the last ones.
    pub follow: bool,
    /// Only this sensor.
    pub sensor: Option<String>,
    /// As JSON.
    pub json: bool,
}

/// Shows what an operator stage reads and what it makes of it: the last records, or new ones until
/// the process is ended.
///
/// # Errors
/// If there is no such operator, a topic does not exist, or the brokers are unreachable at first.
pub fn run(
    pipeline: &CheckedPipeline<'_>,
    stage: &str,
    settings: &TapSettings,
) -> Result<(), BoxError> {
    let topics = TapTopics::of_stage(pipeline, stage)?;
    let lines = TapLines::new(&topics, settings);
    let reader = TapReader::new(pipeline, &topics, settings.sensor.as_deref());
    let mut tap = Tap {
        settings,
        topics: &topics,
        reader,
        lines,
        is_started: false,
        outage: None,
        waiting_since: None,
    };
    loop {
        let mut silent = |_: ReadProgress<'_>| ();
        let ended = tap.reader.connect(&mut silent);
        let ended = ended.map_err(BoxError::from);
        let Err(error) = ended.and_then(|clients| tap.follow(clients)) else {
            return Ok(());
        };
        tap.check(error)?;
        thread::sleep(AGAIN);
    }
}

struct Tap<'t> {
    settings: &'t TapSettings,
    topics: &'t TapTopics<'t>,
    reader: TapReader<'t>,
    lines: TapLines<'t>,
    is_started: bool,
    /// The outage that was said.
    outage: Option<Kind>,
    /// Since when records wait; and whether that was said.
    waiting_since: Option<(Instant, bool)>,
}

impl Tap<'_> {
    /// Passes on an error, unless it may pass: then it is said once.
    fn check(&mut self, error: BoxError) -> Result<(), BoxError> {
        let kind = error.downcast_ref::<Error>().map(Error::kind);
        let goes_on = self.is_started && !self.is_once() && kind == Some(Kind::Unreachable);
        if !goes_on {
            return Err(error);
        }
        if self.outage != kind {
            print::aside(format_args!("{error}\n  tapping goes on"));
        }
        self.outage = kind;
        Ok(())
    }

    /// Whether it ends after the last records.
    fn is_once(&self) -> bool {
        self.settings.last.is_some() && !self.settings.follow
    }

    fn follow(&mut self, mut clients: Clients<'_>) -> Result<(), BoxError> {
        if !self.is_started {
            match self.settings.last {
                Some(count) => self.reader.start_with_last(&mut clients, count)?,
                None => self.reader.start_now(&clients)?,
            }
            self.is_started = true;
            if !self.is_once() {
                print::aside(self.topics);
            }
        }
        let begun = Instant::now();
        loop {
            let settled = self.reader.round(&mut clients)?;
            self.outage = None;
            let left_out = self.reader.matcher.take_left_out();
            if left_out > 0 {
                print::aside(format_args!(
                    "{} left out: too many wait for {}",
                    plural(left_out.cast_signed(), "record"),
                    self.topics.stage.name
                ));
            }
            if self.is_once() && (settled.is_some() || begun.elapsed() > HIDDEN) {
                let mut matched = settled.unwrap_or_default();
                matched.extend(self.reader.matcher.rest());
                matched.sort_by_key(|one| (one.input.timestamp, one.input.place));
                self.lines.print(&matched)?;
                print::aside(self.lines.summary());
                return Ok(());
            }
            self.lines.print(&settled.unwrap_or_default())?;
            self.say_waiting();
            thread::sleep(PAUSE);
        }
    }

    /// Says once that the stage does not go on.
    fn say_waiting(&mut self) {
        let count = self.reader.matcher.waiting();
        if count == 0 {
            self.waiting_since = None;
            return;
        }
        let (since, is_said) = self.waiting_since.get_or_insert((Instant::now(), false));
        if !*is_said && since.elapsed() > LONG {
            *is_said = true;
            let stage = &self.topics.stage.name;
            print::aside(format_args!(
                "{} not yet read by {stage}: is it running? rivulet groups --stages {stage}",
                plural(i64::try_from(count).unwrap_or(i64::MAX), "record"),
            ));
        }
    }
}
