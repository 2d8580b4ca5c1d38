//! JSON Schemas of what stands in pipeline files, made from the types that read it.
//!
//! They are of draft 7, which all editors know.

use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
pub use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

/// The schema of a type, whole in itself.
#[must_use]
pub fn settings<T: JsonSchema>() -> Schema {
    let mut settings = SchemaSettings::draft07();
    settings.meta_schema = None;
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    clean(&mut schema);
    schema
}

/// Takes away what only says something in Rust or JSON: TOML has no null, and a person needs the
/// first paragraph of a comment, without its links.
fn clean(schema: &mut Schema) {
    // `false` stays `false`.
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    object.remove("title");
    object.remove("format");
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [kind] = &types[..] {
            let kind = kind.clone();
            object.insert("type".into(), kind);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = description(text);
    }
    if let Some(Value::Array(any)) = object.get_mut("anyOf") {
        any.retain(|schema| *schema != json!({ "type": "null" }));
        if let [Value::Object(only)] = &any[..] {
            let only = only.clone();
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
            return clean(schema);
        }
    }
    transform_subschemas(&mut clean, schema);
}

/// The first paragraph of a comment, without the marks of links.
fn description(comment: &str) -> String {
    let paragraph = comment.split("\n\n").next().unwrap_or_default();
    let mut text = String::with_capacity(paragraph.len());
    let mut rest = paragraph;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((label, after)) = link.split_once(']') else {
            break;
        };
        text.push_str(before);
        // An interval such as `[0, 1)` is no link, and `]` ends one that is.
        let target = after
            .strip_prefix('(')
            .and_then(|target| target.split_once(')'));
        if target.is_none() && !label.starts_with('`') {
            text.push('[');
            rest = link;
            continue;
        }
        text.push_str(label);
        rest = target.map_or(after, |(_, after)| after);
    }
    text.push_str(rest);
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_one_paragraph_without_links() {
        for (comment, expected) in [
            ("One.\n\nTwo.", "One."),
            ("See [`json`].", "See `json`."),
            (
                "The [`json` format](rivulet_core::format::json) of\nit.",
                "The `json` format of it.",
            ),
            ("In [0, 1) or (0, 1].", "In [0, 1) or (0, 1]."),
            ("A [table] of it.", "A [table] of it."),
        ] {
            assert_eq!(description(comment), expected);
        }
    }
}
