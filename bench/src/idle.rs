//! What a stage costs that has little to do: [`Idle`].

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::guarantee::Guarantee;

use crate::cell::Cell;
use crate::follower::Follower;
use crate::observed::Observed;
use crate::outcome::Outcome;
use crate::pacer::Pacer;
use crate::place::Place;
use crate::readings;
use crate::results::Measurement;
use crate::step::Step;
use crate::subject::{Interval, Job, Subject};
use crate::table::Column;
use crate::verified::{Checklist, verify};

/// The columns of its table.
pub(crate) const COLUMNS: &[Column] = &[
    ("start", "start to first output, s", 2),
    ("cpu", "idle, % of a core", 2),
    ("memory", "idle, MB", 1),
    ("flowing", "peak MB at 1,000/s", 1),
];

const SENSORS: u64 = 10;
const RATE: u64 = 1000;
const PATIENCE: Duration = Duration::from_mins(1);
/// What belongs to the start is over after this.
const SETTLED: Duration = Duration::from_secs(1);
const FLOWING: Duration = Duration::from_secs(4);

/// One stage that starts with nothing, then waits, then has a little to do.
#[derive(Debug, Clone)]
pub(crate) struct Idle {
    pub(crate) subject: Subject,
    pub(crate) interval: Interval,
    /// How long it waits, in seconds.
    pub(crate) seconds: u64,
}

impl Cell for Idle {
    fn part(&self) -> &'static str {
        "idle"
    }

    fn seconds(&self) -> f64 {
        let start = if self.subject.is_rivulet() { 0.5 } else { 3.0 };
        start + 2.0 + 2.0 * SETTLED.as_secs_f64() + self.seconds as f64 + FLOWING.as_secs_f64()
    }

    fn title(&self) -> String {
        format!("idle, {}", self.subject.name)
    }

    fn run(&self, place: &Place, folder: &Path, name: &str) -> Outcome<Measurement> {
        let (input, output) = (format!("{name}-in"), format!("{name}-out"));
        let job = Job {
            name: format!("{name}-convert"),
            from: input.clone(),
            to: output.clone(),
            step: Step::Convert,
            partitions: 1,
            guarantee: Guarantee::ExactlyOnce,
            interval: self.interval,
            sensors: SENSORS,
        };
        place.create(&[Place::readings(&input, 1)])?;
        place.create(&self.subject.topics(&job, folder)?)?;
        readings::fill(&place.brokers, &input, SENSORS, 0..SENSORS)?;
        let follower = Follower::start(&place.brokers, &output, 1, SENSORS)?;
        // Whoever looks must be there first.
        thread::sleep(SETTLED);
        let start = Instant::now();
        let mut stages = [self.subject.start(&job, &place.brokers, folder)?];
        follower.wait_for(SENSORS, PATIENCE, &mut stages)?;
        let process = Observed {
            id: stages[0].0.id(),
        };
        thread::sleep(SETTLED);

        let (cpu, begun) = (process.cpu()?, Instant::now());
        thread::sleep(Duration::from_secs(self.seconds));
        stages[0].check()?;
        let cpu = process.cpu()?.saturating_sub(cpu).as_secs_f64();
        let idle = 100.0 * cpu / begun.elapsed().as_secs_f64();
        let memory = process.memory_now()?;

        let pacer = Pacer::start(&place.brokers, &input, SENSORS, RATE, SENSORS)?;
        thread::sleep(FLOWING);
        let sent = pacer.stop()?;
        let checklist = Checklist::new(&[Step::Convert], SENSORS, sent.count());
        follower.wait_for(checklist.outputs(), PATIENCE, &mut stages)?;
        let flowing = process.peak_memory()?;
        drop(stages);
        let arrivals = follower.stop()?;
        let (_, first) = arrivals.first().ok_or("nothing arrived")?;
        Ok(Measurement {
            part: self.part(),
            case: "convert".to_owned(),
            guarantee: job.guarantee.name(),
            subject: self.subject.name.clone(),
            values: vec![
                ("start", (*first - start).as_secs_f64()),
                ("cpu", idle),
                ("memory", memory),
                ("flowing", flowing),
            ],
            verified: Some(verify(&place.brokers, &output, 1, checklist)?),
        })
    }
}
