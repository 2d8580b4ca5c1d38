//! Reads the topics of a stage again and again: [`TapReader`].

use std::collections::BTreeMap;

use rivulet_core::dead_letter::LedgerRecord;
use rivulet_core::error::Result;
use rivulet_core::format::DecodeError;
use rivulet_core::log::{ConsumerRecord, Header};
use rivulet_core::topic_source::{FetchedRecord, ReadProgress};
use rivulet_kafka::{Cluster, Group, PartitionOffset, TopicReader};

use super::matcher::Matcher;
use super::records::{Input, Matched, Output, Place, TapDeadLetter, TapReading};
use super::topics::{TapRole, TapTopics};
use crate::CheckedPipeline;

/// How many inputs may wait, in addition to those that were there at the start.
const MOST: usize = 100_000;

/// A partition of a topic of the stage, by the topic's index.
type TapPartition = (usize, i32);
type Offsets = BTreeMap<TapPartition, i64>;

/// Reads what a stage read and what it wrote, up to the ends that the topics have.
///
/// Every look goes on exactly where the one before it ended. So it is known what was read when the
/// stage's committed offsets are known.
pub(super) struct TapReader<'t> {
    pipeline: &'t CheckedPipeline<'t>,
    topics: &'t TapTopics<'t>,
    sensor: Option<&'t str>,
    pub(super) matcher: Matcher,
    /// Where reading goes on.
    next: Offsets,
    passed: Option<Passed>,
}

/// How far the stage is, and what it had written then.
struct Passed {
    /// By input and partition.
    committed: BTreeMap<(usize, i32), i64>,
    /// The ends of the outputs, including open transactions.
    ends: Offsets,
}

/// The connections of a reader.
pub(super) struct Clients<'r> {
    group: Group,
    cluster: Cluster,
    of_committed: Cluster,
    reader: TopicReader<'r>,
    partitions: Vec<TapPartition>,
}

