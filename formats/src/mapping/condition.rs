//! Which records concern the chain.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::place::{Place, Pointer};

/// A condition on a header or a field: it is there, or it is one of some texts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ConditionTable")]
pub(super) struct Condition {
    /// A header or a field.
    pub(super) place: Place,
    /// Empty if any text will do.
    pub(super) is: Vec<String>,
}

/// A condition on a header or a field.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct ConditionTable {
    /// The name of a header.
    header: Option<String>,
    /// The name of a field, or a JSON pointer to it.
    field: Option<String>,
    /// The text that it must be, or several. Unless it is set, it must only be there.
    is: Option<OneOrMore<String>>,
}

/// One, or a list.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(untagged))]
pub(super) enum OneOrMore<T> {
    /// One.
    One(T),
    /// Several.
    More(Vec<T>),
}

impl<T> From<OneOrMore<T>> for Vec<T> {
    fn from(these: OneOrMore<T>) -> Vec<T> {
        match these {
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(more) => more,
        }
    }
}

/// Unlike an untagged enum, it reports the error of the one.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMoreVisitor(PhantomData))
    }
}

struct OneOrMoreVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMoreVisitor<T> {
    type Value = OneOrMore<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one or a list")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMore<T>, E> {
        T::deserialize(text.into_deserializer()).map(OneOrMore::One)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<OneOrMore<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(table)).map(OneOrMore::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<OneOrMore<T>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMore::More)
    }
}

impl TryFrom<ConditionTable> for Condition {
    type Error = String;

    fn try_from(table: ConditionTable) -> Result<Self, String> {
        let place = match (table.header, table.field) {
            (Some(header), None) => Place::Header(header),
            (None, Some(field)) => Place::Field(Pointer::parse(&field)?),
            _ => return Err("`when` needs either `header` or `field`".to_owned()),
        };
        let is: Vec<String> = table.is.map(Vec::from).unwrap_or_default();
        Ok(Condition { place, is })
    }
}
