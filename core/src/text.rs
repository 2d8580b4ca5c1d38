//! Text that others wrote, made safe to show.
//!
//! A sensor's name, a key, a header or a client id can hold any character. Some of them command a
//! terminal, begin a line that looks like ours, or change the order in which people see the rest.
//! Whatever a terminal or the journal shows of such text goes through [`plain`], [`plain_lines`] or
//! [`plain_json`]. Bytes that are not text are shown in [`hex`].

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a character is shown as itself, and does nothing else.
///
/// The others are control characters, line breaks, and characters that are invisible or change the
/// direction of the text: Unicode's `Default_Ignorable_Code_Point`, without the selectors of a
/// character's variant, which emoji and ideographs need.
#[must_use]
pub fn is_plain(character: char) -> bool {
    match character {
        ' '..='~' => true,
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e00ff}'
        | '\u{e01f0}'..='\u{e0fff}' => false,
        _ => !character.is_control(),
    }
}

/// The text on one line: characters that are not [plain](is_plain) are escaped as in Rust.
///
/// ```
/// use rivulet_core::text::plain;
///
/// assert_eq!(plain("são\u{1b}[2J\n<0>"), r"são\u{1b}[2J\n<0>");
/// ```
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, is_plain, |plain, character| {
        plain.extend(character.escape_default());
    })
}

/// Bytes in hexadecimal, two digits each.
///
/// ```
/// assert_eq!(rivulet_core::text::hex(b"\x00\xff"), "00ff");
/// ```
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(digits, "{byte:02x}").expect("writing to a string cannot fail");
    }
    digits
}

/// As [`plain`], but line breaks stay. For text of our own that holds text of others, which must
/// have been through [`plain`]: it could begin a line otherwise.
#[must_use]
pub fn plain_lines(text: &str) -> Cow<'_, str> {
    let stays = |character| character == '\n' || is_plain(character);
    escaped(text, stays, |plain, character| {
        plain.extend(character.escape_default());
    })
}

/// JSON that means the same, in which every string is [plain](is_plain).
///
/// ```
/// use rivulet_core::text::plain_json;
///
/// assert_eq!(plain_json("{\n  \"a\": \"\u{9b}2J\"\n}"), "{\n  \"a\": \"\\u009b2J\"\n}");
/// ```
#[must_use]
pub fn plain_json(json: &str) -> Cow<'_, str> {
    // Line breaks are outside of strings: JSON escapes them inside.
    let stays = |character| character == '\n' || is_plain(character);
    escaped(json, stays, |plain, character| {
        for unit in character.encode_utf16(&mut [0; 2]) {
            write!(plain, "\\u{unit:04x}").expect("writing to a string cannot fail");
        }
    })
}

fn escaped(
    text: &str,
    stays: impl Fn(char) -> bool,
    escape: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    if text.chars().all(&stays) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if stays(character) {
            escaped.push(character);
        } else {
            escape(&mut escaped, character);
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each kind: C0, DEL, C1, line breaks, direction, invisible, beyond 16 bits.
    const HOSTILE: &str = "\0\t\r\n\u{1b}\u{7f}\u{85}\u{9b}\u{2028}\u{2029}\u{202e}\u{2066}\
                           \u{200b}\u{200d}\u{feff}\u{ad}\u{3164}\u{e0041}";

    #[test]
    fn text_in_any_script_stays_as_it_is() {
        for text in [
            "",
            "a b~",
            "são-paulo °C µg/m³",
            "温度",
            "שלום",
            "ไทย",
            "❤️",
            "\\n \"'",
        ] {
            assert!(matches!(plain(text), Cow::Borrowed(shown) if shown == text));
            assert_eq!(plain_lines(text), text);
            assert_eq!(plain_json(text), text);
        }
    }

    #[test]
    fn nothing_commands_a_terminal_or_hides() {
        let shown = plain(HOSTILE);
        assert!(
            shown.chars().all(|character| character.is_ascii_graphic()),
            "{shown}"
        );
        assert_eq!(plain("a\n\u{202e}b"), r"a\n\u{202e}b");
        assert_eq!(plain_lines("a\n\u{202e}b\r"), "a\n\\u{202e}b\\r");
    }

    #[test]
    fn json_means_the_same_afterwards() {
        let value = serde_json::json!({ "a": HOSTILE, "b": [HOSTILE, 1.5] });
        for json in [value.to_string(), format!("{value:#}")] {
            let shown = plain_json(&json);
            assert!(
                shown
                    .chars()
                    .all(|character| character == '\n' || is_plain(character))
            );
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
                value
            );
        }
    }
}
