//! What is at a place of a record.

use std::fmt;

use rivulet_core::topic_source::FetchedRecord;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::decode::avro::Tree;

/// A record, or one of the data in it.
#[derive(Clone, Copy)]
pub(super) struct Source<'r> {
    pub(super) record: &'r FetchedRecord<'r>,
    pub(super) tree: Option<&'r Tree>,
}

impl Source<'_> {
    pub(super) fn look_up(self, path: &[String]) -> Result<Value, String> {
        match self.tree {
            Some(tree) => tree.look_up(path),
            None => look_up(self.record.value.unwrap_or_default(), path),
        }
    }
}

pub(super) fn is_missing(found: &Value) -> bool {
    matches!(found, Value::Null) || *found == ""
}

/// A unit that is always the same.
pub(super) fn always(place: &Value) -> Option<&str> {
    match place {
        Value::String(text) if text.starts_with('/') => None,
        Value::String(text) => Some(text),
        table => table.get("constant").and_then(Value::as_str),
    }
}

/// The names on the way to a field; `None` if the place is not in the value.
pub(super) fn pointer(place: &Value) -> Option<Vec<String>> {
    let text = match place {
        Value::String(word) if ["key", "offset", "timestamp"].contains(&word.as_str()) => None,
        Value::String(text) => Some(text.as_str()),
        table => table.get("field").and_then(Value::as_str),
    }?;
    Some(match text.strip_prefix('/') {
        None => vec![text.to_owned()],
        Some(path) => path
            .split('/')
            .map(|name| name.replace("~1", "/").replace("~0", "~"))
            .collect(),
    })
}

/// What is at a place. Null if nothing is.
pub(super) fn find(place: &Value, source: Source<'_>) -> Result<Value, String> {
    let record = source.record;
    if let Some(path) = pointer(place) {
        return source.look_up(&path);
    }
    let of_bytes = |bytes: Option<&[u8]>| match bytes.map(<[u8]>::to_vec).map(String::from_utf8) {
        None => Value::Null,
        Some(Ok(text)) => text.into(),
        // Anything that is neither text nor a number.
        Some(Err(_)) => Value::Array(Vec::new()),
    };
    if let Some(name) = place.get("header").and_then(Value::as_str) {
        let headers = record.headers.iter().rev();
        let value = headers
            .filter(|(header, _)| header == name)
            .map(|(_, value)| value)
            .next();
        return Ok(of_bytes(value.and_then(Option::as_deref)));
    }
    if let Some(text) = place.get("constant") {
        return Ok(text.clone());
    }
    Ok(match place.as_str() {
        Some("key") => of_bytes(record.key),
        Some("offset") => record.offset.into(),
        _ => record.timestamp.into(),
    })
}

/// The nearest whole number.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a number that is too large becomes the largest"
)]
pub(super) fn nearest(number: f64) -> i64 {
    number.round() as i64
}

pub(super) fn text(found: &Value) -> Result<String, String> {
    match found {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        _ => Err(format!("{found} is no name")),
    }
}

pub(super) fn number(found: &Value) -> Result<f64, String> {
    let number = match found {
        Value::String(text) => text.trim_ascii().parse().ok(),
        number => number.as_f64(),
    };
    let finite = number.filter(|number: &f64| number.is_finite());
    finite.ok_or_else(|| format!("{found} is no number"))
}

/// Looks up one field of a message. Null if it is not there.
fn look_up(bytes: &[u8], path: &[String]) -> Result<Value, String> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let found = Path(path)
        .deserialize(&mut json)
        .map_err(|error| error.to_string())?;
    json.end().map_err(|error| error.to_string())?;
    Ok(found)
}

/// The rest of the way to a field.
struct Path<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Path<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Path<'_> {
    /// A value that has no fields.
    fn leaf(&self, value: impl Into<Value>) -> Value {
        if self.0.is_empty() {
            value.into()
        } else {
            Value::Null
        }
    }
}

impl<'de> Visitor<'de> for Path<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(self.leaf(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(self.leaf(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(self.leaf(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(self.leaf(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(self.leaf(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut found = None;
        while let Some(name) = object.next_key::<String>()? {
            match self.0.split_first() {
                Some((first, rest)) if *first == name => {
                    if found.replace(object.next_value_seed(Path(rest))?).is_some() {
                        return Err(A::Error::custom("twice"));
                    }
                }
                _ => _ = object.next_value::<IgnoredAny>()?,
            }
        }
        if self.0.is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        Ok(found.unwrap_or_default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Value, A::Error> {
        let (mut found, mut index) = (Value::Null, 0_u64);
        loop {
            let is_there = match self.0.split_first() {
                Some((first, rest)) if *first == index.to_string() => {
                    let element = array.next_element_seed(Path(rest))?;
                    let is_there = element.is_some();
                    found = element.unwrap_or_default();
                    is_there
                }
                _ => array.next_element::<IgnoredAny>()?.is_some(),
            };
            if !is_there {
                return Ok(if self.0.is_empty() {
                    Value::Array(Vec::new())
                } else {
                    found
                });
            }
            index += 1;
        }
    }
}
