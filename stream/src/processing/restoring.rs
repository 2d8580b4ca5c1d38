//! Taking over partitions: what must hold before a stage goes on.

use std::collections::BTreeMap;

use super::Processing;
use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::error::{Error, Result};
use crate::log::{Fault, Log, OffsetAndMetadata, TopicPartition};
use crate::pipeline::OnGap;
use crate::stage::{Assignment, gap_error};
use crate::state::StateMetadata;

impl Processing {
    /// Restores the state of partitions, and refuses to go on if it is not the one that belongs to
    /// the committed offsets, or if those are not what they must be.
    pub(super) fn restore_partitions<L: Log>(
        &mut self,
        log: &mut L,
        assignments: &[Assignment],
    ) -> Result<(), Fault> {
        let outcome = self.restore_and_check(log, assignments);
        let Err(Fault::Fatal(wrong)) = outcome else {
            return outcome;
        };
        // Whoever is held up here for long may have lost the partitions to a process that goes on.
        let partitions: Vec<TopicPartition> = assignments
            .iter()
            .map(|assignment| assignment.partition)
            .collect();
        let mut now = log.committed(&partitions)?;
        now.sort_by_key(|position| position.partition);
        let mut before: Vec<OffsetAndMetadata> = assignments
            .iter()
            .filter_map(|at| at.committed.clone())
            .collect();
        before.sort_by_key(|position| position.partition);
        Err(if now == before {
            Fault::Fatal(wrong)
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
            self.counts.insert(
                assignment.partition.topic,
                assignment.watermarks.partition_count,
            );
        }
        self.checkpoints = Checkpoints::given(assignments);
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
        self.counters.restored.add(sensors as u64);
        if !assignments.is_empty() {
            let numbers = numbers(assignments);
            tracing::info!(
                "restored {sensors} sensors from partitions {numbers:?} of {}",
                self.changelog
            );
        }
        Ok(())
    }

    /// Restores the state, if the stage keeps any, and gives the checkpoints by partition of the
    /// changelog.
    fn read_changelog<L: Log>(
        &mut self,
        log: &mut L,
        assignments: &[Assignment],
    ) -> Result<BTreeMap<i32, Checkpoint>, Fault> {
        let mut checkpoints = BTreeMap::new();
        // Without state a changelog only tells whether an offset that is missing was there once.
        if self.state.is_none()
            && assignments
                .iter()
                .all(|assignment| assignment.committed.is_some())
        {
            return Ok(checkpoints);
        }
        let mut refused = BTreeMap::new();
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
                    Err(error) => _ = refused.insert((partition, key.to_vec()), error),
                    // What a later record replaces, a tombstone perhaps, need not have been a
                    // state.
                    Ok(()) if !refused.is_empty() => _ = refused.remove(&(partition, key.to_vec())),
                    Ok(()) => (),
                }
            },
        )?;
        let Some((_, error)) = refused.pop_first() else {
            return Ok(checkpoints);
        };
        Err(Fault::Fatal(error.or_help(format!(
            "state of another chain means something else: undo the change, give the stage a new \
             name, go on with what is remembered: rivulet state keep {0}, or begin with an empty \
             state: rivulet state reset {0}",
            self.stage
        ))))
    }

    /// A stage that keeps state does not go on behind records that it never saw, unless it was told
    /// to.
    fn check_gap(&self, assignment: &Assignment) -> Result<(), Fault> {
        let stops = if self.state.is_some() {
            OnGap::Stop
        } else {
            OnGap::DeadLetter
        };
        if self.rules.on_gap.unwrap_or(stops) == OnGap::DeadLetter {
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

    /// A partition without a committed offset must be one that the stage never worked on.
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
        let had = match checkpoint {
            Some(next) => format!("{} got to offset {next} at least", self.stage),
            None if sensors > 0 => format!(
                "{} keeps the state of {sensors} sensors from there",
                self.stage
            ),
            None => return Ok(()),
        };
        let doing = format!("going on in {name} [{partition}]");
        let cause = format!("no offset is committed any more, but {had}");
        Err(Fault::Fatal(Error::new(doing, cause).help(format!(
            "Kafka forgets the offsets of a stage that was stopped for offsets.retention.minutes \
             (7 days by default), and those of a topic that is deleted; to go on where the stage \
             was: rivulet state resume {0}; to read again from the first record: rivulet state \
             reset {0}",
            self.stage
        ))))
    }

    /// State is never silently wrong: what was restored must be what the committed offset belongs
    /// to.
    fn check_restored(&self, position: &OffsetAndMetadata) -> Result<(), Fault> {
        let TopicPartition { topic, partition } = position.partition;
        let Some(state) = &self.state else {
            return Ok(());
        };
        // Offsets that another tool has set come without a note.
        let Ok(StateMetadata {
            digest: noted,
            partitions,
        }) = position.metadata.parse()
        else {
            return Ok(());
        };
        let doing = format!(
            "restoring the state of partition {partition} from {}",
            self.changelog
        );
        let name = &self.inputs[topic];
        if let (Some(had), Some(has)) = (partitions, self.counts.get(&topic))
            && had != *has
        {
            let cause =
                format!("{name} had {had} partitions when the state was written and has {has} now");
            return Err(Fault::Fatal(Error::new(doing, cause).help(format!(
                "sensors go to other partitions now and would begin anew there: begin with an \
                 empty state for all of them: rivulet state reset {0}; or write to a new topic, \
                 and read both",
                self.stage
            ))));
        }
        let found = state.digest(topic, partition);
        if found.matches(&noted, self.guarantee) {
            return Ok(());
        }
        let cause = format!(
            "it is not the state that belongs to offset {} of {name}: it has {} sensors where {} \
             were noted",
            position.offset, found.sensors, noted.sensors
        );
        let cause = if found.sensors == noted.sensors {
            format!("{cause}, but of other records")
        } else {
            cause
        };
        Err(Fault::Fatal(Error::new(doing, cause).help(format!(
            "the changelog was deleted, cut short or is not compacted (`rivulet topics describe` \
             tells), or the stage ran at-least-once before (drain it so first); bring the topic \
             back, or begin with an empty state: rivulet state reset {}",
            self.stage
        ))))
    }
}

/// The partitions of the changelog: the same partition of several inputs shares one.
fn numbers(assignments: &[Assignment]) -> Vec<i32> {
    let mut numbers: Vec<i32> = assignments
        .iter()
        .map(|assignment| assignment.partition.partition)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The state and the offset were read at different times, between which somebody committed.
fn moved_on(changelog: &str) -> Fault {
    Fault::Abortable(Error::new(
        format!("restoring from {changelog}"),
        "another process has committed meanwhile",
    ))
}
