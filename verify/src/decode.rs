//! Decoding, implemented a second time and naively: every field becomes a [`Value`] first.

pub(crate) mod avro;
mod mapped;

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use rivulet_core::topic_source::FetchedRecord;
use rivulet_pipeline::{Pipeline, Topic};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use self::avro::Tree;
use self::mapped::{MappedFormat, single};
use crate::stream::{Entry, Stream};

/// What schema registries know. A topic says in its format which registry is its own.
pub trait Schemas {
    /// The Avro schema with an id in the registry of a topic.
    ///
    /// # Errors
    /// Why there is none.
    fn schema(&self, topic: &str, id: u32) -> Result<String, String>;

    /// The latest schema of the subject under which a topic is written.
    ///
    /// # Errors
    /// Why there is none.
    fn latest(&self, topic: &str) -> Result<String, String>;
}

/// No registry at all.
#[derive(Debug, Clone, Copy)]
pub struct NoRegistry;

impl Schemas for NoRegistry {
    fn schema(&self, _: &str, _: u32) -> Result<String, String> {
        Err("there is no schema registry".to_owned())
    }

    fn latest(&self, topic: &str) -> Result<String, String> {
        self.schema(topic, 0)
    }
}

/// The decoders of the topics of a pipeline, one each: a decoder keeps the schemas that it was
/// told.
pub(crate) struct Decoders<'p> {
    pub(crate) pipeline: &'p Pipeline,
    schemas: &'p dyn Schemas,
    made: RefCell<BTreeMap<&'p str, Option<Rc<Decoder<'p>>>>>,
}

impl<'p> Decoders<'p> {
    pub(crate) fn new(pipeline: &'p Pipeline, schemas: &'p dyn Schemas) -> Self {
        Decoders {
            pipeline,
            schemas,
            made: RefCell::default(),
        }
    }

    /// The decoder of a topic; `None` if there is no such topic, or its format is not known here.
    pub(crate) fn of(&self, name: &str) -> Option<Rc<Decoder<'p>>> {
        let (name, topic) = self.pipeline.topics.get_key_value(name)?;
        let mut made = self.made.borrow_mut();
        let decoder = made.entry(name).or_insert_with(|| {
            let folder = self.pipeline.text.folder();
            Decoder::new(name, topic, folder, self.schemas).map(Rc::new)
        });
        decoder.clone()
    }
}

/// Decodes the records of a topic whose format is known here.
pub(crate) struct Decoder<'t> {
    name: &'t str,
    topic: &'t Topic,
    format: KnownFormat,
    /// The schema of the topic, if its format has one.
    schema: Option<Value>,
    schemas: &'t dyn Schemas,
    /// What the registry has said.
    known: RefCell<BTreeMap<u32, Result<Value, String>>>,
}

/// A format that is known here.
#[derive(Debug, Clone)]
enum KnownFormat {
    Json,
    Number,
    Mapped(Encoding, Box<MappedFormat>),
}

/// How mapped messages are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Json,
    AvroFile,
    Registry,
}

impl<'t> Decoder<'t> {
    fn new(
        name: &'t str,
        topic: &'t Topic,
        folder: &Path,
        schemas: &'t dyn Schemas,
    ) -> Option<Self> {
        let settings: Option<Value> = topic.format.settings().ok();
        let inline = settings.as_ref().and_then(|table| table.get("schema"));
        let file = settings.as_ref().and_then(|table| table.get("schema-file"));
        let schema = match (inline, file) {
            (Some(text), _) => Some(text.as_str()?.to_owned()),
            (_, Some(path)) => Some(fs::read_to_string(folder.join(path.as_str()?)).ok()?),
            _ => None,
        };
        let schema = match schema {
            Some(text) => Some(serde_json::from_str(&text).ok()?),
            None => None,
        };
        let is_empty = settings
            .as_ref()
            .is_none_or(|settings| *settings == Value::Object(<_>::default()));
        let format = match topic.format.name() {
            "json" if is_empty => KnownFormat::Json,
            "json" => KnownFormat::Mapped(Encoding::Json, Box::deserialize(settings?).ok()?),
            "avro-file" => {
                KnownFormat::Mapped(Encoding::AvroFile, Box::deserialize(settings?).ok()?)
            }
            "avro" => KnownFormat::Mapped(Encoding::Registry, Box::deserialize(settings?).ok()?),
            "number" => KnownFormat::Number,
            _ => return None,
        };
        Some(Decoder {
            name,
            topic,
            format,
            schema,
            schemas,
            known: RefCell::default(),
        })
    }

