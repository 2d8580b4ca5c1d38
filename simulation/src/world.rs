//! The world: one cluster, one time, one chance, and everything bad that happens.
//!
//! A client asks the world at each of its [steps](World::step), the moments between two things that
//! another machine can see. There the world may let its process die, hold it up while others go on,
//! call a group together, and so on. All of it follows from the seed.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::time::{Duration, Instant};

use stream::error::Error;
use stream::log::Fault;

use crate::chance::Chance;
use crate::cluster::{Cluster, TRANSACTION_TIMEOUT};
use crate::faults::{FaultCounts, FaultKind, Margin};

/// How deep one process is held up within the other.
const DEEPEST: u32 = 3;

/// A schedule that takes more steps than this does not come to rest.
const MOST_STEPS: u64 = 400_000;

/// How long one step takes.
const STEP: Duration = Duration::from_micros(200);

/// The other processes: they go on while one waits.
pub trait Others {
    /// Some of them take a turn, so many in all.
    fn go_on(&self, turns: u32);

    /// Something happens to their number; false if it cannot.
    fn change(&self, kind: FaultKind) -> bool;

    /// Topics may be cleaned now.
    fn clean(&self, kind: FaultKind) -> bool;
}

/// What a process is to the world.
#[derive(Debug, Default)]
pub struct Being {
    /// `STAGE@INSTANCE`, with a number if there were others of that name before.
    pub name: String,
    /// Its group and its member id.
    pub member: RefCell<Option<(String, u64)>>,
    /// Whether it died.
    pub is_dead: Cell<bool>,
}

/// What becomes of a request that others depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is done and answered.
    Answered,
    /// It never arrives.
    Lost,
    /// It arrives when nobody waits for it any more.
    Late,
    /// It is done, but the answer is lost.
    AnswerLost,
    /// It is done and answered when it is sent again; the first copy arrives later.
    Repeated,
}

/// See the [module](self).
pub struct World {
    cluster: RefCell<Cluster>,
    chance: RefCell<Chance>,
    start: Instant,
    now: Cell<Duration>,
    steps: Cell<u64>,
    depth: Cell<u32>,
    /// Something bad happens once in so many steps; nothing if 0.
    odds: Cell<u32>,
    /// Whether nothing happens that only transactions stand.
    is_mild: Cell<bool>,
    margin: Cell<Margin>,
    /// What does not happen.
    left_out: RefCell<Vec<FaultKind>>,
    counts: RefCell<FaultCounts>,
    others: RefCell<Option<Rc<dyn Others>>>,
    /// What the commits to come are to do, for tests.
    script: RefCell<Vec<Fate>>,
    /// What happens at which step, by what is being done there and how often it is still to be done
    /// before, for tests.
    scripted: RefCell<Vec<(&'static str, u32, FaultKind)>>,
    is_told: bool,
}

impl World {
    /// A world in which nothing bad happens yet; `is_told` prints what does.
    #[must_use]
    pub fn new(seed: u64, is_told: bool) -> Rc<Self> {
        Rc::new(World {
            cluster: RefCell::default(),
            chance: RefCell::new(Chance::new(seed)),
            start: Instant::now(),
            now: Cell::default(),
            steps: Cell::new(0),
            depth: Cell::new(0),
            odds: Cell::new(0),
            is_mild: Cell::new(false),
            margin: Cell::new(Margin::None),
            left_out: RefCell::default(),
            counts: RefCell::default(),
            others: RefCell::default(),
            script: RefCell::default(),
            scripted: RefCell::default(),
            is_told,
        })
    }

    /// The cluster.
    pub fn cluster(&self) -> RefMut<'_, Cluster> {
        self.cluster.borrow_mut()
    }

