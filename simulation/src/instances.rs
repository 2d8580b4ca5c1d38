//! The instances of a plan's stages: which run, which died, and when they restart.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rivulet_core::counters::Counters;
use rivulet_core::error::Error;
use rivulet_core::log::Fault;
use rivulet_core::processing::Processing;
use rivulet_core::shutdown::Shutdown;
use rivulet_core::stage::{StageLoop, Step};
use rivulet_pipeline::{Stage, StageKind};
use rivulet_producer::source_loop::SourceLoop;

use crate::chance::Chance;
use crate::client::{SimulatedLog, place_of};
use crate::cluster::{Cluster, Content, Place};
use crate::faults::{FaultKind, Margin};
use crate::plan::{self, FORBIDDEN_TEXT, Plan};
use crate::world::{OtherProcesses, SimulatedProcess, World};

/// How many instances may be added to those of the plan.
const MAX_EXTRAS: usize = 3;

/// The year 2100, in milliseconds since the epoch.
const FUTURE: i64 = 4_102_444_800_000;

/// How long a month lasts. Only what happens at its end is like a month.
const MONTH: Duration = Duration::from_secs(15);

/// All processes. Each can look at the others while it runs.
pub struct Instances {
    world: Rc<World>,
    plan: Plan,
    slots: RefCell<Vec<Slot>>,
    started: Cell<u32>,
    failure: RefCell<Option<String>>,
    /// The stages that have ended for good, with an error that reports why.
    stopped: RefCell<BTreeSet<usize>>,
    /// The counters of each process, with its stage.
    counters: RefCell<Vec<(usize, Arc<Counters>)>>,
    /// How many readings the outside producer has written.
    outside_count: Cell<u64>,
}

/// A place for a process, which may die and restart.
struct Slot {
    stage: usize,
    instance: String,
    state: SlotState,
    shutdown: Shutdown,
    /// Whether it is shutting down, to restart later.
    is_stopping: bool,
    /// Whether it processes what is left, and ends.
    is_draining: bool,
    /// Whether it is not in the plan, and never restarts.
    is_extra: bool,
    /// Away until then.
    away: Option<Duration>,
}

enum SlotState {
    /// Starts at this time.
    Starting(Duration),
    Running(Box<Running>),
    /// Paused within a step.
    InStep,
    Done,
}

impl fmt::Display for SlotState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SlotState::Starting(start) => write!(f, "starts at {:.3} s", start.as_secs_f64()),
            SlotState::Running(_) => f.write_str("runs"),
            SlotState::InStep => f.write_str("is paused"),
            SlotState::Done => f.write_str("has ended"),
        }
    }
}

struct Running {
    process: Rc<SimulatedProcess>,
    run: Loop,
}

#[expect(
    clippy::large_enum_variant,
    reason = "there are ten at most, and none is moved often"
)]
enum Loop {
    Source(SourceLoop<SimulatedLog>),
    Stage(StageLoop<SimulatedLog, Processing>),
}

impl Loop {
    fn step(&mut self) -> Result<Step, Error> {
        match self {
            Loop::Source(source) => source.step(&mut |_| ()),
            Loop::Stage(stage) => stage.step(),
        }
    }
}

