//! What is printed of an input and its outputs: [`TapLines`].

use std::fmt::Write;

use rivulet_core::text::{plain, plain_json};
use rivulet_core::unit::Unit;
use rivulet_node::cli::BoxError;

use super::TapSettings;
use super::json::JsonMatch;
use super::records::{Matched, Outcome, Output, Place, TapReading};
use super::topics::TapTopics;
use crate::print::Lines;
use crate::text::{plural, time};

/// The widest cell that others are aligned with.
const WIDEST: usize = 40;

/// Prints inputs with their outputs: a line for each reading, or a JSON object for each record.
pub(super) struct TapLines<'t> {
    topics: &'t TapTopics<'t>,
    sensor: Option<&'t str>,
    is_json: bool,
    out: Lines,
    /// The widest cells so far: of the place, the sensor and the value.
    widths: [usize; 3],
    counts: Counts,
}

/// How many records were shown, by outcome.
#[derive(Debug, Default)]
struct Counts {
    written: u64,
    dropped: u64,
    dead_letters: u64,
    pending: u64,
}

impl<'t> TapLines<'t> {
    pub(super) fn new(topics: &'t TapTopics<'t>, settings: &'t TapSettings) -> Self {
        TapLines {
            topics,
            sensor: settings.sensor.as_deref(),
            is_json: settings.json,
            out: Lines::new(),
            widths: [0; 3],
            counts: Counts::default(),
        }
    }

    /// Prints those that are shown.
    pub(super) fn print(&mut self, all: &[Matched]) -> Result<(), BoxError> {
        let mut lines = Vec::new();
        for one in all.iter().filter(|one| one.input.is_shown) {
            *match one.outcome {
                Outcome::Written => &mut self.counts.written,
                Outcome::Dropped => &mut self.counts.dropped,
                Outcome::DeadLetter(_) => &mut self.counts.dead_letters,
                Outcome::Pending => &mut self.counts.pending,
            } += 1;
            if self.is_json {
                let json = serde_json::to_string(&JsonMatch::new(self.topics, one))?;
                self.out.line(&plain_json(&json))?;
            } else {
                lines.extend(self.cells(one));
            }
        }
        for (_, cells, _) in &lines {
            for (width, cell) in self.widths.iter_mut().zip(cells) {
                *width = cell.chars().count().min(WIDEST).max(*width);
            }
        }
        for (time, [place, sensor, value], made) in lines {
            let [places, sensors, values] = self.widths;
            self.out.line(&format!(
                "{time}  {place:places$}  {sensor:sensors$}  {value:>values$} → {made}"
            ))?;
        }
        Ok(self.out.flush()?)
    }

