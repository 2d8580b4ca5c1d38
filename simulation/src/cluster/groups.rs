//! The group coordinator: members, generations, partitions shared out, offsets.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{BrokerError, Place, SimulatedTopic};

/// A member that is not heard of for so long is taken out of its group.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a group waits for its members to join again.
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(30);

/// A consumer group.
#[derive(Debug, Default)]
pub struct Group {
    generation: u32,
    /// While it waits for its members to join again: until when.
    preparing: Option<Duration>,
    members: BTreeMap<u64, Member>,
    next_member: u64,
    /// The next offset to read of each partition, and what was noted with it.
    pub committed: BTreeMap<Place, (i64, String)>,
    /// The first offset that was ever committed of each partition: where its reader began.
    pub begun: BTreeMap<Place, i64>,
    /// Offsets of transactions that are not complete, by producer.
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
    /// When its session ends, if its process is dead.
    ends: Option<Duration>,
}

/// What a heartbeat is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// It is a member of this generation with these partitions.
    Stable(u32, Vec<Place>),
    /// It must join again.
    Rebalance,
    /// It has joined again, others have not.
    Waiting,
    /// It is no member.
    Unknown,
    /// Another process has its instance id.
    Fenced,
}

impl Group {
    /// Takes in a process: one whose instance id is known takes the place of the one before,
    /// without a rebalance. Gives the member id.
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
                let mut member = self.members.remove(&before).expect("it was found just now");
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
                .expect("it was put in just now")
                .has_joined = true;
            self.complete(all);
        }
        id
    }

    /// Calls all members together again.
    pub(super) fn prepare(&mut self, now: Duration) {
        if self.preparing.is_none() && !self.members.is_empty() {
            self.preparing = Some(now + REBALANCE_TIMEOUT);
            self.members
                .values_mut()
                .for_each(|member| member.has_joined = false);
        }
    }

    /// Shares out the partitions once all members have joined again.
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
        // The range assignor: as many in a row for each member, one more for the first ones.
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

    /// Whether it has worked on anything of a topic.
    pub(super) fn has_read(&self, topic: &str) -> bool {
        let of_topic = self.begun.iter().filter(|((name, _), _)| name == topic);
        of_topic.into_iter().any(|(place, begun)| {
            self.committed
                .get(place)
                .is_none_or(|(next, _)| next > begun)
        })
    }

    /// A topic is gone, and with it all offsets in it.
    pub(super) fn forget(&mut self, topic: &str) {
        self.committed.retain(|(name, _), _| name != topic);
        self.begun.retain(|(name, _), _| name != topic);
        self.pending
            .values_mut()
            .for_each(|held| held.retain(|(name, _), _| name != topic));
    }

    /// Nobody has been in the group for so long that all its offsets are deleted; false if somebody
    /// is, or there are none.
    pub fn expire_offsets(&mut self) -> bool {
        let expires =
            self.members.is_empty() && self.pending.is_empty() && !self.committed.is_empty();
        if expires {
            let read_nothing = |place: &Place, begun: i64| {
                self.committed
                    .get(place)
                    .is_some_and(|(next, _)| *next <= begun)
            };
            self.begun = self
                .begun
                .iter()
                .filter(|(place, begun)| !read_nothing(place, **begun))
                .map(|(place, begun)| (place.clone(), *begun))
                .collect();
            self.committed.clear();
        }
        expires
    }

    /// The member ids with their members.
    pub fn members(&self) -> impl Iterator<Item = (u64, &Member)> {
        self.members.iter().map(|(id, member)| (*id, member))
    }

    /// How often its partitions were shared out.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether it waits for nobody.
    #[must_use]
    pub fn is_stable(&self) -> bool {
        self.preparing.is_none()
            && self.pending.is_empty()
            && self.members.values().all(|member| member.ends.is_none())
    }

    /// What the group answers to the heartbeat of a process.
    #[must_use]
    pub fn heartbeat(&self, instance: &str, member: u64) -> Heard {
        match self.members.get(&member) {
            Some(_) if self.preparing.is_none() => {
                Heard::Stable(self.generation, self.members[&member].assignment.clone())
            }
            Some(member) if member.has_joined => Heard::Waiting,
            Some(_) => Heard::Rebalance,
            None if self
                .members
                .values()
                .any(|member| member.instance == instance) =>
            {
                Heard::Fenced
            }
            None => Heard::Unknown,
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

    /// Commits offsets at once.
    ///
    /// # Errors
    /// If the member is none of the present generation.
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
                .map(|(place, offset, note)| (place, (offset, note)))
                .collect(),
        );
        Ok(())
    }

    pub(super) fn hold_offsets(
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
                .map(|(place, offset, note)| (place, (offset, note))),
        );
        Ok(())
    }

    pub(super) fn settle_offsets(&mut self, producer: i64, commit: bool) {
        let held = self.pending.remove(&producer).unwrap_or_default();
        if commit {
            self.settle(held);
        }
    }

    fn settle(&mut self, offsets: BTreeMap<Place, (i64, String)>) {
        for (place, (offset, _)) in &offsets {
            self.begun.entry(place.clone()).or_insert(*offset);
        }
        self.committed.extend(offsets);
    }

    /// The committed offset of a partition with its note, for a reader that waits for stable ones.
    ///
    /// # Errors
    /// While a transaction that holds its next one is not complete.
    pub fn fetch_offset(&self, place: &Place) -> Result<Option<(i64, String)>, BrokerError> {
        if self.pending.values().any(|held| held.contains_key(place)) {
            return Err(BrokerError::UnstableOffsetCommit);
        }
        Ok(self.committed.get(place).cloned())
    }
}
