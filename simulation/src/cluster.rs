//! The cluster: what brokers do, in memory. Nothing here knows rivulet.
//!
//! It keeps to the rules of Kafka's own protocol: who is fenced and when, what a reader of
//! committed records may see, whose offsets a group takes. Where Kafka leaves something open (when
//! the markers of a transaction are written, when a compacted topic is cleaned, when a request of
//! the dead arrives), whoever drives it decides.

mod groups;
mod partition;
mod topic;
mod transactions;

use std::collections::BTreeMap;
use std::time::Duration;

pub use self::groups::{Group, Heard, Member, SESSION_TIMEOUT};
pub use self::partition::{Content, Partition, Stored};
pub use self::topic::{BATCH, SimulatedTopic, Terms};
pub use self::transactions::{Identity, TRANSACTION_TIMEOUT};

use self::transactions::Transactions;
use crate::chance::Chance;

/// A partition of a topic.
pub type Place = (String, usize);

/// Why a request was refused; the names are those of Kafka's errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerError {
    /// A newer producer has the same transactional id.
    ProducerFenced,
    /// The transaction before is not complete yet: try again.
    ConcurrentTransactions,
    /// There is no such transaction.
    InvalidTxnState,
    /// The group does not know this member.
    UnknownMemberId,
    /// The group has gone on to another generation.
    IllegalGeneration,
    /// Another member has the same instance id.
    FencedInstanceId,
    /// The group waits for its members to join again.
    RebalanceInProgress,
    /// A transaction that holds an offset is not complete yet: try again.
    UnstableOffsetCommit,
    /// There is no such partition, or none any more.
    UnknownTopicOrPartition,
    /// The topic may not be written at the moment.
    TopicAuthorizationFailed,
    /// The batch is larger than the topic takes.
    MessageSizeTooLarge,
    /// A record is stamped too far ahead.
    InvalidTimestamp,
    /// A record is not what the topic wants.
    PolicyViolation,
    /// Nothing can be read there: it was deleted, or is behind the end.
    OffsetOutOfRange,
}

impl std::fmt::Display for BrokerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// A request that its sender no longer waits for.
#[derive(Debug)]
pub enum Late {
    /// Records for one partition.
    Produce(Option<Identity>, Place, Vec<Content>),
    /// The end of a transaction: committed.
    EndTxn(Identity),
    /// Offsets of a group's member in a generation, for a transaction.
    TxnOffsetCommit(Identity, String, u64, u32, Vec<(Place, i64, String)>),
}

/// All brokers together.
#[derive(Debug, Default)]
pub struct Cluster {
    /// By name.
    pub topics: BTreeMap<String, SimulatedTopic>,
    groups: BTreeMap<String, Group>,
    transactions: Transactions,
    /// Requests still on their way, each with the time it arrives at.
    late: Vec<(Duration, Late)>,
    now: Duration,
    /// Nobody answers before this time.
    away_until: Duration,
}

impl Cluster {
    /// What a topic takes, from now on.
    ///
    /// # Panics
    /// If there is no such topic.
    pub fn set_terms(&mut self, topic: &str, terms: Terms) {
        self.topics
            .get_mut(topic)
            .expect("every schedule makes its topics first")
            .terms = terms;
    }

    /// Makes a topic.
    pub fn create(&mut self, topic: &str, partitions: usize, compacted: bool) {
        let partitions = (0..partitions).map(|_| Partition::default()).collect();
        self.topics.insert(
            topic.to_owned(),
            SimulatedTopic {
                partitions,
                compacted,
                ..SimulatedTopic::default()
            },
        );
    }

    /// A partition that exists.
    ///
    /// # Panics
    /// If it does not: every schedule makes its topics first.
    #[must_use]
    pub fn partition(&self, topic: &str, partition: usize) -> &Partition {
        &self.topics[topic].partitions[partition]
    }

