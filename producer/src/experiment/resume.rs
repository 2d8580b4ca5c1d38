//! Going on with the experiments of an earlier process.

use rivulet_core::error::Result;
use serde::{Deserialize, Serialize};

use super::life_cycle::{LifeCycle, LifeCyclePosition};
use super::schedule::{Pause, Schedule, SchedulePlace};
use super::{ExperimentSource, experiments};
use crate::position;

/// How far all experiments are.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    seed: u64,
    launch: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pauses: Vec<Pause>,
    /// What the experiments are to do, so that others do not continue as these.
    plans: u32,
    experiments: Vec<LifeCyclePosition>,
}

impl ExperimentSource {
    /// How far the experiments are.
    pub(super) fn experiment_position(&self) -> Position {
        let schedule = self.schedule.as_ref();
        let experiments = self.experiments.iter().map(LifeCycle::position);
        Position {
            seed: self.seed,
            launch: schedule.map_or(0, Schedule::launched),
            pauses: schedule.map_or_else(Vec::new, |schedule| schedule.pauses().to_vec()),
            plans: self.plans,
            experiments: experiments.collect(),
        }
    }

    /// Continues there.
    ///
    /// # Errors
    /// If other experiments were there.
    pub(super) fn resume_at(&mut self, position: Position) -> Result<()> {
        let Position {
            seed,
            launch,
            pauses,
            plans,
            experiments: positions,
        } = position;
        if plans != self.plans || positions.len() != self.experiments.len() {
            return Err(position::unusable(
                "the experiments are others than those that have begun".to_owned(),
            ));
        }
        self.seed = seed;
        let before = std::mem::take(&mut self.experiments).into_iter();
        let before = before.map(|life| life.plan().clone()).collect();
        self.experiments = experiments(before, self.document_topic.is_some(), seed);
        let mut begun = None;
        for (index, position) in positions.into_iter().enumerate() {
            let experiment = &mut self.experiments[index];
            if let Some(nonce) = experiment.resume(position).map_err(position::unusable)? {
                self.nonce = Some(nonce);
                begun = Some(index);
            }
        }
        let running = self.experiments.iter().filter(|one| one.is_running());
        self.running = running.count();
        self.continue_at(launch, pauses, begun)
    }

    /// Continues the schedule of an earlier process. `begun` is the experiment of which a sample is
    /// sent in part.
    fn continue_at(&mut self, launch: i64, pauses: Vec<Pause>, begun: Option<usize>) -> Result<()> {
        if launch == 0 {
            return Ok(());
        }
        let next = self.next_event();
        let (Some(index), Some((place, event))) = (begun, next) else {
            let next = next.map(|(place, _)| place);
            self.schedule = Some(Schedule::resume(launch, pauses, next));
            return Ok(());
        };
        if index != place.experiment {
            let cause = format!("experiment {index} is not the one that comes next");
            return Err(position::unusable(cause));
        }
        // The rest of the sample has the time of its beginning: only what comes after it moves.
        let mut after = place;
        after.offset += self.experiments[index].plan().sample_rate;
        let others = self.next_events().map(|(other, _)| other);
        let others = others.filter(|other| other.experiment != index);
        let after = others.fold(after, SchedulePlace::min);
        let schedule = Schedule::resume(launch, pauses, Some(after));
        self.begin(&schedule, place, event)?;
        self.schedule = Some(schedule);
        Ok(())
    }
}

/// Identifies what the experiments are to do.
pub(super) fn digest(experiments: &[LifeCycle], has_document: bool) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for experiment in experiments {
        hasher.update(format!("{:?}", experiment.plan()).as_bytes());
    }
    hasher.update(&[u8::from(has_document)]);
    hasher.finalize()
}
