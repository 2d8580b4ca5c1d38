//! A subject at full speed: [`Flow`], for the parts `flow` and `growth`.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::guarantee::Guarantee;
use rivulet_tests::{Signal, send};

use crate::cell::Cell;
use crate::committed::GroupProgress;
use crate::observed::Observed;
use crate::outcome::Outcome;
use crate::place::Place;
use crate::readings;
use crate::results::Measurement;
use crate::step::Step;
use crate::subject::{Interval, Job, Subject};
use crate::table::Column;
use crate::verified::{Checklist, verify};

/// The columns of its tables.
pub(crate) const COLUMNS: &[Column] = &[
    ("cpu", "CPU µs a record", 2),
    ("rate", "thousand records/s", 0),
    ("memory", "peak MB", 1),
];

/// Longer than any run.
const DEADLINE: Duration = Duration::from_mins(5);
/// One of so many readings comes before the others.
const PRIMER: u64 = 50;
const LOOK: Duration = Duration::from_millis(5);

/// One step on readings that are all there before it begins.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    pub(crate) part: &'static str,
    pub(crate) case: String,
    pub(crate) subject: Subject,
    pub(crate) step: Step,
    pub(crate) guarantee: Guarantee,
    pub(crate) interval: Interval,
    pub(crate) readings: u64,
    pub(crate) partitions: i32,
    pub(crate) sensors: u64,
}

impl Cell for Flow {
    fn part(&self) -> &'static str {
        self.part
    }

    fn seconds(&self) -> f64 {
        let readings = self.readings as f64;
        // Its start, and the pace of the slowest that is measured with so many.
        let (start, rate) = match self.subject.name.as_str() {
            "kafka-streams" => (5.0, 120e3),
            "franz-go" => (1.0, 200e3),
            "confluent-kafka" => (2.0, 40e3),
            "quix-streams" => (5.0, 10e3),
            _ => (0.5, 400e3),
        };
        // They are sent, and read once more to verify them.
        1.5 + start + readings / rate + readings / 300e3
    }

    fn title(&self) -> String {
        let Flow {
            part,
            case,
            guarantee,
            subject,
            ..
        } = self;
        format!("{part} {case}, {guarantee}, {}", subject.name)
    }

    fn run(&self, place: &Place, folder: &Path, name: &str) -> Outcome<Measurement> {
        let input = format!("{name}-in");
        let job = Job {
            name: format!("{name}-{}", self.step.name()),
            from: input.clone(),
            to: format!("{name}-out"),
            step: self.step,
            partitions: self.partitions,
            guarantee: self.guarantee,
            interval: self.interval,
            sensors: self.sensors,
        };
        place.create(&[Place::readings(&input, self.partitions)])?;
        place.create(&self.subject.topics(&job, folder)?)?;
        let progress = GroupProgress::new(&place.brokers, &job.name, &input, self.partitions)?;
        let mut running = self.subject.start(&job, &place.brokers, folder)?;
        let process = Observed { id: running.0.id() };
        let start = Instant::now();
        let mut until = |least: u64| -> Outcome<()> {
            loop {
                let committed = progress.committed()?;
                if committed >= least {
                    return Ok(());
                }
                running.check()?;
                if start.elapsed() > DEADLINE {
                    return Err(format!("it has committed {committed} of {least}").into());
                }
                thread::sleep(LOOK);
            }
        };
        // Its start is not measured, which is a part of `idle`. So it first does a few readings.
        // Then it stands still until all the others are there.
        let primer = self.readings / PRIMER;
        readings::fill(&place.brokers, &input, self.sensors, 0..primer)?;
        until(primer)?;
        send(process.id, Signal::Stop);
        readings::fill(&place.brokers, &input, self.sensors, primer..self.readings)?;
        let (cpu, begun) = (process.cpu()?, Instant::now());
        send(process.id, Signal::Continue);
        until(self.readings)?;
        let records = (self.readings - primer) as f64;
        let seconds = begun.elapsed().as_secs_f64();
        let values = vec![
            (
                "cpu",
                (process.cpu()?.saturating_sub(cpu)).as_secs_f64() * 1e6 / records,
            ),
            ("rate", records / seconds / 1e3),
            ("memory", process.peak_memory()?),
        ];
        drop(running);
        let checklist = Checklist::new(&[self.step], self.sensors, self.readings);
        let verified = verify(&place.brokers, &job.to, self.partitions, checklist)?;
        Ok(Measurement {
            part: self.part,
            case: self.case.clone(),
            guarantee: self.guarantee.name(),
            subject: self.subject.name.clone(),
            values,
            verified: Some(verified),
        })
    }
}
