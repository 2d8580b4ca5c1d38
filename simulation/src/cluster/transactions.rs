//! The transaction coordinator, and the requests that it has a say in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{BrokerError, Cluster, Content, Place};
use crate::chance::Chance;

/// A transaction that is open for longer is aborted, as `kafka/config.rs` asks for.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Who a producer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The transactional id.
    pub id: String,
    /// Its producer id.
    pub producer: i64,
    /// The epoch: one more with each initialisation.
    pub epoch: i16,
}

#[derive(Debug, Default)]
pub(super) struct Transactions(BTreeMap<String, Transaction>);

impl Transactions {
    pub(super) fn is_quiet(&self) -> bool {
        self.0
            .values()
            .all(|transaction| matches!(transaction.state, State::Empty))
    }
}

/// What is known of one transactional id.
#[derive(Debug)]
struct Transaction {
    producer: i64,
    epoch: i16,
    state: State,
    partitions: BTreeSet<Place>,
    groups: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Empty,
    Ongoing {
        since: Duration,
    },
    /// Its end is decided, and the markers that are left to write say so.
    Prepared {
        commit: bool,
    },
}

impl Transaction {
    fn prepare(&mut self, commit: bool) {
        self.state = State::Prepared { commit };
    }
}

impl Cluster {
    /// Initialises transactions: fences whoever had the id, and ends what it left open.
    ///
    /// # Errors
    /// While that is not complete.
    ///
    /// # Panics
    /// Never: the ids are few.
    pub fn init_producer(&mut self, id: &str) -> Result<Identity, BrokerError> {
        let next = i64::try_from(self.transactions.0.len()).expect("they are few");
        let transaction = self
            .transactions
            .0
            .entry(id.to_owned())
            .or_insert_with(|| Transaction {
                producer: next,
                epoch: -1,
                state: State::Empty,
                partitions: BTreeSet::new(),
                groups: BTreeSet::new(),
            });
        match transaction.state {
            State::Empty => {
                transaction.epoch += 1;
                Ok(Identity {
                    id: id.to_owned(),
                    producer: transaction.producer,
                    epoch: transaction.epoch,
                })
            }
            State::Ongoing { .. } => {
                transaction.epoch += 1;
                transaction.prepare(false);
                Err(BrokerError::ConcurrentTransactions)
            }
            State::Prepared { .. } => Err(BrokerError::ConcurrentTransactions),
        }
    }

    fn ongoing(&mut self, identity: &Identity) -> Result<&mut Transaction, BrokerError> {
        let now = self.now;
        let transaction = self
            .transactions
            .0
            .get_mut(&identity.id)
            .ok_or(BrokerError::InvalidTxnState)?;
        if transaction.epoch != identity.epoch {
            return Err(BrokerError::ProducerFenced);
        }
        match transaction.state {
            State::Prepared { .. } => return Err(BrokerError::ConcurrentTransactions),
            State::Empty => transaction.state = State::Ongoing { since: now },
            State::Ongoing { .. } => (),
        }
        Ok(transaction)
    }

    /// Adds a partition to a producer's transaction, which begins with the first.
    ///
    /// # Errors
    /// If the producer is fenced, the transaction before is not complete, or the topic may not be
    /// written.
    pub fn add_partition(&mut self, identity: &Identity, place: &Place) -> Result<(), BrokerError> {
        if !self.has(place) {
            return Err(BrokerError::UnknownTopicOrPartition);
        }
        if self.now < self.topics[&place.0].forbidden_until {
            return Err(BrokerError::TopicAuthorizationFailed);
        }
        self.ongoing(identity)?.partitions.insert(place.clone());
        Ok(())
    }

    /// Adds a group's offsets to a producer's transaction.
    ///
    /// # Errors
    /// If the producer is fenced, or the transaction before is not complete.
    pub fn add_offsets(&mut self, identity: &Identity, group: &str) -> Result<(), BrokerError> {
        self.ongoing(identity)?.groups.insert(group.to_owned());
        Ok(())
    }

    /// Appends records to a partition; without an identity outside of any transaction.
    ///
    /// # Errors
    /// If the producer is fenced, the partition is not in its transaction, or the topic does not
    /// take the records.
    pub fn produce(
        &mut self,
        identity: Option<&Identity>,
        place: &Place,
        records: Vec<Content>,
    ) -> Result<(), BrokerError> {
        if !self.has(place) {
            return Err(BrokerError::UnknownTopicOrPartition);
        }
        self.topics[&place.0].takes(&records, self.now)?;
        let Some(identity) = identity else {
            self.partition_mut(place).append(None, records);
            return Ok(());
        };
        if !self
            .partition_mut(place)
            .takes(identity.producer, identity.epoch)
        {
            return Err(BrokerError::ProducerFenced);
        }
        // A broker asks the coordinator before it opens a transaction in a partition (KIP-890).
        if !self.partition_mut(place).is_open(identity.producer) {
            let transaction = &self.transactions.0[&identity.id];
            let is_in_it = matches!(transaction.state, State::Ongoing { .. })
                && transaction.epoch == identity.epoch
                && transaction.partitions.contains(place);
            if !is_in_it {
                return Err(BrokerError::InvalidTxnState);
            }
        }
        self.partition_mut(place)
            .append(Some(identity.producer), records);
        Ok(())
    }

