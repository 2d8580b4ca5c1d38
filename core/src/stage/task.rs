//! What a stage does with records: [`Task`].

use std::ops::Range;

use super::assignment::Assignment;
use crate::error::Result;
use crate::log::{Fault, Log, Rejection, TopicPartition};

/// What a stage does with records. The loop does the rest.
///
/// # The contract
/// The loop calls [`restore`](Self::restore) when partitions are assigned, and again after each
/// abort. From then on it calls [`process`](Self::process) for each record, in the order of the
/// offsets within a partition, and from time to time [`prepare_commit`](Self::prepare_commit),
/// [`offset_metadata`](Self::offset_metadata) and, once the commit has succeeded,
/// [`on_committed`](Self::on_committed). [`clear`](Self::clear) comes before each `restore` and
/// when partitions are revoked.
///
/// Every call may pass a [`Fault`] of the log on. A [`Fault::Fatal`] ends the stage.
#[expect(
    clippy::missing_errors_doc,
    reason = "the contract above says it for all methods"
)]
pub trait Task<L: Log> {
    /// The names of the topics that are read.
    fn inputs(&self) -> &[String];

    /// Restores what the records of these partitions need. [Fatal](Fault::Fatal) if the committed
    /// offsets are not such that the stage can go on.
    fn restore(&mut self, log: &mut L, assignments: &[Assignment]) -> Result<(), Fault>;

    /// Forgets everything that [`restore`](Self::restore) brings, and whatever is not committed.
    fn clear(&mut self);

    /// Records that these offsets of a partition were deleted before they were read.
    fn process_gap(
        &mut self,
        log: &L,
        partition: TopicPartition,
        offsets: Range<i64>,
    ) -> Result<(), Fault>;

    /// Processes one record. A bad record is not a fault but a dead letter.
    fn process(&mut self, log: &L, record: &L::Record<'_>) -> Result<(), Fault>;

    /// Processes one record again whose results the brokers have rejected, for these reasons, one
    /// for each try.
    fn process_rejected(
        &mut self,
        log: &L,
        record: &L::Record<'_>,
        rejections: &[Rejection],
    ) -> Result<(), Fault>;

    /// Writes what must be committed with these offsets: the state that has changed, what is in
    /// buffers. `is_last`: the stage stops with this commit.
    fn prepare_commit(
        &mut self,
        log: &mut L,
        offsets: &[(TopicPartition, i64)],
        is_last: bool,
    ) -> Result<(), Fault>;

    /// Everything processed so far is committed.
    fn on_committed(&mut self) {}

    /// The [metadata](crate::log::OffsetAndMetadata::metadata) to commit beside the offset of a
    /// partition.
    fn offset_metadata(&self, partition: TopicPartition) -> String {
        let _ = partition;
        String::new()
    }

    /// Runs several times a second while nothing arrives.
    fn on_idle(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}
