//! Data in Avro's binary encoding.

use super::input::Input;
use super::schema::{Meaning, Schema, Type};
use crate::mapping::{Field, FieldTree};

/// How deep data may be in each other.
pub(super) const DEEPEST: usize = 64;

/// Reads a datum of a type, and the fields of `tree` in it. One that is not there stays as it is.
///
/// # Errors
/// If the bytes are not of that type.
pub fn read<'a>(
    schema: &Schema,
    tree: &FieldTree,
    input: &mut Input<'a>,
    fields: &mut [Field<'a>],
) -> Result<(), String> {
    let mut reader = Reader {
        schema,
        input,
        fields,
        depth: 0,
    };
    reader.read(schema.root(), Some(tree))
}

struct Reader<'r, 'a> {
    schema: &'r Schema,
    input: &'r mut Input<'a>,
    fields: &'r mut [Field<'a>],
    depth: usize,
}

impl<'a> Reader<'_, 'a> {
    fn read(&mut self, of: usize, tree: Option<&FieldTree>) -> Result<(), String> {
        let schema = self.schema;
        let field = match schema.of(of) {
            Type::Null => Field::Missing,
            Type::Boolean => match self.input.array()? {
                [0] => Field::Bool(false),
                [1] => Field::Bool(true),
                [other] => return Err(format!("a truth value is {other}")),
            },
            Type::Long { is_int, meaning } => {
                let number = self.input.long()?;
                if *is_int && i32::try_from(number).is_err() {
                    return Err(format!("a number of 32 bits is {number}"));
                }
                whole(number, *meaning)
            }
            Type::Float => Field::Float(f32::from_le_bytes(self.input.array()?).into()),
            Type::Double => Field::Float(f64::from_le_bytes(self.input.array()?)),
            Type::Bytes { size, scale } => {
                let bytes = match size {
                    Some(size) => self.input.take(*size)?,
                    None => self.input.sized()?,
                };
                match scale {
                    Some(scale) => decimal(bytes, *scale),
                    None => Field::Other("bytes"),
                }
            }
            Type::Text => Field::Text(self.input.text()?.into()),
            Type::Unresolved(why) => return Err(why.clone()),
            Type::Enum(words) => {
                let number = self.input.length()?;
                let symbol = words.symbols.get(number);
                let symbol = symbol.ok_or_else(|| format!("an enum has no symbol {number}"))?;
                let symbol = symbol.as_ref().ok_or_else(|| {
                    format!("symbol {number} of an enum is not in the schema of the topic")
                })?;
                match tree {
                    Some(_) => Field::Text(symbol.clone().into()),
                    None => Field::Missing,
                }
            }
            Type::Record(_) | Type::Array(_) | Type::Map(_) | Type::Union(_) => {
                if self.depth == DEEPEST {
                    return Err(format!("it is more than {DEEPEST} deep"));
                }
                self.depth += 1;
                let read = self.compound(schema.of(of), tree);
                self.depth -= 1;
                return read;
            }
        };
        self.put(tree, field);
        Ok(())
    }

    fn put(&mut self, tree: Option<&FieldTree>, field: Field<'a>) {
        if let Some(index) = tree.and_then(FieldTree::index) {
            self.fields[index] = field;
        }
    }

    fn compound(&mut self, of: &Type, tree: Option<&FieldTree>) -> Result<(), String> {
        let child = |name: &str| tree.and_then(|tree| tree.child(name));
        match of {
            Type::Record(record) => {
                for field in &record.fields {
                    self.read(field.of, child(&field.name))?;
                }
                for (path, default) in &record.absent {
                    let at = path
                        .iter()
                        .try_fold(tree, |tree, name| Some(tree?.child(name)));
                    self.put(at.flatten(), default.clone());
                }
                self.put(tree, Field::Other("a record"));
            }
            Type::Array(of) => {
                let mut index = 0_usize;
                loop {
                    let count = self.input.block()?;
                    for _ in 0..count {
                        let has_children = tree.is_some_and(FieldTree::has_children);
                        let tree = if has_children {
                            child(&index.to_string())
                        } else {
                            None
                        };
                        self.read(*of, tree)?;
                        index += 1;
                    }
                    if count == 0 {
                        break;
                    }
                }
                self.put(tree, Field::Other("an array"));
            }
            Type::Map(of) => {
                let mut seen = Vec::new();
                loop {
                    let count = self.input.block()?;
                    for _ in 0..count {
                        let name = self.input.text()?;
                        if child(name).is_some() {
                            if seen.contains(&name) {
                                return Err(format!("`{name}` is there twice"));
                            }
                            seen.push(name);
                        }
                        self.read(*of, child(name))?;
                    }
                    if count == 0 {
                        break;
                    }
                }
                self.put(tree, Field::Other("a map"));
            }
            Type::Union(branches) => {
                let number = self.input.length()?;
                let branch = branches.get(number);
                let branch = branch.ok_or_else(|| format!("a union has no branch {number}"))?;
                self.read(*branch, tree)?;
            }
            _ => (),
        }
        Ok(())
    }
}

/// A whole number, as what it counts.
pub(super) fn whole(number: i64, meaning: Meaning) -> Field<'static> {
    match meaning {
        Meaning::Number => Field::Integer(number.into()),
        Meaning::Fraction => Field::Float(number as f64),
        // Not larger than 32 bits.
        Meaning::Days => Field::Time(number.saturating_mul(86_400_000)),
        Meaning::Milliseconds => Field::Time(number),
        Meaning::Microseconds => Field::Time(number.div_euclid(1000)),
        Meaning::Nanoseconds => Field::Time(number.div_euclid(1_000_000)),
    }
}

