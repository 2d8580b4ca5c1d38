//! Decoding, implemented a second time and naively: every field becomes a [`Value`] first.

mod avro;
mod mapped;

use std::collections::BTreeMap;
use std::fmt;

use rivulet_core::topic_source::FetchedRecord;
use rivulet_pipeline::Topic;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use self::mapped::{Encoding, MappedFormat, single};
use crate::truth::{Entry, Stream};

/// Decodes the records of a topic whose format is known here.
#[derive(Debug, Clone)]
pub(crate) struct Decoder<'t> {
    topic: &'t Topic,
    format: KnownFormat,
}

/// A format that is known here.
#[derive(Debug, Clone)]
enum KnownFormat {
    Json,
    Number,
    Mapped(Encoding, Box<MappedFormat>),
}

impl<'t> Decoder<'t> {
    /// The decoder of a topic; `None` if its format is not known here.
    pub(crate) fn of(topic: &'t Topic) -> Option<Self> {
        let settings: Option<Value> = topic.format.settings().ok();
        let is_empty = settings
            .as_ref()
            .is_none_or(|settings| *settings == Value::Object(<_>::default()));
        let format = match topic.format.name() {
            "json" if is_empty => KnownFormat::Json,
            "json" => KnownFormat::Mapped(Encoding::Json, Box::deserialize(settings?).ok()?),
            "avro-file" => {
                KnownFormat::Mapped(Encoding::AvroFile, Box::deserialize(settings?).ok()?)
            }
            "number" => KnownFormat::Number,
            _ => return None,
        };
        Some(Decoder { topic, format })
    }

    /// Whether its readings have a sensor.
    pub(crate) fn has_sensors(&self) -> bool {
        !matches!(self.format, KnownFormat::Number)
    }

    /// Whether a record can have readings of several sensors.
    pub(crate) fn has_several(&self) -> bool {
        match &self.format {
            // A file may hold several data.
            KnownFormat::Mapped(Encoding::AvroFile, _) => true,
            KnownFormat::Mapped(Encoding::Json, mapped) => mapped.has_several(),
            KnownFormat::Json | KnownFormat::Number => false,
        }
    }

    /// Whether a record has the key of a sensor.
    pub(crate) fn is_keyed(&self, key: Option<&[u8]>, sensor: &str) -> bool {
        match &self.format {
            KnownFormat::Number => true,
            KnownFormat::Json => key == Some(sensor.as_bytes()),
            KnownFormat::Mapped(_, mapped) => key == Some(mapped.key(sensor).as_bytes()),
        }
    }

    /// The sensors and the rest of the readings in a record, or why it is invalid.
    pub(crate) fn decode(
        &self,
        record: &FetchedRecord<'_>,
    ) -> Result<Vec<(String, Entry)>, String> {
        let topic = self.topic;
        let bytes = || record.value.ok_or("no value");
        match &self.format {
            KnownFormat::Mapped(encoding, mapped) => mapped.decode(*encoding, record, topic.unit),
            KnownFormat::Json => {
                let Fields(fields) =
                    serde_json::from_slice(bytes()?).map_err(|error| error.to_string())?;
                let reading = json(topic, &fields).ok_or_else(|| "not a reading".to_owned())?;
                Ok(vec![reading])
            }
            KnownFormat::Number => {
                let value: Value =
                    serde_json::from_slice(bytes()?).map_err(|error| error.to_string())?;
                let value = value
                    .as_f64()
                    .filter(|value| value.is_finite())
                    .ok_or("not a number")?;
                // What the format does not have comes from the record.
                let entry = Entry {
                    seq: u64::try_from(record.offset).unwrap_or_default(),
                    time: record.timestamp,
                    value,
                    unit: topic.unit,
                };
                Ok(vec![(String::new(), entry)])
            }
        }
    }

    /// A stream as a reader of the topic sees it, once it is written to `partitions` partitions.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub(crate) fn written(
        &self,
        stream: Stream,
        partitions: usize,
        sensors: &mut crate::truth::Sensors,
    ) -> Result<Stream, String> {
        let unit = self.topic.unit;
        match &self.format {
            KnownFormat::Json => Ok(stream.with_unit(|_, own| Ok(own.or(unit)))?),
            KnownFormat::Number => Ok(stream.into_numbers(partitions, unit, sensors)),
            KnownFormat::Mapped(_, mapped) => {
                let mut stream = stream
                    .with_unit(|sensor, own| mapped.unit_of(sensors.name(sensor), own, unit))?;
                for (sensor, series) in &mut stream.series {
                    if mapped.is_single(sensors.name(*sensor))? {
                        for entry in &mut series.entries {
                            entry.value = single(entry.value)?;
                        }
                    }
                }
                stream.numbered &= mapped.is_numbered();
                Ok(stream)
            }
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
