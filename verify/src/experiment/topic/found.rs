//! What a topic has of an experiment, while it is read: [`FoundExperiment`].

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::super::difference::{TruthDifference, TruthDifferenceKind as Kind, TruthPlace};
use super::super::life_cycle::LifeCycle;
use super::super::message::{Configured, Measured};

/// What a topic has of an experiment.
#[derive(Debug)]
pub(super) struct FoundExperiment {
    partition: Option<i32>,
    /// Whether it is in several partitions, so that its messages have no order.
    pub(super) is_split: bool,
    pub(super) configured: Option<Configured>,
    /// In the order of the topic, each once.
    pub(super) stages: Vec<LifeCycle>,
    /// The stages that began after a later one.
    pub(super) late: Vec<(LifeCycle, TruthPlace)>,
    /// As many as the log has, in its order.
    pub(super) measurements: Vec<FoundMeasurement>,
    /// The measurements that are not in the log.
    pub(super) extra: BTreeSet<String>,
    /// The last measurement so far, in the order of the log.
    furthest: usize,
    /// Whether a measurement that is not in the log has come since the last one that is.
    pub(super) has_extra: bool,
}

/// What a topic has of a measurement.
#[derive(Debug, Default)]
pub(super) struct FoundMeasurement {
    sum: f64,
    /// How many different sensors there are.
    pub(super) count: u32,
    /// Whether its values are not those of the log.
    pub(super) is_wrong: bool,
    /// The timestamp and the hash of the first message.
    pub(super) first: Option<(f64, u64)>,
    /// Whether a measurement that is not in the log precedes it.
    pub(super) follows_extra: bool,
    /// The first message that comes too late or too early.
    pub(super) misplaced: Option<Box<Misplaced>>,
}

/// A message that is not where it must be.
#[derive(Debug)]
pub(super) struct Misplaced {
    pub(super) place: TruthPlace,
    /// The measurement that it must precede.
    pub(super) after: Option<usize>,
    /// The stage in which it is; `None` before the first one.
    pub(super) stage: Option<LifeCycle>,
}

/// What all messages of a measurement share: its timestamp, and its hash, which is hashed again to
/// be small.
pub(super) fn shared(measured: &Measured) -> (f64, u64) {
    let mut hasher = DefaultHasher::new();
    measured.hash.hash(&mut hasher);
    (measured.timestamp, hasher.finish())
}

impl FoundMeasurement {
    pub(super) fn add(&mut self, temperature: f32) {
        self.sum += f64::from(temperature);
        self.count += 1;
    }

    /// The mean of what was added.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "averages are 32-bit floats"
    )]
    pub(super) fn mean(&self) -> f32 {
        (self.sum / f64::from(self.count)) as f32
    }
}

impl FoundExperiment {
    pub(super) fn new(measurements: usize) -> Self {
        FoundExperiment {
            partition: None,
            is_split: false,
            configured: None,
            stages: Vec::new(),
            late: Vec::new(),
            measurements: (0..measurements)
                .map(|_| FoundMeasurement::default())
                .collect(),
            extra: BTreeSet::new(),
            furthest: 0,
            has_extra: false,
        }
    }

    pub(super) fn see_partition(&mut self, partition: i32) {
        self.is_split |= *self.partition.get_or_insert(partition) != partition;
    }

    /// Begins a stage. Returns how it differs by itself.
    pub(super) fn begin(
        &mut self,
        stage: LifeCycle,
        configured: Option<Configured>,
        place: TruthPlace,
    ) -> Option<TruthDifference> {
        if self.stages.contains(&stage) {
            let why = format!("{} is there twice", stage.record_name());
            return Some(TruthDifference::new(Kind::Doubled, why));
        }
        if self.stage() > Some(stage) {
            self.late.push((stage, place));
        }
        self.stages.push(stage);
        self.configured = self.configured.take().or(configured);
        None
    }

    /// The latest stage that has begun.
    fn stage(&self) -> Option<LifeCycle> {
        self.stages.iter().copied().max()
    }

    /// Sees a message of a measurement, which belongs to a stage of the log.
    pub(super) fn see_measurement(
        &mut self,
        index: usize,
        logged: Option<LifeCycle>,
        place: TruthPlace,
    ) {
        let follows_extra = std::mem::take(&mut self.has_extra);
        self.measurements[index].follows_extra |= follows_extra;
        let (stage, furthest) = (self.stage(), self.furthest);
        self.furthest = furthest.max(index);
        let is_late = index < furthest;
        let is_elsewhere = logged.is_some() && stage != logged;
        if is_late || is_elsewhere {
            let misplaced = &mut self.measurements[index].misplaced;
            misplaced.get_or_insert_with(|| {
                Box::new(Misplaced {
                    place,
                    after: is_late.then_some(furthest),
                    stage,
                })
            });
        }
    }
}
