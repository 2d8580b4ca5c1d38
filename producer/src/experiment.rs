//! Experiments: the source of a course's messages, and the truth about them.
//!
//! An experiment tells its configuration, brings its temperature into a range, carries out a random
//! walk from there, and ends. Each of its sensors measures at each sample; each measurement is a
//! message. Consumers compute the averages and tell the researcher when the temperature comes into
//! the range or leaves it. [`ExperimentSource`] runs several experiments at once, by a schedule.
//! What they really were is in the ground truth log.
//!
//! The messages, their hashes, the log and the load files are those of the [experiment producer] of
//! EC-labs, so a consumer that was written for it reads these as well.
//!
//! [experiment producer]: https://github.com/EC-labs/cec-assignment

mod course;
pub mod hash;
pub mod lateness;
mod life_cycle;
mod measurement;
mod messages;
pub mod plan;
pub mod range;
mod resume;
mod schedule;
mod truth_log;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use rivulet_core::error::{Error, Kind, Result};
use serde_json::{Value, json};

use self::hash::{NONCE_LENGTH, SecretKey};
use self::lateness::{Lateness, Notice};
use self::life_cycle::{LifeCycle, LifeCycleEvent};
use self::messages::{MOST_IN_DOCUMENT, Messages, Milestone, RECORD_NAME};
use self::plan::ExperimentPlan;
use self::schedule::{Schedule, SchedulePlace};
use self::truth_log::{StageTimes, TruthLogWriter};
use crate::position;
use crate::source::{Next, Progress, Source, SourceRecord};
use crate::unique::unique;

/// The name of the ground truth log unless another is chosen.
pub const TRUTH_LOG: &str = "producer.json.log";

/// What experiments to run, and how.
#[derive(Debug, Clone)]
pub struct ExperimentOptions {
    /// The experiments, which run at the same time.
    pub plans: Vec<ExperimentPlan>,
    /// Encrypts the measurement hashes.
    pub key: SecretKey,
    /// The topic of the messages. `None` is each of the stage's.
    pub topic: Option<String>,
    /// The topic of a document of each experiment. `None` sends none.
    pub document_topic: Option<String>,
    /// The ground truth log, without the date at the end of its name.
    pub truth_log: Option<PathBuf>,
    /// Decides everything random. `None` is a random seed.
    pub seed: Option<u64>,
}

/// Runs experiments.
#[derive(Debug)]
pub struct ExperimentSource {
    experiments: Vec<LifeCycle>,
    key: SecretKey,
    topic: Option<String>,
    document_topic: Option<String>,
    seed: u64,
    /// Identifies what the experiments are to do.
    plans: u32,
    log: Option<TruthLogWriter>,
    /// `None` before the first event.
    schedule: Option<Schedule>,
    /// How many experiments have begun and are not over.
    running: usize,
    /// The experiment with an event that has begun.
    active: Option<usize>,
    /// The nonce of a sample that an earlier process has sent in part.
    nonce: Option<[u8; NONCE_LENGTH]>,
    messages: Messages,
    value: Vec<u8>,
    lateness: Lateness,
}

impl ExperimentSource {
    /// Experiments before their launch, which is at the first event.
    ///
    /// # Errors
    /// If the log cannot be written, or a document would be too large.
    pub fn new(options: ExperimentOptions) -> Result<Self> {
        let has_document = options.document_topic.is_some();
        let largest = options
            .plans
            .iter()
            .map(|plan| plan.carry_out_samples)
            .max();
        if has_document && largest > Some(MOST_IN_DOCUMENT) {
            let cause = format!("a document has {MOST_IN_DOCUMENT} measurements at most");
            return Err(Error::new("planning the experiments", cause)
                .of_kind(Kind::Usage)
                .help("choose fewer carry-out samples, or no topic for documents"));
        }
        let [bytes @ .., _, _, _, _, _, _, _, _] = unique();
        let seed = options.seed.unwrap_or_else(|| u64::from_be_bytes(bytes));
        let log = options.truth_log.as_deref().map(TruthLogWriter::open);
        let experiments = experiments(options.plans, has_document, seed);
        Ok(ExperimentSource {
            plans: resume::digest(&experiments, has_document),
            experiments,
            key: options.key,
            topic: options.topic,
            document_topic: options.document_topic,
            seed,
            log: log.transpose()?,
            schedule: None,
            running: 0,
            active: None,
            nonce: None,
            messages: Messages::default(),
            value: Vec::new(),
            lateness: Lateness::default(),
        })
    }

