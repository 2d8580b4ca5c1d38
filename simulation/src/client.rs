//! The log of a stage on a simulated cluster: [`SimulatedLog`].
//!
//! It takes the same steps in the same order as `kafka/src/log.rs` does with librdkafka, and
//! calls [`World::step`] between any two of them. So the simulation finds mistakes in that order.

mod commit;
mod consumer;
mod fetch;
mod read;
mod record;
mod retry;
mod send;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rivulet_core::error::Error;
use rivulet_core::guarantee::Guarantee;
use rivulet_core::log::{
    Event, Fault, Log, OffsetAndMetadata, ProducerRecord, RestoreCallback, TopicPartition,
    Watermarks,
};
use rivulet_core::shutdown::Shutdown;
use rivulet_pipeline::{Pipeline, Stage, Topic};

pub use self::record::SimulatedRecord;
use self::send::Producer;
pub use self::send::place_of;
use crate::cluster::{BrokerError, Cluster, Content, HeartbeatResponse};
use crate::world::{SimulatedProcess, World};

/// How long to wait between two tries.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// A stage's consumer and producer.
pub struct SimulatedLog {
    world: Rc<World>,
    process: Rc<SimulatedProcess>,
    group: String,
    transactional_id: String,
    inputs: Vec<String>,
    guarantee: Guarantee,
    shutdown: Shutdown,
    producer: RefCell<Producer>,
    /// Whether a transaction is open.
    in_transaction: Cell<bool>,
    /// Whether the next transaction needs a new producer, because a copy of the last commit may
    /// still arrive.
    needs_new_producer: Cell<bool>,
    /// The largest batch, in bytes.
    batch: Cell<usize>,
    /// `None` for a stage without inputs.
    consumer: Option<RefCell<Consumer>>,
}

#[derive(Default)]
struct Consumer {
    member: u64,
    generation: u32,
    /// Whether `poll` has returned the assignment, and `unassign` was not called since.
    is_assigned: bool,
    /// Whether `poll` has returned that the partitions are revoked.
    is_revoking: bool,
    /// The next offset of each assigned partition.
    positions: BTreeMap<TopicPartition, i64>,
    /// How often the topic of each partition had been created again when its watermarks were read.
    recreated: BTreeMap<TopicPartition, usize>,
    last: Option<TopicPartition>,
    /// Records that are fetched and not returned yet.
    batch: VecDeque<SimulatedRecord>,
}

impl SimulatedLog {
    /// Connects a stage: fences an older process of the same instance, and joins the group.
    ///
    /// # Errors
    /// If the process dies.
    pub fn open(
        world: &Rc<World>,
        process: &Rc<SimulatedProcess>,
        pipeline: &Pipeline,
        stage: &Stage,
        instance: &str,
        shutdown: &Shutdown,
    ) -> Result<Self, Fault> {
        let mut log = SimulatedLog {
            world: world.clone(),
            process: process.clone(),
            group: stage.group(),
            // A source is one producer, whichever instance runs it.
            transactional_id: if stage.from.is_empty() {
                stage.group()
            } else {
                format!("{}@{instance}", stage.group())
            },
            inputs: stage.from.clone(),
            guarantee: pipeline.guarantee,
            shutdown: shutdown.clone(),
            producer: RefCell::default(),
            in_transaction: Cell::new(false),
            needs_new_producer: Cell::new(false),
            batch: Cell::new(smallest(pipeline, stage)),
            consumer: None,
        };
        log.init_producer()?;
        if !log.inputs.is_empty() {
            log.step("join")?;
            log.consumer = Some(RefCell::default());
            log.join(None);
        }
        Ok(log)
    }

    /// The process that this log belongs to.
    #[must_use]
    pub fn process(&self) -> &SimulatedProcess {
        &self.process
    }
}

impl Log for SimulatedLog {
    type Record<'a> = SimulatedRecord;

    fn poll(&self, wait: Duration) -> Result<Event<SimulatedRecord>, Fault> {
        self.step("poll")?;
        // What is fetched is returned before the group is heard.
        if let Some(record) = self.consumer().borrow_mut().batch.pop_front() {
            return Ok(Event::Record(record));
        }
        if self.world.cluster().is_reachable() {
            if let Some(event) = self.rebalanced()? {
                return Ok(event);
            }
            self.fetch()?;
            if let Some(record) = self.consumer().borrow_mut().batch.pop_front() {
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
        self.consumer()
            .borrow_mut()
            .read_from(from.iter().copied().collect());
        Ok(())
    }

    fn unassign(&mut self) -> Result<(), Fault> {
        self.step("unassign")?;
        let member = {
            let mut consumer = self.consumer().borrow_mut();
            (consumer.is_assigned, consumer.is_revoking) = (false, false);
            consumer.read_from(BTreeMap::new());
            consumer.member
        };
        let response = self
            .world
            .cluster()
            .group(&self.group)
            .heartbeat(&self.transactional_id, member);
        match response {
            HeartbeatResponse::Fenced => (),
            HeartbeatResponse::Unknown => self.join(None),
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
        // librdkafka sends from its own thread, at any time.
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
        self.step("asking for the watermarks")?;
        self.wait_until_reachable()?;
        let cluster = self.world.cluster();
        let all = &cluster.topics[topic].partitions;
        let partition_count = i32::try_from(all.len()).expect("there are few partitions");
        let mut watermarks = Vec::new();
        for partition in partitions {
            let place = (
                topic.to_owned(),
                usize::try_from(*partition).expect("partitions are not negative"),
            );
            if let (Some(consumer), Some(partition)) = (&self.consumer, self.partition(&place)) {
                let times = cluster.topics[topic].former.len();
                consumer.borrow_mut().recreated.insert(partition, times);
            }
            let log = &all[place.1];
            watermarks.push(Watermarks {
                partition: *partition,
                low: log.start,
                high: log.end(),
                partition_count,
            });
        }
        Ok(watermarks)
    }

    fn commit(&mut self, positions: &[OffsetAndMetadata]) -> Result<(), Fault> {
        self.step("commit")?;
        for position in positions {
            self.check_topic(&self.world.cluster(), position.partition)?;
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
        self.step("abort")?;
        self.world
            .trace(&self.process.name, || "transaction aborted".to_owned());
        if let Some(consumer) = &self.consumer {
            consumer.borrow_mut().read_from(BTreeMap::new());
        }
        self.in_transaction.set(false);
        self.abandon_queue();
        self.init_producer()
    }

    fn committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<OffsetAndMetadata>, Fault> {
        let mut committed = Vec::new();
        for partition in partitions {
            let place = self.place(*partition);
            let ask = |cluster: &mut Cluster| cluster.group(&self.group).fetch_offset(&place);
            if let Some((offset, metadata)) = self.retry("asking for the offsets", ask)? {
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
            let mut committed = committed.iter();
            let committed = committed.find(|committed| committed.partition == *partition);
            let from = next.or(committed.map(|committed| committed.offset));
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
        if self.process.is_dead.get() {
            self.abandon_queue();
        }
        let Some(consumer) = &self.consumer else {
            return;
        };
        let member = consumer.borrow().member;
        let mut cluster = self.world.cluster();
        if self.process.is_dead.get() {
            cluster.dies(&self.group, member);
        } else {
            cluster.leave(&self.group, member);
        }
    }
}

/// The largest batch that all output topics of the stage accept, as far as the file says.
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

fn abortable(doing: &str, error: BrokerError) -> Fault {
    Fault::Abortable(Error::new(doing, error))
}
