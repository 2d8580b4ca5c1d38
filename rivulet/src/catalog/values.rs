//! The settings of a component, from the JSON Schema of its type.

use std::fmt;

use serde_json::Value;

/// A setting of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    name: String,
    about: String,
    values: String,
    is_required: bool,
    default: Option<String>,
}

impl Setting {
    /// The settings of an object, or those of which it has one.
    pub(super) fn all(schema: &Value) -> Vec<Self> {
        let alternatives = schema["oneOf"].as_array().into_iter().flatten();
        let mut settings: Vec<Self> = alternatives.flat_map(Setting::one_of_several).collect();
        let required = schema["required"].as_array();
        for (name, setting) in schema["properties"].as_object().into_iter().flatten() {
            let is_required = required.is_some_and(|names| names.iter().any(|one| one == name));
            settings.push(Setting::new(name, setting, is_required));
        }
        settings.sort_by_key(|setting| !setting.is_required);
        settings
    }

    /// An alternative says what it is for, its setting only what it takes.
    fn one_of_several(alternative: &Value) -> Vec<Self> {
        let about = alternative["description"].as_str().unwrap_or_default();
        let properties = alternative["properties"].as_object().into_iter().flatten();
        properties
            .map(|(name, setting)| Setting {
                about: about.to_owned(),
                ..Setting::new(name, setting, false)
            })
            .collect()
    }

    fn new(name: &str, schema: &Value, is_required: bool) -> Self {
        Setting {
            name: name.to_owned(),
            about: schema["description"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            values: values(schema),
            is_required,
            default: schema.get("default").map(shown),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.name)?;
        if self.is_required {
            f.write_str(", required")?;
        }
        if !self.values.is_empty() {
            write!(f, ", {}", self.values)?;
        }
        if let Some(default) = &self.default {
            write!(f, ", {default} unless it is set")?;
        }
        if !self.about.is_empty() {
            let mut chars = self.about.chars();
            let first = chars.next().map(char::to_lowercase).into_iter().flatten();
            let about: String = first.chain(chars).collect();
            write!(f, ": {about}")?;
        }
        Ok(())
    }
}

/// A value as it stands in a pipeline file.
fn shown(value: &Value) -> String {
    format!("`{value}`")
}

/// Which values a setting takes.
fn values(schema: &Value) -> String {
    if let Some(value) = schema.get("const") {
        return shown(value);
    }
    for key in ["enum", "oneOf", "anyOf"] {
        if let Some(alternatives) = schema[key].as_array() {
            let each = alternatives.iter().map(|alternative| {
                if key == "enum" {
                    shown(alternative)
                } else {
                    values(alternative)
                }
            });
            return list(&each.collect::<Vec<_>>());
        }
    }
    match schema["type"].as_str() {
        Some("boolean") => "`true` or `false`".to_owned(),
        Some("integer") => number("a whole number", schema),
        Some("number") => number("a number", schema),
        Some("array") => match schema["items"]["type"].as_str() {
            Some("number" | "integer") => "a list of numbers".to_owned(),
            _ => "a list".to_owned(),
        },
        Some("object") => "a table".to_owned(),
        Some("string") => "text".to_owned(),
        _ => String::new(),
    }
}

fn number(what: &str, schema: &Value) -> String {
    // `1.0` is `1` for a person.
    let bound = |key: &str| schema[key].as_f64().map(|bound| bound.to_string());
    match (
        bound("minimum"),
        bound("exclusiveMinimum"),
        bound("maximum"),
    ) {
        (Some(least), _, Some(most)) => format!("{what} from {least} to {most}"),
        (Some(least), _, None) => format!("{what} of at least {least}"),
        (None, Some(below), Some(most)) => format!("{what} above {below} and at most {most}"),
        (None, Some(below), None) => format!("{what} above {below}"),
        (None, None, Some(most)) => format!("{what} of at most {most}"),
        (None, None, None) => what.to_owned(),
    }
}

fn list(words: &[String]) -> String {
    match words {
        [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        words => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_described_in_words() {
        for (schema, expected) in [
            (json!({ "type": "boolean" }), "`true` or `false`"),
            (
                json!({ "type": "number", "minimum": 0.0 }),
                "a number of at least 0",
            ),
            (
                json!({ "type": "integer", "minimum": 1, "maximum": 9 }),
                "a whole number from 1 to 9",
            ),
            (
                json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, { "const": "forever" }] }),
                "a whole number of at least 1 or `\"forever\"`",
            ),
            (
                json!({ "enum": ["a", "b", "c"] }),
                "`\"a\"`, `\"b\"` or `\"c\"`",
            ),
        ] {
            assert_eq!(values(&schema), expected);
        }
    }

    #[test]
    fn required_settings_come_first() {
        let schema = json!({
            "properties": { "a": { "type": "string", "default": "x" }, "b": {} },
            "required": ["b"],
        });
        let settings = Setting::all(&schema);
        let shown: Vec<String> = settings.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["`b`, required", "`a`, text, `\"x\"` unless it is set"]
        );
    }
}