    /// How many experiments have begun and are not over.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running
    }

    /// Whether some messages of a sample are sent, and some are not.
    #[must_use]
    pub fn is_within_sample(&self) -> bool {
        self.active.is_some()
    }

    /// How many messages were sent, and how many there will be.
    #[must_use]
    pub fn messages(&self) -> Progress {
        let counts = self.experiments.iter().map(LifeCycle::messages);
        let (done, total) = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        Progress { done, total }
    }

    /// How late the events were.
    #[must_use]
    pub fn lateness(&self) -> &Lateness {
        &self.lateness
    }

    /// What decides everything random.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What comes next in each experiment.
    fn next_events(&self) -> impl Iterator<Item = (SchedulePlace, LifeCycleEvent)> {
        let experiments = self.experiments.iter().enumerate();
        experiments.filter_map(|(experiment, life)| {
            let event = life.event()?;
            let offset = life.offset(event);
            Some((SchedulePlace { offset, experiment }, event))
        })
    }

    /// The event that comes next, and its experiment.
    fn next_event(&self) -> Option<(SchedulePlace, LifeCycleEvent)> {
        self.next_events().min_by_key(|(place, _)| *place)
    }

    /// Begins an event: its time has come.
    fn begin(
        &mut self,
        schedule: &Schedule,
        place: SchedulePlace,
        event: LifeCycleEvent,
    ) -> Result<()> {
        let experiment = &mut self.experiments[place.experiment];
        let timestamp = schedule.seconds(place);
        match event {
            LifeCycleEvent::Sample(number) => {
                let nonce = self.nonce.take().unwrap_or_else(nonce);
                experiment.measure(number, timestamp, nonce, &self.key)?;
                if let Some(log) = &mut self.log {
                    log.measurement(experiment)?;
                }
            }
            LifeCycleEvent::Configured => {
                let sensors = experiment.sensors();
                let plan = experiment.plan();
                let value = &mut self.value;
                self.messages
                    .configured(experiment.id(), plan, sensors, value);
                self.enter(place.experiment, "configuration", None)?;
            }
            LifeCycleEvent::Milestone(milestone) => {
                let value = &mut self.value;
                self.messages
                    .milestone(milestone, experiment.id(), timestamp, value);
                let (stage, elapsed) = match milestone {
                    Milestone::StabilizationStarted => ("stabilization", None),
                    Milestone::Started => ("carry out", None),
                    Milestone::Terminated => {
                        let elapsed = elapsed(experiment, schedule, place.experiment);
                        ("terminated", Some(elapsed))
                    }
                };
                self.enter(place.experiment, stage, elapsed)?;
            }
            LifeCycleEvent::Document => {
                let carried_out = experiment.carried_out().into_iter();
                let measurements: Vec<(f64, f32)> = carried_out
                    .map(|(sample, temperature)| {
                        let offset = experiment.offset(LifeCycleEvent::Sample(sample));
                        let place = SchedulePlace { offset, ..place };
                        (schedule.seconds(place), temperature)
                    })
                    .collect();
                let (range, value) = (experiment.plan().range, &mut self.value);
                self.messages
                    .document(experiment.id(), range, &measurements, value);
            }
        }
        self.active = Some(place.experiment);
        Ok(())
    }

    /// An experiment enters a stage.
    fn enter(
        &mut self,
        experiment: usize,
        stage: &'static str,
        elapsed: Option<StageTimes>,
    ) -> Result<()> {
        let experiment = &self.experiments[experiment];
        tracing::info!(
            experiment = experiment.id(),
            stage,
            "the experiment goes on"
        );
        match &mut self.log {
            Some(log) => log.stage(experiment, stage, elapsed),
            None => Ok(()),
        }
    }

    fn count_late(&mut self, late: Duration) {
        match self.lateness.count(late) {
            Some(Notice::Late) => tracing::warn!(
                ?late,
                "the experiments are late: this machine, the brokers or the network are too slow \
                 for them"
            ),
            Some(Notice::CaughtUp) => tracing::info!("the experiments are in time again"),
            None => (),
        }
    }

    /// The message that comes next of an event that has begun.
    fn message(&mut self, index: usize) -> SourceRecord<'_> {
        let experiment = &self.experiments[index];
        let event = experiment.event();
        if let Some((measurement, sensor, temperature)) = experiment.unsent() {
            let (id, value) = (experiment.id(), &mut self.value);
            self.messages
                .measured(id, sensor, measurement, temperature, value);
        }
        let was_running = experiment.is_running();
        let experiment = &mut self.experiments[index];
        if experiment.sent() {
            self.active = None;
        }
        self.running += usize::from(experiment.is_running());
        self.running -= usize::from(was_running);
        let name = event.and_then(LifeCycleEvent::record_name);
        let topic = match name {
            Some(_) => &self.topic,
            None => &self.document_topic,
        };
        let headers = name.map(|name| (RECORD_NAME.to_owned(), Some(name.into())));
        SourceRecord {
            topic: topic.as_deref().map(Into::into),
            key: Some(self.experiments[index].id().as_bytes().into()),
            value: Some((&*self.value).into()),
            headers: headers.into_iter().collect(),
        }
    }
}

