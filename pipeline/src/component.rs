//! A step, source or sink as the file states it: a name and its settings.

use std::ops::Range;
use std::sync::Arc;

use rivulet_core::description::StepDescription;
use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Diagnostics, Text, suggest};
use crate::settings;

/// One entry of a catalog with its settings: `{ ewma = { alpha = 0.5 } }`, or just `"console"`.
#[derive(Debug, Clone)]
pub struct ComponentConfig {
    name: String,
    place: Range<usize>,
    text: Arc<Text>,
    path: Vec<Key>,
    /// Whether it is only a name, without settings.
    is_bare: bool,
}

/// One step on the way from the top of the file to a value.
#[derive(Debug, Clone)]
pub(super) enum Key {
    Name(String),
    Index(usize),
}

impl ComponentConfig {
    /// Reads a component from the value at `path` of the file.
    ///
    /// # Errors
    /// If the value is neither a name nor a table with one key.
    pub(super) fn read(
        text: &Arc<Text>,
        mut path: Vec<Key>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Self, Diagnostic> {
        let (name, place) = match value.get_ref() {
            DeValue::String(name) => (name.to_string(), value.span()),
            DeValue::Table(table) if table.len() > 1 => {
                let second = table
                    .keys()
                    .map(Spanned::span)
                    .max_by_key(|span| span.start)
                    .unwrap_or(value.span());
                return Err(Diagnostic::at(second, "one table names two things").help(
                    "give each a table of its own, in the order they are to run: [{ … }, { … }]",
                ));
            }
            DeValue::Table(table) if !table.is_empty() => {
                let (name, _) = table.iter().next().expect("it is not empty");
                path.push(Key::Name(name.get_ref().to_string()));
                (name.get_ref().to_string(), name.span())
            }
            other => {
                let found = if other.is_table() {
                    "an empty table"
                } else {
                    other.type_str()
                };
                return Err(Diagnostic::at(
                    value.span(),
                    format!("expected a name or a table, found {found}"),
                )
                .help("write \"NAME\" or { NAME = { SETTING = VALUE } }"));
            }
        };
        Ok(ComponentConfig {
            name,
            place,
            text: text.clone(),
            path,
            is_bare: value.get_ref().is_str(),
        })
    }

    /// A component without settings that the file does not state: a default.
    pub(super) fn default_of(name: &str) -> Self {
        let text = Arc::new(Text {
            path: "default".into(),
            text: String::new(),
        });
        ComponentConfig {
            name: name.to_owned(),
            ..ComponentConfig::unread(&text, 0..0)
        }
    }

    /// Stands in for a component that could not be read, so that its stage can be checked.
    pub(super) fn unread(text: &Arc<Text>, place: Range<usize>) -> Self {
        ComponentConfig {
            name: String::new(),
            place,
            text: text.clone(),
            path: Vec::new(),
            is_bare: true,
        }
    }

    /// A component that no file states, for tests and examples: `ewma = { alpha = 0.5 }`.
    ///
    /// # Errors
    /// If the text is not one key with its settings.
    pub fn parse(text: &str) -> Result<Self, Diagnostic> {
        let text = Arc::new(Text {
            path: "example".into(),
            text: text.to_owned(),
        });
        let table = DeTable::parse(&text.text)?;
        let value = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
        ComponentConfig::read(&text, Vec::new(), &value)
    }

    /// The steps of a chain that describes itself so: `threshold(above=50) → ewma(alpha=0.5)`;
    /// `None` if the text is no such description.
    #[must_use]
    pub fn described(chain: &str) -> Option<Vec<Self>> {
        StepDescription::parse_chain(chain)?
            .iter()
            .map(|step| ComponentConfig::parse(&toml(step)).ok())
            .collect()
    }

    /// The catalog entry's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the name stands in the file.
    #[must_use]
    pub fn place(&self) -> Range<usize> {
        self.place.clone()
    }

    /// The settings as the type that knows them.
    ///
    /// # Errors
    /// Every unknown setting and every value that the type rejects, each with its place, and the
    /// first setting that is missing.
    ///
    /// # Panics
    /// Never: the component's own text holds what it was read from.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, Diagnostics> {
        // Parsed once more: the file is small, and no component borrows from its text.
        let table = DeTable::parse(&self.text.text).map_err(|error| self.errors([error.into()]))?;
        let mut value = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
        for key in &self.path {
            let below = match key {
                Key::Name(name) => value.get_ref().get(name.as_str()),
                Key::Index(index) => value.get_ref().get(*index),
            };
            value = below.expect("the path was taken from this text").clone();
        }
        if self.is_bare {
            value = Spanned::new(value.span(), DeValue::Table(DeTable::new()));
        }
        let mut diagnostics = Vec::new();
        match settings::read(value, &mut diagnostics).settings {
            Some(settings) if diagnostics.is_empty() => Ok(settings),
            _ => Err(self.errors(diagnostics)),
        }
    }

    /// The error of a name that is in no catalog.
    #[must_use]
    pub fn unknown(&self, kind: &str, known: &[&str]) -> Diagnostics {
        let message = format!("there is no {kind} `{}`", self.name);
        self.errors([Diagnostic::at(self.place(), message).help(suggest(&self.name, known))])
    }

    /// Errors of the component; those without a place stand at its name.
    #[must_use]
    pub fn errors(&self, diagnostics: impl IntoIterator<Item = Diagnostic>) -> Diagnostics {
        let placed = diagnostics
            .into_iter()
            .map(|diagnostic| diagnostic.or_at(self.place()));
        Diagnostics::new(self.text.clone(), placed.collect())
    }
}

/// A described step as a file would state it.
fn toml(step: &StepDescription) -> String {
    let settings = step.values().map(|(name, value)| match value {
        // Without a point or an exponent, a large number would look like an integer.
        Value::Number(number) if number.is_f64() => {
            format!("{name} = {:?}", number.as_f64().unwrap_or(f64::NAN))
        }
        other => format!("{name} = {other}"),
    });
    format!(
        "{} = {{ {} }}",
        step.name(),
        settings.collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Debug, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        #[serde(default)]
        alpha: f64,
    }

    #[test]
    fn a_name_alone_has_default_settings() {
        let text = Arc::new(Text {
            path: "a".into(),
            text: "sink = \"console\"".into(),
        });
        let table = DeTable::parse(&text.text).unwrap();
        let part = ComponentConfig::read(
            &text,
            vec![Key::Name("sink".into())],
            &table.get_ref()["sink"],
        )
        .unwrap();
        assert_eq!(part.name(), "console");
        assert_eq!(
            part.settings::<Settings>().unwrap(),
            Settings { alpha: 0.0 }
        );
    }

    #[test]
    fn a_described_step_is_read_as_if_it_stood_in_a_file() {
        let steps = ComponentConfig::described("a(alpha=-0.5) → b(alpha=1e23)").unwrap();
        assert_eq!((steps[0].name(), steps[1].name()), ("a", "b"));
        let settings = steps.iter().map(ComponentConfig::settings::<Settings>);
        let alphas: Vec<f64> = settings.map(|settings| settings.unwrap().alpha).collect();
        assert_eq!(alphas, [-0.5, 1e23]);
        assert!(ComponentConfig::described("ewma(alpha)").is_none());
    }

    #[test]
    fn an_unknown_setting_is_pointed_at() {
        let part = ComponentConfig::parse("ewma = { alhpa = 0.5 }").unwrap();
        let diagnostic = part.settings::<Settings>().unwrap_err();
        assert!(
            format!("{diagnostic:?}").contains("place: Some(9..14)"),
            "{diagnostic:?}"
        );
    }
}
