//! The named types of a schema.

use std::collections::BTreeMap;

use serde_json::Value;

/// The named types of a schema by their full names, each with the namespace that is in force in it.
pub(super) type Names = BTreeMap<String, (Value, String)>;

pub(super) fn full(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() {
        name.to_owned()
    } else {
        format!("{space}.{name}")
    }
}

pub(super) fn collect_names(schema: &Value, space: &str, names: &mut Names) {
    match schema {
        Value::Array(branches) => {
            for branch in branches {
                collect_names(branch, space, names);
            }
        }
        Value::Object(object) => {
            let space = object
                .get("namespace")
                .and_then(Value::as_str)
                .unwrap_or(space);
            let mut space = space.to_owned();
            if let Some(name) = object.get("name").and_then(Value::as_str) {
                let name = full(name, &space);
                let outer = name.rsplit_once('.').map_or("", |(space, _)| space);
                outer.clone_into(&mut space);
                names.insert(name, (schema.clone(), space.clone()));
            }
            for inner in [
                object.get("type"),
                object.get("items"),
                object.get("values"),
            ] {
                collect_names(inner.unwrap_or(&Value::Null), &space, names);
            }
            for field in object
                .get("fields")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                collect_names(&field["type"], &space, names);
            }
        }
        _ => (),
    }
}

const PRIMITIVE: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

/// Whether every type of a schema is known.
pub(super) fn check(schema: &Value, space: &str, names: &Names) -> Result<(), String> {
    match schema {
        Value::Array(branches) => {
            if branches.iter().any(Value::is_array) {
                return Err("a union in a union".to_owned());
            }
            branches
                .iter()
                .try_for_each(|branch| check(branch, space, names))
        }
        Value::Object(object) => {
            let name = object
                .get("name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let name = full(name, &namespace(schema, space));
            match object.get("type").and_then(Value::as_str) {
                Some("array") => check(object.get("items").ok_or("no items")?, space, names),
                Some("map") => check(object.get("values").ok_or("no values")?, space, names),
                Some("record" | "error") => {
                    let space = &names.get(&name).ok_or("no name")?.1;
                    let fields = object.get("fields").and_then(Value::as_array);
                    let mut fields = fields.ok_or("no fields")?.iter();
                    fields.try_for_each(|field| check(&field["type"], space, names))
                }
                Some("enum" | "fixed") => Ok(()),
                _ => check(object.get("type").ok_or("no type")?, space, names),
            }
        }
        Value::String(name) if PRIMITIVE.contains(&name.as_str()) => Ok(()),
        Value::String(name) => {
            let is_known = names.contains_key(&full(name, space)) || names.contains_key(name);
            if is_known {
                Ok(())
            } else {
                Err("no such type".to_owned())
            }
        }
        _ => Err("no type".to_owned()),
    }
}

pub(super) fn namespace(schema: &Value, space: &str) -> String {
    schema
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or(space)
        .to_owned()
}

/// The type itself, where a type is only named or stands in another `type`.
pub(super) fn settle(placed: &(Value, String), names: &Names) -> Result<(Value, String), String> {
    const KINDS: [&str; 7] = ["record", "error", "enum", "array", "map", "fixed", "union"];
    let (schema, space) = placed;
    let name = match schema {
        Value::Array(_) => return Ok(placed.clone()),
        Value::String(name) => name,
        Value::Object(object) => match object.get("type") {
            Some(Value::String(kind)) if KINDS.contains(&kind.as_str()) => {
                let name = object.get("name").and_then(Value::as_str);
                let name = full(name.unwrap_or_default(), &namespace(schema, space));
                // The fields of a record are in its own namespace.
                let inner = names.get(&name).map_or(space, |(_, inner)| inner);
                return Ok((schema.clone(), inner.clone()));
            }
            Some(Value::String(name)) if PRIMITIVE.contains(&name.as_str()) => {
                return Ok(placed.clone());
            }
            Some(inner) => return settle(&(inner.clone(), space.clone()), names),
            None => return Err("a type without a type".to_owned()),
        },
        _ => return Err("no schema".to_owned()),
    };
    if PRIMITIVE.contains(&name.as_str()) {
        return Ok(placed.clone());
    }
    let named = names.get(&full(name, space)).or_else(|| names.get(name));
    named.cloned().ok_or_else(|| "no such type".to_owned())
}
