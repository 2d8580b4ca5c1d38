//! Where the parts of a result are: [`ResultFields`].

use std::borrow::Cow;
use std::str::FromStr;

use rivulet_formats::mapping::Pointer;
use serde_json::Value;

/// A part of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultPart {
    /// The id of the measurement.
    Measurement,
    /// The average of its sensors.
    Average,
    /// The name of its range event.
    Event,
    /// The id of the experiment.
    Experiment,
}

impl ResultPart {
    const ALL: [(&'static str, ResultPart); 4] = [
        ("measurement", ResultPart::Measurement),
        ("average", ResultPart::Average),
        ("event", ResultPart::Event),
        ("experiment", ResultPart::Experiment),
    ];
}

/// Where a part of a result is. As text: `average=/mean`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldOption {
    part: ResultPart,
    pointer: String,
}

impl FromStr for FieldOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, place) = text
            .split_once('=')
            .ok_or("write a part and its place, such as average=/mean")?;
        let part = ResultPart::ALL
            .into_iter()
            .find(|(known, _)| *known == name);
        let Some((_, part)) = part else {
            let names = ResultPart::ALL.map(|(name, _)| name);
            return Err(format!(
                "there is no part `{name}`; the parts are {}",
                names.join(", ")
            ));
        };
        let pointer = Pointer::parse(place)?.to_string();
        Ok(FieldOption { part, pointer })
    }
}

/// Where the parts of a result are, as JSON pointers. The first that leads to something counts.
#[derive(Debug, Clone)]
pub struct ResultFields {
    measurement: Vec<String>,
    average: Vec<String>,
    event: Vec<String>,
    experiment: Vec<String>,
}

impl ResultFields {
    /// The places that somebody has named, and else those by default.
    #[must_use]
    pub fn new(options: &[FieldOption]) -> Self {
        let places = |part: ResultPart, by_default: &[&str]| -> Vec<String> {
            let named = options.iter().filter(|option| option.part == part);
            let named: Vec<String> = named.map(|option| option.pointer.clone()).collect();
            if named.is_empty() {
                by_default.iter().map(|place| (*place).to_owned()).collect()
            } else {
                named
            }
        };
        ResultFields {
            measurement: places(
                ResultPart::Measurement,
                &["/measurement_id", "/value/measurement_id"],
            ),
            average: places(ResultPart::Average, &["/average", "/value/average"]),
            event: places(ResultPart::Event, &["/event", "/value/event"]),
            experiment: places(ResultPart::Experiment, &["/experiment_id"]),
        }
    }

    pub(super) fn measurement<'v>(&self, value: &'v Value) -> Result<Text<'v>, String> {
        text(value, &self.measurement)
    }

    pub(super) fn event<'v>(&self, value: &'v Value) -> Result<Text<'v>, String> {
        text(value, &self.event)
    }

    pub(super) fn experiment<'v>(&self, value: &'v Value) -> Result<Text<'v>, String> {
        text(value, &self.experiment)
    }

    /// The average, which may be in quotes.
    pub(super) fn average(&self, value: &Value) -> Result<Option<f64>, String> {
        let Some((place, found)) = first(value, &self.average) else {
            return Ok(None);
        };
        let number = match found {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim_ascii().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| number.is_finite());
        number
            .map(Some)
            .ok_or_else(|| format!("{place} is no number"))
    }
}

type Text<'v> = Option<Cow<'v, str>>;

/// What is at the first of the places that has something. Null and `""` are nothing.
fn first<'v, 'p>(value: &'v Value, places: &'p [String]) -> Option<(&'p str, &'v Value)> {
    places.iter().find_map(|place| match value.pointer(place)? {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        found => Some((place.as_str(), found)),
    })
}

fn text<'v>(value: &'v Value, places: &[String]) -> Result<Text<'v>, String> {
    match first(value, places) {
        None => Ok(None),
        Some((_, Value::String(text))) => Ok(Some(text.into())),
        Some((_, Value::Number(number))) => Ok(Some(number.to_string().into())),
        Some((place, _)) => Err(format!("{place} is neither text nor a number")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_where_somebody_says_or_by_default() {
        let parsed: FieldOption = "average=mean °C".parse().unwrap();
        let fields = ResultFields::new(&[parsed, "event=/a~1b/0".parse().unwrap()]);
        let value = json!({ "measurement_id": 7, "mean °C": "25.6", "a/b": ["Stabilized"],
            "average": 1, "event": "x", "experiment_id": "" });
        assert_eq!(fields.measurement(&value), Ok(Some("7".into())));
        assert_eq!(fields.average(&value), Ok(Some(25.6)));
        assert_eq!(fields.event(&value), Ok(Some("Stabilized".into())));
        assert_eq!(fields.experiment(&value), Ok(None));

        let fields = ResultFields::new(&[]);
        let own = json!({ "value": { "measurement_id": "m", "average": 1.5, "event": null } });
        assert_eq!(fields.measurement(&own), Ok(Some("m".into())));
        assert_eq!(
            (fields.average(&own), fields.event(&own)),
            (Ok(Some(1.5)), Ok(None))
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let fields = ResultFields::new(&[]);
        let value = json!({ "measurement_id": ["m"], "average": "warm", "event": true });
        let errors = [
            fields.measurement(&value).unwrap_err(),
            fields.average(&value).unwrap_err(),
            fields.event(&value).unwrap_err(),
        ];
        let expected = [
            "/measurement_id is neither text nor a number",
            "/average is no number",
            "/event is neither text nor a number",
        ];
        assert_eq!(errors, expected);
        for (text, expected) in [
            ("average", "such as average=/mean"),
            ("time=/t", "the parts are measurement, average"),
            ("average=", "has a name"),
            ("average=/~2", "not a JSON pointer"),
        ] {
            let error = text.parse::<FieldOption>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
