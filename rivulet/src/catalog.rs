//! What pipelines can name, written for people: `rivulet catalog`.

mod values;
mod wrap;

use std::fmt;

use rivulet_pipeline::Check;
use rivulet_pipeline::catalog::{Catalog, Entry};
use rivulet_pipeline::schema::Schema;
use serde_json::Value;

use self::values::Setting;
use self::wrap::Wrapped;
use crate::registry::Registry;

/// The components of a registry by kind, each with its settings and an example, in Markdown.
#[derive(Debug)]
pub struct ComponentList {
    kinds: Vec<KindSection>,
}

/// The components of one kind.
#[derive(Debug)]
struct KindSection {
    title: &'static str,
    /// Where they stand in a pipeline file.
    place: &'static str,
    components: Vec<ComponentSection>,
}

/// One component.
#[derive(Debug)]
struct ComponentSection {
    name: &'static str,
    about: &'static str,
    /// The first paragraph of its documentation.
    text: String,
    settings: Vec<Setting>,
    example: &'static str,
}

impl ComponentList {
    /// Everything that is in a registry.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        let kinds = vec![
            section(
                "Sources",
                "in `source` of a `[producer.NAME]`",
                &registry.producer.sources,
            ),
            section(
                "Operators",
                "in `steps` of an `[operator.NAME]`",
                &registry.operators.operators,
            ),
            section(
                "Sinks",
                "in `sink` of a `[sink.NAME]`",
                &registry.sinks.sinks,
            ),
            section(
                "Formats",
                "in `format` of a `[topic.NAME]` or of `[defaults]`",
                registry.formats(),
            ),
        ];
        ComponentList { kinds }
    }

    /// Only the components of this name. `None` if there are none.
    #[must_use]
    pub fn named(mut self, name: &str) -> Option<Self> {
        for kind in &mut self.kinds {
            kind.components.retain(|component| component.name == name);
        }
        self.kinds.retain(|kind| !kind.components.is_empty());
        (!self.kinds.is_empty()).then_some(self)
    }

    /// The names of all components.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        let components = self.kinds.iter().flat_map(|kind| &kind.components);
        components.map(|component| component.name).collect()
    }
}

fn section<B: ?Sized>(
    title: &'static str,
    place: &'static str,
    catalog: &Catalog<B>,
) -> KindSection {
    let components = catalog.entries().iter().map(ComponentSection::new);
    KindSection {
        title,
        place,
        components: components.collect(),
    }
}

impl ComponentSection {
    fn new<B: ?Sized>(entry: &Entry<B>) -> Self {
        let schema = entry.settings.map(|settings| settings());
        let schema = schema.as_ref().map_or(&Value::Null, Schema::as_value);
        ComponentSection {
            name: entry.name,
            about: entry.about,
            text: sentences(schema["description"].as_str().unwrap_or_default()).to_owned(),
            settings: Setting::all(schema),
            example: entry.example,
        }
    }
}

impl fmt::Display for ComponentList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("# Catalog\n\n")?;
        let intro = "What a pipeline file can name. `rivulet catalog` prints this page, with what \
                     your own program adds; `rivulet catalog NAME` prints a part of it.";
        writeln!(f, "{}", Wrapped::new(intro))?;
        for kind in &self.kinds {
            write!(f, "\n## {}\n\n{}.\n", kind.title, capital(kind.place))?;
            for component in &kind.components {
                component.fmt(f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ComponentSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n### {}\n\n", self.name)?;
        writeln!(f, "{}", Wrapped::new(&format!("{}.", capital(self.about))))?;
        if !self.text.is_empty() {
            write!(f, "\n{}\n", Wrapped::new(&self.text))?;
        }
        if !self.settings.is_empty() {
            f.write_str("\n")?;
        }
        for setting in &self.settings {
            writeln!(f, "{}", Wrapped::item(&setting.to_string()))?;
        }
        write!(f, "\n```toml\n{}\n```\n", self.example)
    }
}

/// The whole sentences of a text: a comment may go on with a formula or a list.
fn sentences(text: &str) -> &str {
    if text.ends_with('.') {
        return text;
    }
    text.rfind(". ").map_or("", |end| &text[..=end])
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_has_its_settings_and_an_example() {
        let list = ComponentList::new(&Registry::default());
        let ewma = list.named("ewma").unwrap().to_string();
        for expected in [
            "## Operators",
            "### ewma",
            "- `alpha`, required, a number above 0 and at most 1: the weight",
            "- `emit-seed`, `true` or `false`, `false` unless it is set: whether",
            "ewma = { alpha = 0.5 }",
        ] {
            assert!(ewma.contains(expected), "{expected}: {ewma}");
        }
        assert!(!ewma.contains("## Sinks"), "{ewma}");
    }

    #[test]
    fn every_component_is_listed() {
        let names = ComponentList::new(&Registry::default()).names();
        for name in ["thermal", "convert", "sqlite", "json", "number"] {
            assert!(names.contains(&name), "{name}");
        }
        let list = ComponentList::new(&Registry::default());
        assert!(list.named("median").is_none());
    }
}
