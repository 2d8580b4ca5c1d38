//! `avro`: Avro with a schema registry, as Confluent's serializers write it.
//!
//! A record begins with a zero byte and the [id](SchemaRegistry::schema) of its schema in four
//! bytes, and the datum follows. A [mapping](crate::mapping) says which of its fields are the parts
//! of a reading.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rivulet_core::component::Component;
use rivulet_core::error::{Error, Kind, Result as OrError};
use rivulet_core::format::{DecodeError, Format, FormatContext, FormatSettings, excerpt, value_of};
use rivulet_core::log::ConsumerRecord;
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::readings::Readings;
use rivulet_core::unit::Unit;
use serde::Deserialize;

use crate::avro::datum::read;
use crate::avro::input::Input;
use crate::avro::resolve::read_as;
use crate::avro::schema::Schema;
use crate::avro::source::{SchemaSource, TopicSchema};
use crate::avro::writer::Writer;
use crate::mapping::{Field, FieldTree, Mapping, MappingTable};
use crate::schema_registry::{
    RegisteredTopic, RegistrySettings, SchemaRegistry, SubjectNameStrategy,
};

/// How a record begins.
const MAGIC: u8 = 0;
/// How many schemas are kept. A topic with more has a writer that registers one for each record.
const SCHEMAS: usize = 100;
/// How long the answer that there is no such schema is kept: each record with it would ask again.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// Each record is one datum, with the id of its schema in a schema registry. The settings say where
/// each part of a reading is.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "MappingTable")]
pub struct Avro {
    mapping: Mapping,
    schema: Option<SchemaSource>,
    registry: RegistrySettings,
    subject: Option<String>,
    strategy: SubjectNameStrategy,
    register: bool,
}

impl TryFrom<MappingTable> for Avro {
    type Error = String;

    fn try_from(mut table: MappingTable) -> Result<Self, String> {
        let schema = SchemaSource::take(&mut table)?;
        if table.subject.is_some() && table.subject_name_strategy.is_some() {
            return Err(
                "`subject` and `subject-name-strategy` exclude each other: remove one".to_owned(),
            );
        }
        if table.subject.as_deref() == Some("") {
            return Err("a subject has a name; \"\" is none".to_owned());
        }
        if schema.is_none() && table.register == Some(true) {
            return Err("`register` needs a schema: add `schema-file`".to_owned());
        }
        Ok(Avro {
            schema,
            registry: table
                .registry
                .take()
                .ok_or("`registry` is missing: add the URL of the schema registry")?,
            subject: table.subject.take(),
            strategy: table.subject_name_strategy.unwrap_or_default(),
            register: table.register.unwrap_or(true),
            mapping: table.try_into()?,
        })
    }
}

impl Component for Avro {
    const NAME: &'static str = "avro";
    const ABOUT: &'static str = "Avro with a schema registry, by a mapping";
    const EXAMPLE: &'static str = r#"avro = { registry = "http://10.42.0.250:8081", sensor = "id", time = "/timestamp", value = "value" }"#;
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Avro {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Avro".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        MappingTable::schema_with_only(crate::mapping::REGISTRY, generator)
    }
}

impl Avro {
    /// The format with this registry.
    ///
    /// # Errors
    /// What is wrong with the file of the schema.
    pub fn with_registry(
        &self,
        context: &FormatContext<'_>,
        registry: Box<dyn SchemaRegistry>,
    ) -> Result<AvroFormat, String> {
        let schema = SchemaSource::load(self.schema.as_ref(), context, &self.mapping)?;
        Ok(AvroFormat {
            tree: FieldTree::new(self.mapping.pointers()),
            mapping: self.mapping.clone(),
            unit: context.unit,
            registry,
            known: RefCell::default(),
            subject: self.subject(context, schema.as_ref()),
            schema,
            register: self.register,
            encoder: RefCell::default(),
        })
    }

    /// The client of the registry, and the subject of the topic.
    ///
    /// # Errors
    /// What is wrong with a file that the settings name.
    pub fn registered(&self, context: &FormatContext<'_>) -> Result<RegisteredTopic, String> {
        let schema = SchemaSource::load(self.schema.as_ref(), context, &self.mapping)?;
        Ok(RegisteredTopic {
            registry: self.registry.client(context.folder)?,
            subject: self.subject(context, schema.as_ref()),
        })
    }

    fn subject(
        &self,
        context: &FormatContext<'_>,
        schema: Option<&TopicSchema>,
    ) -> Result<String, String> {
        match &self.subject {
            Some(subject) => Ok(subject.clone()),
            None => {
                let record = schema.and_then(|schema| schema.schema.name());
                self.strategy.subject(context.topic, record)
            }
        }
    }
}

impl FormatSettings for Avro {
    fn build(&self, context: &FormatContext<'_>) -> Result<Box<dyn Format>, String> {
        let registry = self.registry.client(context.folder)?;
        Ok(Box::new(self.with_registry(context, registry)?))
    }

