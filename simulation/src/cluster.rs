//! The cluster: Kafka's brokers, in memory. Nothing here knows rivulet.
//!
//! It follows the rules of Kafka's protocol: who is fenced and when, what `read_committed` returns,
//! which offset commits a group accepts. Where Kafka leaves the timing open, the caller decides:
//! when transaction markers are written, when a topic is compacted, when a request of a dead
//! process arrives.

mod groups;
mod partition;
mod topic;
mod transactions;

use std::collections::BTreeMap;
use std::time::Duration;

pub use self::groups::{Group, HeartbeatResponse, Member, SESSION_TIMEOUT};
pub use self::partition::{Content, Partition, Stored};
pub use self::topic::{BATCH, SimulatedTopic, TopicConfig};
pub use self::transactions::{Identity, TRANSACTION_TIMEOUT};

use self::transactions::Transactions;
use crate::chance::Chance;

/// A partition of a topic: its name and number.
pub type Place = (String, usize);

/// Why a request failed. The names are those of Kafka's errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerError {
    /// A newer producer has the same transactional id.
    ProducerFenced,
    /// The previous transaction is not complete: retry.
    ConcurrentTransactions,
    /// No such transaction is open.
    InvalidTxnState,
    /// The group does not know this member.
    UnknownMemberId,
    /// The group has a newer generation.
    IllegalGeneration,
    /// Another process has the same `group.instance.id`.
    FencedInstanceId,
    /// The group rebalances.
    RebalanceInProgress,
    /// A transaction with a newer offset is not complete: retry.
    UnstableOffsetCommit,
    /// The partition does not exist.
    UnknownTopicOrPartition,
    /// Writing the topic is not authorized.
    TopicAuthorizationFailed,
    /// The batch is larger than `max.message.bytes`.
    MessageSizeTooLarge,
    /// A timestamp is too far in the future.
    InvalidTimestamp,
    /// A record violates the policy of the topic.
    PolicyViolation,
    /// The offset was deleted, or is behind the end.
    OffsetOutOfRange,
}

impl std::fmt::Display for BrokerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// A request whose sender no longer waits for the response.
#[derive(Debug)]
pub enum Late {
    /// Records for one partition.
    Produce(Option<Identity>, Place, Vec<Content>),
    /// Commits a transaction.
    EndTxn(Identity),
    /// Adds offsets to a transaction: the group, its member and generation.
    TxnOffsetCommit(Identity, String, u64, u32, Vec<(Place, i64, String)>),
}

/// All brokers.
#[derive(Debug, Default)]
pub struct Cluster {
    /// By name.
    pub topics: BTreeMap<String, SimulatedTopic>,
    groups: BTreeMap<String, Group>,
    transactions: Transactions,
    /// Requests on their way, each with its time of arrival.
    late: Vec<(Duration, Late)>,
    now: Duration,
    /// No broker is reachable before this time.
    unreachable_until: Duration,
}

impl Cluster {
    /// Sets a topic's config.
    ///
    /// # Panics
    /// If there is no such topic.
    pub fn set_topic_config(&mut self, topic: &str, config: TopicConfig) {
        self.topics
            .get_mut(topic)
            .expect("every schedule creates its topics first")
            .config = config;
    }

    /// Creates a topic.
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

    /// A partition.
    ///
    /// # Panics
    /// If it does not exist: every schedule creates its topics first.
    #[must_use]
    pub fn partition(&self, topic: &str, partition: usize) -> &Partition {
        &self.topics[topic].partitions[partition]
    }

    fn partition_mut(&mut self, (topic, partition): &Place) -> &mut Partition {
        &mut self
            .topics
            .get_mut(topic)
            .expect("every schedule creates its topics first")
            .partitions[*partition]
    }

    /// Whether a partition exists.
    #[must_use]
    pub fn has(&self, (topic, partition): &Place) -> bool {
        self.topics
            .get(topic)
            .is_some_and(|topic| *partition < topic.partitions.len())
    }

    /// The first committed record at or after an offset.
    ///
    /// # Errors
    /// If the offset is below the log start offset, or behind the end.
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

    /// A group. It is empty if nobody has joined it.
    pub fn group(&mut self, group: &str) -> &mut Group {
        self.groups.entry(group.to_owned()).or_default()
    }

    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = (&String, &Group)> {
        self.groups.iter()
    }

