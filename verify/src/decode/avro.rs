//! Avro object container files, decoded whole: every datum becomes a tree first.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::bytes::Bytes;
use self::names::{Names, check, collect_names, full, namespace};

mod bytes;
mod names;

/// A decoded datum.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    Leaf(Value),
    List(Vec<Tree>),
    Named(Vec<(String, Tree)>),
}

impl Tree {
    /// What is at the end of a path. Null if nothing is. An object with a `time` is a time in
    /// milliseconds; an empty object or array is anything that is neither text nor a number.
    pub(super) fn look_up(&self, path: &[String]) -> Result<Value, String> {
        let Some((first, rest)) = path.split_first() else {
            return Ok(match self {
                Tree::Leaf(value) => value.clone(),
                Tree::List(_) | Tree::Named(_) => json!({}),
            });
        };
        match self {
            Tree::Leaf(_) => Ok(Value::Null),
            Tree::List(elements) => {
                let places = (0..elements.len()).map(|index| index.to_string());
                let found = places.zip(elements).find(|(place, _)| place == first);
                found.map_or(Ok(Value::Null), |(_, element)| element.look_up(rest))
            }
            Tree::Named(entries) => {
                let mut found = entries.iter().filter(|(name, _)| name == first);
                let Some((_, tree)) = found.next() else {
                    return Ok(Value::Null);
                };
                match found.next() {
                    Some(_) => Err(format!("{first} is there twice")),
                    None => tree.look_up(rest),
                }
            }
        }
    }
}

/// All data of a file.
pub(super) fn decode(file: &[u8]) -> Result<Vec<Tree>, String> {
    let mut bytes = Bytes::new(file);
    if bytes.take(4)? != b"Obj\x01" {
        return Err("no magic bytes".to_owned());
    }
    let mut header: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    while let count @ 1.. = bytes.count()? {
        for _ in 0..count {
            let name = bytes.sized()?.to_vec();
            header.insert(name, bytes.sized()?.to_vec());
        }
    }
    let sync = bytes.take(16)?;
    let schema = header.get(&b"avro.schema"[..]).ok_or("no schema")?;
    let schema: Value = serde_json::from_slice(schema).map_err(|error| error.to_string())?;
    let mut names = BTreeMap::new();
    collect_names(&schema, "", &mut names);
    check(&schema, "", &names)?;
    let codec = header.get(&b"avro.codec"[..]).cloned().unwrap_or_default();
    let mut data = Vec::new();
    while !bytes.rest.is_empty() {
        let count = bytes.length()?;
        let block = bytes.sized()?;
        if bytes.take(16)? != sync {
            return Err("no sync marker".to_owned());
        }
        let block = match &codec[..] {
            b"" | b"null" => block.to_vec(),
            b"deflate" => miniz_oxide::inflate::decompress_to_vec_with_limit(block, 64 << 20)
                .map_err(|error| error.to_string())?,
            b"snappy" => snappy(block)?,
            _ => return Err("an unknown codec".to_owned()),
        };
        let mut block = Bytes::new(&block);
        for _ in 0..count {
            data.push(datum(&schema, "", &names, &mut block, 0)?);
        }
        if !block.rest.is_empty() {
            return Err("more than the data".to_owned());
        }
    }
    Ok(data)
}

fn snappy(block: &[u8]) -> Result<Vec<u8>, String> {
    let end = block.len().checked_sub(4).ok_or("no checksum")?;
    let length = snap::raw::decompress_len(&block[..end]).map_err(|error| error.to_string())?;
    if length > 64 << 20 {
        return Err("too long".to_owned());
    }
    let data = snap::raw::Decoder::new().decompress_vec(&block[..end]);
    let data = data.map_err(|error| error.to_string())?;
    if crc32fast::hash(&data).to_be_bytes() == block[end..] {
        Ok(data)
    } else {
        Err("a wrong checksum".to_owned())
    }
}

