//! A place in a JSON value: [`FieldPath`].

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rivulet_core::json::unquoted;
use rivulet_formats::mapping::Pointer;
use serde_json::value::RawValue;

/// A place in a JSON value: the name of a field, or a JSON pointer such as `/device/id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    text: String,
    pointer: Pointer,
}

impl FromStr for FieldPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it needs a name, or a JSON pointer such as /device/id".to_owned());
        }
        Ok(FieldPath {
            text: text.to_owned(),
            pointer: Pointer::parse(text)?,
        })
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FieldPath {
    /// The text or the number there, the number as it stands.
    ///
    /// # Errors
    /// If the value is not JSON, has nothing there, or something else.
    pub(super) fn text<'v>(&self, value: &'v [u8]) -> Result<Cow<'v, str>, String> {
        let mut at: &RawValue = serde_json::from_slice(value)
            .map_err(|error| format!("its value is not JSON: {error}"))?;
        for name in self.pointer.names() {
            at = part(at, name).ok_or_else(|| format!("its value has no field `{}`", self.text))?;
        }
        match at.get().as_bytes().first() {
            Some(b'"' | b'-' | b'0'..=b'9') => {
                unquoted(at.get()).map_err(|error| format!("its field `{}`: {error}", self.text))
            }
            _ => Err(format!(
                "its field `{}` is neither text nor a number",
                self.text
            )),
        }
    }
}

/// What an object or an array has there, as it stands.
fn part<'v>(whole: &'v RawValue, name: &str) -> Option<&'v RawValue> {
    if let Ok(mut object) = serde_json::from_str::<BTreeMap<Cow<'_, str>, _>>(whole.get()) {
        return object.remove(name);
    }
    let array: Vec<&RawValue> = serde_json::from_str(whole.get()).ok()?;
    array.get(name.parse::<usize>().ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = r#"{"id": "\u00e9a", "t": 21.50, "a/b": {"~": [7, "x"]},
        "no": null, "o": {}, "big": 12345678901234567890123}"#;

    fn text(path: &str) -> Result<String, String> {
        let path: FieldPath = path.parse()?;
        path.text(VALUE.as_bytes()).map(Cow::into_owned)
    }

    #[test]
    fn texts_and_numbers_are_found_by_name_or_pointer() {
        for (path, expected) in [
            ("id", "éa"),
            ("/id", "éa"),
            ("t", "21.50"),
            ("/a~1b/~0/1", "x"),
            ("/a~1b/~0/0", "7"),
            ("big", "12345678901234567890123"),
        ] {
            assert_eq!(text(path), Ok(expected.to_owned()), "{path}");
        }
    }

    #[test]
    fn anything_else_is_an_error_that_names_the_field() {
        for path in ["none", "a/b", "/a/b", "no", "o", "/a~1b/~0/2", "/id/x"] {
            let error = text(path).unwrap_err();
            assert!(error.contains(&format!("`{path}`")), "{path}: {error}");
        }
        let path: FieldPath = "a".parse().unwrap();
        assert!(path.text(b"21.5 C").unwrap_err().contains("not JSON"));
        assert!(text("").unwrap_err().contains("/device/id"));
        assert!(text("/a~b").unwrap_err().contains("not a JSON pointer"));
    }
}
