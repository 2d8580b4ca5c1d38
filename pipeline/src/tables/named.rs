//! A table with its name, such as `[sink.NAME]`.

use std::collections::BTreeMap;
use std::ops::Range;

use rivulet_core::rules::Rules;
use toml::Spanned;
use toml::de::DeValue;

use crate::component::Key;
use crate::prefix::Prefix;
use crate::stage::{Stage, StageKind};

/// A table with its name.
pub(super) struct Named<'d, 'i> {
    pub(super) group: &'static str,
    pub(super) group_as_written: String,
    /// Settings as they are written, by those that were meant.
    pub(super) misspelled: BTreeMap<String, String>,
    pub(super) name: String,
    pub(super) place: Range<usize>,
    pub(super) value: &'d Spanned<DeValue<'i>>,
}

impl<'d, 'i> Named<'d, 'i> {
    /// The table's name in the file.
    pub(super) fn table(&self) -> String {
        format!("{}.{}", self.group, self.name)
    }

    pub(super) fn get(&self, key: &str) -> Option<&'d Spanned<DeValue<'i>>> {
        self.value.get_ref().get(self.as_written(key))
    }

    fn as_written<'k>(&'k self, key: &'k str) -> &'k str {
        self.misspelled.get(key).map_or(key, String::as_str)
    }

    pub(super) fn stage(&self, from: Vec<String>, to: Vec<String>, kind: StageKind) -> Stage {
        let (name, place) = (self.name.clone(), self.place.clone());
        Stage {
            name,
            prefix: Prefix::default(),
            place,
            from,
            to,
            kind,
            rules: Rules::default(),
        }
    }

    pub(super) fn path(&self, key: &str) -> Vec<Key> {
        [&self.group_as_written, &self.name, self.as_written(key)]
            .map(|name| Key::Name(name.to_owned()))
            .into()
    }
}
