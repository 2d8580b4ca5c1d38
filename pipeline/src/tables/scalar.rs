//! A value without parts.

use std::fmt;

use serde::Deserialize;

/// A property's value; Kafka takes them all as text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected text, a number, true or false")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(crate) enum Scalar {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Text(text) => f.write_str(text),
            Scalar::Integer(integer) => integer.fmt(f),
            Scalar::Float(float) => float.fmt(f),
            Scalar::Boolean(boolean) => boolean.fmt(f),
        }
    }
}
