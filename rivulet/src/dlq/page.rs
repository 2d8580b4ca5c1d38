//! One dead letter with all its fields.

use std::fmt;

use rivulet_core::dead_letter::{LedgerRecord, Resolved};
use rivulet_core::log::Header;

use super::topic::Id;
use crate::text;

/// How many characters or bytes are shown of a key, a header or a value.
const SHORT: usize = 200;

/// A dead letter with all its fields. Displayed, it has several lines.
#[derive(Debug)]
pub(super) struct Page<'l> {
    pub(super) topic: &'l str,
    pub(super) id: Id,
    pub(super) timestamp: i64,
    pub(super) key: Option<&'l [u8]>,
    pub(super) value: Option<&'l [u8]>,
    pub(super) headers: &'l [Header],
    pub(super) resolved: Option<Resolved>,
    /// Whether nothing is shortened.
    pub(super) full: bool,
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = if self.full { usize::MAX } else { SHORT };
        let shown = |bytes: Option<&[u8]>| {
            bytes.map_or("(none)".to_owned(), |bytes| text::bytes(bytes, longest))
        };
        let state = self.resolved.map_or("open", Resolved::name);
        writeln!(
            f,
            "{} [{}] at offset {}, {state}",
            self.topic, self.id.partition, self.id.offset
        )?;
        let mut line = |name: &str, value: &str| writeln!(f, "  {name:<9}{value}");
        let mut headers = self.headers;
        if let LedgerRecord::DeadLetter(dead_letter) = LedgerRecord::read(headers) {
            headers = dead_letter.original;
            line("from", &text::plain(&dead_letter.origin(), longest))?;
            line("reason", &text::plain(dead_letter.reason, longest))?;
            line("error", &text::plain(dead_letter.error, longest))?;
            if let Some(size) = dead_letter.truncated {
                let cut = format!("the record was too large: its value had {size} bytes");
                line("cut", &cut)?;
            }
        } else {
            line(
                "foreign",
                "no stage wrote it: its headers are not those of a dead letter",
            )?;
        }
        line("entered", &text::time(self.timestamp))?;
        line("key", &shown(self.key))?;
        for (name, value) in headers {
            line(
                "header",
                &format!(
                    "{}: {}",
                    text::plain(name, longest),
                    shown(value.as_deref())
                ),
            )?;
        }
        line("value", &shown(self.value))
    }
}

#[cfg(test)]
mod tests {
    use rivulet_core::dead_letter::DeadLetter;

    use super::*;

    fn page<'l>(headers: &'l [Header], value: Option<&'l [u8]>, full: bool) -> String {
        let id = Id {
            partition: 0,
            offset: 17,
        };
        Page {
            topic: "convert-dead-letters",
            id,
            timestamp: 0,
            key: Some(b"a"),
            value,
            headers,
            resolved: None,
            full,
        }
        .to_string()
    }

    #[test]
    fn a_dead_letter_is_shown_with_its_fields() {
        let original = [
            ("origin".to_owned(), Some(b"\xff\0".to_vec())),
            ("empty".to_owned(), None),
        ];
        let dead_letter = DeadLetter {
            original: &original,
            topic: "in",
            place: Some((2, 41)),
            stage: "convert",
            reason: "not-json",
            error: "expected value\nat line 1",
            truncated: None,
        };
        let expected = "\
convert-dead-letters [0] at offset 17, open
  from     in [2] at offset 41
  reason   not-json
  error    expected value\\nat line 1
  entered  1970-01-01T00:00:00Z
  key      a
  header   origin: 0xff00
  header   empty: (none)
  value    abc
";
        assert_eq!(page(&dead_letter.headers(), Some(b"abc"), false), expected);
    }

    #[test]
    fn a_foreign_record_is_shown_as_it_is() {
        let shown = page(
            &[("rivulet.offset".to_owned(), Some(b"x".to_vec()))],
            None,
            false,
        );
        assert!(
            shown.contains("foreign  no stage wrote it")
                && shown.contains("header   rivulet.offset: x"),
            "{shown}"
        );
        assert!(shown.ends_with("value    (none)\n"), "{shown}");
        let value = vec![b'y'; 300];
        assert!(page(&[], Some(&value), false).contains("y… (300 bytes; --full shows all)"));
        assert!(page(&[], Some(&value), true).ends_with("yyy\n"));
    }
}
