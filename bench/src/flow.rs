//! A stage at full speed: [`Flow`], for the parts `flow` and `growth`.

use std::path::Path;

use rivulet_core::guarantee::Guarantee;

use crate::cell::Cell;
use crate::committed::GroupProgress;
use crate::full_speed;
use crate::outcome::Outcome;
use crate::place::Place;
use crate::readings;
use crate::results::Measurement;
use crate::step::Step;
use crate::subject::{Interval, Job, Subject};
use crate::verified::{Checklist, verify};

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
        full_speed::seconds(&self.subject, self.readings)
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
        let fill = |numbers| readings::fill(&place.brokers, &input, self.sensors, numbers);
        let values = full_speed::measure(&mut running, &progress, self.readings, fill)?;
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
