//! The JSON Schema of pipeline files.

use schemars::Schema;
use serde_json::json;

use crate::schema::settings;
use crate::tables::written::File;

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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::tables::top::TOP;

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