impl Instances {
    /// The plan's instances, before they start.
    #[must_use]
    pub fn new(world: &Rc<World>, plan: Plan) -> Rc<Self> {
        let slots = plan
            .instances
            .iter()
            .enumerate()
            .flat_map(|(stage, count)| {
                (0..*count)
                    .map(move |number| slot(stage, number.to_string(), false, Duration::ZERO))
            });
        let slots = RefCell::new(slots.collect());
        Rc::new(Instances {
            world: world.clone(),
            plan,
            slots,
            started: Cell::new(0),
            failure: RefCell::default(),
            stopped: RefCell::default(),
            counters: RefCell::default(),
            outside_count: Cell::default(),
        })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What went wrong. `None` if nothing did.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    /// The stages that have ended for good, with an error that reports why.
    #[must_use]
    pub fn stopped(&self) -> BTreeSet<usize> {
        self.stopped.borrow().clone()
    }

    /// How often processes of a stage started, plus how often they rolled back to the last commit.
    #[must_use]
    pub fn attempts(&self, stage: usize) -> u64 {
        let counters = self.counters.borrow();
        counters
            .iter()
            .filter(|(of, _)| *of == stage)
            .map(|(_, counters)| 1 + counters.aborts.get())
            .sum()
    }

    fn fail(&self, what: String) {
        self.failure.borrow_mut().get_or_insert(what);
    }

    /// One step of a random process. If all have ended, only time passes.
    pub fn step(&self) {
        if self
            .slots
            .borrow()
            .iter()
            .all(|slot| matches!(slot.state, SlotState::Done))
        {
            self.world.pass(Duration::from_millis(20));
        }
        let at = self.world.chance().index(self.slots.borrow().len());
        self.step_slot(at);
    }

    fn step_slot(&self, at: usize) {
        let state = {
            let slot = &mut self.slots.borrow_mut()[at];
            match slot.state {
                SlotState::Starting(start) if start > self.world.time() => {
                    self.world.pass(Duration::from_millis(20));
                    return;
                }
                SlotState::InStep | SlotState::Done => return,
                SlotState::Starting(_) | SlotState::Running(_) => {
                    std::mem::replace(&mut slot.state, SlotState::InStep)
                }
            }
        };
        let (process, outcome) = match state {
            SlotState::Running(mut running) => {
                let outcome = running.run.step();
                let process = running.process.clone();
                match outcome {
                    Ok(Step::Continue) => {
                        self.slots.borrow_mut()[at].state = SlotState::Running(running);
                        return;
                    }
                    Ok(Step::Done) => (process, Ok(())),
                    Err(error) => (process, Err(error)),
                }
            }
            _ => {
                if self.slots.borrow_mut()[at].away.take().is_some() {
                    self.come_back(at);
                }
                let process = self.new_process(at);
                match self.start(at, &process) {
                    Ok(run) => {
                        self.slots.borrow_mut()[at].state =
                            SlotState::Running(Box::new(Running { process, run }));
                        return;
                    }
                    Err(error) => (process, Err(error)),
                }
            }
        };
        self.end(at, &process, outcome);
    }

    fn new_process(&self, at: usize) -> Rc<SimulatedProcess> {
        let slot = &mut self.slots.borrow_mut()[at];
        slot.shutdown = Shutdown::new();
        slot.is_stopping = false;
        if slot.is_draining {
            slot.shutdown.drain();
        }
        self.started.set(self.started.get() + 1);
        let stage = &self.plan.pipeline.stages[slot.stage].name;
        let name = format!("{stage}@{} #{}", slot.instance, self.started.get());
        Rc::new(SimulatedProcess {
            name,
            ..SimulatedProcess::default()
        })
    }

    /// Starts a process as `rivulet-operator` and `rivulet-producer` do.
    fn start(&self, at: usize, process: &Rc<SimulatedProcess>) -> Result<Loop, Error> {
        let (stage, instance, shutdown) = {
            let slot = &self.slots.borrow()[at];
            (slot.stage, slot.instance.clone(), slot.shutdown.clone())
        };
        self.world.trace(&process.name, || "starts".to_owned());
        let pipeline = &self.plan.pipeline;
        let at_stage = stage;
        let stage = &pipeline.stages[stage];
        let log = SimulatedLog::open(&self.world, process, pipeline, stage, &instance, &shutdown);
        let log = log.map_err(|fault| match fault {
            Fault::Fatal(error) | Fault::Rejected(_, error) | Fault::Abortable(error) => error,
            Fault::Shutdown => Error::new("starting", Fault::Shutdown),
        })?;
        let counters = Arc::<Counters>::default();
        self.counters
            .borrow_mut()
            .push((at_stage, Arc::clone(&counters)));
        Ok(match &stage.kind {
            StageKind::Producer { source, .. } => {
                let source = plan::source(pipeline, source);
                // The seed decides which of two runs has the higher number.
                let run = u64::from(self.started.get()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let source = SourceLoop::new(
                    log,
                    source,
                    pipeline,
                    stage,
                    plan::outputs(pipeline, stage),
                    shutdown,
                    counters,
                );
                let mut source = source.on(&instance).as_run(run);
                source.resume(false)?;
                Loop::Source(source)
            }
            StageKind::Operator { steps } => {
                let chain = plan::chain(pipeline, stage, steps);
                let work = Processing::new(
                    plan::processing_config(pipeline, stage),
                    Box::new(chain),
                    Arc::clone(&counters),
                );
                Loop::Stage(StageLoop::new(
                    log,
                    work,
                    pipeline.commit,
                    shutdown,
                    counters,
                ))
            }
            StageKind::Sink { .. } => unreachable!("no plan has a sink"),
        })
    }

    /// A process has ended.
    fn end(&self, at: usize, process: &SimulatedProcess, outcome: Result<(), Error>) {
        let now = self.world.time();
        let is_final = outcome.as_ref().is_err_and(|error| {
            let is_unauthorized = is_unauthorized(error) && self.world.cluster().forbids_for_good();
            !process.is_dead.get() && (is_reported(error, self.world.margin()) || is_unauthorized)
        });
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[at];
        let restart = |after: u32| SlotState::Starting(now + Duration::from_millis(after.into()));
        slot.state = match outcome {
            _ if slot.is_extra => SlotState::Done,
            Err(_) if is_final => {
                self.stopped.borrow_mut().insert(slot.stage);
                SlotState::Done
            }
            _ if slot.away.is_some() => SlotState::Starting(slot.away.unwrap_or_default()),
            // A dead process restarts at once, or long after its session has ended.
            _ if process.is_dead.get() => {
                let after = self.world.chance().below(30_000);
                restart(after.saturating_sub(15_000))
            }
            Ok(()) if slot.is_stopping => restart(self.world.chance().below(3000)),
            Ok(()) => SlotState::Done,
            // Restarted, as by systemd.
            Err(_) => restart(1000),
        };
        match outcome {
            Ok(()) => self.world.trace(&process.name, || "ends".to_owned()),
            Err(_) if process.is_dead.get() => {
                self.world.trace(&process.name, || "is dead".to_owned());
            }
            Err(error) => {
                self.world
                    .trace(&process.name, || format!("gives up: {error}"));
                if !is_final && !is_expected(&error) && !self.world.is_exhausted() {
                    self.fail(format!("{} gives up: {error}", process.name));
                }
            }
        }
    }

    /// A stage's instances come back after a month. The first of them is about to start.
    fn come_back(&self, at: usize) {
        let stage = &self.plan.pipeline.stages[self.slots.borrow()[at].stage];
        let chance = &mut self.world.chance();
        let mut cluster = self.world.cluster();
        if cluster.group(&stage.name).members().next().is_some() {
            return;
        }
        if chance.one_in(2)
            && self.world.has(FaultKind::Expiry)
            && cluster.group(&stage.name).expire_offsets()
        {
            self.world.count(FaultKind::Expiry);
            self.world
                .trace(&stage.name, || "its offsets have expired".to_owned());
        }
        if chance.one_in(2) && self.world.has(FaultKind::Deletion) {
            for topic in &stage.from {
                for partition in 0..cluster.topics[topic].partitions.len() {
                    self.delete(&mut cluster, &(topic.clone(), partition), chance);
                }
            }
        }
    }

    fn delete(&self, cluster: &mut Cluster, place: &Place, chance: &mut Chance) {
        if let Some((from, to)) = cluster.delete_some_records(place, chance) {
            self.world.trace(&place.0, || {
                format!("records {from}..{to} of [{}] are deleted", place.1)
            });
        }
    }

    /// No more faults: instances that are not in the plan stop.
    pub fn stop_extras(&self) {
        for slot in self
            .slots
            .borrow_mut()
            .iter_mut()
            .filter(|slot| slot.is_extra)
        {
            slot.shutdown.stop();
            if matches!(slot.state, SlotState::Starting(_)) {
                slot.state = SlotState::Done;
            }
        }
    }

    /// Lets the instances of a stage process what is left, and end.
    pub fn drain(&self, stage: usize) {
        for slot in self
            .slots
            .borrow_mut()
            .iter_mut()
            .filter(|slot| slot.stage == stage)
        {
            slot.shutdown.drain();
            // An instance that is shutting down may be about to restart.
            slot.is_draining = true;
            slot.is_stopping = false;
        }
    }

    /// Whether all instances of a stage have ended.
    #[must_use]
    pub fn is_done(&self, stage: usize) -> bool {
        self.slots
            .borrow()
            .iter()
            .filter(|slot| slot.stage == stage)
            .all(|slot| matches!(slot.state, SlotState::Done))
    }

    /// Whether all instances of the plan run or have ended, and the extra ones have ended.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.slots.borrow().iter().all(|slot| match slot.state {
            SlotState::Running(_) => !slot.is_extra,
            SlotState::Done => true,
            SlotState::Starting(_) | SlotState::InStep => false,
        })
    }

    /// What each process does, and whether the cluster is quiet.
    #[must_use]
    pub fn describe(&self) -> String {
        let slots = self.slots.borrow();
        let stages = &self.plan.pipeline.stages;
        let slots = slots.iter().map(|slot| {
            format!(
                "{}@{} {}",
                stages[slot.stage].name, slot.instance, slot.state
            )
        });
        let cluster = self.world.cluster();
        let cluster_state = if cluster.is_quiet() {
            "the cluster is quiet"
        } else {
            "the cluster is not quiet"
        };
        format!(
            "{:.3} s, {}; {cluster_state}",
            self.world.time().as_secs_f64(),
            slots.collect::<Vec<_>>().join(", ")
        )
    }

    /// Drops all processes.
    pub fn clear(&self) {
        let slots = std::mem::take(&mut *self.slots.borrow_mut());
        drop(slots);
    }
}

