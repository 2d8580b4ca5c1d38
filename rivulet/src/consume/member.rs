//! A member of a group, or a reader without a group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::log::TopicPartition;
use rivulet_core::reminder::{Reminder, lasting};
use rivulet_core::shutdown::Shutdown;
use rivulet_kafka::{Consumer, ConsumerEvent, OwnedRecord, Position};
use rivulet_node::cli::BoxError;

use super::output::Output;
use super::{Consumption, Counts};
use crate::print;

/// How long to wait for a record before the end is checked.
const TICK: Duration = Duration::from_millis(100);
/// How often a count is printed.
const EVERY: u64 = 1000;

/// What the members share.
pub(super) struct Together {
    members: usize,
    shutdown: Shutdown,
    /// Which members have partitions assigned, even if none.
    joined: Mutex<BTreeSet<u32>>,
    /// Whether all members were once assigned partitions at the same time.
    is_complete: AtomicBool,
    /// Which members have read everything.
    at_end: Mutex<BTreeSet<u32>>,
    /// How many records were taken.
    taken: AtomicU64,
    /// Whether there is nothing left to do.
    is_over: AtomicBool,
}

impl Together {
    pub(super) fn new(members: u32, shutdown: Shutdown) -> Self {
        Together {
            members: members as usize,
            shutdown,
            joined: Mutex::default(),
            is_complete: AtomicBool::new(false),
            at_end: Mutex::default(),
            taken: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || self.shutdown.is_stopping()
    }

    fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Relaxed)
    }

    fn set_joined(&self, member: u32, is_joined: bool) {
        if set(&self.joined, member, is_joined) == self.members {
            self.is_complete.store(true, Ordering::Relaxed);
        }
    }

    fn set_at_end(&self, member: u32, is_at_end: bool) {
        if set(&self.at_end, member, is_at_end) == self.members {
            self.end();
        }
    }
}

/// Adds a member to a set or removes it, and returns how many there are.
fn set(members: &Mutex<BTreeSet<u32>>, member: u32, is_in: bool) -> usize {
    let mut members = members.lock().unwrap_or_else(PoisonError::into_inner);
    if is_in {
        members.insert(member);
    } else {
        members.remove(&member);
    }
    members.len()
}

/// A member.
pub(super) struct Member<'m> {
    number: u32,
    what: &'m Consumption,
    consumer: Consumer,
    output: &'m Mutex<Output>,
    together: &'m Together,
    /// `None` while the group has not said which.
    assigned: Option<BTreeSet<TopicPartition>>,
    ended: BTreeSet<TopicPartition>,
    /// Whether it waits until all members are there. Otherwise the first would read everything.
    is_waiting: bool,
    counts: Counts,
    outages: Reminder<()>,
}

impl<'m> Member<'m> {
    pub(super) fn new(
        number: u32,
        what: &'m Consumption,
        consumer: Consumer,
        output: &'m Mutex<Output>,
        together: &'m Together,
    ) -> Self {
        Member {
            number,
            what,
            consumer,
            output,
            together,
            assigned: None,
            ended: BTreeSet::new(),
            is_waiting: false,
            counts: Counts::default(),
            outages: Reminder::new(),
        }
    }

    /// Reads until it is over for all members.
    pub(super) fn run(mut self) -> Result<Counts, BoxError> {
        let read = self.read();
        self.together.end();
        read.map(|()| self.counts)
    }

    fn read(&mut self) -> Result<(), BoxError> {
        while !self.together.is_over() {
            if self.is_waiting && self.together.is_complete() {
                self.is_waiting = false;
                self.consumer.resume()?;
            }
            match self.consumer.poll(TICK)? {
                ConsumerEvent::Record(record) => self.take(&record)?,
                ConsumerEvent::End(place) => {
                    self.ended.insert(place);
                    self.check_end();
                }
                ConsumerEvent::Assigned(places) => self.assigned(places)?,
                ConsumerEvent::Revoked => {
                    self.consumer.unassign()?;
                    self.say(format_args!("revoked all partitions"));
                    (self.assigned, self.ended) = (None, BTreeSet::new());
                    self.together.set_joined(self.number, false);
                    self.together.set_at_end(self.number, false);
                }
                ConsumerEvent::Nothing => {
                    self.output().flush()?;
                    self.check_end();
                    self.report_outage();
                }
            }
        }
        Ok(())
    }

