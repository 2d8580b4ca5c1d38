//! The outputs of a stage: computed, and compared with what is found.

use std::borrow::Cow;
use std::rc::Rc;

use rivulet_core::error::Result;
use rivulet_core::topic_source::TopicSource;
use rivulet_pipeline::{Stage, StageKind};

use super::Verification;
use super::topic::{observing_readers, seen, trimmed, unknown_format};
use crate::compare::{Compared, Comparison};
use crate::diff::{FoundReading, TopicDiff};
use crate::report::{ReadingCounts, TopicOutcome};
use crate::stream::{Order, Stream};
use crate::truth::Output;

impl<'p> Verification<'p> {
    /// Computes what an operator stage must have written, and compares the topics whose writers
    /// have all been computed. Returns the stage's other counts, if they can be computed.
    pub(super) fn verify_operator(
        &mut self,
        index: usize,
        topics: &mut dyn TopicSource,
    ) -> Result<Option<crate::stream::StageCounts>> {
        let stage = self.stages[index].0;
        let found = self.read_outputs(stage, topics)?;
        let output = self.process(stage, &found);
        let counts = output.as_ref().ok().map(|output| output.counts);
        let stream = output.map(|output| output.stream);
        for topic in &stage.to {
            let writers = self
                .pipeline
                .writers(topic)
                .filter(|stage| matches!(stage.kind, StageKind::Operator { .. }))
                .count();
            let pending = self.pending.entry(topic).or_default();
            pending.push(stream.clone());
            if pending.len() == writers {
                let streams = self.pending.remove(topic.as_str()).unwrap_or_default();
                self.compare(topic, streams, topics)?;
            }
        }
        Ok(counts)
    }

    /// Reads the outputs of a stage, if its inputs have lost readings. Returns all of them
    /// together.
    fn read_outputs(&mut self, stage: &'p Stage, topics: &mut dyn TopicSource) -> Result<Stream> {
        let mut all = Stream::new();
        let dead_letters = &self.dead_letters[stage.name.as_str()];
        let has_lost = stage.from.iter().any(|topic| {
            matches!(self.known.get(topic.as_str()), Some(Ok(stream))
                if stream.has_lost() || dead_letters.has_gap(topic))
        });
        if !has_lost {
            return Ok(all);
        }
        for name in &stage.to {
            let decoder = self.decoders.of(name);
            let Some(decoder) = decoder.filter(|decoder| decoder.has_sensors()) else {
                continue;
            };
            if self.is_source(name) || topics.partitions(name).is_none() {
                continue;
            }
            let (mut found, sensors) = (Stream::new(), &mut self.sensors);
            topics.read(name, &mut |record| {
                for (sensor, entry) in decoder.decode(record).unwrap_or_default() {
                    found
                        .series
                        .entry(sensors.id(&sensor))
                        .or_default()
                        .entries
                        .push(entry);
                }
            })?;
            for (sensor, series) in &found.series {
                all.series
                    .entry(*sensor)
                    .or_default()
                    .entries
                    .extend(&series.entries);
            }
            self.found.insert(name, found);
        }
        Ok(all)
    }

