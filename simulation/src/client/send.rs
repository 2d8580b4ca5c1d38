//! Sending: the queue of records, and when they arrive.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rivulet_core::error::Error;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::log::{Fault, ProducerRecord, Rejection};

use super::{RETRY_PAUSE, SimulatedLog};
use crate::cluster::{BATCH, BrokerError, Content, Identity, Late, Place};

/// The smallest batch, in bytes, after brokers have rejected larger ones.
const LEAST_BATCH: usize = 500;

#[derive(Default)]
pub(super) struct Producer {
    /// `None` without transactions.
    pub(super) identity: Option<Identity>,
    /// The partitions that were added to the transaction.
    pub(super) added: BTreeSet<Place>,
    pub(super) queue: VecDeque<(Place, Content)>,
    /// The last error that was not reported yet, and its topic.
    failed: Option<(BrokerError, String)>,
}

impl SimulatedLog {
    /// Makes the producer ready to send. In exactly-once it fences its predecessor.
    pub(super) fn init_producer(&self) -> Result<(), Fault> {
        let identity = match self.guarantee {
            Guarantee::AtLeastOnce => None,
            Guarantee::ExactlyOnce => Some(self.retry("initialising transactions", |cluster| {
                cluster.init_producer(&self.transactional_id)
            })?),
        };
        self.needs_new_producer.set(false);
        *self.producer.borrow_mut() = Producer {
            identity,
            ..Producer::default()
        };
        Ok(())
    }

    /// Sends what is queued for one random partition. False if the queue is empty.
    pub(super) fn deliver(&self) -> Result<bool, Fault> {
        let count = self.producer.borrow().queue.len();
        if count == 0 {
            return Ok(false);
        }
        let at = self.world.chance().index(count);
        let place = self.producer.borrow().queue[at].0.clone();
        let identity = self.producer.borrow().identity.clone();
        let is_added = self.producer.borrow().added.contains(&place);
        if let (Some(identity), false) = (&identity, is_added) {
            let added = self.answer("adding a partition", |cluster| {
                cluster.add_partition(identity, &place)
            })?;
            if let Err(error) = added {
                // The next check of deliveries reports it.
                self.producer.borrow_mut().failed = Some((error, place.0));
                self.world.trace(&self.process.name, || {
                    format!("adding a partition: {error}")
                });
                return Ok(false);
            }
            self.producer.borrow_mut().added.insert(place.clone());
        }
        self.step("producing")?;
        self.wait_until_reachable()?;
        let records = self
            .producer
            .borrow_mut()
            .take_queued(&place, self.batch.get());
        let count = records.len();
        let produced = self
            .world
            .cluster()
            .produce(identity.as_ref(), &place, records);
        if let Err(error) = produced {
            if error == BrokerError::MessageSizeTooLarge && count > 1 {
                self.batch.set((self.batch.get() / 2).max(LEAST_BATCH));
            }
            self.producer.borrow_mut().failed = Some((error, place.0.clone()));
        }
        self.world.trace(&self.process.name, || {
            format!("{count} to {} [{}]: {produced:?}", place.0, place.1)
        });
        self.step("produced")?;
        Ok(true)
    }

    /// Waits until all records are acknowledged.
    pub(super) fn drain(&self) -> Result<(), Fault> {
        while self.deliver()? {
            self.check_delivery()?;
        }
        // The last acknowledgement may take a while.
        if self.world.has_faults() && self.world.chance().one_in(8) {
            self.world.idle(RETRY_PAUSE);
        }
        self.check_delivery()
    }

    pub(super) fn check_delivery(&self) -> Result<(), Fault> {
        let Some((error, topic)) = self.producer.borrow_mut().failed.take() else {
            return Ok(());
        };
        let cause = Error::new(format!("sending to {topic}"), error);
        Err(match error {
            BrokerError::MessageSizeTooLarge => Fault::Rejected(Rejection::TooLarge, cause),
            BrokerError::InvalidTimestamp => Fault::Rejected(Rejection::Timestamp, cause),
            BrokerError::PolicyViolation => Fault::Rejected(Rejection::Policy, cause),
            BrokerError::TopicAuthorizationFailed => {
                Fault::Fatal(cause.help("allow this user to write the topic"))
            }
            _ => Fault::Abortable(cause),
        })
    }

    /// Begins a transaction, if none is open.
    pub(super) fn begin(&self) -> Result<(), Fault> {
        if self.guarantee == Guarantee::ExactlyOnce && !self.in_transaction.get() {
            if self.needs_new_producer.get() {
                if self.inputs.is_empty() {
                    // A source has no group that would fence it, so a source that starts a new
                    // producer must look for a successor.
                    let error = Error::new(
                        "beginning a transaction",
                        "the last commit was sent more than once",
                    );
                    return Err(Fault::Abortable(error));
                }
                self.init_producer()?;
            }
            self.in_transaction.set(true);
        }
        Ok(())
    }

    pub(super) fn late(&self) -> Duration {
        Duration::from_millis(self.world.chance().below(4000).into())
    }

    /// Drops the queue. Some of its records may be on their way already, and arrive later.
    pub(super) fn abandon_queue(&self) {
        let mut producer = self.producer.borrow_mut();
        // Nothing is sent to a partition before it was added to the transaction.
        let may_be_sent =
            |place: &Place| producer.identity.is_none() || producer.added.contains(place);
        let mut places = producer.queue.iter().map(|(place, _)| place.clone());
        let Some(place) = places.find(may_be_sent) else {
            return;
        };
        if self.world.has_fencing_faults() && self.world.chance().one_in(2) {
            let records = producer.take_queued(&place, self.batch.get());
            let identity = producer.identity.clone();
            let after = self.late();
            self.world
                .cluster()
                .arrives_late(after, Late::Produce(identity, place, records));
        }
    }

    pub(super) fn choose(&self, record: &ProducerRecord<'_>) -> usize {
        if let Some(partition) = record.partition {
            return usize::try_from(partition)
                .expect("a changelog's partition is one of the input's");
        }
        let count = self.world.cluster().topics[record.topic].partitions.len();
        match record.key {
            Some(key) => place_of(key, count),
            None => self.world.chance().index(count),
        }
    }
}

/// The partition of a key in a topic with `count` partitions.
#[must_use]
pub fn place_of(key: &[u8], count: usize) -> usize {
    let hash = key.iter().fold(0xcbf2_9ce4_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    (hash >> 8) as usize % count
}

impl Producer {
    /// Takes what is queued for a partition, as much as fits into a batch. One record always fits.
    fn take_queued(&mut self, place: &Place, batch: usize) -> Vec<Content> {
        let mut records = Vec::new();
        let (mut size, mut is_full) = (BATCH, false);
        for (queued, content) in std::mem::take(&mut self.queue) {
            size += if queued == *place { content.size() } else { 0 };
            is_full |= queued == *place && size > batch && !records.is_empty();
            if queued == *place && !is_full {
                records.push(content);
            } else {
                self.queue.push_back((queued, content));
            }
        }
        records
    }
}
