//! Times, numbers and names as text.
//!
//! All functions append to a line that is reused, so that showing a reading allocates nothing.

use std::io::Write;

use jiff::Timestamp;
use rivulet_core::text::plain;

/// The start of the year 0 in milliseconds since the epoch. RFC 3339 has no earlier time.
const YEAR_0: i64 = -62_167_219_200_000;

/// Appends formatted text.
pub(crate) fn push(line: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text).expect("writing to memory never fails");
}

/// Appends a time in milliseconds since the epoch as RFC 3339 in UTC, with a fraction only if it is
/// not zero. A time outside of the years 0 to 9999 stays a number.
pub(crate) fn push_time(line: &mut Vec<u8>, time: i64) {
    match Timestamp::from_millisecond(time) {
        Ok(timestamp) if time >= YEAR_0 => push(line, format_args!("{timestamp}")),
        _ => push(line, format_args!("{time}")),
    }
}

/// Appends a number in the shortest form that reads back to the same 64-bit float, as it is written
/// on the wire.
pub(crate) fn push_number(line: &mut Vec<u8>, number: f64) {
    serde_json::to_writer(line, &number).expect("writing to memory never fails");
}

/// Appends a sensor's name as [plain] text.
/// The empty name of a format without sensors is shown as "(all)".
pub(crate) fn push_sensor(line: &mut Vec<u8>, sensor: &str) {
    if sensor.is_empty() {
        line.extend_from_slice(b"(all)");
    }
    line.extend_from_slice(plain(sensor).as_bytes());
}

/// Appends a record's key as [plain] text. `None` is "-".
pub(crate) fn push_key(line: &mut Vec<u8>, key: Option<&[u8]>) {
    match key {
        Some(key) => line.extend_from_slice(plain(&String::from_utf8_lossy(key)).as_bytes()),
        None => line.push(b'-'),
    }
}

/// Appends spaces until the text from `start` is `width` characters wide.
pub(crate) fn pad(line: &mut Vec<u8>, start: usize, width: usize) {
    // Every character has exactly one byte that is not a continuation byte.
    let filled = line[start..]
        .iter()
        .filter(|byte| (**byte & 0xC0) != 0x80)
        .count();
    line.resize(line.len() + width.saturating_sub(filled), b' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut line = Vec::new();
        push(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn times_are_rfc_3339_where_possible() {
        assert_eq!(
            shown(|line| push_time(line, 1_325_376_000_000)),
            "2012-01-01T00:00:00Z"
        );
        assert_eq!(
            shown(|line| push_time(line, 1_325_376_000_120)),
            "2012-01-01T00:00:00.12Z"
        );
        assert_eq!(
            shown(|line| push_time(line, -1)),
            "1969-12-31T23:59:59.999Z"
        );
        assert_eq!(
            shown(|line| push_time(line, YEAR_0)),
            "0000-01-01T00:00:00Z"
        );
        assert_eq!(shown(|line| push_time(line, YEAR_0 - 1)), "-62167219200001");
        assert_eq!(
            shown(|line| push_time(line, i64::MAX)),
            "9223372036854775807"
        );
    }

    #[test]
    fn numbers_are_short_and_exact() {
        assert_eq!(shown(|line| push_number(line, 54.05)), "54.05");
        assert_eq!(shown(|line| push_number(line, 59.0)), "59.0");
        assert_eq!(
            shown(|line| push_number(line, 0.1 + 0.2)),
            "0.30000000000000004"
        );
        assert_eq!(shown(|line| push_number(line, 1e300)), "1e+300");
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        assert_eq!(
            shown(|line| push_sensor(line, "são\u{1b}[2J\n")),
            "são\\u{1b}[2J\\n"
        );
        assert_eq!(shown(|line| push_sensor(line, "")), "(all)");
        assert_eq!(
            shown(|line| push_key(line, Some(b"a\xff\0"))),
            "a\u{fffd}\\u{0}"
        );
        assert_eq!(shown(|line| push_key(line, None)), "-");
    }

    #[test]
    fn padding_counts_characters_not_bytes() {
        assert_eq!(shown(|line| pad(line, 0, 2)), "  ");
        let padded = shown(|line| {
            line.extend_from_slice("12 °C".as_bytes());
            pad(line, 3, 4);
        });
        assert_eq!(padded, "12 °C  ");
    }
}
