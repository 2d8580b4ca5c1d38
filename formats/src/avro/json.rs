//! Data as JSON, for people and for programs that do not know Avro.

use jiff::Timestamp;
use jiff::civil::Date;
use rivulet_core::text::hex;
use serde_json::Value;

use super::datum::{DEEPEST, decimal};
use super::input::Input;
use super::schema::{Meaning, Schema, Type};
use crate::mapping::Field;

/// The JSON of the next datum, with its fields in the order of the schema.
///
/// Times and dates are texts in RFC 3339, decimal numbers are numbers, and bytes are texts in
/// hexadecimal. A value of a union is there without the name of its type. What JSON has no number
/// for, such as NaN, is a text.
///
/// # Errors
/// If the bytes are not of that schema.
pub fn json(schema: &Schema, input: &mut Input<'_>) -> Result<String, String> {
    let mut printer = Printer {
        schema,
        input,
        json: String::new(),
        depth: 0,
    };
    printer.print(schema.root())?;
    Ok(printer.json)
}

struct Printer<'p, 'a> {
    schema: &'p Schema,
    input: &'p mut Input<'a>,
    json: String,
    depth: usize,
}

impl Printer<'_, '_> {
    fn print(&mut self, of: usize) -> Result<(), String> {
        let schema = self.schema;
        match schema.of(of) {
            Type::Null => self.json.push_str("null"),
            Type::Boolean => match self.input.array()? {
                [0] => self.json.push_str("false"),
                [1] => self.json.push_str("true"),
                [other] => return Err(format!("a truth value is {other}")),
            },
            Type::Long { meaning, .. } => {
                let number = self.input.long()?;
                self.whole(number, *meaning);
            }
            Type::Float => {
                let number = f32::from_le_bytes(self.input.array()?);
                self.number(number, number.is_finite());
            }
            Type::Double => {
                let number = f64::from_le_bytes(self.input.array()?);
                self.number(number, number.is_finite());
            }
            Type::Bytes { size, scale } => {
                let bytes = match size {
                    Some(size) => self.input.take(*size)?,
                    None => self.input.sized()?,
                };
                match scale.map(|scale| decimal(bytes, scale)) {
                    Some(Field::Float(number)) => self.number(number, number.is_finite()),
                    _ => self.text(&format!("0x{}", hex(bytes))),
                }
            }
            Type::Text => {
                let text = self.input.text()?;
                self.text(text);
            }
            Type::Unresolved(why) => return Err(why.clone()),
            Type::Enum(words) => {
                let number = self.input.length()?;
                let symbol = words.symbols.get(number).and_then(Option::as_deref);
                self.text(symbol.ok_or_else(|| format!("an enum has no symbol {number}"))?);
            }
            compound => {
                if self.depth == DEEPEST {
                    return Err(format!("it is more than {DEEPEST} deep"));
                }
                self.depth += 1;
                self.compound(compound)?;
                self.depth -= 1;
            }
        }
        Ok(())
    }

    fn compound(&mut self, of: &Type) -> Result<(), String> {
        match of {
            Type::Record(record) => {
                self.json.push('{');
                for (index, field) in record.fields.iter().enumerate() {
                    self.name(index, &field.name);
                    self.print(field.of)?;
                }
                self.json.push('}');
            }
            Type::Array(of) => {
                self.json.push('[');
                self.blocks(|printer, index| {
                    if index > 0 {
                        printer.json.push(',');
                    }
                    printer.print(*of)
                })?;
                self.json.push(']');
            }
            Type::Map(of) => {
                self.json.push('{');
                self.blocks(|printer, index| {
                    let name = printer.input.text()?;
                    printer.name(index, name);
                    printer.print(*of)
                })?;
                self.json.push('}');
            }
            Type::Union(branches) => {
                let number = self.input.length()?;
                let branch = branches.get(number);
                self.print(*branch.ok_or_else(|| format!("a union has no branch {number}"))?)?;
            }
            _ => (),
        }
        Ok(())
    }

    /// Calls `each` for every element of an array or a map, with its index.
    fn blocks(
        &mut self,
        mut each: impl FnMut(&mut Self, usize) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut index = 0;
        loop {
            let count = self.input.block()?;
            for _ in 0..count {
                each(self, index)?;
                index += 1;
            }
            if count == 0 {
                return Ok(());
            }
        }
    }

