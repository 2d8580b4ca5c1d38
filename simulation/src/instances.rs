//! The instances of a plan's stages: who runs, who died, who is started again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use producer::source_loop::SourceLoop;
use stream::error::Error;
use stream::log::Fault;
use stream::pipeline::Work;
use stream::processing::Processing;
use stream::shutdown::Shutdown;
use stream::stage::{StageLoop, Turn};

use crate::client::SimulatedLog;
use crate::faults::Kind;
use crate::plan::{self, Plan};
use crate::world::{Being, Others, World};

/// How many instances may come on top of the plan's own.
const MOST_EXTRAS: usize = 3;

/// All processes, each of which another may find at work.
pub struct Instances {
    world: Rc<World>,
    plan: Plan,
    slots: RefCell<Vec<Slot>>,
    born: Cell<u32>,
    failure: RefCell<Option<String>>,
}

/// A place for a process, which may die and be started again.
struct Slot {
    stage: usize,
    instance: String,
    life: Life,
    shutdown: Shutdown,
    /// Whether it was asked to stop, to be started again.
    is_stopping: bool,
    /// Whether it is to finish what there is, and end.
    is_draining: bool,
    /// Whether it is none of the plan's own, and not started again.
    is_extra: bool,
}

enum Life {
    /// Starts at this time.
    Not(Duration),
    Running(Box<Running>),
    /// It is in the middle of a turn, held up.
    AtWork,
    Done,
}

struct Running {
    being: Rc<Being>,
    process: Process,
}

#[expect(clippy::large_enum_variant, reason = "there are ten at most, and none is moved often")]
enum Process {
    Source(SourceLoop<SimulatedLog>),
    Stage(StageLoop<SimulatedLog, Processing>),
}

impl Process {
    fn turn(&mut self) -> Result<Turn, Error> {
        match self {
            Process::Source(source) => source.turn(&mut |_| ()),
            Process::Stage(stage) => stage.turn(),
        }
    }
}

