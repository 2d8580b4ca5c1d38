//! The exact form in which rivulet itself writes a reading.
//!
//! Most records come from another stage and have this form. Splitting them at their fixed pieces
//! costs a third of parsing them. Any other form is left to the parser. Writing the fixed pieces
//! costs half of what serde takes, which looks for characters to escape in the names of the fields.

use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;
use serde::Serialize;

/// The reading, if the value has rivulet's own form.
pub(super) fn parse(value: &[u8]) -> Option<Reading<'_>> {
    let text = std::str::from_utf8(value).ok()?;
    let rest = text.strip_prefix("{\"sensor\":\"")?;
    // Escapes and control characters in the name are left to the parser.
    let end = rest
        .bytes()
        .position(|byte| matches!(byte, b'"' | b'\\' | ..0x20))?;
    let (sensor, rest) = rest.split_at(end);
    let (seq, rest) = digits(rest.strip_prefix("\",\"seq\":")?)?;
    let rest = rest.strip_prefix(",\"time\":")?;
    let (time, rest) = match rest.strip_prefix('-') {
        // The parser reads −0 as a fraction.
        Some(rest) if rest.starts_with('0') => return None,
        Some(rest) => {
            digits(rest).and_then(|(time, rest)| Some((0_i64.checked_sub_unsigned(time)?, rest)))?
        }
        None => digits(rest).and_then(|(time, rest)| Some((i64::try_from(time).ok()?, rest)))?,
    };
    let (value, rest) = number(rest.strip_prefix(",\"value\":")?)?;
    let unit = match rest {
        "}" => None,
        ",\"unit\":\"celsius\"}" => Some(Unit::Celsius),
        ",\"unit\":\"fahrenheit\"}" => Some(Unit::Fahrenheit),
        ",\"unit\":\"kelvin\"}" => Some(Unit::Kelvin),
        _ => Some(other_unit(rest)?),
    };
    Some(Reading {
        sensor: sensor.into(),
        seq,
        time,
        value,
        unit,
    })
}

/// A unit that has a name without escapes.
fn other_unit(text: &str) -> Option<Unit> {
    let name = text.strip_prefix(",\"unit\":\"")?.strip_suffix("\"}")?;
    let is_plain = |byte: u8| !matches!(byte, b'"' | b'\\' | ..0x20);
    if !name.bytes().all(is_plain) {
        return None;
    }
    name.parse().ok()
}

/// A whole number and the text after it. JSON has no leading zeros. 19 digits always fit.
fn digits(text: &str) -> Option<(u64, &str)> {
    let rest = after_digits(text)?;
    let digits = &text[..text.len() - rest.len()];
    if digits.len() > 19 || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    let add = |number, digit| number * 10 + u64::from(digit - b'0');
    Some((digits.bytes().fold(0, add), rest))
}

/// A plain decimal fraction, as most values are, and the text after it. The standard library rounds
/// it correctly, as the parser does. Exponents are left to the parser.
fn number(text: &str) -> Option<(f64, &str)> {
    let integer = text.strip_prefix('-').unwrap_or(text);
    let after_integer = after_digits(integer)?;
    let leads_with_zero = integer.starts_with('0') && integer.len() - after_integer.len() > 1;
    if leads_with_zero {
        return None;
    }
    let rest = match after_integer.strip_prefix('.') {
        Some(fraction) => after_digits(fraction)?,
        None => after_integer,
    };
    let value: f64 = text[..text.len() - rest.len()].parse().ok()?;
    value.is_finite().then_some((value, rest))
}

/// The text after at least one digit.
fn after_digits(text: &str) -> Option<&str> {
    let length = text.bytes().position(|byte| !byte.is_ascii_digit())?;
    (length > 0).then(|| &text[length..])
}

/// Writes a reading with a finite value.
pub(super) fn write(reading: &Reading<'_>, value: &mut Vec<u8>) -> serde_json::Result<()> {
    field(value, b"{\"sensor\":", &reading.sensor)?;
    field(value, b",\"seq\":", &reading.seq)?;
    field(value, b",\"time\":", &reading.time)?;
    field(value, b",\"value\":", &reading.value)?;
    if let Some(unit) = &reading.unit {
        field(value, b",\"unit\":", unit)?;
    }
    value.push(b'}');
    Ok(())
}

fn field(value: &mut Vec<u8>, name: &[u8], part: &impl Serialize) -> serde_json::Result<()> {
    value.extend_from_slice(name);
    serde_json::to_writer(value, part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::by_parser;
    use super::*;

    #[test]
    fn the_own_form_is_read_without_the_parser() {
        let line =
            br#"{"sensor":"seattle","seq":7,"time":-1325376000000,"value":-12.8,"unit":"celsius"}"#;
        assert_eq!(parse(line).unwrap(), by_parser(line).unwrap());
    }

    #[test]
    fn any_other_form_is_left_to_the_parser() {
        for (from, to) in [
            ("7,", "07,"),
            ("7,", "-7,"),
            ("\"time\":0", "\"time\":-0"),
            ("7,", ","),
            ("12.8", "12."),
            ("12.8", ".8"),
            ("12.8", "+12.8"),
            ("12.8", "012.8"),
            ("12.8", "nan"),
            ("12.8", "1e3"),
            ("a\"", "\u{7}\""),
            ("a\"", "\\u0061\""),
            ("}", "} "),
            ("\"unit\"", "\"Unit\""),
        ] {
            let line = r#"{"sensor":"a","seq":7,"time":0,"value":12.8,"unit":"celsius"}"#
                .replace(from, to);
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
        assert_eq!(
            parse(b"{\"sensor\":\"\xff\",\"seq\":7,\"time\":0,\"value\":1,\"unit\":\"celsius\"}"),
            None
        );
    }

    /// Each part is written by serde.
    fn line(sensor: &str, seq: u64, time: i64, value: f64, unit: Option<&str>) -> String {
        let sensor = serde_json::to_string(sensor).unwrap();
        let value = serde_json::to_string(&value).unwrap();
        let unit = unit.map_or_else(String::new, |unit| {
            format!(",\"unit\":{}", serde_json::to_string(unit).unwrap())
        });
        format!("{{\"sensor\":{sensor},\"seq\":{seq},\"time\":{time},\"value\":{value}{unit}}}")
    }

    proptest! {
        /// A line with a random byte is left to the parser, or read as the parser reads it.
        #[test]
        fn it_reads_as_the_parser_does(
            sensor in ".{0,8}",
            seq: u64,
            time: i64,
            value: f64,
            at: proptest::sample::Index,
            byte: u8,
            is_changed: bool,
            unit in proptest::option::of(".{1,8}"),
        ) {
            let mut line = line(&sensor, seq, time, value, unit.as_deref()).into_bytes();
            if is_changed {
                let at = at.index(line.len());
                line[at] = byte;
            }
            if let Some(reading) = parse(&line) {
                prop_assert_eq!(Ok(reading), by_parser(&line));
            }
        }

        #[test]
        fn it_writes_as_serde_does(
            sensor in ".{0,8}",
            seq: u64,
            time: i64,
            value: f64,
            unit in proptest::option::of(r"\PC{1,7}"),
        ) {
            let unit: Option<Unit> = unit.and_then(|unit| unit.parse().ok());
            let expected = line(&sensor, seq, time, value, unit.as_ref().map(Unit::name));
            let mut written = Vec::new();
            let reading = Reading { sensor: sensor.into(), seq, time, value, unit };
            write(&reading, &mut written).unwrap();
            prop_assert_eq!(String::from_utf8(written).unwrap(), expected);
        }
    }
}
