//! The log of a stage on a simulated cluster: [`SimulatedLog`].
//!
//! It takes the same steps in the same order as `stream/src/kafka.rs` does with librdkafka, and
//! [asks the world](World::step) between any two of them. A mistake in that order can be made here
//! as well as there.

mod commit;
mod read;
mod send;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use stream::error::Error;
use stream::log::{
    ConsumerRecord, Event, Fault, Log, OffsetAndMetadata, ProducerRecord, Record, RestoreCallback,
    TopicPartition, Watermarks,
};
use stream::pipeline::{Guarantee, Pipeline, Stage, Topic};
use stream::shutdown::Shutdown;

use self::send::Producer;
pub use self::send::place_of;
use crate::cluster::{BrokerError, Cluster, Content, Heard, Place};
use crate::world::{Being, World};

/// Between two tries of what is to be tried again.
const AGAIN: Duration = Duration::from_millis(5);

/// A stage's consumer and producer.
pub struct SimulatedLog {
    world: Rc<World>,
    being: Rc<Being>,
    stage: String,
    identity: String,
    inputs: Vec<String>,
    guarantee: Guarantee,
    shutdown: Shutdown,
    producer: RefCell<Producer>,
    /// Whether a transaction is open.
    begun: Cell<bool>,
    /// Whether the next transaction needs a new producer: a copy of what the last one was committed
    /// with may still be on its way.
    renews: Cell<bool>,
    /// How large a batch may be, in bytes.
    batch: Cell<usize>,
    /// Nothing for a stage without inputs.
    consumer: Option<RefCell<Consumer>>,
}

#[derive(Default)]
struct Consumer {
    member: u64,
    generation: u32,
    /// Whether the stage has been given its partitions and not released them.
    holds: bool,
    /// Whether it has been told that they are taken.
    told: bool,
    /// The next offset of each assigned partition.
    positions: BTreeMap<TopicPartition, i64>,
    /// How often the topic of each had been made anew when it was looked up.
    made_anew: BTreeMap<TopicPartition, usize>,
    last: Option<TopicPartition>,
}

impl SimulatedLog {
    /// Connects a stage: fences an older process of the same instance and joins the group.
    ///
    /// # Errors
    /// If the process dies meanwhile.
    pub fn open(
        world: &Rc<World>,
        being: &Rc<Being>,
        pipeline: &Pipeline,
        stage: &Stage,
        instance: &str,
        shutdown: &Shutdown,
    ) -> Result<Self, Fault> {
        let mut log = SimulatedLog {
            world: world.clone(),
            being: being.clone(),
            stage: stage.name.clone(),
            // A source is one producer, whichever instance runs it.
            identity: if stage.from.is_empty() {
                stage.name.clone()
            } else {
                format!("{}@{instance}", stage.name)
            },
            inputs: stage.from.clone(),
            guarantee: pipeline.guarantee,
            shutdown: shutdown.clone(),
            producer: RefCell::default(),
            begun: Cell::new(false),
            renews: Cell::new(false),
            batch: Cell::new(smallest(pipeline, stage)),
            consumer: None,
        };
        log.make_producer()?;
        if !log.inputs.is_empty() {
            log.step("join")?;
            log.consumer = Some(RefCell::default());
            log.join(None);
        }
        Ok(log)
    }

    /// What its process is to the world.
    #[must_use]
    pub fn being(&self) -> &Being {
        &self.being
    }

    fn step(&self, doing: &'static str) -> Result<(), Fault> {
        self.world.step(&self.being, doing)
    }

    fn wait(&self, time: Duration) -> Result<(), Fault> {
        self.world.idle(time);
        self.shutdown.check()?;
        self.step("wait")
    }

