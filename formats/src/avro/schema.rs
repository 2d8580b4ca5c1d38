//! Schemas.

mod parser;

use serde_json::Value;

use self::parser::Parser;
use crate::mapping::{Field, Pointer};

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
    Record(RecordType),
    /// One of some words.
    Enum(EnumType),
    /// A list.
    Array(usize),
    /// Values by their names.
    Map(usize),
    /// One of several types.
    Union(Vec<usize>),
    /// What cannot be read as the reader's type, and why. It is an error where it occurs.
    Unresolved(String),
}

/// What a whole number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Anything.
    Number,
    /// Anything, and the reader's type has fractions.
    Fraction,
    /// Days since the epoch.
    Days,
    /// Milliseconds since the epoch.
    Milliseconds,
    /// Microseconds since the epoch.
    Microseconds,
    /// Nanoseconds since the epoch.
    Nanoseconds,
}

/// Named fields.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordType {
    /// Its full name.
    pub name: String,
    /// The fields, in the order in which they are written.
    pub fields: Vec<RecordField>,
    /// What is in fields that are not written: the defaults of the reader's schema, each with the
    /// names on the way to it.
    pub absent: Vec<(Vec<String>, Field<'static>)>,
}

/// One of some words.
#[derive(Debug, Clone, PartialEq)]
pub struct EnumType {
    /// The words, in order. `None` for one that the reader's schema does not have.
    pub symbols: Vec<Option<String>>,
    /// What a reader takes a word for that it does not have.
    pub default: Option<String>,
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordField {
    /// Its name.
    pub name: String,
    /// Other names under which a writer may know it.
    pub aliases: Vec<String>,
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
        let (types, root) = Parser::default().schema(&json)?;
        Ok(Schema { types, root })
    }

    /// A schema with these types.
    pub(super) fn new(types: Vec<Type>, root: usize) -> Self {
        Schema { types, root }
    }

    /// The full name of the record that a whole datum is; `None` if it is something else.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self.of(self.root) {
            Type::Record(record) => Some(&record.name),
            _ => None,
        }
    }

    /// Checks that a datum can have a field.
    ///
    /// # Errors
    /// Where the way to it ends.
    pub fn check_field(&self, pointer: &Pointer) -> Result<(), String> {
        if self.has(self.root, pointer.names()) {
            Ok(())
        } else {
            Err(format!("the schema has no field {pointer}"))
        }
    }

    fn has(&self, of: usize, names: &[String]) -> bool {
        let Some((first, rest)) = names.split_first() else {
            return true;
        };
        match self.of(of) {
            Type::Record(record) => {
                let mut fields = record.fields.iter();
                let field = fields.find(|field| field.name == *first);
                field.is_some_and(|field| self.has(field.of, rest))
            }
            Type::Array(of) => first.parse::<usize>().is_ok() && self.has(*of, rest),
            Type::Map(of) => self.has(*of, rest),
            Type::Union(branches) => branches.iter().any(|branch| self.has(*branch, names)),
            _ => false,
        }
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
        let Type::Record(RecordType { fields, .. }) = schema.of(schema.root()) else {
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
