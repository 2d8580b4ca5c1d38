//! The JSON Schema of pipeline files.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::reserved;
use crate::schema::settings;
use crate::tables::written::{File, Scalar};

/// The schema of pipeline files, with those of the components of each catalog.
#[must_use]
pub fn file_schema(source: &Schema, step: &Schema, sink: &Schema, format: &Schema) -> Schema {
    let mut schema = settings::<File>();
    let object = schema.ensure_object();
    object.insert(
        "$schema".into(),
        "http://json-schema.org/draft-07/schema#".into(),
    );
    object.insert("title".into(), "A pipeline of rivulet".into());
    object.remove("description");
    // A file needs stages, but it may have them in any of its tables.
    object.remove("required");
    object.insert(
        "definitions".into(),
        json!({ "source": source, "step": step, "sink": sink, "format": format }),
    );
    schema
}

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
        "propertyNames": { "not": { "enum": reserved::names() } },
        "additionalProperties": settings::<Scalar>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::written::TOP;

    #[test]
    fn it_has_the_keys_that_a_file_can_have() {
        let schema = settings::<File>();
        let mut keys: Vec<&str> = schema
            .get("properties")
            .and_then(Value::as_object)
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut top = TOP;
        keys.sort_unstable();
        top.sort_unstable();
        assert_eq!(keys, top);
    }
}
