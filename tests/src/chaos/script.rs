//! The script: which fault comes next, drawn from a seed.

use std::fmt;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::Cluster;

/// A process of the chain: its stage and its instance.
pub(super) type Name = (&'static str, &'static str);

/// Every process, the producer first.
pub(super) const CREW: [Name; 7] = [
    ("thermometers", "a"),
    ("convert", "a"),
    ("threshold", "a"),
    ("ewma", "a"),
    ("ewma", "b"),
    ("average", "a"),
    ("average", "b"),
];
/// Which of them others can stand in for, and which of those come and go.
const SHARED: [usize; 4] = [3, 4, 5, 6];
const GUESTS: [usize; 2] = [4, 6];

/// The session timeout of the chain's members, and how long its transactions may stay open: as
/// short as a busy machine allows, because faults wait for them.
pub(super) const SESSION: Duration = Duration::from_millis(2500);
pub(super) const TRANSACTION: Duration = Duration::from_secs(4);

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A process is killed and started again.
    Kill,
    /// A process is asked to end and started again.
    Restart,
    /// A member of a stage that others share leaves its group, or comes back.
    Member,
    /// A process sleeps for longer than its session, or than its transaction may, and wakes.
    Sleep,
    /// A process sleeps while another takes its place and name, and wakes.
    Zombie,
    /// All connections with a broker, or with all, are cut.
    Cut,
    /// A broker hangs for a moment.
    Hang,
    /// A broker is killed and started again.
    Broker,
}

impl Kind {
    /// All of them with their weights: what costs seconds is rarer.
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

    /// Those from which `at-least-once` recovers too.
    pub const KILLS: &[(Kind, u32)] = &[(Kind::Kill, 12), (Kind::Broker, 1)];

    /// What many of them are called.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Kind::Kill => "kills",
            Kind::Restart => "restarts on demand",
            Kind::Member => "leaves and joins",
            Kind::Sleep => "sleeps",
            Kind::Zombie => "zombies",
            Kind::Cut => "cuts",
            Kind::Hang => "broker hangs",
            Kind::Broker => "broker kills",
        }
    }
}

/// A fault; processes and brokers are numbered.
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

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |who: &usize| {
            let (stage, instance) = CREW[*who];
            format!("{stage}@{instance}")
        };
        match self {
            Fault::Kill(who) => write!(f, "kill {}", name(who)),
            Fault::Restart(who) => write!(f, "restart {}", name(who)),
            Fault::Leave(who) => write!(f, "{} leaves", name(who)),
            Fault::Join(who) => write!(f, "{} joins", name(who)),
            Fault::Sleep(who, time) => write!(f, "{} sleeps for {time:.1?}", name(who)),
            Fault::Zombie(who, time) => write!(f, "{} sleeps for {time:.1?}, replaced", name(who)),
            Fault::Cut(Some(node)) => write!(f, "cut connections with broker {}", node + 1),
            Fault::Cut(None) => write!(f, "cut all connections"),
            Fault::Hang(node, time) => write!(f, "broker {} hangs for {time:.1?}", node + 1),
            Fault::Broker(node, time) => write!(f, "kill broker {} for {time:.1?}", node + 1),
        }
    }
}

/// Yields faults without end; the same ones for the same seed and kinds.
#[derive(Debug)]
pub(super) struct Script {
    random: Xoshiro256PlusPlus,
    kinds: &'static [(Kind, u32)],
    /// Which guests have left.
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
        unreachable!("it is below the sum")
    }

    fn pick(&mut self, from: &[usize]) -> usize {
        let there: Vec<usize> = from
            .iter()
            .copied()
            .filter(|who| !self.gone.contains(who))
            .collect();
        there[self.random.random_range(0..there.len())]
    }

    fn millis(&mut self, from: Duration, to: Duration) -> Duration {
        let [from, to] =
            [from, to].map(|time| u64::try_from(time.as_millis()).expect("it is short"));
        Duration::from_millis(self.random.random_range(from..to))
    }

    /// How long a process sleeps: now and then for longer than its transaction may stay open.
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
        let all: Vec<usize> = (0..CREW.len()).collect();
        Some(match self.kind() {
            Kind::Kill => Fault::Kill(self.pick(&all)),
            Kind::Restart => Fault::Restart(self.pick(&all)),
            Kind::Member => {
                let who = GUESTS[self.random.random_range(0..GUESTS.len())];
                if let Some(place) = self.gone.iter().position(|gone| *gone == who) {
                    self.gone.remove(place);
                    Fault::Join(who)
                } else {
                    self.gone.push(who);
                    Fault::Leave(who)
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
    fn a_seed_gives_the_same_script_again_and_another_seed_another() {
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
    fn nothing_happens_to_who_has_left() {
        let mut gone = Vec::new();
        for fault in Script::new(3, Kind::ALL).take(10_000) {
            match fault {
                Fault::Leave(who) => gone.push(who),
                Fault::Join(who) => gone.retain(|other| *other != who),
                Fault::Kill(who)
                | Fault::Restart(who)
                | Fault::Sleep(who, _)
                | Fault::Zombie(who, _) => {
                    assert!(!gone.contains(&who), "{fault}");
                }
                Fault::Cut(_) | Fault::Hang(..) | Fault::Broker(..) => {}
            }
        }
    }
}