    fn output(&self) -> MutexGuard<'m, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn assigned(&mut self, places: Vec<TopicPartition>) -> Result<(), BoxError> {
        let start = self.what.start.position(self.what.settings.group.is_some());
        let mut from = Vec::new();
        for place in &places {
            let next = match &self.output().store {
                Some(store) => store.next(self.topic(*place), place.partition)?,
                None => None,
            };
            from.push((*place, next.map_or(start, Position::Offset)));
        }
        self.is_waiting = !self.together.is_complete() && self.what.members > 1;
        self.consumer.assign(&from, self.is_waiting)?;
        self.assigned = Some(places.into_iter().collect());
        self.say(format_args!("assigned {}", self.assignment()));
        self.together.set_joined(self.number, true);
        Ok(())
    }

    /// The assigned partitions, by topic.
    fn assignment(&self) -> String {
        let mut by_topic: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for place in self.assigned.iter().flatten() {
            let partitions = by_topic.entry(self.topic(*place)).or_default();
            partitions.push(place.partition.to_string());
        }
        let topics = by_topic.into_iter();
        let topics = topics.map(|(topic, numbers)| format!("{topic} [{}]", numbers.join(" ")));
        match topics.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "no partitions".to_owned(),
            some => some,
        }
    }

    fn topic(&self, place: TopicPartition) -> &'m str {
        &self.what.settings.topics[place.topic]
    }

    fn take(&mut self, record: &OwnedRecord) -> Result<(), BoxError> {
        let fields = record.fields();
        let place = fields.partition();
        if self.ended.remove(&place) {
            self.together.set_at_end(self.number, false);
        }
        self.counts.read += 1;
        let is_wanted = self
            .what
            .key
            .as_deref()
            .is_none_or(|key| fields.key == Some(key));
        if is_wanted {
            let before = self.together.taken.fetch_add(1, Ordering::Relaxed);
            if self.what.limit.is_some_and(|limit| before >= limit) {
                self.counts.read -= 1;
                self.together.end();
                return Ok(());
            }
            let is_new = self.output().take(self.topic(place), record)?;
            self.counts.taken += u64::from(is_new);
            self.commit_stored(place, fields.offset)?;
            if self.what.limit == Some(before + 1) {
                self.together.end();
            }
        }
        self.consumer.done(place, fields.offset)?;
        if self.counts.read.is_multiple_of(EVERY) {
            self.say(format_args!("{} records so far", self.counts.read));
        }
        Ok(())
    }

    /// Commits the offset of a record that was stored.
    fn commit_stored(&self, place: TopicPartition, offset: i64) -> Result<(), BoxError> {
        let Some(store) = &self.what.store else {
            return Ok(());
        };
        let stored = Instant::now();
        while stored.elapsed() < store.delay && !self.together.is_over() {
            thread::sleep(TICK.min(store.delay.saturating_sub(stored.elapsed())));
        }
        if store.commits {
            self.consumer.commit(place, offset)?;
        }
        Ok(())
    }

    fn check_end(&self) {
        let is_at_end = self.what.until_end
            && self.together.is_complete()
            && !self.is_waiting
            && self.assigned.as_ref() == Some(&self.ended);
        if is_at_end {
            self.together.set_at_end(self.number, true);
        }
    }

    fn report_outage(&mut self) {
        let Some(why) = self.consumer.outage() else {
            return;
        };
        if let Some(lasted) = self.outages.due(&(), Instant::now()) {
            tracing::warn!("no broker answers{}, waiting: {why}", lasting(lasted));
        }
    }

    /// Prints what is not a record. If there are several members, with the number of this one.
    fn say(&self, what: std::fmt::Arguments<'_>) {
        if self.what.members > 1 {
            print::aside(format_args!("member {}: {what}", self.number));
        } else {
            print::aside(what);
        }
    }
}
