//! Transactions: records and the offsets of a group, all or none.

use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rivulet_core::error::{Error, Result};
use rivulet_core::log::ProducerRecord;
use rivulet_core::shutdown::Shutdown;

use crate::commit::{add_offset, commit};
use crate::connection::Connection;
use crate::group::{Committed, Membership};
use crate::producer::{Producer, ProducerSettings};

/// How long a step of a tool's transaction may take.
const STEP: Duration = Duration::from_secs(30);

/// An open transaction of a tool. It is aborted if it is dropped.
pub struct Transaction {
    producer: Producer,
    doing: String,
    shutdown: Shutdown,
}

impl Transaction {
    /// Begins a transaction. Aborts an open one of an earlier process with the same id. `doing` is
    /// what the transaction is for.
    ///
    /// # Errors
    /// If the brokers are unreachable, or do not support transactions.
    pub fn begin(connection: &Connection, id: &str, doing: &str) -> Result<Self> {
        let settings = ProducerSettings {
            client_id: "rivulet".to_owned(),
            transactional_id: Some(id.to_owned()),
            ..ProducerSettings::default()
        };
        let begun = Producer::new(connection, &settings).and_then(|producer| {
            producer.begin()?;
            Ok(producer)
        });
        let producer = begun.map_err(|error| {
            error.within(doing).help(
                "the command needs transactions, whatever the stage's guarantee: does the cluster \
                 support them? a single broker needs transaction.state.log.replication.factor=1 \
                 and transaction.state.log.min.isr=1",
            )
        })?;
        Ok(Transaction {
            producer,
            doing: doing.to_owned(),
            // Nobody stops it: what it waits for has limits.
            shutdown: Shutdown::new(),
        })
    }

    fn failed(&self, step: &str, error: &KafkaError) -> Error {
        self.producer.failed(step, error).within(&self.doing)
    }

    /// Sends a record.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub fn send(&self, record: &ProducerRecord<'_>) -> Result<()> {
        let sent = self.producer.send(record, &self.shutdown);
        sent.map(|_| ()).map_err(|error| error.within(&self.doing))
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
        let request = |step: &str, request: &dyn Fn() -> KafkaResult<()>| {
            request().map_err(|error| {
                self.failed(step, &error).help(
                    "`rivulet state show` shows the result; it is safe to run the command again",
                )
            })
        };
        commit(self.producer.client(), offsets, STEP, request, || Ok(()))
    }
}
