//! What is in the value of a record.

use std::collections::BTreeMap;

use rivulet_core::error::Result;
use rivulet_core::format::DecodeError;
use rivulet_formats::avro::container::{ContainerReader, MAGIC};
use rivulet_formats::avro::input::Input;
use rivulet_formats::avro::json::json;
use rivulet_formats::avro::schema::Schema;
use rivulet_formats::schema_registry::SchemaRegistry;

/// How many schemas are kept.
const SCHEMAS: usize = 100;

/// A value, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// A tombstone.
    None,
    /// Text.
    Text(&'a str),
    /// Avro data, as JSON.
    Avro(String),
    /// Other bytes, and why they are not what they seem to be.
    Bytes(&'a [u8], Option<String>),
}

/// Decodes values.
#[derive(Debug)]
pub(crate) struct Values {
    registry: Option<Box<dyn SchemaRegistry>>,
    schemas: BTreeMap<u32, Result<Schema, String>>,
    containers: ContainerReader,
}

impl Values {
    /// With a registry, values that begin with a zero byte and the id of a schema are Avro.
    pub(crate) fn new(registry: Option<Box<dyn SchemaRegistry>>) -> Self {
        Values {
            registry,
            schemas: BTreeMap::new(),
            containers: ContainerReader::default(),
        }
    }

    /// What is in a value.
    ///
    /// # Errors
    /// If the registry cannot be reached.
    pub(crate) fn decode<'a>(&mut self, value: Option<&'a [u8]>) -> Result<Value<'a>> {
        let Some(bytes) = value else {
            return Ok(Value::None);
        };
        if bytes.starts_with(MAGIC) {
            return Ok(match self.containers.json(bytes) {
                Ok(data) => Value::Avro(data.join(" ")),
                Err(why) => Value::Bytes(bytes, Some(format!("no Avro file: {why}"))),
            });
        }
        if let [0, a, b, c, d, datum @ ..] = bytes
            && let Some(registry) = &self.registry
        {
            let id = u32::from_be_bytes([*a, *b, *c, *d]);
            let decoded = match known(&mut self.schemas, id, registry.as_ref())? {
                Ok(schema) => whole(schema, datum),
                Err(why) => Err(why.clone()),
            };
            return Ok(match decoded {
                Ok(json) => Value::Avro(json),
                Err(why) => Value::Bytes(bytes, Some(format!("schema {id}: {why}"))),
            });
        }
        Ok(match str::from_utf8(bytes) {
            Ok(text) => Value::Text(text),
            Err(_) => Value::Bytes(bytes, None),
        })
    }
}

/// The schema with this id.
fn known<'s>(
    schemas: &'s mut BTreeMap<u32, Result<Schema, String>>,
    id: u32,
    registry: &dyn SchemaRegistry,
) -> Result<&'s Result<Schema, String>> {
    if !schemas.contains_key(&id) {
        let schema = match registry.schema(id) {
            Ok(text) => Schema::parse(&text),
            Err(DecodeError::Invalid(invalid)) => Err(invalid.to_string()),
            Err(DecodeError::Unavailable(error)) => return Err(error),
        };
        if schemas.len() == SCHEMAS {
            schemas.pop_first();
        }
        schemas.insert(id, schema);
    }
    Ok(&schemas[&id])
}

fn whole(schema: &Schema, datum: &[u8]) -> Result<String, String> {
    let mut input = Input::new(datum);
    let json = json(schema, &mut input)?;
    match input.len() {
        0 => Ok(json),
        left => Err(format!("{left} bytes are left")),
    }
}

#[cfg(test)]
mod tests {
    use rivulet_core::error::{Error, Kind};
    use rivulet_core::reading::InvalidReading;

    use super::*;

    #[derive(Debug)]
    struct Table;

    impl SchemaRegistry for Table {
        fn schema(&self, id: u32) -> Result<String, DecodeError> {
            match id {
                1 => Ok("\"string\"".to_owned()),
                2 => Err(InvalidReading::new("unknown-schema", "there is none".to_owned()).into()),
                _ => Err(DecodeError::Unavailable(
                    Error::new("asking", "nobody answers").of_kind(Kind::Unreachable),
                )),
            }
        }

        fn id(&self, _: &str, _: &str, _: bool) -> Result<u32> {
            Ok(1)
        }

        fn latest(&self, _: &str) -> Result<(u32, String)> {
            Ok((1, "\"string\"".to_owned()))
        }
    }

    #[test]
    fn text_is_text_and_other_bytes_are_bytes() {
        let mut values = Values::new(None);
        assert_eq!(values.decode(None).unwrap(), Value::None);
        assert_eq!(values.decode(Some(b"")).unwrap(), Value::Text(""));
        assert_eq!(values.decode(Some(b"20.5")).unwrap(), Value::Text("20.5"));
        for bytes in [&b"\xff"[..], b"\0\0\0\0\x01\xff"] {
            let expected = Value::Bytes(bytes, None);
            assert_eq!(values.decode(Some(bytes)).unwrap(), expected);
        }
        let Value::Bytes(_, Some(why)) = values.decode(Some(b"Obj\x01")).unwrap() else {
            panic!("it is no file")
        };
        assert!(why.contains("no Avro file"), "{why}");
    }

    #[test]
    fn a_registry_has_the_schema() {
        let mut values = Values::new(Some(Box::new(Table)));
        let avro = Value::Avro("\"ab\"".to_owned());
        assert_eq!(values.decode(Some(b"\0\0\0\0\x01\x04ab")).unwrap(), avro);
        for (bytes, expected) in [
            (&b"\0\0\0\0\x01\x04abc"[..], "schema 1: 1 bytes are left"),
            (b"\0\0\0\0\x01\x04a", "schema 1: it ends 1 bytes early"),
            (b"\0\0\0\0\x02\x04ab", "schema 2: unknown-schema"),
        ] {
            let Value::Bytes(_, Some(why)) = values.decode(Some(bytes)).unwrap() else {
                panic!("{bytes:?} is no Avro")
            };
            assert!(why.contains(expected), "{why}");
        }
        let error = values.decode(Some(b"\0\0\0\0\x03")).unwrap_err();
        assert_eq!(error.kind(), Kind::Unreachable);
    }
}
