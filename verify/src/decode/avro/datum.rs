//! Data of a writer's schema, as data of a reader's.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Tree;
use super::bytes::Bytes;
use super::kinds::{Placed, decimal, float_value, kind, whole};
use super::names::{Names, check, collect_names, settle};
use super::reader::{choose, default_tree, field_of, symbol};

/// A schema with its named types.
pub(super) struct NamedSchema<'v> {
    schema: &'v Value,
    pub(super) names: Names,
}

/// The schemas of a writer and, if the topic has one, of its reader.
pub(super) struct Schemas<'v> {
    writer: NamedSchema<'v>,
    pub(super) reader: Option<NamedSchema<'v>>,
}

impl<'v> Schemas<'v> {
    pub(super) fn new(writer: &'v Value, reader: Option<&'v Value>) -> Result<Self, String> {
        let named = |schema: &'v Value| {
            let mut names = BTreeMap::new();
            collect_names(schema, "", &mut names);
            NamedSchema { schema, names }
        };
        let writer = named(writer);
        check(writer.schema, "", &writer.names)?;
        Ok(Schemas {
            writer,
            reader: reader.map(named),
        })
    }

    /// The next datum.
    pub(super) fn datum(&self, bytes: &mut Bytes<'_>) -> Result<Tree, String> {
        let place = |schema: &Value| (schema.clone(), String::new());
        let reader = self.reader.as_ref();
        let reader = reader.map(|reader| place(reader.schema));
        self.read(&place(self.writer.schema), reader.as_ref(), bytes, 0)
    }

    fn read(
        &self,
        writer: &Placed,
        reader: Option<&Placed>,
        bytes: &mut Bytes<'_>,
        depth: usize,
    ) -> Result<Tree, String> {
        let writer = settle(writer, &self.writer.names)?;
        let (schema, space) = &writer;
        let kind = kind(schema);
        let is_compound = ["union", "record", "error", "array", "map"].contains(&kind);
        if is_compound && depth == 64 {
            return Err("too deep".to_owned());
        }
        if let Value::Array(branches) = schema {
            let branch = branches.get(bytes.length()?).ok_or("no such branch")?;
            let branch = (branch.clone(), space.clone());
            return self.read(&branch, reader, bytes, depth + 1);
        }
        let reader = match (reader, &self.reader) {
            (Some(reader), Some(named)) => Some(choose(&writer, reader, &named.names)?),
            _ => None,
        };
        let placed = |schema: &Value, space: &str| (schema.clone(), space.to_owned());
        let inner = |name: &str| {
            let reader = reader.as_ref();
            let reader = reader.map(|(schema, space)| placed(&schema[name], space));
            (placed(&schema[name], space), reader)
        };
        match kind {
            "record" | "error" => {
                let mut fields = Vec::new();
                let read: Vec<Option<Value>> = match &reader {
                    None => Vec::new(),
                    Some((wanted, of)) => {
                        let (read, absent) = field_of(schema, wanted)?;
                        let names = &self.reader.as_ref().ok_or("no reader")?.names;
                        for (field, default) in absent {
                            let name = field["name"].as_str().unwrap_or_default().to_owned();
                            let of = placed(&field["type"], of);
                            fields.push((name, default_tree(&of, &default, names, 0)?));
                        }
                        read
                    }
                };
                for (at, field) in schema["fields"]
                    .as_array()
                    .ok_or("no fields")?
                    .iter()
                    .enumerate()
                {
                    let of = placed(&field["type"], space);
                    let (name, wanted) = match (&reader, read.get(at)) {
                        (Some((_, space)), Some(Some(field))) => {
                            (&field["name"], Some(placed(&field["type"], space)))
                        }
                        _ => (&field["name"], None),
                    };
                    let tree = self.read(&of, wanted.as_ref(), bytes, depth + 1)?;
                    if wanted.is_some() || reader.is_none() {
                        fields.push((name.as_str().unwrap_or_default().to_owned(), tree));
                    }
                }
                Ok(Tree::Named(fields))
            }
            "array" => {
                let (of, wanted) = inner("items");
                let mut elements = Vec::new();
                while let count @ 1.. = bytes.count()? {
                    for _ in 0..count {
                        elements.push(self.read(&of, wanted.as_ref(), bytes, depth + 1)?);
                    }
                }
                Ok(Tree::List(elements))
            }
            "map" => {
                let (of, wanted) = inner("values");
                let mut entries = Vec::new();
                while let count @ 1.. = bytes.count()? {
                    for _ in 0..count {
                        let name = bytes.text()?.to_owned();
                        entries.push((name, self.read(&of, wanted.as_ref(), bytes, depth + 1)?));
                    }
                }
                Ok(Tree::Named(entries))
            }
            "enum" => {
                let symbols = schema["symbols"].as_array().ok_or("no symbols")?;
                let word = symbols.get(bytes.length()?).ok_or("no such symbol")?;
                let reader = reader.as_ref().map(|(schema, _)| schema);
                symbol(word, reader).map(Tree::Leaf)
            }
            _ => {
                let wanted = reader.as_ref().map_or(schema, |(schema, _)| schema);
                scalar(schema, wanted, bytes).map(Tree::Leaf)
            }
        }
    }
}

/// What is neither a record nor in another type.
fn scalar(schema: &Value, wanted: &Value, bytes: &mut Bytes<'_>) -> Result<Value, String> {
    Ok(match kind(schema) {
        "null" => Value::Null,
        "boolean" => match bytes.take(1)? {
            [0] => false.into(),
            [1] => true.into(),
            _ => return Err("no truth value".to_owned()),
        },
        "int" => {
            let number = i32::try_from(bytes.long()?).map_err(|error| error.to_string())?;
            whole(number.into(), wanted)
        }
        "long" => whole(bytes.long()?, wanted),
        "float" => {
            let float: [u8; 4] = bytes.take(4)?.try_into().map_err(|_| "no float")?;
            float_value(f64::from(f32::from_le_bytes(float)))
        }
        "double" => {
            let float: [u8; 8] = bytes.take(8)?.try_into().map_err(|_| "no double")?;
            float_value(f64::from_le_bytes(float))
        }
        "bytes" | "string" => match kind(wanted) {
            "string" => bytes.text()?.into(),
            _ => decimal(wanted, bytes.sized()?),
        },
        "fixed" => {
            let size = schema["size"].as_u64().ok_or("no size")?;
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            decimal(wanted, bytes.take(size)?)
        }
        _ => return Err("no such type".to_owned()),
    })
}
