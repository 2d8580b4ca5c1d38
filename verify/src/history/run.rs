//! The readings of one sensor, as they go through the steps of their times.

use std::collections::{BTreeSet, HashMap};

use super::{ChainOutcome, StageHistory, apply_chain, can_undo, keeps_state, migrate};
use crate::steps::{Step, StepState};
use crate::stream::{Entry, Series, StageCounts};

/// The readings of one sensor in one input, as they go through the steps of their times.
pub(crate) struct SensorRun<'h> {
    sensor: &'h str,
    entries: &'h [Entry],
    versions: Vec<Version<'h>>,
    version: usize,
    /// The steps of the version, with their states. `None` if it has processed no reading.
    current: Option<(&'h [Step], Vec<StepState>)>,
    /// Whether a record has several readings.
    has_several: bool,
    /// The states before the last record.
    before: Option<Vec<StepState>>,
    /// What the next version continues with.
    kept: Option<(&'h [Step], Vec<StepState>)>,
    /// Whether the states depend on deleted readings.
    is_lost: bool,
    expired: Option<&'h BTreeSet<usize>>,
    found: HashMap<(u64, i64), Entry>,
    out: Series,
}

/// A version of the stage.
struct Version<'h> {
    /// Its steps, or why they are unknown.
    steps: Result<&'h [Step], &'h String>,
    /// After how many readings it ended.
    end: usize,
    /// Whether its state was kept then.
    is_kept: bool,
}

/// A reading that went through the chain.
pub(crate) struct Applied {
    outcome: ChainOutcome,
    result: Entry,
}

impl Applied {
    /// Whether the reading cannot be processed.
    pub(crate) fn is_dead_letter(&self) -> bool {
        matches!(self.outcome, ChainOutcome::DeadLetter)
    }
}

impl<'h> SensorRun<'h> {
    /// Begins with the first reading. See [`StageHistory::run`].
    pub(super) fn new(
        history: &'h StageHistory,
        topic: &str,
        sensor: (u32, &'h str),
        series: &'h Series,
        found: Option<&Series>,
    ) -> Result<Self, String> {
        let place = (topic.to_owned(), sensor.0);
        let ends = history.before.get(&place);
        let mut versions = Vec::with_capacity(history.past.len() + 1);
        for (index, past) in history.past.iter().enumerate() {
            let end = ends.map_or(0, |ends| ends[index]);
            let is_kept = keeps_state(&past.migration, sensor.1);
            versions.push(Version {
                steps: past.steps.as_deref(),
                end,
                is_kept,
            });
        }
        versions.push(Version {
            steps: Ok(&history.now[..]),
            end: series.entries.len(),
            is_kept: false,
        });
        if versions.windows(2).any(|pair| pair[0].end > pair[1].end) {
            return Err(format!(
                "its offsets were set back: sensor \"{}\" in `{topic}`",
                sensor.1
            ));
        }
        let expiry = history.expiry.as_ref();
        let found = found.filter(|_| series.lost).into_iter();
        let found = found.flat_map(|series| series.entries.iter().rev());
        let mut run = SensorRun {
            sensor: sensor.1,
            entries: &series.entries,
            versions,
            version: 0,
            current: None,
            has_several: !series.records.is_empty(),
            before: None,
            kept: None,
            is_lost: series.lost,
            expired: expiry.and_then(|expiry| expiry.expired.get(&place)),
            found: found
                .map(|entry| ((entry.seq, entry.time), *entry))
                .collect(),
            out: Series {
                order: series.order,
                lost: series.lost,
                ..Series::default()
            },
        };
        run.enter()?;
        Ok(run)
    }

    /// Begins with a version.
    fn enter(&mut self) -> Result<(), String> {
        let Version {
            steps,
            end,
            is_kept,
        } = self.versions[self.version];
        let begin = self
            .version
            .checked_sub(1)
            .map_or(0, |before| self.versions[before].end);
        let steps = match steps {
            Ok(steps) => steps,
            Err(_) if begin == end && self.kept.is_none() => {
                self.is_lost &= is_kept;
                return Ok(());
            }
            Err(why) => return Err(why.clone()),
        };
        let states = match self.kept.take() {
            Some((before, states)) => migrate(steps, before, states)?,
            None => steps
                .iter()
                .map(|_| StepState::begin(self.is_lost))
                .collect(),
        };
        self.current = Some((steps, states));
        Ok(())
    }

    /// Passes to the version that processed the reading at `index`.
    fn advance(&mut self, index: usize) -> Result<(), String> {
        while self.version + 1 < self.versions.len() && index >= self.versions[self.version].end {
            if let Some(current) = self.current.take() {
                self.is_lost = false;
                self.kept = self.versions[self.version].is_kept.then_some(current);
            }
            self.version += 1;
            self.enter()?;
        }
        Ok(())
    }

    /// Applies the chain to the reading at `index`. [`keep`](Self::keep) or [`undo`](Self::undo)
    /// follows. `is_first`: it is the sensor's first reading of its record.
    pub(crate) fn apply(&mut self, index: usize, is_first: bool) -> Result<Applied, String> {
        self.advance(index)?;
        let entry = self.entries[index];
        let Some((steps, states)) = &mut self.current else {
            return Err("a reading was processed by unknown steps".to_owned());
        };
        if self.expired.is_some_and(|expired| expired.contains(&index)) {
            states.fill_with(StepState::default);
        }
        if is_first {
            self.before = can_undo(steps, self.has_several).then(|| states.clone());
        }
        let (outcome, result) = apply_chain(steps, self.sensor, states, entry);
        Ok(Applied { outcome, result })
    }

    /// Keeps what became of a reading that is no dead letter.
    pub(crate) fn keep(&mut self, applied: &Applied, counts: &mut StageCounts) {
        match applied.outcome {
            ChainOutcome::Pass => self.out.entries.push(applied.result),
            ChainOutcome::Drop | ChainOutcome::DeadLetter => (),
            ChainOutcome::Unknown(at) => {
                counts.unknown += 1;
                let origin = (applied.result.seq, applied.result.time);
                let (Some(result), Some((steps, states))) =
                    (self.found.get(&origin), &mut self.current)
                else {
                    self.out.unsure = self.out.entries.len();
                    return;
                };
                if at + 1 == steps.len() {
                    states[at].seed(steps[at], result.value);
                }
                self.out.entries.push(*result);
                self.out.unverified += 1;
            }
        }
    }

    /// Forgets a reading of a record that is a dead letter.
    pub(crate) fn undo(&mut self) {
        if let (Some((_, states)), Some(before)) = (&mut self.current, self.before.take()) {
            *states = before;
        }
    }

    /// What was kept.
    pub(crate) fn finish(mut self) -> Result<Series, String> {
        self.advance(self.entries.len())?;
        self.out.entries.shrink_to_fit();
        Ok(self.out)
    }
}