    /// Commits offsets with a producer's transaction.
    ///
    /// # Errors
    /// If the producer is fenced, or the member is none of the group's present generation.
    pub fn txn_offset_commit(
        &mut self,
        identity: &Identity,
        group: &str,
        member: u64,
        generation: u32,
        offsets: Vec<(Place, i64, String)>,
    ) -> Result<(), BrokerError> {
        let transaction = &self.transactions.0[&identity.id];
        if transaction.epoch != identity.epoch {
            return Err(BrokerError::ProducerFenced);
        }
        if !matches!(transaction.state, State::Ongoing { .. })
            || !transaction.groups.contains(group)
        {
            return Err(BrokerError::InvalidTxnState);
        }
        self.group(group)
            .hold_offsets(identity.producer, member, generation, offsets)
    }

    /// Decides the end of a producer's transaction.
    ///
    /// # Errors
    /// If the producer is fenced or there is no transaction.
    pub fn end_transaction(
        &mut self,
        identity: &Identity,
        commit: bool,
    ) -> Result<(), BrokerError> {
        let transaction = self
            .transactions
            .0
            .get_mut(&identity.id)
            .ok_or(BrokerError::InvalidTxnState)?;
        if transaction.epoch != identity.epoch {
            return Err(BrokerError::ProducerFenced);
        }
        match transaction.state {
            State::Ongoing { .. } => {
                transaction.prepare(commit);
                Ok(())
            }
            State::Prepared { commit: prepared } if prepared == commit => {
                Err(BrokerError::ConcurrentTransactions)
            }
            State::Prepared { .. } | State::Empty => Err(BrokerError::InvalidTxnState),
        }
    }

    pub(super) fn end_overdue_transactions(&mut self) {
        for transaction in self.transactions.0.values_mut() {
            if let State::Ongoing { since } = transaction.state
                && self.now.saturating_sub(since) > TRANSACTION_TIMEOUT
            {
                transaction.epoch += 1;
                transaction.prepare(false);
            }
        }
    }

    /// Any transaction that is open is aborted as if it had taken too long; tells whose.
    pub fn time_out_a_transaction(&mut self, chance: &mut Chance) -> Option<String> {
        let open = self
            .transactions
            .0
            .iter_mut()
            .filter(|(_, transaction)| matches!(transaction.state, State::Ongoing { .. }));
        let mut open: Vec<_> = open.collect();
        if open.is_empty() {
            return None;
        }
        let (id, transaction) = open.swap_remove(chance.index(open.len()));
        transaction.epoch += 1;
        transaction.prepare(false);
        Some(id.clone())
    }

    /// Aborts what is open, and writes all markers that are left to write in a topic. A transaction
    /// that holds an offset of the topic is among them: it would give that offset to the topic's
    /// successor.
    pub(super) fn end_transactions_in(&mut self, topic: &str) {
        for transaction in self.transactions.0.values_mut() {
            let (there, elsewhere) = std::mem::take(&mut transaction.partitions)
                .into_iter()
                .partition(|(name, _)| name == topic);
            transaction.partitions = elsewhere;
            let there: BTreeSet<Place> = there;
            if matches!(transaction.state, State::Ongoing { .. }) {
                transaction.epoch += 1;
                transaction.prepare(false);
            }
            let State::Prepared { commit } = transaction.state else {
                continue;
            };
            for (name, partition) in there {
                let topic = self
                    .topics
                    .get_mut(&name)
                    .expect("it was added to the transaction");
                topic.partitions[partition].mark(transaction.producer, transaction.epoch, commit);
            }
        }
    }

    /// Writes one of the markers that are left to write, in any order.
    pub(super) fn write_a_marker(&mut self, chance: &mut Chance) {
        for transaction in self.transactions.0.values_mut() {
            let State::Prepared { commit } = transaction.state else {
                continue;
            };
            let count = transaction.partitions.len() + transaction.groups.len();
            if count > 0 {
                let at = chance.index(count);
                if let Some(place) = transaction.partitions.iter().nth(at).cloned() {
                    transaction.partitions.remove(&place);
                    let topic = self
                        .topics
                        .get_mut(&place.0)
                        .expect("it was added to the transaction");
                    topic.partitions[place.1].mark(transaction.producer, transaction.epoch, commit);
                } else if let Some(group) = transaction.groups.pop_first() {
                    self.groups
                        .entry(group)
                        .or_default()
                        .settle_offsets(transaction.producer, commit);
                }
            }
            if count <= 1 {
                transaction.state = State::Empty;
            }
        }
    }
}
