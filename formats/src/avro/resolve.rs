//! Reads a writer's data as a reader's schema has them ([schema resolution]).
//!
//! The result is a schema for the writer's bytes with the reader's names, meanings and defaults.
//! What cannot be resolved is an error only where it occurs in the data.
//!
//! [schema resolution]: https://avro.apache.org/docs/1.12.0/specification/#schema-resolution

use std::collections::HashMap;

use serde_json::Value;

use super::datum::{decimal, whole};
use super::schema::{EnumType, Meaning, RecordField, RecordType, Schema, Type};
use crate::mapping::Field;

/// How deep types may be in each other, as in data.
const DEEPEST: usize = 64;

/// The schema with which data of `writer` are read as those of `reader`.
fn resolve(writer: &Schema, reader: &Schema) -> Schema {
    let mut resolver = Resolver {
        writer,
        reader,
        types: Vec::new(),
        known: HashMap::new(),
    };
    let root = resolver.index(writer.root(), reader.root(), 0);
    Schema::new(resolver.types, root)
}

/// The schema with which data of `writer`, a schema in JSON, are read as those of `reader`. Without
/// a reader that is the writer's own.
///
/// # Errors
/// What is wrong with the writer's schema.
pub fn read_as(writer: &str, reader: Option<&Schema>) -> Result<Schema, String> {
    let writer = Schema::parse(writer)?;
    Ok(match reader {
        Some(reader) => resolve(&writer, reader),
        None => writer,
    })
}

struct Resolver<'s> {
    writer: &'s Schema,
    reader: &'s Schema,
    types: Vec<Type>,
    /// The index of each pair that was met, because types can contain themselves.
    known: HashMap<(usize, usize), usize>,
}

