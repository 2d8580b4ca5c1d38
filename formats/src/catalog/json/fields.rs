//! Looks up some fields of a JSON value, and skips the others.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::mapping::{Field, FieldTree};

/// Reads the fields of a JSON value. One that is not there stays as it is.
///
/// # Errors
/// If the value is not JSON, or one of the fields is there twice.
pub(super) fn read<'a>(
    value: &'a [u8],
    tree: &FieldTree,
    fields: &mut [Field<'a>],
) -> serde_json::Result<()> {
    let mut json = serde_json::Deserializer::from_slice(value);
    Reader { tree, fields }.deserialize(&mut json)?;
    json.end()
}

/// Reads one value.
struct Reader<'r, 'a> {
    tree: &'r FieldTree,
    fields: &'r mut [Field<'a>],
}

impl<'a> Reader<'_, 'a> {
    fn put(self, field: Field<'a>) {
        if let Some(index) = self.tree.index() {
            self.fields[index] = field;
        }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, is_true: bool) -> Result<(), E> {
        self.put(Field::Bool(is_true));
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.put(Field::Integer(number.into()));
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.put(Field::Integer(number.into()));
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.put(Field::Float(number));
        Ok(())
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.put(Field::Text(text.into()));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.put(Field::Text(Cow::Owned(text.to_owned())));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let Reader { tree, fields } = self;
        if let Some(index) = tree.index() {
            fields[index] = Field::Other("an object");
        }
        // One bit each for the first fields: almost no object has more of them in a mapping.
        let (mut seen, mut seen_later) = (0_u64, Vec::new());
        while let Some(child) = object.next_key_seed(Name(tree))? {
            let Some(at) = child else {
                object.next_value::<IgnoredAny>()?;
                continue;
            };
            let (name, tree) = tree.at(at);
            let is_repeated = if at < 64 {
                let before = seen;
                seen |= 1 << at;
                seen == before
            } else {
                let is_repeated = seen_later.contains(&at);
                seen_later.push(at);
                is_repeated
            };
            if is_repeated {
                return Err(A::Error::custom(format_args!("`{name}` is there twice")));
            }
            object.next_value_seed(Reader { tree, fields })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        let Reader { tree, fields } = self;
        if let Some(index) = tree.index() {
            fields[index] = Field::Other("an array");
        }
        let mut index = 0_usize;
        loop {
            let child = if tree.has_children() {
                tree.child(&index.to_string())
            } else {
                None
            };
            let is_there = match child {
                Some(tree) => array.next_element_seed(Reader { tree, fields })?.is_some(),
                None => array.next_element::<IgnoredAny>()?.is_some(),
            };
            if !is_there {
                return Ok(());
            }
            index += 1;
        }
    }
}

/// Reads a field's name: its index among the children.
struct Name<'r>(&'r FieldTree);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.position(name))
    }
}
