//! The instances of a plan's stages: who runs, who died, who is started again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use producer::source_loop::SourceLoop;
use stream::counters::Counters;
use stream::error::Error;
use stream::log::Fault;
use stream::pipeline::{Stage, StageKind};
use stream::processing::Processing;
use stream::shutdown::Shutdown;
use stream::stage::{StageLoop, Step};

use crate::chance::Chance;
use crate::client::{SimulatedLog, place_of};
use crate::cluster::{Cluster, Content, Place};
use crate::faults::{FaultKind, Margin};
use crate::plan::{self, Plan, TABOO};
use crate::world::{Being, Others, World};

/// How many instances may come on top of the plan's own.
const MOST_EXTRAS: usize = 3;

/// The year 2100, in milliseconds since the epoch.
const FUTURE: i64 = 4_102_444_800_000;

/// How long a month is. Only what happens at its end is like one.
const MONTH: Duration = Duration::from_secs(15);

/// All processes, each of which another may find at work.
pub struct Instances {
    world: Rc<World>,
    plan: Plan,
    slots: RefCell<Vec<Slot>>,
    born: Cell<u32>,
    failure: RefCell<Option<String>>,
    /// The stages that have ended for good, and told why.
    stopped: RefCell<BTreeSet<usize>>,
    /// What each process of each stage has counted.
    counters: RefCell<Vec<(usize, Arc<Counters>)>>,
    /// How many readings somebody outside has written.
    odd: Cell<u64>,
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
    /// Until when it is away.
    away: Option<Duration>,
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

#[expect(
    clippy::large_enum_variant,
    reason = "there are ten at most, and none is moved often"
)]
enum Process {
    Source(SourceLoop<SimulatedLog>),
    Stage(StageLoop<SimulatedLog, Processing>),
}

impl Process {
    fn step(&mut self) -> Result<Step, Error> {
        match self {
            Process::Source(source) => source.step(&mut |_| ()),
            Process::Stage(stage) => stage.step(),
        }
    }
}

