//! The world: one cluster, one clock, one random generator, and all faults.
//!
//! A client calls [`World::step`] between any two actions that another machine can see. There the
//! world may let its process die, pause it while others run, rebalance its group, and so on. The
//! seed decides all of it.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rivulet_core::error::Error;
use rivulet_core::log::Fault;

pub use self::process::{CommitOutcome, OtherProcesses, SimulatedProcess};
use crate::chance::Chance;
use crate::cluster::{Cluster, TRANSACTION_TIMEOUT};
use crate::faults::{FaultCounts, FaultKind, Margin};

mod process;

/// How many processes may be paused within each other.
const DEEPEST: u32 = 3;

/// A schedule that takes more steps than this never settles.
const MAX_STEPS: u64 = 400_000;

/// How long a step takes.
const STEP: Duration = Duration::from_micros(200);

/// See the [module](self).
pub struct World {
    cluster: RefCell<Cluster>,
    chance: RefCell<Chance>,
    start: Instant,
    now: Cell<Duration>,
    steps: Cell<u64>,
    depth: Cell<u32>,
    /// A fault happens once in this many steps. 0 is never.
    odds: Cell<u32>,
    /// Whether faults are left out against which only transactions help.
    is_at_least_once: Cell<bool>,
    margin: Cell<Margin>,
    /// Kinds that never happen.
    excluded: RefCell<Vec<FaultKind>>,
    counts: RefCell<FaultCounts>,
    others: RefCell<Option<Rc<dyn OtherProcesses>>>,
    /// The outcomes of the next commits, for tests. The next one is last.
    script: RefCell<Vec<CommitOutcome>>,
    /// Faults at given steps, for tests: the step's name, how many steps of that name come first,
    /// and the fault.
    scripted: RefCell<Vec<(&'static str, u32, FaultKind)>>,
    is_verbose: bool,
}

impl World {
    /// A world without faults so far. `is_verbose` prints its events.
    #[must_use]
    pub fn new(seed: u64, is_verbose: bool) -> Rc<Self> {
        Rc::new(World {
            cluster: RefCell::default(),
            chance: RefCell::new(Chance::new(seed)),
            start: Instant::now(),
            now: Cell::default(),
            steps: Cell::new(0),
            depth: Cell::new(0),
            odds: Cell::new(0),
            is_at_least_once: Cell::new(false),
            margin: Cell::new(Margin::None),
            excluded: RefCell::default(),
            counts: RefCell::default(),
            others: RefCell::default(),
            script: RefCell::default(),
            scripted: RefCell::default(),
            is_verbose,
        })
    }

    /// The cluster.
    pub fn cluster(&self) -> RefMut<'_, Cluster> {
        self.cluster.borrow_mut()
    }