    pub(super) fn process(&mut self, stage: &'p Stage, found: &Stream) -> Result<Output, String> {
        let mut history = self
            .histories
            .remove(stage.name.as_str())
            .unwrap_or_default();
        if let Some(reason) = self.unknown.get(stage.name.as_str()) {
            return Err(format!("`{}` writes it: {reason}", stage.name));
        }
        let dead_letters = &self.dead_letters[stage.name.as_str()];
        let mut known: Vec<(&str, Cow<'_, Stream>)> = Vec::new();
        let mut wrong_keys = 0;
        for topic in &stage.from {
            let Some(Ok(stream)) = self.known.get(topic.as_str()) else {
                return Err(format!("its input `{topic}` is not verifiable"));
            };
            let mut stream = dead_letters.without_resolved(topic, stream, &mut history);
            if history.requires_key() && !stream.wrong_keys.is_empty() {
                wrong_keys += stream.to_mut().drop_wrong_keys();
            }
            if dead_letters.has_gap(topic) {
                // It is unknown which of the deleted readings the stage has read.
                let stream = stream.to_mut();
                stream.lost = true;
                for series in stream
                    .series
                    .values_mut()
                    .filter(|series| series.deleted > 0)
                {
                    series.entries.drain(..series.deleted);
                    series.lost = true;
                }
            }
            known.push((topic, stream));
        }
        let inputs: Vec<(&str, &Stream)> = known
            .iter()
            .map(|(topic, stream)| (*topic, &**stream))
            .collect();
        let mut output = crate::truth::process(&history, &inputs, found, &self.sensors)
            .map_err(|reason| format!("`{}` writes it: {reason}", stage.name))?;
        output.counts.dead_letters += wrong_keys;
        Ok(output)
    }

    pub(super) fn compare(
        &mut self,
        name: &'p str,
        streams: Vec<Result<Stream, String>>,
        topics: &mut dyn TopicSource,
    ) -> Result<()> {
        if self.is_source(name) {
            let reason = "producers or other programs write it too, so what must be in it is \
                          unknown"
                .to_owned();
            self.add(name, TopicOutcome::NotVerifiable { reason });
            return Ok(());
        }
        let partitions = topics.partitions(name).unwrap_or_default();
        let mut expected = match self.expected(name, partitions, streams) {
            Ok(expected) => expected,
            Err(reason) if self.is_of_unknown_stage(name) => {
                // What the next stages make of it can be verified.
                return self.read_given(name, Some(reason), topics);
            }
            Err(reason) => {
                self.add(
                    name,
                    TopicOutcome::NotVerifiable {
                        reason: reason.clone(),
                    },
                );
                self.known.insert(name, Err(reason));
                return Ok(());
            }
        };
        // What it must hold is known, so its format is.
        let Some(decoder) = self.decoders.of(name) else {
            return Ok(());
        };
        let trimmed = trimmed(topics, name);
        self.note_trimmed(name, &trimmed);
        for (sensor, entry) in self
            .dead_letters
            .values()
            .flat_map(|dead_letters| dead_letters.replayed(name))
        {
            let series = expected.series.entry(sensor).or_default();
            series.entries.push(entry);
            series.order = Order::Undefined;
        }
        let mut limited = self.limited(name);
        let mut readers = observing_readers(&mut self.histories, self.pipeline, name);
        if !trimmed.is_empty() {
            for history in &mut readers {
                history.mark_unverifiable(format!(
                    "{}, and the first records of `{name}` were deleted",
                    history.reason()
                ));
            }
            if !expected.numbered {
                let reason = "its first records were deleted, and bare numbers do not show which \
                              they were"
                    .to_owned();
                self.add(name, TopicOutcome::NotVerifiable { reason });
                // What the next stages have read is known nevertheless.
                expected
                    .series
                    .values_mut()
                    .for_each(|series| series.deleted = series.entries.len());
                self.known.insert(name, Ok(Rc::new(expected)));
                return Ok(());
            }
        }
        let diff = TopicDiff::new(name, self.options.allow_duplicates);
        let mut comparison = Comparison::new(&expected, trimmed.keys().copied().collect(), diff);
        if partitions == 0 {
            self.report.notes.push(format!(
                "there is no topic {name}; `rivulet topics create` makes it"
            ));
        } else {
            let sensors = &mut self.sensors;
            topics.read(
                name,
                &mut |record| match limited.decode(&decoder, record, sensors) {
                    Ok(readings) => {
                        for (named, entry) in readings {
                            let sensor = sensors.id(&named);
                            let found = FoundReading {
                                sensor,
                                entry,
                                partition: record.partition,
                                offset: record.offset,
                            };
                            comparison.found(found, sensors);
                            let seen = seen((name, &decoder), (sensor, &named), &entry, record);
                            for history in &mut readers {
                                history.observe(seen);
                            }
                        }
                    }
                    Err(why) => comparison.undecodable(record.partition, record.offset, why),
                },
            )?;
        }
        let Compared { diff, deleted } = comparison.finish(&self.sensors);
        if !diff.counts.is_clean() {
            // Which readings came before a change is counted in the topic as it is, and it is
            // wrong.
            for history in &mut readers {
                history.mark_unverifiable(format!(
                    "{}, and `{name}` does not hold what it must",
                    history.reason()
                ));
            }
        }
        self.found_limited(name, limited);
        self.add(name, TopicOutcome::Compared(diff.counts));
        self.report.differences.extend(diff.differences);
        expected.accept_compared(&deleted, !trimmed.is_empty());
        self.known.insert(name, Ok(Rc::new(expected)));
        Ok(())
    }

    /// What must be in a topic, from the expected output of its writers.
    ///
    /// # Errors
    /// Why it cannot be computed.
    pub(super) fn expected(
        &mut self,
        name: &str,
        partitions: usize,
        streams: Vec<Result<Stream, String>>,
    ) -> Result<Stream, String> {
        let topic = self.pipeline.topic(name);
        let (mut expected, writers) = (Stream::new(), streams.len());
        for stream in streams {
            let stream = stream?;
            let decoder = self.decoders.of(name);
            let decoder = decoder.ok_or_else(|| unknown_format(topic))?;
            expected.join(decoder.written(stream, partitions, &mut self.sensors)?);
        }
        let found = self.found.remove(name);
        if expected.has_lost() {
            if !expected.numbered {
                return Err(
                    "the first records of its input were deleted, and bare numbers do not show \
                     which results are theirs"
                        .to_owned(),
                );
            }
            if writers > 1 {
                return Err(
                    "several stages write it, and the first records of their inputs were deleted"
                        .to_owned(),
                );
            }
            expected.accept(&found.unwrap_or_else(Stream::new));
        }
        Ok(expected)
    }

    pub(super) fn compare_dead_letters(
        &mut self,
        stage: &Stage,
        counts: crate::stream::StageCounts,
        is_trimmed: bool,
    ) {
        let name = stage.dead_letters();
        let dead_letters = &self.dead_letters[stage.name.as_str()];
        let expected = counts.dead_letters + self.undecodable(stage);
        let found = dead_letters.unresolved;
        if expected == 0 && found == 0 {
            return;
        }
        // Those of deleted records, and of readings that may have been invalid.
        let mut deleted = 0;
        for topic in &stage.from {
            if matches!(self.known.get(topic.as_str()), Some(Ok(stream)) if stream.has_lost()) {
                deleted += dead_letters.deleted(topic);
            }
        }
        let surplus = found.saturating_sub(expected);
        let unverifiable = surplus.min(deleted + counts.unknown);
        let surplus = surplus - unverifiable;
        let (extra, duplicates) = if self.options.allow_duplicates && expected > 0 {
            (0, surplus)
        } else {
            (surplus, 0)
        };
        let missing = expected.saturating_sub(found);
        let (missing, deleted) = if is_trimmed {
            (0, missing)
        } else {
            (missing, 0)
        };
        let expected = expected - deleted;
        let dead_letters = ReadingCounts {
            expected,
            found,
            missing,
            extra,
            duplicates,
            unverifiable,
            deleted,
            ..ReadingCounts::default()
        };
        self.add(&name, TopicOutcome::DeadLetters(dead_letters));
    }
}
