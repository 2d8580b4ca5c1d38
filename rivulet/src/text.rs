//! Text that commands show: counts, times, and what others wrote.

use jiff::Timestamp;
use rivulet_core::text;

/// The text as [plain](text::plain) text, shortened to `longest` characters of its own.
pub(crate) fn plain(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", text::plain(&text[..end])),
        None => text::plain(text).into_owned(),
    }
}

/// Bytes as text if they are UTF-8, otherwise in hexadecimal, shortened to `longest`.
pub(crate) fn shortened(bytes: &[u8], longest: usize) -> String {
    match std::str::from_utf8(bytes) {
        Ok("") => "(empty)".to_owned(),
        Ok(text) => plain(text, longest),
        Err(_) => {
            let dots = if bytes.len() > longest { "…" } else { "" };
            let shown = text::hex(&bytes[..bytes.len().min(longest)]);
            format!("0x{shown}{dots}")
        }
    }
}

/// The [shortened] bytes. If some are left out, their number is added.
pub(crate) fn bytes(bytes: &[u8], longest: usize) -> String {
    let shown = shortened(bytes, longest);
    let length = std::str::from_utf8(bytes).map_or(bytes.len(), |text| text.chars().count());
    if length > longest {
        format!("{shown} ({} bytes; --full shows all)", bytes.len())
    } else {
        shown
    }
}

/// A time in milliseconds since the epoch as RFC 3339.
pub(crate) fn time(millis: i64) -> String {
    Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |time| time.to_string())
}

/// A time in milliseconds as text, in the largest unit that divides it.
pub(crate) fn span(time: i64) -> String {
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "min"),
        (1000, "s"),
    ];
    let unit = units
        .into_iter()
        .find(|(length, _)| time >= *length && time % length == 0);
    unit.map_or_else(
        || format!("{time} ms"),
        |(length, name)| format!("{} {name}", time / length),
    )
}

/// A count with its noun: `1 record`, `2 copies`.
pub(crate) fn plural(count: impl TryInto<i64>, noun: &str) -> String {
    let count = count.try_into().unwrap_or(i64::MAX);
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("{count} {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        (_, None) => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(plain("a\u{1b}[2J\nb", 80), "a\\u{1b}[2J\\nb");
        assert_eq!(plain("°C°C", 4), "°C°C");
        assert_eq!(plain("°C°C", 3), "°C°…");
    }

    #[test]
    fn bytes_are_text_or_hexadecimal() {
        assert_eq!(bytes(b"12.5", 9), "12.5");
        assert_eq!(bytes("…".as_bytes(), 9), "…");
        assert_eq!(bytes(b"", 9), "(empty)");
        assert_eq!(bytes(b"\xff\xfe\0", 9), "0xfffe00");
        assert_eq!(
            bytes(b"\xff\xfe\0", 2),
            "0xfffe… (3 bytes; --full shows all)"
        );
        assert_eq!(
            bytes(b"0123456789", 4),
            "0123… (10 bytes; --full shows all)"
        );
    }

    #[test]
    fn a_time_beyond_the_calendar_is_a_number() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(i64::MAX), i64::MAX.to_string());
    }
}
