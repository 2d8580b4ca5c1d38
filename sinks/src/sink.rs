//! The sink: where readings are shown or kept.

use std::time::Instant;

use stream::error::Result;
use stream::reading::Reading;

/// Takes readings out.
///
/// A sink knows nothing of Kafka. The sink's loop hands it one delivery after the other, and commits
/// the offsets only after [`flush`](Self::flush).
pub trait Sink: Send {
    /// Takes one reading.
    ///
    /// # Errors
    /// If it cannot be shown or kept.
    fn write(&mut self, delivery: &Delivery<'_>) -> Result<()>;

    /// Makes everything taken so far safe or visible, before its offsets are committed.
    ///
    /// # Errors
    /// If it cannot.
    fn flush(&mut self) -> Result<()>;

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
