//! The topics that producers or other programs write: read, and taken as given.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use rivulet_core::error::Result;
use rivulet_core::topic_source::TopicSource;

use super::Verification;
use super::topic::{observing_readers, seen, trimmed, unknown_format};
use crate::report::TopicOutcome;
use crate::stream::{Order, Stream};

impl<'p> Verification<'p> {
    pub(super) fn read_source(
        &mut self,
        name: &'p str,
        topics: &mut dyn TopicSource,
    ) -> Result<()> {
        if self.known.contains_key(name) {
            return Ok(());
        }
        self.read_given(name, None, topics)
    }

    /// Reads a topic whose readings are taken as they are. `unverified` is why they are, if its
    /// writer is a stage.
    pub(super) fn read_given(
        &mut self,
        name: &'p str,
        unverified: Option<String>,
        topics: &mut dyn TopicSource,
    ) -> Result<()> {
        let topic = self.pipeline.topic(name);
        let Some(decoder) = self.decoders.of(name) else {
            let reason = unverified.unwrap_or_else(|| unknown_format(topic));
            self.known.insert(name, Err(reason.clone()));
            self.add(name, TopicOutcome::NotVerifiable { reason });
            return Ok(());
        };
        if unverified.is_some() && topics.partitions(name).is_none() {
            self.known.insert(name, Ok(Rc::new(Stream::new())));
            self.add_given(name, unverified, 0, 0);
            return Ok(());
        }
        let (mut stream, mut undecodable, mut records) = (Stream::new(), 0, 0_u32);
        let (mut partitions, mut keyed): (BTreeMap<u32, i32>, BTreeMap<u32, i32>) = <_>::default();
        let mut scattered = BTreeSet::new();
        let trimmed = trimmed(topics, name);
        let mut limited = self.limited(name);
        let mut readers = observing_readers(&mut self.histories, self.pipeline, name);
        let sensors = &mut self.sensors;
        topics.read(
            name,
            &mut |record| match limited.decode(&decoder, record, sensors) {
                Ok(readings) => {
                    records += 1;
                    for (named, entry) in readings {
                        let sensor = sensors.id(&named);
                        let series = stream.series.entry(sensor).or_default();
                        let first = *partitions.entry(sensor).or_insert(record.partition);
                        if first != record.partition {
                            series.order = Order::Undefined;
                        }
                        if !decoder.is_keyed(record.key, &named) {
                            let wrong_keys = stream.wrong_keys.entry(sensor).or_default();
                            wrong_keys.0.push(series.entries.len());
                        } else if *keyed.entry(sensor).or_insert(record.partition)
                            != record.partition
                        {
                            scattered.insert(sensor);
                        }
                        series.entries.push(entry);
                        if decoder.has_several() {
                            series.records.push(records);
                        }
                        series.lost |= trimmed.contains_key(&record.partition);
                        let seen = seen((name, &decoder), (sensor, &named), &entry, record);
                        for history in &mut readers {
                            history.observe(seen);
                        }
                    }
                }
                Err(_) => undecodable += 1,
            },
        )?;
        stream.lost = !trimmed.is_empty();
        for (sensor, (_, order)) in &mut stream.wrong_keys {
            *order = if scattered.contains(sensor) {
                Order::Undefined
            } else {
                Order::Defined
            };
        }
        for history in readers
            .iter_mut()
            .filter(|history| history.expires() && stream.lost)
        {
            // The newest timestamp of the deleted records is unknown.
            history.mark_unverifiable(format!(
                "{}, and the first records of `{name}` were deleted",
                history.reason()
            ));
        }
        self.found_limited(name, limited);
        let mut in_several = stream
            .series
            .iter()
            .filter(|(_, series)| series.order == Order::Undefined);
        if let (true, Some((sensor, _))) = (decoder.has_sensors(), in_several.next()) {
            self.report.notes.push(format!(
                "the readings of {} sensors, such as \"{}\", are in several partitions of {name}, \
                 so their order is not defined; use the sensor as the key of the records",
                1 + in_several.count(),
                self.sensors.name(*sensor)
            ));
        }
        if decoder.has_numbers() && !topic.external && unverified.is_none() {
            let replayed = self
                .dead_letters
                .values()
                .flat_map(|dead_letters| dead_letters.replayed(name));
            let gaps = sequence_gaps(&stream, replayed.map(|(sensor, _)| sensor));
            self.report
                .notes
                .extend(gaps.map(|gaps| format!("in {name}, {gaps}")));
        }
        self.note_trimmed(name, &trimmed);
        self.undecodable.insert(name, undecodable);
        self.add_given(name, unverified, stream.len() as u64, undecodable);
        self.known.insert(name, Ok(Rc::new(stream)));
        Ok(())
    }

    fn add_given(
        &mut self,
        name: &str,
        unverified: Option<String>,
        readings: u64,
        undecodable: u64,
    ) {
        let outcome = match unverified {
            Some(reason) => TopicOutcome::NotVerifiable { reason },
            None => TopicOutcome::Given {
                readings,
                undecodable,
            },
        };
        self.add(name, outcome);
    }

    /// Adds a note about the partitions of a topic whose first records were deleted.
    pub(super) fn note_trimmed(&mut self, topic: &str, trimmed: &BTreeMap<i32, i64>) {
        if !trimmed.is_empty() {
            let begins = trimmed
                .iter()
                .map(|(partition, start)| format!("[{partition}] begins at offset {start}"));
            let begins = begins.collect::<Vec<_>>().join(", ");
            self.report.notes.push(format!(
                "the first records of {topic} were deleted: {begins}"
            ));
        }
    }
}

/// Describes gaps and repeats in the sequence numbers of producers; `None` if there are none. The
/// numbers of a sensor go up by one. `replayed` has the sensor of each replayed reading: those
/// repeats are expected.
fn sequence_gaps(stream: &Stream, replayed: impl Iterator<Item = u32>) -> Option<String> {
    let mut expected: BTreeMap<u32, u64> = BTreeMap::new();
    replayed.for_each(|sensor| *expected.entry(sensor).or_default() += 1);
    let (mut missing, mut repeated, mut sensors) = (0, 0, 0);
    for (sensor, series) in &stream.series {
        let mut seqs: Vec<u64> = series.entries.iter().map(|entry| entry.seq).collect();
        seqs.sort_unstable();
        let (mut gap, mut again) = (0, 0);
        for pair in seqs.windows(2) {
            match pair[1] - pair[0] {
                0 => again += 1,
                step => gap += step - 1,
            }
        }
        again = u64::saturating_sub(again, expected.get(sensor).copied().unwrap_or_default());
        missing += gap;
        repeated += again;
        sensors += u64::from((gap, again) != (0, 0));
    }
    (sensors > 0).then(|| {
        format!(
            "{missing} sequence numbers are missing and {repeated} are repeated, of {sensors} \
             sensors"
        )
    })
}
