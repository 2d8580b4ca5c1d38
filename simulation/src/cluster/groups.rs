//! The group coordinator: members, generations, assignments and offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{BrokerError, Place, SimulatedTopic};

/// The session timeout: a member without heartbeats is removed after this time.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a rebalance waits for members to rejoin.
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(30);

/// A consumer group.
#[derive(Debug, Default)]
pub struct Group {
    generation: u32,
    /// The end of the rebalance. `None` if there is none.
    preparing: Option<Duration>,
    members: BTreeMap<u64, Member>,
    next_member: u64,
    /// The committed offset and metadata of each partition.
    pub committed: BTreeMap<Place, (i64, String)>,
    /// The first offset that was ever committed for each partition.
    pub start_offsets: BTreeMap<Place, i64>,
    /// Offsets of open transactions, by producer id.
    pending: BTreeMap<i64, BTreeMap<Place, (i64, String)>>,
}

/// A member of a group.
#[derive(Debug)]
pub struct Member {
    /// Its `group.instance.id`.
    pub instance: String,
    topics: Vec<String>,
    has_joined: bool,
    assignment: Vec<Place>,
    /// When its session ends. `None` while its process lives.
    ends: Option<Duration>,
}

/// The response to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeartbeatResponse {
    /// The member has these partitions in this generation.
    Stable(u32, Vec<Place>),
    /// The member must rejoin.
    Rebalance,
    /// The member has rejoined, others have not.
    Waiting,
    /// It is not a member.
    Unknown,
    /// Another process has its `group.instance.id`.
    Fenced,
}

impl Group {
    /// Joins a process. One with a known `group.instance.id` replaces the member of that id,
    /// without a rebalance. Returns the member id.
    pub(super) fn join(
        &mut self,
        instance: &str,
        member: Option<u64>,
        topics: &[String],
        now: Duration,
        all: &BTreeMap<String, SimulatedTopic>,
    ) -> u64 {
        let known = member.filter(|member| self.members.contains_key(member));
        let before = self
            .members
            .iter()
            .find(|(_, member)| member.instance == instance)
            .map(|(id, _)| *id);
        let id = match (known, before) {
            (Some(id), _) => id,
            (None, Some(before)) => {
                let mut member = self
                    .members
                    .remove(&before)
                    .expect("its id was found above");
                member.ends = None;
                self.next_member += 1;
                self.members.insert(self.next_member, member);
                self.next_member
            }
            (None, None) => {
                self.next_member += 1;
                self.members.insert(
                    self.next_member,
                    Member {
                        instance: instance.to_owned(),
                        topics: topics.to_vec(),
                        has_joined: false,
                        assignment: Vec::new(),
                        ends: None,
                    },
                );
                self.prepare(now);
                self.next_member
            }
        };
        if self.preparing.is_some() {
            self.members
                .get_mut(&id)
                .expect("it was inserted above")
                .has_joined = true;
            self.complete(all);
        }
        id
    }

    /// Starts a rebalance.
    pub(super) fn prepare(&mut self, now: Duration) {
        if self.preparing.is_none() && !self.members.is_empty() {
            self.preparing = Some(now + REBALANCE_TIMEOUT);
            self.members
                .values_mut()
                .for_each(|member| member.has_joined = false);
        }
    }

    /// Assigns the partitions once all members have rejoined.
    fn complete(&mut self, all: &BTreeMap<String, SimulatedTopic>) {
        if self.members.is_empty() {
            self.preparing = None;
        }
        if self.preparing.is_none() || self.members.values().any(|member| !member.has_joined) {
            return;
        }
        self.preparing = None;
        self.generation += 1;
        let topics: Vec<String> = self
            .members
            .values()
            .next()
            .map(|member| member.topics.clone())
            .unwrap_or_default();
        let mut members: Vec<&mut Member> = self.members.values_mut().collect();
        members.sort_by(|one, other| one.instance.cmp(&other.instance));
        for member in &mut members {
            member.assignment.clear();
        }
        // The range assignor: each member gets consecutive partitions, the first ones one more.
        for topic in topics {
            let (count, among) = (all[&topic].partitions.len(), members.len());
            let mut next = 0;
            for (rank, member) in members.iter_mut().enumerate() {
                let share = count / among + usize::from(rank < count % among);
                member
                    .assignment
                    .extend((next..next + share).map(|partition| (topic.clone(), partition)));
                next += share;
            }
        }
    }

    pub(super) fn leave(
        &mut self,
        member: u64,
        now: Duration,
        all: &BTreeMap<String, SimulatedTopic>,
    ) {
        if self.members.remove(&member).is_some() {
            self.prepare(now);
            self.complete(all);
        }
    }

    pub(super) fn dies(&mut self, member: u64, ends: Duration) {
        if let Some(member) = self.members.get_mut(&member) {
            member.ends = Some(ends);
        }
    }

    pub(super) fn tick(&mut self, now: Duration, all: &BTreeMap<String, SimulatedTopic>) {
        if self.preparing.is_none() && self.members.values().all(|member| member.ends.is_none()) {
            return;
        }
        let is_over = |at: Option<Duration>| at.is_some_and(|at| at <= now);
        let before = self.members.len();
        self.members.retain(|_, member| !is_over(member.ends));
        if self.members.len() < before {
            self.prepare(now);
        }
        if is_over(self.preparing) {
            self.members.retain(|_, member| member.has_joined);
        }
        self.complete(all);
    }