impl Resolver<'_> {
    /// The index of the type that reads a type of the writer as one of the reader.
    fn index(&mut self, of: usize, wanted: usize, depth: usize) -> usize {
        if let Some(index) = self.known.get(&(of, wanted)) {
            return *index;
        }
        let index = self.types.len();
        self.types.push(Type::Unresolved(String::new()));
        self.known.insert((of, wanted), index);
        let resolved = if depth > DEEPEST {
            Err(format!("its types are more than {DEEPEST} deep"))
        } else {
            self.pair(of, wanted, depth)
        };
        self.types[index] = resolved.unwrap_or_else(Type::Unresolved);
        index
    }

    fn pair(&mut self, of: usize, wanted: usize, depth: usize) -> Result<Type, String> {
        let (writer, reader) = (self.writer, self.reader);
        let (from, to) = (writer.of(of), reader.of(wanted));
        Ok(match (from, to) {
            (Type::Union(branches), _) => {
                let branches = branches.iter();
                Type::Union(
                    branches
                        .map(|branch| self.index(*branch, wanted, depth + 1))
                        .collect(),
                )
            }
            (_, Type::Union(branches)) => {
                let fits = |named: bool| {
                    let mut branches = branches.iter();
                    branches.find(|branch| fits(from, reader.of(**branch), named))
                };
                let branch = fits(true).or_else(|| fits(false));
                let branch = branch.ok_or_else(|| differs(from, to))?;
                return self.pair(of, *branch, depth + 1);
            }
            (Type::Record(from), Type::Record(to)) => {
                Type::Record(self.record(from, to, depth + 1)?)
            }
            (Type::Array(from), Type::Array(to)) => Type::Array(self.index(*from, *to, depth + 1)),
            (Type::Map(from), Type::Map(to)) => Type::Map(self.index(*from, *to, depth + 1)),
            (Type::Enum(from), Type::Enum(to)) => {
                let known = |symbol: &Option<String>| {
                    let is_known = to.symbols.contains(symbol);
                    if is_known { symbol } else { &to.default }.clone()
                };
                Type::Enum(EnumType {
                    symbols: from.symbols.iter().map(known).collect(),
                    default: None,
                })
            }
            _ => return scalar(from, to),
        })
    }

    fn record(
        &mut self,
        from: &RecordType,
        to: &RecordType,
        depth: usize,
    ) -> Result<RecordType, String> {
        let mut resolved = RecordType {
            name: to.name.clone(),
            fields: from.fields.clone(),
            absent: Vec::new(),
        };
        // What the reader's schema does not have is skipped, as itself.
        let mut readers: Vec<Option<&RecordField>> = vec![None; from.fields.len()];
        for field in &to.fields {
            let named = |name: &String| {
                let mut fields = from.fields.iter();
                fields.position(|other| other.name == *name)
            };
            let place = named(&field.name).or_else(|| field.aliases.iter().find_map(named));
            match (place, &field.default) {
                (Some(place), _) => readers[place] = Some(field),
                (None, Some(default)) => {
                    let mut path = vec![field.name.clone()];
                    let of = (field.of, depth);
                    self.defaults(of, default, &mut path, &mut resolved.absent)
                        .map_err(|why| format!("the default of `{}`: {why}", field.name))?;
                }
                (None, None) => {
                    return Err(format!(
                        "it has no field `{}`, which has no default in the schema of the topic",
                        field.name
                    ));
                }
            }
        }
        for (field, reader) in resolved.fields.iter_mut().zip(readers) {
            match reader {
                Some(reader) => {
                    field.of = self.index(field.of, reader.of, depth);
                    field.name.clone_from(&reader.name);
                }
                None => field.of = self.skipped(field.of),
            }
        }
        Ok(resolved)
    }

    /// A type of the writer as it is.
    fn skipped(&mut self, of: usize) -> usize {
        let key = (of, usize::MAX);
        if let Some(index) = self.known.get(&key) {
            return *index;
        }
        let index = self.types.len();
        self.types.push(self.writer.of(of).clone());
        self.known.insert(key, index);
        let mut copy = self.types[index].clone();
        match &mut copy {
            Type::Record(record) => {
                for field in &mut record.fields {
                    field.of = self.skipped(field.of);
                }
            }
            Type::Array(of) | Type::Map(of) => *of = self.skipped(*of),
            Type::Union(branches) => {
                for branch in branches {
                    *branch = self.skipped(*branch);
                }
            }
            _ => return index,
        }
        self.types[index] = copy;
        index
    }

    /// Adds the fields of a default, which is JSON in the reader's schema.
    fn defaults(
        &self,
        (of, depth): (usize, usize),
        default: &Value,
        path: &mut Vec<String>,
        absent: &mut Vec<(Vec<String>, Field<'static>)>,
    ) -> Result<(), String> {
        let wrong = || format!("{default} is not of its type");
        if depth > DEEPEST {
            return Err(format!("it is more than {DEEPEST} deep"));
        }
        let mut inner = |of, name: &str, value: &Value| {
            path.push(name.to_owned());
            let added = self.defaults((of, depth + 1), value, path, absent);
            path.pop();
            added
        };
        let field = match (self.reader.of(of), default) {
            (Type::Null, Value::Null) => Field::Missing,
            (Type::Boolean, Value::Bool(is_true)) => Field::Bool(*is_true),
            (Type::Long { is_int, meaning }, Value::Number(number)) => {
                let number = number.as_i64().ok_or_else(wrong)?;
                if *is_int && i32::try_from(number).is_err() {
                    return Err(wrong());
                }
                whole(number, *meaning)
            }
            (Type::Float | Type::Double, Value::Number(number)) => {
                Field::Float(number.as_f64().ok_or_else(wrong)?)
            }
            (Type::Text, Value::String(text)) => Field::Text(text.clone().into()),
            (Type::Enum(words), Value::String(text)) => {
                if !words.symbols.contains(&Some(text.clone())) {
                    return Err(wrong());
                }
                Field::Text(text.clone().into())
            }
            (Type::Bytes { scale, .. }, Value::String(text)) => {
                // Each character is a byte.
                let bytes = text
                    .chars()
                    .map(|character| u8::try_from(u32::from(character)));
                let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().map_err(|_| wrong())?;
                scale.map_or(Field::Other("bytes"), |scale| decimal(&bytes, scale))
            }
            (Type::Array(of), Value::Array(elements)) => {
                for (index, element) in elements.iter().enumerate() {
                    inner(*of, &index.to_string(), element)?;
                }
                Field::Other("an array")
            }
            (Type::Map(of), Value::Object(entries)) => {
                for (name, value) in entries {
                    inner(*of, name, value)?;
                }
                Field::Other("a map")
            }
            (Type::Record(record), Value::Object(values)) => {
                for field in &record.fields {
                    let value = values.get(&field.name).or(field.default.as_ref());
                    inner(field.of, &field.name, value.ok_or_else(wrong)?)?;
                }
                Field::Other("a record")
            }
            (Type::Union(branches), default) => {
                // The default is of the first branch.
                let branch = *branches.first().ok_or_else(wrong)?;
                return self.defaults((branch, depth + 1), default, path, absent);
            }
            _ => return Err(wrong()),
        };
        absent.push((path.clone(), field));
        Ok(())
    }
}