    /// The random generator.
    pub fn chance(&self) -> RefMut<'_, Chance> {
        self.chance.borrow_mut()
    }

    /// Sets the processes that run while one waits. `None` breaks the reference cycle.
    pub fn set_others(&self, others: Option<Rc<dyn OtherProcesses>>) {
        *self.others.borrow_mut() = others;
    }

    /// From now on a fault happens once in `odds` steps. 0 is never.
    pub fn set_odds(&self, odds: u32) {
        self.odds.set(odds);
    }

    /// Leaves out the faults against which only transactions help.
    pub fn set_at_least_once(&self) {
        self.is_at_least_once.set(true);
    }

    /// These kinds never happen.
    pub fn exclude(&self, kinds: &[FaultKind]) {
        *self.excluded.borrow_mut() = kinds.to_vec();
    }

    /// Whether a kind happens at all.
    #[must_use]
    pub fn has(&self, kind: FaultKind) -> bool {
        !self.excluded.borrow().contains(&kind)
    }

    /// Sets which extra faults may happen.
    pub fn set_margin(&self, margin: Margin) {
        self.margin.set(margin);
    }

    /// Which extra faults may happen.
    #[must_use]
    pub fn margin(&self) -> Margin {
        self.margin.get()
    }

    /// Whether faults may happen against which only transactions help.
    #[must_use]
    pub fn has_fencing_faults(&self) -> bool {
        self.has_faults() && !self.is_at_least_once.get()
    }

    /// Whether faults happen.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        self.odds.get() > 0
    }

    /// Sets the outcomes of the next commits.
    pub fn script_commits(&self, outcomes: impl IntoIterator<Item = CommitOutcome>) {
        *self.script.borrow_mut() = outcomes.into_iter().collect();
        self.script.borrow_mut().reverse();
    }

    /// Sets faults at coming steps: the step's name, how many steps of that name come first, and
    /// the fault.
    pub fn script_steps(&self, steps: impl IntoIterator<Item = (&'static str, u32, FaultKind)>) {
        *self.scripted.borrow_mut() = steps.into_iter().collect();
    }

    /// How often each kind of fault happened.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        self.counts.borrow().clone()
    }

    /// The time since the world began.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.now.get()
    }

    /// The same as an [`Instant`].
    #[must_use]
    pub fn now(&self) -> Instant {
        self.start + self.now.get()
    }

    /// Whether there were so many steps that everything should have settled.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.steps.get() > MAX_STEPS
    }

    /// Prints an event, if the world is verbose.
    pub fn trace(&self, who: &str, what: impl FnOnce() -> String) {
        if self.is_verbose {
            println!(
                "{:10.3} s  {:indent$}{who}: {}",
                self.now.get().as_secs_f64(),
                "",
                what(),
                indent = 2 * self.depth.get() as usize
            );
        }
    }

    /// Counts a fault.
    pub fn count(&self, kind: FaultKind) {
        self.counts.borrow_mut().add(kind);
    }

    fn advance(&self, by: Duration) {
        self.now.set(self.now.get() + by);
        self.cluster
            .borrow_mut()
            .tick(self.now.get(), &mut self.chance.borrow_mut());
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        self.steps.set(self.steps.get() + 1);
        self.advance(time);
    }

    /// Completes what is decided: writes all transaction markers.
    pub fn settle(&self) {
        while !self.cluster.borrow().is_quiet() && !self.is_exhausted() {
            self.pass(STEP);
        }
    }

    /// Lets time pass while others run.
    pub fn idle(&self, wait: Duration) {
        self.steps.set(self.steps.get() + 1);
        // Most waits are cut short, or transactions and sessions would time out all the time.
        let share = if self.has_faults() && !self.chance().one_in(6) {
            8
        } else {
            1
        };
        self.advance((wait.min(Duration::from_millis(100)) / share).max(STEP));
        if self.depth.get() > 0 || self.chance().one_in(2) {
            self.run_others(1);
        }
    }

    fn run_others(&self, steps: u32) {
        let Some(others) = self.others.borrow().clone() else {
            return;
        };
        if self.depth.get() < DEEPEST {
            self.depth.set(self.depth.get() + 1);
            others.run(steps);
            self.depth.set(self.depth.get() - 1);
        }
    }

    /// A moment between two actions that others can see.
    ///
    /// # Errors
    /// If the process dies here, or is dead.
    pub fn step(&self, process: &SimulatedProcess, doing: &'static str) -> Result<(), Fault> {
        self.steps.set(self.steps.get() + 1);
        if process.is_dead.get() || self.is_exhausted() {
            return Err(dead());
        }
        self.now.set(self.now.get() + STEP);
        if self.steps.get().is_multiple_of(4) {
            self.advance(Duration::ZERO);
        }
        self.follow_script(process, doing);
        let odds = self.odds.get();
        if odds == 0 || !self.chance().one_in(odds) {
            return Ok(());
        }
        let kind = FaultKind::any(&mut self.chance(), self.margin.get());
        let is_spared = self.is_at_least_once.get() && kind.needs_fencing();
        if is_spared || !self.has(kind) || self.counts.borrow().of(kind) >= kind.most() {
            return Ok(());
        }
        self.happen(process, kind, doing);
        if process.is_dead.get() {
            Err(dead())
        } else {
            Ok(())
        }
    }

    fn follow_script(&self, process: &SimulatedProcess, doing: &'static str) {
        let mut now = Vec::new();
        self.scripted.borrow_mut().retain_mut(|(step, left, kind)| {
            let is_now = *step == doing && *left == 0;
            if is_now {
                now.push(*kind);
            } else if *step == doing {
                *left -= 1;
            }
            !is_now
        });
        for kind in now {
            self.happen(process, kind, doing);
        }
    }

    fn happen(&self, process: &SimulatedProcess, kind: FaultKind, doing: &'static str) {
        let others = self.others.borrow().clone();
        let member = process.member.borrow().clone();
        let happened = match kind {
            FaultKind::Crash => {
                process.is_dead.set(true);
                true
            }
            FaultKind::Pause | FaultKind::LostSession => {
                self.trace(&process.name, || format!("{} at {doing}", kind.name()));
                if let (FaultKind::LostSession, Some((group, member))) = (kind, member) {
                    self.cluster().leave(&group, member);
                }
                let steps = self.chance().below(80);
                self.run_others(steps);
                self.trace(&process.name, || "runs again".to_owned());
                true
            }
            FaultKind::Rebalance | FaultKind::ThrownOut => member.is_some_and(|(group, member)| {
                let mut cluster = self.cluster();
                if kind == FaultKind::Rebalance {
                    cluster.rebalance(&group);
                } else {
                    cluster.leave(&group, member);
                }
                true
            }),
            FaultKind::BrokerAway => {
                let time = Duration::from_millis(self.chance().below(3000).into());
                self.cluster().make_unreachable(time);
                true
            }
            FaultKind::TransactionTimeout => {
                let timed_out = self.cluster().time_out_a_transaction(&mut self.chance());
                timed_out
                    .inspect(|id| self.trace(id, || "the transaction times out".to_owned()))
                    .is_some()
            }
            FaultKind::TimeLeap => {
                self.advance(TRANSACTION_TIMEOUT + STEP);
                true
            }
            FaultKind::Compaction | FaultKind::Retention => {
                others.is_some_and(|others| others.change_topics(kind))
            }
            FaultKind::Deletion
            | FaultKind::Recreation
            | FaultKind::Partitions
            | FaultKind::Outside
            | FaultKind::Forbidden => others.is_some_and(|others| others.change_topics(kind)),
            FaultKind::Double
            | FaultKind::Joiner
            | FaultKind::Elsewhere
            | FaultKind::Stop
            | FaultKind::Month => others.is_some_and(|others| others.change_processes(kind)),
            FaultKind::LostRequest
            | FaultKind::LateRequest
            | FaultKind::LostAnswer
            | FaultKind::Repeated
            | FaultKind::Expiry => false,
        };
        if happened {
            self.count(kind);
            if !matches!(kind, FaultKind::Pause | FaultKind::LostSession) {
                self.trace(&process.name, || format!("{} at {doing}", kind.name()));
            }
        }
    }

    /// Draws what happens to a commit.
    pub fn commit_outcome(&self, process: &SimulatedProcess) -> CommitOutcome {
        let (outcome, kind) = if let Some(outcome) = self.script.borrow_mut().pop() {
            (outcome, None)
        } else if self.odds.get() == 0 || !self.chance().one_in((self.odds.get() / 8).max(4)) {
            (CommitOutcome::Answered, None)
        } else {
            let outcomes = [
                (CommitOutcome::Lost, Some(FaultKind::LostRequest)),
                (CommitOutcome::Late, Some(FaultKind::LateRequest)),
                (CommitOutcome::AnswerLost, Some(FaultKind::LostAnswer)),
                (CommitOutcome::Repeated, Some(FaultKind::Repeated)),
            ];
            let (outcome, kind) = self.chance().one_of(&outcomes);
            if kind.is_some_and(|kind| !self.has(kind)) {
                return CommitOutcome::Answered;
            }
            if self.is_at_least_once.get()
                && matches!(outcome, CommitOutcome::Late | CommitOutcome::Repeated)
            {
                (CommitOutcome::Lost, Some(FaultKind::LostRequest))
            } else {
                (outcome, kind)
            }
        };
        if let Some(kind) = kind {
            self.count(kind);
            self.trace(&process.name, || kind.name().to_owned());
        }
        outcome
    }
}

/// Every call of a dead process returns this, so its loop ends without doing anything else.
fn dead() -> Fault {
    Fault::Fatal(Error::new("running", "the process is dead"))
}
