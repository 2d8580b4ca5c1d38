//! The transaction coordinator, and the requests that it checks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{BrokerError, Cluster, Content, Place};
use crate::chance::Chance;

/// `transaction.timeout.ms`, as `kafka/config.rs` sets it.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// A transactional producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The transactional id.
    pub id: String,
    /// The producer id.
    pub producer: i64,
    /// The epoch. Each initialisation increments it.
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

    /// The transaction of a producer that is not fenced.
    fn of(&mut self, identity: &Identity) -> Result<&mut Transaction, BrokerError> {
        let transaction = self.0.get_mut(&identity.id);
        let transaction = transaction.ok_or(BrokerError::InvalidTxnState)?;
        if transaction.epoch != identity.epoch {
            return Err(BrokerError::ProducerFenced);
        }
        Ok(transaction)
    }
}

/// The state of a transactional id.
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
    /// It is decided how the transaction ends, and some of its markers are not written yet.
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
    /// Initialises a producer: fences the previous one of this id, and aborts its open transaction.
    ///
    /// # Errors
    /// While the previous transaction is not complete.
    ///
    /// # Panics
    /// Never: there are few ids.
    pub fn init_producer(&mut self, id: &str) -> Result<Identity, BrokerError> {
        let next = i64::try_from(self.transactions.0.len()).expect("there are few ids");
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
        let transaction = self.transactions.of(identity)?;
        match transaction.state {
            State::Prepared { .. } => return Err(BrokerError::ConcurrentTransactions),
            State::Empty => transaction.state = State::Ongoing { since: now },
            State::Ongoing { .. } => (),
        }
        Ok(transaction)
    }

    /// Adds a partition to a transaction. The first one begins it.
    ///
    /// # Errors
    /// If the producer is fenced, the previous transaction is not complete, or writing the topic is
    /// not authorized.
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

    /// Adds a group's offsets to a transaction.
    ///
    /// # Errors
    /// If the producer is fenced, or the previous transaction is not complete.
    pub fn add_offsets(&mut self, identity: &Identity, group: &str) -> Result<(), BrokerError> {
        self.ongoing(identity)?.groups.insert(group.to_owned());
        Ok(())
    }

    /// Appends records to a partition, outside of a transaction if `identity` is `None`.
    ///
    /// # Errors
    /// If the producer is fenced, the partition was not added to its transaction, or the topic
    /// rejects the records.
    pub fn produce(
        &mut self,
        identity: Option<&Identity>,
        place: &Place,
        records: Vec<Content>,
    ) -> Result<(), BrokerError> {
        if !self.has(place) {
            return Err(BrokerError::UnknownTopicOrPartition);
        }
        self.topics[&place.0].check(&records, self.now)?;
        let Some(identity) = identity else {
            self.partition_mut(place).append(None, records);
            return Ok(());
        };
        if !self
            .partition_mut(place)
            .accepts(identity.producer, identity.epoch)
        {
            return Err(BrokerError::ProducerFenced);
        }
        // A broker verifies with the coordinator that the transaction is open (KIP-890).
        if !self.partition_mut(place).is_open(identity.producer) {
            let transaction = &self.transactions.0[&identity.id];
            let is_added = matches!(transaction.state, State::Ongoing { .. })
                && transaction.epoch == identity.epoch
                && transaction.partitions.contains(place);
            if !is_added {
                return Err(BrokerError::InvalidTxnState);
            }
        }
        self.partition_mut(place)
            .append(Some(identity.producer), records);
        Ok(())
    }

    /// Commits offsets in a transaction.
    ///
    /// # Errors
    /// If the producer is fenced, or the member is not in the current generation.
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
            .add_pending_offsets(identity.producer, member, generation, offsets)
    }

    /// Commits or aborts a transaction.
    ///
    /// # Errors
    /// If the producer is fenced, or no transaction is open.
    pub fn end_transaction(
        &mut self,
        identity: &Identity,
        commit: bool,
    ) -> Result<(), BrokerError> {
        let transaction = self.transactions.of(identity)?;
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

    /// Aborts a random open transaction, as if it had timed out. Returns its transactional id.
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

    /// Aborts the open transactions, and writes their markers in a topic. All open transactions are
    /// aborted: one that holds an offset of the topic would commit it in the topic of the same name
    /// that comes next.
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
                topic.partitions[partition].write_marker(
                    transaction.producer,
                    transaction.epoch,
                    commit,
                );
            }
        }
    }

    /// The producers whose transaction is committed, while some of its markers are not written yet.
    pub(super) fn decided_producers(&self) -> BTreeSet<i64> {
        let transactions = self.transactions.0.values();
        transactions
            .filter(|transaction| matches!(transaction.state, State::Prepared { commit: true }))
            .map(|transaction| transaction.producer)
            .collect()
    }

    /// Writes one of the outstanding markers of each transaction, in random order.
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
                    topic.partitions[place.1].write_marker(
                        transaction.producer,
                        transaction.epoch,
                        commit,
                    );
                } else if let Some(group) = transaction.groups.pop_first() {
                    self.groups
                        .entry(group)
                        .or_default()
                        .complete_offsets(transaction.producer, commit);
                }
            }
            if count <= 1 {
                transaction.state = State::Empty;
            }
        }
    }
}
