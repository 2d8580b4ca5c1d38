//! Writes data of a schema.

use rivulet_core::reading::{InvalidReading, Reading};
use serde_json::Value;

use super::container::{MAGIC, SYNC};
use super::schema::{Meaning, RecordType, Schema, Type};
use crate::mapping::{Field, Layout, Mapping, Node, Part};

/// Writes readings as data of a schema.
#[derive(Debug)]
pub struct Writer {
    steps: Vec<WriteStep>,
}

/// One part of a datum, in order.
#[derive(Debug)]
enum WriteStep {
    /// These bytes, whatever the reading is.
    Bytes(Vec<u8>),
    /// A part of the reading.
    Part {
        part: Part,
        of: Scalar,
        /// What comes before it: the branch of a union.
        some: Vec<u8>,
        /// What is written if it is left out.
        none: Option<Vec<u8>>,
    },
}

/// How a part is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    Long(Meaning),
    Int,
    Float,
    Double,
    Text,
}

impl Writer {
    /// A writer for the fields of a mapping. Other fields have the default of the schema.
    ///
    /// # Errors
    /// Which field of the schema or of the mapping has no counterpart.
    pub fn new(schema: &Schema, layout: &Layout) -> Result<Self, String> {
        let mut writer = Writer { steps: Vec::new() };
        writer.object(schema, schema.root(), &layout.root, "")?;
        Ok(writer)
    }

    fn object(
        &mut self,
        schema: &Schema,
        of: usize,
        object: &[(String, Node)],
        path: &str,
    ) -> Result<(), String> {
        let Type::Record(RecordType { fields, .. }) = schema.of(of) else {
            let at = if path.is_empty() { "the schema" } else { path };
            return Err(format!("{at} is no record, so it has no fields"));
        };
        for (name, _) in object {
            if !fields.iter().any(|field| field.name == *name) {
                return Err(format!("the schema has no field {path}/{name}"));
            }
        }
        for field in fields {
            let path = format!("{path}/{}", field.name);
            match object.iter().find(|(name, _)| *name == field.name) {
                Some((_, Node::Object(inner))) => self.object(schema, field.of, inner, &path)?,
                Some((_, Node::Leaf(part))) => self.leaf(schema, field.of, part, &path)?,
                None => {
                    let default = field.default.as_ref().ok_or_else(|| {
                        format!("{path} has no default, and the mapping does not name it")
                    })?;
                    let mut bytes = Vec::new();
                    push_default(schema, field.of, default, &mut bytes)
                        .map_err(|why| format!("the default of {path} is wrong: {why}"))?;
                    self.steps.push(WriteStep::Bytes(bytes));
                }
            }
        }
        Ok(())
    }

    fn leaf(&mut self, schema: &Schema, of: usize, part: &Part, path: &str) -> Result<(), String> {
        let fits = |index: &usize| scalar(schema.of(*index), part);
        let (of, some, none) = match schema.of(of) {
            Type::Union(branches) => {
                let place = branches.iter().position(|branch| fits(branch).is_some());
                let null = branches
                    .iter()
                    .position(|branch| *schema.of(*branch) == Type::Null);
                let branch = |place: usize| {
                    let mut bytes = Vec::new();
                    push_long(&mut bytes, i64::try_from(place).unwrap_or(i64::MAX));
                    bytes
                };
                let of = place.and_then(|place| fits(&branches[place]));
                (of, place.map(branch).unwrap_or_default(), null.map(branch))
            }
            _ => (fits(&of), Vec::new(), None),
        };
        let of = of.ok_or_else(|| format!("{path} has a type that cannot hold {}", about(part)))?;
        let part = part.clone();
        self.steps.push(WriteStep::Part {
            part,
            of,
            some,
            none,
        });
        Ok(())
    }

    /// Appends the datum of a reading.
    ///
    /// # Errors
    /// If the schema cannot express the reading.
    pub fn write(
        &self,
        mapping: &Mapping,
        reading: &Reading<'_>,
        written: (&str, usize),
        out: &mut Vec<u8>,
    ) -> Result<(), InvalidReading> {
        for step in &self.steps {
            let (part, of, some, none) = match step {
                WriteStep::Bytes(bytes) => {
                    out.extend_from_slice(bytes);
                    continue;
                }
                WriteStep::Part {
                    part,
                    of,
                    some,
                    none,
                } => (part, *of, some, none),
            };
            // A time is written by the schema's own type, if that says what it is.
            let field = match (part, of) {
                (Part::Time, Scalar::Long(meaning)) if meaning != Meaning::Number => {
                    Some(Field::Integer(time(reading.time, meaning)))
                }
                _ => mapping.part(part, reading, written)?,
            };
            match (field, none) {
                (Some(field), _) => {
                    out.extend_from_slice(some);
                    push(out, of, &field)?;
                }
                (None, Some(none)) => out.extend_from_slice(none),
                (None, None) => {
                    let detail = format!("the schema requires {}, and there is none", about(part));
                    return Err(InvalidReading::new("missing", detail));
                }
            }
        }
        Ok(())
    }
}

/// The beginning of a file with this schema, and its sync marker. Each file has one block without
/// compression.
#[must_use]
pub fn header(schema: &str) -> (Vec<u8>, [u8; SYNC]) {
    // It must only be unlikely in the data, and the same file is written again after a crash.
    let sums = [schema.len(), 0].map(|seed| {
        let mut text = schema.as_bytes().to_vec();
        text.extend_from_slice(&seed.to_le_bytes());
        rivulet_core::state::hash(&String::from_utf8_lossy(&text)).to_le_bytes()
    });
    let mut sync = [0; SYNC];
    sync[..8].copy_from_slice(&sums[0]);
    sync[8..].copy_from_slice(&sums[1]);
    let mut bytes = MAGIC.to_vec();
    push_long(&mut bytes, 2);
    for (name, value) in [("avro.codec", "null"), ("avro.schema", schema)] {
        push_bytes(&mut bytes, name.as_bytes());
        push_bytes(&mut bytes, value.as_bytes());
    }
    push_long(&mut bytes, 0);
    bytes.extend_from_slice(&sync);
    (bytes, sync)
}

