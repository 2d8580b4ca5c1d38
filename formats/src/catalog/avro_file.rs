//! `avro-file`: an Avro object container file in each record, with its schema.
//!
//! A [mapping](crate::mapping) says which of its fields are the parts of a reading. A file may hold
//! several data, and its schema may change from record to record.

use rivulet_core::component::Component;
use rivulet_core::format::{DecodeError, Format, FormatSettings, value_of};
use rivulet_core::log::ConsumerRecord;
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::readings::Readings;
use rivulet_core::unit::Unit;
use serde::Deserialize;

use crate::avro::container::{ContainerReader, SYNC};
use crate::avro::schema::Schema;
use crate::avro::writer::{Writer, header, push_bytes, push_long};
use crate::mapping::{FieldTree, Mapping, MappingTable};

/// Each record is an object container file with the codec `null`, `deflate` or `snappy`. The
/// settings say where each part of a reading is, and which schema is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "MappingTable")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(with = "MappingTable")
)]
pub struct AvroFile {
    mapping: Mapping,
    /// The schema that is written, as text and parsed.
    schema: Option<(String, Schema)>,
}

impl TryFrom<MappingTable> for AvroFile {
    type Error = String;

    fn try_from(mut table: MappingTable) -> Result<Self, String> {
        let schema = table.schema.take();
        let parse = |text: String| match Schema::parse(&text) {
            Ok(schema) => Ok((text, schema)),
            Err(why) => Err(format!("`schema` is no Avro schema: {why}")),
        };
        let settings = AvroFile {
            mapping: table.try_into()?,
            schema: schema.map(parse).transpose()?,
        };
        // What cannot be written may still be read, but not if it is only the schema's fault.
        if settings.schema.is_some() && settings.mapping.layout().is_ok() {
            settings.writer()?;
        }
        Ok(settings)
    }
}

impl AvroFile {
    fn writer(&self) -> Result<Writer, String> {
        let layout = self.mapping.layout()?;
        match &self.schema {
            Some((_, schema)) => Writer::new(schema, &layout),
            None => Err("add schema = '''{ … }''', the schema that is written".to_owned()),
        }
    }
}

impl Component for AvroFile {
    const NAME: &'static str = "avro-file";
    const ABOUT: &'static str = "an Avro object container file in each record, by a mapping";
    const EXAMPLE: &'static str =
        r#"avro-file = { time = "/timestamp", time-format = "seconds", value = "temperature" }"#;
}

impl FormatSettings for AvroFile {
    fn build(&self, unit: Option<Unit>) -> Box<dyn Format> {
        let text = self.schema.as_ref().map_or("", |(text, _)| text);
        let (header, sync) = header(text);
        Box::new(AvroFileFormat {
            tree: FieldTree::new(self.mapping.pointers()),
            mapping: self.mapping.clone(),
            reader: ContainerReader::default(),
            writer: self.writer(),
            header,
            sync,
            unit,
        })
    }

    fn check_write(&self) -> Result<(), String> {
        self.writer().map(drop)
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