    /// Whether the brokers are reachable.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.now >= self.unreachable_until
    }

    /// Makes all brokers unreachable for a while.
    pub fn make_unreachable(&mut self, time: Duration) {
        self.unreachable_until = self.now + time;
    }

    /// Advances the clock: sessions and transactions time out, late requests arrive, and a marker
    /// may be written.
    pub fn tick(&mut self, now: Duration, chance: &mut Chance) {
        self.now = now;
        if !self.is_reachable() {
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
                    // Nobody waits for the response.
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

    /// Lets a request arrive later.
    pub fn arrives_late(&mut self, after: Duration, request: Late) {
        self.late.push((self.now + after, request));
    }

    /// Whether nothing is open or on its way.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.late.is_empty()
            && self.transactions.is_quiet()
            && self.groups.values().all(Group::is_stable)
    }

    /// Joins a group. A process with a known `group.instance.id` replaces the member of that id,
    /// without a rebalance. Returns the member id.
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

    /// Removes a member from its group, if it is in it.
    pub fn leave(&mut self, group: &str, member: u64) {
        let now = self.now;
        self.groups
            .entry(group.to_owned())
            .or_default()
            .leave(member, now, &self.topics);
    }

    /// The process of a member has died. Its session ends later.
    pub fn dies(&mut self, group: &str, member: u64) {
        let until = self.now + SESSION_TIMEOUT;
        self.group(group).dies(member, until);
    }

    /// Rebalances a group.
    pub fn rebalance(&mut self, group: &str) {
        let now = self.now;
        self.group(group).prepare(now);
    }

    /// Compacts a partition.
    pub fn compact(&mut self, place: &Place, chance: &mut Chance) {
        let partition = self.partition_mut(place);
        let stable = partition.stable_end();
        let from = stable - stable.min(i64::from(chance.below(8)));
        let tombstones = chance.one_in(4);
        partition.compact(if chance.one_in(2) { stable } else { from }, tombstones);
    }

    /// Loses the first records of any partition, as a damaged changelog does.
    pub fn lose(&mut self, place: &Place, below: i64) {
        self.partition_mut(place).lose(below);
    }

    /// Deletes some of the first records of a partition, read or not, as retention or
    /// `DeleteRecords` does. Returns the range of their offsets.
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

    /// Deletes all records of a partition below an offset, read or not.
    pub fn delete_records(&mut self, place: &Place, below: i64) {
        let partition = self.partition_mut(place);
        partition.start = partition.start.max(below.min(partition.stable_end()));
    }

    /// Deletes a topic and creates it again, empty. Groups lose their offsets in it, and its open
    /// transactions are aborted first.
    ///
    /// # Panics
    /// If there is no such topic.
    pub fn recreate(&mut self, topic: &str) {
        self.end_transactions_in(topic);
        let decided = self.decided_producers();
        let groups = &self.groups;
        let recreated = self
            .topics
            .get_mut(topic)
            .expect("every schedule creates its topics first");
        recreated.recreate(|partition| {
            let place = (topic.to_owned(), partition);
            let readers = groups
                .iter()
                .filter(|(_, group)| group.has_read(&place, &decided));
            readers.map(|(name, _)| name.clone()).collect()
        });
        for group in self.groups.values_mut() {
            group.forget(topic);
        }
    }

    /// Adds a partition to a topic. The groups that read it rebalance.
    ///
    /// # Panics
    /// If there is no such topic.
    pub fn add_a_partition(&mut self, topic: &str) {
        let now = self.now;
        let grown = self
            .topics
            .get_mut(topic)
            .expect("every schedule creates its topics first");
        grown.partitions.push(Partition::default());
        for (name, group) in &mut self.groups {
            let mut committed = group.committed.iter();
            if committed.any(|((name, _), (next, _))| name == topic && *next > 0) {
                grown.readers_when_grown.insert(name.clone());
            }
            if group.reads(topic) {
                group.prepare(now);
            }
        }
    }

    /// Nobody is authorized to write a topic for some time. `None` is for ever.
    ///
    /// # Panics
    /// If there is no such topic.
    pub fn forbid(&mut self, topic: &str, time: Option<Duration>) {
        let until = time.map_or(Duration::MAX, |time| self.now + time);
        self.topics
            .get_mut(topic)
            .expect("every schedule creates its topics first")
            .forbidden_until = until;
    }

    /// Whether there is a topic that nobody may ever write again.
    #[must_use]
    pub fn forbids_for_good(&self) -> bool {
        self.topics
            .values()
            .any(|topic| topic.forbidden_until == Duration::MAX)
    }

    /// Deletes the first records of a partition that all of these groups have read.
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
