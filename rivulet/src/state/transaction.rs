//! What a stage keeps, changed while it rests: its state, its ledger and its offsets in one
//! transaction.

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
use crate::cluster::{self, Cluster, Witness};
use crate::topics;

/// How long a step of the transaction may take.
const STEP: Duration = Duration::from_secs(30);

/// The group of a stage at rest; nothing if the stage has no inputs.
///
/// # Errors
/// If the stage runs, or the cluster does not answer.
pub(super) fn at_rest(pipeline: &Pipeline, stage: &Stage, doing: &str) -> Result<Option<Group>> {
    if stage.from.is_empty() {
        return Ok(None);
    }
    let group = Group::new(pipeline, stage)?;
    let members = group.members()?;
    if members.is_empty() {
        Ok(Some(group))
    } else {
        Err(is_at_work(
            doing,
            &format!("{} runs it", members.join(" and ")),
        ))
    }
}

pub(super) fn is_at_work(doing: &str, cause: &str) -> Error {
    Error::new(doing, cause).help(
        "stop the stage first; if it was killed, its group keeps its place until \
         session.timeout.ms is over, by default 45 s",
    )
}

/// Makes those of a stage's own topics that are missing.
///
/// # Errors
/// If the cluster does not answer or refuses.
pub(super) fn make_topics(pipeline: &Pipeline, stage: &Stage) -> Result<()> {
    let inventory = Cluster::new(&pipeline.kafka)?.inventory()?;
    let own = [stage.changelog(), stage.dead_letters()].into_iter();
    let missing: BTreeMap<_, _> = own
        .filter(|name| !inventory.topics.contains_key(name))
        // A sink has no changelog.
        .filter_map(|name| Some((name.clone(), pipeline.topics.get(&name)?.clone())))
        .collect();
    if !missing.is_empty() {
        topics::create(&pipeline.kafka, &missing, &mut |line| {
            tracing::info!("{line}")
        })?;
    }
    Ok(())
}

/// A transaction that has begun; dropped, it changes nothing.
pub(super) struct Transaction<'p> {
    stage: &'p Stage,
    client: BaseProducer<Witness>,
    doing: String,
}

impl<'p> Transaction<'p> {
    /// Begins one, and ends what an earlier one left open.
    ///
    /// # Errors
    /// If the cluster does not answer, or has no transactions.
    pub(super) fn begin(pipeline: &Pipeline, stage: &'p Stage, doing: &str) -> Result<Self> {
        let mut config = cluster::config(&pipeline.kafka);
        // A name of its own: that of an instance would fence one that was overlooked, and help
        // nobody.
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
                "it is one transaction, whatever the stage's guarantee: does the cluster have \
                 them? a single broker needs transaction.state.log.replication.factor=1 and \
                 transaction.state.log.min.isr=1",
            )
        })?;
        Ok(transaction)
    }

    fn failed(&self, step: &str, error: &KafkaError) -> Error {
        cluster::unanswered(
            format!("{}: {step}", self.doing),
            error,
            self.client.context(),
        )
    }

    /// Writes the state of a sensor, or the position of a source; nothing to forget it.
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

    /// Writes a mark into the stage's ledger.
    ///
    /// # Errors
    /// If it cannot be sent.
    pub(super) fn mark(&self, change: &Migration) -> Result<()> {
        let topic = self.stage.dead_letters();
        let headers = change.headers();
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: value.as_deref(),
                })
            });
        // All changes in one partition: there they have an order.
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
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    record = refused;
                    self.client.poll(Duration::from_millis(10));
                }
                Err((error, refused)) => {
                    return Err(self.failed(&format!("sending to {}", refused.topic), &error));
                }
            }
        }
    }

    /// Makes it all permanent, and the offsets of the group with it.
    ///
    /// # Errors
    /// If somebody has started the stage meanwhile, or the cluster does not answer.
    pub(super) fn commit(
        self,
        offsets: &[Committed],
        place: Option<&ConsumerGroupMetadata>,
    ) -> Result<()> {
        if let Some(place) = place.filter(|_| !offsets.is_empty()) {
            let mut list = TopicPartitionList::new();
            for Committed {
                topic,
                partition,
                next,
                note,
            } in offsets
            {
                let mut offset = list.add_partition(topic, *partition);
                offset
                    .set_offset(Offset::Offset(*next))
                    .map_err(|error| self.failed("committing", &error))?;
                offset.set_metadata(note);
            }
            let sent = self.client.send_offsets_to_transaction(&list, place, STEP);
            sent.map_err(|error| self.failed("committing the offsets", &error))?;
        }
        self.client.commit_transaction(STEP).map_err(|error| {
            self.failed("committing", &error).help(
                "`rivulet state show` tells what became of it; it does no harm to do it again",
            )
        })
    }
}
