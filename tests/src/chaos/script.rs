//! The script: faults drawn from a seed.

use std::fmt;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::Cluster;

/// A process of the chain: its stage and its instance.
pub(super) type Name = (&'static str, &'static str);

/// All processes, the producer first.
pub(super) const PROCESSES: [Name; 7] = [
    ("thermometers", "a"),
    ("convert", "a"),
    ("threshold", "a"),
    ("ewma", "a"),
    ("ewma", "b"),
    ("average", "a"),
    ("average", "b"),
];
/// The processes whose stages have two instances, and those that leave and join.
const SHARED: [usize; 4] = [3, 4, 5, 6];
const LEAVERS: [usize; 2] = [4, 6];

/// The session timeout and the transaction timeout: as short as a busy machine allows, because
/// faults wait for them.
pub(super) const SESSION: Duration = Duration::from_millis(2500);
pub(super) const TRANSACTION: Duration = Duration::from_secs(4);

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A process is killed and started again.
    Kill,
    /// A process is shut down and started again.
    Restart,
    /// An instance of a stage with two leaves its group, or joins it again.
    Member,
    /// A process is paused for longer than its session or its transaction may last, and resumed.
    Sleep,
    /// A process is paused, replaced by another with the same name, and resumed.
    Zombie,
    /// All connections to one broker, or to all, are cut.
    Cut,
    /// A broker does not respond for a while.
    Hang,
    /// A broker is killed and started again.
    Broker,
}

impl Kind {
    /// All kinds with their weights. Those that take seconds are rarer.
    pub const ALL: &[(Kind, u32)] = &[
        (Kind::Kill, 34),
        (Kind::Restart, 14),
        (Kind::Member, 10),
        (Kind::Sleep, 6),
        (Kind::Zombie, 10),
        (Kind::Cut, 16),
        (Kind::Hang, 6),
        (Kind::Broker, 4),
    ];

    /// The kinds from which `at-least-once` recovers, too.
    pub const KILLS: &[(Kind, u32)] = &[(Kind::Kill, 12), (Kind::Broker, 1)];

    /// The plural, for the counts.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Kind::Kill => "kills",
            Kind::Restart => "restarts",
            Kind::Member => "leaves and joins",
            Kind::Sleep => "sleeps",
            Kind::Zombie => "zombies",
            Kind::Cut => "cuts",
            Kind::Hang => "broker hangs",
            Kind::Broker => "broker kills",
        }
    }
}

/// A fault. Processes and brokers are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Kill(usize),
    Restart(usize),
    Leave(usize),
    Join(usize),
    Sleep(usize, Duration),
    Zombie(usize, Duration),
    Cut(Option<usize>),
    Hang(usize, Duration),
    Broker(usize, Duration),
}

impl Fault {
    pub(super) fn kind(self) -> Kind {
        match self {
            Fault::Kill(_) => Kind::Kill,
            Fault::Restart(_) => Kind::Restart,
            Fault::Leave(_) | Fault::Join(_) => Kind::Member,
            Fault::Sleep(..) => Kind::Sleep,
            Fault::Zombie(..) => Kind::Zombie,
            Fault::Cut(_) => Kind::Cut,
            Fault::Hang(..) => Kind::Hang,
            Fault::Broker(..) => Kind::Broker,
        }
    }
}

fn name(process: usize) -> String {
    let (stage, instance) = PROCESSES[process];
    format!("{stage}@{instance}")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Kill(index) => write!(f, "kill {}", name(*index)),
            Fault::Restart(index) => write!(f, "restart {}", name(*index)),
            Fault::Leave(index) => write!(f, "{} leaves", name(*index)),
            Fault::Join(index) => write!(f, "{} joins", name(*index)),
            Fault::Sleep(index, time) => write!(f, "{} sleeps for {time:.1?}", name(*index)),
            Fault::Zombie(index, time) => {
                write!(f, "{} sleeps for {time:.1?}, replaced", name(*index))
            }
            Fault::Cut(Some(node)) => write!(f, "cut connections with broker {}", node + 1),
            Fault::Cut(None) => write!(f, "cut all connections"),
            Fault::Hang(node, time) => write!(f, "broker {} hangs for {time:.1?}", node + 1),
            Fault::Broker(node, time) => write!(f, "kill broker {} for {time:.1?}", node + 1),
        }
    }
}

