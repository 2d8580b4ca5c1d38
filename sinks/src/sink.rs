//! The sink: where readings are shown or kept.

use std::fmt;
use std::time::Instant;

use stream::error::{Error, Result};
use stream::reading::Reading;

/// Takes readings out.
///
/// A sink knows nothing of Kafka. The sink's loop hands it one delivery after the other, and
/// commits the offsets only after [`flush`](Self::flush). What was flushed and not committed,
/// because the process or the broker died in between, is delivered again: a sink that keeps the
/// positions with the readings knows it again.
pub trait Sink: Send {
    /// Takes one reading.
    ///
    /// # Errors
    /// If it cannot be shown or kept.
    fn write(&mut self, delivery: &Delivery<'_>) -> Result<(), Failure>;

    /// Makes everything taken so far safe or visible, before its offsets are committed.
    ///
    /// # Errors
    /// If it cannot.
    fn flush(&mut self) -> Result<(), Failure>;

    /// The stage goes back to its last commit, or its partitions move: drops what was taken since
    /// the last flush, which is delivered again to this sink or another.
    fn rollback(&mut self);

    /// Called now and then, also while nothing arrives: for what is shown every so often.
    ///
    /// # Errors
    /// If it cannot be shown.
    fn tick(&mut self, now: Instant) -> Result<()> {
        let _ = now;
        Ok(())
    }

    /// The last call, when the stage ends in order: for what is shown at the end.
    ///
    /// # Errors
    /// If it cannot be shown.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Why a sink did not take or keep readings.
#[derive(Debug)]
pub enum Failure {
    /// It may go well later: a disk is full, a database locked. The stage waits and tries again.
    Passing(Error),
    /// Waiting will not mend it: the stage ends.
    Lasting(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Lasting(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Passing(error) | Failure::Lasting(error)) = self;
        error.fmt(f)
    }
}

/// A reading with the place it was read from.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The record's own timestamp in milliseconds since the epoch: when it entered the pipeline.
    pub timestamp: i64,
    /// The record's key, if it has one.
    pub key: Option<&'a [u8]>,
    /// The reading.
    pub reading: &'a Reading<'a>,
}
