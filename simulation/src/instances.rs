//! The instances of a plan's stages: which run, which died, and when they restart.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rivulet_core::error::Error;
use rivulet_core::log::Fault;
use rivulet_core::metrics::Metrics;
use rivulet_core::processing::Processing;
use rivulet_core::shutdown::Shutdown;
use rivulet_core::stage::{StageLoop, Step};
use rivulet_pipeline::StageKind;
use rivulet_producer::source_loop::SourceLoop;

use self::expected::{is_expected, is_reported, is_unauthorized};
use self::slot::{Loop, Running, Slot, SlotState, slot};
use crate::chance::Chance;
use crate::client::SimulatedLog;
use crate::cluster::{Cluster, Place};
use crate::faults::FaultKind;
use crate::plan::{self, Plan};
use crate::world::{SimulatedProcess, World};

mod changes;
mod expected;
mod slot;

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
    /// The metrics of each process, with its stage.
    metrics: RefCell<Vec<(usize, Arc<Metrics>)>>,
    /// How many readings the outside producer has written.
    outside_count: Cell<u64>,
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
            metrics: RefCell::default(),
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
        let metrics = self.metrics.borrow();
        metrics
            .iter()
            .filter(|(of, _)| *of == stage)
            .map(|(_, metrics)| 1 + metrics.aborts.get())
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
        // Others start while this one connects. The seed decides which run has the higher number.
        let run = u64::from(self.started.get()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let pipeline = &self.plan.pipeline;
        let at_stage = stage;
        let stage = &pipeline.stages[stage];
        let log = SimulatedLog::open(&self.world, process, pipeline, stage, &instance, &shutdown);
        let log = log.map_err(|fault| match fault {
            Fault::Fatal(error) | Fault::Rejected(_, error) | Fault::Abortable(error) => error,
            Fault::Shutdown => Error::new("starting", Fault::Shutdown),
        })?;
        let metrics = Arc::<Metrics>::default();
        self.metrics
            .borrow_mut()
            .push((at_stage, Arc::clone(&metrics)));
        Ok(match &stage.kind {
            StageKind::Producer { source, .. } => {
                let source = plan::source(pipeline, source);
                let source = SourceLoop::new(
                    log,
                    source,
                    pipeline,
                    stage,
                    plan::outputs(pipeline, stage),
                    shutdown,
                    metrics,
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
                    Arc::clone(&metrics),
                );
                Loop::Stage(StageLoop::new(
                    log,
                    work,
                    pipeline.commit,
                    shutdown,
                    metrics,
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
        if cluster.group(&stage.group()).members().next().is_some() {
            return;
        }
        if chance.one_in(2)
            && self.world.has(FaultKind::Expiry)
            && cluster.group(&stage.group()).expire_offsets()
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

impl Instances {}