impl Instances {
    /// The plan's instances, none of which runs yet.
    #[must_use]
    pub fn new(world: &Rc<World>, plan: Plan) -> Rc<Self> {
        let slots = plan.instances.iter().enumerate().flat_map(|(stage, count)| {
            (0..*count).map(move |number| slot(stage, number.to_string(), false, Duration::ZERO))
        });
        let slots = RefCell::new(slots.collect());
        Rc::new(Instances { world: world.clone(), plan, slots, born: Cell::new(0), failure: RefCell::default() })
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What went wrong, if anything did.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    fn fail(&self, what: String) {
        self.failure.borrow_mut().get_or_insert(what);
    }

    /// Any process takes a turn.
    pub fn turn(&self) {
        let at = self.world.chance().index(self.slots.borrow().len());
        self.turn_of(at);
    }

    fn turn_of(&self, at: usize) {
        let life = {
            let slot = &mut self.slots.borrow_mut()[at];
            match slot.life {
                Life::Not(start) if start > self.world.time() => {
                    self.world.pass(Duration::from_millis(20));
                    return;
                }
                Life::AtWork | Life::Done => return,
                Life::Not(_) | Life::Running(_) => std::mem::replace(&mut slot.life, Life::AtWork),
            }
        };
        let (being, outcome) = match life {
            Life::Running(mut running) => {
                let outcome = running.process.turn();
                let being = running.being.clone();
                match outcome {
                    Ok(Turn::GoOn) => {
                        self.slots.borrow_mut()[at].life = Life::Running(running);
                        return;
                    }
                    Ok(Turn::Done) => (being, Ok(())),
                    Err(error) => (being, Err(error)),
                }
            }
            _ => {
                let being = self.bear(at);
                match self.start(at, &being) {
                    Ok(process) => {
                        self.slots.borrow_mut()[at].life = Life::Running(Box::new(Running { being, process }));
                        return;
                    }
                    Err(error) => (being, Err(error)),
                }
            }
        };
        self.end(at, &being, outcome);
    }

    fn bear(&self, at: usize) -> Rc<Being> {
        let slot = &mut self.slots.borrow_mut()[at];
        slot.shutdown = Shutdown::new();
        slot.is_stopping = false;
        if slot.is_draining {
            slot.shutdown.drain();
        }
        self.born.set(self.born.get() + 1);
        let stage = &self.plan.pipeline.stages[slot.stage].name;
        let name = format!("{stage}@{} #{}", slot.instance, self.born.get());
        Rc::new(Being { name, ..Being::default() })
    }

    /// Starts a process as `rivulet-operator` and `rivulet-producer` do.
    fn start(&self, at: usize, being: &Rc<Being>) -> Result<Process, Error> {
        let (stage, instance, shutdown) = {
            let slot = &self.slots.borrow()[at];
            (slot.stage, slot.instance.clone(), slot.shutdown.clone())
        };
        self.world.tell(&being.name, || "starts".to_owned());
        let pipeline = &self.plan.pipeline;
        let stage = &pipeline.stages[stage];
        let log = SimulatedLog::open(&self.world, being, pipeline, stage, &instance, &shutdown);
        let log = log.map_err(|fault| match fault {
            Fault::Fatal(error) | Fault::Rejected(_, error) | Fault::Undo(error) => error,
            Fault::Stopped => Error::new("starting", "asked to stop"),
        })?;
        let counters = Arc::default();
        Ok(match &stage.work {
            Work::Producer { source, .. } => {
                let source = plan::source(pipeline, source);
                let mut source = SourceLoop::new(log, source, pipeline, stage, shutdown, counters);
                source.resume(false)?;
                Process::Source(source)
            }
            Work::Operator { steps } => {
                let chain = plan::chain(pipeline, stage, steps);
                let work = Processing::new(pipeline, stage, Box::new(chain), Arc::clone(&counters));
                Process::Stage(StageLoop::new(log, work, pipeline.commit, shutdown, counters))
            }
            Work::Sink { .. } => unreachable!("no plan has a sink"),
        })
    }

    /// A process has come to its end.
    fn end(&self, at: usize, being: &Being, outcome: Result<(), Error>) {
        let now = self.world.time();
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[at];
        let again = |after: u32| Life::Not(now + Duration::from_millis(after.into()));
        slot.life = match outcome {
            _ if slot.is_extra => Life::Done,
            // A dead one is started at once, or when its session is long over.
            _ if being.is_dead.get() => {
                let after = self.world.chance().below(30_000);
                again(after.saturating_sub(15_000))
            }
            Ok(()) if slot.is_stopping => again(self.world.chance().below(3000)),
            Ok(()) => Life::Done,
            // Started again, as by systemd.
            Err(_) => again(1000),
        };
        match outcome {
            Ok(()) => self.world.tell(&being.name, || "ends".to_owned()),
            Err(_) if being.is_dead.get() => self.world.tell(&being.name, || "is dead".to_owned()),
            Err(error) => {
                self.world.tell(&being.name, || format!("gives up: {error}"));
                if !is_expected(&error) && !self.world.is_exhausted() {
                    self.fail(format!("{} gives up: {error}", being.name));
                }
            }
        }
    }

    /// Nothing bad happens any more: who is not of the plan stops.
    pub fn calm_down(&self) {
        for slot in self.slots.borrow_mut().iter_mut().filter(|slot| slot.is_extra) {
            slot.shutdown.stop();
            if matches!(slot.life, Life::Not(_)) {
                slot.life = Life::Done;
            }
        }
    }

    /// Asks the instances of a stage to finish what there is.
    pub fn drain(&self, stage: usize) {
        for slot in self.slots.borrow_mut().iter_mut().filter(|slot| slot.stage == stage) {
            slot.shutdown.drain();
            // Who was asked to stop a moment before may be about to start again.
            slot.is_draining = true;
            slot.is_stopping = false;
        }
    }

    /// Whether all instances of a stage have ended.
    #[must_use]
    pub fn is_done(&self, stage: usize) -> bool {
        self.slots.borrow().iter().filter(|slot| slot.stage == stage).all(|slot| matches!(slot.life, Life::Done))
    }

    /// Whether all that are not of the plan are gone, and all others there.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.slots.borrow().iter().all(|slot| match slot.life {
            Life::Running(_) => !slot.is_extra,
            Life::Done => true,
            Life::Not(_) | Life::AtWork => false,
        })
    }

    /// Who is there and what the cluster waits for.
    #[must_use]
    pub fn describe(&self) -> String {
        let life = |life: &Life| match life {
            Life::Not(start) => format!("starts at {:.3} s", start.as_secs_f64()),
            Life::Running(_) => "runs".to_owned(),
            Life::AtWork => "is held up".to_owned(),
            Life::Done => "has ended".to_owned(),
        };
        let slots = self.slots.borrow();
        let stages = &self.plan.pipeline.stages;
        let slots =
            slots.iter().map(|slot| format!("{}@{} {}", stages[slot.stage].name, slot.instance, life(&slot.life)));
        let cluster = self.world.cluster();
        let waits = if cluster.is_quiet() { "nothing is open" } else { "something is open" };
        format!("{:.3} s, {}; {waits}", self.world.time().as_secs_f64(), slots.collect::<Vec<_>>().join(", "))
    }

    /// Lets go of all processes.
    pub fn clear(&self) {
        let slots = std::mem::take(&mut *self.slots.borrow_mut());
        drop(slots);
    }
}

