//! An operator stage's work: decode, apply the chain, encode, send.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::counters::Counters;
use crate::dead_letter::DeadLetters;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::log::{Fault, Incoming, Log, Outgoing, Partition, Position, Record};
use crate::operator::{Flow, Operator};
use crate::pipeline::{Guarantee, Pipeline, Stage};
use crate::reading::{Reading, Refusal};
use crate::stage::Work;
use crate::state::{Full, State, Summary};

/// The work of an operator stage.
pub struct Processing {
    stage: String,
    operator: Box<dyn Operator>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
    state: Option<State>,
    changelog: String,
    dead_letters: DeadLetters,
    guarantee: Guarantee,
    counters: Arc<Counters>,
}

struct Input {
    topic: String,
    format: Box<dyn Format>,
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
    Refused(Refusal),
    /// A record that the state already holds.
    Applied,
}

impl Processing {
    /// The work of `stage`, whose steps are `operator`.
    #[must_use]
    pub fn new(pipeline: &Pipeline, stage: &Stage, operator: Box<dyn Operator>, counters: Arc<Counters>) -> Self {
        let inputs = stage
            .from
            .iter()
            .map(|topic| Input { topic: topic.clone(), format: pipeline.topic(topic).build_format() })
            .collect();
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
        let state =
            (operator.memories() > 0).then(|| State::new(&*operator, stage.from.clone(), pipeline.limits.state()));
        Processing {
            stage: stage.name.clone(),
            operator,
            inputs,
            outputs,
            state,
            changelog: stage.changelog(),
            dead_letters: DeadLetters::of(pipeline, stage),
            guarantee: pipeline.guarantee,
            counters,
        }
    }

