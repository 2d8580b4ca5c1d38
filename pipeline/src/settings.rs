//! Reads a table of settings so that one error hides no other.
//!
//! Serde stops at the first error. Here the setting that has it is removed, and the rest is read
//! again. A name that is nearly a known one is read as that one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::diagnostic::{Diagnostic, meant};

/// How many errors of one table are looked for: each is one more reading of the table.
const MOST_ERRORS: usize = 100;

/// Settings that have errors, by the table and the key that they stand under. What follows from
/// them is not known, so nothing that depends on them is an error of its own.
#[derive(Debug, Clone, Default)]
pub struct Unread(BTreeSet<(String, String)>);

impl Unread {
    pub(super) fn add(&mut self, table: impl Into<String>, key: impl Into<String>) {
        self.0.insert((table.into(), key.into()));
    }

    /// Counts the settings of one table as those of another.
    pub(super) fn rename(&mut self, table: &str, other: &str) {
        let keys: Vec<String> = self
            .0
            .iter()
            .filter(|(unread, _)| unread == table)
            .map(|(_, key)| key.clone())
            .collect();
        for key in keys {
            self.add(other, key);
        }
    }

    /// Whether a setting of a table such as `topic.temperatures` has an error.
    #[must_use]
    pub fn has(&self, table: &str, key: &str) -> bool {
        self.0.contains(&(table.to_owned(), key.to_owned()))
    }

    /// Whether any table has an error in a setting of that name.
    pub(super) fn any(&self, key: &str) -> bool {
        self.0.iter().any(|(_, unread)| unread == key)
    }
}

/// Settings as far as they could be read.
pub(super) struct Read<T> {
    pub settings: Option<T>,
    /// The keys whose values have errors.
    pub unread: BTreeSet<String>,
    /// The keys as they are written, by those that were meant.
    pub misspelled: BTreeMap<String, String>,
}

/// Reads settings and adds what is wrong with them.
pub(super) fn read<T: DeserializeOwned>(
    mut value: Spanned<DeValue<'_>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Read<T> {
    let mut read = Read {
        settings: None,
        unread: BTreeSet::new(),
        misspelled: BTreeMap::new(),
    };
    // The names of what was removed, at any depth.
    let mut removed = BTreeSet::new();
    for _ in 0..MOST_ERRORS {
        let error = match T::deserialize(ValueDeserializer::from(value.clone())) {
            Ok(settings) => {
                read.settings = Some(settings);
                return read;
            }
            Err(error) => error,
        };
        let message = error.message().to_owned();
        let path = error
            .span()
            .filter(|place| *place != value.span())
            .and_then(|place| path_to(&value, &place));
        let is_of_a_table = path.is_none() || message.starts_with("missing field");
        if !(is_of_a_table && is_consequence(&message, &removed, &value)) {
            diagnostics.push(Diagnostic::from(error).or_at(value.span()));
        }
        let Some(path) = path else {
            break;
        };
        let rename = meant(&message).filter(|_| path.is_key);
        match remove(&mut value, &path.keys, rename) {
            Removed::Renamed => {
                if let ([name], Some(meant)) = (&path.keys[..], rename) {
                    read.misspelled.insert(meant.to_owned(), name.clone());
                }
            }
            Removed::Gone(name) => {
                removed.insert(name);
                read.unread.extend(path.keys.into_iter().next());
            }
            Removed::Nothing => break,
        }
    }
    read
}

/// Whether a table has an error only because of what was removed before.
fn is_consequence(message: &str, removed: &BTreeSet<String>, value: &Spanned<DeValue<'_>>) -> bool {
    if removed.is_empty() {
        return false;
    }
    let is_empty = value.get_ref().as_table().is_some_and(DeTable::is_empty);
    let is_in_name = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    (is_empty && !message.starts_with("missing field"))
        || message
            .split(|c| !is_in_name(c))
            .any(|word| removed.contains(word))
}

/// The keys that lead to a place, from the outermost table inwards.
struct Path {
    keys: Vec<String>,
    /// Whether the place is the last key, not its value.
    is_key: bool,
}

fn path_to(value: &Spanned<DeValue<'_>>, place: &Range<usize>) -> Option<Path> {
    for (key, inner) in value.get_ref().as_table()? {
        let covers = |span: Range<usize>| span.start <= place.start && place.end <= span.end;
        let is_key = covers(key.span());
        let path = if is_key || inner.span() == *place {
            None
        } else {
            path_to(inner, place)
        };
        let mut path = match path {
            Some(path) => path,
            None if is_key || covers(inner.span()) => Path {
                keys: Vec::new(),
                is_key,
            },
            None => continue,
        };
        path.keys.insert(0, key.get_ref().to_string());
        return Some(path);
    }
    None
}

enum Removed {
    /// The key has another name now.
    Renamed,
    /// The key of that name is gone.
    Gone(String),
    /// There is no such key.
    Nothing,
}

/// Removes the key at the end of a path, or gives it another name that is still free.
fn remove(value: &mut Spanned<DeValue<'_>>, keys: &[String], rename: Option<&str>) -> Removed {
    let DeValue::Table(table) = value.get_mut() else {
        return Removed::Nothing;
    };
    let Some((first, rest)) = keys.split_first() else {
        return Removed::Nothing;
    };
    if !rest.is_empty() {
        return match table.get_mut(first.as_str()) {
            Some(inner) => remove(inner, rest, rename),
            None => Removed::Nothing,
        };
    }
    let Some((key, inner)) = table.remove_entry(first.as_str()) else {
        return Removed::Nothing;
    };
    match rename {
        Some(name) if !table.contains_key(name) => {
            table.insert(Spanned::new(key.span(), name.to_owned().into()), inner);
            Removed::Renamed
        }
        _ => Removed::Gone(first.clone()),
    }
}
