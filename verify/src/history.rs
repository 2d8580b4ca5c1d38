//! The steps that a stage has now, and those that it had before its settings were changed.

use std::collections::BTreeMap;

use rivulet_core::dead_letter::{Migration, MigrationKind};
use rivulet_core::rules::Rules;

use self::expiry::Expiry;
pub(crate) use self::expiry::SeenReading;
pub(crate) use self::run::{Applied, SensorRun};
use crate::steps::{Step, StepOutcome, StepState};
use crate::stream::{Entry, Series, StageCounts};

mod expiry;
mod run;

/// The steps of a stage, past and present, and which readings were processed with which.
#[derive(Debug, Default)]
pub(crate) struct StageHistory {
    /// The oldest first.
    past: Vec<PastVersion>,
    now: Vec<Step>,
    /// For each input and sensor, how many of its readings came before each migration.
    before: BTreeMap<(String, u32), Vec<usize>>,
    /// Which sensors have expired (`state-ttl`), and when.
    expiry: Option<Expiry>,
    /// Whether readings are invalid unless their sensor is the key of their record.
    requires_key: bool,
    /// Why the output cannot be computed, if it cannot.
    unverifiable: Option<String>,
}

/// The steps of a stage until a migration of its state.
#[derive(Debug)]
struct PastVersion {
    /// The steps, or why they are unknown.
    steps: Result<Vec<Step>, String>,
    migration: Migration,
}

impl StageHistory {
    /// The history of a stage with these steps and the migrations of its dead-letter topic, in
    /// order.
    pub(crate) fn new(now: Vec<Step>, migrations: Vec<Migration>) -> Self {
        let is_read_again = migrations
            .iter()
            .any(|migration| migration.remedy == MigrationKind::Anew);
        let past = migrations.into_iter().map(|migration| PastVersion {
            steps: match &migration.chain {
                Some(chain) => Step::described(chain)
                    .ok_or_else(|| format!("it was `{chain}`, which verify does not know")),
                None => Err("its steps before its state was reset are unknown".to_owned()),
            },
            migration,
        });
        let unverifiable = is_read_again.then(|| {
            "its state was reset and its inputs were read again, so its earlier output is still \
             there"
                .to_owned()
        });
        StageHistory {
            past: past.collect(),
            now,
            unverifiable,
            ..StageHistory::default()
        }
    }

    /// Whether readings are invalid unless their sensor is the key of their record.
    pub(crate) fn requires_key(&self) -> bool {
        self.requires_key
    }