    fn partition_mut(&mut self, (topic, partition): &Place) -> &mut Partition {
        &mut self
            .topics
            .get_mut(topic)
            .expect("every schedule makes its topics first")
            .partitions[*partition]
    }

    /// Whether there is such a partition.
    #[must_use]
    pub fn has(&self, (topic, partition): &Place) -> bool {
        self.topics
            .get(topic)
            .is_some_and(|topic| *partition < topic.partitions.len())
    }

    /// The first record at or behind an offset that a reader of committed records may see.
    ///
    /// # Errors
    /// If the offset is below the first that is there or behind the end.
    pub fn fetch(
        &self,
        (topic, partition): &Place,
        from: i64,
    ) -> Result<Option<&Stored>, BrokerError> {
        let partition = self.partition(topic, *partition);
        if from < partition.start || from > partition.end() {
            return Err(BrokerError::OffsetOutOfRange);
        }
        Ok(partition.fetch(from))
    }

    /// A group, empty if nobody ever joined it.
    pub fn group(&mut self, group: &str) -> &mut Group {
        self.groups.entry(group.to_owned()).or_default()
    }

    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = (&String, &Group)> {
        self.groups.iter()
    }

    /// Whether brokers answer.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.now >= self.away_until
    }

    /// All brokers are away for a while.
    pub fn go_away(&mut self, time: Duration) {
        self.away_until = self.now + time;
    }

    /// Time has gone on: sessions and transactions that are over end, requests arrive, and some of
    /// the work that waits is done.
    pub fn tick(&mut self, now: Duration, chance: &mut Chance) {
        self.now = now;
        if !self.answers() {
            return;
        }
        for group in self.groups.values_mut() {
            group.tick(now, &self.topics);
        }
        self.end_overdue_transactions();
        let mut at = 0;
        while at < self.late.len() {
            if self.late[at].0 <= now {
                match self.late.swap_remove(at).1 {
                    // Nobody waits for the answer.
                    Late::Produce(identity, place, records) => {
                        let _ = self.produce(identity.as_ref(), &place, records);
                    }
                    Late::EndTxn(identity) => {
                        let _ = self.end_transaction(&identity, true);
                    }
                    Late::TxnOffsetCommit(identity, group, member, generation, offsets) => {
                        let _ =
                            self.txn_offset_commit(&identity, &group, member, generation, offsets);
                    }
                }
            } else {
                at += 1;
            }
        }
        self.write_a_marker(chance);
    }

    /// A request whose sender gives up on it arrives all the same.
    pub fn arrives_late(&mut self, after: Duration, request: Late) {
        self.late.push((self.now + after, request));
    }

    /// Whether nothing is open or on its way any more.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.late.is_empty()
            && self.transactions.is_quiet()
            && self.groups.values().all(Group::is_stable)
    }

    /// Takes a process into a group: one whose instance id is known takes the place of the one
    /// before, without a rebalance. Gives its member id.
    pub fn join(
        &mut self,
        group: &str,
        instance: &str,
        member: Option<u64>,
        topics: &[String],
    ) -> u64 {
        let now = self.now;
        self.groups.entry(group.to_owned()).or_default().join(
            instance,
            member,
            topics,
            now,
            &self.topics,
        )
    }

    /// Takes a member out of its group, if it is one.
    pub fn leave(&mut self, group: &str, member: u64) {
        let now = self.now;
        self.groups
            .entry(group.to_owned())
            .or_default()
            .leave(member, now, &self.topics);
    }

    /// The process of a member has died; its session lives on for a while.
    pub fn dies(&mut self, group: &str, member: u64) {
        let until = self.now + SESSION_TIMEOUT;
        self.group(group).dies(member, until);
    }

    /// Any group calls its members together again.
    pub fn rebalance(&mut self, group: &str) {
        let now = self.now;
        self.group(group).prepare(now);
    }

    /// Cleans a partition of a compacted topic.
    pub fn compact(&mut self, place: &Place, chance: &mut Chance) {
        let partition = self.partition_mut(place);
        let stable = partition.stable_end();
        let from = stable - stable.min(i64::from(chance.below(8)));
        let tombstones = chance.one_in(4);
        partition.compact(if chance.one_in(2) { stable } else { from }, tombstones);
    }

    /// Loses the first records of any partition: for tests of what must be refused.
    pub fn lose(&mut self, place: &Place, below: i64) {
        self.partition_mut(place).lose(below);
    }

    /// Deletes the first records of a plain topic, whether or not anybody has read them, as
    /// retention does or who frees a disk; tells from where to where.
    pub fn delete_some_records(
        &mut self,
        place: &Place,
        chance: &mut Chance,
    ) -> Option<(i64, i64)> {
        let partition = self.partition_mut(place);
        let left = u32::try_from(partition.stable_end() - partition.start).unwrap_or_default();
        let (from, to) = (
            partition.start,
            partition.start + i64::from(chance.below(left + 1)),
        );
        self.delete_records(place, to);
        (to > from).then_some((from, to))
    }

    /// Deletes all records of a partition below an offset, whoever has read them.
    pub fn delete_records(&mut self, place: &Place, below: i64) {
        let partition = self.partition_mut(place);
        partition.start = partition.start.max(below.min(partition.stable_end()));
    }

    /// Deletes a topic and makes it anew: groups no longer have offsets in it, and it is empty.
    /// What is open in it is aborted before that.
    ///
    /// # Panics
    /// If there is no such topic.
    pub fn make_anew(&mut self, topic: &str) {
        self.end_transactions_in(topic);
        let readers = self
            .groups
            .iter()
            .filter(|(_, group)| group.has_read(topic));
        let readers = readers.map(|(name, _)| name.clone()).collect();
        for group in self.groups.values_mut() {
            group.forget(topic);
        }
        self.topics
            .get_mut(topic)
            .expect("every schedule makes its topics first")
            .make_anew(readers);
    }

    /// Gives a topic one more partition; its readers' groups share them out again.
    ///
    /// # Panics
    /// If there is no such topic.
    pub fn add_a_partition(&mut self, topic: &str) {
        let now = self.now;
        let grown = self
            .topics
            .get_mut(topic)
            .expect("every schedule makes its topics first");
        grown.partitions.push(Partition::default());
        let has_read = |group: &Group| {
            group
                .committed
                .iter()
                .any(|((name, _), (next, _))| name == topic && *next > 0)
        };
        grown.grown_under.extend(
            self.groups
                .iter()
                .filter(|(_, group)| has_read(group))
                .map(|(name, _)| name.clone()),
        );
        self.groups
            .values_mut()
            .filter(|group| group.reads(topic))
            .for_each(|group| group.prepare(now));
    }

    /// Nobody may write a topic for a while, or ever again.
    ///
    /// # Panics
    /// If there is no such topic.
    pub fn forbid(&mut self, topic: &str, time: Option<Duration>) {
        let until = time.map_or(Duration::MAX, |time| self.now + time);
        self.topics
            .get_mut(topic)
            .expect("every schedule makes its topics first")
            .forbidden_until = until;
    }

    /// Whether there is a topic that nobody may ever write again.
    #[must_use]
    pub fn forbids_for_good(&self) -> bool {
        self.topics
            .values()
            .any(|topic| topic.forbidden_until == Duration::MAX)
    }

    /// Deletes the first records of a plain topic, as far as all of these groups have read it.
    pub fn expire(&mut self, place: &Place, readers: &[&str]) {
        let read = readers.iter().map(|group| {
            let group = self.groups.get(*group);
            group
                .and_then(|group| group.committed.get(place))
                .map_or(0, |(offset, _)| *offset)
        });
        let Some(read) = read.min() else { return };
        let partition = self.partition_mut(place);
        partition.start = partition.start.max(read.min(partition.stable_end()));
    }
}