/// Part of the error when records were deleted before a stage read them.
const DELETED: &str = "were deleted before";

/// Part of the error when a stage's offsets have expired.
const EXPIRED: &str = "no offset is committed any more";

/// Whether an error reports what happens at this margin. Then the process has ended for good until
/// somebody intervenes.
fn is_reported(error: &Error, margin: Margin) -> bool {
    let error = error.to_string();
    let words: &[&str] = match margin {
        Margin::None | Margin::Sizes | Margin::Rejections => &[],
        Margin::Deletion => &[DELETED],
        Margin::Recreation => &[
            "the topic was deleted and created again",
            EXPIRED,
            "the stage's state already holds this record",
            "it is not the state that belongs to offset",
        ],
        Margin::Month => &[DELETED, EXPIRED],
        Margin::Partitions => &[
            "partitions when the state was written",
            "it has no partition",
        ],
    };
    words.iter().any(|words| error.contains(words))
}

/// Whether a process has ended because writing a topic is not authorized.
fn is_unauthorized(error: &Error) -> bool {
    error.to_string().contains("TopicAuthorizationFailed")
}

/// Whether a process may end with this error, and restart.
fn is_expected(error: &Error) -> bool {
    let text = error.to_string();
    is_unauthorized(error)
        || text.contains("taken this one's place")
        || text.contains(&Fault::Shutdown.to_string())
}

