//! Which series are drawn, and their last values: [`PlotLines`].

use std::collections::{BTreeMap, BTreeSet};

use rivulet_core::log::TopicPartition;
use rivulet_core::reading::Reading;
use rivulet_sinks::catalog::compare::Side;

use crate::live::{TimeSeries, TimedValue};
use crate::look::{self, OTHERS, SeriesColours};
use crate::text::plain;

/// How many series are drawn: as many as there are colours.
pub(super) const MOST: usize = OTHERS.len();
/// How many values of a series are drawn.
const POINTS: usize = 1000;
/// How many series are counted that are not drawn.
const COUNTED: usize = 10_000;
/// How many characters of a name are shown.
const NAME: usize = 48;

/// A series: a sensor of a topic.
#[derive(Debug, Clone)]
pub(super) struct PlotLine {
    topic: usize,
    sensor: String,
    /// The partitions that its readings come from: one, unless keys are not sensors.
    partitions: BTreeSet<i32>,
    pub(super) values: TimeSeries,
    pub(super) is_hidden: bool,
}

/// The series that are drawn. Each keeps its place, and with it its colour and its key.
#[derive(Debug, Clone)]
pub(super) struct PlotLines {
    /// The names of the topics, as they were given.
    topics: Vec<String>,
    /// What each topic is in the comparison of the pipeline.
    sides: Vec<Option<Side>>,
    /// Only these sensors. Empty for the first that come.
    wanted: Vec<String>,
    lines: [Option<PlotLine>; MOST],
    /// The partition of each series that is not drawn.
    others: BTreeMap<(usize, String), i32>,
    has_uncounted: bool,
    invalid: u64,
    first_invalid: String,
}

impl PlotLines {
    /// No series yet of these topics, each with what it is in a comparison.
    pub(super) fn new(topics: Vec<String>, sides: Vec<Option<Side>>, wanted: Vec<String>) -> Self {
        PlotLines {
            topics,
            sides,
            wanted,
            lines: [const { None }; MOST],
            others: BTreeMap::new(),
            has_uncounted: false,
            invalid: 0,
            first_invalid: String::new(),
        }
    }

    /// Adds a reading.
    pub(super) fn add(&mut self, place: TopicPartition, reading: &Reading<'_>) {
        let sensor = reading.sensor.as_ref();
        if !self.wanted.is_empty() && !self.wanted.iter().any(|wanted| wanted == sensor) {
            return;
        }
        let is_it = |line: &PlotLine| line.topic == place.topic && line.sensor == sensor;
        let mut lines = self.lines.iter();
        let known = lines.position(|line| line.as_ref().is_some_and(is_it));
        let Some(index) = known.or_else(|| self.lines.iter().position(Option::is_none)) else {
            let key = (place.topic, sensor.to_owned());
            if self.others.len() < COUNTED || self.others.contains_key(&key) {
                self.others.insert(key, place.partition);
            } else {
                self.has_uncounted = true;
            }
            return;
        };
        if known.is_none() {
            self.others.remove(&(place.topic, sensor.to_owned()));
        }
        let line = self.lines[index].get_or_insert_with(|| PlotLine {
            topic: place.topic,
            sensor: sensor.to_owned(),
            partitions: BTreeSet::new(),
            values: TimeSeries::default(),
            is_hidden: false,
        });
        line.partitions.insert(place.partition);
        let value = TimedValue {
            time: reading.time,
            value: reading.value,
        };
        line.values.push(value, reading.unit, POINTS);
    }

    /// Counts a record that is not a reading.
    pub(super) fn add_invalid(&mut self, place: TopicPartition, offset: i64, why: &str) {
        if self.invalid == 0 {
            let topic = &self.topics[place.topic];
            let at = format!("{topic} [{}] @{offset}: {why}", place.partition);
            self.first_invalid = plain(&at, 200);
        }
        self.invalid += 1;
    }

    /// Keeps the series of these partitions. The others are somebody else's now.
    pub(super) fn keep(&mut self, assigned: &[TopicPartition]) {
        let is_kept = |topic, partition| assigned.contains(&TopicPartition { topic, partition });
        for place in &mut self.lines {
            if let Some(line) = place {
                let topic = line.topic;
                line.partitions
                    .retain(|partition| is_kept(topic, *partition));
                if line.partitions.is_empty() {
                    *place = None;
                }
            }
        }
        self.others
            .retain(|(topic, _), partition| is_kept(*topic, *partition));
    }

    /// Hides a series, or shows it again.
    pub(super) fn toggle(&mut self, index: usize) {
        if let Some(Some(line)) = self.lines.get_mut(index) {
            line.is_hidden = !line.is_hidden;
        }
    }

