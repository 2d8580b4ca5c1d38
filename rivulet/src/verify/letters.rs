//! What a stage's dead-letter topic holds, and which of its letters are settled.

use std::borrow::Cow;
use std::collections::BTreeMap;

use stream::dead_letter::{Change, Entry as DeadLetter, Handled};
use stream::error::Result;
use stream::pipeline::{Pipeline, Stage};

use super::course::Course;
use super::decode::decode;
use super::tally::close;
use super::truth::{Entry, Sensors, Stream};
use crate::read::{Record, Topics};

/// The dead letters of one stage.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// How many records there are besides marks and what is settled.
    pub(super) unsettled: u64,
    /// How the stage's settings were changed under its state, in order.
    pub(super) changes: Vec<Change>,
    settled: Vec<Settled>,
}

/// The record in a letter that was replayed or dropped.
#[derive(Debug)]
struct Settled {
    /// The topic that the stage read it from.
    topic: String,
    /// The reading that it is, with its sensor, if it is one.
    reading: Option<(u32, Entry)>,
    handled: Handled,
}

/// A letter while the topic is read.
#[derive(Debug)]
struct Read {
    /// Topic and reading of the record. Nothing where they are not known: such a letter goes on counting.
    record: Option<(String, Option<(u32, Entry)>)>,
    is_foreign: bool,
    handled: Option<Handled>,
}

impl Letters {
    /// Reads the stage's dead-letter topic, if there is one.
    pub(super) fn read(
        pipeline: &Pipeline,
        stage: &Stage,
        sensors: &mut Sensors,
        topics: &mut dyn Topics,
    ) -> Result<Self> {
        let name = stage.dead_letters();
        let mut read: BTreeMap<(i32, i64), Read> = BTreeMap::new();
        let mut letters = Letters::default();
        if topics.partitions(&name).is_some() {
            topics.read(&name, &mut |record| {
                let partition = record.partition;
                match DeadLetter::read(record.headers) {
                    DeadLetter::Mark(mark) => {
                        for (first, last) in mark.letters.ranges() {
                            for (_, letter) in read.range_mut((partition, *first)..=(partition, *last)) {
                                letter.handled.get_or_insert(mark.handled);
                            }
                        }
                    }
                    DeadLetter::Change(change) => letters.changes.push(change),
                    entry => {
                        let is_foreign = entry == DeadLetter::Foreign;
                        let record_in_it = refused(pipeline, &entry, record, sensors);
                        let letter = Read { record: record_in_it, is_foreign, handled: None };
                        read.insert((partition, record.offset), letter);
                    }
                }
            })?;
        }
        for letter in read.into_values() {
            match (letter.handled, letter.record) {
                (Some(handled), Some((topic, reading))) => letters.settled.push(Settled { topic, reading, handled }),
                (Some(_), None) if letter.is_foreign => (),
                _ => letters.unsettled += 1,
            }
        }
        Ok(letters)
    }

    /// The readings that were sent to a topic once more, each with its sensor.
    pub(super) fn replayed(&self, topic: &str) -> impl Iterator<Item = (u32, Entry)> {
        let replayed =
            self.settled.iter().filter(move |letter| letter.handled == Handled::Replayed && letter.topic == topic);
        replayed.filter_map(|letter| letter.reading)
    }

    /// How many records of a topic are settled that are no readings.
    pub(super) fn settled_undecodable(&self, topic: &str) -> u64 {
        self.settled.iter().filter(|letter| letter.topic == topic && letter.reading.is_none()).count() as u64
    }

    /// What the stage reads of a topic without the records that are settled, of which its course hears.
    pub(super) fn take_settled<'s>(&self, topic: &str, stream: &'s Stream, course: &mut Course) -> Cow<'s, Stream> {
        let mut left = Cow::Borrowed(stream);
        for (sensor, settled) in self.settled.iter().filter(|letter| letter.topic == topic).filter_map(|it| it.reading)
        {
            let same = |entry: &Entry| {
                (!stream.numbered || entry.seq == settled.seq)
                    && entry.unit == settled.unit
                    && close(entry.value, settled.value)
            };
            // The first: what was replayed comes behind it.
            let lane = left.lanes.get(&sensor);
            if let Some(index) = lane.and_then(|lane| lane.entries.iter().position(same))
                && let Some(lane) = left.to_mut().lanes.get_mut(&sensor)
            {
                lane.entries.remove(index);
                course.take_away(topic, sensor, index);
            }
        }
        left
    }
}

/// The record in a letter: its topic, and the reading that it is.
fn refused(
    pipeline: &Pipeline,
    letter: &DeadLetter<'_>,
    record: &Record<'_>,
    sensors: &mut Sensors,
) -> Option<(String, Option<(u32, Entry)>)> {
    let DeadLetter::Letter(letter) = letter else { return None };
    let (partition, offset) = letter.place.filter(|_| letter.truncated.is_none())?;
    let topic = pipeline.topics.get(letter.topic)?;
    // As it was where the stage read it.
    let reading = decode(topic, &Record { partition, offset, headers: letter.original, ..*record }).ok();
    let reading = reading.map(|(sensor, entry)| (sensors.id(&sensor), entry));
    Some((letter.topic.to_owned(), reading))
}
