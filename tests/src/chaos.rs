//! Chaos: faults from a seeded script befall the chain on three brokers while readings flow.
//!
//! Before each fault the outputs must have grown since the last one, so that every fault hits a
//! chain at work. What sleeps or is away comes back in its own time, while other faults go on.
//! Processes that end are started again as a service manager does, but only if a fault explains why
//! they ended.

mod script;

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use self::script::Kind;
use self::script::{CREW, Fault, SESSION, Script, TRANSACTION};
use crate::chain::{OPERATORS, chained};
use crate::{Cluster, Observer, PipelineBuilder, Process, Scenario, Signal, wait};

/// The topics at the end of the chain.
const OUTPUTS: [&str; 2] = ["temperatures_ewma", "temperatures_moving_average"];
const PARTITIONS: i32 = 4;
/// How far both outputs must have grown between two faults, the marks of transactions among it.
const GROWTH: i64 = 30;
/// How long one that woke may take to notice that it has lost its place.
const GRACE: Duration = Duration::from_secs(30);
/// After how many faults everything must have come back.
const CALM: usize = 50;
/// How long coming back may take.
const LIMIT: Duration = Duration::from_mins(2);
/// How many ended processes tell what they said if the test fails.
const REMEMBERED: usize = 12;

/// A chain on three brokers and the faults that have befallen it.
pub struct Chaos {
    // The processes end before the brokers.
    crew: Vec<Member>,
    zombies: Vec<Zombie>,
    past: VecDeque<Process>,
    scenario: Scenario,
    observer: Observer,
    cluster: Cluster,
    /// The broker that hangs or is away, and until when.
    unwell: Option<Unwell>,
    kinds: &'static [(Kind, u32)],
    seed: u64,
    faults: usize,
    told: Vec<String>,
    counts: BTreeMap<Kind, usize>,
    restarts: usize,
    start: Instant,
}

/// A place in the crew; nobody is there while a guest has left.
struct Member {
    process: Option<Process>,
    /// Until when it sleeps.
    asleep: Option<Instant>,
    /// Until when it may end by itself, because it slept or is the twin of one that does.
    excused: Option<Instant>,
}

/// One that sleeps while another has its place.
struct Zombie {
    who: usize,
    process: Process,
    /// When it wakes, or when it woke.
    at: Instant,
    awake: bool,
}

struct Unwell {
    node: usize,
    is_down: bool,
    until: Instant,
}

impl Chaos {
    /// The environment variable with the number of faults.
    pub const FAULTS: &str = "RIVULET_TEST_FAULTS";
    /// The environment variable with the script's seed.
    pub const SEED: &str = "RIVULET_TEST_SEED";

