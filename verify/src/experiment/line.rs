//! A line of a ground truth log: [`LogLine`].

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

use super::life_cycle::LifeCycle;
use super::verdict::Verdict;

/// A line that says something about an experiment.
#[derive(Debug, PartialEq)]
pub(super) struct LogLine<'l> {
    /// When it was written: RFC 3339.
    pub(super) timestamp: Cow<'l, str>,
    /// The id of the experiment.
    pub(super) experiment: Cow<'l, str>,
    pub(super) claim: Claim<'l>,
}

/// What a line says.
#[derive(Debug, PartialEq)]
pub(super) enum Claim<'l> {
    Stage(LifeCycle),
    Measurement { id: Cow<'l, str>, part: Part<'l> },
}

/// What a line says about a measurement.
#[derive(Debug, PartialEq)]
pub(super) enum Part<'l> {
    Average(f32),
    Event(Verdict),
    Sensor { sensor: Cow<'l, str>, value: f32 },
}

/// A line as it is written.
#[derive(Deserialize)]
struct Written<'l> {
    #[serde(borrow)]
    timestamp: Cow<'l, str>,
    #[serde(borrow)]
    fields: Fields<'l>,
    #[serde(borrow, default)]
    span: Option<Span<'l>>,
    #[serde(borrow, default)]
    spans: Vec<Span<'l>>,
}

#[derive(Deserialize)]
struct Fields<'l> {
    #[serde(borrow)]
    stage: Option<Cow<'l, str>>,
    avg_temperature: Option<f32>,
    #[serde(borrow)]
    range_event: Option<Cow<'l, str>>,
    #[serde(borrow)]
    sensor: Option<Cow<'l, str>>,
    temperature: Option<f32>,
}

#[derive(Deserialize)]
struct Span<'l> {
    #[serde(borrow)]
    experiment_id: Option<Cow<'l, str>>,
    #[serde(borrow)]
    measurement_id: Option<Cow<'l, str>>,
}

impl<'l> LogLine<'l> {
    /// Parses a line. `None` if it is a line of a log, but not about an experiment.
    ///
    /// # Errors
    /// Why it is no such line.
    pub(super) fn parse(line: &'l [u8]) -> Result<Option<Self>, String> {
        let written: Written<'l> =
            serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let fields = written.fields;
        let (mut experiment, mut measurement) = (None, None);
        for span in written.spans.into_iter().chain(written.span) {
            experiment = experiment.or(span.experiment_id);
            measurement = measurement.or(span.measurement_id);
        }
        let part = match (fields.avg_temperature, fields.range_event, fields.sensor) {
            (Some(average), None, None) => Some(Part::Average(average)),
            (None, Some(event), None) => {
                let known = Verdict::named(&event);
                let unknown = || format!("there is no range event \"{event}\"");
                Some(Part::Event(known.ok_or_else(unknown)?))
            }
            (None, None, Some(sensor)) => {
                let value = fields.temperature.ok_or("a sensor without a temperature")?;
                Some(Part::Sensor { sensor, value })
            }
            (None, None, None) => None,
            _ => return Err("it says several things at once".to_owned()),
        };
        let claim = match (fields.stage, part) {
            (Some(name), None) => {
                let unknown = || format!("there is no stage \"{name}\"");
                Claim::Stage(stage(&name).ok_or_else(unknown)?)
            }
            (None, Some(part)) => {
                let id = measurement.ok_or("no span says which measurement it is about")?;
                Claim::Measurement { id, part }
            }
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return Err("it says several things at once".to_owned()),
        };
        Ok(Some(LogLine {
            timestamp: written.timestamp,
            experiment: experiment.ok_or("no span says which experiment it is about")?,
            claim,
        }))
    }

    /// When it was written.
    ///
    /// # Errors
    /// If that is no time.
    pub(super) fn time(&self) -> Result<Timestamp, String> {
        let text = &self.timestamp;
        let wrong = |_| format!("its timestamp \"{text}\" is not RFC 3339");
        text.parse().map_err(wrong)
    }
}