    fn check_write(&self, context: &FormatContext<'_>) -> Result<(), String> {
        let schema = SchemaSource::load(self.schema.as_ref(), context, &self.mapping)?;
        self.subject(context, schema.as_ref())?;
        match schema {
            Some(schema) => schema.writer(&self.mapping).map(drop),
            None => self.mapping.layout().map(drop),
        }
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct AvroFormat {
    mapping: Mapping,
    tree: FieldTree,
    unit: Option<Unit>,
    registry: Box<dyn SchemaRegistry>,
    known: RefCell<BTreeMap<u32, KnownSchema>>,
    /// Under which subject the written schema is, or why that cannot be told.
    subject: Result<String, String>,
    /// The schema to which those of the records are resolved, and which is written. Without one,
    /// the latest of the subject is written.
    schema: Option<TopicSchema>,
    register: bool,
    encoder: RefCell<Option<Encoder>>,
}

/// What the registry has said of an id.
#[derive(Debug)]
struct KnownSchema {
    schema: Result<Arc<Schema>, InvalidReading>,
    /// When to ask again.
    until: Option<Instant>,
}

/// Writes data of one schema.
#[derive(Debug)]
struct Encoder {
    id: u32,
    writer: Writer,
}

impl AvroFormat {
    /// The schema with an id.
    fn schema(&self, id: u32) -> Result<Arc<Schema>, DecodeError> {
        let mut known = self.known.borrow_mut();
        if let Some(known) = known.get(&id)
            && known.until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(known.schema.clone()?);
        }
        let (schema, until) = match self.registry.schema(id) {
            Ok(text) => {
                let reader = self.schema.as_ref().map(|schema| &schema.schema);
                let schema = read_as(&text, reader);
                let invalid = |why| not_avro(format!("schema {id} cannot be read: {why}"));
                (schema.map(Arc::new).map_err(invalid), None)
            }
            Err(DecodeError::Invalid(invalid)) => {
                (Err(invalid), Some(Instant::now() + UNKNOWN_FOR))
            }
            Err(unavailable) => return Err(unavailable),
        };
        if known.len() == SCHEMAS {
            known.pop_first();
        }
        known.insert(
            id,
            KnownSchema {
                schema: schema.clone(),
                until,
            },
        );
        Ok(schema?)
    }

    /// What writes with the schema of the topic.
    fn encoder(&self) -> OrError<Encoder> {
        let doing = "writing Avro";
        let wrong = |why: String| Error::new(doing, why).of_kind(Kind::Usage);
        let subject = self.subject.as_ref().map_err(|why| wrong(why.clone()))?;
        if let Some(schema) = &self.schema {
            let writer = schema.writer(&self.mapping).map_err(wrong)?;
            let id = self.registry.id(subject, &schema.text, self.register)?;
            return Ok(Encoder { id, writer });
        }
        let (id, text) = self.registry.latest(subject)?;
        let layout = self.mapping.layout().map_err(wrong)?;
        let writer = Schema::parse(&text).and_then(|schema| Writer::new(&schema, &layout));
        let writer = writer.map_err(|why| {
            wrong(format!(
                "schema {id}, the latest of the subject {subject}: {why}"
            ))
            .help("add `schema-file` to the topic's format, or change the mapping")
        })?;
        Ok(Encoder { id, writer })
    }
}

fn not_avro(detail: String) -> InvalidReading {
    InvalidReading::new("not-avro", detail)
}

impl Format for AvroFormat {
    fn decode<'a>(&self, record: &ConsumerRecord<'a>) -> Result<Readings<'a>, DecodeError> {
        if !self.mapping.picks_headers(record) {
            return Ok(Readings::None);
        }
        let value = value_of(record)?;
        let [MAGIC, a, b, c, d, datum @ ..] = value else {
            let found = excerpt(value);
            let detail = format!("it does not begin with a zero byte and a schema's id: {found}");
            return Err(not_avro(detail).into());
        };
        let id = u32::from_be_bytes([*a, *b, *c, *d]);
        let schema = self.schema(id)?;
        let mut input = Input::new(datum);
        let mut fields = vec![Field::Missing; self.mapping.pointers().len()];
        let whole = read(&schema, &self.tree, &mut input, &mut fields);
        let whole = whole.and_then(|()| {
            if input.is_empty() {
                Ok(())
            } else {
                Err("it has more bytes than one datum".to_owned())
            }
        });
        whole.map_err(|why| not_avro(format!("with schema {id}: {why}")))?;
        Ok(self.mapping.readings(record, &fields, self.unit)?)
    }

    fn encode(&self, reading: &Reading<'_>, value: &mut Vec<u8>) -> Result<(), InvalidReading> {
        let encoder = self.encoder.borrow();
        let encoder = encoder.as_ref().ok_or_else(|| {
            InvalidReading::new("not-prepared", "the id of the schema is not known yet")
        })?;
        let written = self.mapping.written(reading)?;
        value.push(MAGIC);
        value.extend_from_slice(&encoder.id.to_be_bytes());
        encoder.writer.write(&self.mapping, reading, written, value)
    }

    fn keyed(&self) -> bool {
        true
    }

    fn key<'s>(&self, sensor: &'s str) -> &'s str {
        self.mapping.key(sensor)
    }

    fn prepare(&self) -> OrError<()> {
        let mut encoder = self.encoder.borrow_mut();
        if encoder.is_none() {
            *encoder = Some(self.encoder()?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
