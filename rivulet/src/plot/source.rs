//! Where the records of a plot come from: [`PlotSource`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rivulet_core::error::Result;
use rivulet_core::log::TopicPartition;
use rivulet_kafka::{
    Connection, Consumer, ConsumerEvent, ConsumerSettings, GroupOffsets, OwnedRecord, Position,
    ReadFrom, Tail,
};

/// How long nothing comes until the last connection error is worth a line.
const SILENT: Duration = Duration::from_secs(5);

/// The records of topics, alone or as a member of a group.
pub(super) struct PlotSource<'c> {
    connection: &'c Connection,
    topics: Vec<String>,
    from: ReadFrom,
    reads: Reads,
    last: Instant,
    outage: Option<String>,
}

/// Who reads.
enum Reads {
    Alone(Tail),
    AsMember {
        group: String,
        consumer: Box<Consumer>,
        /// How many partitions there are.
        partitions: usize,
        /// How many are assigned. `None` while the group has not said which.
        assigned: Option<usize>,
    },
}

/// What comes next.
pub(super) enum PlotEvent {
    Record(OwnedRecord),
    /// Only these partitions are read from now on.
    Assigned(Vec<TopicPartition>),
    Nothing,
}

impl<'c> PlotSource<'c> {
    /// Starts to read, or joins the group.
    ///
    /// # Errors
    /// If the brokers are unreachable, or a topic does not exist.
    pub(super) fn new(
        connection: &'c Connection,
        topics: Vec<String>,
        from: ReadFrom,
        group: Option<&str>,
    ) -> Result<Self> {
        let reads = match group {
            None => Reads::Alone(Tail::new(connection, &topics, from)?),
            Some(group) => {
                let settings = ConsumerSettings {
                    topics: topics.clone(),
                    group: Some(group.to_owned()),
                    client_id: "rivulet-plot".to_owned(),
                    latest: from == ReadFrom::Latest,
                    auto_commit: true,
                    ..ConsumerSettings::default()
                };
                let partitions = settings.partitions(connection)?;
                Reads::AsMember {
                    group: group.to_owned(),
                    consumer: Box::new(Consumer::new(connection, &settings, &partitions)?),
                    partitions: partitions.len(),
                    assigned: None,
                }
            }
        };
        Ok(PlotSource {
            connection,
            topics,
            from,
            reads,
            last: Instant::now(),
            outage: None,
        })
    }

    /// The next event. Waits for at most `wait`.
    ///
    /// # Errors
    /// If a retry is pointless.
    pub(super) fn next(&mut self, wait: Duration) -> Result<PlotEvent> {
        let event = match &mut self.reads {
            Reads::Alone(tail) => {
                let next = tail.next(wait)?;
                if next.is_none() && self.last.elapsed() > SILENT {
                    self.outage = tail.last_error();
                }
                next.map_or(PlotEvent::Nothing, PlotEvent::Record)
            }
            Reads::AsMember {
                group,
                consumer,
                assigned,
                ..
            } => match consumer.poll(wait)? {
                ConsumerEvent::Record(record) => PlotEvent::Record(record),
                ConsumerEvent::Assigned(places) => {
                    let positions =
                        positions(self.connection, &self.topics, group, self.from, &places)?;
                    consumer.assign(&positions, false)?;
                    *assigned = Some(places.len());
                    self.outage = None;
                    PlotEvent::Assigned(places)
                }
                ConsumerEvent::Revoked => {
                    consumer.unassign()?;
                    *assigned = None;
                    PlotEvent::Nothing
                }
                ConsumerEvent::End(_) => PlotEvent::Nothing,
                ConsumerEvent::Nothing => {
                    self.outage = consumer.outage().or(self.outage.take());
                    PlotEvent::Nothing
                }
            },
        };
        if let PlotEvent::Record(_) = event {
            self.last = Instant::now();
            self.outage = None;
        }
        Ok(event)
    }

    /// Notes that a record is drawn: its offset is committed soon.
    ///
    /// # Errors
    /// If its partition is no longer assigned.
    pub(super) fn done(&self, place: TopicPartition, offset: i64) -> Result<()> {
        match &self.reads {
            Reads::Alone(_) => Ok(()),
            Reads::AsMember { consumer, .. } => consumer.done(place, offset),
        }
    }

    /// Why nothing comes.
    pub(super) fn outage(&self) -> Option<&str> {
        self.outage.as_deref()
    }

    /// What is read as which member, for the first line.
    pub(super) fn membership(&self) -> Option<String> {
        let Reads::AsMember {
            group,
            partitions,
            assigned,
            ..
        } = &self.reads
        else {
            return None;
        };
        Some(match assigned {
            Some(assigned) => format!("group {group} · {assigned} of {partitions} partitions"),
            None => format!("group {group} · waiting for the group"),
        })
    }
}

/// Where a member starts to read: where the group has committed, or else at the start.
fn positions(
    connection: &Connection,
    topics: &[String],
    group: &str,
    from: ReadFrom,
    places: &[TopicPartition],
) -> Result<Vec<(TopicPartition, Position)>> {
    let named = |place: &TopicPartition| (topics[place.topic].clone(), place.partition);
    // Where nothing is committed, the client itself starts at the first or after the last record.
    let committed = match from {
        ReadFrom::Since(_) if !places.is_empty() => {
            let named: Vec<(String, i32)> = places.iter().map(named).collect();
            GroupOffsets::new(connection, group)?.committed(&named)?
        }
        _ => BTreeMap::new(),
    };
    let position = |place: &TopicPartition| match from {
        ReadFrom::Since(time) if !committed.contains_key(&named(place)) => {
            Position::Timestamp(time)
        }
        _ => Position::Committed,
    };
    Ok(places
        .iter()
        .map(|place| (*place, position(place)))
        .collect())
}
