//! The selection of dead letters.

use std::str::FromStr;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use rivulet_core::dead_letter::Offsets;

use super::topic::{Entry, Id};

/// A selection of dead letters: those that match all its conditions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// The reason.
    pub reason: Option<String>,
    /// The record entered the pipeline at this time or later.
    pub since: Option<TimeBound>,
    /// The record entered the pipeline before this time.
    pub until: Option<TimeBound>,
    /// The offset in the dead-letter topic, in any of its partitions.
    pub offsets: Option<Offsets>,
}

impl Selection {
    pub(super) fn matches(&self, id: Id, entry: &Entry) -> bool {
        self.reason
            .as_deref()
            .is_none_or(|reason| reason == &*entry.reason)
            && self.since.is_none_or(|since| entry.timestamp >= since.0)
            && self.until.is_none_or(|until| entry.timestamp < until.0)
            && self
                .offsets
                .as_ref()
                .is_none_or(|offsets| offsets.contains(id.offset))
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
    let span: Span = text.parse().ok()?;
    let ago = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    let ago = Some(ago).filter(|ago| *ago >= SignedDuration::ZERO)?;
    now.checked_sub(ago)
        .ok()
        .map(|time| TimeBound(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
