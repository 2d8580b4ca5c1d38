//! The schema of the components of a catalog.

use serde_json::json;

use crate::catalog::Catalog;
use crate::component::ComponentConfig;
use crate::schema::Schema;

impl<B: ?Sized> Catalog<B> {
    /// The schema of a component as it stands in a pipeline file: a table with its name and its
    /// settings, or its name alone where no setting is needed.
    ///
    /// # Panics
    /// Never: an object is a schema.
    #[must_use]
    pub fn schema(&self) -> Schema {
        let mut names = Vec::with_capacity(2 * self.entries().len());
        for entry in self.entries() {
            let bare = ComponentConfig::parse(&format!("{} = {{}}", entry.name));
            if bare.is_ok_and(|bare| (entry.read)(&bare).is_ok()) {
                names.push(json!({ "description": entry.about, "const": entry.name }));
            }
            let settings = entry
                .settings
                .map_or_else(|| json!({ "type": "object" }), |schema| json!(schema()));
            names.push(json!({
                "description": entry.about,
                "type": "object",
                "properties": { entry.name: settings },
                "required": [entry.name],
                "additionalProperties": false,
            }));
        }
        Schema::try_from(json!({ "oneOf": names })).expect("an object is a schema")
    }
}
