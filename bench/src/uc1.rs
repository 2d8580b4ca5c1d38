//! Theodolite's use case 1, "Database Storage": [`Uc1`], for the part of this name.
//!
//! A measurement of electric power is converted to the record of a database, and that is written to
//! standard output. `bench/contenders/README.md` says how it is like the original.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use rivulet_core::guarantee::Guarantee;
use serde::Deserialize;

use crate::cell::Cell;
use crate::committed::GroupProgress;
use crate::full_speed;
use crate::outcome::Outcome;
use crate::place::Place;
use crate::readings::{self, START};
use crate::results::Measurement;
use crate::subject::{Subject, Uc1Job};
use crate::verified::{Checklist, Verified};

const METERS: u64 = 10;

/// The use case on measurements that are all there before it begins.
#[derive(Debug, Clone)]
pub(crate) struct Uc1 {
    pub(crate) subject: Subject,
    pub(crate) measurements: u64,
}

impl Cell for Uc1 {
    fn part(&self) -> &'static str {
        "uc1"
    }

    fn seconds(&self) -> f64 {
        full_speed::seconds(&self.subject, self.measurements)
    }

    fn title(&self) -> String {
        format!("uc1, {}", self.subject.name)
    }

    fn run(&self, place: &Place, folder: &Path, name: &str) -> Outcome<Measurement> {
        let job = Uc1Job {
            name: format!("{name}-uc1"),
            from: format!("{name}-in"),
        };
        let lines = folder.join(format!("{}.lines", job.name));
        place.create(&[Place::readings(&job.from, 1)])?;
        place.create(&job.topics(folder)?)?;
        let progress = GroupProgress::new(&place.brokers, &job.name, &job.from, 1)?;
        let out = File::create(&lines)?;
        let mut running = self.subject.start_uc1(&job, &place.brokers, folder, out)?;
        let fill = |numbers| readings::fill_with(&place.brokers, &job.from, numbers, measurement);
        let values = full_speed::measure(&mut running, &progress, self.measurements, fill)?;
        drop(running);
        let verified = verify(&lines, self.measurements)?;
        std::fs::remove_file(&lines)?;
        Ok(Measurement {
            part: self.part(),
            case: "store".to_owned(),
            // A line that is written cannot be taken back.
            guarantee: Guarantee::AtLeastOnce.name(),
            subject: self.subject.name.clone(),
            values,
            verified: Some(verified),
        })
    }
}

fn meter(index: u64) -> String {
    format!("meter-{}", index % METERS)
}

/// Writes a measurement, and returns its key.
fn measurement(index: u64, text: &mut String) -> String {
    let (meter, time, watts) = (meter(index), START + index, readings::value(index));
    text.clear();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "{{\"identifier\":\"{meter}\",\"timestamp\":{time},\"valueInW\":{watts:?}}}"
    );
    meter
}

/// A record of the database.
#[derive(Deserialize)]
struct Stored<'a> {
    sensor: &'a str,
    /// The offset, which is the number of the measurement in a topic with one partition.
    seq: u64,
    time: u64,
    value: f64,
    unit: &'a str,
}

impl Stored<'_> {
    /// Whether all but the value came of the measurement with its number.
    fn is_like_its_measurement(&self) -> bool {
        self.sensor == meter(self.seq) && self.time == START + self.seq && self.unit == "watts"
    }
}

/// Says what is wrong with the lines that came of so many measurements.
fn verify(lines: &Path, measurements: u64) -> Outcome<Verified> {
    let mut checklist = Checklist::new(&[], METERS, measurements);
    for line in BufReader::new(File::open(lines)?).split(b'\n') {
        let line = line?;
        let stored: Option<Stored<'_>> = serde_json::from_slice(&line).ok();
        let is_right = stored.as_ref().is_some_and(Stored::is_like_its_measurement);
        checklist.count(stored.map(|stored| (stored.seq, stored.value)), is_right);
    }
    Ok(checklist.verified())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of lines if there are two measurements.
    fn verified(text: &str) -> Verified {
        let name = format!("rivulet-uc1-{}-{:p}", std::process::id(), text);
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, text).unwrap();
        let verified = verify(&file, 2).unwrap();
        std::fs::remove_file(file).unwrap();
        verified
    }

    #[test]
    fn every_part_of_a_stored_measurement_is_checked() {
        let line = |index: u64| {
            let (meter, time, value) = (meter(index), START + index, readings::value(index));
            format!(
                "{{\"sensor\":\"{meter}\",\"seq\":{index},\"time\":{time},\"value\":{value:?},\
                 \"unit\":\"watts\"}}\n"
            )
        };
        let right = line(0) + &line(1);
        assert_eq!(verified(&right), Verified::default());
        assert_eq!(verified(&line(1)).missing, 1);
        assert_eq!(verified(&(line(0) + &right)).doubled, 1);
        for (part, other) in [
            ("meter-0", "meter-1"),
            ("\"value\":", "\"value\":1"),
            ("watts", "celsius"),
            ("\"time\":17", "\"time\":18"),
            ("{", ""),
        ] {
            assert_eq!(verified(&right.replacen(part, other, 1)).wrong, 1, "{part}");
        }
        assert_eq!(verified(&(right + &line(2))).wrong, 1, "nobody sent it");
    }

    #[test]
    fn the_pipeline_file_reads_what_is_sent() {
        let file = crate::subject::UC1;
        assert!(file.contains("uc1-input") && file.contains("uc1-database"));
        let mut text = String::new();
        assert_eq!(measurement(12, &mut text), "meter-2");
        for pointer in ["/identifier", "/timestamp", "/valueInW"] {
            let sent: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(file.contains(pointer) && sent.pointer(pointer).is_some());
        }
    }
}