/// A decimal number: a whole number, and how many of its digits are after the point.
pub(super) fn decimal(bytes: &[u8], scale: u32) -> Field<'static> {
    // More have no room in the number, and no sensor measures so exactly.
    let Some(first) = bytes.first().filter(|_| bytes.len() <= 16) else {
        return Field::Other("a decimal number of more than 16 bytes");
    };
    let mut padded = [if *first < 0x80 { 0 } else { 0xff }; 16];
    padded[16 - bytes.len()..].copy_from_slice(bytes);
    let text = format!("{}e-{scale}", i128::from_be_bytes(padded));
    text.parse()
        .map_or(Field::Other("a decimal number"), Field::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Pointer;

    fn field<'a>(schema: &str, path: &str, bytes: &'a [u8]) -> Result<Field<'a>, String> {
        let schema = Schema::parse(schema).unwrap();
        let tree = FieldTree::new(&[Pointer::parse(path).unwrap()]);
        let (mut input, mut fields) = (Input::new(bytes), [Field::Missing]);
        read(&schema, &tree, &mut input, &mut fields)?;
        if !input.is_empty() {
            return Err("bytes are left".to_owned());
        }
        let [field] = fields;
        Ok(field)
    }

    fn in_record(of: &str) -> String {
        format!(r#"{{"type":"record","name":"r","fields":[{{"name":"a","type":{of}}}]}}"#)
    }

    #[test]
    fn each_type_is_read() {
        let logical = |of: &str, logical: &str| {
            format!(r#"{{"type":"{of}","logicalType":"{logical}","scale":2,"precision":9}}"#)
        };
        for (of, bytes, expected) in [
            ("\"null\"", &b""[..], Field::Missing),
            ("\"boolean\"", b"\x01", Field::Bool(true)),
            ("\"int\"", b"\x03", Field::Integer(-2)),
            ("\"long\"", b"\x80\x01", Field::Integer(64)),
            ("\"float\"", &1.5_f32.to_le_bytes(), Field::Float(1.5)),
            ("\"double\"", &0.1_f64.to_le_bytes(), Field::Float(0.1)),
            ("\"string\"", b"\x04ab", Field::Text("ab".into())),
            ("\"bytes\"", b"\x04ab", Field::Other("bytes")),
            (
                &logical("bytes", "decimal"),
                b"\x04\xff\x38",
                Field::Float(-2.0),
            ),
            (&logical("int", "date"), b"\x02", Field::Time(86_400_000)),
            (
                &logical("long", "timestamp-millis"),
                b"\x0e",
                Field::Time(7),
            ),
            (
                &logical("long", "timestamp-micros"),
                b"\x01",
                Field::Time(-1),
            ),
            (
                &logical("string", "uuid"),
                b"\x02x",
                Field::Text("x".into()),
            ),
            (
                r#"{"type":"enum","name":"e","symbols":["x","y"]}"#,
                b"\x02",
                Field::Text("y".into()),
            ),
            (
                r#"["null","string"]"#,
                b"\x02\x02x",
                Field::Text("x".into()),
            ),
            (r#"["null","string"]"#, b"\x00", Field::Missing),
            (
                r#"{"type":"array","items":"int"}"#,
                b"\x02\x02\x00",
                Field::Other("an array"),
            ),
        ] {
            assert_eq!(field(&in_record(of), "/a", bytes), Ok(expected), "{of}");
        }
        let array = in_record(r#"{"type":"array","items":"int"}"#);
        // A block of two with its size, and a block of one.
        assert_eq!(
            field(&array, "/a/2", b"\x03\x04\x02\x04\x02\x06\x00"),
            Ok(Field::Integer(3))
        );
        let map = in_record(r#"{"type":"map","values":"int"}"#);
        assert_eq!(
            field(&map, "/a/b", b"\x02\x02b\x08\x00"),
            Ok(Field::Integer(4))
        );
        let in_union = in_record(&format!(
            "[\"null\",{}]",
            in_record("\"int\"").replace("\"r\"", "\"s\"")
        ));
        assert_eq!(field(&in_union, "/a/a", b"\x02\x0a"), Ok(Field::Integer(5)));
    }

    #[test]
    fn what_is_not_of_the_type_is_an_error() {
        for (of, bytes, expected) in [
            ("\"boolean\"", &b"\x02"[..], "a truth value is 2"),
            ("\"int\"", b"\xfe\xff\xff\xff\x1f", "32 bits"),
            ("\"long\"", &[0xff; 11], "more than 64 bits"),
            ("\"long\"", b"\x80", "1 bytes early"),
            ("\"string\"", b"\x01", "a length is -1"),
            ("\"string\"", b"\x06ab", "1 bytes early"),
            ("\"string\"", b"\x02\xff", "utf-8"),
            ("\"double\"", b"abc", "5 bytes early"),
            ("\"int\"", b"\x00\x00", "bytes are left"),
            (r#"["null"]"#, b"\x02", "no branch 1"),
            (
                r#"{"type":"enum","name":"e","symbols":[]}"#,
                b"\x00",
                "no symbol 0",
            ),
            (
                r#"{"type":"array","items":"null"}"#,
                b"\x80\x80\x80\x80\x10\x00",
                "elements",
            ),
            (r#"["null","r"]"#, &[2; 100], "more than 64 deep"),
        ] {
            let error = field(&in_record(of), "/a", bytes).unwrap_err();
            assert!(error.contains(expected), "{of}: {error}");
        }
    }
}
