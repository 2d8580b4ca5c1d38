//! JSON that stands for a text: [`unquoted`].

use std::borrow::Cow;

use serde::Deserialize;

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The value of a record that stands in a file as JSON: a text without its quotes, any other JSON
/// as it stands.
///
/// ```
/// use rivulet_core::json::unquoted;
///
/// assert_eq!(unquoted(r#""21.5""#)?, "21.5");
/// assert_eq!(unquoted(r#"{"t": 21.50}"#)?, r#"{"t": 21.50}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Errors
/// If a text is not valid, such as one with half of a surrogate pair.
pub fn unquoted(json: &str) -> serde_json::Result<Cow<'_, str>> {
    if !json.starts_with('"') {
        return Ok(json.into());
    }
    serde_json::from_str(json).map(|Text(text)| text)
}
