//! The JSON Schemas of parts of a file that do not follow from a type.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::scalar::Scalar;
use super::top::TOP;
use crate::reserved;
use crate::schema::settings;

/// What names a stage or a topic.
pub(super) fn name(length: usize) -> Value {
    json!({ "pattern": "^[A-Za-z0-9._-]+$", "maxLength": length, "not": { "enum": [".", ".."] } })
}

pub(super) fn source(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "allOf": [{ "$ref": "#/definitions/source" }] })
}

pub(super) fn steps(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "items": { "$ref": "#/definitions/step" },
    })
}

pub(super) fn sink(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "allOf": [{ "$ref": "#/definitions/sink" }] })
}

pub(super) fn format(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "allOf": [{ "$ref": "#/definitions/format" }] })
}

pub(super) fn kafka(_: &mut SchemaGenerator) -> Schema {
    let not_kafkas = [reserved::names(), TOP.to_vec()].concat();
    json_schema!({
        "type": "object",
        "properties": {
            "brokers": {
                "description": "The brokers to ask first, as HOST:PORT,…",
                "type": "string",
            },
            "include": {
                "description": "A file of key=value lines, as other clients use them; relative to \
                                the pipeline file's folder.",
                "type": "string",
            },
        },
        "propertyNames": { "not": { "enum": not_kafkas } },
        "additionalProperties": settings::<Scalar>(),
    })
}
