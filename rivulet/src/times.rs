//! Times and spans of time, as options of commands name them.

use std::str::FromStr;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo, Timestamp};

/// A duration. As text: `30d`, `2h 30m` or `250ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSpan(pub Duration);

impl FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = text.parse::<Span>().ok();
        let span = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
        let span = span.and_then(|span| Duration::try_from(span).ok());
        span.map(TimeSpan)
            .ok_or_else(|| format!("`{text}` is not a duration; write 30d, 2h 30m or 250ms"))
    }
}

/// A time in milliseconds since the epoch. As text: RFC 3339, or a duration before now such as
/// `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBound(pub i64);

impl FromStr for TimeBound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        time_bound(text, Timestamp::now()).ok_or_else(|| {
            format!(
                "`{text}` is not a time; write 2026-03-01T12:00:00Z, or how long ago: 30m, 2h, 7d \
                 or 2h 30m"
            )
        })
    }
}

fn time_bound(text: &str, now: Timestamp) -> Option<TimeBound> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(TimeBound(time.as_millisecond()));
    }
    let TimeSpan(ago) = text.parse().ok()?;
    now.checked_sub(ago)
        .ok()
        .map(|time| TimeBound(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_in_days_or_smaller_units() {
        let span = |text: &str| text.parse().map(|TimeSpan(span)| span);
        assert_eq!(span("30d"), Ok(Duration::from_hours(720)));
        assert_eq!(span("2h 30m"), Ok(Duration::from_mins(150)));
        assert_eq!(span("250ms"), Ok(Duration::from_millis(250)));
        for text in ["soon", "", "2", "-2h", "1mo"] {
            let error = span(text).unwrap_err();
            assert!(error.contains("write 30d"), "{text}: {error}");
        }
    }

    #[test]
    fn a_bound_is_a_time_or_a_duration_before_now() {
        let now = Timestamp::from_millisecond(1_000_000_000_000).unwrap();
        let at = |text: &str| time_bound(text, now).map(|bound| bound.0);
        assert_eq!(at("1970-01-01T00:00:01Z"), Some(1000));
        assert_eq!(at("1970-01-01T01:00:01+01:00"), Some(1000));
        assert_eq!(at("2h"), Some(1_000_000_000_000 - 7_200_000));
        assert_eq!(at("1d 30m"), Some(1_000_000_000_000 - 88_200_000));
        assert_eq!(at("0s"), Some(1_000_000_000_000));
        for text in [
            "",
            "2",
            "yesterday",
            "-2h",
            "2026-03-01",
            "99999999y",
            "1mo",
        ] {
            assert_eq!(at(text), None, "{text}");
        }
        assert!("soon".parse::<TimeBound>().unwrap_err().contains("2h"));
    }
}
