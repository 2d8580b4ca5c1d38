//! Decoding, implemented a second time and naively: every field becomes a [`Value`] first.

use std::collections::BTreeMap;
use std::fmt;

use rivulet_pipeline::Topic;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::truth::Entry;
use rivulet_core::topic_source::FetchedRecord;

/// A format that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownFormat {
    Json,
    Number,
}

impl KnownFormat {
    /// The format of a topic; `None` if it is not known here.
    pub(crate) fn of(topic: &Topic) -> Option<Self> {
        match topic.format.name() {
            "json" => Some(KnownFormat::Json),
            "number" => Some(KnownFormat::Number),
            _ => None,
        }
    }
}

/// Whether the records of a topic have the sensor, the time and the number of a reading.
pub(crate) fn is_json(topic: &Topic) -> bool {
    KnownFormat::of(topic) == Some(KnownFormat::Json)
}

/// The sensor and the rest of the reading in a record, or why it is not a reading.
pub(crate) fn decode(topic: &Topic, record: &FetchedRecord<'_>) -> Result<(String, Entry), String> {
    let bytes = record.value.ok_or("no value")?;
    match KnownFormat::of(topic).ok_or("of a format that is not known here")? {
        KnownFormat::Json => {
            let Fields(fields) =
                serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
            json(topic, &fields).ok_or_else(|| "not a reading".to_owned())
        }
        KnownFormat::Number => {
            let value: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
            let value = value
                .as_f64()
                .filter(|value| value.is_finite())
                .ok_or("not a number")?;
            // What the format does not have comes from the record.
            let seq = u64::try_from(record.offset).unwrap_or_default();
            Ok((
                String::new(),
                Entry {
                    seq,
                    time: record.timestamp,
                    value,
                    unit: topic.unit,
                },
            ))
        }
    }
}

fn json(topic: &Topic, fields: &BTreeMap<String, Value>) -> Option<(String, Entry)> {
    let unit = match fields.get("unit") {
        None | Some(Value::Null) => topic.unit,
        Some(Value::String(name)) => Some(name.parse().ok()?),
        Some(_) => return None,
    };
    let entry = Entry {
        seq: fields.get("seq")?.as_u64()?,
        time: fields.get("time")?.as_i64()?,
        value: fields
            .get("value")?
            .as_f64()
            .filter(|value| value.is_finite())?,
        unit,
    };
    // The limit for the key of a record.
    let sensor = fields
        .get("sensor")?
        .as_str()
        .filter(|sensor| sensor.len() <= 4096)?;
    Some((sensor.to_owned(), entry))
}

/// The fields of an object that make a reading, each at most once. Other fields are ignored.
#[derive(Default)]
struct Fields(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields::default())
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<Self, A::Error> {
        while let Some(name) = object.next_key::<String>()? {
            if !["sensor", "seq", "time", "value", "unit"].contains(&name.as_str()) {
                object.next_value::<IgnoredAny>()?;
            } else if self.0.insert(name.clone(), object.next_value()?).is_some() {
                return Err(A::Error::custom(format!("`{name}` is there twice")));
            }
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