fn stage(name: &str) -> Option<LifeCycle> {
    if name == "carryout" {
        return Some(LifeCycle::CarryOut);
    }
    LifeCycle::ALL
        .into_iter()
        .find(|stage| stage.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line with these fields, in the spans of an experiment and a measurement.
    fn line(fields: &str) -> String {
        format!(
            r#"{{"timestamp":"2023-10-07T15:53:18.160161+02:00","level":"DEBUG","fields":{fields},
            "target":"experiment_producer::simulator","span":{{"measurement_id":"77aa",
            "name":"measurement"}},"spans":[{{"experiment_id":"2b93","name":"experiment"}},
            {{"measurement_id":"77aa","name":"measurement"}}]}}"#
        )
    }

    fn claim(line: &str) -> Result<Option<Claim<'_>>, String> {
        let parsed = LogLine::parse(line.as_bytes())?;
        Ok(parsed.map(|line| {
            assert_eq!(line.experiment, "2b93");
            line.claim
        }))
    }

    fn part(part: Part<'_>) -> Claim<'_> {
        let id = "77aa".into();
        Claim::Measurement { id, part }
    }

    #[test]
    fn a_stage_is_in_the_span_of_its_experiment() {
        for (fields, expected) in [
            (r#"{"stage":"configuration"}"#, LifeCycle::Configuration),
            (r#"{"stage":"stabilization"}"#, LifeCycle::Stabilization),
            (r#"{"stage":"carry out"}"#, LifeCycle::CarryOut),
            (r#"{"stage":"carryout"}"#, LifeCycle::CarryOut),
            (
                r#"{"stage":"terminated","elapsed":22013,"stabilization":2003,"carry_out":20010}"#,
                LifeCycle::Terminated,
            ),
        ] {
            let line = format!(
                r#"{{"timestamp":"2023-10-07T15:53:18.160161+02:00","level":"INFO",
                "fields":{fields},"target":"experiment_producer::simulator",
                "span":{{"experiment_id":"2b93","name":"experiment"}},
                "spans":[{{"experiment_id":"2b93","name":"experiment"}}]}}"#
            );
            assert_eq!(claim(&line), Ok(Some(Claim::Stage(expected))));
            let parsed = LogLine::parse(line.as_bytes()).unwrap().unwrap();
            let time: Timestamp = "2023-10-07T13:53:18.160161Z".parse().unwrap();
            assert_eq!(parsed.time(), Ok(time));
        }
    }

    #[test]
    fn a_measurement_has_an_average_events_and_sensors() {
        let average = line(r#"{"avg_temperature":21.0}"#);
        assert_eq!(claim(&average), Ok(Some(part(Part::Average(21.0)))));
        let event = line(r#"{"range_event":"Stabilized"}"#);
        assert_eq!(
            claim(&event),
            Ok(Some(part(Part::Event(Verdict::Stabilized))))
        );
        let sensor = line(r#"{"sensor":"caf\u00e9","temperature":25.6}"#);
        let (sensor_name, value) = ("café".into(), 25.6);
        let expected = Part::Sensor {
            sensor: sensor_name,
            value,
        };
        assert_eq!(claim(&sensor), Ok(Some(part(expected))));
    }

    #[test]
    fn an_offset_may_be_short() {
        let time = |text: &'static str| {
            let line = LogLine {
                timestamp: text.into(),
                experiment: "e".into(),
                claim: Claim::Stage(LifeCycle::Configuration),
            };
            line.time().map(Timestamp::as_second)
        };
        for text in [
            "1970-01-01T02:00:07+02",
            "1970-01-01T02:00:07+02:00",
            "1970-01-01T00:00:07.5Z",
        ] {
            assert_eq!(time(text), Ok(7), "{text}");
        }
        assert!(time("yesterday").unwrap_err().contains("RFC 3339"));
    }

    #[test]
    fn other_lines_are_nothing_or_an_error() {
        assert_eq!(claim(&line(r#"{"message":"connected"}"#)), Ok(None));
        for (fields, expected) in [
            (r#"{"stage":"cooling"}"#, "no stage \"cooling\""),
            (r#"{"range_event":"Hot"}"#, "no range event \"Hot\""),
            (r#"{"sensor":"s"}"#, "without a temperature"),
            (r#"{"avg_temperature":"warm"}"#, "invalid type"),
            (r#"{"avg_temperature":1e39}"#, "out of range"),
            (r#"{"avg_temperature":1,"sensor":"s"}"#, "several things"),
            (
                r#"{"avg_temperature":1,"stage":"terminated"}"#,
                "several things",
            ),
        ] {
            let error = claim(&line(fields)).unwrap_err();
            assert!(error.contains(expected), "{fields}: {error}");
        }
        let spanless = r#"{"timestamp":"","fields":{"avg_temperature":1}}"#;
        assert!(claim(spanless).unwrap_err().contains("which measurement"));
        let spanless = r#"{"timestamp":"","fields":{"stage":"terminated"}}"#;
        assert!(claim(spanless).unwrap_err().contains("which experiment"));
        for bytes in [&b""[..], b"{", b"\xff", b"[]", b"{}", b"21.5"] {
            assert!(LogLine::parse(bytes).is_err(), "{bytes:?}");
        }
    }
}
