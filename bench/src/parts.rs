//! What is measured in which order: [`Parts`].

use rivulet_core::guarantee::Guarantee::{self, AtLeastOnce, ExactlyOnce};

use crate::cell::{Brokers, Cell};
use crate::chain::Chain;
use crate::flow::Flow;
use crate::idle::Idle;
use crate::recovery::Recovery;
use crate::step::Step;
use crate::subject::{Interval, Subject};
use crate::uc1::Uc1;

/// The parts of the bench, in their order.
pub(crate) const NAMES: [&str; 11] = [
    "flow",
    "chain",
    "hop",
    "curve",
    "recovery",
    "idle",
    "growth",
    "uc1",
    "cluster",
    "rule",
    "rule-cluster",
];
/// The parts that run only if they are asked for.
pub(crate) const ON_DEMAND: [&str; 2] = ["rule", "rule-cluster"];

/// What is measured, by which subjects, and how long.
pub(crate) struct Parts {
    /// This build of rivulet.
    pub(crate) rivulet: Subject,
    /// Others.
    pub(crate) versions: Vec<Subject>,
    pub(crate) relays: Vec<Subject>,
    /// Other engines.
    pub(crate) contenders: Vec<Subject>,
    pub(crate) rounds: usize,
    /// How many readings flow at full speed.
    pub(crate) readings: u64,
    /// How long a chain is measured.
    pub(crate) seconds: u64,
    pub(crate) quick: bool,
}

type Cells = Vec<Box<dyn Cell>>;

/// The intervals of other engines, and of rivulet beside them.
const BESIDE: Interval = Interval::Ms(100);

/// When a subject commits, unless a part compares intervals.
fn usual_interval(subject: &Subject) -> Interval {
    if subject.is_rivulet() {
        Interval::Own
    } else {
        BESIDE
    }
}

impl Parts {
    /// All cells of a part. In each round the subjects take turns.
    pub(crate) fn cells(&self, part: &str) -> Cells {
        match part {
            "flow" => self.flow(),
            "chain" => self.chain(),
            "hop" => self.hop(),
            "curve" => self.curve(),
            "recovery" => self.recovery(),
            "idle" => self.idle(),
            "growth" => self.growth(),
            "uc1" => self.uc1(),
            "cluster" => self.cluster(),
            "rule" => self.rule("rule"),
            "rule-cluster" => self.rule("rule-cluster"),
            _ => Vec::new(),
        }
    }

    /// What brokers do first, which is not kept. A broker uses twice the CPU time for a transaction
    /// until Java has compiled what runs often.
    pub(crate) fn warm_up(&self, brokers: Brokers) -> impl Cell + use<> {
        Chain {
            part: "warm-up",
            subject: self.rivulet.clone(),
            interval: Interval::Lowest,
            guarantee: ExactlyOnce,
            steps: &Step::CHAIN,
            rate: 1000,
            seconds: 45,
            brokers,
        }
    }

    fn contender(&self, name: &str) -> Option<&Subject> {
        self.contenders.iter().find(|subject| subject.name == name)
    }

    fn relay(&self, name: &str) -> Option<&Subject> {
        self.relays.iter().find(|subject| subject.name == name)
    }

    /// This build of rivulet and the others.
    fn builds(&self) -> impl Iterator<Item = &Subject> {
        std::iter::once(&self.rivulet).chain(&self.versions)
    }

    fn flow(&self) -> Cells {
        let mut cells: Cells = Vec::new();
        let guarantees: &[Guarantee] = if self.quick {
            &[ExactlyOnce]
        } else {
            &[ExactlyOnce, AtLeastOnce]
        };
        for _ in 0..self.rounds {
            for guarantee in guarantees {
                for step in [Step::Copy, Step::Convert, Step::Ewma] {
                    for subject in self.at_full_speed(step) {
                        let tenth = if subject.is_python() { 10 } else { 1 };
                        cells.push(Box::new(Flow {
                            part: "flow",
                            case: step.name().to_owned(),
                            subject: subject.clone(),
                            step,
                            guarantee: *guarantee,
                            interval: usual_interval(subject),
                            readings: self.readings / tenth,
                            partitions: 1,
                            sensors: 10,
                        }));
                    }
                }
            }
        }
        cells
    }

