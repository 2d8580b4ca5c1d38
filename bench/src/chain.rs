//! Stages one after the other at a steady rate: [`Chain`], for the parts `chain`, `hop`, `curve`
//! and `cluster`.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::guarantee::Guarantee;

use crate::cell::{Brokers, Cell};
use crate::follower::Follower;
use crate::latency::Latencies;
use crate::observed::Observed;
use crate::outcome::Outcome;
use crate::pacer::Pacer;
use crate::place::Place;
use crate::readings;
use crate::results::Measurement;
use crate::running::Running;
use crate::step::Step;
use crate::subject::{Interval, Job, Subject};
use crate::table::Column;
use crate::verified::{Checklist, verify};

/// The columns of its tables.
pub(crate) const COLUMNS: &[Column] = &[
    ("p50", "p50 ms", 1),
    ("p99", "p99 ms", 1),
    ("p99.9", "p99.9 ms", 1),
    ("max", "max ms", 1),
    ("stages", "stages, % of a core", 1),
    ("brokers", "brokers, % of a core", 1),
    ("bytes", "log bytes a reading", 0),
    ("fsyncs", "fsyncs a reading", 2),
    ("memory", "largest stage, peak MB", 1),
];

const SENSORS: u64 = 10;
/// So many readings of each sensor are sent first, so that the last stage writes something.
const PRIMER: u64 = 6;
const WARM_UP: Duration = Duration::from_secs(3);
/// How long the first or the last readings may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// Some steps, each in a stage of its own.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    pub(crate) part: &'static str,
    pub(crate) subject: Subject,
    pub(crate) interval: Interval,
    pub(crate) guarantee: Guarantee,
    pub(crate) steps: &'static [Step],
    /// Readings a second.
    pub(crate) rate: u64,
    /// How long it is measured.
    pub(crate) seconds: u64,
    pub(crate) brokers: Brokers,
}

impl Chain {
    /// The subject and its interval, as the tables name them.
    pub(crate) fn name(subject: &str, interval: Interval) -> String {
        format!("{subject}, {interval}")
    }

    /// A rate, as the tables name it.
    pub(crate) fn case(rate: u64) -> String {
        format!("{rate}/s")
    }

    fn jobs(&self, name: &str) -> Vec<Job> {
        let topic = |hop: usize| format!("{name}-{hop}");
        let job = |(hop, step): (usize, &Step)| Job {
            name: format!("{name}-{}", step.name()),
            from: topic(hop),
            to: topic(hop + 1),
            step: *step,
            partitions: 1,
            guarantee: self.guarantee,
            interval: self.interval,
            sensors: SENSORS,
        };
        self.steps.iter().enumerate().map(job).collect()
    }
}

/// The CPU time of all stages.
fn cpu(stages: &[Running]) -> Outcome<Duration> {
    let times = stages
        .iter()
        .map(|stage| Observed { id: stage.0.id() }.cpu());
    times.sum()
}

fn peak_memory(stages: &[Running]) -> Outcome<f64> {
    let mut peaks = stages
        .iter()
        .map(|stage| Observed { id: stage.0.id() }.peak_memory());
    peaks.try_fold(0.0, |most: f64, peak| Ok(most.max(peak?)))
}

impl Cell for Chain {
    fn part(&self) -> &'static str {
        self.part
    }

    fn seconds(&self) -> f64 {
        let start = match self.subject.name.as_str() {
            "kafka-streams" | "quix-streams" => 9.0,
            "confluent-kafka" => 4.0,
            _ => 2.0,
        };
        start + self.seconds as f64 + WARM_UP.as_secs_f64() + 1.5
    }

    fn title(&self) -> String {
        let Chain {
            part,
            rate,
            guarantee,
            subject,
            interval,
            ..
        } = self;
        format!("{part} {rate}/s, {guarantee}, {}, {interval}", subject.name)
    }

    fn brokers(&self) -> Brokers {
        self.brokers
    }

    fn run(&self, place: &Place, folder: &Path, name: &str) -> Outcome<Measurement> {
        let (input, output) = (format!("{name}-0"), format!("{name}-{}", self.steps.len()));
        let mut topics = vec![Place::readings(&input, 1)];
        let jobs = self.jobs(name);
        for job in &jobs {
            for topic in self.subject.topics(job, folder)? {
                if topics.iter().all(|other| other.name != topic.name) {
                    topics.push(topic);
                }
            }
        }
        place.create(&topics)?;
        let start = |job| self.subject.start(job, &place.brokers, folder);
        let mut stages: Vec<Running> = jobs.iter().map(start).collect::<Outcome<_>>()?;
        let follower = Follower::start(&place.brokers, &output, 1, SENSORS)?;
        let first = PRIMER * SENSORS;
        readings::fill(&place.brokers, &input, SENSORS, 0..first)?;
        let primed = Checklist::new(self.steps, SENSORS, first).outputs();
        follower.wait_for(primed, PATIENCE, &mut stages)?;

        let pacer = Pacer::start(&place.brokers, &input, SENSORS, self.rate, first)?;
        thread::sleep(WARM_UP);
        let (used, time, begin) = (place.used()?, Instant::now(), pacer.count());
        let cpu_before = cpu(&stages)?;
        while time.elapsed() < Duration::from_secs(self.seconds) {
            for stage in &mut stages {
                stage.check()?;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let (seconds, end) = (time.elapsed().as_secs_f64(), pacer.count());
        let (cpu, used_then) = (cpu(&stages)?.saturating_sub(cpu_before), place.used()?);
        let sent = pacer.stop()?;
        let checklist = Checklist::new(self.steps, SENSORS, sent.count());
        follower.wait_for(checklist.outputs(), PATIENCE, &mut stages)?;
        let memory = peak_memory(&stages)?;
        let arrivals = follower.stop()?;
        drop(stages);

        let latencies = arrivals
            .iter()
            .filter(|(index, _)| (begin..end).contains(index))
            .filter_map(|(index, arrived)| Some(*arrived - sent.time(*index)?));
        let mut values = Latencies::new(latencies.collect()).values();
        let count = (end - begin) as f64;
        let share = |time: Duration| 100.0 * time.as_secs_f64() / seconds;
        values.extend([
            ("stages", share(cpu)),
            ("brokers", share(used_then.cpu.saturating_sub(used.cpu))),
            (
                "bytes",
                used_then.bytes.saturating_sub(used.bytes) as f64 / count,
            ),
            ("fsyncs", (used_then.fsyncs - used.fsyncs) as f64 / count),
            ("memory", memory),
        ]);
        Ok(Measurement {
            part: self.part,
            case: Chain::case(self.rate),
            guarantee: self.guarantee.name(),
            subject: Chain::name(&self.subject.name, self.interval),
            values,
            verified: Some(verify(&place.brokers, &output, 1, checklist)?),
        })
    }
}
