//! Spans of time as people write them: [`Span`].

use std::time::Duration;

use serde::Deserialize;

/// A span of time as people write it: `30d`, `12h`, `2h 30m`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("pattern" = r"^\+?([Pp]|[0-9]+([.,][0-9]+)?\s*[^0-9\s-]|[0-9]+:)"))
)]
pub(crate) struct Span(pub(crate) Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = text.parse::<jiff::Span>().ok();
        let duration = parsed.and_then(|span| {
            span.to_duration(jiff::SpanRelativeTo::days_are_24_hours())
                .ok()
        });
        let duration = duration.and_then(|duration| Duration::try_from(duration).ok());
        duration
            .filter(|duration| !duration.is_zero())
            .map(Span)
            .ok_or_else(|| format!("`{text}` is no span of time; write 30d, 12h or 2h 30m"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let span = |text: &str| Span::try_from(text.to_owned()).map(|span| span.0.as_secs());
        assert_eq!(span("30d"), Ok(2_592_000));
        assert_eq!(span("2h 30m"), Ok(9_000));
        for wrong in ["", "30", "-2h", "0s", "1mo", "soon"] {
            assert!(span(wrong).unwrap_err().contains("write 30d"), "{wrong}");
        }
    }
}
