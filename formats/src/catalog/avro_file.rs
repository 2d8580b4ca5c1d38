//! `avro-file`: an Avro object container file in each record, with its schema.
//!
//! A [mapping](crate::mapping) says which of its fields are the parts of a reading. A file may hold
//! several data, and its schema may change from record to record.

use rivulet_core::component::Component;
use rivulet_core::format::{DecodeError, Format, FormatContext, FormatSettings, value_of};
use rivulet_core::log::ConsumerRecord;
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::readings::Readings;
use rivulet_core::unit::Unit;
use serde::Deserialize;

use crate::avro::container::{ContainerReader, SYNC};
use crate::avro::source::{SchemaSource, TopicSchema};
use crate::avro::writer::{Writer, header, push_bytes, push_long};
use crate::mapping::{FieldTree, Mapping, MappingTable, SCHEMA};

/// Each record is an object container file, of any codec of the specification. The settings say
/// where each part of a reading is, and which schema is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "MappingTable")]
pub struct AvroFile {
    mapping: Mapping,
    schema: Option<SchemaSource>,
}

impl TryFrom<MappingTable> for AvroFile {
    type Error = String;

    fn try_from(mut table: MappingTable) -> Result<Self, String> {
        table.check_has_only(SCHEMA, Self::NAME)?;
        Ok(AvroFile {
            schema: SchemaSource::take(&mut table)?,
            mapping: table.try_into()?,
        })
    }
}

impl AvroFile {
    fn writer(&self, schema: Option<&TopicSchema>) -> Result<Writer, String> {
        match schema {
            Some(schema) => schema.writer(&self.mapping),
            None => Err("add schema-file = \"NAME.avsc\", the schema that is written".to_owned()),
        }
    }
}

impl Component for AvroFile {
    const NAME: &'static str = "avro-file";
    const ABOUT: &'static str = "an Avro object container file in each record, by a mapping";
    const EXAMPLE: &'static str =
        r#"avro-file = { time = "/timestamp", time-format = "seconds", value = "temperature" }"#;
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for AvroFile {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AvroFile".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        MappingTable::schema_with_only(SCHEMA, generator)
    }
}

impl FormatSettings for AvroFile {
    fn build(&self, context: &FormatContext<'_>) -> Result<Box<dyn Format>, String> {
        let schema = SchemaSource::load(self.schema.as_ref(), context, &self.mapping)?;
        let text = schema.as_ref().map_or("", |schema| &schema.text);
        let (header, sync) = header(text);
        Ok(Box::new(AvroFileFormat {
            tree: FieldTree::new(self.mapping.pointers()),
            mapping: self.mapping.clone(),
            writer: self.writer(schema.as_ref()),
            reader: ContainerReader::new(schema.map(|schema| schema.schema)),
            header,
            sync,
            unit: context.unit,
        }))
    }

    fn check_write(&self, context: &FormatContext<'_>) -> Result<(), String> {
        let schema = SchemaSource::load(self.schema.as_ref(), context, &self.mapping)?;
        self.writer(schema.as_ref()).map(drop)
    }
}

/// See the [module](self).
#[derive(Debug)]
pub struct AvroFileFormat {
    mapping: Mapping,
    tree: FieldTree,
    reader: ContainerReader,
    /// Why it cannot write, if it cannot.
    writer: Result<Writer, String>,
    /// How each file begins, and its sync marker.
    header: Vec<u8>,
    sync: [u8; SYNC],
    unit: Option<Unit>,
}

/// Why a file has no readings.
enum Invalid {
    File(String),
    Reading(InvalidReading),
}

impl From<String> for Invalid {
    fn from(why: String) -> Self {
        Invalid::File(why)
    }
}

impl Format for AvroFileFormat {
    fn decode<'a>(&self, record: &ConsumerRecord<'a>) -> Result<Readings<'a>, DecodeError> {
        if !self.mapping.picks_headers(record) {
            return Ok(Readings::None);
        }
        let value = value_of(record)?;
        let mut readings = Vec::new();
        let count = self.mapping.pointers().len();
        let read = self.reader.read(value, &self.tree, count, |fields| {
            let found = self.mapping.readings(record, fields, self.unit);
            let found = found.map_err(Invalid::Reading)?;
            found.try_for_each(|reading| {
                readings.push(reading);
                Ok(())
            })
        });
        match read {
            Ok(()) => Ok(readings.into_iter().collect()),
            Err(Invalid::File(why)) => Err(InvalidReading::new("not-avro", why).into()),
            Err(Invalid::Reading(invalid)) => Err(invalid.into()),
        }
    }

    fn encode(&self, reading: &Reading<'_>, value: &mut Vec<u8>) -> Result<(), InvalidReading> {
        let writer = self.writer.as_ref();
        let writer = writer.map_err(|why| InvalidReading::new("read-only", why.clone()))?;
        let written = self.mapping.written(reading)?;
        let mut datum = Vec::with_capacity(64);
        writer.write(&self.mapping, reading, written, &mut datum)?;
        value.extend_from_slice(&self.header);
        push_long(value, 1);
        push_bytes(value, &datum);
        value.extend_from_slice(&self.sync);
        Ok(())
    }

    fn keyed(&self) -> bool {
        true
    }

    fn key<'s>(&self, sensor: &'s str) -> &'s str {
        self.mapping.key(sensor)
    }
}

#[cfg(test)]
mod tests;
