//! The sink: it shows or stores readings.

use std::fmt;
use std::time::Instant;

use rivulet_core::error::{Error, Result};
use rivulet_core::reading::Reading;

/// Shows or stores readings.
///
/// A sink knows nothing of Kafka. The stage loop passes it one delivery after the other, and
/// commits the offsets after [`flush`](Self::flush). If the process or the broker dies in between,
/// the same readings are delivered again. A sink that stores offsets together with the readings can
/// skip them.
#[expect(
    clippy::missing_errors_doc,
    reason = "each fails if the readings cannot be shown or stored"
)]
pub trait Sink: Send {
    /// Takes the readings of one record.
    fn write(&mut self, delivery: &Delivery<'_>) -> Result<(), Failure>;

    /// Stores or shows all readings taken so far, before their offsets are committed.
    fn flush(&mut self) -> Result<(), Failure>;

    /// Drops the readings taken since the last flush: the transaction was aborted, or partitions
    /// were revoked. The readings are delivered again, to this sink or another.
    fn rollback(&mut self);

    /// Called several times a second while nothing arrives, for regular output.
    fn tick(&mut self, now: Instant) -> Result<()> {
        let _ = now;
        Ok(())
    }

    /// The last call when the stage is stopped, for output at the end.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Why a sink could not show or store readings.
#[derive(Debug)]
pub enum Failure {
    /// It may pass: a disk is full, or a database is locked. The stage retries.
    Passing(Error),
    /// It does not pass. The stage ends.
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

/// The readings of a record, and where it was.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// The record's timestamp in milliseconds since the epoch: when it entered the pipeline. −1 if
    /// it has none.
    pub timestamp: i64,
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The readings, in the order of the record: at least one.
    pub readings: &'a [Reading<'a>],
}
