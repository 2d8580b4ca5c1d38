//! `list`: values in the pipeline file.

use std::time::Duration;

use rivulet_core::component::Component;
use rivulet_core::error::Result as OrError;
use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{SourceContext, SourceSettings};
use crate::position;
use crate::setting::{Rate, SensorName, celsius, now};
use crate::source::{Next, Progress, Source};

/// The values of one sensor, in order. Each has the time at which it is sent.
///
/// ```
/// use std::time::Duration;
///
/// use rivulet_producer::catalog::{SourceContext, read};
/// use rivulet_producer::source::Next;
/// use rivulet_pipeline::ComponentConfig;
///
/// let config = ComponentConfig::parse("list = { values = [20, 21.5] }").unwrap();
/// let mut source = read(&config).unwrap().open(&SourceContext::default())?;
/// let mut values = Vec::new();
/// while let Next::Reading(reading) = source.next(Duration::ZERO)? {
///     values.push((reading.seq, reading.value));
/// }
/// assert_eq!(values, [(0, 20.0), (1, 21.5)]);
/// # Ok::<(), rivulet_core::error::Error>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct List {
    values: Values,
    /// The unit of the values.
    #[serde(default = "celsius")]
    unit: Unit,
    /// The sensor's name; `list` unless it is set.
    #[serde(default = "own_name")]
    sensor: SensorName,
    rate: Option<Rate>,
}

fn own_name() -> SensorName {
    SensorName(List::NAME.to_owned())
}

/// At least one value, all of them finite.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Vec<f64>")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("minItems" = 1)))]
pub struct Values(Vec<f64>);

impl TryFrom<Vec<f64>> for Values {
    type Error = String;

    fn try_from(values: Vec<f64>) -> Result<Self, String> {
        if values.is_empty() {
            return Err("the list is empty; give at least one value".to_owned());
        }
        match values.iter().find(|value| !value.is_finite()) {
            Some(value) => Err(format!("{value} is not a finite number; remove it")),
            None => Ok(Values(values)),
        }
    }
}

impl Component for List {
    const NAME: &'static str = "list";
    const ABOUT: &'static str = "a list of values in the pipeline file";
    const EXAMPLE: &'static str =
        "list = { values = [20, 21, 19.5], unit = \"celsius\", rate = 1.0 }";
}

impl SourceSettings for List {
    fn open(&self, _: &SourceContext) -> OrError<Box<dyn Source>> {
        Ok(Box::new(ListSource {
            list: self.clone(),
            next: 0,
        }))
    }

    fn ends(&self) -> bool {
        true
    }
}

struct ListSource {
    list: List,
    next: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    value: usize,
}

impl Source for ListSource {
    fn next(&mut self, _: Duration) -> OrError<Next<'_>> {
        let Some(&value) = self.list.values.0.get(self.next) else {
            return Ok(Next::End);
        };
        let seq = self.next as u64;
        self.next += 1;
        let sensor = self.list.sensor.0.as_str().into();
        Ok(Next::Reading(Reading {
            sensor,
            seq,
            time: now(),
            value,
            unit: Some(self.list.unit),
        }))
    }

    fn position(&self) -> Value {
        json!(Position { value: self.next })
    }

    fn resume(&mut self, position: &Value) -> OrError<()> {
        let Position { value } = position::read(position)?;
        let count = self.list.values.0.len();
        if value > count {
            return Err(position::unusable(format!(
                "{value} values were sent, but the list has only {count}"
            )));
        }
        self.next = value;
        Ok(())
    }

    fn rate(&self) -> Option<f64> {
        self.list.rate.map(|rate| rate.0)
    }

    fn progress(&self) -> Option<Progress> {
        Some(Progress {
            done: self.next as u64,
            total: self.list.values.0.len() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{diagnostic, open, readings, rejects};

    #[test]
    fn a_value_has_the_time_at_which_it_is_sent() {
        let before = now();
        let mut source =
            open("list = { values = [20, -1.5], unit = \"kelvin\", sensor = \"s\", rate = 2 }");
        assert_eq!(source.rate(), Some(2.0));
        let found = readings(&mut *source, 9);
        assert!(
            found
                .iter()
                .all(|got| (before..=now()).contains(&got.time) && got.unit == Some(Unit::Kelvin))
        );
        let found: Vec<_> = found
            .iter()
            .map(|got| (got.sensor.as_str(), got.seq, got.value))
            .collect();
        assert_eq!(found, [("s", 0, 20.0), ("s", 1, -1.5)]);
        assert!(readings(&mut *source, 9).is_empty());
        assert_eq!(source.progress(), Some(Progress { done: 2, total: 2 }));
    }

    #[test]
    fn an_invalid_setting_is_explained() {
        for (settings, expected) in [
            ("values = []", "at least one value"),
            ("values = [1, nan]", "NaN is not a finite number"),
            ("values = [1], sensor = \"\"", "give one word"),
            ("values = [1], rate = 0", "a number above 0"),
            ("values = [1], rate = inf", "a number above 0"),
            ("values = [1], valeus = 1", "valeus"),
            ("", "missing field `values`"),
        ] {
            let diagnostic = diagnostic(&format!("list = {{ {settings} }}"));
            assert!(diagnostic.contains(expected), "{settings}: {diagnostic}");
        }
    }

    #[test]
    fn an_impossible_position_is_an_error_with_help() {
        let mut source = open("list = { values = [1] }");
        for (position, expected) in [
            (json!({ "value": 2 }), "only 1"),
            (json!({ "reading": 0 }), "this kind of source"),
        ] {
            rejects(&mut *source, &position, expected);
        }
    }

    proptest! {
        #[test]
        fn it_resumes_at_any_position(
            values in prop::collection::vec(-1e3..1e3_f64, 1..20), stop in 0..25_usize,
        ) {
            let config = format!("list = {{ values = {values:?} }}");
            let mut first = open(&config);
            let mut found = readings(&mut *first, stop);
            let mut second = open(&config);
            second.resume(&first.position()).unwrap();
            found.extend(readings(&mut *second, 99));
            let found: Vec<_> = found.into_iter().map(|got| (got.seq, got.value)).collect();
            prop_assert_eq!(found, (0..).zip(values).collect::<Vec<_>>());
        }
    }
}