/// An endless series of faults. The same seed and kinds always give the same.
#[derive(Debug)]
pub(super) struct Script {
    random: Xoshiro256PlusPlus,
    kinds: &'static [(Kind, u32)],
    /// The processes that have left.
    gone: Vec<usize>,
}

impl Script {
    pub(super) fn new(seed: u64, kinds: &'static [(Kind, u32)]) -> Self {
        Script {
            random: Xoshiro256PlusPlus::seed_from_u64(seed),
            kinds,
            gone: Vec::new(),
        }
    }

    fn kind(&mut self) -> Kind {
        let all = self.kinds.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.random.random_range(0..all);
        for (kind, weight) in self.kinds {
            match drawn.checked_sub(*weight) {
                Some(left) => drawn = left,
                None => return *kind,
            }
        }
        unreachable!("the number is below the sum")
    }

    fn pick(&mut self, from: &[usize]) -> usize {
        let present: Vec<usize> = from
            .iter()
            .copied()
            .filter(|index| !self.gone.contains(index))
            .collect();
        present[self.random.random_range(0..present.len())]
    }

    fn millis(&mut self, from: Duration, to: Duration) -> Duration {
        let [from, to] =
            [from, to].map(|time| u64::try_from(time.as_millis()).expect("it is short"));
        Duration::from_millis(self.random.random_range(from..to))
    }

    /// How long a process is paused: sometimes for longer than the transaction timeout.
    fn sleep(&mut self) -> Duration {
        let over = if self.random.random_range(0..4) == 0 {
            TRANSACTION
        } else {
            SESSION
        };
        self.millis(
            over + Duration::from_millis(200),
            over + Duration::from_millis(1200),
        )
    }

    fn node(&mut self) -> usize {
        self.random.random_range(0..Cluster::NODES)
    }
}

impl Iterator for Script {
    type Item = Fault;

    fn next(&mut self) -> Option<Fault> {
        let all: Vec<usize> = (0..PROCESSES.len()).collect();
        Some(match self.kind() {
            Kind::Kill => Fault::Kill(self.pick(&all)),
            Kind::Restart => Fault::Restart(self.pick(&all)),
            Kind::Member => {
                let index = LEAVERS[self.random.random_range(0..LEAVERS.len())];
                if let Some(place) = self.gone.iter().position(|gone| *gone == index) {
                    self.gone.remove(place);
                    Fault::Join(index)
                } else {
                    self.gone.push(index);
                    Fault::Leave(index)
                }
            }
            Kind::Sleep => Fault::Sleep(self.pick(&SHARED), self.sleep()),
            Kind::Zombie => Fault::Zombie(self.pick(&all), self.sleep()),
            Kind::Cut => {
                let node = self.random.random_range(0..=Cluster::NODES);
                Fault::Cut((node < Cluster::NODES).then_some(node))
            }
            Kind::Hang => Fault::Hang(
                self.node(),
                self.millis(Duration::from_millis(200), Duration::from_secs(2)),
            ),
            Kind::Broker => Fault::Broker(
                self.node(),
                self.millis(Duration::ZERO, Duration::from_secs(3)),
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_depend_on_the_seed_only() {
        let script = |seed| Script::new(seed, Kind::ALL).take(1000).collect::<Vec<_>>();
        assert_eq!(script(1), script(1));
        assert_ne!(script(1), script(2));
        for (kind, _) in Kind::ALL {
            assert!(
                script(1).iter().any(|fault| fault.kind() == *kind),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn no_fault_hits_a_process_that_has_left() {
        let mut gone = Vec::new();
        for fault in Script::new(3, Kind::ALL).take(10_000) {
            match fault {
                Fault::Leave(index) => gone.push(index),
                Fault::Join(index) => gone.retain(|other| *other != index),
                Fault::Kill(index)
                | Fault::Restart(index)
                | Fault::Sleep(index, _)
                | Fault::Zombie(index, _) => {
                    assert!(!gone.contains(&index), "{fault}");
                }
                Fault::Cut(_) | Fault::Hang(..) | Fault::Broker(..) => {}
            }
        }
    }
}
