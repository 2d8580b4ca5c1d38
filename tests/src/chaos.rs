//! Chaos: faults from a seeded script hit the chain on three brokers while readings flow.
//!
//! Before each fault the outputs must have grown since the last one, so every fault hits a chain at
//! work. Paused processes and dead brokers come back on their own schedule, while other faults
//! happen. A process that ends is restarted, as by a service manager, but only if a fault explains
//! why it ended.

mod script;
mod waits;

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use self::script::Kind;
use self::script::{Fault, PROCESSES, SESSION, Script, TRANSACTION};
use crate::chain::{OPERATORS, chained};
use crate::{Cluster, Observer, PipelineBuilder, Process, Scenario, Signal, wait};

/// The topics at the end of the chain.
const OUTPUTS: [&str; 2] = ["temperatures_ewma", "temperatures_moving_average"];
const PARTITIONS: i32 = 4;
/// How long a resumed process may take to notice that it was replaced.
const END_LIMIT: Duration = Duration::from_secs(30);
/// After this many faults, everything must recover.
const RECOVER_AFTER: usize = 50;
/// How many ended processes print their output if the test fails.
const KEPT: usize = 12;

/// A chain on three brokers, and the faults so far.
pub struct Chaos {
    // Dropped in this order: the processes end before the brokers.
    slots: Vec<Slot>,
    zombies: Vec<Zombie>,
    ended: VecDeque<Process>,
    scenario: Scenario,
    observer: Observer,
    cluster: Cluster,
    /// The broker that hangs or is down.
    broker_fault: Option<BrokerFault>,
    kinds: &'static [(Kind, u32)],
    seed: u64,
    faults: usize,
    events: Vec<String>,
    counts: BTreeMap<Kind, usize>,
    restarts: usize,
    start: Instant,
}

/// A place for a process. It is empty while the process has left its group.
struct Slot {
    process: Option<Process>,
    /// When it is resumed, if it is paused.
    paused_until: Option<Instant>,
    /// Until when it may end by itself, because it was paused or may be fenced.
    may_end_until: Option<Instant>,
}

/// A paused process that was replaced by another.
struct Zombie {
    index: usize,
    process: Process,
    /// When it is to be resumed, or was.
    at: Instant,
    is_awake: bool,
}

struct BrokerFault {
    node: usize,
    is_down: bool,
    until: Instant,
}

impl Chaos {
    /// The environment variable for the number of faults.
    pub const FAULTS: &str = "RIVULET_TEST_FAULTS";
    /// The environment variable for the script's seed.
    pub const SEED: &str = "RIVULET_TEST_SEED";