    /// The series, each with its place.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &PlotLine)> {
        let lines = self.lines.iter().enumerate();
        lines.filter_map(|(index, line)| Some((index, line.as_ref()?)))
    }

    /// The colours of the series at a place. The series of one sensor have those of the comparison,
    /// as everywhere.
    pub(super) fn colours(&self, index: usize) -> SeriesColours {
        let mut lines = self.iter().map(|(_, line)| line);
        let first = lines.next().map(|line| &line.sensor);
        let is_one = lines.all(|line| Some(&line.sensor) == first);
        let side = self.side(index).filter(|_| is_one);
        side.map_or(OTHERS[index], look::of_side)
    }

    /// What the topic of the series at a place is in the comparison.
    pub(super) fn side(&self, index: usize) -> Option<Side> {
        let line = self.lines[index].as_ref()?;
        self.sides.get(line.topic).copied().flatten()
    }

    /// The name of a series, as plain text.
    pub(super) fn name(&self, line: &PlotLine) -> String {
        let topic = self.topics.get(line.topic).map_or("", String::as_str);
        let name = match (line.sensor.as_str(), self.topics.as_slice()) {
            ("", _) => topic.to_owned(),
            (sensor, [_]) => sensor.to_owned(),
            // The end of a topic's name says more than its beginning.
            (sensor, _) => format!("{sensor} in {topic}"),
        };
        plain(&name, NAME)
    }

    /// What is not drawn, a sentence each.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.others.is_empty() {
            let more = if self.has_uncounted { "more than " } else { "" };
            let count = self.others.len();
            let sensors = match count {
                1 => "1 more sensor".to_owned(),
                count => format!("{count} more sensors"),
            };
            notes.push(format!("and {more}{sensors}: choose with --sensors"));
        }
        let missing = self.wanted.iter().filter(|wanted| {
            let mut lines = self.iter();
            let is_drawn = lines.any(|(_, line)| line.sensor == **wanted);
            !is_drawn && self.others.keys().all(|(_, other)| other != *wanted)
        });
        let missing: Vec<String> = missing.map(|name| plain(name, NAME)).collect();
        if !missing.is_empty() {
            notes.push(format!("nothing yet of {}", missing.join(", ")));
        }
        if self.invalid > 0 {
            let are = match self.invalid {
                1 => "1 record is not a reading".to_owned(),
                count => format!("{count} records are not readings"),
            };
            notes.push(format!("{are}; the first: {}", self.first_invalid));
        }
        notes
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn place(topic: usize, partition: i32) -> TopicPartition {
        TopicPartition { topic, partition }
    }

    pub(in super::super) fn reading(sensor: &str, time: i64, value: f64) -> Reading<'_> {
        Reading {
            sensor: sensor.into(),
            seq: 0,
            time,
            value,
            unit: Some(rivulet_core::unit::Unit::Celsius),
        }
    }

    fn names(lines: &PlotLines) -> Vec<(usize, String)> {
        let named = lines.iter();
        named
            .map(|(index, line)| (index, lines.name(line)))
            .collect()
    }

    #[test]
    fn the_first_eight_are_drawn_and_the_rest_is_counted() {
        let mut lines = PlotLines::new(vec!["t".into()], Vec::new(), Vec::new());
        for number in 0..20 {
            for time in 0..2 {
                lines.add(place(0, 0), &reading(&format!("s{number}"), time, 1.0));
            }
        }
        let expected: Vec<(usize, String)> = (0..8).map(|n| (n, format!("s{n}"))).collect();
        assert_eq!(names(&lines), expected);
        assert_eq!(
            lines.notes(),
            ["and 12 more sensors: choose with --sensors"]
        );
        for number in 0..COUNTED {
            lines.add(place(0, 0), &reading(&format!("more {number}"), 0, 1.0));
        }
        assert!(lines.notes()[0].starts_with("and more than 10000 more"));
        for time in 0..5000 {
            lines.add(place(0, 0), &reading("s0", time, 1.0));
        }
        let kept = lines.iter().next().unwrap().1.values.values().len();
        assert_eq!(kept, POINTS);
    }

    #[test]
    fn series_leave_with_their_partitions_and_come_back() {
        let mut lines = PlotLines::new(vec!["a".into(), "b".into()], Vec::new(), Vec::new());
        for number in 0..10 {
            let partition = number % 2;
            let sensor = format!("s{number}");
            lines.add(place(1, partition), &reading(&sensor, 0, 1.0));
        }
        lines.keep(&[place(0, 1), place(1, 1)]);
        let left = [1, 3, 5, 7].map(|n| (n, format!("s{n} in b")));
        assert_eq!(names(&lines), left);
        assert_eq!(lines.notes(), ["and 1 more sensor: choose with --sensors"]);
        lines.add(place(1, 1), &reading("s9", 0, 1.0));
        assert_eq!(names(&lines)[0], (0, "s9 in b".to_owned()));
        assert_eq!(lines.notes(), Vec::<String>::new());
        lines.keep(&[]);
        assert_eq!(names(&lines), []);
    }

    #[test]
    fn only_the_sensors_that_are_asked_for_are_drawn() {
        let wanted = vec!["x\u{1b}".to_owned(), "y".to_owned()];
        let mut lines = PlotLines::new(vec!["t".into()], Vec::new(), wanted);
        for sensor in ["other", "y"] {
            lines.add(place(0, 0), &reading(sensor, 0, 1.0));
        }
        assert_eq!(names(&lines), [(0, "y".to_owned())]);
        assert_eq!(lines.notes(), [r"nothing yet of x\u{1b}"]);
        lines.add_invalid(place(0, 3), 7, "not-json: \u{1b}");
        lines.add_invalid(place(0, 3), 8, "later");
        let said = r"2 records are not readings; the first: t [3] @7: not-json: \u{1b}";
        assert_eq!(lines.notes()[1], said);
    }
}