/// Whether a reader's branch is for data of a writer's type. Records are looked for by their names
/// first.
fn fits(from: &Type, to: &Type, named: bool) -> bool {
    match (from, to) {
        (Type::Record(from), Type::Record(to)) => !named || own(&from.name) == own(&to.name),
        (Type::Array(_), Type::Array(_))
        | (Type::Map(_), Type::Map(_))
        | (Type::Enum(_), Type::Enum(_)) => true,
        _ => scalar(from, to).is_ok(),
    }
}

/// A name without its namespace.
fn own(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, own)| own)
}

fn scalar(from: &Type, to: &Type) -> Result<Type, String> {
    Ok(match (from, to) {
        (Type::Null, Type::Null)
        | (Type::Boolean, Type::Boolean)
        | (Type::Float, Type::Float | Type::Double)
        | (Type::Double, Type::Double) => from.clone(),
        (
            Type::Long { is_int, meaning },
            Type::Long {
                is_int: to_int,
                meaning: wanted,
            },
        ) if *is_int || !*to_int => {
            let is_plain = [meaning, wanted].contains(&&Meaning::Number);
            if !is_plain && meaning != wanted {
                return Err("its times have another unit than those of the topic".to_owned());
            }
            Type::Long {
                is_int: *is_int,
                meaning: *wanted,
            }
        }
        (Type::Long { is_int, .. }, Type::Float | Type::Double) => Type::Long {
            is_int: *is_int,
            meaning: Meaning::Fraction,
        },
        (Type::Text | Type::Bytes { size: None, .. }, Type::Text) => Type::Text,
        (Type::Text, Type::Bytes { size: None, .. }) => to.clone(),
        (
            Type::Bytes { size, scale },
            Type::Bytes {
                size: to_size,
                scale: wanted,
            },
        ) if size == to_size => {
            if scale.is_some() && wanted.is_some() && scale != wanted {
                return Err("its decimals have another scale than those of the topic".to_owned());
            }
            to.clone()
        }
        _ => return Err(differs(from, to)),
    })
}

fn differs(from: &Type, to: &Type) -> String {
    let name = |of: &Type| match of {
        Type::Null => "null",
        Type::Boolean => "boolean",
        Type::Long { is_int: true, .. } => "int",
        Type::Long { .. } => "long",
        Type::Float => "float",
        Type::Double => "double",
        Type::Bytes { size: None, .. } => "bytes",
        Type::Bytes { .. } => "fixed",
        Type::Text => "string",
        Type::Record(_) => "a record",
        Type::Enum(_) => "an enum",
        Type::Array(_) => "an array",
        Type::Map(_) => "a map",
        Type::Union(_) | Type::Unresolved(_) => "none of the types",
    };
    format!(
        "its {} cannot be read as {} in the schema of the topic",
        name(from),
        name(to)
    )
}