    /// Whether its readings have a sensor.
    pub(crate) fn has_sensors(&self) -> bool {
        !matches!(self.format, KnownFormat::Number)
    }

    /// Whether the sequence numbers of its readings were counted by their source.
    pub(crate) fn has_numbers(&self) -> bool {
        match &self.format {
            KnownFormat::Json => true,
            KnownFormat::Number => false,
            KnownFormat::Mapped(_, mapped) => mapped.has_numbers(),
        }
    }

    /// Whether a record can have readings of several sensors.
    pub(crate) fn has_several(&self) -> bool {
        match &self.format {
            // A file may hold several data.
            KnownFormat::Mapped(Encoding::AvroFile, _) => true,
            KnownFormat::Mapped(Encoding::Json | Encoding::Registry, mapped) => {
                mapped.has_several()
            }
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
            KnownFormat::Mapped(encoding, mapped) => {
                mapped.decode(record, topic.unit, |bytes| self.trees(*encoding, bytes))
            }
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

    /// The data in a record. `None` is JSON, which is looked up as it is.
    fn trees(&self, encoding: Encoding, bytes: &[u8]) -> Result<Vec<Option<Tree>>, String> {
        let reader = self.schema.as_ref();
        match encoding {
            Encoding::Json => Ok(vec![None]),
            _ if bytes.is_empty() => Err("empty".to_owned()),
            Encoding::AvroFile => {
                let trees = avro::decode(bytes, reader)?;
                Ok(trees.into_iter().map(Some).collect())
            }
            Encoding::Registry => {
                let (head, datum) = bytes.split_at_checked(5).ok_or("no schema's id")?;
                let number = head
                    .iter()
                    .fold(0, |number, byte| number << 8 | u64::from(*byte));
                let id = u32::try_from(number).map_err(|_| "no zero byte")?;
                let mut known = self.known.borrow_mut();
                let schema = known.entry(id).or_insert_with(|| {
                    let text = self.schemas.schema(self.name, id)?;
                    serde_json::from_str(&text).map_err(|error| error.to_string())
                });
                let tree = avro::decode_one(datum, schema.as_ref()?, reader)?;
                Ok(vec![Some(tree)])
            }
        }
    }

    /// The schema with which the topic is written, if its format has one.
    fn written_schema(&self) -> Result<Option<Cow<'_, Value>>, String> {
        match (&self.schema, &self.format) {
            (Some(schema), _) => Ok(Some(Cow::Borrowed(schema))),
            (None, KnownFormat::Mapped(Encoding::Registry, _)) => {
                let text = self.schemas.latest(self.name)?;
                let schema = serde_json::from_str(&text).map_err(|error| error.to_string())?;
                Ok(Some(Cow::Owned(schema)))
            }
            _ => Ok(None),
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
        sensors: &mut crate::stream::Sensors,
    ) -> Result<Stream, String> {
        let unit = self.topic.unit;
        match &self.format {
            KnownFormat::Json => Ok(stream.with_unit(|_, own| Ok(own.or(unit)))?),
            KnownFormat::Number => Ok(stream.into_numbers(partitions, unit, sensors)),
            KnownFormat::Mapped(_, mapped) => {
                let mut stream = stream
                    .with_unit(|sensor, own| mapped.unit_of(sensors.name(sensor), own, unit))?;
                let schema = self.written_schema()?;
                for (sensor, series) in &mut stream.series {
                    if mapped.is_single(sensors.name(*sensor), schema.as_deref())? {
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