    /// Waits until brokers answer.
    fn reach(&self) -> Result<(), Fault> {
        while !self.world.cluster().answers() {
            self.wait(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Asks until the answer is no longer to try again.
    fn patiently<T>(
        &self,
        doing: &'static str,
        ask: impl Fn(&mut Cluster) -> Result<T, BrokerError>,
    ) -> Result<T, Fault> {
        self.answer(doing, ask)?
            .map_err(|refusal| abortable(doing, refusal))
    }

    /// The same, with what was refused apart from what went wrong.
    fn answer<T>(
        &self,
        doing: &'static str,
        ask: impl Fn(&mut Cluster) -> Result<T, BrokerError>,
    ) -> Result<Result<T, BrokerError>, Fault> {
        loop {
            self.step(doing)?;
            self.reach()?;
            let answer = ask(&mut self.world.cluster());
            match answer {
                Err(BrokerError::ConcurrentTransactions | BrokerError::UnstableOffsetCommit) => {
                    self.wait(AGAIN)?
                }
                answer => return Ok(answer),
            }
        }
    }

    fn consumer(&self) -> &RefCell<Consumer> {
        self.consumer
            .as_ref()
            .expect("only a stage with inputs is given partitions")
    }

    fn join(&self, member: Option<u64>) {
        let member = self
            .world
            .cluster()
            .join(&self.stage, &self.identity, member, &self.inputs);
        self.consumer().borrow_mut().member = member;
        *self.being.member.borrow_mut() = Some((self.stage.clone(), member));
    }

    /// The next rebalance that waits for an answer.
    fn rebalanced<R>(&self) -> Result<Option<Event<R>>, Fault> {
        let Consumer {
            member,
            holds,
            told,
            ..
        } = *self.consumer().borrow();
        let heard = self
            .world
            .cluster()
            .group(&self.stage)
            .heartbeat(&self.identity, member);
        let is_news = !(matches!(heard, Heard::Stable(..)) && holds);
        // News come with heartbeats, which are some time apart.
        if is_news && self.world.is_bad() && self.world.chance().one_in(2) {
            return Ok(None);
        }
        match heard {
            Heard::Fenced => {
                let error = Error::new(
                    format!("reading {}", self.inputs.join(", ")),
                    BrokerError::FencedInstanceId,
                );
                return Err(Fault::Fatal(
                    error.help("another process has taken this one's place"),
                ));
            }
            Heard::Unknown | Heard::Rebalance if holds => {
                if !told {
                    self.consumer().borrow_mut().told = true;
                    let lost = heard == Heard::Unknown;
                    self.world.tell(&self.being.name, || {
                        format!("partitions taken, lost: {lost}")
                    });
                    return Ok(Some(Event::Revoked { lost }));
                }
            }
            Heard::Unknown => self.join(None),
            Heard::Rebalance => self.join(Some(member)),
            Heard::Stable(generation, given) if !holds => {
                let mut consumer = self.consumer().borrow_mut();
                (consumer.generation, consumer.holds, consumer.told) = (generation, true, false);
                self.world.tell(&self.being.name, || {
                    format!("generation {generation}: given {given:?}")
                });
                let index = |name: &String| self.inputs.iter().position(|input| input == name);
                let partition = |(topic, partition): &Place| {
                    Some(TopicPartition {
                        topic: index(topic)?,
                        partition: i32::try_from(*partition).ok()?,
                    })
                };
                return Ok(Some(Event::Assigned(
                    given.iter().filter_map(partition).collect(),
                )));
            }
            Heard::Stable(..) | Heard::Waiting => {}
        }
        Ok(None)
    }

    fn place(&self, partition: TopicPartition) -> Place {
        (
            self.inputs[partition.topic].clone(),
            usize::try_from(partition.partition).expect("it was given"),
        )
    }

    /// Offsets of a topic that was made anew since they were looked up are another topic's.
    fn check_identity(&self, cluster: &Cluster, partition: TopicPartition) -> Result<(), Fault> {
        let before = self.consumer().borrow().made_anew.get(&partition).copied();
        let now = cluster.topics[&self.inputs[partition.topic]].former.len();
        if before.is_some_and(|before| before != now) {
            return Err(abortable(
                "going on in a topic",
                BrokerError::UnknownTopicOrPartition,
            ));
        }
        Ok(())
    }

    /// Whether the topic of an offset was made anew since that was looked up.
    fn is_another(&self, cluster: &Cluster, place: &Place) -> bool {
        let now = cluster.topics[&place.0].former.len();
        let consumer = self.consumer().borrow();
        let known = consumer
            .made_anew
            .iter()
            .find(|(partition, _)| self.place(**partition) == *place);
        known.is_some_and(|(_, before)| *before != now)
    }

    /// The next record of any assigned partition.
    fn next_record(&self) -> Result<Option<SimulatedRecord>, Fault> {
        let mut partitions: Vec<TopicPartition> =
            self.consumer().borrow().positions.keys().copied().collect();
        if partitions.is_empty() {
            return Ok(None);
        }
        // Records come in runs of one partition.
        if let Some(last) = self
            .consumer()
            .borrow()
            .last
            .filter(|_| !self.world.chance().one_in(4))
        {
            partitions.sort_by_key(|partition| *partition != last);
        } else {
            let first = self.world.chance().index(partitions.len());
            partitions.swap(0, first);
        }
        for partition in partitions {
            let place = self.place(partition);
            let from = self.consumer().borrow().positions[&partition];
            let cluster = self.world.cluster();
            self.check_identity(&cluster, partition)?;
            let found = cluster
                .fetch(&place, from)
                .map_err(|refusal| abortable("reading", refusal))?;
            let found = found.map(|found| SimulatedRecord {
                partition,
                offset: found.offset,
                content: found.content.clone(),
            });
            drop(cluster);
            let mut consumer = self.consumer().borrow_mut();
            let next = found.as_ref().map_or(from, |found| found.offset + 1);
            consumer.positions.insert(partition, next);
            if found.is_some() {
                consumer.last = Some(partition);
                return Ok(found);
            }
        }
        Ok(None)
    }
}

impl Log for SimulatedLog {
    type Record<'a> = SimulatedRecord;

    fn poll(&self, wait: Duration) -> Result<Event<SimulatedRecord>, Fault> {
        self.step("poll")?;
        if self.world.cluster().answers() {
            if let Some(event) = self.rebalanced()? {
                return Ok(event);
            }
            if let Some(record) = self.next_record()? {
                return Ok(Event::Record(record));
            }
        }
        if !wait.is_zero() {
            self.world.idle(wait);
        }
        self.check_delivery()?;
        Ok(Event::Timeout)
    }

    fn assign(&mut self, from: &[(TopicPartition, i64)]) -> Result<(), Fault> {
        self.step("assign")?;
        let mut consumer = self.consumer().borrow_mut();
        (consumer.positions, consumer.last) = (from.iter().copied().collect(), None);
        Ok(())
    }

    fn unassign(&mut self) -> Result<(), Fault> {
        self.step("release")?;
        let member = {
            let mut consumer = self.consumer().borrow_mut();
            (consumer.holds, consumer.told, consumer.positions) = (false, false, BTreeMap::new());
            consumer.member
        };
        let heard = self
            .world
            .cluster()
            .group(&self.stage)
            .heartbeat(&self.identity, member);
        match heard {
            Heard::Fenced => (),
            Heard::Unknown => self.join(None),
            _ => self.join(Some(member)),
        }
        Ok(())
    }

    fn send(&self, record: &ProducerRecord<'_>) -> Result<(), Fault> {
        self.step("send")?;
        self.begin()?;
        let place = (record.topic.to_owned(), self.choose(record));
        let bytes = |bytes: &[u8]| bytes.to_vec();
        let now = i64::try_from(self.world.time().as_millis()).expect("it is short");
        let content = Content {
            key: record.key.map(bytes),
            value: record.value.map(bytes),
            headers: record.headers.to_vec(),
            timestamp: record.timestamp.unwrap_or(now),
        };
        self.producer.borrow_mut().queue.push_back((place, content));
        // librdkafka's own thread sends when it likes.
        if self.world.chance().one_in(4) {
            self.deliver()?;
        }
        self.check_delivery()
    }

    fn flush_unless_transactional(&mut self) -> Result<(), Fault> {
        if self.guarantee == Guarantee::AtLeastOnce {
            self.drain()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<(), Fault> {
        self.drain()
    }

    fn watermarks(&mut self, topic: &str, partitions: &[i32]) -> Result<Vec<Watermarks>, Fault> {
        self.step("asking for the extents")?;
        self.reach()?;
        let cluster = self.world.cluster();
        if let (Some(consumer), Some(topic_index)) = (
            &self.consumer,
            self.inputs.iter().position(|input| input == topic),
        ) {
            let times = cluster.topics[topic].former.len();
            let partition = |partition: &i32| {
                (
                    TopicPartition {
                        topic: topic_index,
                        partition: *partition,
                    },
                    times,
                )
            };
            consumer
                .borrow_mut()
                .made_anew
                .extend(partitions.iter().map(partition));
        }
        let all = &cluster.topics[topic].partitions;
        let count = i32::try_from(all.len()).expect("they are few");
        let watermarks = |partition: &i32| {
            let log = &all[usize::try_from(*partition).expect("it was given")];
            Watermarks {
                partition: *partition,
                low: log.start,
                high: log.end(),
                partition_count: count,
            }
        };
        Ok(partitions.iter().map(watermarks).collect())
    }

    fn commit(&mut self, positions: &[OffsetAndMetadata]) -> Result<(), Fault> {
        self.step("commit")?;
        for position in positions {
            self.check_identity(&self.world.cluster(), position.partition)?;
        }
        let offsets: Vec<_> = positions
            .iter()
            .map(|position| {
                let place = self.place(position.partition);
                (place, position.offset, position.metadata.clone())
            })
            .collect();
        match self.guarantee {
            Guarantee::ExactlyOnce => self.commit_transaction(&offsets),
            Guarantee::AtLeastOnce => self.commit_offsets(&offsets),
        }
    }

    fn abort(&mut self) -> Result<(), Fault> {
        self.step("rewind")?;
        self.world.tell(&self.being.name, || "rewind".to_owned());
        if let Some(consumer) = &self.consumer {
            consumer.borrow_mut().positions.clear();
        }
        self.begun.set(false);
        self.abandon_queue();
        self.make_producer()
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<OffsetAndMetadata>, Fault> {
        let mut committed = Vec::new();
        for partition in partitions {
            let place = self.place(*partition);
            let ask = |cluster: &mut Cluster| cluster.group(&self.stage).fetch_offset(&place);
            if let Some((offset, metadata)) = self.patiently("asking for the offsets", ask)? {
                committed.push(OffsetAndMetadata {
                    partition: *partition,
                    offset,
                    metadata,
                });
            }
        }
        Ok(committed)
    }

    fn restore(
        &mut self,
        topic: &str,
        partitions: &[i32],
        each: RestoreCallback<'_>,
    ) -> Result<(), Fault> {
        self.read_changelog(topic, partitions, each)
    }

    fn at_end(&mut self, positions: &[(TopicPartition, Option<i64>)]) -> Result<bool, Fault> {
        let partitions: Vec<TopicPartition> =
            positions.iter().map(|(partition, _)| *partition).collect();
        let committed = self.committed(&partitions)?;
        for (partition, next) in positions {
            let committed = || {
                committed
                    .iter()
                    .find(|committed| committed.partition == *partition)
            };
            let from = next.or_else(|| Some(committed()?.offset));
            if !self.is_at_end(&self.place(*partition), from)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn now(&self) -> Instant {
        self.world.now()
    }

    fn sleep(&self, time: Duration) {
        self.world.idle(time);
    }
}

impl Drop for SimulatedLog {
    fn drop(&mut self) {
        if self.being.is_dead.get() {
            self.abandon_queue();
        }
        let Some(consumer) = &self.consumer else {
            return;
        };
        let member = consumer.borrow().member;
        let mut cluster = self.world.cluster();
        if self.being.is_dead.get() {
            cluster.dies(&self.stage, member)
        } else {
            cluster.leave(&self.stage, member)
        }
    }
}

/// A record that was read.
#[derive(Debug)]
pub struct SimulatedRecord {
    partition: TopicPartition,
    offset: i64,
    content: Content,
}

impl Record for SimulatedRecord {
    fn fields(&self) -> ConsumerRecord<'_> {
        ConsumerRecord {
            topic: self.partition.topic,
            partition: self.partition.partition,
            offset: self.offset,
            timestamp: self.content.timestamp,
            key: self.content.key.as_deref(),
            value: self.content.value.as_deref(),
        }
    }

    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        self.content.headers.clone()
    }
}

/// How large a batch may be so that each topic takes it that the stage writes, as far as the file
/// tells.
fn smallest(pipeline: &Pipeline, stage: &Stage) -> usize {
    let topics = stage
        .to
        .iter()
        .cloned()
        .chain([stage.changelog(), stage.dead_letters()]);
    let largest = topics
        .filter_map(|topic| pipeline.topics.get(&topic))
        .map(Topic::largest_message);
    largest.min().unwrap_or_default()
}

fn abortable(doing: &str, refusal: BrokerError) -> Fault {
    Fault::Abortable(Error::new(doing, refusal))
}