fn slot(stage: usize, instance: String, is_extra: bool, start: Duration) -> Slot {
    Slot {
        stage,
        instance,
        state: SlotState::Starting(start),
        shutdown: Shutdown::new(),
        is_stopping: false,
        is_draining: false,
        is_extra,
        away: None,
    }
}

impl Instances {
    fn change_at_margin(
        &self,
        kind: FaultKind,
        cluster: &mut Cluster,
        chance: &mut Chance,
    ) -> bool {
        let stages = &self.plan.pipeline.stages;
        let stages: Vec<&Stage> = stages
            .iter()
            .filter(|stage| !stage.from.is_empty())
            .collect();
        let stage = stages[chance.index(stages.len())];
        let input = &stage.from[chance.index(stage.from.len())];
        match kind {
            FaultKind::Deletion => {
                let place = (
                    input.clone(),
                    chance.index(cluster.topics[input].partitions.len()),
                );
                self.delete(cluster, &place, chance);
            }
            FaultKind::Recreation => {
                let changelog = stage.changelog();
                let is_state = cluster.topics.contains_key(&changelog) && chance.one_in(4);
                let topic = if is_state { &changelog } else { input };
                self.world
                    .trace(topic, || "is deleted and created again".to_owned());
                cluster.recreate(topic);
            }
            FaultKind::Partitions => {
                self.world.trace(input, || "gets a partition".to_owned());
                cluster.add_a_partition(input);
                if chance.one_in(2) {
                    for reader in self.plan.pipeline.readers(input).map(Stage::changelog) {
                        if cluster.topics.contains_key(&reader) {
                            cluster.add_a_partition(&reader);
                        }
                    }
                }
            }
            FaultKind::Outside => self.write_from_outside(cluster, chance),
            FaultKind::Forbidden => {
                let topic = &stage.to[0];
                let time = Duration::from_millis(chance.below(5000).into());
                let time = Some(time).filter(|_| !chance.one_in(4));
                self.world
                    .trace(topic, || format!("writing is not authorized for {time:?}"));
                cluster.forbid(topic, time);
            }
            _ => return false,
        }
        true
    }

