//! What a pipeline does right now, for everything that shows it: a terminal, a page, a report.
//!
//! [`Live`] holds what has been seen: the last readings of the topics that are compared, the
//! figures of each stage, and the dead letters. [`watch`] keeps it up to date while somebody looks.
//! Nothing is changed on the cluster, no group is joined, and whoever looks never holds up those
//! who read.

mod columns;
mod dead_letters;
mod exposition;
mod figures;
mod groups;
mod processes;
mod rate;
mod reader;
mod readings;
mod series;
mod topics;
mod watch;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::format::Format;
use rivulet_core::shutdown::Shutdown;
use rivulet_kafka::{Connection, ReadFrom};

pub use self::columns::ChartColumns;
pub use self::dead_letters::{DeadLetterLog, ShownDeadLetter, StageDeadLetters};
pub use self::figures::{PipelineFigures, StageCondition, StageFigures};
use self::groups::{SeenGroups, look_at_groups};
pub use self::readings::{LiveReadings, LiveTopic};
pub use self::series::{TimeSeries, TimedValue, common_unit, event_times};
pub use self::topics::LiveTopics;
use self::watch::FiguresWatch;
use crate::CheckedPipeline;
use crate::groups::ProcessTargets;

/// How soon a stop is seen.
const TICK: Duration = Duration::from_millis(50);
/// The time between two looks at the stages.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the first look at the stages waits for that at their groups.
const FIRST: Duration = Duration::from_secs(10);

/// What has been seen of a pipeline.
pub struct Live {
    /// How the topics are read, until somebody reads them.
    formats: Mutex<Vec<Box<dyn Format>>>,
    readings: Mutex<LiveReadings>,
    reading_error: Mutex<Option<String>>,
    figures: Mutex<Arc<PipelineFigures>>,
    dead_letters: Mutex<DeadLetterLog>,
}

/// How a pipeline is watched.
#[derive(Debug, Clone)]
pub struct LiveSettings {
    /// Where reading starts.
    pub from: ReadFrom,
    /// The processes that are asked for their metrics.
    pub targets: Option<ProcessTargets>,
    /// Whether the brokers can tell of consumer groups. The embedded one cannot.
    pub asks_groups: bool,
}

impl Live {
    /// Nothing yet of these topics.
    #[must_use]
    pub fn new(topics: LiveTopics) -> Self {
        let LiveTopics {
            topics,
            formats,
            comparison,
        } = topics;
        Live {
            formats: Mutex::new(formats),
            readings: Mutex::new(LiveReadings::new(topics, comparison)),
            reading_error: Mutex::default(),
            figures: Mutex::default(),
            dead_letters: Mutex::default(),
        }
    }

    /// The readings. Whoever has them holds up reading, so take what you need and let go.
    pub fn readings(&self) -> MutexGuard<'_, LiveReadings> {
        lock(&self.readings)
    }

    /// Why no readings can be read.
    #[must_use]
    pub fn reading_error(&self) -> Option<String> {
        lock(&self.reading_error).clone()
    }

    fn take_formats(&self) -> Vec<Box<dyn Format>> {
        std::mem::take(&mut *lock(&self.formats))
    }

    fn set_reading_error(&self, error: Option<String>) {
        *lock(&self.reading_error) = error;
    }

    /// The figures of the last look.
    #[must_use]
    pub fn figures(&self) -> Arc<PipelineFigures> {
        lock(&self.figures).clone()
    }

    /// The dead letters.
    pub fn dead_letters(&self) -> MutexGuard<'_, DeadLetterLog> {
        lock(&self.dead_letters)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps `live` up to date until `show` returns, and returns what it does.
pub fn watch<T>(
    pipeline: &CheckedPipeline<'_>,
    live: &Live,
    settings: &LiveSettings,
    show: impl FnOnce() -> T,
) -> T {
    let stop = Shutdown::new();
    let (stop, groups) = (&stop, &SeenGroups::default());
    let connection = &pipeline.connection();
    thread::scope(|scope| {
        scope.spawn(|| reader::read(connection, live, settings.from, stop));
        scope.spawn(|| dead_letters::read(pipeline, live, stop));
        if settings.asks_groups {
            scope.spawn(|| look_at_groups(pipeline, groups, INTERVAL, stop));
        }
        scope.spawn(|| look(pipeline, live, settings, groups, stop));
        // Also if it panics: otherwise the threads would be waited for.
        let _stopped = StopOnDrop(stop);
        show()
    })
}

/// Keeps the readings of `live` up to date until `show` returns, and returns what it does. For
/// topics without a pipeline.
pub fn watch_topics<T>(
    connection: &Connection,
    live: &Live,
    from: ReadFrom,
    show: impl FnOnce() -> T,
) -> T {
    let stop = Shutdown::new();
    let stop = &stop;
    thread::scope(|scope| {
        scope.spawn(|| reader::read(connection, live, from, stop));
        let _stopped = StopOnDrop(stop);
        show()
    })
}

/// The figures of the stages now, from two looks one second apart.
#[must_use]
pub fn figures_now(
    pipeline: &CheckedPipeline<'_>,
    targets: Option<&ProcessTargets>,
) -> PipelineFigures {
    let (stop, groups) = (Shutdown::new(), SeenGroups::default());
    thread::scope(|scope| {
        let _stopped = StopOnDrop(&stop);
        scope.spawn(|| look_at_groups(pipeline, &groups, INTERVAL, &stop));
        let mut watch = FiguresWatch::new(pipeline, targets, &groups);
        first_look(&groups, &stop);
        watch.look();
        thread::sleep(INTERVAL);
        watch.look()
    })
}

/// Waits for so long, but not on after a stop.
fn pause(span: Duration, stop: &Shutdown) {
    let begun = Instant::now();
    while begun.elapsed() < span && !stop.is_stopping() {
        thread::sleep(TICK.min(span));
    }
}

/// Waits for the first look at the groups, but not for ever.
fn first_look(groups: &SeenGroups, stop: &Shutdown) {
    let begun = Instant::now();
    while lock(groups).is_none() && begun.elapsed() < FIRST && !stop.is_stopping() {
        thread::sleep(TICK);
    }
}

struct StopOnDrop<'s>(&'s Shutdown);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Looks at the stages every second until it is asked to stop.
fn look(
    pipeline: &CheckedPipeline<'_>,
    live: &Live,
    settings: &LiveSettings,
    groups: &SeenGroups,
    stop: &Shutdown,
) {
    if settings.asks_groups {
        first_look(groups, stop);
    }
    let mut watch = FiguresWatch::new(pipeline, settings.targets.as_ref(), groups);
    let mut next = Instant::now();
    while !stop.is_stopping() {
        *lock(&live.figures) = Arc::new(watch.look());
        next = (next + INTERVAL).max(Instant::now());
        pause(next.saturating_duration_since(Instant::now()), stop);
    }
}