    /// How many records were shown.
    pub(super) fn summary(&self) -> String {
        let counts = &self.counts;
        let all = counts.written + counts.dropped + counts.dead_letters + counts.pending;
        let parts = [
            (counts.written, "written"),
            (counts.dropped, "dropped"),
            (counts.dead_letters, "dead letters"),
            (counts.pending, "not yet read"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let records = plural(all.cast_signed(), "record");
        if parts.is_empty() {
            records
        } else {
            format!("{records}: {}", parts.join(", "))
        }
    }

    /// The cells of the lines of a record: its time, its other cells, and what was made of it.
    fn cells(&self, one: &Matched) -> Vec<(String, [String; 3], String)> {
        let place = self.place(one.input.place);
        if one.input.readings.is_empty() {
            let raw = one.input.raw.clone();
            let value = raw.unwrap_or_else(|| "no reading".to_owned());
            let made = self.made(one, &[]);
            return vec![(
                time(one.input.timestamp),
                [place, "-".to_owned(), value],
                made,
            )];
        }
        let readings = one.input.readings.iter().enumerate();
        let is_wanted =
            |reading: &TapReading| self.sensor.is_none_or(|name| reading.sensor == name);
        let wanted = readings.filter(|(_, reading)| is_wanted(reading));
        wanted
            .map(|(index, reading)| {
                let outputs = one.outputs.iter().filter(|(of, _)| *of == index);
                let outputs: Vec<&Output> = outputs.map(|(_, output)| output).collect();
                let sensor = match reading.sensor.as_str() {
                    "" => "-".to_owned(),
                    name => plain(name).into_owned(),
                };
                let value = shown(reading.value, reading.unit);
                (
                    time(reading.time),
                    [place.clone(), sensor, value],
                    self.made(one, &outputs),
                )
            })
            .collect()
    }

    /// Where a record is. The topic is left out if there is only one.
    fn place(&self, place: Place) -> String {
        let Place {
            topic,
            partition,
            offset,
        } = place;
        match self.topics.inputs().as_slice() {
            [_] => format!("[{partition}] @{offset}"),
            inputs => {
                let topic = inputs.get(topic).map_or("", |topic| &topic.in_file);
                format!("{topic} [{partition}] @{offset}")
            }
        }
    }

    fn made(&self, one: &Matched, outputs: &[&Output]) -> String {
        let mut made = match &one.outcome {
            Outcome::DeadLetter(letter) => {
                format!("dead letter {}: {}", letter.reason, letter.error)
            }
            Outcome::Pending => "not yet read".to_owned(),
            _ if outputs.is_empty() && one.input.readings.is_empty() => "skipped".to_owned(),
            _ if outputs.is_empty() => "dropped".to_owned(),
            Outcome::Written | Outcome::Dropped => self.values(outputs),
        };
        if one.is_ambiguous {
            made += "  (or another record of the same time)";
        }
        made
    }

    /// The values of outputs. Those that are the same in several topics are there once.
    fn values(&self, outputs: &[&Output]) -> String {
        let names = self.topics.outputs();
        let mut values: Vec<(String, Vec<&str>)> = Vec::new();
        for output in outputs {
            let value = shown(output.reading.value, output.reading.unit);
            let topic = names
                .get(output.place.topic)
                .map_or("", |topic| &topic.in_file);
            match values
                .iter_mut()
                .find(|(known, topics)| *known == value && !topics.contains(&topic))
            {
                Some((_, topics)) => topics.push(topic),
                None => values.push((value, vec![topic])),
            }
        }
        let mut text = String::new();
        for (index, (value, topics)) in values.iter().enumerate() {
            text.push_str(if index > 0 { ", " } else { "" });
            text.push_str(value);
            if names.len() > 1 {
                let _ = write!(text, " ({})", topics.join(", "));
            }
        }
        text
    }
}

/// A value with its unit. It has four digits after the point at most; `--json` has all.
fn shown(value: f64, unit: Option<Unit>) -> String {
    let shortest = value.to_string();
    let rounded = format!("{value:.4}");
    let mut text = match shortest.len() <= rounded.len() {
        true => shortest,
        // What is too small for that is not zero.
        false if rounded.trim_matches(['-', '0', '.']).is_empty() => format!("{value:.3e}"),
        false => rounded
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
    };
    if let Some(unit) = unit {
        text.push(' ');
        text.push_str(unit.symbol());
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::records::{Input, TapDeadLetter};
    use super::*;
    use crate::checked::tests::parse;

    pub(in super::super) const FILE: &str = r#"
[producer.in]
source = { list = { values = [1] } }
to = "cold"
[operator.both]
from = "cold"
steps = [{ ewma = { alpha = 0.5 } }]
to = ["smooth", "copy"]
"#;

    fn reading(sensor: &str, value: f64, unit: Option<Unit>) -> TapReading {
        TapReading {
            sensor: sensor.into(),
            seq: 7,
            time: 1000,
            value,
            unit,
        }
    }

    pub(in super::super) fn matched(outputs: &[(usize, f64)], outcome: Outcome) -> Matched {
        let place = Place {
            topic: 0,
            partition: 3,
            offset: 17,
        };
        let outputs = outputs.iter().map(|(topic, value)| {
            let output = Output {
                place: Place {
                    topic: *topic,
                    ..place
                },
                timestamp: 5,
                reading: reading("attic", *value, Some(Unit::Fahrenheit)),
            };
            (0, output)
        });
        Matched {
            outputs: outputs.collect(),
            input: Input {
                place,
                timestamp: 5,
                readings: vec![reading("att\u{1b}ic", 12.8, Some(Unit::Celsius))],
                raw: None,
                is_shown: true,
            },
            outcome,
            is_ambiguous: false,
        }
    }

    pub(in super::super) fn letter() -> Outcome {
        Outcome::DeadLetter(TapDeadLetter {
            reason: "not-json".into(),
            error: "expected value".into(),
            partition: 0,
            offset: 2,
        })
    }

    #[test]
    fn a_line_has_the_reading_and_what_was_made_of_it() {
        let pipeline = parse(FILE).unwrap();
        let topics = TapTopics::of_stage(&pipeline, "both").unwrap();
        let settings = TapSettings::default();
        let lines = TapLines::new(&topics, &settings);
        let cells = |one: &Matched| lines.cells(one).remove(0);
        for (outputs, outcome, expected) in [
            (&[(0, 55.04)][..], Outcome::Written, "55.04 °F (smooth)"),
            (
                &[(0, 55.04), (1, 55.04)],
                Outcome::Written,
                "55.04 °F (smooth, copy)",
            ),
            (
                &[(0, 1.0), (0, 2.0)],
                Outcome::Written,
                "1 °F (smooth), 2 °F (smooth)",
            ),
            (&[], Outcome::Dropped, "dropped"),
            (&[], Outcome::Pending, "not yet read"),
            (&[], letter(), "dead letter not-json: expected value"),
        ] {
            let (time, other, made) = cells(&matched(outputs, outcome));
            assert_eq!(time, "1970-01-01T00:00:01Z");
            assert_eq!(other, ["[3] @17", r"att\u{1b}ic", "12.8 °C"]);
            assert_eq!(made, expected);
        }
        let mut raw = matched(&[], letter());
        raw.input.readings.clear();
        raw.input.raw = Some("{\\n".into());
        assert_eq!(cells(&raw).1, ["[3] @17", "-", "{\\n"]);
        raw.outcome = Outcome::Dropped;
        raw.input.raw = None;
        assert_eq!(cells(&raw).2, "skipped");
    }

    #[test]
    fn values_are_short_and_never_zero_if_they_are_not() {
        let all = [
            12.8,
            55.040_000_000_000_006,
            -0.000_001_234_5,
            1e9,
            100.0,
            0.0,
        ];
        let shown = all.map(|value| shown(value, None));
        assert_eq!(
            shown,
            ["12.8", "55.04", "-1.234e-6", "1000000000", "100", "0"]
        );
    }
}
