//! A fast path for the exact form in which rivulet itself writes a reading.
//!
//! Most records come from another stage and have this form. Splitting them at their fixed pieces
//! costs a third of parsing them. Any other form is left to the parser.

use rivulet_core::reading::Reading;
use rivulet_core::unit::Unit;

/// The reading, if the value has rivulet's own form.
pub(super) fn parse(value: &[u8]) -> Option<Reading<'_>> {
    let rest = value.strip_prefix(b"{\"sensor\":\"")?;
    // Escapes and control characters in the name are left to the parser.
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | ..0x20))?;
    let (sensor, rest) = rest.split_at(end);
    let (seq, rest) = digits(rest.strip_prefix(b"\",\"seq\":")?)?;
    let rest = rest.strip_prefix(b",\"time\":")?;
    let (time, rest) = match rest.strip_prefix(b"-") {
        // The parser reads −0 as a fraction.
        Some([b'0', ..]) => return None,
        Some(rest) => {
            digits(rest).and_then(|(time, rest)| Some((0_i64.checked_sub_unsigned(time)?, rest)))?
        }
        None => digits(rest).and_then(|(time, rest)| Some((i64::try_from(time).ok()?, rest)))?,
    };
    let (value, rest) = number(rest.strip_prefix(b",\"value\":")?)?;
    let unit = match rest {
        b"}" => None,
        b",\"unit\":\"celsius\"}" => Some(Unit::Celsius),
        b",\"unit\":\"fahrenheit\"}" => Some(Unit::Fahrenheit),
        b",\"unit\":\"kelvin\"}" => Some(Unit::Kelvin),
        _ => Some(other_unit(rest)?),
    };
    let sensor = std::str::from_utf8(sensor).ok()?.into();
    Some(Reading {
        sensor,
        seq,
        time,
        value,
        unit,
    })
}

/// A unit that has a name without escapes.
fn other_unit(text: &[u8]) -> Option<Unit> {
    let name = text.strip_prefix(b",\"unit\":\"")?.strip_suffix(b"\"}")?;
    let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\\' | ..0x20);
    if !name.iter().all(is_plain) {
        return None;
    }
    std::str::from_utf8(name).ok()?.parse().ok()
}

/// A whole number and the text after it. JSON has no leading zeros. 19 digits always fit.
fn digits(text: &[u8]) -> Option<(u64, &[u8])> {
    let length = text.iter().position(|byte| !byte.is_ascii_digit())?;
    if length == 0 || length > 19 || (length > 1 && text[0] == b'0') {
        return None;
    }
    let (digits, rest) = text.split_at(length);
    Some((
        digits
            .iter()
            .fold(0, |number, digit| number * 10 + u64::from(digit - b'0')),
        rest,
    ))
}

/// A plain decimal fraction, as most values are, and the text after it. The standard library rounds
/// it correctly, as the parser does. Exponents are left to the parser.
fn number(text: &[u8]) -> Option<(f64, &[u8])> {
    let end = text.iter().position(|byte| matches!(byte, b',' | b'}'))?;
    let (number, rest) = text.split_at(end);
    let fraction = after_integer(number.strip_prefix(b"-").unwrap_or(number))?;
    let fraction_is_plain = match fraction {
        [] => true,
        [b'.', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !fraction_is_plain {
        return None;
    }
    let value: f64 = std::str::from_utf8(number).ok()?.parse().ok()?;
    value.is_finite().then_some((value, rest))
}

/// The text after the integer part of a number.
fn after_integer(text: &[u8]) -> Option<&[u8]> {
    let length = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let leads_with_zero = length > 1 && text[0] == b'0';
    (length > 0 && !leads_with_zero).then(|| &text[length..])
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
            let sensor = serde_json::to_string(&sensor).unwrap();
            let value = serde_json::to_string(&value).unwrap();
            let unit = unit.map_or_else(String::new, |unit| {
                format!(",\"unit\":{}", serde_json::to_string(&unit).unwrap())
            });
            let mut line = format!(
                "{{\"sensor\":{sensor},\"seq\":{seq},\"time\":{time},\"value\":{value}{unit}}}"
            )
            .into_bytes();
            if is_changed {
                let at = at.index(line.len());
                line[at] = byte;
            }
            if let Some(reading) = parse(&line) {
                prop_assert_eq!(Ok(reading), by_parser(&line));
            }
        }
    }
}