    /// Who does a step at full speed.
    fn at_full_speed(&self, step: Step) -> Vec<&Subject> {
        let batch = self.relay("relay-batch");
        match step {
            Step::Copy => self.relays.iter().collect(),
            Step::Convert => self.builds().chain(batch).chain(&self.contenders).collect(),
            _ if self.quick => Vec::new(),
            _ => {
                let contenders = self
                    .contenders
                    .iter()
                    .filter(|subject| !subject.is_python());
                self.builds().chain(batch).chain(contenders).collect()
            }
        }
    }

    fn chain_of(
        &self,
        part: &'static str,
        (subject, interval): (&Subject, Interval),
        guarantee: Guarantee,
        rate: u64,
    ) -> Box<dyn Cell> {
        let brokers = if part.ends_with("cluster") {
            Brokers::Three
        } else {
            Brokers::One
        };
        Box::new(Chain {
            part,
            subject: subject.clone(),
            interval,
            guarantee,
            steps: if part == "hop" {
                &[Step::Convert]
            } else {
                &Step::CHAIN
            },
            rate,
            seconds: if part == "curve" {
                self.seconds * 2 / 3
            } else {
                self.seconds
            },
            brokers,
        })
    }

    fn chain(&self) -> Cells {
        let mut cells = Vec::new();
        let franz = self.contender("franz-go");
        let rivulet = &self.rivulet;
        if self.quick {
            let turns = [
                Some((rivulet, Interval::Own)),
                franz.map(|franz| (franz, BESIDE)),
            ];
            for turn in turns.into_iter().flatten() {
                cells.push(self.chain_of("chain", turn, ExactlyOnce, 1000));
            }
            return cells;
        }
        let own = [Interval::Own, BESIDE, Interval::Lowest].map(|interval| (rivulet, interval));
        let versions = self.versions.iter();
        let versions = versions
            .flat_map(|version| [Interval::Own, BESIDE].map(|interval| (version, interval)));
        let contenders = self.contenders.iter().map(|contender| (contender, BESIDE));
        let turns: Vec<_> = own
            .into_iter()
            .chain(versions)
            .chain(contenders.clone())
            .collect();
        for round in 0..self.rounds {
            for turn in turns
                .iter()
                .filter(|turn| round == 0 || !turn.0.is_python())
            {
                cells.push(self.chain_of("chain", *turn, ExactlyOnce, 1000));
            }
        }
        let few = [(rivulet, Interval::Own), (rivulet, Interval::Lowest)];
        let versions = self.versions.iter().map(|version| (version, Interval::Own));
        let few: Vec<_> = few
            .into_iter()
            .chain(versions)
            .chain(franz.map(|franz| (franz, BESIDE)))
            .collect();
        for rate in [10, 100, 10_000] {
            for turn in &few {
                cells.push(self.chain_of("chain", *turn, ExactlyOnce, rate));
            }
        }
        for round in 0..self.rounds {
            for turn in self.at_least_once(round) {
                cells.push(self.chain_of("chain", turn, AtLeastOnce, 1000));
            }
        }
        cells
    }

    /// Who is measured at-least-once: the slower engines only in the first round.
    fn at_least_once(&self, round: usize) -> Vec<(&Subject, Interval)> {
        let mut turns: Vec<_> = self.builds().map(|build| (build, Interval::Own)).collect();
        let contenders = self.contenders.iter();
        let contenders = contenders.filter(|subject| round == 0 || subject.name == "franz-go");
        let fast = contenders.filter(|subject| !subject.is_python());
        turns.extend(fast.map(|subject| (subject, BESIDE)));
        turns
    }

