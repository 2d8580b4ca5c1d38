//! An operator stage's work: decode, apply the chain, encode, send.

mod restoring;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::checkpoint::Checkpoints;
use crate::counters::Counters;
use crate::dead_letter::{self, DeadLetters};
use crate::error::Error;
use crate::format::Format;
use crate::log::{ConsumerRecord, Fault, Log, ProducerRecord, Record, Rejection, TopicPartition};
use crate::operator::{Flow, Operator};
use crate::pipeline::{Guarantee, Pipeline, Rules, Stage};
use crate::reading::{InvalidReading, Reading};
use crate::stage::{Assignment, Task};
use crate::stamps::Stamps;
use crate::state::{BudgetExceeded, SplitSensor, State, StateMetadata};

/// The work of an operator stage.
pub struct Processing {
    stage: String,
    operator: Box<dyn Operator>,
    /// The names of the topics that are read.
    inputs: Vec<String>,
    /// Their formats.
    formats: Vec<Box<dyn Format>>,
    outputs: Vec<Output>,
    state: Option<State>,
    changelog: String,
    checkpoints: Checkpoints,
    /// How many partitions each input has.
    counts: BTreeMap<usize, i32>,
    dead_letters: DeadLetters,
    rules: Rules,
    guarantee: Guarantee,
    /// How many records a commit holds at most.
    most: u64,
    /// How many records of each partition the state held already.
    skipped: BTreeMap<TopicPartition, u64>,
    /// What brokers have said of timestamps.
    stamps: Stamps,
    /// Whether it was told that records come with keys that are not their sensors.
    told_of_keys: bool,
    counters: Arc<Counters>,
}

struct Output {
    topic: String,
    format: Box<dyn Format>,
    /// How large a record the topic takes, in bytes.
    largest: usize,
    /// The value of the reading at hand, kept so that its memory is used again.
    value: Vec<u8>,
}

/// What became of a record.
enum Outcome<'a> {
    Emit(Reading<'a>),
    Nothing,
    Refused(InvalidReading),
    /// A record that the state already holds.
    Applied,
}

impl Processing {
    /// The work of `stage`, whose steps are `operator`.
    #[must_use]
    pub fn new(
        pipeline: &Pipeline,
        stage: &Stage,
        operator: Box<dyn Operator>,
        counters: Arc<Counters>,
    ) -> Self {
        let rules = stage.rules;
        let formats = stage
            .from
            .iter()
            .map(|topic| pipeline.topic(topic).build_format());
        let outputs = stage
            .to
            .iter()
            .map(|topic| Output {
                topic: topic.clone(),
                format: pipeline.topic(topic).build_format(),
                largest: pipeline.topic(topic).largest_record(),
                value: Vec::new(),
            })
            .collect();
        let state = || {
            State::new(
                &*operator,
                stage.from.clone(),
                pipeline.limits.state(),
                rules.state_ttl,
            )
        };
        let state = (operator.states() > 0).then(state);
        Processing {
            stage: stage.name.clone(),
            inputs: stage.from.clone(),
            formats: formats.collect(),
            outputs,
            state,
            operator,
            changelog: stage.changelog(),
            checkpoints: Checkpoints::default(),
            counts: BTreeMap::new(),
            dead_letters: DeadLetters::of(pipeline, stage),
            rules,
            guarantee: pipeline.guarantee,
            most: pipeline.commit_policy().records,
            skipped: BTreeMap::new(),
            stamps: Stamps::default(),
            told_of_keys: false,
            counters,
        }
    }