    /// Writes a few readings, some of them odd. An odd sensor has only one reading.
    fn write_from_outside(&self, cluster: &mut Cluster, chance: &mut Chance) {
        for _ in 0..=chance.below(3) {
            let number = self.outside_count.get();
            self.outside_count.set(number + 1);
            let rejects = self.world.margin() == Margin::Rejections;
            let now = i64::try_from(self.world.time().as_millis()).unwrap_or_default();
            let (mut sensor, mut timestamp) = (format!("lone{number}"), now);
            match chance.below(6) {
                // In the future, each later than the one before.
                0 if rejects => {
                    timestamp = FUTURE + 86_400_000 * i64::try_from(number).unwrap_or_default();
                }
                1 if rejects => sensor = format!("{FORBIDDEN_TEXT}{number}"),
                2 if !rejects => sensor = format!("{}{number}", "long".repeat(chance.index(1500))),
                0 | 1 => sensor = format!("{}{number}", "long".repeat(chance.index(500))),
                _ => (),
            }
            let mut value = format!(
                "{{\"sensor\":\"{sensor}\",\"seq\":0,\"time\":{now},\"value\":{}.5,\
                 \"unit\":\"celsius\"}}",
                chance.below(30)
            );
            if chance.one_in(6) {
                value = "rubbish ".repeat(chance.index(if rejects { 100 } else { 800 }));
            }
            let key = sensor.into_bytes();
            let place = (
                "outside".to_owned(),
                place_of(&key, cluster.topics["outside"].partitions.len()),
            );
            let content = Content {
                key: Some(key),
                value: Some(value.into_bytes()),
                headers: Vec::new(),
                timestamp,
            };
            cluster
                .produce(None, &place, vec![content])
                .expect("the outside topic accepts everything");
        }
    }
}

impl OtherProcesses for Instances {
    fn run(&self, steps: u32) {
        for _ in 0..steps {
            self.step();
        }
    }

    fn change_processes(&self, kind: FaultKind) -> bool {
        let now = self.world.time();
        let slots = &mut *self.slots.borrow_mut();
        let at = self.world.chance().index(slots.len());
        // The sources come first in each plan.
        let at = if kind == FaultKind::Elsewhere {
            at % self.plan.sources()
        } else {
            at
        };
        let chosen = &mut slots[at];
        if kind == FaultKind::Stop {
            let stops = matches!(chosen.state, SlotState::Running(_)) && !chosen.is_extra;
            if stops {
                chosen.shutdown.stop();
                chosen.is_stopping = true;
            }
            return stops;
        }
        let is_double = kind == FaultKind::Double;
        let stage = chosen.stage;
        // No instance is added to a stage that has ended for good.
        if self.stopped.borrow().contains(&stage) {
            return false;
        }
        if kind == FaultKind::Month {
            if matches!(
                self.plan.pipeline.stages[stage].kind,
                StageKind::Producer { .. }
            ) {
                return false;
            }
            for slot in slots
                .iter_mut()
                .filter(|slot| slot.stage == stage && !matches!(slot.state, SlotState::Done))
            {
                slot.shutdown.stop();
                match slot.state {
                    SlotState::Starting(_) if slot.is_extra => slot.state = SlotState::Done,
                    SlotState::Starting(_) => slot.state = SlotState::Starting(now + MONTH),
                    _ => (),
                }
                slot.away = Some(now + MONTH).filter(|_| !slot.is_extra);
            }
            return true;
        }
        let instance = if is_double {
            chosen.instance.clone()
        } else {
            format!("x{}", slots.len())
        };
        let is_source = matches!(
            self.plan.pipeline.stages[stage].kind,
            StageKind::Producer { .. }
        );
        if slots.iter().filter(|slot| slot.is_extra).count() >= MAX_EXTRAS
            || (!is_double && is_source != (kind == FaultKind::Elsewhere))
        {
            return false;
        }
        slots.push(slot(stage, instance, true, now));
        true
    }

    fn change_topics(&self, kind: FaultKind) -> bool {
        let mut cluster = self.world.cluster();
        let chance = &mut self.world.chance();
        if !matches!(kind, FaultKind::Compaction | FaultKind::Retention) {
            return self.change_at_margin(kind, &mut cluster, chance);
        }
        let compacts = kind == FaultKind::Compaction;
        let is_read = |topic: &str| self.plan.pipeline.readers(topic).next().is_some();
        let topics = cluster
            .topics
            .iter()
            .filter(|(name, topic)| topic.compacted == compacts && (compacts || is_read(name)));
        let topics: Vec<String> = topics.map(|(name, _)| name.clone()).collect();
        let topic = topics[chance.index(topics.len())].clone();
        let partition = chance.index(cluster.topics[&topic].partitions.len());
        let readers: Vec<&str> = self
            .plan
            .pipeline
            .readers(&topic)
            .map(|stage| stage.name.as_str())
            .collect();
        let place = (topic.clone(), partition);
        if compacts {
            cluster.compact(&place, chance);
        } else {
            cluster.expire(&place, &readers);
        }
        true
    }
}