/// The words for a part.
fn about(part: &Part) -> &'static str {
    match part {
        Part::Sensor => "the sensor",
        Part::Seq => "the sequence number",
        Part::Time => "the time",
        Part::Value(_) => "the value",
        Part::Unit(_) => "the unit",
        Part::Text(_) => "the text of `when`",
    }
}

fn scalar(of: &Type, part: &Part) -> Option<Scalar> {
    let of = match of {
        Type::Long { is_int: true, .. } => Scalar::Int,
        Type::Long { meaning, .. } => Scalar::Long(*meaning),
        Type::Float => Scalar::Float,
        Type::Double => Scalar::Double,
        Type::Text => Scalar::Text,
        _ => return None,
    };
    let fits = match part {
        Part::Sensor | Part::Unit(_) | Part::Text(_) => of == Scalar::Text,
        Part::Seq => matches!(of, Scalar::Int | Scalar::Long(Meaning::Number)),
        Part::Value(_) => matches!(of, Scalar::Float | Scalar::Double),
        Part::Time => matches!(of, Scalar::Long(_) | Scalar::Double | Scalar::Text),
    };
    fits.then_some(of)
}

fn time(milliseconds: i64, meaning: Meaning) -> i128 {
    let milliseconds = i128::from(milliseconds);
    match meaning {
        Meaning::Number | Meaning::Fraction | Meaning::Milliseconds => milliseconds,
        Meaning::Days => milliseconds.div_euclid(86_400_000),
        Meaning::Microseconds => milliseconds * 1000,
        Meaning::Nanoseconds => milliseconds * 1_000_000,
    }
}

fn push(out: &mut Vec<u8>, of: Scalar, field: &Field<'_>) -> Result<(), InvalidReading> {
    let cannot = || InvalidReading::new("not-avro", format!("{field:?} cannot be {of:?}"));
    match (of, field) {
        (Scalar::Text, Field::Text(text)) => push_bytes(out, text.as_bytes()),
        (Scalar::Long(_), Field::Integer(number)) => {
            push_long(out, i64::try_from(*number).map_err(|_| cannot())?);
        }
        (Scalar::Int, Field::Integer(number)) => {
            push_long(out, i32::try_from(*number).map_err(|_| cannot())?.into());
        }
        (Scalar::Double, Field::Float(number)) => out.extend_from_slice(&number.to_le_bytes()),
        (Scalar::Double, Field::Integer(number)) => {
            out.extend_from_slice(&(*number as f64).to_le_bytes());
        }
        (Scalar::Float, Field::Float(number)) => {
            let small = rounded(*number);
            if !small.is_finite() {
                return Err(cannot());
            }
            out.extend_from_slice(&small.to_le_bytes());
        }
        _ => return Err(cannot()),
    }
    Ok(())
}

/// The nearest 32-bit float.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the schema has no more digits"
)]
fn rounded(number: f64) -> f32 {
    number as f32
}

/// Appends a whole number.
pub fn push_long(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    loop {
        let [bits, ..] = (rest & 0x7f).to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            return out.push(bits);
        }
        out.push(bits | 0x80);
    }
}

/// Appends bytes with their length before them.
pub fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_long(out, i64::try_from(bytes.len()).unwrap_or(i64::MAX));
    out.extend_from_slice(bytes);
}

/// Appends the default of a field, which is JSON in the schema.
fn push_default(
    schema: &Schema,
    of: usize,
    default: &Value,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let wrong = || format!("{default} is not of its type");
    match (schema.of(of), default) {
        (Type::Null, Value::Null) => (),
        (Type::Boolean, Value::Bool(is_true)) => out.push(u8::from(*is_true)),
        (Type::Long { .. }, Value::Number(number)) => {
            push_long(out, number.as_i64().ok_or_else(wrong)?);
        }
        (Type::Float, Value::Number(number)) => {
            let number = rounded(number.as_f64().ok_or_else(wrong)?);
            out.extend_from_slice(&number.to_le_bytes());
        }
        (Type::Double, Value::Number(number)) => {
            out.extend_from_slice(&number.as_f64().ok_or_else(wrong)?.to_le_bytes());
        }
        (Type::Text, Value::String(text)) => push_bytes(out, text.as_bytes()),
        (Type::Enum(words), Value::String(text)) => {
            let mut symbols = words.symbols.iter();
            let place = symbols
                .position(|symbol| symbol.as_ref() == Some(text))
                .ok_or_else(wrong)?;
            push_long(out, i64::try_from(place).map_err(|_| wrong())?);
        }
        (Type::Array(_), Value::Array(elements)) if elements.is_empty() => push_long(out, 0),
        (Type::Map(_), Value::Object(entries)) if entries.is_empty() => push_long(out, 0),
        (Type::Union(branches), default) => {
            // The default is of the first branch.
            push_long(out, 0);
            push_default(schema, *branches.first().ok_or_else(wrong)?, default, out)?;
        }
        (Type::Record(record), Value::Object(values)) => {
            for field in &record.fields {
                let value = values.get(&field.name).or(field.default.as_ref());
                push_default(schema, field.of, value.ok_or_else(wrong)?, out)?;
            }
        }
        _ => return Err(wrong()),
    }
    Ok(())
}
