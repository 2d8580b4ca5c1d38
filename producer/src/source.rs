//! The source: it yields readings, or whole records.

use std::borrow::Cow;
use std::time::Duration;

use rivulet_core::error::Result;
use rivulet_core::log::Header;
use rivulet_core::reading::{InvalidReading, Reading};
use serde_json::Value;

/// Yields readings or whole records, one after the other.
///
/// A source knows nothing of Kafka. The source loop limits its rate, sends what it yields, and
/// commits its [`position`](Self::position) in the same transaction as the readings. A source that
/// [`resume`](Self::resume)s at this position continues with the very next reading.
pub trait Source: Send {
    /// The next reading. Waits at most `wait` for it. Returns [`Next::End`] again after the end.
    ///
    /// # Errors
    /// If the source cannot continue, for example because its file is unreadable.
    fn next(&mut self, wait: Duration) -> Result<Next<'_>>;

    /// The position after everything that [`next`](Self::next) has yielded, bad readings included.
    /// Called at each commit. It must be small enough for one record.
    fn position(&self) -> Value;

    /// Continues after a position that this kind of source returned earlier.
    ///
    /// # Errors
    /// If the position no longer exists, for example in a file that has become shorter.
    fn resume(&mut self, position: &Value) -> Result<()>;

    /// Everything that [`next`](Self::next) has yielded is committed and is never needed again.
    fn committed(&mut self) {}

    /// The rate limit in readings a second. `None` is no limit.
    fn rate(&self) -> Option<f64> {
        None
    }

    /// How far the source is. `None` if its length is unknown.
    fn progress(&self) -> Option<Progress> {
        None
    }

    /// Which settings make a new start go on here, for the last log line of the process. A live
    /// source is not asked.
    fn resume_hint(&self) -> Option<String> {
        None
    }
}

/// How far a source is, in readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Readings before the position.
    pub done: u64,
    /// All readings.
    pub total: u64,
}

/// A whole record of a source: the source knows the messages of its topics.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceRecord<'a> {
    /// One of the stage's topics. `None` is each of them.
    pub topic: Option<Cow<'a, str>>,
    /// The key. Records with the same key are in one partition.
    pub key: Option<Cow<'a, [u8]>>,
    /// The value. `None` is a tombstone.
    pub value: Option<Cow<'a, [u8]>>,
    /// Names and values of headers.
    pub headers: Vec<Header>,
}

impl SourceRecord<'_> {
    /// The size of its key, its value and its headers in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        let length = |bytes: &Option<Cow<'_, [u8]>>| bytes.as_ref().map_or(0, |bytes| bytes.len());
        length(&self.key) + length(&self.value) + self.header_size()
    }

    /// The size of its headers in bytes.
    #[must_use]
    pub fn header_size(&self) -> usize {
        self.headers
            .iter()
            .map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len))
            .sum()
    }
}

/// What [`Source::next`] returns.
#[derive(Debug)]
pub enum Next<'a> {
    /// A reading.
    Reading(Reading<'a>),
    /// A reading measured just now. Its time is that of this machine's clock, which may be wrong.
    Measured(Reading<'a>),
    /// A whole record. It is sent as it is, whatever the format of its topic.
    Record(SourceRecord<'a>),
    /// An invalid reading. It goes to the dead-letter topic.
    Bad {
        /// The original bytes.
        bytes: &'a [u8],
        /// Where it was read, for people: "readings.csv line 7".
        place: String,
        /// What is wrong with it.
        invalid: InvalidReading,
    },
    /// No reading came in time.
    NotYet,
    /// No reading will ever come.
    End,
}
