//! How many events a second were sent: [`RateHistory`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rivulet_core::text::plain;
use serde::Serialize;

/// How many points are kept: five minutes, if there is one a second.
const POINTS: usize = 300;
/// How many keys are shown by name.
const NAMED: usize = 64;

/// The rates of the last points, in total and by key. A rate is Δcount/Δt with the time that has
/// passed indeed, however late a sample is.
///
/// It keeps 300 points. In them 64 keys are named at most; the others are summed.
#[derive(Debug)]
pub struct RateHistory {
    started: Instant,
    /// The last sample.
    at: Instant,
    counts: BTreeMap<String, u64>,
    points: VecDeque<Point>,
    /// The keys in the points, in the order in which they came.
    named: Vec<Arc<str>>,
}

/// What was counted between two samples.
#[derive(Debug)]
struct Point {
    /// The time of the later sample, since the start.
    at: Duration,
    elapsed: Duration,
    /// The events of the named keys that have any.
    events: BTreeMap<Arc<str>, u64>,
    /// The events of all other keys.
    others: u64,
}

/// The points by column: each list of rates has one for each time.
#[derive(Debug, Serialize)]
pub(super) struct RateTable {
    /// When each point ends, in seconds since the start.
    pub seconds: Vec<f64>,
    /// Events per second.
    pub total: Vec<f64>,
    pub experiments: Vec<RateColumn>,
    /// Events per second of the keys without a name, if there are any.
    pub others: Option<Vec<f64>>,
    /// The count of all events since the start.
    pub events: u64,
}

/// The rates of one key.
#[derive(Debug, Serialize)]
pub(super) struct RateColumn {
    /// The key, as [plain](rivulet_core::text::plain) text.
    pub name: String,
    /// The count of its events since the start.
    pub events: u64,
    /// Events per second, from its first event in the points on.
    pub rates: Vec<Option<f64>>,
}

impl RateHistory {
    /// A history that starts now, with no events yet.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        RateHistory {
            started: now,
            at: now,
            counts: BTreeMap::new(),
            points: VecDeque::with_capacity(POINTS + 1),
            named: Vec::new(),
        }
    }

    /// Adds a point: the counts by key at this time, which never decrease. Without time since the
    /// last sample there is no rate; the next sample then counts for both.
    pub fn sample(&mut self, now: Instant, counts: BTreeMap<String, u64>) {
        let elapsed = now.saturating_duration_since(self.at);
        if elapsed.is_zero() {
            return;
        }
        let mut events = BTreeMap::new();
        let mut others = 0;
        for (key, count) in &counts {
            let before = self.counts.get(key).copied().unwrap_or_default();
            let new = count.saturating_sub(before);
            if new == 0 {
                continue;
            }
            match self.name(key) {
                Some(name) => _ = events.insert(name, new),
                None => others += new,
            }
        }
        self.points.push_back(Point {
            at: now.saturating_duration_since(self.started),
            elapsed,
            events,
            others,
        });
        if self.points.len() > POINTS {
            self.points.pop_front();
            let points = &self.points;
            self.named
                .retain(|name| points.iter().any(|point| point.events.contains_key(name)));
        }
        (self.at, self.counts) = (now, counts);
    }

    /// The name of a key in the points, if there is room for it.
    fn name(&mut self, key: &str) -> Option<Arc<str>> {
        let known = self.named.iter().find(|name| ***name == *key);
        if known.is_none() && self.named.len() < NAMED {
            self.named.push(key.into());
            return self.named.last().cloned();
        }
        known.cloned()
    }

    /// The points as a table.
    pub(super) fn table(&self) -> RateTable {
        let points = || self.points.iter();
        let named = self.named.iter().map(|name| {
            let first = points().position(|point| point.events.contains_key(name));
            let rates = points().enumerate().map(|(number, point)| {
                let has_begun = first.is_some_and(|first| first <= number);
                has_begun.then(|| point.rate(point.events.get(name).copied().unwrap_or_default()))
            });
            RateColumn {
                name: plain(name).into_owned(),
                events: self.counts.get(&**name).copied().unwrap_or_default(),
                rates: rates.collect(),
            }
        });
        let has_others = points().any(|point| point.others > 0);
        let others = || points().map(|point| point.rate(point.others)).collect();
        RateTable {
            seconds: points()
                .map(|point| rounded(point.at.as_secs_f64()))
                .collect(),
            total: points().map(|point| point.rate(point.total())).collect(),
            experiments: named.collect(),
            others: has_others.then(others),
            events: self.counts.values().sum(),
        }
    }
}

impl Point {
    fn total(&self) -> u64 {
        self.others + self.events.values().sum::<u64>()
    }

    fn rate(&self, events: u64) -> f64 {
        rounded(events as f64 / self.elapsed.as_secs_f64())
    }
}

/// To thousandths, which is more than a chart shows.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests;
