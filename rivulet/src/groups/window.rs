//! Where a consumer lag goes, estimated over a short time: [`LagWindow`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use super::{GroupLag, InputPartition, LagPosition};

/// How far a window goes back. Shorter ones flicker when a stage is just fast enough.
const SPAN: Duration = Duration::from_secs(10);

/// What changes by fewer standard deviations is noise.
const NOISE: f64 = 3.0;

/// How many looks stay in a window, however old they are.
const LEAST: usize = 3;

/// A group keeps up if it has read all that was there this long ago: a stage commits more often.
const KEEPS_UP: Duration = Duration::from_secs(2);

/// The positions of a group over the last seconds, from which the direction of its lag follows.
///
/// The rate is the slope of the line through the lags of the last 10 seconds, or of the last three
/// looks if they are further apart, by the method of least squares. If the lag has turned, it is
/// that of the lags since then. A lag is steady if all that was there 2 seconds ago has been read,
/// or if the line rises or falls by less than three standard deviations of the lags around it.
#[derive(Debug, Clone, Default)]
pub struct LagWindow {
    looks: VecDeque<Look>,
}

/// The positions at one time.
#[derive(Debug, Clone)]
struct Look {
    at: Duration,
    positions: BTreeMap<InputPartition, LagPosition>,
}

/// Where a consumer lag goes, and how fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LagDirection {
    /// The group reads slower than records arrive, by this many records a second.
    Grows(f64),
    /// The group catches up.
    Drains {
        /// By how many records a second.
        rate: f64,
        /// How long that takes if it goes on like this.
        left: Duration,
    },
    /// The group keeps up, or nothing happens.
    Steady,
}

impl LagDirection {
    /// By how many records a second the lag changes.
    #[must_use]
    pub fn rate(self) -> f64 {
        match self {
            LagDirection::Grows(rate) => rate,
            LagDirection::Drains { rate, .. } => -rate,
            LagDirection::Steady => 0.0,
        }
    }
}

impl fmt::Display for LagDirection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LagDirection::Grows(rate) if *rate < 10.0 => write!(f, "grows {rate:.1}/s"),
            LagDirection::Grows(rate) => write!(f, "grows {rate:.0}/s"),
            LagDirection::Drains { left, .. } => write!(f, "drains in {}", about(*left)),
            LagDirection::Steady => f.write_str("steady"),
        }
    }
}

/// A time with two or three digits, rounded up.
fn about(time: Duration) -> String {
    let seconds = time.as_secs_f64().ceil();
    for (unit, name) in [(1.0, "s"), (60.0, "min"), (3600.0, "h")] {
        if seconds < 120.0 * unit {
            return format!("{:.0} {name}", (seconds / unit).ceil());
        }
    }
    format!("{:.0} days", (seconds / 86_400.0).ceil())
}

impl LagWindow {
    /// Adds the positions at a time, which is not before that of the last ones.
    pub fn push(&mut self, at: Duration, positions: &BTreeMap<InputPartition, LagPosition>) {
        let last = self.looks.back();
        // With other partitions it is another lag.
        if last.is_some_and(|last| !last.positions.keys().eq(positions.keys())) {
            self.looks.clear();
        }
        let positions = positions.clone();
        self.looks.push_back(Look { at, positions });
        while self.looks.len() > LEAST && self.looks[0].at + SPAN < at {
            self.looks.pop_front();
        }
    }

    /// Where the lag of all partitions together goes. `None` after one look.
    #[must_use]
    pub fn direction(&self) -> Option<LagDirection> {
        self.direction_if(|_| true)
    }

    /// Where the lag of one partition goes. `None` after one look.
    #[must_use]
    pub fn direction_of(&self, partition: &InputPartition) -> Option<LagDirection> {
        self.direction_if(|other| other == partition)
    }

