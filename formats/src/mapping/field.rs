//! What is in a field.

use std::borrow::Cow;

use rivulet_core::format::{excerpt, finite};
use rivulet_core::reading::InvalidReading;

/// What is in a field, a header or a key.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Field<'a> {
    /// Nothing, or null.
    #[default]
    Missing,
    /// Text.
    Text(Cow<'a, str>),
    /// A whole number.
    Integer(i128),
    /// Any other number.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A time, in milliseconds since the epoch.
    Time(i64),
    /// Bytes that are not text, an object or an array.
    Other(&'static str),
}

impl<'a> Field<'a> {
    /// The text in a key or a header.
    #[must_use]
    pub fn bytes(bytes: Option<&'a [u8]>) -> Self {
        match bytes.map(str::from_utf8) {
            None => Field::Missing,
            Some(Ok(text)) => Field::Text(text.into()),
            Some(Err(_)) => Field::Other("bytes that are not UTF-8"),
        }
    }

    /// The same with text of its own.
    #[must_use]
    pub fn into_owned(self) -> Field<'static> {
        match self {
            Field::Missing => Field::Missing,
            Field::Text(text) => Field::Text(text.into_owned().into()),
            Field::Integer(number) => Field::Integer(number),
            Field::Float(number) => Field::Float(number),
            Field::Bool(is_true) => Field::Bool(is_true),
            Field::Time(time) => Field::Time(time),
            Field::Other(kind) => Field::Other(kind),
        }
    }

    /// Whether there is nothing, or "".
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Field::Missing) || matches!(self, Field::Text(text) if text.is_empty())
    }

    /// The name in a field: text or a whole number.
    pub(super) fn name(self) -> Result<Cow<'a, str>, InvalidReading> {
        match self {
            Field::Text(text) => Ok(text),
            Field::Integer(number) => Ok(number.to_string().into()),
            other => Err(invalid("not-text", "text or a whole number", &other)),
        }
    }

    /// The number in a field, which may be in quotes.
    pub(super) fn number(&self) -> Result<f64, InvalidReading> {
        let not_a_number = || invalid("not-a-number", "a number", self);
        match self {
            Field::Integer(number) => finite(*number as f64),
            Field::Float(number) => finite(*number),
            Field::Text(text) => finite(text.trim_ascii().parse().map_err(|_| not_a_number())?),
            _ => Err(not_a_number()),
        }
    }

    /// The sequence number in a field, which may be in quotes.
    pub(super) fn seq(&self) -> Result<u64, InvalidReading> {
        let not_a_seq = || invalid("not-a-number", "a whole number from 0", self);
        match self {
            Field::Integer(number) => u64::try_from(*number).map_err(|_| not_a_seq()),
            Field::Text(text) => text.trim_ascii().parse().map_err(|_| not_a_seq()),
            _ => Err(not_a_seq()),
        }
    }

    /// Whether it is this text, whole number or truth value.
    pub(super) fn is(&self, text: &str) -> bool {
        match self {
            Field::Text(found) => found == text,
            Field::Integer(number) => number.to_string() == text,
            Field::Bool(is_true) => is_true.to_string() == text,
            _ => false,
        }
    }
}

/// The error for a field that holds something else.
pub(super) fn invalid(reason: &'static str, expected: &str, found: &Field<'_>) -> InvalidReading {
    let found = match found {
        Field::Missing => "nothing".to_owned(),
        Field::Text(text) => excerpt(text.as_bytes()),
        Field::Integer(number) => number.to_string(),
        Field::Float(number) => number.to_string(),
        Field::Bool(is_true) => is_true.to_string(),
        Field::Time(_) => "a time".to_owned(),
        Field::Other(kind) => (*kind).to_owned(),
    };
    InvalidReading::new(reason, format!("expected {expected}, found {found}"))
}
