//! Restores the state of assigned partitions, and checks that it belongs to the committed offsets.

use std::collections::BTreeMap;

use super::Processing;
use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::error::{Error, Kind, Result};
use crate::log::{Fault, Log, OffsetAndMetadata, TopicPartition};
use crate::rules::OnGap;
use crate::stage::{Assignment, gap_error};
use crate::state::StateMetadata;

impl Processing {
    /// Restores the state of partitions. Fails if it does not belong to the committed offsets, or
    /// if those are missing or out of range.
    pub(super) fn restore_partitions<L: Log>(
        &mut self,
        log: &mut L,
        assignments: &[Assignment],
    ) -> Result<(), Fault> {
        let outcome = self.restore_and_check(log, assignments);
        let Err(Fault::Fatal(error)) = outcome else {
            return outcome;
        };
        // After a long pause the partitions may belong to another process that has committed.
        let partitions: Vec<TopicPartition> = assignments
            .iter()
            .map(|assignment| assignment.partition)
            .collect();
        let mut now = log.committed(&partitions)?;
        now.sort_by_key(|position| position.partition);
        let mut before: Vec<OffsetAndMetadata> = assignments
            .iter()
            .filter_map(|assignment| assignment.committed.clone())
            .collect();
        before.sort_by_key(|position| position.partition);
        Err(if now == before {
            Fault::Fatal(error)
        } else {
            moved_on(&self.changelog)
        })
    }

    fn restore_and_check<L: Log>(
        &mut self,
        log: &mut L,
        assignments: &[Assignment],
    ) -> Result<(), Fault> {
        for assignment in assignments {
            assignment.check_end(&self.stage, &self.inputs[assignment.partition.topic])?;
            self.check_gap(assignment)?;
            self.partition_counts.insert(
                assignment.partition.topic,
                assignment.watermarks.partition_count,
            );
        }
        self.checkpoints = Checkpoints::restored(assignments);
        let checkpoints = self.read_changelog(log, assignments)?;
        for assignment in assignments {
            match &assignment.committed {
                Some(position) => self.check_restored(position)?,
                None => self.check_never_ran(assignment, &checkpoints)?,
            }
        }
        let Some(state) = &self.state else {
            return Ok(());
        };
        let sensors = state.sensors();
        self.metrics.restored.add(sensors as u64);
        self.measure_state();
        let restored = Some((numbers(assignments), sensors));
        // After each abort it is restored again, which is no news.
        if !assignments.is_empty() && self.restored != restored {
            tracing::info!(
                stage = self.stage,
                topic = self.changelog,
                partitions = ?numbers(assignments),
                sensors,
                "state restored"
            );
            self.restored = restored;
        }
        Ok(())
    }

    pub(super) fn measure_state(&self) {
        if let Some(state) = &self.state {
            self.metrics.state_sensors.set(state.entries() as u64);
            let (bytes, limit) = state.bytes();
            self.metrics.state_bytes.set(bytes);
            self.metrics.state_limit.set(limit);
        }
    }

    /// Restores the state, if the stage keeps any. Returns the checkpoints by partition of the
    /// changelog.
    fn read_changelog<L: Log>(
        &mut self,
        log: &mut L,
        assignments: &[Assignment],
    ) -> Result<BTreeMap<i32, Checkpoint>, Fault> {
        let mut checkpoints = BTreeMap::new();
        // Without state the changelog only shows whether a missing offset was once committed.
        if self.state.is_none()
            && assignments
                .iter()
                .all(|assignment| assignment.committed.is_some())
        {
            return Ok(checkpoints);
        }
        let mut errors = BTreeMap::new();
        let state = &mut self.state;
        log.restore(
            &self.changelog,
            &numbers(assignments),
            &mut |partition, key, value| {
                if let Some(checkpoint) = Checkpoint::read(key, value) {
                    checkpoints.insert(partition, checkpoint);
                    return;
                }
                let Some(state) = state else { return };
                match state.restore(partition, key, value) {
                    Err(error) => _ = errors.insert((partition, key.to_vec()), error),
                    // A later record or a tombstone replaces the invalid one.
                    Ok(()) if !errors.is_empty() => _ = errors.remove(&(partition, key.to_vec())),
                    Ok(()) => (),
                }
            },
        )?;
        let Some((_, error)) = errors.pop_first() else {
            return Ok(checkpoints);
        };
        Err(Fault::Fatal(error.or_help(format!(
            "the state of another chain means something else: revert the change, give the stage a \
             new name, migrate the state: rivulet state keep {0}, or start with an empty state: \
             rivulet state reset {0}",
            self.stage
        ))))
    }

