//! What the viewers of the page have in common: [`SharedPage`].

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use super::PageAbout;
use super::charts::ChartCache;
use super::parts::PageParts;
use super::shown;
use crate::live::Live;

/// How many may look at once.
const MOST_VIEWERS: usize = 100;
/// How long the parts of the page stay as they are. The viewers ask each second.
const FRESH: Duration = Duration::from_millis(900);
/// How long the table of all sensors stays as it is: it is long.
const FRESH_TABLE: Duration = Duration::from_secs(5);

/// What the viewers of the page have in common.
#[derive(Debug)]
pub(super) struct SharedPage {
    pub(super) live: Arc<Live>,
    pub(super) charts: ChartCache,
    about: String,
    viewers: AtomicUsize,
    parts: Mutex<(Option<Instant>, PageParts)>,
    /// The pages of the table that somebody sees, and when each was made.
    tables: Mutex<BTreeMap<usize, (Instant, Arc<str>)>>,
}

/// The place of one who looks. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct ViewerPlace(Arc<SharedPage>);

impl SharedPage {
    pub(super) fn new(about: &PageAbout, live: Arc<Live>) -> Self {
        SharedPage {
            about: shown::about(about, &live).to_string(),
            live,
            charts: ChartCache::default(),
            viewers: AtomicUsize::new(0),
            parts: Mutex::default(),
            tables: Mutex::default(),
        }
    }

    /// A place for one more. `None` if all are taken.
    pub(super) fn enter(self: &Arc<Self>) -> Option<ViewerPlace> {
        let place = ViewerPlace(self.clone());
        // What is dropped gives the place back.
        (self.viewers.fetch_add(1, Ordering::Relaxed) < MOST_VIEWERS).then_some(place)
    }

    /// Writes the parts that have changed after a turn into a list, and returns the turn now.
    pub(super) fn write_parts(&self, after: u64, json: &mut String) -> u64 {
        let mut parts = lock(&self.parts);
        let (made, parts) = &mut *parts;
        if made.is_none_or(|made| made.elapsed() >= FRESH) {
            *made = Some(Instant::now());
            parts.replace(self.all());
        }
        let (changed, turn) = parts.since(after);
        for (index, (name, part)) in changed.into_iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            // Writing to a string cannot fail.
            let _ = write!(json, "{comma}[{},{part}]", json!(name));
        }
        turn
    }

    fn all(&self) -> Vec<(String, String)> {
        let figures = self.live.figures();
        let sensors: Vec<String> = {
            let readings = self.live.readings();
            readings.sensors().map(str::to_owned).collect()
        };
        let dead_letters = self.live.dead_letters().clone();
        let mut parts = vec![
            ("about".to_owned(), self.about.clone()),
            ("graph".to_owned(), shown::graph(&figures).to_string()),
            (
                "status".to_owned(),
                shown::status(&self.live, &figures).to_string(),
            ),
            ("sensors".to_owned(), json!(sensors).to_string()),
        ];
        for stage in &figures.stages {
            parts.push((format!("stage/{}", stage.stage), shown::stage(stage)));
        }
        for (stage, letters) in dead_letters.stages {
            parts.push((format!("dead/{stage}"), json!(letters).to_string()));
        }
        parts
    }

    /// A page of the table of all sensors, as it was a moment ago.
    pub(super) fn table(&self, page: usize) -> Arc<str> {
        let page = page.min(self.live.readings().sensor_count() / shown::ROWS);
        let mut tables = lock(&self.tables);
        tables.retain(|_, (made, _)| made.elapsed() < FRESH_TABLE);
        let table = tables.entry(page).or_insert_with(|| {
            let table = shown::table(&self.live, page).to_string();
            (Instant::now(), table.into())
        });
        table.1.clone()
    }
}

impl Drop for ViewerPlace {
    fn drop(&mut self) {
        self.0.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
