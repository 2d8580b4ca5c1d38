//! Reading outside any group, as `stream/src/kafka/reader.rs` does.

use std::time::Duration;

use rivulet_core::error::Error;
use rivulet_core::log::{Fault, RestoreCallback};

use super::{RETRY_PAUSE, SimulatedLog};
use crate::cluster::Place;

/// How long to wait for an open transaction of another producer.
const OPEN_TRANSACTION: Duration = Duration::from_secs(90);

impl SimulatedLog {
    /// See [`Log::restore`](rivulet_core::log::Log::restore).
    pub(super) fn read_changelog(
        &self,
        topic: &str,
        partitions: &[i32],
        each: RestoreCallback<'_>,
    ) -> Result<(), Fault> {
        let mut places: Vec<Place> = Vec::new();
        for partition in partitions {
            let place = (
                topic.to_owned(),
                usize::try_from(*partition).expect("partitions are not negative"),
            );
            self.step("asking for the end")?;
            self.wait_until_reachable()?;
            if !self.world.cluster().has(&place) {
                let error = Error::new(
                    format!("restoring from {topic}"),
                    format!("it has no partition {partition}"),
                );
                return Err(Fault::Fatal(
                    error.help("give it as many partitions as the stage's inputs have"),
                ));
            }
            // Records whose transaction is still open count, too: wait until it ends.
            let (low, high) = self.watermarks(&place);
            if low < high {
                self.wait_until_settled(&place, high)?;
                places.push(place);
            }
        }
        for place in places {
            self.step("restoring")?;
            self.wait_until_reachable()?;
            let mut from = 0;
            loop {
                let cluster = self.world.cluster();
                let Some(record) = cluster.partition(&place.0, place.1).fetch(from) else {
                    break;
                };
                from = record.offset + 1;
                let content = record.content.clone();
                drop(cluster);
                let partition = i32::try_from(place.1).expect("it was an i32");
                each(
                    partition,
                    content.key.as_deref().unwrap_or_default(),
                    content.value.as_deref(),
                );
                if from % 8 == 0 {
                    self.step("restoring")?;
                }
            }
        }
        Ok(())
    }

    /// The low and the high watermark.
    fn watermarks(&self, place: &Place) -> (i64, i64) {
        let cluster = self.world.cluster();
        let partition = cluster.partition(&place.0, place.1);
        (partition.start, partition.end())
    }

    /// Waits until every transaction below `end` is committed or aborted.
    fn wait_until_settled(&self, place: &Place, end: i64) -> Result<(), Fault> {
        let start = self.world.time();
        while self
            .world
            .cluster()
            .partition(&place.0, place.1)
            .stable_end()
            < end
        {
            if self.world.time().saturating_sub(start) > OPEN_TRANSACTION {
                let doing = format!("restoring from {} [{}]", place.0, place.1);
                return Err(Fault::Fatal(Error::new(
                    doing,
                    "a transaction in it stays open",
                )));
            }
            self.wait(RETRY_PAUSE)?;
        }
        Ok(())
    }

    /// Whether no committed record is left at or after an offset.
    pub(super) fn is_at_end(&self, place: &Place, from: Option<i64>) -> Result<bool, Fault> {
        self.step("looking for the end")?;
        self.wait_until_reachable()?;
        Ok(self
            .world
            .cluster()
            .partition(&place.0, place.1)
            .fetch(from.unwrap_or(0))
            .is_none())
    }
}
