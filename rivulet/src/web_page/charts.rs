//! The charts that viewers see: [`ChartCache`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rivulet_core::unit::Unit;
use rivulet_sinks::catalog::compare::SensorFigures;

use super::query::{ViewQuery, ViewRange};
use super::splice::Point;
use crate::live::{ChartColumns, LiveReadings, TimeSeries, TimedValue, event_times};

/// How long a chart is the same for all who see it.
const FRESH: Duration = Duration::from_millis(900);
/// How long a chart is kept that nobody asks for. Whoever asks has a new one made each second.
const KEPT: Duration = Duration::from_secs(10);

/// What is drawn of one sensor.
#[derive(Debug, Default)]
pub(super) struct Chart {
    /// A line for each topic.
    pub(super) lines: Vec<ChartLine>,
    /// The figures of the comparison.
    pub(super) figures: Option<SensorFigures>,
}

/// What is drawn of one sensor in one topic.
#[derive(Debug, Default)]
pub(super) struct ChartLine {
    /// The points.
    pub(super) points: Vec<Point>,
    /// The unit of the values.
    pub(super) unit: Option<Unit>,
    /// How many values have come.
    pub(super) count: u64,
    /// The latest value, whether it is drawn or not.
    pub(super) last: Point,
}

/// A sensor, how many columns it has, and which times.
type Key = (String, usize, ViewRange);

/// The charts that somebody sees. Those who see the same share one.
#[derive(Debug, Default)]
pub(super) struct ChartCache {
    charts: Mutex<HashMap<Key, Cached>>,
}

#[derive(Debug)]
struct Cached {
    chart: Arc<Chart>,
    /// How many values each series had, and how many it had kept.
    counts: Vec<(u64, usize)>,
    made: Instant,
}

impl ChartCache {
    /// The chart of a sensor as it is now, or was a moment ago. `readings` gives the readings for a
    /// moment.
    pub(super) fn get<R: std::ops::Deref<Target = LiveReadings>>(
        &self,
        sensor: &str,
        query: &ViewQuery,
        readings: impl FnOnce() -> R,
    ) -> Arc<Chart> {
        let mut charts = self.charts.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        charts.retain(|_, drawn| now.duration_since(drawn.made) < KEPT);
        let key = (sensor.to_owned(), query.columns, query.range.clone());
        let known = charts.get_mut(&key);
        if let Some(drawn) = &known
            && now.duration_since(drawn.made) < FRESH
        {
            return drawn.chart.clone();
        }
        let readings = readings();
        let series = readings.series(sensor);
        let counts: Vec<(u64, usize)> = series
            .iter()
            .map(|series| (series.count(), series.values().len()))
            .collect();
        let figures = readings.figures(sensor);
        if let Some(drawn) = known
            && drawn.counts == counts
            && drawn.chart.figures == figures
        {
            drawn.made = now;
            return drawn.chart.clone();
        }
        // The others wait for the readings, and copying is faster than drawing.
        let series = series.to_vec();
        drop(readings);
        let chart = Arc::new(Chart::new(&series, figures.as_ref(), query));
        let drawn = Cached {
            chart: chart.clone(),
            counts,
            made: now,
        };
        charts.insert(key, drawn);
        chart
    }
}

impl Chart {
    fn new(series: &[TimeSeries], figures: Option<&SensorFigures>, query: &ViewQuery) -> Self {
        let Some((first, last)) = event_times(series) else {
            return Chart::default();
        };
        let (columns, times) = match &query.range {
            ViewRange::Latest(parts) => {
                let length = last.saturating_sub(first) / i64::from(*parts);
                let from = last.saturating_sub(length);
                let columns = ChartColumns::new(&(from..=last), query.columns);
                // So that not each reading moves the start.
                (columns, columns.start(from).max(first)..=last)
            }
            ViewRange::Times(times) => (ChartColumns::new(times, query.columns), times.clone()),
        };
        let line = |series: &TimeSeries| ChartLine {
            points: columns.of(series, times.clone()),
            unit: series.unit(),
            count: series.count(),
            last: series.values().back().copied(),
        };
        Chart {
            lines: series.iter().map(line).collect(),
            figures: figures.copied(),
        }
    }
}

impl ChartLine {
    /// Whether it says the same but for its points.
    pub(super) fn says_as(&self, other: &Self) -> bool {
        let said = |line: &Self| (line.unit, line.count, line.last.map(bits));
        said(self) == said(other)
    }
}

fn bits(value: TimedValue) -> (i64, u64) {
    (value.time, value.value.to_bits())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use rivulet_core::reading::Reading;

    use super::*;
    use crate::live::LiveTopic;

    fn readings(times: std::ops::Range<i64>) -> LiveReadings {
        let topic = LiveTopic {
            name: "warm".into(),
            in_kafka: "warm".into(),
            side: None,
        };
        let mut readings = LiveReadings::new(vec![topic], None);
        for time in times {
            let reading = Reading {
                sensor: "a".into(),
                seq: 0,
                time,
                value: time as f64,
                unit: None,
            };
            readings.add(0, 0, &reading);
        }
        readings
    }

    fn times(chart: &Chart) -> (i64, i64) {
        let points: Vec<i64> = chart.lines[0]
            .points
            .iter()
            .flatten()
            .map(|point| point.time)
            .collect();
        (points[0], points[points.len() - 1])
    }

    #[test]
    fn viewers_of_the_same_share_one_chart() {
        let (cache, readings) = (ChartCache::default(), readings(0..100));
        let asked = Cell::new(0);
        let get = |query: &str| {
            cache.get("a", &ViewQuery::parse(query).unwrap(), || {
                asked.set(asked.get() + 1);
                &readings
            })
        };
        let (one, other) = (get("columns=50"), get("columns=50&page=3"));
        assert!(Arc::ptr_eq(&one, &other));
        assert_eq!((asked.get(), times(&one)), (1, (0, 99)));
        assert_eq!(times(&get("latest=4&columns=50")), (75, 99));
        assert_eq!(times(&get("from=10&to=19")), (10, 19));
        assert_eq!(asked.get(), 3);
        let query = ViewQuery::parse("").unwrap();
        assert!(cache.get("b", &query, || &readings).lines.is_empty());
    }
}
