//! One JSON object a line. Other fields are ignored.

use rivulet_core::reading::InvalidReading;
use serde_json::{Map, Value};

use super::{Columns, ParsedRow, Rows, missing, time, unit, without_mark};

/// See the [module](self).
#[derive(Debug)]
pub struct JsonLines {
    names: Columns,
}

impl JsonLines {
    /// The parser for the fields of these names.
    #[must_use]
    pub fn new(columns: &Columns) -> Self {
        JsonLines {
            names: columns.clone(),
        }
    }
}

impl Rows for JsonLines {
    fn row<'a>(&'a mut self, line: &'a [u8]) -> Result<ParsedRow<'a>, InvalidReading> {
        let mut object: Map<String, Value> =
            serde_json::from_slice(without_mark(line)).map_err(|error| {
                InvalidReading::new("not-json", format!("not a JSON object: {error}"))
            })?;
        let mut field = |name: &str| remove_field(&mut object, name);
        let sensor = match field(&self.names.sensor)? {
            Value::String(sensor) if sensor.is_empty() => return Err(missing(&self.names.sensor)),
            Value::String(sensor) => sensor,
            other => {
                return Err(InvalidReading::new(
                    "bad-sensor",
                    format!("{other} is not a sensor's name; write it as text"),
                ));
            }
        };
        let time = match field(&self.names.time)? {
            Value::String(text) => time(&text)?,
            // Only a whole number is a time: its text is parsed as one.
            other => time(&other.to_string())?,
        };
        let value = field(&self.names.value)?;
        let value = value.as_f64().ok_or_else(|| {
            InvalidReading::new("not-a-number", format!("{value} is not a number"))
        })?;
        let unit = match self.names.unit.map(field) {
            Some(Ok(Value::String(text))) => Some(unit(&text)?),
            Some(Ok(other)) => {
                return Err(InvalidReading::new(
                    "bad-unit",
                    format!("{other} is not a unit's name"),
                ));
            }
            Some(Err(_)) | None => None,
        };
        Ok(ParsedRow {
            sensor: sensor.into(),
            time,
            value,
            unit,
        })
    }
}

fn remove_field(object: &mut Map<String, Value>, name: &str) -> Result<Value, InvalidReading> {
    match object.remove(name) {
        None | Some(Value::Null) => Err(missing(name)),
        Some(value) => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use rivulet_core::unit::Unit;

    use super::*;

    fn row(line: &str) -> Result<ParsedRow<'static>, InvalidReading> {
        let columns = Columns {
            sensor: "id".into(),
            time: "at".into(),
            value: "t".into(),
            unit: Some("unit"),
        };
        let mut rows = JsonLines::new(&columns);
        rows.row(line.as_bytes()).map(|row| ParsedRow {
            sensor: row.sensor.into_owned().into(),
            ..row
        })
    }

    #[test]
    fn fields_are_found_by_name() {
        let expected = ParsedRow {
            sensor: "s".into(),
            time: 0,
            value: 0.1,
            unit: None,
        };
        assert_eq!(
            row(r#"{"id":"s","at":"1970-01-01T00:00:00Z","t":0.1,"more":[1]}"#).unwrap(),
            expected
        );
        let kelvin = row(r#"{"unit":"kelvin","t":0.1,"at":0,"id":"s"}"#).unwrap();
        assert_eq!(
            kelvin,
            ParsedRow {
                unit: Some(Unit::Kelvin),
                ..expected
            }
        );
        assert_eq!(
            row("\u{feff}{\"id\":\"s\",\"at\":-5,\"t\":3}")
                .unwrap()
                .time,
            -5
        );
    }

    #[test]
    fn an_invalid_object_has_a_reason() {
        for (line, reason) in [
            ("abc", "not-json"),
            ("[1]", "not-json"),
            (r#"{"id":"s","at":0,"t":1e999}"#, "not-json"),
            (r#"{"id":"s","at":0}"#, "missing-cell"),
            (r#"{"id":"","at":0,"t":1}"#, "missing-cell"),
            (r#"{"id":"s","at":0,"t":null}"#, "missing-cell"),
            (r#"{"id":"s","at":0,"t":"1"}"#, "not-a-number"),
            (r#"{"id":"s","at":0.5,"t":1}"#, "bad-time"),
            (r#"{"id":"s","at":"noon","t":1}"#, "bad-time"),
            (r#"{"id":7,"at":0,"t":1}"#, "bad-sensor"),
            (r#"{"id":"s","at":0,"t":1,"unit":""}"#, "bad-unit"),
        ] {
            assert_eq!(row(line).unwrap_err().reason, reason, "{line}");
        }
    }
}