impl Source for ExperimentSource {
    fn next(&mut self, wait: Duration) -> Result<Next<'_>> {
        let index = match self.active {
            Some(index) => index,
            None => {
                let Some((place, event)) = self.next_event() else {
                    return Ok(Next::End);
                };
                let schedule = self.schedule.take().unwrap_or_else(Schedule::launch);
                let mut due = schedule.wait(place);
                if let Ok(early) = due {
                    thread::sleep(early.min(wait));
                    due = schedule.wait(place);
                }
                let begun = due.map_or_else(
                    |late| {
                        self.count_late(late);
                        self.begin(&schedule, place, event)
                    },
                    |_| Ok(()),
                );
                self.schedule = Some(schedule);
                begun?;
                match self.active {
                    Some(index) => index,
                    None => return Ok(Next::NotYet),
                }
            }
        };
        Ok(Next::Record(self.message(index)))
    }

    fn position(&self) -> Value {
        json!(self.experiment_position())
    }

    fn resume(&mut self, position: &Value) -> Result<()> {
        self.resume_at(position::read(position)?)
    }

    fn progress(&self) -> Option<Progress> {
        Some(self.messages())
    }
}

/// The experiments, each with a seed of its own.
fn experiments(plans: Vec<ExperimentPlan>, has_document: bool, seed: u64) -> Vec<LifeCycle> {
    let mut seeds = Xoshiro256PlusPlus::seed_from_u64(seed);
    let plans = plans.into_iter();
    plans
        .map(|plan| LifeCycle::new(plan, has_document, seeds.next_u64()))
        .collect()
}

/// Bytes that no other text is encrypted with.
fn nonce() -> [u8; NONCE_LENGTH] {
    let [bytes @ .., _, _, _, _] = unique();
    bytes
}

/// How long an experiment took that ends now.
fn elapsed(experiment: &LifeCycle, schedule: &Schedule, index: usize) -> StageTimes {
    let time = |event| {
        let offset = experiment.offset(event);
        let experiment = index;
        schedule.time(SchedulePlace { offset, experiment }) / 1000
    };
    let start = time(LifeCycleEvent::Configured);
    let middle = time(LifeCycleEvent::Milestone(Milestone::Started));
    let end = time(LifeCycleEvent::Milestone(Milestone::Terminated));
    StageTimes {
        elapsed: end - start,
        stabilization: middle - start,
        carry_out: end - middle,
    }
}

#[cfg(test)]
mod tests;
