//! JSON by a mapping.

use rivulet_core::format::{DecodeError, Format, excerpt, value_of};
use rivulet_core::log::ConsumerRecord;
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::readings::Readings;
use rivulet_core::unit::Unit;

use super::fields::read;
use crate::mapping::{Field, FieldTree, Layout, Mapping, Node};

/// JSON whose fields a [`Mapping`] names.
#[derive(Debug)]
pub struct MappedJson {
    mapping: Mapping,
    tree: FieldTree,
    /// Why it cannot write, if it cannot.
    layout: Result<Layout, String>,
    unit: Option<Unit>,
}

impl MappedJson {
    /// The format of a topic with this unit.
    #[must_use]
    pub fn new(mapping: Mapping, unit: Option<Unit>) -> Self {
        MappedJson {
            tree: FieldTree::new(mapping.pointers()),
            layout: mapping.layout(),
            mapping,
            unit,
        }
    }
}

impl Format for MappedJson {
    fn decode<'a>(&self, record: &ConsumerRecord<'a>) -> Result<Readings<'a>, DecodeError> {
        if !self.mapping.picks_headers(record) {
            return Ok(Readings::None);
        }
        let value = value_of(record)?;
        let mut fields = vec![Field::Missing; self.mapping.pointers().len()];
        read(value, &self.tree, &mut fields).map_err(|error| {
            InvalidReading::new("not-json", format!("{error}, in {}", excerpt(value)))
        })?;
        Ok(self.mapping.readings(record, &fields, self.unit)?)
    }

    fn encode(&self, reading: &Reading<'_>, value: &mut Vec<u8>) -> Result<(), InvalidReading> {
        let layout = self.layout.as_ref();
        let layout = layout.map_err(|why| InvalidReading::new("read-only", why.clone()))?;
        let written = self.mapping.written(reading)?;
        self.write(&layout.root, reading, written, value)
    }

    fn keyed(&self) -> bool {
        true
    }

    fn key<'s>(&self, sensor: &'s str) -> &'s str {
        self.mapping.key(sensor)
    }
}

impl MappedJson {
    fn write(
        &self,
        object: &[(String, Node)],
        reading: &Reading<'_>,
        written: (&str, usize),
        value: &mut Vec<u8>,
    ) -> Result<(), InvalidReading> {
        let mut separator = b'{';
        for (name, node) in object {
            let field = match node {
                Node::Object(_) => None,
                Node::Leaf(part) => match self.mapping.part(part, reading, written)? {
                    None => continue,
                    field => field,
                },
            };
            value.push(separator);
            separator = b',';
            push_json(value, name);
            value.push(b':');
            match (node, field) {
                (Node::Object(inner), _) => self.write(inner, reading, written, value)?,
                (_, Some(Field::Text(text))) => push_json(value, &text),
                (_, Some(Field::Integer(number))) => push_json(value, &number),
                (_, Some(Field::Float(number))) => push_json(value, &number),
                (Node::Leaf(_), _) => push_json(value, &()),
            }
        }
        if separator == b'{' {
            value.push(b'{');
        }
        value.push(b'}');
        Ok(())
    }
}

fn push_json(value: &mut Vec<u8>, field: &(impl serde::Serialize + ?Sized)) {
    serde_json::to_writer(value, field).expect("text and finite numbers are JSON");
}

#[cfg(test)]
mod tests;
