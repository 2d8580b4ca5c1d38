//! What a reader's schema makes of a writer's types.

use serde_json::{Value, json};

use super::Tree;
use super::kinds::{Placed, decimal, float_value, kind, scale, time_unit, whole};
use super::names::{Names, settle};

/// The reader's type for a datum of the writer's type.
pub(super) fn choose(writer: &Placed, reader: &Placed, names: &Names) -> Result<Placed, String> {
    let (schema, space) = settle(reader, names)?;
    let Value::Array(branches) = &schema else {
        if fits(&writer.0, &schema) {
            return Ok((schema, space));
        }
        return Err("another type than the reader's".to_owned());
    };
    let branches = branches.iter();
    let branches = branches.map(|branch| settle(&(branch.clone(), space.clone()), names));
    let branches = branches.collect::<Result<Vec<_>, _>>()?;
    let own = |of: &Value| {
        let name = of["name"].as_str().unwrap_or_default();
        name.rsplit('.').next().unwrap_or_default().to_owned()
    };
    let is_named = |branch: &&Placed| {
        fits(&writer.0, &branch.0) && (!is_record(&writer.0) || own(&writer.0) == own(&branch.0))
    };
    let named = branches.iter().find(is_named);
    let any = || branches.iter().find(|branch| fits(&writer.0, &branch.0));
    let found = named.or_else(any).cloned();
    found.ok_or_else(|| "none of the reader's types".to_owned())
}

fn is_record(schema: &Value) -> bool {
    ["record", "error"].contains(&kind(schema))
}

/// Whether a datum of one type may be one of the other, as far as the types themselves tell.
fn fits(writer: &Value, reader: &Value) -> bool {
    let kinds = (kind(writer), kind(reader));
    let same_time = || match (time_unit(writer), time_unit(reader)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    let same_scale = || match (scale(writer), scale(reader)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    match kinds {
        ("int", "int" | "long") | ("long", "long") => same_time(),
        ("int" | "long" | "float", "float" | "double")
        | ("double", "double")
        | ("string", "string" | "bytes")
        | ("bytes", "string")
        | ("record" | "error", "record" | "error") => true,
        ("bytes", "bytes") => same_scale(),
        ("fixed", "fixed") => writer["size"] == reader["size"] && same_scale(),
        (one, other) => one == other && ["null", "boolean", "enum", "array", "map"].contains(&one),
    }
}

/// The fields of a reader's schema that are not written, with their defaults.
type Absent = Vec<(Value, Value)>;

/// The reader's field for each of the writer's fields.
pub(super) fn field_of(
    writer: &Value,
    reader: &Value,
) -> Result<(Vec<Option<Value>>, Absent), String> {
    let written = writer["fields"].as_array().ok_or("no fields")?;
    let mut read = vec![None; written.len()];
    let mut absent = Vec::new();
    for field in reader["fields"].as_array().ok_or("no fields")? {
        let aliases = field["aliases"].as_array().into_iter().flatten();
        let all_are_texts = aliases.clone().all(Value::is_string);
        let aliases = aliases.filter(|_| all_are_texts);
        let mut names = [&field["name"]].into_iter().chain(aliases);
        let place = names.find_map(|name| written.iter().position(|other| other["name"] == *name));
        match (place, field.get("default")) {
            (Some(place), _) => read[place] = Some(field.clone()),
            (None, Some(default)) => absent.push((field.clone(), default.clone())),
            (None, None) => return Err("a field without a default is missing".to_owned()),
        }
    }
    Ok((read, absent))
}

/// A word of the writer, as one of the reader.
pub(super) fn symbol(word: &Value, reader: Option<&Value>) -> Result<Value, String> {
    let Some(reader) = reader else {
        return Ok(word.clone());
    };
    let symbols = reader["symbols"].as_array().ok_or("no symbols")?;
    if symbols.contains(word) {
        return Ok(word.clone());
    }
    match &reader["default"] {
        Value::String(default) => Ok(default.clone().into()),
        _ => Err("a word that the reader does not have".to_owned()),
    }
}

/// A default as a datum of its type.
pub(super) fn default_tree(
    of: &Placed,
    default: &Value,
    names: &Names,
    depth: usize,
) -> Result<Tree, String> {
    if depth > 64 {
        return Err("too deep".to_owned());
    }
    let wrong = || "a default of another type".to_owned();
    let (schema, space) = settle(of, names)?;
    let inner = |of: &Value, default: &Value| {
        default_tree(&(of.clone(), space.clone()), default, names, depth + 1)
    };
    let leaf = match (kind(&schema), default) {
        ("union", default) => return inner(schema.get(0).ok_or_else(wrong)?, default),
        ("null", Value::Null) | ("boolean", Value::Bool(_)) | ("string", Value::String(_)) => {
            default.clone()
        }
        ("int", Value::Number(number)) => {
            let number = number
                .as_i64()
                .and_then(|number| i32::try_from(number).ok());
            whole(number.ok_or_else(wrong)?.into(), &schema)
        }
        ("long", Value::Number(number)) => whole(number.as_i64().ok_or_else(wrong)?, &schema),
        ("float" | "double", Value::Number(number)) => {
            float_value(number.as_f64().ok_or_else(wrong)?)
        }
        ("bytes" | "fixed", Value::String(text)) => {
            let bytes = text
                .chars()
                .map(|character| u8::try_from(u32::from(character)));
            let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().map_err(|_| wrong())?;
            match scale(&schema) {
                Some(_) => decimal(&schema, &bytes),
                None => json!([]),
            }
        }
        ("enum", Value::String(_)) => {
            let symbols = schema["symbols"].as_array().ok_or_else(wrong)?;
            symbols
                .contains(default)
                .then(|| default.clone())
                .ok_or_else(wrong)?
        }
        ("array", Value::Array(elements)) => {
            let elements = elements
                .iter()
                .map(|element| inner(&schema["items"], element));
            return elements.collect::<Result<_, _>>().map(Tree::List);
        }
        ("map", Value::Object(entries)) => {
            let entries = entries.iter();
            let entries =
                entries.map(|(name, value)| Ok((name.clone(), inner(&schema["values"], value)?)));
            return entries.collect::<Result<_, String>>().map(Tree::Named);
        }
        ("record" | "error", Value::Object(values)) => {
            let mut fields = Vec::new();
            for field in schema["fields"].as_array().ok_or_else(wrong)? {
                let name = field["name"].as_str().unwrap_or_default();
                let value = values.get(name).or(field.get("default"));
                let tree = inner(&field["type"], value.ok_or_else(wrong)?)?;
                fields.push((name.to_owned(), tree));
            }
            return Ok(Tree::Named(fields));
        }
        _ => return Err(wrong()),
    };
    Ok(Tree::Leaf(leaf))
}
