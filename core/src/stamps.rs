//! The timestamps of outputs, where the brokers reject those of the inputs.

use std::time::SystemTime;

use crate::log::{ConsumerRecord, Rejection};

/// A timestamp is also replaced if it is nearer to the current time than a rejected one by less
/// than this, in milliseconds.
const SLACK: i64 = 60_000;

/// Chooses the timestamps of outputs.
///
/// An output has its input's timestamp. A topic rejects a timestamp that is too far from the
/// broker's clock (`message.timestamp.after.max.ms`, by default an hour). Such records get the
/// current time.
#[derive(Debug, Default)]
pub struct Stamps {
    /// The smallest distance ahead of this machine's clock at which a timestamp is replaced, in
    /// milliseconds. `None` if none was rejected.
    ahead: Option<i64>,
    /// The same for timestamps behind the clock.
    behind: Option<i64>,
}

impl Stamps {
    /// The timestamp for the output of a record. `None` is the current time.
    #[must_use]
    pub fn of(&self, record: &ConsumerRecord<'_>) -> Option<i64> {
        let stamped = record.stamped()?;
        // The fast path: timestamps are rarely rejected.
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

    /// Handles the rejection of a record's output. Returns whether to retry with the current time:
    /// if it was rejected once, for its timestamp. Logs the first such rejection.
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
                "the brokers reject a timestamp {} s {} the current time, such records get the \
                 current time\n  help: set the clock of whoever writes them, or the topic's \
                 message.timestamp.after.max.ms and message.timestamp.before.max.ms",
                ahead.unsigned_abs() / 1000,
                if ahead > 0 { "ahead of" } else { "behind" }
            );
        }
        // The distance of the same record changes as time passes.
        let far = ahead.saturating_abs().saturating_sub(SLACK).max(0);
        *limit = Some(limit.map_or(far, |known| known.min(far)));
        true
    }
}

/// The time of this machine's clock, in milliseconds since the epoch. A clock before 1970 was never
/// set, and shows 0.
#[must_use]
pub fn now() -> i64 {
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
            headers: &(),
        }
    }

    #[test]
    fn a_rejected_timestamp_is_replaced_from_then_on() {
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
            "the rejected record is as far ahead a second later"
        );
        assert_eq!(stamps.of(&right), Some(right.timestamp));
        assert_eq!(
            stamps.of(&stamped(1000)),
            Some(1000),
            "an old timestamp was not rejected"
        );
        assert_eq!(stamps.of(&stamped(-1)), None, "it has none");
        assert!(
            !stamps.rejected("s", &ahead, &[Rejection::Timestamp; 2]),
            "the current time was rejected as well"
        );
    }
}