    /// Applies the rules of the stage.
    pub(crate) fn with(mut self, rules: Rules) -> Self {
        self.expiry = rules.state_ttl.map(|ttl| Expiry {
            ttl: i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX),
            ..Expiry::default()
        });
        self.requires_key = rules.require_key;
        self
    }

    /// Whether it must [observe](Self::observe) the readings of its inputs.
    pub(crate) fn must_observe(&self) -> bool {
        self.is_changed() || self.expiry.is_some()
    }

    /// Whether its sensors expire (`state-ttl`).
    pub(crate) fn expires(&self) -> bool {
        self.expiry.is_some()
    }

    /// Why it must observe readings, if it must.
    pub(crate) fn reason(&self) -> &'static str {
        if self.is_changed() {
            "its settings were changed"
        } else {
            "its sensors expire by state-ttl"
        }
    }

    /// Whether its state was ever kept under other settings, reset or forgotten.
    pub(crate) fn is_changed(&self) -> bool {
        !self.past.is_empty()
    }

    /// Each migration, as text.
    pub(crate) fn migrations(&self) -> impl Iterator<Item = String> {
        let migrations = self.past.iter().map(|past| &past.migration);
        migrations.map(
            |migration| match (migration.remedy, migration.sensors.first()) {
                (MigrationKind::Forgotten, Some(first)) => format!(
                    "was made to forget {} sensors, such as \"{first}\"",
                    migration.sensors.len()
                ),
                (remedy, _) => {
                    let chain = migration.chain.as_ref();
                    let was =
                        chain.map_or("another chain".to_owned(), |chain| format!("`{chain}`"));
                    let became = if remedy == MigrationKind::Kept {
                        "kept"
                    } else {
                        "reset"
                    };
                    format!("was {was} until its state was {became}")
                }
            },
        )
    }

    fn all(&self) -> impl Iterator<Item = &Step> {
        self.past
            .iter()
            .filter_map(|past| past.steps.as_ref().ok())
            .flatten()
            .chain(&self.now)
    }

    /// Whether the order of readings matters.
    pub(crate) fn is_ordered(&self) -> bool {
        self.is_changed() || self.all().any(|step| step.is_stateful())
    }

    /// Whether results depend on sequence numbers.
    pub(crate) fn is_noisy(&self) -> bool {
        self.all().any(|step| matches!(step, Step::Noise { .. }))
    }

    /// Whether results depend on times.
    pub(crate) fn is_timed(&self) -> bool {
        self.all().any(|step| matches!(step, Step::MeanOf { .. }))
    }

    /// Records the position of a reading in an input. Must be called for the readings of a
    /// partition in the order of their offsets.
    pub(crate) fn observe(&mut self, seen: SeenReading<'_>) {
        if self.requires_key && !seen.is_keyed {
            return;
        }
        let place = (seen.topic.to_owned(), seen.partition);
        let key = (place.0.clone(), seen.sensor.0);
        let before = self
            .before
            .entry(key)
            .or_insert_with(|| vec![0; self.past.len()]);
        let mut migrations = Vec::new();
        for (count, PastVersion { migration, .. }) in before.iter_mut().zip(&self.past) {
            let from = migration.offsets.get(&place);
            if from.is_some_and(|from| seen.offset < *from) {
                *count += 1;
            } else {
                migrations.push(migration);
            }
        }
        if let Some(expiry) = &mut self.expiry {
            expiry.observe(seen, &migrations);
        }
    }

    /// Removes an observed reading, given by its index among those of its sensor.
    pub(crate) fn remove_observed(&mut self, topic: &str, sensor: u32, index: usize) {
        let key = (topic.to_owned(), sensor);
        for count in self.before.get_mut(&key).into_iter().flatten() {
            *count -= usize::from(index < *count);
        }
        let expiry = self.expiry.as_mut();
        if let Some(indices) = expiry.and_then(|expiry| expiry.expired.get_mut(&key)) {
            // A sensor that had expired before this reading has expired before the next one.
            *indices = indices
                .iter()
                .map(|other| other - usize::from(index < *other))
                .collect();
        }
    }

    /// From now on the output cannot be computed, because `why`.
    pub(crate) fn mark_unverifiable(&mut self, why: String) {
        self.unverifiable.get_or_insert(why);
    }

    /// # Errors
    /// Why the output cannot be computed.
    pub(crate) fn check_verifiable(&self) -> Result<(), String> {
        self.unverifiable.clone().map_or(Ok(()), Err)
    }

    /// Begins to compute the output for the readings of one sensor (its number and name) in one
    /// input. If readings were deleted, `found` is the actual output of all of them.
    ///
    /// # Errors
    /// Why the output cannot be computed.
    pub(crate) fn start<'h>(
        &'h self,
        topic: &str,
        sensor: (u32, &'h str),
        series: &'h Series,
        found: Option<&Series>,
    ) -> Result<SensorRun<'h>, String> {
        SensorRun::new(self, topic, sensor, series, found)
    }

    /// Computes the output for the readings of one sensor, and counts the readings without output.
    /// See [`start`](Self::start).
    ///
    /// # Errors
    /// Why the output cannot be computed.
    pub(crate) fn run(
        &self,
        topic: &str,
        sensor: (u32, &str),
        series: &Series,
        found: Option<&Series>,
        counts: &mut StageCounts,
    ) -> Result<Series, String> {
        let mut run = self.start(topic, sensor, series, found)?;
        for index in 0..series.entries.len() {
            let applied = run.apply(index, true)?;
            if applied.is_dead_letter() {
                counts.dead_letters += 1;
                run.undo();
            } else {
                run.keep(&applied, counts);
            }
        }
        run.finish()
    }
}

/// Whether a sensor keeps its state in a migration.
fn keeps_state(migration: &Migration, sensor: &str) -> bool {
    match migration.remedy {
        MigrationKind::Kept => true,
        MigrationKind::Forgotten => !migration.sensors.contains(sensor),
        MigrationKind::Reset | MigrationKind::Anew => false,
    }
}

/// Whether a step has changed its state when a reading turns out to be a dead letter: because of a
/// later step, or of another reading of the same record.
fn can_undo(steps: &[Step], has_several: bool) -> bool {
    let earlier = &steps[..steps.len().saturating_sub(usize::from(!has_several))];
    earlier.iter().any(|step| step.is_stateful())
}

/// What a chain makes of a reading.
enum ChainOutcome {
    Pass,
    Drop,
    DeadLetter,
    /// It depends on the state of the step at this index, which is unknown.
    Unknown(usize),
}

fn apply_chain(
    steps: &[Step],
    sensor: &str,
    states: &mut [StepState],
    mut entry: Entry,
) -> (ChainOutcome, Entry) {
    for (index, step) in steps.iter().enumerate() {
        match step.apply(sensor, &mut states[index], &mut entry) {
            StepOutcome::Pass => (),
            StepOutcome::Drop => return (ChainOutcome::Drop, entry),
            StepOutcome::DeadLetter => return (ChainOutcome::DeadLetter, entry),
            StepOutcome::Unknown => {
                // Whether the reading passes this step, and with which value, is unknown.
                states[index + 1..]
                    .iter_mut()
                    .for_each(StepState::invalidate);
                return (ChainOutcome::Unknown(index), entry);
            }
        }
    }
    (ChainOutcome::Pass, entry)
}

/// Migrates state to the same steps with other settings.
fn migrate(
    steps: &[Step],
    before: &[Step],
    mut states: Vec<StepState>,
) -> Result<Vec<StepState>, String> {
    if steps.len() != before.len()
        || steps
            .iter()
            .zip(before)
            .any(|(step, before)| !step.keeps_same_state_as(*before))
    {
        return Err("its state was kept for other steps than those of the file".to_owned());
    }
    for (step, state) in steps.iter().zip(&mut states) {
        step.migrate(state);
    }
    Ok(states)
}

#[cfg(test)]
mod tests;
