//! The timestamps of outputs, where brokers do not take those of the inputs.

use std::time::SystemTime;

use crate::log::{ConsumerRecord, Rejection};

/// How much nearer to the time of now than what was rejected a timestamp is not tried either, in
/// milliseconds.
const SLACK: i64 = 60_000;

/// An output keeps its input's timestamp. A topic rejects one that is too far from the brokers'
/// time (`message.timestamp.after.max.ms`, an hour by default): such records get the time of now.
#[derive(Debug, Default)]
pub struct Stamps {
    /// From how far ahead of this machine's clock on timestamps were rejected, in milliseconds.
    ahead: Option<i64>,
    /// How far behind it.
    behind: Option<i64>,
}

impl Stamps {
    /// The timestamp for what becomes of a record; `None` for now.
    #[must_use]
    pub fn of(&self, record: &ConsumerRecord<'_>) -> Option<i64> {
        let stamped = record.stamped()?;
        // Nearly always nothing was ever rejected.
        if self.ahead.is_none() && self.behind.is_none() {
            return Some(stamped);
        }
        let ahead = stamped.saturating_sub(now());
        let is_rejected = self.ahead.is_some_and(|limit| ahead >= limit)
            || self
                .behind
                .is_some_and(|limit| ahead.saturating_neg() >= limit);
        (!is_rejected).then_some(stamped)
    }

    /// Takes note of why what became of a record was rejected; whether it was for its timestamp,
    /// and nothing else has been tried yet. Says so the first time.
    pub fn rejected(
        &mut self,
        stage: &str,
        record: &ConsumerRecord<'_>,
        rejections: &[Rejection],
    ) -> bool {
        let (Some(stamped), [Rejection::Timestamp]) = (record.stamped(), rejections) else {
            return false;
        };
        let ahead = stamped.saturating_sub(now());
        let limit = if ahead > 0 {
            &mut self.ahead
        } else {
            &mut self.behind
        };
        if limit.is_none() {
            tracing::warn!(
                stage,
                "an output does not take a timestamp {} s {} the time of now: such records are \
                 stamped anew\n  help: set the clock of whoever writes them, or the topic's \
                 message.timestamp.after.max.ms",
                ahead.unsigned_abs() / 1000,
                if ahead > 0 { "ahead of" } else { "behind" }
            );
        }
        // Time goes on: the same record is less far ahead in a moment.
        let far = ahead.saturating_abs().saturating_sub(SLACK).max(0);
        *limit = Some(limit.map_or(far, |known| known.min(far)));
        true
    }
}

/// Milliseconds since the epoch.
fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(timestamp: i64) -> ConsumerRecord<'static> {
        ConsumerRecord {
            topic: 0,
            partition: 0,
            offset: 0,
            timestamp,
            key: None,
            value: None,
        }
    }

    #[test]
    fn what_was_rejected_once_is_stamped_anew_from_then_on() {
        let mut stamps = Stamps::default();
        let hour = 3_600_000;
        let (ahead, right) = (stamped(now() + 2 * hour), stamped(now()));
        assert_eq!(stamps.of(&ahead), Some(ahead.timestamp));
        assert!(!stamps.rejected("s", &ahead, &[Rejection::TooLarge]));
        assert!(stamps.rejected("s", &ahead, &[Rejection::Timestamp]));
        assert_eq!(stamps.of(&stamped(now() + 3 * hour)), None);
        assert_eq!(
            stamps.of(&stamped(ahead.timestamp - 1000)),
            None,
            "as that record is a second later"
        );
        assert_eq!(stamps.of(&right), Some(right.timestamp));
        assert_eq!(
            stamps.of(&stamped(1000)),
            Some(1000),
            "old ones were not rejected"
        );
        assert_eq!(stamps.of(&stamped(-1)), None, "it has none");
        assert!(
            !stamps.rejected("s", &ahead, &[Rejection::Timestamp; 2]),
            "it was tried"
        );
    }
}