    /// Whether any member reads a topic.
    pub(super) fn reads(&self, topic: &str) -> bool {
        self.members
            .values()
            .any(|member| member.topics.iter().any(|name| name == topic))
    }

    /// Whether the group has committed records of a partition.
    pub(super) fn has_read(&self, place: &Place, decided: &BTreeSet<i64>) -> bool {
        let Some(start_offset) = self.start_offsets.get(place) else {
            return false;
        };
        let held = self
            .pending
            .iter()
            .filter(|(producer, _)| decided.contains(producer));
        let mut held = held.filter_map(|(_, held)| held.get(place));
        held.any(|(next, _)| next > start_offset)
            || self
                .committed
                .get(place)
                .is_none_or(|(next, _)| next > start_offset)
    }

    /// Drops all offsets of a topic, which was deleted.
    pub(super) fn forget(&mut self, topic: &str) {
        self.committed.retain(|(name, _), _| name != topic);
        self.start_offsets.retain(|(name, _), _| name != topic);
        self.pending
            .values_mut()
            .for_each(|held| held.retain(|(name, _), _| name != topic));
    }

    /// Deletes the offsets of a group that has been empty for too long. False if it has members or
    /// no offsets.
    pub fn expire_offsets(&mut self) -> bool {
        let expires =
            self.members.is_empty() && self.pending.is_empty() && !self.committed.is_empty();
        if expires {
            // Keeps the partitions of which records were read.
            self.start_offsets.retain(|place, start| {
                let committed = self.committed.get(place);
                committed.is_none_or(|(next, _)| *next > *start)
            });
            self.committed.clear();
        }
        expires
    }

    /// The members, by member id.
    pub fn members(&self) -> impl Iterator<Item = (u64, &Member)> {
        self.members.iter().map(|(id, member)| (*id, member))
    }

    /// How often it has rebalanced.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether it does not rebalance, has no pending offsets and no dead members.
    #[must_use]
    pub fn is_stable(&self) -> bool {
        self.preparing.is_none()
            && self.pending.is_empty()
            && self.members.values().all(|member| member.ends.is_none())
    }

    /// The response to a heartbeat of a process.
    #[must_use]
    pub fn heartbeat(&self, instance: &str, member: u64) -> HeartbeatResponse {
        match self.members.get(&member) {
            Some(_) if self.preparing.is_none() => {
                HeartbeatResponse::Stable(self.generation, self.members[&member].assignment.clone())
            }
            Some(member) if member.has_joined => HeartbeatResponse::Waiting,
            Some(_) => HeartbeatResponse::Rebalance,
            None if self
                .members
                .values()
                .any(|member| member.instance == instance) =>
            {
                HeartbeatResponse::Fenced
            }
            None => HeartbeatResponse::Unknown,
        }
    }

    fn check(&self, member: u64, generation: u32) -> Result<(), BrokerError> {
        if !self.members.contains_key(&member) {
            return Err(BrokerError::UnknownMemberId);
        }
        if self.generation != generation {
            return Err(BrokerError::IllegalGeneration);
        }
        Ok(())
    }

    /// Commits offsets.
    ///
    /// # Errors
    /// If the member is not in the current generation.
    pub fn commit_offsets(
        &mut self,
        member: u64,
        generation: u32,
        offsets: Vec<(Place, i64, String)>,
    ) -> Result<(), BrokerError> {
        self.check(member, generation)?;
        self.settle(
            offsets
                .into_iter()
                .map(|(place, offset, metadata)| (place, (offset, metadata)))
                .collect(),
        );
        Ok(())
    }

    pub(super) fn add_pending_offsets(
        &mut self,
        producer: i64,
        member: u64,
        generation: u32,
        offsets: Vec<(Place, i64, String)>,
    ) -> Result<(), BrokerError> {
        self.check(member, generation)?;
        let held = self.pending.entry(producer).or_default();
        held.extend(
            offsets
                .into_iter()
                .map(|(place, offset, metadata)| (place, (offset, metadata))),
        );
        Ok(())
    }

    pub(super) fn complete_offsets(&mut self, producer: i64, commit: bool) {
        let held = self.pending.remove(&producer).unwrap_or_default();
        if commit {
            self.settle(held);
        }
    }

    fn settle(&mut self, offsets: BTreeMap<Place, (i64, String)>) {
        for (place, (offset, _)) in &offsets {
            self.start_offsets.entry(place.clone()).or_insert(*offset);
        }
        self.committed.extend(offsets);
    }

    /// The committed offset and metadata of a partition, for a consumer that requires stable
    /// offsets.
    ///
    /// # Errors
    /// While a transaction with a newer offset is not complete.
    pub fn fetch_offset(&self, place: &Place) -> Result<Option<(i64, String)>, BrokerError> {
        if self.pending.values().any(|held| held.contains_key(place)) {
            return Err(BrokerError::UnstableOffsetCommit);
        }
        Ok(self.committed.get(place).cloned())
    }
}