    /// Starts the brokers and the chain. Without the environment variables, there are `faults`
    /// faults from a new seed.
    #[must_use]
    pub fn start(guarantee: &'static str, kinds: &'static [(Kind, u32)], faults: usize) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("it is later than 1970");
        let seed = number(Self::SEED)
            .unwrap_or(now.as_millis() % 1_000_000)
            .try_into()
            .expect("a seed has 64 bits");
        let faults =
            number(Self::FAULTS).map_or(faults, |faults| faults.try_into().expect("it is a count"));
        print(&format!("chaos, {guarantee}: {faults} faults, seed {seed}"));
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
        let observer = Observer::new(&cluster.direct_brokers());
        let mut chaos = Chaos {
            slots: Vec::new(),
            zombies: Vec::new(),
            ended: VecDeque::new(),
            scenario,
            observer,
            cluster,
            broker_fault: None,
            kinds,
            seed,
            faults,
            events: Vec::new(),
            counts: BTreeMap::new(),
            restarts: 0,
            start: Instant::now(),
        };
        chaos.slots = (0..PROCESSES.len())
            .map(|index| Slot::new(Some(chaos.process(index))))
            .collect();
        chaos.wait_for_recovery();
        chaos.start = Instant::now();
        chaos
    }

    /// Injects all faults, waits for recovery, and runs `rivulet verify` with these options. Its
    /// verdict must contain `verdict`. Prints the counts in one line.
    pub fn run(mut self, options: &[&str], verdict: &str) {
        for (count, fault) in Script::new(self.seed, self.kinds)
            .take(self.faults)
            .enumerate()
        {
            if count > 0 && count % RECOVER_AFTER == 0 {
                self.wait_for_recovery();
            }
            self.wait_for_growth();
            self.events.push(format!(
                "{:7.1} s  {fault}",
                self.start.elapsed().as_secs_f64()
            ));
            *self.counts.entry(fault.kind()).or_default() += 1;
            self.inject(fault);
        }
        self.wait_for_growth();
        let took = self.start.elapsed();
        for index in 0..PROCESSES.len() {
            if self.slots[index].process.is_none() {
                self.slots[index] = Slot::new(Some(self.process(index)));
            }
        }
        self.wait_for_recovery();
        for index in 0..PROCESSES.len() {
            self.shut_down(index);
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
        print(&format!(
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

    fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(index) => {
                self.wait_until_resumed(index);
                let mut process = self.take(index);
                // It may just be ending by itself.
                if process.is_running() {
                    process.kill();
                }
                self.keep(process);
                self.restart(index);
            }
            Fault::Restart(index) => {
                self.shut_down(index);
                self.restart(index);
            }
            Fault::Leave(index) => {
                // Its zombie could not be distinguished from a process that comes back.
                self.wait_without_zombie(index);
                self.shut_down(index);
            }
            Fault::Join(index) => self.slots[index] = Slot::new(Some(self.process(index))),
            Fault::Sleep(index, time) => {
                self.wait_without_zombie(index);
                self.wait_until_resumed(index);
                let slot = &mut self.slots[index];
                slot.process
                    .as_mut()
                    .expect("the script knows which processes exist")
                    .signal(Signal::Stop);
                slot.paused_until = Some(Instant::now() + time);
            }
            Fault::Zombie(index, time) => {
                self.wait_without_zombie(index);
                self.wait_until_resumed(index);
                let mut process = self.take(index);
                process.signal(Signal::Stop);
                self.zombies.push(Zombie {
                    index,
                    process,
                    at: Instant::now() + time,
                    is_awake: false,
                });
                self.restart(index);
            }
            Fault::Cut(node) => {
                for node in node.map_or(0..Cluster::NODES, |node| node..node + 1) {
                    self.cluster.cut(node);
                }
            }
            Fault::Hang(node, time) => {
                self.wait_for_brokers();
                self.cluster.freeze(node);
                self.broker_fault = Some(BrokerFault {
                    node,
                    is_down: false,
                    until: Instant::now() + time,
                });
            }
            Fault::Broker(node, time) => {
                self.wait_for_brokers();
                self.cluster.kill(node);
                self.broker_fault = Some(BrokerFault {
                    node,
                    is_down: true,
                    until: Instant::now() + time,
                });
            }
        }
    }

    /// Resumes processes, restarts brokers, and restarts processes that have ended.
    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        if let Some(fault) = self.broker_fault.take_if(|fault| fault.until <= now) {
            if fault.is_down {
                self.cluster.launch(fault.node);
            } else {
                self.cluster.thaw(fault.node);
            }
        }
        self.cluster.check();
        for mut zombie in std::mem::take(&mut self.zombies) {
            if !zombie.process.is_running() {
                self.keep(zombie.process);
                continue;
            }
            if !zombie.is_awake && zombie.at <= now {
                zombie.process.signal(Signal::Continue);
                (zombie.is_awake, zombie.at) = (true, now);
            }
            assert!(
                !zombie.is_awake || zombie.at.elapsed() < END_LIMIT,
                "a zombie still runs after {END_LIMIT:?}"
            );
            // Either may fence the other first.
            self.slots[zombie.index].may_end_until = Some(now + END_LIMIT);
            self.zombies.push(zombie);
        }
        for (index, (stage, instance)) in PROCESSES.iter().enumerate() {
            let slot = &mut self.slots[index];
            if slot.paused_until.is_some_and(|until| until <= now) {
                slot.paused_until = None;
                slot.may_end_until = Some(now + END_LIMIT);
                slot.process
                    .as_mut()
                    .expect("a paused process exists")
                    .signal(Signal::Continue);
            }
            if slot
                .process
                .as_mut()
                .is_some_and(|process| !process.is_running())
            {
                let may_end_until = slot.may_end_until.is_some_and(|until| now < until);
                assert!(
                    may_end_until,
                    "{stage}@{instance} has ended, and no fault explains why"
                );
                let process = self.take(index);
                self.keep(process);
                self.restart(index);
            }
        }
    }

    /// Shuts a process down. It must exit cleanly.
    fn shut_down(&mut self, index: usize) {
        self.wait_until_resumed(index);
        let mut process = self.take(index);
        if process.is_running() {
            process.signal(Signal::Terminate);
            self.until("it shuts down", |_| !process.is_running());
            let may_end_until = self.slots[index]
                .may_end_until
                .is_some_and(|until| Instant::now() < until);
            let status = process.ends_within(Duration::ZERO);
            // 75: no broker was reachable. Its successor does the rest.
            assert!(
                matches!(status, 0 | 75) || may_end_until,
                "exit status {status} after SIGTERM"
            );
        }
        self.keep(process);
    }

    fn take(&mut self, index: usize) -> Process {
        self.slots[index]
            .process
            .take()
            .expect("the script knows which processes exist")
    }

    /// Restarts a process that has ended.
    fn restart(&mut self, index: usize) {
        self.restarts += 1;
        self.slots[index] = Slot::new(Some(self.process(index)));
    }

    fn process(&self, index: usize) -> Process {
        let (stage, instance) = PROCESSES[index];
        self.scenario.start_as(stage, instance)
    }

    fn keep(&mut self, process: Process) {
        self.ended.truncate(KEPT - 1);
        self.ended.push_front(process);
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the faults so far:\n{}", self.events.join("\n"));
            eprintln!(
                "to run them again: make chaos FAULTS={} SEED={}",
                self.faults, self.seed
            );
        }
    }
}

impl Slot {
    fn new(process: Option<Process>) -> Self {
        Slot {
            process,
            paused_until: None,
            may_end_until: None,
        }
    }
}

/// Prints a line to standard error, even if the test succeeds.
fn print(line: &str) {
    // Standard error may be closed.
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