    fn direction_if(&self, is_meant: impl Fn(&InputPartition) -> bool) -> Option<LagDirection> {
        let looks: Vec<(Duration, Vec<&LagPosition>)> = self
            .looks
            .iter()
            .map(|look| {
                let meant = look.positions.iter().filter(|(key, _)| is_meant(key));
                (look.at, meant.map(|(_, position)| position).collect())
            })
            .collect();
        let ((at, now), (first, _)) = (looks.last()?, looks.first()?);
        if looks.len() < 2 {
            return None;
        }
        let then = looks.iter().rfind(|(then, _)| *then + KEEPS_UP <= *at);
        let (_, then) = then.unwrap_or(&looks[0]);
        if now.iter().zip(then).all(|(now, then)| now.next >= then.end) {
            return Some(LagDirection::Steady);
        }
        let is_counted = looks.iter().all(|(_, positions)| {
            let mut lags = positions.iter().map(|position| position.lag);
            lags.all(|lag| matches!(lag, GroupLag::Records(_)))
        });
        let lags: Vec<(f64, f64)> = looks
            .iter()
            .map(|(at, positions)| {
                let lags = positions.iter().map(|position| match position.lag {
                    GroupLag::Records(records) if is_counted => records,
                    // Offsets and records do not go into one line.
                    _ => position.end - position.next,
                });
                (
                    at.saturating_sub(*first).as_secs_f64(),
                    lags.sum::<i64>() as f64,
                )
            })
            .collect();
        let slope = slope(&lags)?;
        let lag = lags.last().map_or(0.0, |(_, lag)| *lag);
        if lag == 0.0 || slope == 0.0 {
            return Some(LagDirection::Steady);
        }
        if slope > 0.0 {
            return Some(LagDirection::Grows(slope));
        }
        let rate = -slope;
        let left = Duration::try_from_secs_f64(lag / rate).unwrap_or(Duration::MAX);
        Some(LagDirection::Drains { rate, left })
    }
}

/// How fast the lags change at last. 0 if that is no more than noise, `None` if all are of one
/// time.
fn slope(lags: &[(f64, f64)]) -> Option<f64> {
    let whole = Line::through(lags)?;
    let (mut line, mut squares, mut freedom) = (whole, whole.squares, lags.len() - 2);
    // Two lines that meet where the lag was highest or lowest, if they fit twice as well.
    let by_lag = |one: &usize, other: &usize| lags[*one].1.total_cmp(&lags[*other].1);
    let turns = [
        (0..lags.len()).max_by(by_lag),
        (0..lags.len()).rev().min_by(by_lag),
    ];
    for turn in turns.into_iter().flatten() {
        if turn < 2 || turn + 1 == lags.len() {
            continue;
        }
        let (before, after) = (
            Line::through(&lags[..=turn])?,
            Line::through(&lags[turn..])?,
        );
        let two = before.squares + after.squares;
        if 4.0 * two < whole.squares && two < squares {
            (line, squares, freedom) = (after, two, lags.len() - 3);
        }
    }
    let scatter = (squares / freedom.max(1) as f64).sqrt();
    let is_noise = line.change.abs() < f64::max(1.0, NOISE * scatter);
    Some(if is_noise { 0.0 } else { line.slope })
}

/// The line through points by the method of least squares.
#[derive(Debug, Clone, Copy)]
struct Line {
    slope: f64,
    /// How far it rises from the first point to the last.
    change: f64,
    /// The sum of the squares of the distances of the points from it.
    squares: f64,
}

impl Line {
    /// `None` if all points are at one time.
    fn through(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
        let (mut xx, mut xy) = (0.0, 0.0);
        for (x, y) in points {
            xx += (x - mean_x) * (x - mean_x);
            xy += (x - mean_x) * (y - mean_y);
        }
        if xx <= 0.0 {
            return None;
        }
        let slope = xy / xx;
        let squares = points.iter().map(|(x, y)| {
            let residual = (y - mean_y) - slope * (x - mean_x);
            residual * residual
        });
        Some(Line {
            slope,
            change: slope * (points.last()?.0 - points.first()?.0),
            squares: squares.sum(),
        })
    }
}

#[cfg(test)]
mod tests;