/// What a process may give up for.
fn is_expected(error: &Error) -> bool {
    let error = error.to_string();
    error.contains("taken this one's place")
}

fn slot(stage: usize, instance: String, is_extra: bool, start: Duration) -> Slot {
    Slot {
        stage,
        instance,
        life: Life::Not(start),
        shutdown: Shutdown::new(),
        is_stopping: false,
        is_draining: false,
        is_extra,
    }
}

impl Others for Instances {
    fn go_on(&self, turns: u32) {
        for _ in 0..turns {
            self.turn();
        }
    }

    fn change(&self, kind: Kind) -> bool {
        let now = self.world.time();
        let slots = &mut *self.slots.borrow_mut();
        let at = self.world.chance().index(slots.len());
        let chosen = &mut slots[at];
        if kind == Kind::Stop {
            let stops = matches!(chosen.life, Life::Running(_)) && !chosen.is_extra;
            if stops {
                chosen.shutdown.stop();
                chosen.is_stopping = true;
            }
            return stops;
        }
        let is_double = kind == Kind::Double;
        let stage = chosen.stage;
        let instance = if is_double { chosen.instance.clone() } else { format!("x{}", slots.len()) };
        let is_source = matches!(self.plan.pipeline.stages[stage].work, Work::Producer { .. });
        if slots.iter().filter(|slot| slot.is_extra).count() >= MOST_EXTRAS || (is_source && !is_double) {
            return false;
        }
        slots.push(slot(stage, instance, true, now));
        true
    }

    fn clean(&self, kind: Kind) -> bool {
        let mut cluster = self.world.cluster();
        let chance = &mut self.world.chance();
        let compacts = kind == Kind::Compaction;
        let is_read = |topic: &str| self.plan.pipeline.readers(topic).next().is_some();
        let topics =
            cluster.topics.iter().filter(|(name, topic)| topic.compacted == compacts && (compacts || is_read(name)));
        let topics: Vec<String> = topics.map(|(name, _)| name.clone()).collect();
        let topic = topics[chance.index(topics.len())].clone();
        let partition = chance.index(cluster.topics[&topic].partitions.len());
        let readers: Vec<&str> = self.plan.pipeline.readers(&topic).map(|stage| stage.name.as_str()).collect();
        let place = (topic.clone(), partition);
        if compacts {
            cluster.compact(&place, chance);
        } else {
            cluster.expire(&place, &readers);
        }
        true
    }
}
