//! How records are shown.

use std::borrow::Cow;
use std::fmt::{self, Write};

use rivulet_core::log::ConsumerRecord;
use rivulet_core::log::Header;
use rivulet_core::text::{hex, plain, plain_json};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::value::Value;
use crate::text::time;

/// The header that names the type of a record. It is shown before the others.
const RECORD_NAME: &str = "record_name";

/// How records are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shown {
    /// A line each, for people.
    #[default]
    Text,
    /// A JSON object each, for programs.
    Json,
    /// Only counted.
    Nothing,
}

/// Appends a line for people: key, topic, partition, offset, timestamp, headers and value.
pub(super) fn text(
    line: &mut String,
    topic: &str,
    record: &ConsumerRecord<'_>,
    headers: &[Header],
    value: &Value<'_>,
) -> fmt::Result {
    match record.key {
        Some(key) => line.push_str(&bytes(key)),
        None => line.push('-'),
    }
    let (topic, partition, offset) = (plain(topic), record.partition, record.offset);
    write!(line, "  {topic} [{partition}] @{offset}  ")?;
    match record.stamped() {
        Some(millis) => line.push_str(&time(millis)),
        None => line.push('-'),
    }
    let (first, others): (Vec<&Header>, Vec<&Header>) =
        headers.iter().partition(|(name, _)| name == RECORD_NAME);
    for (index, (name, value)) in first.into_iter().chain(others).enumerate() {
        line.push_str(if index == 0 { "  " } else { " " });
        write!(line, "{}=", plain(name))?;
        if let Some(value) = value {
            line.push_str(&bytes(value));
        }
    }
    line.push_str("  ");
    match value {
        Value::None => line.push_str("(tombstone)"),
        Value::Text("") => line.push_str("\"\""),
        Value::Text(text) => line.push_str(&plain(text)),
        Value::Avro(json) => line.push_str(&plain(json)),
        Value::Bytes(value, why) => {
            write!(line, "0x{}", hex(value))?;
            if let Some(why) = why {
                write!(line, "  ({})", plain(why))?;
            }
        }
    }
    Ok(())
}

/// Appends a JSON object. Bytes that are not text are an object with a field `hex`.
pub(super) fn json(
    line: &mut String,
    topic: &str,
    record: &ConsumerRecord<'_>,
    headers: &[Header],
    value: &Value<'_>,
) -> serde_json::Result<()> {
    let headers: Vec<Json> = headers
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value.as_deref().map(object) }))
        .collect();
    let value = match value {
        Value::None => Json::Null,
        Value::Text(text) => Json::from(*text),
        // It was made here, so it is JSON. Of several data in a file, the whole text is shown.
        Value::Avro(json) => serde_json::from_str(json).unwrap_or_else(|_| json.as_str().into()),
        Value::Bytes(value, why) => {
            let mut value = object(value);
            if let (Json::Object(fields), Some(why)) = (&mut value, why) {
                fields.insert("error".into(), why.as_str().into());
            }
            value
        }
    };
    let object = JsonRecord {
        topic,
        partition: record.partition,
        offset: record.offset,
        timestamp: record.stamped(),
        key: record.key.map(object),
        headers,
        value,
    };
    line.push_str(&plain_json(&serde_json::to_string(&object)?));
    Ok(())
}

/// The fields of a record, in the order in which they are printed.
#[derive(Serialize)]
struct JsonRecord<'r> {
    topic: &'r str,
    partition: i32,
    offset: i64,
    /// In milliseconds since the epoch.
    timestamp: Option<i64>,
    key: Option<Json>,
    headers: Vec<Json>,
    value: Json,
}

/// Text, or an object with the bytes.
fn object(bytes: &[u8]) -> Json {
    match str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "hex": hex(bytes) }),
    }
}

/// Text, or the bytes in hexadecimal.
pub(super) fn bytes(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok("") => "\"\"".into(),
        Ok(text) => plain(text),
        Err(_) => format!("0x{}", hex(bytes)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: Option<&'static [u8]>) -> ConsumerRecord<'static> {
        ConsumerRecord {
            topic: 0,
            partition: 3,
            offset: 17,
            timestamp: 1000,
            key,
            value: None,
            headers: &(),
        }
    }

    fn headers() -> Vec<Header> {
        let header = |name: &str, value: &[u8]| (name.to_owned(), Some(value.to_vec()));
        vec![header("a", b"\xff"), header(RECORD_NAME, b"started")]
    }

    fn shown(value: &Value<'_>) -> String {
        let mut line = String::new();
        text(&mut line, "t", &record(Some(b"k\n")), &headers(), value).unwrap();
        line
    }

    #[test]
    fn a_line_has_key_place_time_headers_and_value() {
        let before = r"k\n  t [3] @17  1970-01-01T00:00:01Z  record_name=started a=0xff  ";
        for (value, expected) in [
            (Value::Text("20.5 °C\u{1b}"), r"20.5 °C\u{1b}"),
            (Value::Text(""), "\"\""),
            (Value::None, "(tombstone)"),
            (Value::Avro(r#"{"v":1}"#.into()), r#"{"v":1}"#),
            (Value::Bytes(b"\0\xff", None), "0x00ff"),
            (
                Value::Bytes(b"\0", Some("schema 1: no".into())),
                "0x00  (schema 1: no)",
            ),
        ] {
            assert_eq!(shown(&value), format!("{before}{expected}"));
        }
        let mut line = String::new();
        let unstamped = ConsumerRecord {
            timestamp: -1,
            ..record(None)
        };
        text(&mut line, "t", &unstamped, &[], &Value::Text("x")).unwrap();
        assert_eq!(line, "-  t [3] @17  -  x");
    }

    #[test]
    fn a_json_object_has_the_same() {
        let mut line = String::new();
        let value = Value::Avro(r#"{"v":1.5}"#.into());
        json(&mut line, "t", &record(Some(b"\xff")), &headers(), &value).unwrap();
        let found: Json = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "topic": "t", "partition": 3, "offset": 17, "timestamp": 1000, "key": { "hex": "ff" },
            "headers": [
                { "name": "a", "value": { "hex": "ff" } },
                { "name": "record_name", "value": "started" },
            ],
            "value": { "v": 1.5 },
        });
        assert_eq!(found, expected);
        assert!(!line.contains('\n'));
    }
}