    fn hop(&self) -> Cells {
        let mut cells = Vec::new();
        for round in 0..self.rounds {
            for turn in self.at_least_once(round) {
                cells.push(self.chain_of("hop", turn, AtLeastOnce, 1000));
            }
        }
        cells
    }

    fn curve(&self) -> Cells {
        let mut cells =
            vec![self.chain_of("curve", (&self.rivulet, Interval::Own), ExactlyOnce, 1000)];
        for ms in [10, 20, 50, 100, 200, 500] {
            for subject in std::iter::once(&self.rivulet).chain(self.contender("franz-go")) {
                let turn = (subject, Interval::Ms(ms));
                cells.push(self.chain_of("curve", turn, ExactlyOnce, 1000));
            }
        }
        cells
    }

    fn recovery(&self) -> Cells {
        let mut cells: Cells = Vec::new();
        for _ in 0..self.rounds {
            for sensors in [10_000, 100_000] {
                for subject in self.builds().chain(self.contender("franz-go")) {
                    cells.push(Box::new(Recovery {
                        subject: subject.clone(),
                        interval: usual_interval(subject),
                        sensors,
                    }));
                }
            }
        }
        cells
    }

    fn idle(&self) -> Cells {
        let subjects = self.builds().chain(&self.contenders);
        let cell = |subject: &Subject| -> Box<dyn Cell> {
            Box::new(Idle {
                subject: subject.clone(),
                interval: usual_interval(subject),
                seconds: 10,
            })
        };
        subjects.map(cell).collect()
    }

    fn growth(&self) -> Cells {
        let mut cells: Cells = Vec::new();
        let subjects = std::iter::once(&self.rivulet);
        let subjects = subjects
            .chain(self.relay("relay-batch"))
            .chain(self.contender("franz-go"));
        let subjects: Vec<&Subject> = subjects.collect();
        let sizes = [
            (1, 10),
            (4, 10),
            (16, 10),
            (1, 1000),
            (1, 100_000),
            (1, 1_000_000),
        ];
        for (partitions, sensors) in sizes {
            for subject in &subjects {
                cells.push(Box::new(Flow {
                    part: "growth",
                    case: format!("{partitions} partitions, {sensors} sensors"),
                    subject: (*subject).clone(),
                    step: Step::Ewma,
                    guarantee: ExactlyOnce,
                    interval: usual_interval(subject),
                    // At least two of each sensor: nothing comes of the first one.
                    readings: (self.readings / 2).max(sensors * 2),
                    partitions,
                    sensors,
                }));
            }
        }
        cells
    }

    /// Theodolite's use case 1, of which only these two have a program.
    fn uc1(&self) -> Cells {
        let mut cells = Cells::new();
        for _ in 0..self.rounds {
            for subject in std::iter::once(&self.rivulet).chain(self.contender("kafka-streams")) {
                cells.push(Box::new(Uc1 {
                    subject: subject.clone(),
                    measurements: self.readings,
                }));
            }
        }
        cells
    }

    /// What the rule of commits was chosen by: shares and intervals by rates.
    fn rule(&self, part: &'static str) -> Cells {
        let shares = [10, 20, 33].map(Interval::Percent);
        let fixed = [50, 100, 200].map(Interval::Ms);
        let intervals = shares.into_iter().chain(fixed);
        let mut cells = Cells::new();
        for rate in [10, 100, 1000] {
            for interval in intervals.clone() {
                cells.push(self.chain_of(part, (&self.rivulet, interval), ExactlyOnce, rate));
            }
        }
        cells
    }

    fn cluster(&self) -> Cells {
        let mut cells = Vec::new();
        let builds = self.builds().map(|build| (build, Interval::Own));
        let franz = self.contender("franz-go").map(|franz| (franz, BESIDE));
        let turns: Vec<_> = builds.chain(franz).collect();
        for rate in [10, 100, 1000] {
            for turn in &turns {
                cells.push(self.chain_of("cluster", *turn, ExactlyOnce, rate));
            }
        }
        cells
    }
}
