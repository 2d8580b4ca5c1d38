//! A table of settings in the order of the file: [`InOrder`].

#[cfg(feature = "schema")]
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use toml::Spanned;

/// The entries of a table, in the order in which they stand in the pipeline file.
///
/// A map would have them in the order of their names, and `sensor10` before `sensor2`. It can only
/// be read from TOML, which knows the place of each name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InOrder<K, V>(pub Vec<(K, V)>);

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for InOrder<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrderVisitor(PhantomData))
    }
}

struct InOrderVisitor<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for InOrderVisitor<K, V> {
    type Value = InOrder<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Self::Value, A::Error> {
        let mut entries: Vec<(Spanned<K>, V)> = Vec::new();
        while let Some(entry) = table.next_entry()? {
            entries.push(entry);
        }
        entries.sort_by_key(|(name, _)| name.span().start);
        let entries = entries.into_iter();
        Ok(InOrder(
            entries
                .map(|(name, value)| (name.into_inner(), value))
                .collect(),
        ))
    }
}

#[cfg(feature = "schema")]
impl<K, V> schemars::JsonSchema for InOrder<K, V>
where
    K: schemars::JsonSchema,
    V: schemars::JsonSchema,
{
    fn schema_name() -> std::borrow::Cow<'static, str> {
        BTreeMap::<K, V>::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        BTreeMap::<K, V>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ComponentConfig;

    fn names(text: &str) -> Vec<(String, i64)> {
        let config = ComponentConfig::parse(text).unwrap();
        config.settings::<InOrder<String, i64>>().unwrap().0
    }

    #[test]
    fn entries_stand_in_the_order_of_the_file() {
        let expected = [("b".to_owned(), 1), ("a10".to_owned(), 2), ("a2".into(), 3)];
        assert_eq!(names("x = { b = 1, a10 = 2, a2 = 3 }"), expected);
        assert_eq!(names("[x]\nb = 1\n\"a10\" = 2\na2 = 3\n"), expected);
        assert_eq!(names("x.b = 1\nx.a10 = 2\nx.a2 = 3\n"), expected);
        assert!(names("x = {}").is_empty());
    }
}
