//! The task of an operator stage: decode, apply the chain, encode, send.

mod config;
mod restoring;
mod results;

pub use self::config::{InputTopic, OutputTopic, ProcessingConfig};
use self::results::{ResultRecord, Results};

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::checkpoint::Checkpoints;
use crate::dead_letter::{self, DeadLetters};
use crate::error::{Error, Kind};
use crate::format::{DecodeError, Format};
use crate::guarantee::Guarantee;
use crate::log::{ConsumerRecord, Fault, Log, ProducerRecord, Record, Rejection, TopicPartition};
use crate::metrics::Metrics;
use crate::operator::{Emitter, Operator};
use crate::reading::{InvalidReading, Reading};
use crate::readings::Readings;
use crate::rules::Rules;
use crate::stage::{Assignment, Task};
use crate::stamps::Stamps;
use crate::state::{BudgetExceeded, SplitSensor, State, StateMetadata};

/// The task of an operator stage.
pub struct Processing {
    stage: String,
    operator: Arc<dyn Operator>,
    /// The names of the topics that are read.
    inputs: Vec<String>,
    /// Their formats.
    formats: Vec<Box<dyn Format>>,
    outputs: Vec<OutputTopic>,
    results: Results,
    state: Option<State>,
    changelog: String,
    checkpoints: Checkpoints,
    /// How many partitions each input has.
    partition_counts: BTreeMap<usize, i32>,
    dead_letters: DeadLetters,
    rules: Rules,
    guarantee: Guarantee,
    /// How many records a commit holds at most.
    commit_records: u64,
    /// How many records of each partition have readings that the state contained already.
    repeated: BTreeMap<TopicPartition, u64>,
    stamps: Stamps,
    /// Whether a record whose key is not its sensor was logged.
    has_warned_of_key: bool,
    /// The partitions and the number of sensors that were last logged as restored.
    restored: Option<(Vec<i32>, usize)>,
    metrics: Arc<Metrics>,
}

/// The outcome of applying the chain to a record.
enum Outcome {
    /// The results are encoded.
    Applied,
    /// The results are encoded of those readings that the state does not contain already.
    PartlyApplied,
    /// It has no readings.
    Skipped,
    Invalid(InvalidReading),
}

impl Processing {
    /// The task of a stage whose steps are `operator`.
    #[must_use]
    pub fn new(
        config: ProcessingConfig,
        operator: Box<dyn Operator>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (inputs, formats): (Vec<String>, _) = config
            .inputs
            .into_iter()
            .map(|input| (input.name, input.format))
            .unzip();
        let operator: Arc<dyn Operator> = operator.into();
        let state = (operator.states() > 0).then(|| {
            State::new(
                operator.clone(),
                inputs.clone(),
                config.state_bytes,
                config.rules.state_ttl,
            )
        });
        Processing {
            stage: config.stage,
            inputs,
            formats,
            outputs: config.outputs,
            results: Results::default(),
            state,
            operator,
            changelog: config.changelog,
            checkpoints: Checkpoints::default(),
            partition_counts: BTreeMap::new(),
            dead_letters: config.dead_letters,
            rules: config.rules,
            guarantee: config.guarantee,
            commit_records: config.commit_records,
            repeated: BTreeMap::new(),
            stamps: Stamps::default(),
            has_warned_of_key: false,
            restored: None,
            metrics,
        }
    }

    /// Applies the chain to the readings of a record. All results are encoded before the first is
    /// sent: they go to all outputs or to none.
    fn apply(&mut self, record: &ConsumerRecord<'_>) -> Result<Outcome, Fault> {
        self.results.clear();
        let readings = match self.formats[record.topic].decode(record) {
            Ok(Readings::None) => return Ok(Outcome::Skipped),
            Ok(readings) => readings,
            Err(DecodeError::Invalid(invalid)) => return Ok(Outcome::Invalid(invalid)),
            Err(DecodeError::Unavailable(error)) => return Err(Fault::Abortable(error)),
        };
        if let Err(invalid) = self.check_key(record, readings.as_slice()) {
            return Ok(Outcome::Invalid(invalid));
        }
        if let Some(state) = &mut self.state {
            state.begin_record();
        }
        let mut outcome = Outcome::Applied;
        let applied = readings.try_for_each(|reading| {
            if !self.apply_reading(record, reading)? {
                outcome = Outcome::PartlyApplied;
            }
            Ok(())
        });
        Ok(match applied {
            Ok(()) => outcome,
            Err(invalid) => {
                if let Some(state) = &mut self.state {
                    state.undo().map_err(Fault::Fatal)?;
                }
                Outcome::Invalid(invalid)
            }
        })
    }

    /// Applies the chain to one reading of a record. Returns `false` if the state contains it
    /// already.
    fn apply_reading(
        &mut self,
        record: &ConsumerRecord<'_>,
        reading: Reading<'_>,
    ) -> Result<bool, InvalidReading> {
        let states = match &mut self.state {
            None => &mut [],
            Some(state) => {
                // A reading cannot be newer than its record. So a clock that is ahead does not
                // expire the state of other sensors.
                let time = record
                    .stamped()
                    .map_or(reading.time, |entered| reading.time.min(entered));
                let ConsumerRecord {
                    topic,
                    partition,
                    offset,
                    ..
                } = *record;
                match state.apply(topic, partition, offset, &reading.sensor, time) {
                    Ok(Some(states)) => states,
                    Ok(None) => return Ok(false),
                    Err(exceeded) => {
                        let detail = format!("{exceeded}; {}", BudgetExceeded::HELP);
                        return Err(InvalidReading::new("state-full", detail));
                    }
                }
            }
        };
        let (results, outputs) = (&mut self.results, &self.outputs);
        let mut encode = |reading: Reading<'_>| results.encode(outputs, &reading);
        self.operator
            .process(reading, states, &mut Emitter::new(&mut encode))?;
        Ok(true)
    }

