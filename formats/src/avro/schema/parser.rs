//! Reads schemas, which are JSON.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{EnumType, Meaning, RecordField, RecordType, Type};

/// How deep types may be in each other.
const DEEPEST: usize = 64;

/// The types that were parsed so far.
#[derive(Default)]
pub(super) struct Parser {
    types: Vec<Type>,
    /// The indices of named types, by their full names.
    named: HashMap<String, usize>,
}

impl Parser {
    /// All types of a schema, and the index of that of a whole datum.
    pub(super) fn schema(mut self, json: &Value) -> Result<(Vec<Type>, usize), String> {
        let root = self.parse(json, "", 0)?;
        Ok((self.types, root))
    }

    fn add(&mut self, one: Type) -> usize {
        self.types.push(one);
        self.types.len() - 1
    }

    fn parse(&mut self, json: &Value, space: &str, depth: usize) -> Result<usize, String> {
        if depth > DEEPEST {
            return Err(format!(
                "its types are more than {DEEPEST} deep in each other"
            ));
        }
        match json {
            Value::String(name) => self.by_name(name, space),
            Value::Array(branches) => {
                let branches = branches
                    .iter()
                    .map(|branch| self.parse(branch, space, depth + 1));
                let branches = branches.collect::<Result<Vec<_>, _>>()?;
                if branches
                    .iter()
                    .any(|branch| matches!(self.types[*branch], Type::Union(_)))
                {
                    return Err("a union is in a union".to_owned());
                }
                Ok(self.add(Type::Union(branches)))
            }
            Value::Object(object) => self.object(object, space, depth),
            other => Err(format!("{other} is no type")),
        }
    }

    fn by_name(&mut self, name: &str, space: &str) -> Result<usize, String> {
        let plain = |meaning, is_int| Type::Long { is_int, meaning };
        let primitive = match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "int" => plain(Meaning::Number, true),
            "long" => plain(Meaning::Number, false),
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes {
                size: None,
                scale: None,
            },
            "string" => Type::Text,
            _ => {
                let known = self
                    .named
                    .get(&full(name, space))
                    .or_else(|| self.named.get(name));
                return known
                    .copied()
                    .ok_or_else(|| format!("there is no type `{name}`"));
            }
        };
        Ok(self.add(primitive))
    }

    fn object(
        &mut self,
        object: &Map<String, Value>,
        space: &str,
        depth: usize,
    ) -> Result<usize, String> {
        let kind = object.get("type").ok_or("a type has no `type`")?;
        let Some(kind) = kind.as_str() else {
            return self.parse(kind, space, depth + 1);
        };
        let items = |name: &str| {
            object
                .get(name)
                .ok_or_else(|| format!("a type `{kind}` has no `{name}`"))
        };
        match kind {
            "array" => {
                let of = self.parse(items("items")?, space, depth + 1)?;
                Ok(self.add(Type::Array(of)))
            }
            "map" => {
                let of = self.parse(items("values")?, space, depth + 1)?;
                Ok(self.add(Type::Map(of)))
            }
            "record" | "error" => {
                let (name, space) = name_of(object, space)?;
                let index = self.add(Type::Unresolved(String::new()));
                self.define(name.clone(), index)?;
                let fields = items("fields")?.as_array().ok_or("`fields` is no list")?;
                let mut parsed: Vec<RecordField> = Vec::with_capacity(fields.len());
                for field in fields {
                    let name = field.get("name").and_then(Value::as_str);
                    let name = name.ok_or("a field has no `name`")?;
                    if parsed.iter().any(|other| other.name == name) {
                        return Err(format!("there are two fields `{name}`"));
                    }
                    let of = field
                        .get("type")
                        .ok_or_else(|| format!("`{name}` has no `type`"))?;
                    parsed.push(RecordField {
                        name: name.to_owned(),
                        aliases: texts(field.get("aliases")).unwrap_or_default(),
                        of: self.parse(of, &space, depth + 1)?,
                        default: field.get("default").cloned(),
                    });
                }
                self.types[index] = Type::Record(RecordType {
                    name,
                    fields: parsed,
                    absent: Vec::new(),
                });
                Ok(index)
            }
            "enum" => {
                let (name, _) = name_of(object, space)?;
                let symbols = texts(Some(items("symbols")?));
                let symbols = symbols.ok_or("`symbols` is no list of texts")?;
                let default = object.get("default").and_then(Value::as_str);
                let index = self.add(Type::Enum(EnumType {
                    symbols: symbols.into_iter().map(Some).collect(),
                    default: default.map(str::to_owned),
                }));
                self.define(name, index)?;
                Ok(index)
            }
            "fixed" => {
                let (name, _) = name_of(object, space)?;
                let size = items("size")?
                    .as_u64()
                    .and_then(|size| usize::try_from(size).ok());
                let size = Some(size.ok_or("`size` is no number")?);
                let scale = scale(object);
                let index = self.add(Type::Bytes { size, scale });
                self.define(name, index)?;
                Ok(index)
            }
            primitive => {
                let index = self.by_name(primitive, space)?;
                let logical = object.get("logicalType").and_then(Value::as_str);
                let meaning = match logical {
                    Some("date") => Meaning::Days,
                    Some("timestamp-millis" | "local-timestamp-millis") => Meaning::Milliseconds,
                    Some("timestamp-micros" | "local-timestamp-micros") => Meaning::Microseconds,
                    Some("timestamp-nanos" | "local-timestamp-nanos") => Meaning::Nanoseconds,
                    _ => Meaning::Number,
                };
                let with = match self.types[index] {
                    Type::Long { is_int, .. } if is_int == (meaning == Meaning::Days) => {
                        Type::Long { is_int, meaning }
                    }
                    Type::Bytes { size: None, .. } => Type::Bytes {
                        size: None,
                        scale: scale(object),
                    },
                    _ => return Ok(index),
                };
                Ok(self.add(with))
            }
        }
    }

    fn define(&mut self, name: String, index: usize) -> Result<(), String> {
        if self.named.contains_key(&name) {
            return Err(format!("there are two types `{name}`"));
        }
        self.named.insert(name, index);
        Ok(())
    }
}

/// The full name of a named type, and the namespace for the names in it.
fn name_of(object: &Map<String, Value>, space: &str) -> Result<(String, String), String> {
    let name = object
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if name.is_empty() {
        return Err("a record, enum or fixed has no `name`".to_owned());
    }
    let space = object
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or(space);
    let name = full(name, space);
    let space = name
        .rsplit_once('.')
        .map_or("", |(space, _)| space)
        .to_owned();
    Ok((name, space))
}

/// The texts of a list.
fn texts(list: Option<&Value>) -> Option<Vec<String>> {
    let texts = list?.as_array()?.iter();
    texts.map(|text| text.as_str().map(str::to_owned)).collect()
}

/// The scale, if it is a decimal number.
fn scale(object: &Map<String, Value>) -> Option<u32> {
    let is_decimal = object.get("logicalType")? == "decimal";
    let scale = object.get("scale").map_or(Some(0), Value::as_u64);
    scale
        .and_then(|scale| u32::try_from(scale).ok())
        .filter(|_| is_decimal)
}

fn full(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() {
        name.to_owned()
    } else {
        format!("{space}.{name}")
    }
}
