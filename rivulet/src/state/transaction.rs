//! Changes of a stopped stage: its state, its dead-letter topic and its offsets in one transaction.

use std::collections::BTreeMap;

use rivulet_core::dead_letter::Migration;
use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::log::ProducerRecord;
use rivulet_kafka::{Cluster, Committed, Group, Membership};
use rivulet_pipeline::Stage;

use crate::{CheckedPipeline, topics};

/// The consumer group of a stopped stage; `None` if the stage has no inputs.
///
/// # Errors
/// If the stage runs, or the brokers are unreachable.
pub(super) fn stopped_group(
    pipeline: &CheckedPipeline<'_>,
    stage: &Stage,
    doing: &str,
) -> Result<Option<Group>> {
    if stage.from.is_empty() {
        return Ok(None);
    }
    let group = Group::new(&pipeline.connection(), &stage.group(), &stage.from)?;
    let members = group.members()?;
    if members.is_empty() {
        Ok(Some(group))
    } else {
        Err(still_running(
            doing,
            &format!("{} runs it", members.join(" and ")),
        ))
    }
}

pub(super) fn still_running(doing: &str, cause: &str) -> Error {
    Error::new(doing, cause).of_kind(Kind::Conflict).help(
        "stop the stage first; if it was killed, it stays a member of its group until \
         session.timeout.ms is over, by default 45 s",
    )
}

/// Creates the stage's own topics that are missing.
///
/// # Errors
/// If the brokers are unreachable or reject a topic.
pub(super) fn create_topics(pipeline: &CheckedPipeline<'_>, stage: &Stage) -> Result<()> {
    let inventory = Cluster::new(&pipeline.connection())?.inventory()?;
    let own = [stage.changelog(), stage.dead_letters()].into_iter();
    let missing: BTreeMap<_, _> = own
        .filter(|name| !inventory.topics.contains_key(name))
        // A sink has no changelog.
        .filter_map(|name| Some((name.clone(), pipeline.topics.get(&name)?.clone())))
        .collect();
    if !missing.is_empty() {
        topics::create(&pipeline.connection(), &missing, &mut |line| {
            tracing::info!("{line}");
        })?;
    }
    Ok(())
}

/// An open transaction of a stage. It is aborted if it is dropped.
pub(super) struct Transaction<'p> {
    stage: &'p Stage,
    transaction: rivulet_kafka::Transaction,
}

impl<'p> Transaction<'p> {
    /// Begins a transaction. Aborts an open one of an earlier process.
    ///
    /// # Errors
    /// If the brokers are unreachable, or do not support transactions.
    pub(super) fn begin(
        pipeline: &CheckedPipeline<'_>,
        stage: &'p Stage,
        doing: &str,
    ) -> Result<Self> {
        // Its own id: that of an instance would fence an instance that still runs.
        let id = format!("{}@rivulet-state", stage.group());
        Ok(Transaction {
            stage,
            transaction: rivulet_kafka::Transaction::begin(&pipeline.connection(), &id, doing)?,
        })
    }

    /// Writes the state of a sensor or the position of a source. `None` writes a tombstone.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub(super) fn save(&self, partition: i32, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        self.transaction.send(&ProducerRecord {
            topic: &self.stage.changelog(),
            partition: Some(partition),
            timestamp: None,
            key: Some(key),
            value,
            headers: &[],
        })
    }

    /// Records a migration in the stage's dead-letter topic.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub(super) fn record_migration(&self, migration: &Migration) -> Result<()> {
        self.transaction.send(&ProducerRecord {
            topic: &self.stage.dead_letters(),
            // All migrations are in one partition, which gives them an order.
            partition: Some(0),
            timestamp: None,
            key: None,
            value: None,
            headers: &migration.headers(),
        })
    }

    /// Commits the transaction with the offsets of the group.
    ///
    /// # Errors
    /// If the stage was started meanwhile, or the brokers are unreachable.
    pub(super) fn commit(
        self,
        offsets: &[Committed],
        membership: Option<&Membership>,
    ) -> Result<()> {
        self.transaction.commit(offsets, membership)
    }
}