fn datum(
    schema: &Value,
    space: &str,
    names: &Names,
    bytes: &mut Bytes<'_>,
    depth: usize,
) -> Result<Tree, String> {
    let kind = match schema {
        Value::Array(branches) => {
            let branch = branches.get(bytes.length()?).ok_or("no such branch")?;
            if depth == 64 {
                return Err("too deep".to_owned());
            }
            return datum(branch, space, names, bytes, depth + 1);
        }
        Value::Object(object) => match object.get("type") {
            Some(Value::String(kind)) => kind,
            Some(inner) => return datum(inner, space, names, bytes, depth),
            None => return Err("a type without a type".to_owned()),
        },
        Value::String(kind) => kind,
        _ => return Err("no schema".to_owned()),
    };
    let compound = ["record", "error", "array", "map"].contains(&kind.as_str());
    if compound && depth == 64 {
        return Err("too deep".to_owned());
    }
    let logical = schema
        .get("logicalType")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let leaf = match kind.as_str() {
        "null" => Value::Null,
        "boolean" => match bytes.take(1)? {
            [0] => false.into(),
            [1] => true.into(),
            _ => return Err("no truth value".to_owned()),
        },
        "int" => {
            let number = i32::try_from(bytes.long()?).map_err(|error| error.to_string())?;
            match logical {
                "date" => json!({ "time": i64::from(number) * 86_400_000 }),
                _ => number.into(),
            }
        }
        "long" => {
            let number = bytes.long()?;
            match logical.strip_prefix("local-").unwrap_or(logical) {
                "timestamp-millis" => json!({ "time": number }),
                "timestamp-micros" => json!({ "time": number.div_euclid(1000) }),
                "timestamp-nanos" => json!({ "time": number.div_euclid(1_000_000) }),
                _ => number.into(),
            }
        }
        "float" => {
            let float: [u8; 4] = bytes.take(4)?.try_into().map_err(|_| "no float")?;
            float_value(f64::from(f32::from_le_bytes(float)))
        }
        "double" => {
            let float: [u8; 8] = bytes.take(8)?.try_into().map_err(|_| "no double")?;
            float_value(f64::from_le_bytes(float))
        }
        "bytes" => decimal(schema, bytes.sized()?),
        "string" => str::from_utf8(bytes.sized()?)
            .map_err(|error| error.to_string())?
            .into(),
        "fixed" => {
            let size = schema["size"].as_u64().ok_or("no size")?;
            decimal(
                schema,
                bytes.take(usize::try_from(size).unwrap_or(usize::MAX))?,
            )
        }
        "enum" => {
            let symbols = schema["symbols"].as_array().ok_or("no symbols")?;
            symbols
                .get(bytes.length()?)
                .ok_or("no such symbol")?
                .clone()
        }
        "record" | "error" => {
            let name = full(
                schema["name"].as_str().unwrap_or_default(),
                &namespace(schema, space),
            );
            let space = &names.get(&name).ok_or("no name")?.1;
            let mut fields = Vec::new();
            for field in schema["fields"].as_array().ok_or("no fields")? {
                let name = field["name"].as_str().unwrap_or_default().to_owned();
                fields.push((name, datum(&field["type"], space, names, bytes, depth + 1)?));
            }
            return Ok(Tree::Named(fields));
        }
        "array" => {
            let mut elements = Vec::new();
            while let count @ 1.. = bytes.count()? {
                for _ in 0..count {
                    elements.push(datum(&schema["items"], space, names, bytes, depth + 1)?);
                }
            }
            return Ok(Tree::List(elements));
        }
        "map" => {
            let mut entries = Vec::new();
            while let count @ 1.. = bytes.count()? {
                for _ in 0..count {
                    let name = str::from_utf8(bytes.sized()?).map_err(|error| error.to_string())?;
                    let value = datum(&schema["values"], space, names, bytes, depth + 1)?;
                    entries.push((name.to_owned(), value));
                }
            }
            return Ok(Tree::Named(entries));
        }
        name => {
            let named = names.get(&full(name, space)).or_else(|| names.get(name));
            let (schema, outer) = named.ok_or("no such type")?;
            return datum(schema, outer, names, bytes, depth);
        }
    };
    Ok(Tree::Leaf(leaf))
}

/// JSON has no infinite numbers.
fn float_value(float: f64) -> Value {
    if float.is_finite() {
        float.into()
    } else {
        json!([])
    }
}

fn decimal(schema: &Value, bytes: &[u8]) -> Value {
    if schema
        .get("logicalType")
        .is_none_or(|logical| logical != "decimal")
        || bytes.len() > 16
    {
        return json!([]);
    }
    let Some(first) = bytes.first() else {
        return json!([]);
    };
    let mut number = if *first >= 0x80 { -1_i128 } else { 0 };
    for byte in bytes {
        number = (number << 8) | i128::from(*byte);
    }
    let scale = schema
        .get("scale")
        .and_then(Value::as_u64)
        .unwrap_or_default();
    format!("{number}e-{scale}")
        .parse()
        .map_or(json!([]), float_value)
}
