//! Transactions: records and the offsets of a group, all or none.

use std::time::Duration;

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rivulet_core::error::{Error, Result};
use rivulet_core::log::ProducerRecord;

use crate::connection::Connection;
use crate::group::{Committed, Membership};
use crate::record::base_record;
use crate::tool_client::{self, LastError};

/// Adds the offsets of a group to the open transaction of a producer, and commits it. `request`
/// makes a request as often as its caller likes; it is told what the request is for.
pub(crate) fn commit<C: ProducerContext, E>(
    producer: &BaseProducer<C>,
    offsets: Option<(&TopicPartitionList, &ConsumerGroupMetadata)>,
    timeout: Duration,
    mut request: impl FnMut(&str, &dyn Fn() -> KafkaResult<()>) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    if let Some((offsets, group)) = offsets {
        request("adding the offsets to the transaction", &|| {
            producer.send_offsets_to_transaction(offsets, group, timeout)
        })?;
    }
    request("committing the transaction", &|| {
        producer.commit_transaction(timeout)
    })
}

/// Adds an offset to commit.
///
/// # Errors
/// If it is not the offset of a record.
pub(crate) fn add_offset(
    list: &mut TopicPartitionList,
    (topic, partition): (&str, i32),
    offset: i64,
    metadata: &str,
) -> KafkaResult<()> {
    let mut added = list.add_partition(topic, partition);
    added.set_offset(Offset::Offset(offset))?;
    if !metadata.is_empty() {
        added.set_metadata(metadata);
    }
    Ok(())
}

/// How long a step of a tool's transaction may take.
const STEP: Duration = Duration::from_secs(30);

/// An open transaction of a tool. It is aborted if it is dropped.
pub struct Transaction {
    client: BaseProducer<LastError>,
    doing: String,
}

impl Transaction {
    /// Begins a transaction. Aborts an open one of an earlier process with the same id. `doing` is
    /// what the transaction is for.
    ///
    /// # Errors
    /// If the brokers are unreachable, or do not support transactions.
    pub fn begin(connection: &Connection, id: &str, doing: &str) -> Result<Self> {
        let mut config = tool_client::config(connection);
        config
            .set("transactional.id", id)
            .set("client.id", "rivulet");
        let transaction = Transaction {
            client: tool_client::client(&config)?,
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
        tool_client::unreachable_error(
            format!("{}: {step}", self.doing),
            error,
            self.client.context(),
        )
    }

    /// Sends a record.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn send(&self, record: &ProducerRecord<'_>) -> Result<()> {
        let mut record = base_record(record);
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
    pub fn commit(self, offsets: &[Committed], membership: Option<&Membership>) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for Committed {
            topic,
            partition,
            next,
            metadata,
        } in offsets
        {
            add_offset(&mut list, (topic, *partition), *next, metadata)
                .map_err(|error| self.failed("committing", &error))?;
        }
        let membership = membership.filter(|_| !offsets.is_empty());
        let offsets = membership.map(|membership| (&list, &membership.0));
        commit(&self.client, offsets, STEP, |step, request| {
            request().map_err(|error| {
                self.failed(step, &error).help(
                    "`rivulet state show` shows the result; it is safe to run the command again",
                )
            })
        })
    }
}