    fn apply<'a>(&mut self, record: &ConsumerRecord<'a>) -> Outcome<'a> {
        let format = &self.formats[record.topic];
        let mut reading = match format.decode(record) {
            Ok(reading) => reading,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        if format.keyed()
            && record.key != Some(reading.sensor.as_bytes())
            && let Err(refusal) = self.check_key(record, &reading)
        {
            return Outcome::Refused(refusal);
        }
        let states = match &mut self.state {
            None => &mut [],
            Some(state) => {
                // No reading is from after it entered the pipeline. One clock that is ahead expires
                // nobody else.
                let time = record
                    .stamped()
                    .map_or(reading.time, |entered| reading.time.min(entered));
                match state.apply(
                    record.topic,
                    record.partition,
                    record.offset,
                    &reading.sensor,
                    time,
                ) {
                    Ok(Some(states)) => states,
                    Ok(None) => return Outcome::Applied,
                    Err(full) => {
                        return Outcome::Refused(InvalidReading::new(
                            "state-full",
                            format!("{full}; {}", BudgetExceeded::HELP),
                        ));
                    }
                }
            }
        };
        match self.operator.apply(&mut reading, states) {
            Ok(Flow::Pass) => Outcome::Emit(reading),
            Ok(Flow::Drop) => Outcome::Nothing,
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// A record whose key is not its sensor may be in any partition.
    fn check_key(
        &mut self,
        record: &ConsumerRecord<'_>,
        reading: &Reading<'_>,
    ) -> Result<(), InvalidReading> {
        let key = record.key.map_or("no key".to_owned(), |key| {
            format!("the key {:?}", String::from_utf8_lossy(key))
        });
        let what = format!("sensor {:?} comes with {key}", reading.sensor);
        if self.rules.require_key {
            return Err(InvalidReading::new("wrong-key", what));
        }
        if self.state.is_some() && !self.told_of_keys {
            self.told_of_keys = true;
            tracing::warn!(
                stage = self.stage,
                "{what}, in {} [{}] at offset {}: its readings may be in several partitions, and \
                 each has a state of its own\n  help: give records their sensor as key; with \
                 require-key = true in [operator.{}] others become dead letters",
                self.inputs[record.topic],
                record.partition,
                record.offset,
                self.stage
            );
        }
        Ok(())
    }

    /// Writes the reading in every output's format before the first is sent: it goes to all or
    /// none.
    fn encode(&mut self, reading: &Reading<'_>) -> Result<(), InvalidReading> {
        for output in &mut self.outputs {
            output.value.clear();
            output.format.encode(reading, &mut output.value)?;
            if output.value.len() + reading.sensor.len() > output.largest {
                return Err(InvalidReading::new(
                    "too-large",
                    format!("the result has {} bytes", output.value.len()),
                ));
            }
        }
        Ok(())
    }

    fn send<L: Log>(
        &self,
        log: &L,
        record: &ConsumerRecord<'_>,
        reading: &Reading<'_>,
    ) -> Result<(), Fault> {
        for output in &self.outputs {
            log.send(&ProducerRecord {
                topic: &output.topic,
                partition: None,
                timestamp: self.stamps.of(record),
                key: output.format.keyed().then_some(reading.sensor.as_bytes()),
                value: Some(&output.value),
                headers: &[],
            })?;
            self.counters.written.add(1);
        }
        Ok(())
    }

    /// Works on a record.
    fn process_record<L: Log>(&mut self, log: &L, record: &L::Record<'_>) -> Result<(), Fault> {
        let fields = record.fields();
        let refusal = match self.apply(&fields) {
            Outcome::Nothing => return Ok(()),
            Outcome::Applied => return self.applied(&fields),
            Outcome::Refused(refusal) => refusal,
            Outcome::Emit(reading) => match self.encode(&reading) {
                Ok(()) => return self.send(log, &fields, &reading),
                Err(refusal) => refusal,
            },
        };
        let topic = &self.inputs[fields.topic];
        let fields = ConsumerRecord {
            timestamp: self.stamps.of(&fields).unwrap_or(-1),
            ..fields
        };
        self.dead_letters
            .route(log, topic, &fields, &record.headers(), &refusal)
    }

    /// A record that the state holds already. A crash between state and offsets leaves such records
    /// behind under `at-least-once`, no more than a commit holds; in a transaction it cannot.
    fn applied(&mut self, record: &ConsumerRecord<'_>) -> Result<(), Fault> {
        let skipped = self.skipped.entry(record.partition()).or_default();
        *skipped += 1;
        if self.guarantee == Guarantee::AtLeastOnce && *skipped <= self.most {
            return Ok(());
        }
        let doing = format!(
            "reading {} [{}] at offset {}",
            self.inputs[record.topic], record.partition, record.offset
        );
        let error = Error::new(
            doing,
            "the stage's state already holds this record, so the offsets were moved back",
        )
        .help(format!(
            "to process the topic anew, begin with an empty state: rivulet state reset {}; after a \
             change from at-least-once, drain the stage with --guarantee at-least-once first",
            self.stage
        ));
        Err(Fault::Fatal(error))
    }
}

impl<L: Log> Task<L> for Processing {
    fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn restore(&mut self, log: &mut L, assignments: &[Assignment]) -> Result<(), Fault> {
        self.restore_partitions(log, assignments)
    }

    fn clear(&mut self) {
        if let Some(state) = &mut self.state {
            state.forget();
        }
        self.skipped.clear();
        self.dead_letters.rolled_back();
    }

    fn process_gap(
        &mut self,
        log: &L,
        partition: TopicPartition,
        offsets: Range<i64>,
    ) -> Result<(), Fault> {
        let topic = &self.inputs[partition.topic];
        self.dead_letters
            .route_gap(log, topic, partition.partition, &offsets)
    }

    fn process(&mut self, log: &L, record: &L::Record<'_>) -> Result<(), Fault> {
        self.process_record(log, record)
    }

    fn process_rejected(
        &mut self,
        log: &L,
        record: &L::Record<'_>,
        rejections: &[Rejection],
    ) -> Result<(), Fault> {
        let fields = record.fields();
        if self.stamps.rejected(&self.stage, &fields, rejections) {
            return self.process_record(log, record);
        }
        let refusal = dead_letter::rejected(rejections);
        let (topic, headers) = (&self.inputs[fields.topic], record.headers());
        self.dead_letters
            .route_truncated(log, topic, &fields, &headers, &refusal, rejections.len())
    }

    fn offset_metadata(&self, TopicPartition { topic, partition }: TopicPartition) -> String {
        let note = |state: &State| {
            let partitions = self.counts.get(&topic).copied();
            StateMetadata {
                digest: state.digest(topic, partition),
                partitions,
            }
            .to_string()
        };
        self.state.as_ref().map(note).unwrap_or_default()
    }

    fn prepare_commit(
        &mut self,
        log: &mut L,
        offsets: &[(TopicPartition, i64)],
        is_last: bool,
    ) -> Result<(), Fault> {
        // Without transactions the state must not get ahead of the outputs: a reading that is in
        // the state is skipped when it is read again.
        log.flush_unless_transactional()?;
        let changelog = &self.changelog;
        if let Some(state) = &mut self.state {
            state.check().map_err(Fault::Fatal)?;
            state.save(|partition, sensor, value| {
                log.send(&ProducerRecord {
                    topic: changelog,
                    partition: Some(partition),
                    timestamp: None,
                    key: Some(sensor.as_bytes()),
                    value,
                    headers: &[],
                })
            })?;
            if let Some(SplitSensor {
                sensor,
                partitions: [one, other],
                ..
            }) = state.take_split_sensor()
            {
                tracing::warn!(
                    stage = self.stage,
                    "readings of sensor {sensor:?} come from the partitions {one} and {other}, and \
                     each has a state of its own\n  help: give records their sensor as key"
                );
            }
        }
        self.checkpoints
            .send(log, changelog, &self.inputs, offsets, is_last)
    }

    fn on_committed(&mut self) {
        self.checkpoints.committed();
        self.dead_letters.committed(&self.counters);
    }
}
