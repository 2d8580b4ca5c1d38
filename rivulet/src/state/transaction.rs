//! Changes of a stopped stage: its state, its dead-letter topic and its offsets in one transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use stream::dead_letter::Migration;
use stream::error::{Error, Result};
use stream::pipeline::{Pipeline, Stage};

use super::Group;
use super::group::Committed;
use crate::cluster::{self, Cluster, LastError};
use crate::topics;

/// How long a step of the transaction may take.
const STEP: Duration = Duration::from_secs(30);

/// The consumer group of a stopped stage; `None` if the stage has no inputs.
///
/// # Errors
/// If the stage runs, or the brokers are unreachable.
pub(super) fn stopped_group(
    pipeline: &Pipeline,
    stage: &Stage,
    doing: &str,
) -> Result<Option<Group>> {
    if stage.from.is_empty() {
        return Ok(None);
    }
    let group = Group::new(pipeline, stage)?;
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
    Error::new(doing, cause).help(
        "stop the stage first; if it was killed, it stays a member of its group until \
         session.timeout.ms is over, by default 45 s",
    )
}

/// Creates the stage's own topics that are missing.
///
/// # Errors
/// If the brokers are unreachable or reject a topic.
pub(super) fn create_topics(pipeline: &Pipeline, stage: &Stage) -> Result<()> {
    let inventory = Cluster::new(&pipeline.kafka)?.inventory()?;
    let own = [stage.changelog(), stage.dead_letters()].into_iter();
    let missing: BTreeMap<_, _> = own
        .filter(|name| !inventory.topics.contains_key(name))
        // A sink has no changelog.
        .filter_map(|name| Some((name.clone(), pipeline.topics.get(&name)?.clone())))
        .collect();
    if !missing.is_empty() {
        topics::create(&pipeline.kafka, &missing, &mut |line| {
            tracing::info!("{line}");
        })?;
    }
    Ok(())
}

/// An open transaction. It is aborted if it is dropped.
pub(super) struct Transaction<'p> {
    stage: &'p Stage,
    client: BaseProducer<LastError>,
    doing: String,
}

impl<'p> Transaction<'p> {
    /// Begins a transaction. Aborts an open one of an earlier process.
    ///
    /// # Errors
    /// If the brokers are unreachable, or do not support transactions.
    pub(super) fn begin(pipeline: &Pipeline, stage: &'p Stage, doing: &str) -> Result<Self> {
        let mut config = cluster::config(&pipeline.kafka);
        // Its own id: that of an instance would fence an instance that still runs.
        config
            .set("transactional.id", format!("{}@rivulet-state", stage.name))
            .set("client.id", "rivulet");
        let transaction = Transaction {
            stage,
            client: cluster::client(&config)?,
            doing: doing.to_owned(),
        };
        let begun = transaction
            .client
            .init_transactions(STEP)
            .and_then(|()| transaction.client.begin_transaction());
        begun.map_err(|error| {
            transaction.failed("beginning a transaction", &error).help(
                "the command needs transactions, whatever the stage's guarantee: does the cluster \
                 support them? a single broker needs transaction.state.log.replication.factor=1 \
                 and transaction.state.log.min.isr=1",
            )
        })?;
        Ok(transaction)
    }

    fn failed(&self, step: &str, error: &KafkaError) -> Error {
        cluster::unreachable_error(
            format!("{}: {step}", self.doing),
            error,
            self.client.context(),
        )
    }

    /// Writes the state of a sensor or the position of a source. `None` writes a tombstone.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub(super) fn save(&self, partition: i32, key: &[u8], value: Option<&[u8]>) -> Result<()> {
        let topic = self.stage.changelog();
        let record = BaseRecord::<[u8], [u8]>::to(&topic)
            .partition(partition)
            .key(key);
        self.send(if let Some(value) = value {
            record.payload(value)
        } else {
            record
        })
    }

    /// Records a migration in the stage's dead-letter topic.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub(super) fn record_migration(&self, migration: &Migration) -> Result<()> {
        let topic = self.stage.dead_letters();
        let headers = migration.headers();
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: value.as_deref(),
                })
            });
        // All migrations are in one partition, which gives them an order.
        self.send(
            BaseRecord::<[u8], [u8]>::to(&topic)
                .partition(0)
                .headers(headers),
        )
    }

    fn send(&self, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
        loop {
            match self.client.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), unsent)) => {
                    record = unsent;
                    self.client.poll(Duration::from_millis(10));
                }
                Err((error, unsent)) => {
                    return Err(self.failed(&format!("sending to {}", unsent.topic), &error));
                }
            }
        }
    }

    /// Commits the transaction with the offsets of the group.
    ///
    /// # Errors
    /// If the stage was started meanwhile, or the brokers are unreachable.
    pub(super) fn commit(
        self,
        offsets: &[Committed],
        membership: Option<&ConsumerGroupMetadata>,
    ) -> Result<()> {
        if let Some(membership) = membership.filter(|_| !offsets.is_empty()) {
            let mut list = TopicPartitionList::new();
            for Committed {
                topic,
                partition,
                next,
                metadata,
            } in offsets
            {
                let mut offset = list.add_partition(topic, *partition);
                offset
                    .set_offset(Offset::Offset(*next))
                    .map_err(|error| self.failed("committing", &error))?;
                offset.set_metadata(metadata);
            }
            let sent = self
                .client
                .send_offsets_to_transaction(&list, membership, STEP);
            sent.map_err(|error| self.failed("committing the offsets", &error))?;
        }
        self.client.commit_transaction(STEP).map_err(|error| {
            self.failed("committing", &error)
                .help("`rivulet state show` shows the result; it is safe to run the command again")
        })
    }
}
