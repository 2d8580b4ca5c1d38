//! How soon a stage is back after `kill -9`: [`Recovery`].
//!
//! Readings arrive all the time, so the dead process leaves a session and an open transaction
//! behind.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rivulet_core::guarantee::Guarantee;

use crate::cell::Cell;
use crate::follower::Follower;
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
pub(crate) const COLUMNS: &[Column] = &[("first", "first output after kill -9, s", 3)];

const PARTITIONS: i32 = 4;
/// Readings a second.
const RATE: u64 = 2000;
const PATIENCE: Duration = Duration::from_mins(2);
/// Longer than the last committed records of a killed process need to arrive.
const QUIET: Duration = Duration::from_millis(500);

/// One kill.
#[derive(Debug, Clone)]
pub(crate) struct Recovery {
    pub(crate) subject: Subject,
    pub(crate) interval: Interval,
    pub(crate) sensors: u64,
}

impl Recovery {
    /// A number of sensors, as the table names it.
    pub(crate) fn case(sensors: u64) -> String {
        format!("{sensors} sensors")
    }
}

impl Cell for Recovery {
    fn part(&self) -> &'static str {
        "recovery"
    }

    fn seconds(&self) -> f64 {
        8.0 + self.sensors as f64 / 25e3
    }

    fn title(&self) -> String {
        let Recovery {
            subject, sensors, ..
        } = self;
        format!("recovery, {sensors} sensors, {}", subject.name)
    }

    fn run(&self, place: &Place, folder: &Path, name: &str) -> Outcome<Measurement> {
        let (input, output) = (format!("{name}-in"), format!("{name}-out"));
        let job = Job {
            name: format!("{name}-ewma"),
            from: input.clone(),
            to: output.clone(),
            step: Step::Ewma,
            partitions: PARTITIONS,
            guarantee: Guarantee::ExactlyOnce,
            interval: self.interval,
            sensors: self.sensors,
        };
        place.create(&[Place::readings(&input, PARTITIONS)])?;
        place.create(&self.subject.topics(&job, folder)?)?;
        // Two of each sensor: every sensor has a state then, and one output.
        let first = self.sensors * 2;
        readings::fill(&place.brokers, &input, self.sensors, 0..first)?;
        let follower = Follower::start(&place.brokers, &output, PARTITIONS, self.sensors)?;
        let mut stages = [self.subject.start(&job, &place.brokers, folder)?];
        follower.wait_for(self.sensors, PATIENCE, &mut stages)?;
        let pacer = Pacer::start(&place.brokers, &input, self.sensors, RATE, first)?;
        // The kill must interrupt processing, not the start.
        let flowing = self.sensors + RATE * 2;
        follower.wait_for(flowing, PATIENCE, &mut stages)?;

        drop(stages);
        while follower.last().is_some_and(|last| last.elapsed() < QUIET) {
            thread::sleep(QUIET / 10);
        }
        let (start, before) = (Instant::now(), follower.count());
        let mut stages = [self.subject.start(&job, &place.brokers, folder)?];
        follower.wait_for(before + 1, PATIENCE, &mut stages)?;
        let sent = pacer.stop()?;
        let checklist = Checklist::new(&[Step::Ewma], self.sensors, sent.count());
        follower.wait_for(checklist.outputs(), PATIENCE, &mut stages)?;
        let arrivals = follower.stop()?;
        drop(stages);
        let mut later = arrivals.iter().map(|(_, arrived)| *arrived);
        let back = later
            .find(|arrived| *arrived > start)
            .ok_or("nothing came back")?;
        Ok(Measurement {
            part: self.part(),
            case: Recovery::case(self.sensors),
            guarantee: job.guarantee.name(),
            subject: self.subject.name.clone(),
            values: vec![("first", (back - start).as_secs_f64())],
            verified: Some(verify(&place.brokers, &output, PARTITIONS, checklist)?),
        })
    }
}