    /// The chance.
    pub fn chance(&self) -> RefMut<'_, Chance> {
        self.chance.borrow_mut()
    }

    /// Who goes on while one waits; nobody ends the world.
    pub fn set_others(&self, others: Option<Rc<dyn Others>>) {
        *self.others.borrow_mut() = others;
    }

    /// From now on something bad happens once in so many steps; 0 for never.
    pub fn set_odds(&self, odds: u32) {
        self.odds.set(odds);
    }

    /// Nothing happens that only transactions stand.
    pub fn be_mild(&self) {
        self.is_mild.set(true);
    }

    /// These never happen.
    pub fn leave_out(&self, kinds: &[FaultKind]) {
        *self.left_out.borrow_mut() = kinds.to_vec();
    }

    /// Whether a kind happens at all.
    #[must_use]
    pub fn has(&self, kind: FaultKind) -> bool {
        !self.left_out.borrow().contains(&kind)
    }

    /// What may happen beside what may happen in all schedules.
    pub fn set_margin(&self, margin: Margin) {
        self.margin.set(margin);
    }

    /// The same.
    #[must_use]
    pub fn margin(&self) -> Margin {
        self.margin.get()
    }

    /// Whether what only transactions stand may happen.
    #[must_use]
    pub fn is_harsh(&self) -> bool {
        self.is_bad() && !self.is_mild.get()
    }

    /// Whether bad things happen.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.odds.get() > 0
    }

    /// What the next commits are to do.
    pub fn script_commits(&self, fates: impl IntoIterator<Item = Fate>) {
        *self.script.borrow_mut() = fates.into_iter().collect();
        self.script.borrow_mut().reverse();
    }

    /// What happens at steps to come: at the one of that name before which there are so many
    /// others.
    pub fn script_steps(&self, steps: impl IntoIterator<Item = (&'static str, u32, FaultKind)>) {
        *self.scripted.borrow_mut() = steps.into_iter().collect();
    }

    /// How often what has happened.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        self.counts.borrow().clone()
    }

    /// The time since the world began.
    #[must_use]
    pub fn time(&self) -> Duration {
        self.now.get()
    }

    /// The same for clocks.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.start + self.now.get()
    }

    /// Whether so much has happened that it should long have come to rest.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.steps.get() > MOST_STEPS
    }

    /// Tells what happens to somebody.
    pub fn tell(&self, who: &str, what: impl FnOnce() -> String) {
        if self.is_told {
            println!(
                "{:10.3} s  {:indent$}{who}: {}",
                self.now.get().as_secs_f64(),
                "",
                what(),
                indent = 2 * self.depth.get() as usize
            );
        }
    }

    /// It has happened.
    pub fn count(&self, kind: FaultKind) {
        self.counts.borrow_mut().add(kind);
    }

    fn advance(&self, by: Duration) {
        self.now.set(self.now.get() + by);
        self.cluster
            .borrow_mut()
            .tick(self.now.get(), &mut self.chance.borrow_mut());
    }

    /// Lets time go by for one who only waits for it.
    pub fn pass(&self, time: Duration) {
        self.steps.set(self.steps.get() + 1);
        self.advance(time);
    }

    /// Lets what is decided be done: marks of transactions are written.
    pub fn settle(&self) {
        while !self.cluster.borrow().is_quiet() && !self.is_exhausted() {
            self.pass(STEP);
        }
    }

    /// Lets time go by, and others go on.
    pub fn idle(&self, wait: Duration) {
        self.steps.set(self.steps.get() + 1);
        // Most waits are cut short: time that nobody uses makes transactions and sessions end.
        let share = if self.is_bad() && !self.chance().one_in(6) {
            8
        } else {
            1
        };
        self.advance((wait.min(Duration::from_millis(100)) / share).max(STEP));
        if self.depth.get() > 0 || self.chance().one_in(2) {
            self.others_go_on(1);
        }
    }

    fn others_go_on(&self, turns: u32) {
        let Some(others) = self.others.borrow().clone() else {
            return;
        };
        if self.depth.get() < DEEPEST {
            self.depth.set(self.depth.get() + 1);
            others.go_on(turns);
            self.depth.set(self.depth.get() - 1);
        }
    }

    /// A moment between two things that others can see.
    ///
    /// # Errors
    /// If the process dies here, or is dead.
    pub fn step(&self, being: &Being, doing: &'static str) -> Result<(), Fault> {
        self.steps.set(self.steps.get() + 1);
        if being.is_dead.get() || self.is_exhausted() {
            return Err(dead());
        }
        self.now.set(self.now.get() + STEP);
        if self.steps.get().is_multiple_of(4) {
            self.advance(Duration::ZERO);
        }
        self.follow_script(being, doing);
        let odds = self.odds.get();
        if odds == 0 || !self.chance().one_in(odds) {
            return Ok(());
        }
        let kind = FaultKind::any(&mut self.chance(), self.margin.get());
        let is_spared = self.is_mild.get() && kind.needs_fences();
        if is_spared || !self.has(kind) || self.counts.borrow().of(kind) >= kind.most() {
            return Ok(());
        }
        self.happen(being, kind, doing);
        if being.is_dead.get() {
            Err(dead())
        } else {
            Ok(())
        }
    }

    fn follow_script(&self, being: &Being, doing: &'static str) {
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
            self.happen(being, kind, doing);
        }
    }

    fn happen(&self, being: &Being, kind: FaultKind, doing: &'static str) {
        let others = self.others.borrow().clone();
        let member = being.member.borrow().clone();
        let happened = match kind {
            FaultKind::Crash => {
                being.is_dead.set(true);
                true
            }
            FaultKind::Pause | FaultKind::LostSession => {
                self.tell(&being.name, || format!("{} at {doing}", kind.name()));
                if let (FaultKind::LostSession, Some((group, member))) = (kind, member) {
                    self.cluster().leave(&group, member);
                }
                let turns = self.chance().below(80);
                self.others_go_on(turns);
                self.tell(&being.name, || "goes on".to_owned());
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
                self.cluster().go_away(time);
                true
            }
            FaultKind::TransactionTimeout => {
                let timed_out = self.cluster().time_out_a_transaction(&mut self.chance());
                timed_out
                    .inspect(|id| self.tell(id, || "the transaction takes too long".to_owned()))
                    .is_some()
            }
            FaultKind::TimeLeap => {
                self.advance(TRANSACTION_TIMEOUT + STEP);
                true
            }
            FaultKind::Compaction | FaultKind::Retention => {
                others.is_some_and(|others| others.clean(kind))
            }
            FaultKind::Deletion
            | FaultKind::Anew
            | FaultKind::Partitions
            | FaultKind::Outside
            | FaultKind::Forbidden => others.is_some_and(|others| others.clean(kind)),
            FaultKind::Double
            | FaultKind::Joiner
            | FaultKind::Elsewhere
            | FaultKind::Stop
            | FaultKind::Month => others.is_some_and(|others| others.change(kind)),
            FaultKind::LostRequest
            | FaultKind::LateRequest
            | FaultKind::LostAnswer
            | FaultKind::Repeated
            | FaultKind::Expiry => false,
        };
        if happened {
            self.count(kind);
            if !matches!(kind, FaultKind::Pause | FaultKind::LostSession) {
                self.tell(&being.name, || format!("{} at {doing}", kind.name()));
            }
        }
    }

    /// What becomes of a commit.
    pub fn fate(&self, being: &Being) -> Fate {
        let (fate, kind) =
            if let Some(fate) = self.script.borrow_mut().pop() {
                (fate, None)
            } else if self.odds.get() == 0 || !self.chance().one_in((self.odds.get() / 8).max(4)) {
                (Fate::Answered, None)
            } else {
                let fates = [
                    (Fate::Lost, Some(FaultKind::LostRequest)),
                    (Fate::Late, Some(FaultKind::LateRequest)),
                    (Fate::AnswerLost, Some(FaultKind::LostAnswer)),
                    (Fate::Repeated, Some(FaultKind::Repeated)),
                ];
                let (fate, kind) = self.chance().one_of(&fates);
                if kind.is_some_and(|kind| !self.has(kind)) {
                    return Fate::Answered;
                }
                if self.is_mild.get() && matches!(fate, Fate::Late | Fate::Repeated) {
                    (Fate::Lost, Some(FaultKind::LostRequest))
                } else {
                    (fate, kind)
                }
            };
        if let Some(kind) = kind {
            self.count(kind);
            self.tell(&being.name, || kind.name().to_owned());
        }
        fate
    }
}

/// What a dead process gets from every call: its loop ends without doing anything any more.
fn dead() -> Fault {
    Fault::Fatal(Error::new("living", "the process is dead"))
}