    fn process<'a>(&mut self, record: &Incoming<'a>) -> Outcome<'a> {
        let mut reading = match self.inputs[record.topic].format.decode(record) {
            Ok(reading) => reading,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let memories = match &mut self.state {
            None => &mut [],
            Some(state) => match state.apply(record.topic, record.partition, record.offset, &reading.sensor) {
                Ok(Some(memories)) => memories,
                Ok(None) => return Outcome::Applied,
                Err(full) => return Outcome::Refused(Refusal::new("state-full", format!("{full}; {}", Full::HELP))),
            },
        };
        match self.operator.apply(&mut reading, memories) {
            Ok(Flow::Pass) => Outcome::Emit(reading),
            Ok(Flow::Drop) => Outcome::Nothing,
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Writes the reading in every output's format before the first is sent: it goes to all or none.
    fn encode(&mut self, reading: &Reading<'_>) -> Result<(), Refusal> {
        for output in &mut self.outputs {
            output.value.clear();
            output.format.encode(reading, &mut output.value)?;
            if output.value.len() + reading.sensor.len() > output.largest {
                return Err(Refusal::new("too-large", format!("the result has {} bytes", output.value.len())));
            }
        }
        Ok(())
    }

    fn send<L: Log>(&self, log: &L, record: &Incoming<'_>, reading: &Reading<'_>) -> Result<(), Fault> {
        for output in &self.outputs {
            log.send(&Outgoing {
                topic: &output.topic,
                partition: None,
                timestamp: record.stamped(),
                key: output.format.keyed().then_some(reading.sensor.as_bytes()),
                value: Some(&output.value),
                headers: &[],
            })?;
            self.counters.written.add(1);
        }
        Ok(())
    }

    /// A record that the state holds already. A crash between state and offsets leaves such records
    /// behind under `at-least-once`; in a transaction it cannot.
    fn applied(&self, record: &Incoming<'_>) -> Result<(), Fault> {
        if self.guarantee == Guarantee::AtLeastOnce {
            return Ok(());
        }
        let doing =
            format!("reading {} [{}] at offset {}", self.inputs[record.topic].topic, record.partition, record.offset);
        let error = Error::new(doing, "the stage's state already holds this record, so the offsets were moved back")
            .help(format!(
                "to process the topic anew, begin with an empty state: rivulet state reset {}; after a change from \
                 at-least-once, drain the stage with --guarantee at-least-once first",
                self.stage
            ));
        Err(Fault::Fatal(error))
    }
}

impl Processing {
    /// State is never silently wrong: what was restored must be what the committed offset belongs to.
    fn check_restored(&self, position: &Position) -> Result<(), Fault> {
        let Partition { topic, partition } = position.partition;
        let Some(state) = &self.state else { return Ok(()) };
        // Offsets that another tool has set come without a note.
        let Ok(noted) = position.note.parse::<Summary>() else { return Ok(()) };
        let found = state.summary(topic, partition);
        if found.fits(&noted, self.guarantee) {
            return Ok(());
        }
        let doing = format!("restoring the state of partition {partition} from {}", self.changelog);
        let cause = format!(
            "it is not the state that belongs to offset {} of {}: it has {} sensors where {} were noted",
            position.next, self.inputs[topic].topic, found.sensors, noted.sensors
        );
        let cause = if found.sensors == noted.sensors { format!("{cause}, but of other records") } else { cause };
        Err(Fault::Fatal(Error::new(doing, cause).help(format!(
            "the changelog was deleted, cut short or is not compacted (`rivulet topics describe` tells), or the stage \
             ran at-least-once before (drain it so first); bring the topic back, or begin with an empty state: \
             rivulet state reset {}",
            self.stage
        ))))
    }
}

/// The state and the offset were read at different times, between which somebody committed.
fn moved_on(changelog: &str) -> Fault {
    Fault::Undo(Error::new(format!("restoring from {changelog}"), "another process has committed meanwhile"))
}

impl<L: Log> Work<L> for Processing {
    fn given(&mut self, log: &mut L, partitions: &[Partition]) -> Result<(), Fault> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let committed = log.committed(partitions)?;
        // The same partition of several inputs shares one partition of the changelog.
        let mut numbers: Vec<i32> = partitions.iter().map(|partition| partition.partition).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut refused = BTreeMap::new();
        log.restore(&self.changelog, &numbers, &mut |partition, key, value| {
            match state.restore(partition, key, value) {
                Err(error) => _ = refused.insert((partition, key.to_vec()), error),
                // What a later record replaces, a tombstone perhaps, need not have been a state.
                Ok(()) if !refused.is_empty() => _ = refused.remove(&(partition, key.to_vec())),
                Ok(()) => (),
            }
        })?;
        if let Some((_, error)) = refused.pop_first() {
            return Err(Fault::Fatal(error.or_help(format!(
                "state of another chain means something else: undo the change, give the stage a new name, go on with \
                 what is remembered: rivulet state keep {0}, or begin with an empty state: rivulet state reset {0}",
                self.stage
            ))));
        }
        let sensors = state.sensors();
        if let Err(wrong) = committed.iter().try_for_each(|position| self.check_restored(position)) {
            // Whoever is held up here for long may have lost the partitions to a process that goes on.
            return Err(if log.committed(partitions)? == committed { wrong } else { moved_on(&self.changelog) });
        }
        self.counters.restored.add(sensors as u64);
        if !numbers.is_empty() {
            tracing::info!("restored {sensors} sensors from partitions {numbers:?} of {}", self.changelog);
        }
        Ok(())
    }

    fn forget(&mut self) {
        if let Some(state) = &mut self.state {
            state.forget();
        }
    }

    fn record(&mut self, log: &L, record: &L::Record<'_>) -> Result<(), Fault> {
        let incoming = record.incoming();
        let refusal = match self.process(&incoming) {
            Outcome::Nothing => return Ok(()),
            Outcome::Applied => return self.applied(&incoming),
            Outcome::Refused(refusal) => refusal,
            Outcome::Emit(reading) => match self.encode(&reading) {
                Ok(()) => return self.send(log, &incoming, &reading),
                Err(refusal) => refusal,
            },
        };
        let topic = &self.inputs[incoming.topic].topic;
        self.dead_letters.bury(log, topic, &incoming, &record.headers(), &refusal, &self.counters)
    }

    fn note(&self, Partition { topic, partition }: Partition) -> String {
        self.state.as_ref().map(|state| state.summary(topic, partition).to_string()).unwrap_or_default()
    }

    fn before_commit(&mut self, log: &mut L) -> Result<(), Fault> {
        let Some(state) = &mut self.state else { return Ok(()) };
        // Without transactions the state must not get ahead of the outputs: a reading that is in the
        // state is skipped when it is read again.
        log.flush()?;
        let changelog = &self.changelog;
        state.save(|partition, sensor, value| {
            log.send(&Outgoing {
                topic: changelog,
                partition: Some(partition),
                timestamp: None,
                key: Some(sensor.as_bytes()),
                value: Some(value),
                headers: &[],
            })
        })
    }
}
