//! Schemas.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// How deep types may be in each other.
const DEEPEST: usize = 64;

/// A schema: its types, each by its index.
#[derive(Debug, Clone)]
pub struct Schema {
    types: Vec<Type>,
    root: usize,
}

/// A type. Others are given by their index.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Nothing.
    Null,
    /// A truth value.
    Boolean,
    /// A whole number, of 32 bits if `is_int`.
    Long {
        /// Whether it has 32 bits.
        is_int: bool,
        /// What it counts.
        meaning: Meaning,
    },
    /// A 32-bit float.
    Float,
    /// A 64-bit float.
    Double,
    /// Bytes. With a scale they are a decimal number.
    Bytes {
        /// How many there are; `None` if their number is written.
        size: Option<usize>,
        /// The digits after the point.
        scale: Option<u32>,
    },
    /// Text.
    Text,
    /// Named fields.
    Record(Vec<RecordField>),
    /// One of some words.
    Enum(Vec<String>),
    /// A list.
    Array(usize),
    /// Values by their names.
    Map(usize),
    /// One of several types.
    Union(Vec<usize>),
}

/// What a whole number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Anything.
    Number,
    /// Days since the epoch.
    Days,
    /// Milliseconds since the epoch.
    Milliseconds,
    /// Microseconds since the epoch.
    Microseconds,
    /// Nanoseconds since the epoch.
    Nanoseconds,
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordField {
    /// Its name.
    pub name: String,
    /// The index of its type.
    pub of: usize,
    /// Its value if it is not written.
    pub default: Option<Value>,
}

impl Schema {
    /// Parses a schema.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut parser = Parser {
            types: Vec::new(),
            named: HashMap::new(),
        };
        let root = parser.parse(&json, "", 0)?;
        Ok(Schema {
            types: parser.types,
            root,
        })
    }

    /// The type of a whole datum.
    #[must_use]
    pub fn root(&self) -> usize {
        self.root
    }

    /// The type with this index.
    #[must_use]
    pub fn of(&self, index: usize) -> &Type {
        &self.types[index]
    }
}

struct Parser {
    types: Vec<Type>,
    /// The indices of named types, by their full names.
    named: HashMap<String, usize>,
}

impl Parser {
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
                let index = self.add(Type::Record(Vec::new()));
                self.define(name, index)?;
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
                        of: self.parse(of, &space, depth + 1)?,
                        default: field.get("default").cloned(),
                    });
                }
                self.types[index] = Type::Record(parsed);
                Ok(index)
            }
            "enum" => {
                let (name, _) = name_of(object, space)?;
                let symbols = items("symbols")?.as_array().ok_or("`symbols` is no list")?;
                let symbols = symbols
                    .iter()
                    .map(|symbol| symbol.as_str().map(str::to_owned));
                let symbols = symbols
                    .collect::<Option<_>>()
                    .ok_or("a symbol is no text")?;
                let index = self.add(Type::Enum(symbols));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_resolved_in_their_namespace() {
        let schema = Schema::parse(
            r#"{"type":"record","name":"tree","namespace":"a.b","fields":[
                {"name":"left","type":["null","tree"]},
                {"name":"right","type":["null","a.b.tree"]},
                {"name":"time","type":{"type":"long","logicalType":"timestamp-millis"}},
                {"name":"beside","type":"long","logicalType":"timestamp-millis"}]}"#,
        )
        .unwrap();
        let Type::Record(fields) = schema.of(schema.root()) else {
            panic!("it is a record")
        };
        let Type::Union(branches) = schema.of(fields[0].of) else {
            panic!("it is a union")
        };
        assert_eq!(branches[1], schema.root());
        let is_millis = |field: &RecordField| {
            let meaning = Meaning::Milliseconds;
            *schema.of(field.of)
                == Type::Long {
                    is_int: false,
                    meaning,
                }
        };
        assert!(is_millis(&fields[2]) && !is_millis(&fields[3]));
    }

    #[test]
    fn a_schema_that_is_none_is_an_error() {
        for (text, expected) in [
            ("", "EOF"),
            ("5", "5 is no type"),
            ("\"lng\"", "there is no type `lng`"),
            ("{}", "a type has no `type`"),
            (r#"{"type":"record","fields":[]}"#, "has no `name`"),
            (r#"{"type":"record","name":"a"}"#, "has no `fields`"),
            (
                r#"{"type":"record","name":"a","fields":[{"name":"b"}]}"#,
                "`b` has no `type`",
            ),
            (
                r#"{"type":"record","name":"a","fields":[{"name":"b","type":"int"},
                    {"name":"b","type":"int"}]}"#,
                "two fields `b`",
            ),
            (r#"["null",["null"]]"#, "a union is in a union"),
            (r#"{"type":"array"}"#, "has no `items`"),
            (
                r#"{"type":"fixed","name":"a","size":-1}"#,
                "`size` is no number",
            ),
        ] {
            let error = Schema::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let deep = "{\"type\":\"array\",\"items\":".repeat(100) + "\"int\"" + &"}".repeat(100);
        assert!(Schema::parse(&deep).unwrap_err().contains("deep"));
    }
}