impl<'t> TapReader<'t> {
    pub(super) fn new(
        pipeline: &'t CheckedPipeline<'t>,
        topics: &'t TapTopics<'t>,
        sensor: Option<&'t str>,
    ) -> Self {
        TapReader {
            pipeline,
            topics,
            sensor,
            matcher: Matcher::new(topics.kept.clone(), MOST),
            next: Offsets::new(),
            passed: None,
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// If the brokers are unreachable, or a topic does not exist.
    pub(super) fn connect<'r>(
        &self,
        progress: &'r mut dyn FnMut(ReadProgress<'_>),
    ) -> Result<Clients<'r>> {
        let connection = self.pipeline.connection();
        let stage = self.topics.stage;
        let cluster = Cluster::new(&connection)?;
        let inventory = cluster.inventory()?;
        let mut partitions = Vec::new();
        for (index, topic) in self.topics.topics.iter().enumerate() {
            let found = inventory.topic(&topic.name, format!("tapping {}", topic.name))?;
            partitions.extend((0..found.partitions).map(|partition| (index, partition)));
        }
        Ok(Clients {
            group: Group::new(&connection, &stage.group(), &stage.from)?,
            of_committed: Cluster::of_committed(&connection)?,
            reader: TopicReader::new(&connection, &[], progress)?,
            cluster,
            partitions,
        })
    }

    /// Starts at the current ends.
    pub(super) fn start_now(&mut self, clients: &Clients<'_>) -> Result<()> {
        // What is made of a new input is written later than this.
        for is_input in [false, true] {
            let places = self.places(clients, is_input);
            let ends = self.offsets(&clients.of_committed, &places, PartitionOffset::End)?;
            self.next.extend(ends);
        }
        Ok(())
    }

    /// Starts with the last `count` records of all inputs together.
    pub(super) fn start_with_last(&mut self, clients: &mut Clients<'_>, count: u32) -> Result<()> {
        let count = count as usize;
        let places = self.places(clients, true);
        let ends = self.offsets(&clients.of_committed, &places, PartitionOffset::End)?;
        let firsts = self.offsets(&clients.cluster, &places, PartitionOffset::First)?;
        let mut found = Vec::new();
        for place in places {
            let first = firsts.get(&place).copied().unwrap_or_default();
            let end = ends.get(&place).copied().unwrap_or(first);
            found.extend(self.last_of(clients, place, (first, end), count)?);
            self.next.insert(place, end);
        }
        found.sort_by_key(|input| (input.timestamp, input.place));
        // Those before the last ones only claim what was made of them.
        let before = found.len().saturating_sub(count);
        for input in &mut found[..before] {
            input.is_shown = false;
        }
        let oldest = found.first().map(|input| input.timestamp);
        self.matcher.allow(found.len() + MOST);
        for input in found {
            self.matcher.input(input);
        }
        let places = self.places(clients, false);
        let ends = self.offsets(&clients.of_committed, &places, PartitionOffset::End)?;
        self.next.extend(ends);
        if let Some(oldest) = oldest {
            let since = PartitionOffset::Since(oldest);
            self.next
                .extend(self.offsets(&clients.cluster, &places, since)?);
        }
        Ok(())
    }

    /// The last inputs of a partition: at least `count`, if there are as many.
    fn last_of(
        &self,
        clients: &mut Clients<'_>,
        place: TapPartition,
        (first, end): (i64, i64),
        count: usize,
    ) -> Result<Vec<Input>> {
        let mut span = i64::try_from(count).unwrap_or(i64::MAX);
        let (mut inputs, mut start) = (Vec::new(), end);
        // Transaction markers have offsets, too, and other sensors.
        while inputs.len() < count && start > first {
            let from = start.saturating_sub(span).max(first);
            let mut earlier = Vec::new();
            self.read(clients, place, (from, start), &mut |taken| {
                if let Taken::Input(input) = taken
                    && input.is_shown
                {
                    earlier.push(input);
                }
            })
            .1?;
            earlier.append(&mut inputs);
            (inputs, start, span) = (earlier, from, span.saturating_mul(2));
        }
        Ok(inputs)
    }

    /// Reads everything that is new. Returns what became of the inputs that the stage has passed,
    /// once all is read that it had written.
    ///
    /// # Errors
    /// If the brokers are unreachable.
    pub(super) fn round(&mut self, clients: &mut Clients<'_>) -> Result<Option<Vec<Matched>>> {
        let outputs = self.places(clients, false);
        let inputs = self.places(clients, true);
        if self.passed.is_none() {
            let committed = self.committed(clients)?;
            // A transaction becomes visible in one topic after the other.
            let ends = self.offsets(&clients.cluster, &outputs, PartitionOffset::End)?;
            self.passed = Some(Passed { committed, ends });
        }
        // Whatever an output is made of is below the ends that its inputs have afterwards.
        for places in [&outputs, &inputs] {
            let ends = self.offsets(&clients.of_committed, places, PartitionOffset::End)?;
            for (place, end) in ends {
                let first = self.next.get(&place).copied().unwrap_or_default();
                if first < end {
                    self.read_on(clients, place, (first, end))?;
                }
            }
        }
        let next = &self.next;
        let is_read = |(place, end): (&TapPartition, &i64)| next.get(place) >= Some(end);
        let is_all_read = |passed: &mut Passed| passed.ends.iter().all(is_read);
        let passed = self.passed.take_if(is_all_read);
        Ok(passed.map(|passed| self.matcher.settle(&passed.committed)))
    }

    /// The stage's committed offsets, by input and partition.
    fn committed(&self, clients: &Clients<'_>) -> Result<BTreeMap<(usize, i32), i64>> {
        let committed = clients.group.committed()?.into_iter();
        let from = &self.topics.stage.from;
        Ok(committed
            .filter_map(|found| {
                let topic = from.iter().position(|name| *name == found.topic)?;
                Some(((topic, found.partition), found.next))
            })
            .collect())
    }

    fn read_on(
        &mut self,
        clients: &mut Clients<'_>,
        place: TapPartition,
        span: (i64, i64),
    ) -> Result<()> {
        let mut taken = Vec::new();
        let (next, read) = self.read(clients, place, span, &mut |one| taken.push(one));
        for one in taken {
            match one {
                Taken::Input(input) => self.matcher.input(input),
                Taken::Output(output) => self.matcher.output(output),
                Taken::DeadLetter(origin, letter) => self.matcher.dead_letter(origin, letter),
            }
        }
        self.next.insert(place, next);
        read
    }

    /// Reads a partition from the first of two offsets to before the second. Returns where reading
    /// goes on, also after an error.
    fn read(
        &self,
        clients: &mut Clients<'_>,
        (topic, partition): TapPartition,
        (first, end): (i64, i64),
        each: &mut dyn FnMut(Taken),
    ) -> (i64, Result<()>) {
        let topic = &self.topics.topics[topic];
        let (mut next, mut failed) = (first, None);
        let range = (first, end - 1);
        let read = clients
            .reader
            .read_range(&topic.name, partition, range, &mut |record| {
                if failed.is_some() {
                    return;
                }
                match self.take(&topic.role, record, each) {
                    Ok(()) => next = record.offset + 1,
                    Err(error) => failed = Some(error),
                }
            });
        match read.err().or(failed) {
            // Behind the last record there may be transaction markers.
            None => (end, Ok(())),
            Some(error) => (next, Err(error)),
        }
    }

    fn take(
        &self,
        role: &TapRole,
        record: &FetchedRecord<'_>,
        each: &mut dyn FnMut(Taken),
    ) -> Result<()> {
        let headers: Vec<Header> = record.headers.to_vec();
        let fields = |topic| ConsumerRecord {
            topic,
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: &headers,
        };
        match role {
            TapRole::Input(index, format) => {
                let mut input = Input::decode(&**format, &fields(*index))?;
                input.is_shown = self.is_wanted(&input, record.key);
                each(Taken::Input(input));
            }
            TapRole::Output(index, format) => {
                let fields = fields(*index);
                let readings = match format.decode(&fields) {
                    Ok(readings) => readings,
                    // Somebody else wrote it.
                    Err(DecodeError::Invalid(_)) => return Ok(()),
                    Err(DecodeError::Unavailable(error)) => return Err(error),
                };
                for reading in readings.as_slice() {
                    each(Taken::Output(Output {
                        place: Place::of(&fields),
                        timestamp: fields.timestamp,
                        reading: TapReading::from(reading),
                    }));
                }
            }
            TapRole::DeadLetters => {
                if let LedgerRecord::DeadLetter(letter) = LedgerRecord::read(&headers) {
                    let mut from = self.topics.stage.from.iter();
                    let topic = from.position(|name| name == letter.topic);
                    if let Some((topic, (partition, offset))) = topic.zip(letter.place) {
                        let origin = Place {
                            topic,
                            partition,
                            offset,
                        };
                        let letter = TapDeadLetter::new(letter.reason, letter.error, &fields(0));
                        each(Taken::DeadLetter(origin, letter));
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether an input is of the sensor that is asked for.
    fn is_wanted(&self, input: &Input, key: Option<&[u8]>) -> bool {
        let Some(sensor) = self.sensor else {
            return true;
        };
        let mut readings = input.readings.iter();
        readings.any(|reading| reading.sensor == sensor) || key == Some(sensor.as_bytes())
    }

    /// The partitions of the inputs, or of everything that the stage writes.
    fn places(&self, clients: &Clients<'_>, is_input: bool) -> Vec<TapPartition> {
        let places = clients.partitions.iter().copied();
        places
            .filter(|(topic, _)| {
                matches!(self.topics.topics[*topic].role, TapRole::Input(..)) == is_input
            })
            .collect()
    }

    fn offsets(
        &self,
        cluster: &Cluster,
        places: &[TapPartition],
        which: PartitionOffset,
    ) -> Result<Offsets> {
        let name = |topic: usize| self.topics.topics[topic].name.clone();
        let named: Vec<(String, i32)> = places
            .iter()
            .map(|(topic, partition)| (name(*topic), *partition))
            .collect();
        let found = cluster.offsets(&named, which)?;
        let offsets = places.iter().zip(&named);
        Ok(offsets
            .filter_map(|(place, named)| Some((*place, *found.get(named)?)))
            .collect())
    }
}

/// A record, as far as it concerns the stage.
enum Taken {
    Input(Input),
    Output(Output),
    DeadLetter(Place, TapDeadLetter),
}