    fn name(&mut self, index: usize, name: &str) {
        if index > 0 {
            self.json.push(',');
        }
        self.text(name);
        self.json.push(':');
    }

    fn text(&mut self, text: &str) {
        self.json.push_str(&Value::from(text).to_string());
    }

    fn number(&mut self, number: impl std::fmt::Display + Into<f64> + Copy, is_finite: bool) {
        let text = number.to_string();
        if is_finite {
            self.json.push_str(&text);
        } else {
            self.text(&text);
        }
    }

    fn whole(&mut self, number: i64, meaning: Meaning) {
        let time = match meaning {
            Meaning::Number | Meaning::Fraction => None,
            Meaning::Days => date(number).map(|date| date.to_string()),
            Meaning::Milliseconds => time(Timestamp::from_millisecond(number)),
            Meaning::Microseconds => time(Timestamp::from_microsecond(number)),
            Meaning::Nanoseconds => time(Timestamp::from_nanosecond(number.into())),
        };
        match time {
            Some(time) => self.text(&time),
            // Beyond the calendar, or no time.
            None => self.json.push_str(&number.to_string()),
        }
    }
}

fn time(time: Result<Timestamp, jiff::Error>) -> Option<String> {
    time.ok().map(|time| time.to_string())
}

fn date(days: i64) -> Option<Date> {
    let days = jiff::Span::new().try_days(days).ok()?;
    jiff::civil::date(1970, 1, 1).checked_add(days).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(schema: &str, bytes: &[u8]) -> Result<String, String> {
        let schema = Schema::parse(schema).unwrap();
        let mut input = Input::new(bytes);
        let json = json(&schema, &mut input)?;
        assert!(input.is_empty());
        Ok(json)
    }

    #[test]
    fn each_type_has_its_json() {
        let logical = |of: &str, logical: &str| {
            format!(r#"{{"type":"{of}","logicalType":"{logical}","scale":2,"precision":9}}"#)
        };
        for (schema, bytes, expected) in [
            ("\"null\"", &b""[..], "null"),
            ("\"boolean\"", b"\x01", "true"),
            ("\"int\"", b"\x03", "-2"),
            ("\"float\"", &0.1_f32.to_le_bytes(), "0.1"),
            ("\"double\"", &0.1_f64.to_le_bytes(), "0.1"),
            ("\"double\"", &f64::NAN.to_le_bytes(), "\"NaN\""),
            ("\"string\"", b"\x06a\"b", r#""a\"b""#),
            ("\"bytes\"", b"\x04\x00\xff", "\"0x00ff\""),
            (&logical("bytes", "decimal"), b"\x04\xff\x38", "-2"),
            (&logical("int", "date"), b"\x02", "\"1970-01-02\""),
            (
                &logical("long", "timestamp-millis"),
                b"\x02",
                "\"1970-01-01T00:00:00.001Z\"",
            ),
            (
                r#"{"type":"enum","name":"e","symbols":["x","y"]}"#,
                b"\x02",
                "\"y\"",
            ),
            (r#"["null","string"]"#, b"\x02\x02x", "\"x\""),
            (r#"["null","string"]"#, b"\x00", "null"),
            (
                r#"{"type":"array","items":"int"}"#,
                b"\x04\x02\x04\x00",
                "[1,2]",
            ),
            (
                r#"{"type":"map","values":"int"}"#,
                b"\x02\x02b\x08\x00",
                r#"{"b":4}"#,
            ),
            (
                r#"{"type":"record","name":"r","fields":[{"name":"z","type":"int"},
                    {"name":"a","type":"string"}]}"#,
                b"\x02\x02x",
                r#"{"z":1,"a":"x"}"#,
            ),
        ] {
            assert_eq!(of(schema, bytes), Ok(expected.to_owned()), "{schema}");
        }
    }

    #[test]
    fn what_is_not_of_the_schema_is_an_error() {
        for (schema, bytes, expected) in [
            ("\"boolean\"", &b"\x02"[..], "a truth value is 2"),
            ("\"string\"", b"\x06ab", "1 bytes early"),
            (r#"["null"]"#, b"\x02", "no branch 1"),
            (
                r#"{"type":"record","name":"r","fields":[{"name":"a","type":["null","r"]}]}"#,
                &[2; 100],
                "more than 64 deep",
            ),
        ] {
            let error = of(schema, bytes).unwrap_err();
            assert!(error.contains(expected), "{schema}: {error}");
        }
    }
}
