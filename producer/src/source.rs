//! The source: where readings enter.

use std::time::Duration;

use serde_json::Value;
use stream::error::Result;
use stream::reading::{InvalidReading, Reading};

/// Brings readings in, one after the other.
///
/// A source knows nothing of Kafka. The producer's loop paces it, sends what it yields, and keeps
/// its [`position`](Self::position) in the same transaction as the readings, so that a source that
/// [`resume`](Self::resume)s goes on with the very next reading.
pub trait Source: Send {
    /// The next reading; waits at most `wait` for it. After the end there is only the end.
    ///
    /// # Errors
    /// What cannot be skipped, such as a file that can no longer be read.
    fn next(&mut self, wait: Duration) -> Result<Next<'_>>;

    /// Where the source stands after all that [`next`](Self::next) has yielded, also what was bad.
    /// It is asked for at each commit and small enough for one record.
    fn position(&self) -> Value;

    /// Goes on behind a position that this kind of source once gave.
    ///
    /// # Errors
    /// If there is no such place any more, for example in a file that has become shorter.
    fn resume(&mut self, position: &Value) -> Result<()>;

    /// All that [`next`](Self::next) has yielded is committed: it will not be asked for again.
    fn committed(&mut self) {}

    /// Readings a second to keep to; nothing for as fast as they come.
    fn rate(&self) -> Option<f64> {
        None
    }

    /// How many readings there are in all and how many are behind the position, where that is
    /// known.
    fn progress(&self) -> Option<Progress> {
        None
    }
}

/// How far a source is, in readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Behind the position.
    pub done: u64,
    /// From the first to the last.
    pub total: u64,
}

/// What a source has next.
#[derive(Debug)]
pub enum Next<'a> {
    /// A reading.
    Reading(Reading<'a>),
    /// A reading measured just now: its time is what this machine's clock says, right or wrong.
    Measured(Reading<'a>),
    /// Something that should have been a reading: it goes to the dead letters.
    Bad {
        /// The original bytes.
        bytes: &'a [u8],
        /// Where it was found, for a person: "readings.csv line 7".
        place: String,
        /// What is wrong with it.
        refusal: InvalidReading,
    },
    /// Nothing came within the wait.
    NotYet,
    /// There is no more, ever.
    End,
}
