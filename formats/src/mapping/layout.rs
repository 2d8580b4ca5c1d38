//! How a mapping writes readings.

use rivulet_core::format::{check_sensor, finite};
use rivulet_core::reading::{InvalidReading, Reading};
use rivulet_core::unit::Unit;

use super::field::Field;
use super::place::Pointer;
use super::plan::{MappedUnit, Mapping, Source};
use super::table::Missing;

/// The fields that a mapping writes, as objects in objects.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The fields of the outermost object.
    pub root: Vec<(String, Node)>,
}

/// An object, or a field that holds a part of a reading.
#[derive(Debug, Clone)]
pub enum Node {
    /// An object with these fields.
    Object(Vec<(String, Node)>),
    /// A part of a reading.
    Leaf(Part),
}

/// A part of a reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The sensor, without the name of the value.
    Sensor,
    /// The sequence number.
    Seq,
    /// The time.
    Time,
    /// The value with this index.
    Value(usize),
    /// The unit of the values with these indices.
    Unit(Vec<usize>),
    /// A text that `when` requires.
    Text(String),
}

impl Layout {
    fn insert(&mut self, pointer: &Pointer, part: Part) -> Result<(), String> {
        let Some((last, path)) = pointer.names().split_last() else {
            return Err("a field has a name".to_owned());
        };
        let twice = || format!("{pointer} would be written twice");
        let mut object = &mut self.root;
        for name in path {
            let index = object.iter().position(|(other, _)| other == name);
            let index = index.unwrap_or_else(|| {
                object.push((name.clone(), Node::Object(Vec::new())));
                object.len() - 1
            });
            object = match &mut object[index].1 {
                Node::Object(inner) => inner,
                Node::Leaf(_) => return Err(twice()),
            };
        }
        match object.iter_mut().find(|(name, _)| name == last) {
            None => object.push((last.clone(), Node::Leaf(part))),
            // Several values may have their unit in the same field.
            Some((_, Node::Leaf(Part::Unit(values)))) => match part {
                Part::Unit(more) => values.extend(more),
                _ => return Err(twice()),
            },
            Some(_) => return Err(twice()),
        }
        Ok(())
    }
}

impl Mapping {
    /// How it writes readings.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn layout(&self) -> Result<Layout, String> {
        let mut layout = Layout { root: Vec::new() };
        let mut write = |source: &Source, part: Part, what: &str| match source {
            Source::Field(index) => layout.insert(&self.pointers[*index], part),
            Source::Key if part == Part::Sensor => Ok(()),
            Source::Offset | Source::Timestamp => Ok(()),
            other => {
                let place = self.name(other);
                Err(format!(
                    "{what} is {place}, which cannot be written; name a field"
                ))
            }
        };
        write(&self.sensor, Part::Sensor, "the sensor")?;
        write(&self.time, Part::Time, "the time")?;
        write(&self.seq, Part::Seq, "the sequence number")?;
        for (index, value) in self.values.iter().enumerate() {
            write(&value.source, Part::Value(index), "the value")?;
            if let MappedUnit::At(source) = &value.unit {
                write(source, Part::Unit(vec![index]), "the unit")?;
            }
        }
        for (source, is) in &self.when {
            let Some(text) = is.first() else {
                return Err(format!("`when` does not say what {} is", self.name(source)));
            };
            write(source, Part::Text(text.clone()), "the condition of `when`")?;
        }
        if self.time_plus.is_some() {
            return Err("`time-plus` can be read, but not written".to_owned());
        }
        if self.values.len() > 1 && self.missing == Missing::DeadLetter {
            return Err(
                "each reading is written alone, and a record with one of several values would not \
                 be valid: add missing = \"skip\""
                    .to_owned(),
            );
        }
        Ok(layout)
    }

    /// The sensor's own name and the index of the value, for a reading that is written.
    ///
    /// # Errors
    /// If the mapping has no such value, or no number.
    pub fn written<'r>(
        &self,
        reading: &'r Reading<'_>,
    ) -> Result<(&'r str, usize), InvalidReading> {
        finite(reading.value)?;
        check_sensor(&reading.sensor)?;
        match self.split(&reading.sensor) {
            Some(("", _)) => {
                let detail = "the reading's sensor has no name";
                Err(InvalidReading::new("no-sensor", detail))
            }
            Some(written) => Ok(written),
            None => {
                let names = self.values.iter().filter_map(|value| value.name.as_deref());
                let detail = format!(
                    "the sensor {:?} does not end with a / and one of the values: {}",
                    reading.sensor,
                    names.collect::<Vec<_>>().join(", ")
                );
                Err(InvalidReading::new("no-such-value", detail))
            }
        }
    }

    /// What is written of a part of a reading. `written` is from [`written`](Self::written). `None`
    /// if the part is left out.
    ///
    /// # Errors
    /// If the time cannot be written.
    pub fn part<'r>(
        &self,
        part: &'r Part,
        reading: &'r Reading<'_>,
        (sensor, index): (&'r str, usize),
    ) -> Result<Option<Field<'r>>, InvalidReading> {
        Ok(match part {
            Part::Sensor => Some(Field::Text(sensor.into())),
            Part::Seq => Some(Field::Integer(reading.seq.into())),
            Part::Time => Some(self.time_format.write(reading.time)?),
            Part::Value(value) => (*value == index).then_some(Field::Float(reading.value)),
            Part::Unit(values) => {
                let unit = reading.unit.as_ref().filter(|_| values.contains(&index));
                unit.map(|unit| Field::Text(Unit::name(unit).into()))
            }
            Part::Text(text) => Some(Field::Text(text.as_str().into())),
        })
    }
}