    /// Starts the brokers and the chain. The number of faults and the seed come from the
    /// environment; else the number is the one given here and the seed another one each time.
    #[must_use]
    pub fn start(guarantee: &'static str, kinds: &'static [(Kind, u32)], faults: usize) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("1970 is over");
        let seed = number(Self::SEED)
            .unwrap_or(now.as_millis() % 1_000_000)
            .try_into()
            .expect("a seed has 64 bits");
        let faults =
            number(Self::FAULTS).map_or(faults, |faults| faults.try_into().expect("it is a count"));
        say(&format!("chaos, {guarantee}: {faults} faults, seed {seed}"));
        let cluster = Cluster::start();
        let [session, transaction] = [SESSION, TRANSACTION].map(|time| time.as_millis());
        let pipeline = PipelineBuilder::new()
            .settings(&format!(
                "[kafka]\n\"session.timeout.ms\" = {session}\n\"heartbeat.interval.ms\" = 400"
            ))
            .settings(&format!("\"transaction.timeout.ms\" = {transaction}"))
            .settings(&format!(
                "[defaults]\npartitions = {PARTITIONS}\nreplication = {}",
                Cluster::NODES
            ))
            // Endless, and around the threshold at any time of the day.
            .producer(
                "thermometers",
                "{ simulated = { sensors = 10, rate = 300, daily-amplitude = 1, noise = 3 } }",
                "temperatures_celsius",
            );
        let scenario = Scenario::on(cluster.brokers(), chained(pipeline)).guarantee(guarantee);
        scenario.create_topics();
        let observer = Observer::new(&cluster.behind());
        let mut chaos = Chaos {
            crew: Vec::new(),
            zombies: Vec::new(),
            past: VecDeque::new(),
            scenario,
            observer,
            cluster,
            unwell: None,
            kinds,
            seed,
            faults,
            told: Vec::new(),
            counts: BTreeMap::new(),
            restarts: 0,
            start: Instant::now(),
        };
        chaos.crew = (0..CREW.len())
            .map(|who| Member::new(Some(chaos.process(who))))
            .collect();
        chaos.calm();
        chaos.start = Instant::now();
        chaos
    }

    /// Lets all faults happen, lets the chain come to rest, and has `rivulet verify` look, with
    /// these options: its verdict must have these words. Says one line of figures.
    pub fn run(mut self, options: &[&str], verdict: &str) {
        for (count, fault) in Script::new(self.seed, self.kinds)
            .take(self.faults)
            .enumerate()
        {
            if count > 0 && count % CALM == 0 {
                self.calm();
            }
            self.flow();
            self.told.push(format!(
                "{:7.1} s  {fault}",
                self.start.elapsed().as_secs_f64()
            ));
            *self.counts.entry(fault.kind()).or_default() += 1;
            self.happen(fault);
        }
        self.flow();
        let took = self.start.elapsed();
        for who in 0..CREW.len() {
            if self.crew[who].process.is_none() {
                self.crew[who] = Member::new(Some(self.process(who)));
            }
        }
        self.calm();
        for who in 0..CREW.len() {
            self.end(who);
        }
        for stage in OPERATORS {
            self.scenario.drain(stage);
        }
        let mut verifier = self.scenario.rivulet(&[&["verify"], options].concat());
        verifier.says(&["verified"]);
        verifier.ends_within(wait::LONG);
        let kinds = self
            .counts
            .iter()
            .map(|(kind, count)| format!("{count} {}", kind.plural()));
        let said = verifier.out();
        let found = said
            .lines()
            .find(|line| line.starts_with("verified"))
            .unwrap_or_default();
        say(&format!(
            "{} faults in {:.0} s, {:.2} s each ({}), {} processes restarted; {}",
            self.faults,
            took.as_secs_f64(),
            took.as_secs_f64() / self.faults as f64,
            kinds.collect::<Vec<_>>().join(", "),
            self.restarts,
            found
        ));
        assert!(found.contains(verdict), "{verdict} was expected");
    }

    fn happen(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(who) => {
                self.awake(who);
                let mut process = self.take(who);
                // It may have been about to end by itself.
                if process.is_running() {
                    process.kill();
                }
                self.remember(process);
                self.put(who);
            }
            Fault::Restart(who) => {
                self.end(who);
                self.put(who);
            }
            Fault::Leave(who) => {
                // Its zombie could not be told from one that comes back.
                self.no_zombie(who);
                self.end(who);
            }
            Fault::Join(who) => self.crew[who] = Member::new(Some(self.process(who))),
            Fault::Sleep(who, time) => {
                self.no_zombie(who);
                self.awake(who);
                let member = &mut self.crew[who];
                member
                    .process
                    .as_mut()
                    .expect("the script knows who is there")
                    .signal(Signal::Stop);
                member.asleep = Some(Instant::now() + time);
            }
            Fault::Zombie(who, time) => {
                self.no_zombie(who);
                self.awake(who);
                let mut process = self.take(who);
                process.signal(Signal::Stop);
                self.zombies.push(Zombie {
                    who,
                    process,
                    at: Instant::now() + time,
                    awake: false,
                });
                self.put(who);
            }
            Fault::Cut(node) => {
                for node in node.map_or(0..Cluster::NODES, |node| node..node + 1) {
                    self.cluster.cut(node);
                }
            }
            Fault::Hang(node, time) => {
                self.whole();
                self.cluster.freeze(node);
                self.unwell = Some(Unwell {
                    node,
                    is_down: false,
                    until: Instant::now() + time,
                });
            }
            Fault::Broker(node, time) => {
                self.whole();
                self.cluster.kill(node);
                self.unwell = Some(Unwell {
                    node,
                    is_down: true,
                    until: Instant::now() + time,
                });
            }
        }
    }

    /// Does what is due: wakes sleepers, brings brokers back, starts who has ended.
    fn tend(&mut self) {
        let now = Instant::now();
        if let Some(unwell) = self.unwell.take_if(|unwell| unwell.until <= now) {
            if unwell.is_down {
                self.cluster.launch(unwell.node);
            } else {
                self.cluster.thaw(unwell.node);
            }
        }
        self.cluster.check();
        for mut zombie in std::mem::take(&mut self.zombies) {
            if !zombie.process.is_running() {
                self.remember(zombie.process);
                continue;
            }
            if !zombie.awake && zombie.at <= now {
                zombie.process.signal(Signal::Continue);
                (zombie.awake, zombie.at) = (true, now);
            }
            assert!(
                !zombie.awake || zombie.at.elapsed() < GRACE,
                "a zombie lives on after {GRACE:?}"
            );
            // Each may fence the other before one is out.
            self.crew[zombie.who].excused = Some(now + GRACE);
            self.zombies.push(zombie);
        }
        for (who, (stage, instance)) in CREW.iter().enumerate() {
            let member = &mut self.crew[who];
            if member.asleep.is_some_and(|until| until <= now) {
                member.asleep = None;
                member.excused = Some(now + GRACE);
                member
                    .process
                    .as_mut()
                    .expect("who sleeps is there")
                    .signal(Signal::Continue);
            }
            if member
                .process
                .as_mut()
                .is_some_and(|process| !process.is_running())
            {
                let excused = member.excused.is_some_and(|until| now < until);
                assert!(
                    excused,
                    "{stage}@{instance} has ended by itself, and no fault explains it"
                );
                let process = self.take(who);
                self.remember(process);
                self.put(who);
            }
        }
    }

    /// Waits, and does what is due meanwhile.
    fn until(&mut self, what: &str, mut so: impl FnMut(&mut Self) -> bool) {
        let done = wait::until(LIMIT, || {
            self.tend();
            so(self).then_some(())
        });
        assert!(done.is_some(), "waited {LIMIT:?} in vain: {what}");
    }

    /// Waits until both outputs have grown.
    fn flow(&mut self) {
        let total = |chaos: &Chaos, topic| {
            let ends = chaos
                .observer
                .ends(&chaos.scenario.name(topic), PARTITIONS)?;
            Some(ends.into_iter().sum::<i64>())
        };
        let mut first: [Option<i64>; 2] = [None; 2];
        self.until("both outputs grow", |chaos| {
            OUTPUTS.iter().zip(&mut first).all(|(topic, first)| {
                let Some(end) = total(chaos, topic) else {
                    return false;
                };
                end >= *first.get_or_insert(end) + GROWTH
            })
        });
    }

    /// Waits until everything has come back: brokers, sleepers, members, and the flow of each
    /// partition.
    fn calm(&mut self) {
        self.flow();
        self.whole();
        for who in 0..CREW.len() {
            self.no_zombie(who);
            self.awake(who);
        }
        for stage in OPERATORS {
            let members = CREW
                .iter()
                .zip(&self.crew)
                .filter(|((name, _), member)| *name == stage && member.process.is_some());
            let members = members.count();
            let group = self.scenario.name(stage);
            self.until(&format!("{stage} has {members} members"), |chaos| {
                chaos.observer.members(&group) == Some(members)
            });
        }
        for topic in OUTPUTS {
            let name = self.scenario.name(topic);
            let mut first = None;
            self.until(&format!("each partition of {topic} grows"), |chaos| {
                let Some(ends) = chaos.observer.ends(&name, PARTITIONS) else {
                    return false;
                };
                let first = first.get_or_insert_with(|| ends.clone());
                // Ten sensors need not reach every partition.
                ends.iter()
                    .zip(first)
                    .all(|(end, first)| *first == 0 || *end > *first + GROWTH)
            });
        }
    }

    /// Waits until no broker is unwell.
    fn whole(&mut self) {
        self.until("all brokers are well", |chaos| {
            chaos.unwell.is_none() && chaos.observer.is_whole()
        });
    }

    /// Waits until a process is awake.
    fn awake(&mut self, who: usize) {
        self.until("it wakes", |chaos| chaos.crew[who].asleep.is_none());
    }

    /// Waits until a place has no zombie.
    fn no_zombie(&mut self, who: usize) {
        self.until("its zombie ends", |chaos| {
            chaos.zombies.iter().all(|zombie| zombie.who != who)
        });
    }

    /// Asks a process to end, which it must do well.
    fn end(&mut self, who: usize) {
        self.awake(who);
        let mut process = self.take(who);
        if process.is_running() {
            process.signal(Signal::Terminate);
            self.until("it ends when asked", |_| !process.is_running());
            let excused = self.crew[who]
                .excused
                .is_some_and(|until| Instant::now() < until);
            let status = process.ends_within(Duration::ZERO);
            // 75: no broker answered it, and the next one does the rest.
            assert!(
                matches!(status, 0 | 75) || excused,
                "exit status {status} after SIGTERM"
            );
        }
        self.remember(process);
    }

    fn take(&mut self, who: usize) -> Process {
        self.crew[who]
            .process
            .take()
            .expect("the script knows who is there")
    }

    /// Starts who has ended.
    fn put(&mut self, who: usize) {
        self.restarts += 1;
        self.crew[who] = Member::new(Some(self.process(who)));
    }

    fn process(&self, who: usize) -> Process {
        let (stage, instance) = CREW[who];
        self.scenario.start_as(stage, instance)
    }

    fn remember(&mut self, process: Process) {
        self.past.truncate(REMEMBERED - 1);
        self.past.push_front(process);
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the faults so far:\n{}", self.told.join("\n"));
            eprintln!(
                "to run them again: make chaos FAULTS={} SEED={}",
                self.faults, self.seed
            );
        }
    }
}

impl Member {
    fn new(process: Option<Process>) -> Self {
        Member {
            process,
            asleep: None,
            excused: None,
        }
    }
}

/// Shown also if the test succeeds: what is printed would only be shown if it fails.
fn say(line: &str) {
    // Nobody may be listening.
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn number(variable: &str) -> Option<u128> {
    let text = std::env::var(variable)
        .ok()
        .filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is {text}, not a number")),
    )
}