    /// Checks the key of a record. If it is not that of its sensors, their readings may be in any
    /// partition.
    fn check_key(
        &mut self,
        record: &ConsumerRecord<'_>,
        readings: &[Reading<'_>],
    ) -> Result<(), InvalidReading> {
        let format = &self.formats[record.topic];
        let is_wrong = |reading: &&Reading<'_>| {
            format.keyed() && record.key != Some(format.key(&reading.sensor).as_bytes())
        };
        let Some(reading) = readings.iter().find(is_wrong) else {
            return Ok(());
        };
        let key = record.key.map_or("no key".to_owned(), |key| {
            format!("the key {:?}", String::from_utf8_lossy(key))
        });
        let detail = format!("a record of sensor {:?} has {key}", reading.sensor);
        if self.rules.require_key {
            return Err(InvalidReading::new("wrong-key", detail));
        }
        if self.state.is_some() && !self.has_warned_of_key {
            self.has_warned_of_key = true;
            tracing::warn!(
                stage = self.stage,
                topic = self.inputs[record.topic],
                partition = record.partition,
                offset = record.offset,
                "{detail}: the readings of a sensor may be in several partitions, each with its \
                 own state\n  help: use the sensor as the key of its records; with require-key = \
                 true in [operator.{}] other records become dead letters",
                self.stage
            );
        }
        Ok(())
    }

    /// Sends the results of a record.
    fn send<L: Log>(&self, log: &L, record: &ConsumerRecord<'_>) -> Result<(), Fault> {
        let Results { bytes, records } = &self.results;
        for ResultRecord { output, key, value } in records {
            let topic = &self.outputs[*output];
            log.send(&ProducerRecord {
                topic: &topic.name,
                partition: None,
                timestamp: self.stamps.of(record),
                key: topic.format.keyed().then_some(&bytes[key.clone()]),
                value: Some(&bytes[value.clone()]),
                headers: &[],
            })?;
            self.metrics.written.add(1);
        }
        Ok(())
    }

    fn process_record<L: Log>(&mut self, log: &L, record: &L::Record<'_>) -> Result<(), Fault> {
        let fields = record.fields();
        let invalid = match self.apply(&fields)? {
            Outcome::Applied => return self.send(log, &fields),
            Outcome::PartlyApplied => {
                self.count_repeated(&fields)?;
                return self.send(log, &fields);
            }
            Outcome::Skipped => {
                self.metrics.skipped.add(1);
                return Ok(());
            }
            Outcome::Invalid(invalid) => invalid,
        };
        let topic = &self.inputs[fields.topic];
        let fields = ConsumerRecord {
            timestamp: self.stamps.of(&fields).unwrap_or(-1),
            ..fields
        };
        self.dead_letters
            .route(log, topic, &fields, &record.headers(), &invalid)
    }

    /// Counts a record of which the state contains readings already; they are skipped. Under
    /// `at-least-once` a crash between state and offsets leaves such records, at most as many as a
    /// commit holds. Under `exactly-once` there are none.
    fn count_repeated(&mut self, record: &ConsumerRecord<'_>) -> Result<(), Fault> {
        let repeated = self.repeated.entry(record.partition()).or_default();
        *repeated += 1;
        if self.guarantee == Guarantee::AtLeastOnce && *repeated <= self.commit_records {
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
        .of_kind(Kind::Conflict)
        .help(format!(
            "to process the topic again, start with an empty state: rivulet state reset {}; to \
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
        for output in &self.outputs {
            output.format.prepare().map_err(Fault::Abortable)?;
        }
        self.restore_partitions(log, assignments)
    }

    fn clear(&mut self) {
        if let Some(state) = &mut self.state {
            state.clear();
        }
        self.repeated.clear();
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
        let invalid = dead_letter::rejected(rejections);
        let (topic, headers) = (&self.inputs[fields.topic], record.headers());
        self.dead_letters
            .route_truncated(log, topic, &fields, &headers, &invalid, rejections.len())
    }

    fn offset_metadata(&self, TopicPartition { topic, partition }: TopicPartition) -> String {
        let Some(state) = &self.state else {
            return String::new();
        };
        let metadata = StateMetadata {
            digest: state.digest(topic, partition),
            partitions: self.partition_counts.get(&topic).copied(),
        };
        metadata.to_string()
    }

    fn prepare_commit(
        &mut self,
        log: &mut L,
        offsets: &[(TopicPartition, i64)],
        is_last: bool,
    ) -> Result<(), Fault> {
        // Without transactions the state must not get ahead of the outputs: a reading that the
        // state contains is skipped when it is read again.
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
                    "readings of sensor {sensor:?} are in partitions {one} and {other}, each with \
                     its own state\n  help: use the sensor as the key of its records"
                );
            }
        }
        self.checkpoints
            .send(log, changelog, &self.inputs, offsets, is_last)
    }

    fn on_committed(&mut self) {
        self.checkpoints.committed();
        self.dead_letters.committed(&self.metrics);
        self.measure_state();
    }
}