    /// Fails at a gap if `on-gap` is `stop`, which is the default for a stage with state.
    fn check_gap(&self, assignment: &Assignment) -> Result<(), Fault> {
        let default = if self.state.is_some() {
            OnGap::Stop
        } else {
            OnGap::DeadLetter
        };
        if self.rules.on_gap.unwrap_or(default) == OnGap::DeadLetter {
            return Ok(());
        }
        let Some(gap) = assignment.gap() else {
            return Ok(());
        };
        let topic = &self.inputs[assignment.partition.topic];
        Err(Fault::Fatal(gap_error(
            &self.stage,
            topic,
            assignment.partition.partition,
            &gap,
        )))
    }

    /// Fails if a partition has no committed offset although the stage has processed its records.
    fn check_never_ran(
        &self,
        assignment: &Assignment,
        checkpoints: &BTreeMap<i32, Checkpoint>,
    ) -> Result<(), Fault> {
        let TopicPartition { topic, partition } = assignment.partition;
        let name = &self.inputs[topic];
        let checkpoint = checkpoints
            .get(&partition)
            .and_then(|checkpoint| checkpoint.offsets.get(name));
        let sensors = self
            .state
            .as_ref()
            .map_or(0, |state| state.digest(topic, partition).sensors);
        let evidence = match checkpoint {
            Some(next) => format!(
                "{} has processed the records before offset {next}",
                self.stage
            ),
            None if sensors > 0 => format!(
                "{} keeps the state of {sensors} sensors of this partition",
                self.stage
            ),
            None => return Ok(()),
        };
        let doing = format!("going on in {name} [{partition}]");
        let cause = format!("no offset is committed any more, but {evidence}");
        Err(Fault::Fatal(Error::new(doing, cause).of_kind(Kind::Missing).help(format!(
            "Kafka deletes the offsets of a stage that was stopped for offsets.retention.minutes \
             (7 days by default), and those of a deleted topic; to resume where the stage was: \
             rivulet state resume {0}; to read again from the first record: rivulet state reset \
             {0}",
            self.stage
        ))))
    }

    /// Fails if the restored state is not the one that the committed offset belongs to.
    fn check_restored(&self, committed: &OffsetAndMetadata) -> Result<(), Fault> {
        let TopicPartition { topic, partition } = committed.partition;
        let Some(state) = &self.state else {
            return Ok(());
        };
        // Offsets that another tool has set have no such metadata.
        let Ok(StateMetadata { digest, partitions }) = committed.metadata.parse() else {
            return Ok(());
        };
        let doing = format!(
            "restoring the state of partition {partition} from {}",
            self.changelog
        );
        let name = &self.inputs[topic];
        if let (Some(had), Some(has)) = (partitions, self.partition_counts.get(&topic))
            && had != *has
        {
            let cause =
                format!("{name} had {had} partitions when the state was written and has {has} now");
            return Err(Fault::Fatal(Error::new(doing, cause).of_kind(Kind::Conflict).help(format!(
                "keys map to other partitions now, where their sensors have no state: start with \
                 an empty state for all of them: rivulet state reset {0}; or write to a new topic, \
                 and read both",
                self.stage
            ))));
        }
        let found = state.digest(topic, partition);
        if found.matches(&digest, self.guarantee) {
            return Ok(());
        }
        let cause = format!(
            "it is not the state that belongs to offset {} of {name}: it has {} sensors where {} \
             were committed",
            committed.offset, found.sensors, digest.sensors
        );
        let cause = if found.sensors == digest.sensors {
            format!("{cause}, but of other records")
        } else {
            cause
        };
        Err(Fault::Fatal(Error::new(doing, cause).of_kind(Kind::Corrupt).help(format!(
            "the changelog was deleted, truncated or is not compacted (`rivulet topics describe` \
             shows it), or the stage ran at-least-once before (then drain it at-least-once first); \
             recover the topic, or start with an empty state: rivulet state reset {}",
            self.stage
        ))))
    }
}

/// The partitions of the changelog. The same partition of several inputs shares one.
fn numbers(assignments: &[Assignment]) -> Vec<i32> {
    let mut numbers: Vec<i32> = assignments
        .iter()
        .map(|assignment| assignment.partition.partition)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Another process has committed between the reads of the state and of the offset.
fn moved_on(changelog: &str) -> Fault {
    Fault::Abortable(Error::new(
        format!("restoring from {changelog}"),
        "another process has committed in the meantime",
    ))
}