impl Instances {
    /// The plan's instances, none of which runs yet.
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
            born: Cell::new(0),
            failure: RefCell::default(),
            stopped: RefCell::default(),
            counters: RefCell::default(),
            odd: Cell::default(),
        })
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

    /// The stages that have ended for good, and told why.
    #[must_use]
    pub fn stopped(&self) -> BTreeSet<usize> {
        self.stopped.borrow().clone()
    }

    /// How often processes of a stage were started, and how often they went back to their last
    /// commit.
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

    /// Any process takes a turn; if all have ended, time goes by.
    pub fn turn(&self) {
        if self
            .slots
            .borrow()
            .iter()
            .all(|slot| matches!(slot.life, Life::Done))
        {
            self.world.pass(Duration::from_millis(20));
        }
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
                let outcome = running.process.step();
                let being = running.being.clone();
                match outcome {
                    Ok(Step::Continue) => {
                        self.slots.borrow_mut()[at].life = Life::Running(running);
                        return;
                    }
                    Ok(Step::Done) => (being, Ok(())),
                    Err(error) => (being, Err(error)),
                }
            }
            _ => {
                if self.slots.borrow_mut()[at].away.take().is_some() {
                    self.month_is_over(at);
                }
                let being = self.bear(at);
                match self.start(at, &being) {
                    Ok(process) => {
                        self.slots.borrow_mut()[at].life =
                            Life::Running(Box::new(Running { being, process }));
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
        Rc::new(Being {
            name,
            ..Being::default()
        })
    }

    /// Starts a process as `rivulet-operator` and `rivulet-producer` do.
    fn start(&self, at: usize, being: &Rc<Being>) -> Result<Process, Error> {
        let (stage, instance, shutdown) = {
            let slot = &self.slots.borrow()[at];
            (slot.stage, slot.instance.clone(), slot.shutdown.clone())
        };
        self.world.tell(&being.name, || "starts".to_owned());
        let pipeline = &self.plan.pipeline;
        let at_stage = stage;
        let stage = &pipeline.stages[stage];
        let log = SimulatedLog::open(&self.world, being, pipeline, stage, &instance, &shutdown);
        let log = log.map_err(|fault| match fault {
            Fault::Fatal(error) | Fault::Rejected(_, error) | Fault::Abortable(error) => error,
            Fault::Shutdown => Error::new("starting", "asked to stop"),
        })?;
        let counters = Arc::<Counters>::default();
        self.counters
            .borrow_mut()
            .push((at_stage, Arc::clone(&counters)));
        Ok(match &stage.kind {
            StageKind::Producer { source, .. } => {
                let source = plan::source(pipeline, source);
                // Which of two runs is the higher follows from the seed.
                let run = u64::from(self.born.get()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let source = SourceLoop::new(log, source, pipeline, stage, shutdown, counters);
                let mut source = source.on(&instance).as_run(run);
                source.resume(false)?;
                Process::Source(source)
            }
            StageKind::Operator { steps } => {
                let chain = plan::chain(pipeline, stage, steps);
                let work = Processing::new(pipeline, stage, Box::new(chain), Arc::clone(&counters));
                Process::Stage(StageLoop::new(
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

    /// A process has come to its end.
    fn end(&self, at: usize, being: &Being, outcome: Result<(), Error>) {
        let now = self.world.time();
        let tells = outcome.as_ref().is_err_and(|error| {
            let is_refused = is_refused(error) && self.world.cluster().forbids_for_good();
            !being.is_dead.get() && (is_told(error, self.world.margin()) || is_refused)
        });
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[at];
        let again = |after: u32| Life::Not(now + Duration::from_millis(after.into()));
        slot.life = match outcome {
            _ if slot.is_extra => Life::Done,
            Err(_) if tells => {
                self.stopped.borrow_mut().insert(slot.stage);
                Life::Done
            }
            _ if slot.away.is_some() => Life::Not(slot.away.unwrap_or_default()),
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
                self.world
                    .tell(&being.name, || format!("gives up: {error}"));
                if !tells && !is_expected(&error) && !self.world.is_exhausted() {
                    self.fail(format!("{} gives up: {error}", being.name));
                }
            }
        }
    }

    /// A stage's instances come back after a month, the first of them is about to start.
    fn month_is_over(&self, at: usize) {
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
                .tell(&stage.name, || "its offsets have expired".to_owned());
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
            self.world.tell(&place.0, || {
                format!("records {from} to {to} of [{}] are deleted", place.1)
            });
        }
    }

    /// Nothing bad happens any more: who is not of the plan stops.
    pub fn calm_down(&self) {
        for slot in self
            .slots
            .borrow_mut()
            .iter_mut()
            .filter(|slot| slot.is_extra)
        {
            slot.shutdown.stop();
            if matches!(slot.life, Life::Not(_)) {
                slot.life = Life::Done;
            }
        }
    }

    /// Asks the instances of a stage to finish what there is.
    pub fn drain(&self, stage: usize) {
        for slot in self
            .slots
            .borrow_mut()
            .iter_mut()
            .filter(|slot| slot.stage == stage)
        {
            slot.shutdown.drain();
            // Who was asked to stop a moment before may be about to start again.
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
            .all(|slot| matches!(slot.life, Life::Done))
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
        let slots = slots.iter().map(|slot| {
            format!(
                "{}@{} {}",
                stages[slot.stage].name,
                slot.instance,
                life(&slot.life)
            )
        });
        let cluster = self.world.cluster();
        let waits = if cluster.is_quiet() {
            "nothing is open"
        } else {
            "something is open"
        };
        format!(
            "{:.3} s, {}; {waits}",
            self.world.time().as_secs_f64(),
            slots.collect::<Vec<_>>().join(", ")
        )
    }

    /// Lets go of all processes.
    pub fn clear(&self) {
        let slots = std::mem::take(&mut *self.slots.borrow_mut());
        drop(slots);
    }
}

/// How a stage tells that it has not read what was deleted.
const DELETED: &str = "were deleted before";

/// How a stage tells that its offsets have expired.
const FORGOTTEN: &str = "no offset is committed any more";

/// Whether a process tells of what happens at this margin: it has ended for good until somebody
/// looks.
fn is_told(error: &Error, margin: Margin) -> bool {
    let error = error.to_string();
    let words: &[&str] = match margin {
        Margin::None | Margin::Sizes | Margin::Refusals => &[],
        Margin::Deletion => &[DELETED],
        Margin::Anew => &[
            "the topic was deleted and created again",
            FORGOTTEN,
            "the stage's state already holds this record",
            "it is not the state that belongs to offset",
        ],
        Margin::Month => &[DELETED, FORGOTTEN],
        Margin::Partitions => &[
            "partitions when the state was written",
            "it has no partition",
        ],
    };
    words.iter().any(|words| error.contains(words))
}

/// Whether a process has given up because a topic may not be written.
fn is_refused(error: &Error) -> bool {
    error.to_string().contains("TopicAuthorizationFailed")
}

/// What a process may give up for, to be started again.
fn is_expected(error: &Error) -> bool {
    let told = error.to_string();
    is_refused(error) || told.contains("taken this one's place") || told.contains("asked to stop")
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
        away: None,
    }
}

impl Instances {
    fn reach_a_margin(&self, kind: FaultKind, cluster: &mut Cluster, chance: &mut Chance) -> bool {
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
            FaultKind::Anew => {
                let changelog = stage.changelog();
                let is_state = cluster.topics.contains_key(&changelog) && chance.one_in(4);
                let topic = if is_state { &changelog } else { input };
                self.world.tell(topic, || "is made anew".to_owned());
                cluster.make_anew(topic);
            }
            FaultKind::Partitions => {
                self.world
                    .tell(input, || "gets one more partition".to_owned());
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
                    .tell(topic, || format!("may not be written for {time:?}"));
                cluster.forbid(topic, time);
            }
            _ => return false,
        }
        true
    }

    /// A few readings, of which some are odd. A sensor that is odd is so once.
    fn write_from_outside(&self, cluster: &mut Cluster, chance: &mut Chance) {
        for _ in 0..=chance.below(3) {
            let number = self.odd.get();
            self.odd.set(number + 1);
            let refuses = self.world.margin() == Margin::Refusals;
            let now = i64::try_from(self.world.time().as_millis()).unwrap_or_default();
            let (mut sensor, mut timestamp) = (format!("lone{number}"), now);
            match chance.below(6) {
                // In a time that no clock says, each later than the one before.
                0 if refuses => {
                    timestamp = FUTURE + 86_400_000 * i64::try_from(number).unwrap_or_default()
                }
                1 if refuses => sensor = format!("{TABOO}{number}"),
                2 if !refuses => sensor = format!("{}{number}", "long".repeat(chance.index(1500))),
                0 | 1 => sensor = format!("{}{number}", "long".repeat(chance.index(500))),
                _ => (),
            }
            let mut value = format!(
                "{{\"sensor\":\"{sensor}\",\"seq\":0,\"time\":{now},\"value\":{}.5,\"unit\":\"celsius\"}}",
                chance.below(30)
            );
            if chance.one_in(6) {
                value = "rubbish ".repeat(chance.index(if refuses { 100 } else { 800 }));
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
                .expect("it takes everything");
        }
    }
}

impl Others for Instances {
    fn go_on(&self, turns: u32) {
        for _ in 0..turns {
            self.turn();
        }
    }

    fn change(&self, kind: FaultKind) -> bool {
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
            let stops = matches!(chosen.life, Life::Running(_)) && !chosen.is_extra;
            if stops {
                chosen.shutdown.stop();
                chosen.is_stopping = true;
            }
            return stops;
        }
        let is_double = kind == FaultKind::Double;
        let stage = chosen.stage;
        // Nobody starts one more of what has told that somebody must look.
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
                .filter(|slot| slot.stage == stage && !matches!(slot.life, Life::Done))
            {
                slot.shutdown.stop();
                match slot.life {
                    Life::Not(_) if slot.is_extra => slot.life = Life::Done,
                    Life::Not(_) => slot.life = Life::Not(now + MONTH),
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
        if slots.iter().filter(|slot| slot.is_extra).count() >= MOST_EXTRAS
            || (!is_double && is_source != (kind == FaultKind::Elsewhere))
        {
            return false;
        }
        slots.push(slot(stage, instance, true, now));
        true
    }

    fn clean(&self, kind: FaultKind) -> bool {
        let mut cluster = self.world.cluster();
        let chance = &mut self.world.chance();
        if !matches!(kind, FaultKind::Compaction | FaultKind::Retention) {
            return self.reach_a_margin(kind, &mut cluster, chance);
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
