//! Where a part of a reading is.

use std::fmt;

use rivulet_core::unit::Unit;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// Where a part of a reading is: a field's name, a JSON pointer such as `/device/id`, or one of the
/// words `key`, `offset` and `timestamp`, which stand for those of the record. A table names
/// anything else: `{ header = "device" }`, `{ field = "key" }` or `{ constant = "greenhouse" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A field of the value.
    Field(Pointer),
    /// The last header of this name.
    Header(String),
    /// The record's key.
    Key,
    /// The record's offset.
    Offset,
    /// The record's timestamp.
    Timestamp,
    /// Always this text.
    Constant(String),
}

/// The way to a field, as the names and indices of a JSON pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Parses a JSON pointer, or takes a plain name as it is.
    ///
    /// # Errors
    /// Why it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a field has a name; \"\" is none".to_owned());
        }
        let Some(path) = text.strip_prefix('/') else {
            return Ok(Pointer(vec![text.to_owned()]));
        };
        let names = path.split('/').map(|name| unescape(name, text));
        names.collect::<Result<_, _>>().map(Pointer)
    }

    /// The names, from the outermost to that of the field.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

fn unescape(name: &str, whole: &str) -> Result<String, String> {
    let mut rest = name.split('~');
    let mut unescaped = rest.next().unwrap_or_default().to_owned();
    for part in rest {
        unescaped += match part.as_bytes().first() {
            Some(b'0') => "~",
            Some(b'1') => "/",
            _ => {
                return Err(format!(
                    "`{whole}` is not a JSON pointer: write ~0 for ~ and ~1 for / in a name"
                ));
            }
        };
        unescaped += &part[1..];
    }
    Ok(unescaped)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.0.iter();
        names.try_for_each(|name| write!(f, "/{}", name.replace('~', "~0").replace('/', "~1")))
    }
}

impl Place {
    /// Parses a place that is written as text.
    ///
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "key" => Place::Key,
            "offset" => Place::Offset,
            "timestamp" => Place::Timestamp,
            field => Place::Field(Pointer::parse(field)?),
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Field(pointer) => pointer.fmt(f),
            Place::Header(name) => write!(f, "the header `{name}`"),
            Place::Key => f.write_str("the key"),
            Place::Offset => f.write_str("the offset"),
            Place::Timestamp => f.write_str("the timestamp"),
            Place::Constant(text) => write!(f, "the constant \"{text}\""),
        }
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlaceVisitor)
    }
}

struct PlaceVisitor;

impl<'de> Visitor<'de> for PlaceVisitor {
    type Value = Place;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a field's name, a JSON pointer, `key`, `offset`, `timestamp`, { header = … }, \
             { field = … } or { constant = … }",
        )
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Place, E> {
        Place::parse(text).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Place, A::Error> {
        let Some((name, text)) = table.next_entry::<String, String>()? else {
            return Err(A::Error::custom("an empty table; write { header = … }"));
        };
        let place = match name.as_str() {
            "field" => Place::Field(Pointer::parse(&text).map_err(A::Error::custom)?),
            "header" => Place::Header(text),
            "constant" => Place::Constant(text),
            _ => {
                return Err(A::Error::unknown_field(
                    &name,
                    &["field", "header", "constant"],
                ));
            }
        };
        match table.next_key::<String>()? {
            Some(_) => Err(A::Error::custom("one table names two places")),
            None => Ok(place),
        }
    }
}

/// What a reading's unit is: a unit's name, or a JSON pointer or a table to where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitPlace {
    /// Always this unit.
    Always(Unit),
    /// The unit that is there. The topic's unit if none is.
    At(Place),
}

impl<'de> Deserialize<'de> for UnitPlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnitVisitor)
    }
}

struct UnitVisitor;

impl<'de> Visitor<'de> for UnitVisitor {
    type Value = UnitPlace;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a unit's name, a JSON pointer, { header = … } or { field = … }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<UnitPlace, E> {
        if text.starts_with('/') {
            return PlaceVisitor.visit_str(text).map(UnitPlace::At);
        }
        text.parse().map(UnitPlace::Always).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<UnitPlace, A::Error> {
        match PlaceVisitor.visit_map(table)? {
            Place::Constant(name) => name
                .parse()
                .map(UnitPlace::Always)
                .map_err(A::Error::custom),
            place => Ok(UnitPlace::At(place)),
        }
    }
}

#[cfg(feature = "schema")]
mod schema {
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use super::{Place, UnitPlace};

    fn text(description: &str, shortest: usize) -> Schema {
        json_schema!({ "description": description, "type": "string", "minLength": shortest })
    }

    fn text_or_table(description: &str) -> Schema {
        json_schema!({
            "description": description,
            "anyOf": [
                { "type": "string", "minLength": 1 },
                {
                    "type": "object",
                    "properties": {
                        "field": text("A field's name, or a JSON pointer to it.", 1),
                        "header": text("The name of a header.", 0),
                        "constant": text("What it always is.", 0),
                    },
                    "additionalProperties": false,
                    "minProperties": 1,
                    "maxProperties": 1,
                },
            ],
        })
    }

    impl JsonSchema for Place {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "Place".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            text_or_table("A field's name, a JSON pointer, `key`, `offset` or `timestamp`.")
        }
    }

    impl JsonSchema for UnitPlace {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "UnitPlace".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            text_or_table("A unit's name, or a JSON pointer to it.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_read_as_in_rfc_6901() {
        let names = |text| Pointer::parse(text).map(|pointer| pointer.0);
        assert_eq!(names("/a/b"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(
            names("/m~1s/~01"),
            Ok(vec!["m/s".to_owned(), "~1".to_owned()])
        );
        assert_eq!(names("/"), Ok(vec![String::new()]));
        assert_eq!(names("a b.c"), Ok(vec!["a b.c".to_owned()]));
        for text in ["", "/a~", "/a~2b"] {
            assert!(names(text).is_err(), "{text}");
        }
        for text in ["/a/b", "/m~1s/~01", "/"] {
            assert_eq!(Pointer::parse(text).unwrap().to_string(), text);
        }
    }
}
