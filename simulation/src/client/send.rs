//! Sending: what waits to be sent, and when it arrives.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use stream::error::Error;
use stream::log::{Fault, ProducerRecord, Rejection};
use stream::pipeline::Guarantee;

use super::{AGAIN, SimulatedLog};
use crate::cluster::{BATCH, BrokerError, Content, Identity, Late, Place};

/// How small batches may become when brokers refuse them for their size, in bytes.
const LEAST_BATCH: usize = 500;

#[derive(Default)]
pub(super) struct Producer {
    /// Nothing outside of transactions.
    pub(super) identity: Option<Identity>,
    /// The partitions that are in the transaction.
    pub(super) added: BTreeSet<Place>,
    pub(super) queue: VecDeque<(Place, Content)>,
    /// What was refused last, and by which topic.
    failed: Option<(BrokerError, String)>,
}

impl SimulatedLog {
    /// A producer that is ready to send; in a transaction one whose predecessor is fenced.
    pub(super) fn make_producer(&self) -> Result<(), Fault> {
        let identity = match self.guarantee {
            Guarantee::AtLeastOnce => None,
            Guarantee::ExactlyOnce => {
                Some(self.patiently("initialising transactions", |cluster| {
                    cluster.init_producer(&self.identity)
                })?)
            }
        };
        self.renews.set(false);
        *self.producer.borrow_mut() = Producer {
            identity,
            ..Producer::default()
        };
        Ok(())
    }

    /// Sends what is queued for one partition; false if there is nothing.
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
            if let Err(refusal) = added {
                // It comes back with the next look at what was delivered.
                self.producer.borrow_mut().failed = Some((refusal, place.0));
                self.world.tell(&self.being.name, || {
                    format!("adding a partition: {refusal}")
                });
                return Ok(false);
            }
            self.producer.borrow_mut().added.insert(place.clone());
        }
        self.step("producing")?;
        self.reach()?;
        let records = self
            .producer
            .borrow_mut()
            .take_queued(&place, self.batch.get());
        let count = records.len();
        let produced = self
            .world
            .cluster()
            .produce(identity.as_ref(), &place, records);
        if let Err(refusal) = produced {
            if refusal == BrokerError::MessageSizeTooLarge && count > 1 {
                self.batch.set((self.batch.get() / 2).max(LEAST_BATCH));
            }
            self.producer.borrow_mut().failed = Some((refusal, place.0.clone()));
        }
        self.world.tell(&self.being.name, || {
            format!("{count} to {} [{}]: {produced:?}", place.0, place.1)
        });
        self.step("produced")?;
        Ok(true)
    }

    /// Waits until everything that was sent is acknowledged.
    pub(super) fn drain(&self) -> Result<(), Fault> {
        while self.deliver()? {
            self.check_delivery()?;
        }
        // The last acknowledgement may take its time.
        if self.world.is_bad() && self.world.chance().one_in(8) {
            self.world.idle(AGAIN);
        }
        self.check_delivery()
    }

    pub(super) fn check_delivery(&self) -> Result<(), Fault> {
        let Some((refusal, topic)) = self.producer.borrow_mut().failed.take() else {
            return Ok(());
        };
        let error = Error::new(format!("sending to {topic}"), refusal);
        Err(match refusal {
            BrokerError::MessageSizeTooLarge => Fault::Rejected(Rejection::TooLarge, error),
            BrokerError::InvalidTimestamp => Fault::Rejected(Rejection::Timestamp, error),
            BrokerError::PolicyViolation => Fault::Rejected(Rejection::Policy, error),
            BrokerError::TopicAuthorizationFailed => {
                Fault::Fatal(error.help("allow this user to write the topic"))
            }
            _ => Fault::Abortable(error),
        })
    }

    /// Begins a transaction, if none is open.
    pub(super) fn begin(&self) -> Result<(), Fault> {
        if self.guarantee == Guarantee::ExactlyOnce && !self.begun.get() {
            if self.renews.get() {
                if self.inputs.is_empty() {
                    // No group tells a source that it was replaced: whoever makes a new producer
                    // looks for that.
                    let error = Error::new(
                        "beginning a transaction",
                        "the last commit was sent more than once",
                    );
                    return Err(Fault::Abortable(error));
                }
                self.make_producer()?;
            }
            self.begun.set(true);
        }
        Ok(())
    }

    pub(super) fn late(&self) -> Duration {
        Duration::from_millis(self.world.chance().below(4000).into())
    }

    /// Some of what was queued may have been on its way, and arrives all the same.
    pub(super) fn abandon_queue(&self) {
        let mut producer = self.producer.borrow_mut();
        // Nothing is sent to a partition before it is in the transaction.
        let may_be_sent =
            |place: &Place| producer.identity.is_none() || producer.added.contains(place);
        let Some(place) = producer
            .queue
            .iter()
            .map(|(place, _)| place.clone())
            .find(may_be_sent)
        else {
            return;
        };
        if self.world.is_harsh() && self.world.chance().one_in(2) {
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

/// The partition of so many that a key is placed in.
#[must_use]
pub fn place_of(key: &[u8], count: usize) -> usize {
    let hash = key.iter().fold(0xcbf2_9ce4_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    (hash >> 8) as usize % count
}

impl Producer {
    /// What waits for a partition, as far as it fits into a batch; one record always does.
    fn take_queued(&mut self, place: &Place, batch: usize) -> Vec<Content> {
        let mut taken = Vec::new();
        let (mut size, mut is_full) = (BATCH, false);
        for (queued, content) in std::mem::take(&mut self.queue) {
            size += if queued == *place { content.size() } else { 0 };
            is_full |= queued == *place && size > batch && !taken.is_empty();
            if queued == *place && !is_full {
                taken.push(content);
            } else {
                self.queue.push_back((queued, content));
            }
        }
        taken
    }
}
